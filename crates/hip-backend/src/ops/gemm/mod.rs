//! Matrices times many rows: the products of prefill and of large batches.
//!
//! Quantized weights and F16 meet halves on the matrix units, BF16 meets bfloat16; sums are f32. F32 weights, and every
//! type in exact arithmetic, are multiplied in f32.

mod args;
mod groups;
mod tiles;

use rocmforge_kernels::type_slug;
use rocmforge_quant::GgmlType;

use crate::driver::{DevicePtr, Dims, Function, HipError, Stream};
use crate::library::{KernelError, Kernels};
use crate::weights::Planes;

use super::matvec::MAX_PARTS;
use args::{GemmArgs, PartArgs, ReduceArgs, ReducePart};
use tiles::{Cut, Tiles};

pub use groups::{GroupLayout, GroupPairs, MAX_EXPERTS};

/// Threads of a workgroup that adds up splits.
const REDUCE_THREADS: u32 = 256;

/// What the rows of x are stored as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GemmForm {
    /// Halves and a power of two for each row.
    Half,
    /// bfloat16.
    Bhalf,
    /// f32, for arithmetic in f32.
    F32,
}

impl GemmForm {
    /// The form for matrices of a type with rows of `k` values. Float types take the matrix units if rows are whole
    /// 16-byte vectors.
    pub fn of(ty: GgmlType, k: usize) -> Self {
        match ty {
            GgmlType::F16 if k.is_multiple_of(8) => Self::Half,
            GgmlType::BF16 if k.is_multiple_of(8) => Self::Bhalf,
            GgmlType::F16 | GgmlType::BF16 | GgmlType::F32 => Self::F32,
            _ => Self::Half,
        }
    }
}

/// Rows of x.
#[derive(Debug, Clone, Copy)]
pub enum GemmInput {
    /// The half form.
    Half {
        /// Halves `[tokens, k_pad]`, where `k_pad` is `k` rounded up to 32; zero behind `k`.
        values: DevicePtr,
        /// f32 `[tokens]`: the factor of each row.
        scales: DevicePtr,
    },
    /// bfloat16 `[tokens, k_pad]`, zero behind `k`.
    Bhalf(DevicePtr),
    /// f32 `[tokens, k]`.
    F32(DevicePtr),
}

/// One matrix of a launch.
#[derive(Debug, Clone, Copy)]
pub struct GemmPart {
    /// `[rows, k]`; with experts `[experts * rows, k]`.
    pub weight: Planes,
    /// f32 `[rows]` (`[experts * rows]`), or null.
    pub bias: DevicePtr,
    /// f32 `[tokens, out_stride]`.
    pub out: DevicePtr,
    /// Rows; with experts those of one expert.
    pub rows: usize,
    /// Values from one row of `out` to the next, at least `rows`.
    pub out_stride: usize,
}

/// `out[t, r] = Σ weight[r, :] x[t, :] + bias[r]` for each part.
#[derive(Debug, Clone, Copy)]
pub struct GemmCall<'a> {
    /// `[tokens, k]`, in the form that the kernels were loaded for.
    pub x: GemmInput,
    /// Rows of x.
    pub tokens: usize,
    /// Length of a row: whole blocks of the type.
    pub k: usize,
    /// One to [`MAX_PARTS`] matrices of the type and of one `k`.
    pub parts: &'a [GemmPart],
    /// [`Gemm::scratch_bytes`], 16-byte aligned.
    pub scratch: DevicePtr,
}

/// `out[p, r] = Σ weight[id[p], r, :] x[p / outs_per_x, :] + bias[id[p], r]` for each part.
#[derive(Debug, Clone, Copy)]
pub struct ExpertGemmCall<'a> {
    /// `[pairs / outs_per_x, k]`, in the form that the kernels were loaded for.
    pub x: GemmInput,
    /// Rows of `out` that share a row of x: the experts of a token, or 1.
    pub outs_per_x: usize,
    /// As in [`GemmCall`].
    pub k: usize,
    /// One to [`MAX_PARTS`] matrices of the type and of one `k`.
    pub parts: &'a [GemmPart],
    /// How the pairs are cut.
    pub layout: GroupLayout,
    /// What [`GroupPairs::run`] wrote for this layout.
    pub groups: DevicePtr,
}

/// The kernels of one type of weights.
#[derive(Debug, Clone)]
pub struct Gemm {
    ty: GgmlType,
    form: GemmForm,
    tiles: Tiles,
    /// One for each tile.
    kernels: Vec<Function>,
    reduce: Function,
}

