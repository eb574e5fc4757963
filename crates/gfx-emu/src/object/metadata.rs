//! The metadata note: MessagePack that lists kernels with their arguments.
//! Keys: LLVM's "User Guide for AMDGPU Backend", "Code Object V5 Metadata".

use ::object::LittleEndian;
use ::object::read::elf::{FileHeader, ProgramHeader};
use serde::{Deserialize, Deserializer};

use super::Elf;
use super::error::ObjectError;

const NT_AMDGPU_METADATA: u32 = 32;

/// The whole note.
#[derive(Debug, Deserialize)]
pub struct Metadata {
    #[serde(rename = "amdhsa.target")]
    pub target: String,
    #[serde(rename = "amdhsa.kernels", default)]
    pub kernels: Vec<KernelMetadata>,
}

/// What the note says about a kernel.
#[derive(Debug, Deserialize)]
pub struct KernelMetadata {
    #[serde(rename = ".name")]
    pub name: String,
    #[serde(rename = ".symbol")]
    pub symbol: String,
    #[serde(rename = ".args", default)]
    pub args: Vec<Arg>,
    #[serde(rename = ".kernarg_segment_size")]
    pub kernarg_bytes: u32,
    #[serde(rename = ".kernarg_segment_align")]
    pub kernarg_align: u32,
    #[serde(rename = ".group_segment_fixed_size")]
    pub lds_bytes: u32,
    #[serde(rename = ".private_segment_fixed_size")]
    pub private_bytes: u32,
    #[serde(rename = ".wavefront_size")]
    pub wave_size: u32,
    #[serde(rename = ".max_flat_workgroup_size")]
    pub max_workgroup_size: u32,
    #[serde(rename = ".sgpr_count", default)]
    pub sgprs: u32,
    #[serde(rename = ".vgpr_count", default)]
    pub vgprs: u32,
    #[serde(rename = ".agpr_count", default)]
    pub agprs: u32,
    #[serde(rename = ".sgpr_spill_count", default)]
    pub sgpr_spills: u32,
    #[serde(rename = ".vgpr_spill_count", default)]
    pub vgpr_spills: u32,
    #[serde(rename = ".workgroup_processor_mode", default, deserialize_with = "flag")]
    pub workgroup_processor_mode: bool,
    #[serde(rename = ".uses_dynamic_stack", default, deserialize_with = "flag")]
    pub uses_dynamic_stack: bool,
}

/// An argument of a kernel.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Arg {
    /// Name in the source, where the compiler kept it.
    #[serde(rename = ".name", default)]
    pub name: Option<String>,
    /// Type in the source, where the compiler kept it.
    #[serde(rename = ".type_name", default)]
    pub type_name: Option<String>,
    /// Place in the kernel argument segment, bytes.
    #[serde(rename = ".offset")]
    pub offset: u32,
    /// Bytes.
    #[serde(rename = ".size")]
    pub size: u32,
    /// `by_value`, `global_buffer`, `hidden_block_count_x` and so on.
    #[serde(rename = ".value_kind")]
    pub value_kind: String,
}

impl Arg {
    /// Whether the runtime fills it and not the caller.
    pub fn is_hidden(&self) -> bool {
        self.value_kind.starts_with("hidden_")
    }

    /// First byte behind it.
    pub fn end(&self) -> u64 {
        u64::from(self.offset) + u64::from(self.size)
    }
}

impl Metadata {
    /// Finds and reads the note.
    pub fn parse(header: &Elf, bytes: &[u8]) -> Result<Self, ObjectError> {
        let note = note(header, bytes)?.ok_or_else(|| ObjectError::Metadata("there is no note".to_owned()))?;
        rmp_serde::from_slice(note).map_err(|error| ObjectError::Metadata(error.to_string()))
    }
}

fn note<'a>(header: &Elf, bytes: &'a [u8]) -> Result<Option<&'a [u8]>, ObjectError> {
    for segment in header.program_headers(LittleEndian, bytes)? {
        let Some(mut notes) = segment.notes(LittleEndian, bytes)? else { continue };
        while let Some(note) = notes.next()? {
            if note.name() == b"AMDGPU" && note.n_type(LittleEndian) == NT_AMDGPU_METADATA {
                return Ok(Some(note.desc()));
            }
        }
    }
    Ok(None)
}

/// Compilers write flags as booleans or as 0 and 1.
fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Flag {
        Bool(bool),
        Number(u64),
    }
    Ok(match Flag::deserialize(deserializer)? {
        Flag::Bool(flag) => flag,
        Flag::Number(number) => number != 0,
    })
}
