//! Matrices times a few columns: the products of decoding.
//!
//! Block types meet activations in the q8 form; float types meet f32, and so does every type in exact arithmetic. What a
//! result's bits depend on is the matrix row, the column, and the number of lanes that share a row, which is chosen from
//! the matrices alone: never the number of columns.

use bytemuck::{Pod, Zeroable};
use rocmforge_kernels::type_slug;
use rocmforge_quant::GgmlType;

use crate::driver::{DevicePtr, Dims, Function, HipError, Stream};
use crate::library::{KernelError, Kernels};
use crate::weights::Planes;

/// The most matrices of one launch.
pub const MAX_PARTS: usize = 4;

/// The most columns that one launch takes. More are cut into several launches.
pub const MAX_COLUMNS: usize = 8;

/// Threads of a workgroup.
const THREADS: u32 = 128;

/// Stands for the first workgroup of a part that is not there.
const NO_BLOCK: u32 = u32::MAX;

/// How the lanes of a device are filled: rows for architectures by the start of their names, the first match counts.
///
/// A row of a matrix is shared by 32 lanes, and by more of them as long as fewer than `lanes` threads a compute unit
/// would be at work. A lane has 64 to 128 bytes of weights under way, so these numbers follow from latency times
/// bandwidth: 26 KB a multiprocessor on an H200, 17 KB a compute unit on an MI300X, 8 KB on an RX 7900 XTX, doubled for
/// what is lost at the start and the end of workgroups.
const TUNING: &[(&str, Tuning)] = &[
    ("sm_", Tuning { lanes: 768 }),
    ("gfx9", Tuning { lanes: 512 }),
    ("gfx1", Tuning { lanes: 256 }),
    ("", Tuning { lanes: 256 }),
];

#[derive(Debug, Clone, Copy)]
struct Tuning {
    /// Threads wanted on each compute unit.
    lanes: u32,
}

/// What the kernels of a module are built for; mirrors `Unit` in `kernels/include/rf/quant/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shape {
    /// Weights that a lane takes at a time.
    unit: usize,
    /// Rows that a group of lanes shares from five columns on; up to four columns it is 2.
    many_rows: u32,
    /// The numbers of columns that there are kernels for.
    columns: &'static [usize],
}

/// Rows of a group of lanes for up to four columns.
const FEW_ROWS: u32 = 2;

/// What the columns of x are stored as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActivationForm {
    /// Groups of 32 signed bytes with scale and sum.
    Q8,
    /// f32.
    F32,
}

/// Columns of x.
#[derive(Debug, Clone, Copy)]
pub enum Activations {
    /// The q8 form.
    Q8 {
        /// i8 `[rows, cols]`.
        quants: DevicePtr,
        /// Pairs of f32 (scale, scale * sum) `[rows, cols / 32]`.
        scales: DevicePtr,
    },
    /// f32 `[rows, cols]`.
    F32(DevicePtr),
}

/// One matrix of a launch.
#[derive(Debug, Clone, Copy)]
pub struct MatvecPart {
    /// `[rows, cols]`; with experts `[experts * rows, cols]`.
    pub weight: Planes,
    /// f32 `[rows]` (`[experts * rows]`), or null.
    pub bias: DevicePtr,
    /// f32 `[columns, out_stride]`.
    pub out: DevicePtr,
    /// Rows; with experts those of one expert.
    pub rows: usize,
    /// Values from one row of `out` to the next, at least `rows`.
    pub out_stride: usize,
}

/// `out[t, r] = Σ weight[r, :] x[t, :] + bias[r]` for each part.
#[derive(Debug, Clone, Copy)]
pub struct MatvecCall<'a> {
    /// `[columns, cols]`, in the form that [`Matvec::form`] says.
    pub x: Activations,
    /// Length of a row: whole blocks, and a multiple of 32 but for float types.
    pub cols: usize,
    /// Rows of x; any number, up to [`MAX_COLUMNS`] in one launch.
    pub columns: usize,
    /// One to [`MAX_PARTS`] matrices of the type and of one `cols`.
    pub parts: &'a [MatvecPart],
}