impl Gemm {
    /// Loads the kernels for a type of weights and a form of x: [`GemmForm::of`], or [`GemmForm::F32`] for exact
    /// arithmetic. F32 weights have no other form, and BF16 weights no halves.
    ///
    /// # Errors
    /// Those of [`Kernels::function`]; integers and f64 have no module.
    pub fn load(kernels: &Kernels, ty: GgmlType, form: GemmForm) -> Result<Self, KernelError> {
        debug_assert!(form == GemmForm::F32 || form == GemmForm::of(ty, 32));
        let is_exact = form == GemmForm::F32;
        let family = if is_exact && ty != GgmlType::F32 { "gemm_exact" } else { "gemm" };
        let module = format!("{family}/{}", type_slug(ty));
        let tiles = Tiles::of(kernels.device().properties(), is_exact);
        let functions =
            tiles.list.iter().map(|tile| kernels.function(&module, tile.kernel)).collect::<Result<_, _>>()?;
        Ok(Self { ty, form, tiles, kernels: functions, reduce: kernels.function("gemm/reduce", "reduce_splits")? })
    }

    /// What the rows of x are stored as.
    pub fn form(&self) -> GemmForm {
        self.form
    }

    /// Names of the kernels that a product chooses from, those of low tiles first.
    pub fn kernel_names(&self) -> impl Iterator<Item = &'static str> {
        self.tiles.list.iter().map(|tile| tile.kernel)
    }

    /// The same with one kernel alone: to measure it, and to test it on what it would not be chosen for.
    #[must_use]
    pub fn only(&self, kernel: &str) -> Option<Self> {
        let index = self.tiles.list.iter().position(|tile| tile.kernel == kernel)?;
        let tiles = self.tiles.only(index);
        Some(Self { tiles, kernels: vec![self.kernels[index].clone()], ..self.clone() })
    }

    /// Bytes that a product of up to `tokens` rows with matrices of `rows` rows each needs besides its operands: for
    /// partial sums, where few workgroups would leave the device idle.
    pub fn scratch_bytes(&self, tokens: usize, k: usize, rows: &[usize]) -> usize {
        let bytes = |tokens: usize| {
            let cut = self.tiles.cut(tokens, k, rows.iter().copied());
            if cut.splits == 1 { 0 } else { cut.splits * tokens * rows.iter().sum::<usize>() * size_of::<f32>() }
        };
        // Up to the next multiple of the lowest tile the cut stays the same, and what it needs grows.
        let step = self.tiles.list[0].m;
        (0..tokens).step_by(step).map(|first| bytes((first + step).min(tokens))).max().unwrap_or(0)
    }

    /// Enqueues the product.
    ///
    /// # Errors
    /// Those of [`Stream::launch`].
    pub fn run(&self, stream: &Stream, call: &GemmCall<'_>) -> Result<(), HipError> {
        if call.tokens == 0 {
            return Ok(());
        }
        let cut = self.tiles.cut(call.tokens, call.k, call.parts.iter().map(|part| part.rows));
        let mut args = self.args(call.x, call.k, call.parts, &cut);
        args.tokens = call.tokens as u32;
        if cut.splits == 1 {
            return self.launch(stream, &cut, &args);
        }
        debug_assert!(!call.scratch.is_null());
        let mut partial = call.scratch;
        for (args, part) in args.parts.iter_mut().zip(call.parts) {
            args.partial = partial;
            partial = partial.add(cut.splits * call.tokens * part.rows * size_of::<f32>());
        }
        self.launch(stream, &cut, &args)?;
        self.add_splits(stream, &cut, &args)
    }

    /// Enqueues the products of chosen experts.
    ///
    /// # Errors
    /// Those of [`Stream::launch`].
    pub fn run_experts(&self, stream: &Stream, call: &ExpertGemmCall<'_>) -> Result<(), HipError> {
        debug_assert!(call.outs_per_x > 0);
        let row_tiles = call.layout.max_tiles();
        if row_tiles == 0 {
            return Ok(());
        }
        let tile = self.tiles.for_group(call.layout.tile_rows());
        debug_assert!(self.tiles.list[tile].m >= call.layout.tile_rows());
        let columns = call.parts.iter().map(|part| part.rows.div_ceil(self.tiles.list[tile].n)).sum();
        let split_chunks = call.k.div_ceil(32).next_multiple_of(self.tiles.list[tile].chunks);
        let cut = Cut { tile, row_tiles, columns, splits: 1, split_chunks };
        let mut args = self.args(call.x, call.k, call.parts, &cut);
        args.tokens = call.layout.pairs() as u32;
        args.tiles = call.groups;
        args.order = call.layout.order(call.groups);
        args.x_share = call.outs_per_x as u32;
        // All tiles of one column run together: those of one expert read the same matrix, and empty ones end at once.
        args.together = row_tiles as u32;
        self.launch(stream, &cut, &args)
    }

    /// The arguments of a dense product without splits; its rows are left to the caller.
    fn args(&self, x: GemmInput, k: usize, parts: &[GemmPart], cut: &Cut) -> GemmArgs {
        debug_assert!((1..=MAX_PARTS).contains(&parts.len()));
        debug_assert!(k > 0 && k.is_multiple_of(self.ty.block_elems()));
        debug_assert!(self.form == GemmForm::F32 || GemmForm::of(self.ty, k) == self.form);
        debug_assert_eq!(x.form(), self.form);
        let (x, scale) = x.pointers();
        let mut args = GemmArgs {
            parts: [PartArgs::default(); MAX_PARTS],
            x,
            scale,
            tiles: DevicePtr::NULL,
            order: DevicePtr::NULL,
            tokens: 0,
            k: k as u32,
            k_pad: k.next_multiple_of(32) as u32,
            part_count: parts.len() as u32,
            row_tiles: cut.row_tiles as u32,
            columns: cut.columns as u32,
            together: self.tiles.together(cut.tile) as u32,
            dies: self.tiles.dies as u32,
            x_share: 1,
            split_chunks: cut.split_chunks as u32,
        };
        let mut first_column = 0;
        for (args, part) in args.parts.iter_mut().zip(parts) {
            debug_assert!(part.rows > 0 && part.out_stride >= part.rows);
            *args = PartArgs {
                weight: part.weight,
                bias: part.bias,
                out: part.out,
                partial: DevicePtr::NULL,
                rows: part.rows as u32,
                out_stride: part.out_stride as u32,
                first_column,
                pad: 0,
            };
            first_column += part.rows.div_ceil(self.tiles.list[cut.tile].n) as u32;
        }
        args
    }

    fn launch(&self, stream: &Stream, cut: &Cut, args: &GemmArgs) -> Result<(), HipError> {
        let threads = self.tiles.list[cut.tile].threads(self.tiles.wave_size);
        let grid = [args.row_tiles * args.columns, cut.splits as u32, 1];
        // SAFETY: the arguments are the kernels' struct; they read the planes of each part up to its rows (of each
        // expert), its bias, the rows of x, and write `tokens` rows of each `out` or of partial sums, all of which the
        // caller says lie in live buffers. The tiles of experts are those that the sorting kernel wrote for them.
        unsafe { stream.launch(&self.kernels[cut.tile], Dims { grid, threads, lds: 0 }, args) }
    }

    /// Adds what the splits have left.
    fn add_splits(&self, stream: &Stream, cut: &Cut, args: &GemmArgs) -> Result<(), HipError> {
        let parts = args.parts.map(|part| ReducePart {
            partial: part.partial,
            bias: part.bias,
            out: part.out,
            rows: part.rows,
            out_stride: part.out_stride,
        });
        let rows = args.parts.iter().map(|part| part.rows).max().unwrap_or(0);
        let grid = [rows.div_ceil(REDUCE_THREADS), args.tokens, args.part_count];
        let args = ReduceArgs { parts, splits: cut.splits as u32, tokens: args.tokens };
        // SAFETY: the arguments are the kernel's struct; it reads the partial sums that the product before it on this
        // stream has written, and writes `tokens` rows of each `out`.
        unsafe { stream.launch(&self.reduce, Dims { grid, threads: REDUCE_THREADS, lds: 0 }, &args) }
    }
}

impl GemmInput {
    fn form(self) -> GemmForm {
        match self {
            Self::Half { .. } => GemmForm::Half,
            Self::Bhalf(_) => GemmForm::Bhalf,
            Self::F32(_) => GemmForm::F32,
        }
    }

    /// Values and scales.
    fn pointers(self) -> (DevicePtr, DevicePtr) {
        match self {
            Self::Half { values, scales } => (values, scales),
            Self::Bhalf(x) | Self::F32(x) => (x, DevicePtr::NULL),
        }
    }
}
