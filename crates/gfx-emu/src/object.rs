//! Code objects: what `hipcc` makes of a kernel source, loaded into memory as a device's loader would.
//!
//! Facts are from LLVM's "User Guide for AMDGPU Backend", sections "Code Object" and "Kernel Descriptor".

mod bundle;
mod descriptor;
mod error;
mod image;
mod kernel;
mod metadata;
mod relocate;
mod symbols;
mod target;

use ::object::LittleEndian;
use ::object::elf::FileHeader64;
use ::object::read::elf::FileHeader;

pub use descriptor::{Descriptor, UserSgprs};
pub use error::ObjectError;
pub use image::{Image, Segment};
pub use kernel::Kernel;
pub use metadata::Arg;
pub use symbols::{Symbol, SymbolKind};
pub use target::{Generation, Target};

use bundle::Bundle;
use metadata::Metadata;
use symbols::Symbols;

type Elf = FileHeader64<LittleEndian>;

/// A loaded code object: its memory, its kernels and the names in it. All addresses are absolute addresses of the host.
#[derive(Debug)]
pub struct CodeObject {
    target: Target,
    image: Image,
    kernels: Vec<Kernel>,
    symbols: Symbols,
}

impl CodeObject {
    /// Loads an ELF code object, or the one of a clang offload bundle that holds a single one.
    ///
    /// # Errors
    /// Whatever is malformed, is for no AMD GPU, or is a bundle for several targets.
    pub fn load(bytes: &[u8]) -> Result<Self, ObjectError> {
        match Bundle::parse(bytes)? {
            Some(bundle) => Self::load_elf(bundle.only()?),
            None => Self::load_elf(bytes),
        }
    }

    /// Loads what `bytes` hold for a target such as `gfx1100` or `gfx942:xnack-`.
    ///
    /// # Errors
    /// [`ObjectError::MissingTarget`] if there is nothing for it, and as [`Self::load`].
    pub fn load_for(bytes: &[u8], target: &str) -> Result<Self, ObjectError> {
        if let Some(bundle) = Bundle::parse(bytes)? {
            return Self::load_elf(bundle.entry(target)?);
        }
        let object = Self::load_elf(bytes)?;
        if target::matches(object.target.id(), target) {
            Ok(object)
        } else {
            let found = vec![object.target.id().to_owned()];
            Err(ObjectError::MissingTarget { target: target.to_owned(), found })
        }
    }

    fn load_elf(bytes: &[u8]) -> Result<Self, ObjectError> {
        let header = header(bytes)?;
        let metadata = Metadata::parse(header, bytes)?;
        let target = Target::new(&metadata.target, header.e_flags.get(LittleEndian))?;
        let mut image = Image::load(header, bytes)?;
        relocate::apply(header, bytes, &mut image)?;
        let symbols = Symbols::read(header, bytes, &image)?;
        let kernels = metadata.kernels.into_iter();
        let kernels = kernels.map(|kernel| Kernel::new(kernel, target.generation(), &image, &symbols));
        let kernels = kernels.collect::<Result<_, _>>()?;
        Ok(Self { target, image, kernels, symbols })
    }

    /// What the code was compiled for.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The memory that kernels see.
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// In the order of the metadata.
    pub fn kernels(&self) -> &[Kernel] {
        &self.kernels
    }

    /// The kernel of a name, mangled if it is C++.
    pub fn kernel(&self, name: &str) -> Option<&Kernel> {
        self.kernels.iter().find(|kernel| kernel.name == name)
    }

    /// Functions and variables, sorted by address.
    pub fn symbols(&self) -> &[Symbol] {
        self.symbols.all()
    }

    /// A `__device__` or `__constant__` variable by its mangled name.
    pub fn variable(&self, name: &str) -> Option<&Symbol> {
        self.symbols.find(name).filter(|symbol| symbol.kind == SymbolKind::Variable)
    }

    /// The function that holds an address, and how many bytes from its start on.
    pub fn function_at(&self, address: u64) -> Option<(&str, u64)> {
        self.symbols.function_at(address)
    }
}

/// Checks that `bytes` are an ELF file for an AMD GPU with the HSA ABI of code object version 4, 5 or 6.
fn header(bytes: &[u8]) -> Result<&Elf, ObjectError> {
    const EM_AMDGPU: u16 = 224;
    const ELFOSABI_AMDGPU_HSA: u8 = 64;
    const ABI_VERSIONS: std::ops::RangeInclusive<u8> = 2..=4;
    let header = Elf::parse(bytes).map_err(|_| ObjectError::NotElf)?;
    let ident = &header.e_ident;
    if header.endian().is_err() || header.e_machine.get(LittleEndian) != EM_AMDGPU {
        return Err(ObjectError::NotAmdgpu { machine: header.e_machine.get(LittleEndian) });
    }
    if ident.os_abi != ELFOSABI_AMDGPU_HSA || !ABI_VERSIONS.contains(&ident.abi_version) {
        return Err(ObjectError::Abi { os_abi: ident.os_abi, version: ident.abi_version });
    }
    Ok(header)
}
