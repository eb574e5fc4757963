//! Blocks of a file into planes, on the device.

use bytemuck::{Pod, Zeroable};

use crate::driver::{DevicePtr, Dims, Function, HipError, Stream};
use crate::library::{KernelError, Kernels};
use crate::weights::{MAX_FIELDS, PlaneMap};

const THREADS: u32 = 256;

/// The kernel `weights/split_planes`.
#[derive(Debug, Clone)]
pub struct SplitPlanes {
    kernel: Function,
}

/// One run of blocks, as a file has them.
#[derive(Debug, Clone, Copy)]
pub struct SplitCall<'a> {
    /// Where the matrix's planes lie.
    pub map: &'a PlaneMap,
    /// Memory of the planes, [`PlaneMap::bytes`] long.
    pub planes: DevicePtr,
    /// The blocks, at any address.
    pub src: DevicePtr,
    /// Number of the first of them in the matrix.
    pub first_block: usize,
    /// How many there are, at most 2^24.
    pub blocks: usize,
}

/// The kernel's arguments, field for field.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct SplitArgs {
    src: DevicePtr,
    plane: [DevicePtr; MAX_FIELDS],
    first: u64,
    offset: [u32; MAX_FIELDS],
    bytes: [u32; MAX_FIELDS],
    block_bytes: u32,
    blocks: u32,
}

impl SplitPlanes {
    /// Loads the kernel.
    ///
    /// # Errors
    /// Those of [`Kernels::function`].
    pub fn load(kernels: &Kernels) -> Result<Self, KernelError> {
        Ok(Self { kernel: kernels.function("weights/split_planes", "split_planes")? })
    }

    /// Copies each field of the blocks to its plane.
    ///
    /// # Errors
    /// Those of [`Stream::launch`].
    pub fn run(&self, stream: &Stream, call: &SplitCall<'_>) -> Result<(), HipError> {
        debug_assert!(call.first_block + call.blocks <= call.map.blocks() && call.blocks <= 1 << 24);
        if call.blocks == 0 {
            return Ok(());
        }
        let layout = call.map.layout();
        let mut args = SplitArgs {
            src: call.src,
            plane: call.map.planes(call.planes, 0).p,
            first: call.first_block as u64,
            offset: [0; MAX_FIELDS],
            bytes: [0; MAX_FIELDS],
            block_bytes: layout.ty.block_bytes() as u32,
            blocks: call.blocks as u32,
        };
        for (f, field) in layout.fields.iter().enumerate() {
            (args.offset[f], args.bytes[f]) = (field.offset, field.bytes);
        }
        let words = layout.fields.iter().map(|field| words(field.bytes)).max().unwrap_or(1);
        let dims =
            Dims { grid: [(args.blocks * words).div_ceil(THREADS), MAX_FIELDS as u32, 1], threads: THREADS, lds: 0 };
        // SAFETY: the arguments are the kernel's struct; it reads `blocks` blocks at `src` and writes the planes of
        // those blocks, which the caller says lie in live buffers.
        unsafe { stream.launch(&self.kernel, dims, &args) }
    }
}

/// What the kernel cuts a field into: the widest of 4, 2 and 1 bytes that divides it.
fn words(bytes: u32) -> u32 {
    match bytes % 4 {
        0 => bytes / 4,
        2 => bytes / 2,
        _ => bytes,
    }
}
