//! One tile through the matrix unit: the self-test of `rf/mma.h`, whose layouts of lanes differ by target.

use bytemuck::{Pod, Zeroable};

use crate::driver::{DevicePtr, Dims, Function, HipError, Stream};
use crate::library::{KernelError, Kernels};

/// Rows of the tile's operands, and columns of its result.
pub const MMA_TILE: usize = 16;

/// The longest distance between rows of a tile in LDS.
const MAX_STRIDE: usize = 136;

/// The kernels of `gemm/mma_check.hip`.
#[derive(Debug, Clone)]
pub struct MmaCheck {
    half: Function,
    bhalf: Function,
    lanes: u32,
}

/// `c[m, n] = Σ_k a[m, k] b[n, k]`.
#[derive(Debug, Clone, Copy)]
pub struct MmaCheckCall {
    /// 16-bit floats `[16, k]`.
    pub a: DevicePtr,
    /// 16-bit floats `[16, k]`.
    pub b: DevicePtr,
    /// f32 `[16, 16]`.
    pub c: DevicePtr,
    /// f32 `[16]`: the sum of each row of `c`.
    pub row_sums: DevicePtr,
    /// A multiple of 16.
    pub k: usize,
    /// Values from one row of a tile in LDS to the next: a multiple of 8 from 16 to 136.
    pub stride: usize,
    /// Whether the floats are bfloat16.
    pub is_bhalf: bool,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct MmaCheckArgs {
    a: DevicePtr,
    b: DevicePtr,
    c: DevicePtr,
    row_sums: DevicePtr,
    k: u32,
    stride: u32,
}

impl MmaCheck {
    /// Loads the kernels.
    ///
    /// # Errors
    /// Those of [`Kernels::function`].
    pub fn load(kernels: &Kernels) -> Result<Self, KernelError> {
        let named = |name| kernels.function("gemm/mma_check", name);
        let lanes = kernels.device().properties().wave_size;
        Ok(Self { half: named("mma_half")?, bhalf: named("mma_bhalf")?, lanes })
    }

    /// Enqueues the product.
    ///
    /// # Errors
    /// Those of [`Stream::launch`].
    pub fn run(&self, stream: &Stream, call: &MmaCheckCall) -> Result<(), HipError> {
        debug_assert!(call.k > 0 && call.k.is_multiple_of(MMA_TILE));
        debug_assert!((MMA_TILE..=MAX_STRIDE).contains(&call.stride) && call.stride.is_multiple_of(8));
        let MmaCheckCall { a, b, c, row_sums, k, stride, is_bhalf } = *call;
        let kernel = if is_bhalf { &self.bhalf } else { &self.half };
        let args = MmaCheckArgs { a, b, c, row_sums, k: k as u32, stride: stride as u32 };
        // SAFETY: the arguments are the kernels' struct, and the caller's addresses hold the sizes of the call.
        unsafe { stream.launch(kernel, Dims::line(1, self.lanes), &args) }
    }
}
