/// Why bytes are no code object that can be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ObjectError {
    /// Neither an ELF file nor an offload bundle.
    #[error("not a 64-bit ELF file and not an offload bundle")]
    NotElf,
    /// An ELF file for another machine.
    #[error("an ELF file for machine {machine}, not for AMD GPUs in little-endian order")]
    NotAmdgpu {
        /// `e_machine`.
        machine: u16,
    },
    /// An ABI that is not code object version 4, 5 or 6 of HSA.
    #[error("OS ABI {os_abi} version {version} is not code object version 4, 5 or 6 of HSA")]
    Abi {
        /// `EI_OSABI`.
        os_abi: u8,
        /// `EI_ABIVERSION`.
        version: u8,
    },
    /// Something in the ELF file points outside of it or contradicts itself.
    #[error("malformed ELF file: {0}")]
    Elf(String),
    /// The bundle's table is malformed.
    #[error("malformed offload bundle: {0}")]
    Bundle(&'static str),
    /// The bundle is compressed.
    #[error("the offload bundle is compressed; build it without --offload-compress")]
    Compressed,
    /// There is no code for the device.
    #[error("missing code object for the device: none for {target}, but for {}", list(found))]
    MissingTarget {
        /// What was asked for.
        target: String,
        /// What is there.
        found: Vec<String>,
    },
    /// A bundle for several targets was given where one code object was expected.
    #[error("a bundle for {}: say for which target to load", list(found))]
    SeveralTargets {
        /// What is there.
        found: Vec<String>,
    },
    /// A processor that this crate does not know, or two that disagree.
    #[error("unknown target: metadata say `{metadata}`, the ELF header has machine {machine:#x}")]
    UnknownTarget {
        /// `amdhsa.target`.
        metadata: String,
        /// `EF_AMDGPU_MACH` of `e_flags`.
        machine: u32,
    },
    /// The segments need more memory than any code object should.
    #[error("the segments take {bytes} bytes in memory; at most {max} are allowed")]
    TooLarge {
        /// Needed.
        bytes: u64,
        /// Allowed.
        max: u64,
    },
    /// A relocation of an unknown type.
    #[error("unknown relocation type {kind} at {offset:#x}")]
    UnknownRelocation {
        /// `R_AMDGPU_…`.
        kind: u32,
        /// Virtual address of the field.
        offset: u64,
    },
    /// A relocation that cannot be applied.
    #[error("relocation at {offset:#x}: {reason}")]
    Relocation {
        /// Virtual address of the field.
        offset: u64,
        /// What is wrong.
        reason: &'static str,
    },
    /// The metadata note is missing or not as documented.
    #[error("metadata: {0}")]
    Metadata(String),
    /// A kernel whose parts do not fit together.
    #[error("kernel `{kernel}`: {reason}")]
    Kernel {
        /// Its name.
        kernel: String,
        /// What is wrong.
        reason: String,
    },
}

impl From<::object::read::Error> for ObjectError {
    fn from(error: ::object::read::Error) -> Self {
        Self::Elf(error.to_string())
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}
