//! A kernel: what the metadata and the descriptor say about it.

use super::descriptor::Descriptor;
use super::error::ObjectError;
use super::image::Image;
use super::metadata::{Arg, KernelMetadata};
use super::symbols::Symbols;
use super::target::Generation;

/// HIP passes a few KiB at most; more is a malformed file.
const KERNARG_BYTES_MAX: u32 = 1 << 20;
/// No target has larger workgroups; a work-item's id has ten bits along each axis.
const WORKGROUP_SIZE_MAX: u32 = 1024;
/// An instruction's address is a multiple of this.
const INSTRUCTION_ALIGN: u64 = 4;

/// A kernel of a code object. Its parts fit together: arguments lie within the segment and the entry within code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    /// Mangled if it is C++.
    pub name: String,
    /// Name of the descriptor's symbol, `name.kd`.
    pub symbol: String,
    /// Absolute address of the descriptor.
    pub descriptor_address: u64,
    /// Absolute address of the first instruction.
    pub entry: u64,
    /// What the descriptor holds.
    pub descriptor: Descriptor,
    /// Explicit and hidden ones, in the order of the metadata.
    pub args: Vec<Arg>,
    /// Alignment of the kernel argument segment, bytes.
    pub kernarg_align: u32,
    /// Lanes of a wave: 32 or 64.
    pub wave_size: u32,
    /// Most lanes of a workgroup.
    pub max_workgroup_size: u32,
    /// Scalar registers of a wave.
    pub sgprs: u32,
    /// Vector registers of a lane; on CDNA with the accumulation registers.
    pub vgprs: u32,
    /// Accumulation registers of a lane.
    pub agprs: u32,
    /// Scalar registers that the compiler had no room for.
    pub sgpr_spills: u32,
    /// Vector registers that the compiler had no room for.
    pub vgpr_spills: u32,
}

impl Kernel {
    pub(super) fn new(
        metadata: KernelMetadata,
        generation: Generation,
        image: &Image,
        symbols: &Symbols,
    ) -> Result<Self, ObjectError> {
        let checked = Self::read(&metadata, generation, image, symbols);
        let (descriptor_address, descriptor, entry) =
            checked.map_err(|reason| ObjectError::Kernel { kernel: metadata.name.clone(), reason })?;
        Ok(Self {
            name: metadata.name,
            symbol: metadata.symbol,
            descriptor_address,
            entry,
            descriptor,
            args: metadata.args,
            kernarg_align: metadata.kernarg_align,
            wave_size: metadata.wave_size,
            max_workgroup_size: metadata.max_workgroup_size,
            sgprs: metadata.sgprs,
            vgprs: metadata.vgprs,
            agprs: metadata.agprs,
            sgpr_spills: metadata.sgpr_spills,
            vgpr_spills: metadata.vgpr_spills,
        })
    }

    /// Bytes behind which no explicit argument lies.
    pub fn explicit_bytes(&self) -> usize {
        self.explicit_args().map(|arg| arg.end() as usize).max().unwrap_or(0)
    }

    /// The arguments that the caller passes.
    pub fn explicit_args(&self) -> impl Iterator<Item = &Arg> {
        self.args.iter().filter(|arg| !arg.is_hidden())
    }

    fn read(
        metadata: &KernelMetadata,
        generation: Generation,
        image: &Image,
        symbols: &Symbols,
    ) -> Result<(u64, Descriptor, u64), String> {
        let symbol = symbols.find(&metadata.symbol).ok_or_else(|| format!("no symbol `{}`", metadata.symbol))?;
        let address = symbol.range.start;
        let bytes = address.checked_add(Descriptor::BYTES).and_then(|end| image.read(address..end)?.first_chunk());
        let descriptor = Descriptor::new(bytes.ok_or("its descriptor lies outside of the image")?, generation);
        let entry = address.wrapping_add_signed(descriptor.entry_offset);
        let in_code = |segment: &super::Segment| segment.executable && segment.range.contains(&entry);
        if entry % INSTRUCTION_ALIGN != 0 || !image.segments().iter().any(in_code) {
            return Err("its entry lies outside of the code".to_owned());
        }
        check_agreement(metadata, &descriptor)?;
        check_limits(metadata)?;
        Ok((address, descriptor, entry))
    }
}

/// Descriptor and metadata say some things twice.
fn check_agreement(metadata: &KernelMetadata, descriptor: &Descriptor) -> Result<(), String> {
    let wave_size = if descriptor.wavefront_size32 { 32 } else { 64 };
    let twice = [
        ("wave size", metadata.wave_size, wave_size),
        ("bytes of arguments", metadata.kernarg_bytes, descriptor.kernarg_size),
        ("bytes of LDS", metadata.lds_bytes, descriptor.group_segment_fixed_size),
        ("bytes of private memory", metadata.private_bytes, descriptor.private_segment_fixed_size),
        ("dynamic stack", metadata.uses_dynamic_stack.into(), descriptor.uses_dynamic_stack.into()),
        ("WGP mode", metadata.workgroup_processor_mode.into(), descriptor.wgp_mode.into()),
    ];
    match twice.iter().find(|(_, metadata, descriptor)| metadata != descriptor) {
        Some((what, metadata, descriptor)) => {
            Err(format!("{what}: {metadata} in the metadata, {descriptor} in the descriptor"))
        }
        None if descriptor.user_sgprs.count() > descriptor.user_sgpr_count => {
            Err(format!("more than its {} user SGPRs are enabled", descriptor.user_sgpr_count))
        }
        None => Ok(()),
    }
}

/// Limits that keep what a launch allocates small.
fn check_limits(metadata: &KernelMetadata) -> Result<(), String> {
    if metadata.kernarg_bytes > KERNARG_BYTES_MAX {
        return Err(format!("{} bytes of arguments; at most {KERNARG_BYTES_MAX} are allowed", metadata.kernarg_bytes));
    }
    if !(1..=WORKGROUP_SIZE_MAX).contains(&metadata.max_workgroup_size) {
        return Err(format!("workgroups of up to {} work-items", metadata.max_workgroup_size));
    }
    match metadata.args.iter().find(|arg| arg.end() > u64::from(metadata.kernarg_bytes)) {
        Some(arg) => Err(format!("an argument ends at byte {} of {}", arg.end(), metadata.kernarg_bytes)),
        None => Ok(()),
    }
}