/// `out[p, r] = Σ weight[id[p], r, :] x[p / outs_per_x, :] + bias[id[p], r]` for each part.
#[derive(Debug, Clone, Copy)]
pub struct ExpertCall<'a> {
    /// `[pairs / outs_per_x, cols]`, in the form that [`Matvec::form`] says.
    pub x: Activations,
    /// f32 `[pairs]`: the expert of each row of `out`.
    pub ids: DevicePtr,
    /// Rows of `out`: tokens times the experts of each.
    pub pairs: usize,
    /// Experts of each token.
    pub per_token: usize,
    /// Rows of `out` that share a row of x: `per_token`, or 1.
    pub outs_per_x: usize,
    /// How many experts there are; larger ids are taken for the last one.
    pub experts: usize,
    /// As in [`MatvecCall`].
    pub cols: usize,
    /// One to [`MAX_PARTS`] matrices of the type and of one `cols`.
    pub parts: &'a [MatvecPart],
}

#[repr(C)]
#[derive(Clone, Copy, Default, Pod, Zeroable)]
struct PartArgs {
    weight: Planes,
    bias: DevicePtr,
    out: DevicePtr,
    rows: u32,
    out_stride: u32,
}

/// The kernels' arguments, field for field.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct MatvecArgs {
    x: DevicePtr,
    scales: DevicePtr,
    ids: DevicePtr,
    parts: [PartArgs; MAX_PARTS],
    first_block: [u32; MAX_PARTS],
    cols: u32,
    columns: u32,
    lanes_log2: u32,
    outs_per_x: u32,
    experts: u32,
    pad: u32,
}

/// The kernels of one type of weights.
#[derive(Debug, Clone)]
pub struct Matvec {
    ty: GgmlType,
    form: ActivationForm,
    shape: Shape,
    /// One for each of `shape.columns`.
    columns: Vec<Function>,
    experts: Function,
    /// Rows of any length: float types alone.
    any: Option<Function>,
    /// Threads wanted on the device.
    lanes: usize,
}

impl Matvec {
    /// Loads the kernels that decoding uses for a type of weights: in the q8 form for block types, in f32 for floats.
    ///
    /// # Errors
    /// Those of [`Kernels::function`]; integers and f64 have no module.
    pub fn load(kernels: &Kernels, ty: GgmlType) -> Result<Self, KernelError> {
        if !ty.is_quantized() {
            return Self::load_exact(kernels, ty);
        }
        let module = format!("matvec/{}", type_slug(ty));
        let names = |columns: &usize| kernels.function(&module, &format!("matvec_{columns}"));
        let shape = bytes_shape(ty);
        Ok(Self {
            ty,
            form: ActivationForm::Q8,
            shape,
            columns: shape.columns.iter().map(names).collect::<Result<_, _>>()?,
            experts: kernels.function(&module, "matvec_experts")?,
            any: None,
            lanes: wanted_lanes(kernels),
        })
    }

