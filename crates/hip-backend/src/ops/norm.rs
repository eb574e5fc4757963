//! Norms of rows and of groups in them, also of the sum of two values.

use bytemuck::{Pod, Zeroable};
use rocmforge_program::NormKind;

use super::forms::{FormArgs, FormPtrs, RowKernels, blocks, wave_of};
use super::{Gate, GateCall};
use crate::driver::{DevicePtr, Dims, Function, HipError, Stream};
use crate::library::{KernelError, Kernels};

const MODULE: &str = "norm/norm";
/// The widest group that one wave normalises.
const WAVE_COLS: usize = 512;
const WAVE_BLOCK: usize = 256;

/// The kernels of `norm/norm.hip`.
#[derive(Debug, Clone)]
pub struct Norm {
    rows: RowKernels,
    long: Function,
    groups: Function,
    wave: usize,
    forms: Gate,
}

/// One norm: `y = (x - mean) / sqrt(var + eps) * weight + bias`, without the mean for RMS, over each group of columns.
#[derive(Debug, Clone, Copy)]
pub struct NormCall {
    /// What is divided by.
    pub kind: NormKind,
    /// f32 `[rows, cols]`.
    pub x: DevicePtr,
    /// f32 `[rows, cols]`, added to `x` before; null: nothing. Only for whole rows.
    pub add: DevicePtr,
    /// f32 `[rows, cols]`: where `x + add` goes; null: nowhere. It may be `x` or `add`, and must not be `out.f32`.
    pub sum: DevicePtr,
    /// Factors, f32 `[group]` or `[cols]`; null: none.
    pub weight: DevicePtr,
    /// How many there are.
    pub weight_len: usize,
    /// Summands, f32 `[group]` or `[cols]`; null: none.
    pub bias: DevicePtr,
    /// How many there are.
    pub bias_len: usize,
    /// The result. `f32` may be `x`. Other forms only for whole rows; for rows of more than 16384 columns they need
    /// `f32` as well.
    pub out: FormPtrs,
    /// Rows.
    pub rows: usize,
    /// Columns of a row.
    pub cols: usize,
    /// Columns normalised together; divides `cols`.
    pub group: usize,
    /// Added to the mean square or variance.
    pub eps: f32,
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
struct NormArgs {
    x: DevicePtr,
    add: DevicePtr,
    sum: DevicePtr,
    weight: DevicePtr,
    bias: DevicePtr,
    out: FormArgs,
    groups: u32,
    cols: u32,
    weight_groups: u32,
    bias_groups: u32,
    layer: u32,
    eps: f32,
}

impl Norm {
    /// Loads the kernels.
    ///
    /// # Errors
    /// As [`Kernels::function`].
    pub fn load(kernels: &Kernels) -> Result<Self, KernelError> {
        Ok(Self {
            rows: RowKernels::load(kernels, MODULE, ["norm_rows1", "norm_rows2", "norm_rows4"], 2048)?,
            long: kernels.function(MODULE, "norm_long")?,
            groups: kernels.function(MODULE, "norm_groups")?,
            wave: wave_of(kernels.device().properties()),
            forms: Gate::load(kernels)?,
        })
    }

    /// Enqueues a norm. A row's result does not depend on the other rows.
    ///
    /// # Errors
    /// [`HipError::LengthMismatch`]: groups, weights or forms that do not fit the row; else as [`Stream::launch`].
    pub fn run(&self, stream: &Stream, call: &NormCall) -> Result<(), HipError> {
        if call.rows == 0 {
            return Ok(());
        }
        call.check()?;
        let args = call.args()?;
        let groups = call.rows * (call.cols / call.group);
        let whole = call.group == call.cols;
        let (function, dims) = match self.rows.of(call.group) {
            _ if !whole && call.group <= WAVE_COLS => {
                (&self.groups, Dims::line(blocks(groups, WAVE_BLOCK / self.wave), WAVE_BLOCK as u32))
            }
            Some((function, lanes)) => (function, Dims::line(blocks(groups, 1), lanes)),
            None => (&self.long, Dims::line(blocks(groups, 1), 1024)),
        };
        let long = std::ptr::eq(function, &self.long);
        // SAFETY: the struct is the kernel's; the caller's addresses hold the sizes of the call.
        unsafe { stream.launch(function, dims, &args)? };
        if long && call.out.any_packed() {
            let out = FormPtrs { f32: DevicePtr::NULL, ..call.out };
            self.forms.run(stream, &GateCall::forms(call.out.f32, out, call.rows, call.cols))?;
        }
        Ok(())
    }
}

impl NormCall {
    /// A norm of whole rows without sum, weight and bias; the rest is set by name.
    pub fn of(kind: NormKind, x: DevicePtr, out: FormPtrs, rows: usize, cols: usize, eps: f32) -> Self {
        let none = DevicePtr::NULL;
        Self {
            kind,
            x,
            add: none,
            sum: none,
            weight: none,
            weight_len: 0,
            bias: none,
            bias_len: 0,
            out,
            rows,
            cols,
            group: cols,
            eps,
        }
    }

    fn check(&self) -> Result<(), HipError> {
        let mismatch = |what, expected: usize, found: usize| {
            Err(HipError::LengthMismatch { what, expected: expected as u64, found: found as u64 })
        };
        if self.group == 0 || !self.cols.is_multiple_of(self.group) {
            return mismatch("columns of a normalised group", self.cols, self.group);
        }
        let whole_only = self.out.any_packed() || !self.add.is_null() || self.out.f32.is_null();
        if whole_only && self.group != self.cols {
            return mismatch("columns of a norm with a sum or packed forms", self.cols, self.group);
        }
        for (address, found) in [(self.weight, self.weight_len), (self.bias, self.bias_len)] {
            if !address.is_null() && found != self.group && found != self.cols {
                return mismatch("weights of a norm", self.group, found);
            }
        }
        if self.rows_are_long() && self.out.f32.is_null() {
            return mismatch("columns of a norm without f32 result", 16384, self.cols);
        }
        Ok(())
    }

    fn rows_are_long(&self) -> bool {
        self.group > 16384
    }

    fn args(&self) -> Result<NormArgs, HipError> {
        let per_row = self.cols / self.group;
        // Weights as wide as the row repeat after its groups, others after each.
        let repeat = |len: usize| if len == self.group { 1 } else { per_row as u32 };
        Ok(NormArgs {
            x: self.x,
            add: self.add,
            sum: self.sum,
            weight: self.weight,
            bias: self.bias,
            out: self.out.args(self.group)?,
            groups: (self.rows * per_row) as u32,
            cols: self.group as u32,
            weight_groups: repeat(self.weight_len),
            bias_groups: repeat(self.bias_len),
            layer: u32::from(self.kind == NormKind::Layer),
            eps: self.eps,
        })
    }
}
