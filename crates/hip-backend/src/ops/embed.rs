//! Rows of a table by token.

use bytemuck::{Pod, Zeroable};
use rocmforge_kernels::type_slug;
use rocmforge_quant::GgmlType;

use crate::driver::{DevicePtr, Dims, Function, HipError, Stream};
use crate::library::{KernelError, Kernels};
use crate::weights::Planes;

const THREADS: u32 = 128;

/// The kernel `embed` for one type of table.
#[derive(Debug, Clone)]
pub struct Embed {
    ty: GgmlType,
    kernel: Function,
}

/// `out[t, :] = scale * table[tokens[t], :]`.
#[derive(Debug, Clone, Copy)]
pub struct EmbedCall {
    /// The table, `[rows, cols]`.
    pub table: Planes,
    /// Its rows; larger tokens are taken for the last one.
    pub rows: usize,
    /// Its columns, whole blocks.
    pub cols: usize,
    /// u32 `[count]`.
    pub tokens: DevicePtr,
    /// Number of tokens.
    pub count: usize,
    /// Factor of every value.
    pub scale: f32,
    /// f32 `[count, cols]`.
    pub out: DevicePtr,
}

/// The kernel's arguments, field for field.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct EmbedArgs {
    table: Planes,
    tokens: DevicePtr,
    out: DevicePtr,
    cols: u32,
    rows: u32,
    scale: f32,
    pad: u32,
}

impl Embed {
    /// Loads the kernel for tables of a type.
    ///
    /// # Errors
    /// Those of [`Kernels::function`]; integers and f64 have no module.
    pub fn load(kernels: &Kernels, ty: GgmlType) -> Result<Self, KernelError> {
        Ok(Self { ty, kernel: kernels.function(&format!("embed/{}", type_slug(ty)), "embed")? })
    }

    /// Enqueues the look-up.
    ///
    /// # Errors
    /// Those of [`Stream::launch`].
    pub fn run(&self, stream: &Stream, call: &EmbedCall) -> Result<(), HipError> {
        debug_assert!(call.rows > 0 && call.cols.is_multiple_of(self.ty.block_elems()));
        if call.count == 0 {
            return Ok(());
        }
        let args = EmbedArgs {
            table: call.table,
            tokens: call.tokens,
            out: call.out,
            cols: call.cols as u32,
            rows: call.rows as u32,
            scale: call.scale,
            pad: 0,
        };
        let pieces = if self.ty.is_quantized() { args.cols / 32 } else { args.cols };
        let dims = Dims { grid: [pieces.div_ceil(THREADS), call.count as u32, 1], threads: THREADS, lds: 0 };
        // SAFETY: the arguments are the kernel's struct; it reads `count` tokens and rows of the table below `rows`,
        // and writes `count` rows of `out`, which the caller says lie in live buffers.
        unsafe { stream.launch(&self.kernel, dims, &args) }
    }
}