    /// Loads the kernels for f32 activations.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_exact(kernels: &Kernels, ty: GgmlType) -> Result<Self, KernelError> {
        let family = if ty.is_quantized() { "exact" } else { "matvec" };
        let module = format!("{family}/{}", type_slug(ty));
        let names = |columns: &usize| kernels.function(&module, &format!("exact_{columns}"));
        let shape = exact_shape(ty);
        Ok(Self {
            ty,
            form: ActivationForm::F32,
            shape,
            columns: shape.columns.iter().map(names).collect::<Result<_, _>>()?,
            experts: kernels.function(&module, "exact_experts")?,
            any: if ty.is_quantized() { None } else { Some(kernels.function(&module, "exact_any")?) },
            lanes: wanted_lanes(kernels),
        })
    }

    /// What the activations are stored as.
    pub fn form(&self) -> ActivationForm {
        self.form
    }

    /// Enqueues the product.
    ///
    /// # Errors
    /// Those of [`Stream::launch`].
    pub fn run(&self, stream: &Stream, call: &MatvecCall<'_>) -> Result<(), HipError> {
        if let Some(any) = self.any.as_ref().filter(|_| !call.cols.is_multiple_of(self.shape.unit)) {
            return self.run_any(stream, any, call);
        }
        let most = self.shape.columns.last().copied().unwrap_or(1);
        for first in (0..call.columns).step_by(most) {
            self.run_columns(stream, call, first, most.min(call.columns - first))?;
        }
        Ok(())
    }

    /// `columns` of the columns, at most as many as the largest kernel takes.
    fn run_columns(
        &self,
        stream: &Stream,
        call: &MatvecCall<'_>,
        first: usize,
        columns: usize,
    ) -> Result<(), HipError> {
        let widths = self.shape.columns;
        let index = widths.iter().position(|&width| width >= columns).unwrap_or(widths.len() - 1);
        let rows = if widths[index] <= 4 { FEW_ROWS } else { self.shape.many_rows };
        let lanes = self.lanes_log2(call.parts, call.cols / self.shape.unit, 1);
        let x = call.x.from(first, call.cols);
        let (mut args, blocks) = self.args(x, call.cols, call.parts, lanes, rows);
        args.columns = columns as u32;
        for (part, given) in args.parts.iter_mut().zip(call.parts) {
            part.out = given.out.add(first * given.out_stride * size_of::<f32>());
        }
        launch(stream, &self.columns[index], [blocks, 1, 1], &args)
    }

    /// Rows that are no whole loads, element by element and column by column.
    fn run_any(&self, stream: &Stream, kernel: &Function, call: &MatvecCall<'_>) -> Result<(), HipError> {
        if call.columns == 0 {
            return Ok(());
        }
        let lanes = self.lanes_log2(call.parts, call.cols, 1);
        let (args, blocks) = self.args(call.x, call.cols, call.parts, lanes, FEW_ROWS);
        launch(stream, kernel, [blocks, call.columns as u32, 1], &args)
    }

    /// Enqueues the products of chosen experts.
    ///
    /// # Errors
    /// Those of [`Stream::launch`].
    pub fn run_experts(&self, stream: &Stream, call: &ExpertCall<'_>) -> Result<(), HipError> {
        debug_assert!(call.outs_per_x > 0 && call.experts > 0);
        if call.pairs == 0 {
            return Ok(());
        }
        let whole = call.cols.is_multiple_of(self.shape.unit);
        let (kernel, unit) = match &self.any {
            Some(any) if !whole => (any, 1),
            _ => (&self.experts, self.shape.unit),
        };
        let lanes = self.lanes_log2(call.parts, call.cols / unit, call.per_token);
        let (mut args, blocks) = self.args(call.x, call.cols, call.parts, lanes, FEW_ROWS);
        args.ids = call.ids;
        args.outs_per_x = call.outs_per_x as u32;
        args.experts = call.experts as u32;
        launch(stream, kernel, [blocks, call.pairs as u32, 1], &args)
    }

    /// How many lanes share a row, as a power of two: enough to fill the device, if each has something to do. `times`
    /// is how often the rows are there at once.
    fn lanes_log2(&self, parts: &[MatvecPart], units: usize, times: usize) -> u32 {
        let groups = parts.iter().map(|part| part.rows).sum::<usize>().div_ceil(FEW_ROWS as usize) * times;
        let mut log2 = 5;
        while 1 << log2 < THREADS && groups << log2 < self.lanes && units >= 2 << log2 {
            log2 += 1;
        }
        log2
    }

    /// The arguments for one column without experts, and the workgroups of all parts.
    fn args(&self, x: Activations, cols: usize, parts: &[MatvecPart], lanes_log2: u32, rows: u32) -> (MatvecArgs, u32) {
        debug_assert!((1..=MAX_PARTS).contains(&parts.len()));
        debug_assert!(cols > 0 && cols.is_multiple_of(self.ty.block_elems()));
        debug_assert_eq!(x.form(), self.form);
        let block_rows = (THREADS >> lanes_log2) * rows;
        let (x, scales) = x.pointers();
        let mut args = MatvecArgs {
            x,
            scales,
            ids: DevicePtr::NULL,
            parts: [PartArgs::default(); MAX_PARTS],
            first_block: [NO_BLOCK; MAX_PARTS],
            cols: cols as u32,
            columns: 1,
            lanes_log2,
            outs_per_x: 1,
            experts: 1,
            pad: 0,
        };
        let mut blocks = 0;
        for (i, part) in parts.iter().enumerate() {
            debug_assert!(part.rows > 0 && part.out_stride >= part.rows);
            args.first_block[i] = blocks;
            args.parts[i] = PartArgs {
                weight: part.weight,
                bias: part.bias,
                out: part.out,
                rows: part.rows as u32,
                out_stride: part.out_stride as u32,
            };
            blocks += (part.rows as u32).div_ceil(block_rows);
        }
        (args, blocks)
    }
}

fn launch(stream: &Stream, kernel: &Function, grid: [u32; 3], args: &MatvecArgs) -> Result<(), HipError> {
    // SAFETY: the arguments are the kernels' struct; they read the planes of each part up to its rows, `columns` rows
    // of x (or those the pairs belong to) and the ids, and write `columns` (or pairs) rows of each `out`, all of which
    // the caller says lie in live buffers.
    unsafe { stream.launch(kernel, Dims { grid, threads: THREADS, lds: 0 }, args) }
}

impl Activations {
    fn form(self) -> ActivationForm {
        match self {
            Self::Q8 { .. } => ActivationForm::Q8,
            Self::F32(_) => ActivationForm::F32,
        }
    }

    /// From row `row` on.
    fn from(self, row: usize, cols: usize) -> Self {
        match self {
            Self::Q8 { quants, scales } => Self::Q8 {
                quants: quants.add(row * cols),
                scales: scales.add(row * (cols / 32) * size_of::<[f32; 2]>()),
            },
            Self::F32(x) => Self::F32(x.add(row * cols * size_of::<f32>())),
        }
    }

    /// Values and scales.
    fn pointers(self) -> (DevicePtr, DevicePtr) {
        match self {
            Self::Q8 { quants, scales } => (quants, scales),
            Self::F32(x) => (x, DevicePtr::NULL),
        }
    }
}

/// Threads that the device is to have at work.
fn wanted_lanes(kernels: &Kernels) -> usize {
    let properties = kernels.device().properties();
    let row = TUNING.iter().find(|(arch, _)| properties.arch.starts_with(arch));
    row.map_or(256, |(_, tuning)| tuning.lanes) as usize * properties.compute_units as usize
}

fn bytes_shape(ty: GgmlType) -> Shape {
    use GgmlType::{Q2_K, Q3_K, Q6_K, Q8_0, TQ2_0};
    let (unit, many_rows) = match ty {
        Q8_0 => (16, 4),
        Q2_K | Q3_K | Q6_K | TQ2_0 => (64, 2),
        _ => (32, 4),
    };
    Shape { unit, many_rows, columns: &[1, 2, 3, 4, 5, 6, 7, 8] }
}

fn exact_shape(ty: GgmlType) -> Shape {
    match ty {
        GgmlType::F32 => Shape { unit: 4, many_rows: 4, columns: &[1, 2, 4, 8] },
        GgmlType::F16 | GgmlType::BF16 => Shape { unit: 8, many_rows: 4, columns: &[1, 2, 4, 8] },
        _ => Shape { unit: 32, many_rows: FEW_ROWS, columns: &[1, 2, 4] },
    }
}
