//! Gates, forms, sums, factors, caps, copies, chosen rows, and sums over experts.

use bytemuck::{Pod, Zeroable};
use rocmforge_program::Activation;

use super::forms::{FormArgs, FormPtrs, RowKernels, blocks};
use crate::driver::{DevicePtr, Dims, Function, HipError, Stream};
use crate::library::{KernelError, Kernels};

const GATE: &str = "elementwise/gate";
const MAPS: &str = "elementwise/maps";
const BLOCK: u32 = 256;
/// Numbers of a workgroup: four a lane.
const EACH: usize = 4 * BLOCK as usize;
/// In place of an activation: the number itself.
const IDENTITY: u32 = 7;

/// The kernels of `elementwise/gate.hip`.
#[derive(Debug, Clone)]
pub struct Gate {
    flat: Function,
    rows: RowKernels,
    long: Function,
}

/// `out = activation(gate) * up`, or `activation(gate)` alone.
#[derive(Debug, Clone, Copy)]
pub struct GateCall {
    /// f32 `[rows, cols]`, or `[rows, 1]` with `spread`.
    pub gate: DevicePtr,
    /// Whether `gate` has one column, which spreads over the row.
    pub spread: bool,
    /// f32 `[rows, cols]`; null: none.
    pub up: DevicePtr,
    /// The function of the gate; `None` is the number itself.
    pub activation: Option<Activation>,
    /// The result. `f32` may be `up`, or `gate` where that does not spread.
    pub out: FormPtrs,
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub cols: usize,
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
struct GateArgs {
    gate: DevicePtr,
    up: DevicePtr,
    out: FormArgs,
    count: u64,
    activation: u32,
    spread: u32,
    alpha: f32,
    limit: f32,
}

impl GateCall {
    /// Puts rows of f32 `[rows, cols]` into other forms.
    pub fn forms(x: DevicePtr, out: FormPtrs, rows: usize, cols: usize) -> Self {
        Self { gate: x, spread: false, up: DevicePtr::NULL, activation: None, out, rows, cols }
    }

    fn args(&self) -> Result<GateArgs, HipError> {
        let (activation, alpha, limit) = match self.activation {
            Some(Activation::Silu) => (0, 0.0, 0.0),
            Some(Activation::Gelu) => (1, 0.0, 0.0),
            Some(Activation::GeluErf) => (2, 0.0, 0.0),
            Some(Activation::Relu) => (3, 0.0, 0.0),
            Some(Activation::ReluSquared) => (4, 0.0, 0.0),
            Some(Activation::Sigmoid) => (5, 0.0, 0.0),
            Some(Activation::SwigluClamped { alpha, limit }) => (6, alpha, limit),
            None => (IDENTITY, 0.0, 0.0),
        };
        Ok(GateArgs {
            gate: self.gate,
            up: self.up,
            out: self.out.args(self.cols)?,
            count: (self.rows * self.cols) as u64,
            activation,
            spread: self.spread.into(),
            alpha,
            limit,
        })
    }
}

impl Gate {
    /// Loads the kernels.
    ///
    /// # Errors
    /// As [`Kernels::function`].
    pub fn load(kernels: &Kernels) -> Result<Self, KernelError> {
        Ok(Self {
            flat: kernels.function(GATE, "gate_flat")?,
            rows: RowKernels::load(kernels, GATE, ["gate_rows1", "gate_rows2", "gate_rows4"], 4096)?,
            long: kernels.function(GATE, "gate_long")?,
        })
    }

    /// Enqueues a gate. An element does not depend on its neighbours but for the scales of its group and row.
    ///
    /// # Errors
    /// [`HipError::LengthMismatch`]: the 8-bit form of rows that are no multiple of 32; else as [`Stream::launch`].
    pub fn run(&self, stream: &Stream, call: &GateCall) -> Result<(), HipError> {
        if call.rows == 0 || call.cols == 0 {
            return Ok(());
        }
        let args = call.args()?;
        let rows = blocks(call.rows, 1);
        let (function, dims) = match self.rows.of(call.cols) {
            _ if !call.out.any_half() => (&self.flat, Dims::line(blocks(call.rows * call.cols, EACH), BLOCK)),
            Some((function, lanes)) => (function, Dims::line(rows, lanes)),
            None => (&self.long, Dims::line(rows, 1024)),
        };
        // SAFETY: the struct is the kernel's; the caller's addresses hold the sizes of the call.
        unsafe { stream.launch(function, dims, &args) }
    }
}

/// The kernels of `elementwise/maps.hip`. Arrays are f32 and begin at multiples of 16 bytes.
#[derive(Debug, Clone)]
pub struct Maps {
    add: Function,
    scale: Function,
    softcap: Function,
    copy: Function,
    select: Function,
    expert_sum: Function,
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
struct MapArgs {
    a: DevicePtr,
    b: DevicePtr,
    out: DevicePtr,
    count: u64,
    factor: f32,
    unused: u32,
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
struct SelectArgs {
    x: DevicePtr,
    wanted: DevicePtr,
    out: DevicePtr,
    cols: u32,
    chunks: u32,
}

/// `out[t] = Σ_i weights[t, i] x[t * chosen + i]`, plus `residual[t]`.
#[derive(Debug, Clone, Copy)]
pub struct ExpertSumCall {
    /// f32 `[rows * chosen, cols]`.
    pub x: DevicePtr,
    /// f32 `[rows, chosen]`.
    pub weights: DevicePtr,
    /// f32 `[rows, cols]`; null: none.
    pub residual: DevicePtr,
    /// f32 `[rows, cols]`; may be `residual`.
    pub out: DevicePtr,
    /// Tokens.
    pub rows: usize,
    /// Columns.
    pub cols: usize,
    /// Summands a token.
    pub chosen: usize,
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
struct ExpertSumArgs {
    x: DevicePtr,
    weights: DevicePtr,
    residual: DevicePtr,
    out: DevicePtr,
    cols: u32,
    chosen: u32,
    chunks: u32,
    unused: u32,
}

impl Maps {
    /// Loads the kernels.
    ///
    /// # Errors
    /// As [`Kernels::function`].
    pub fn load(kernels: &Kernels) -> Result<Self, KernelError> {
        let named = |name| kernels.function(MAPS, name);
        Ok(Self {
            add: named("add_f32")?,
            scale: named("scale_f32")?,
            softcap: named("softcap_f32")?,
            copy: named("copy_f32")?,
            select: named("select_rows")?,
            expert_sum: named("expert_sum")?,
        })
    }

    /// `out = a + b` over `count` numbers; `out` may be `a` or `b`.
    ///
    /// # Errors
    /// As [`Stream::launch`], and so for all below.
    pub fn add(
        &self,
        stream: &Stream,
        a: DevicePtr,
        b: DevicePtr,
        out: DevicePtr,
        count: usize,
    ) -> Result<(), HipError> {
        map(stream, &self.add, MapArgs { a, b, out, count: count as u64, factor: 0.0, unused: 0 })
    }

    /// `out = factor * x`; `out` may be `x`.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn scale(
        &self,
        stream: &Stream,
        x: DevicePtr,
        factor: f32,
        out: DevicePtr,
        count: usize,
    ) -> Result<(), HipError> {
        map(stream, &self.scale, MapArgs { a: x, b: DevicePtr::NULL, out, count: count as u64, factor, unused: 0 })
    }

    /// `out = cap * tanh(x / cap)`; `out` may be `x`.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn softcap(
        &self,
        stream: &Stream,
        x: DevicePtr,
        cap: f32,
        out: DevicePtr,
        count: usize,
    ) -> Result<(), HipError> {
        let args = MapArgs { a: x, b: DevicePtr::NULL, out, count: count as u64, factor: cap, unused: 0 };
        map(stream, &self.softcap, args)
    }

    /// `out = x`; they do not overlap.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn copy(&self, stream: &Stream, x: DevicePtr, out: DevicePtr, count: usize) -> Result<(), HipError> {
        map(stream, &self.copy, MapArgs { a: x, b: DevicePtr::NULL, out, count: count as u64, factor: 0.0, unused: 0 })
    }

    /// `out[s] = x[wanted[s]]`: `wanted` is u32 `[rows]`, each below the rows of `x` `[.., cols]`; `out` is
    /// `[rows, cols]`.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn select_rows(
        &self,
        stream: &Stream,
        x: DevicePtr,
        wanted: DevicePtr,
        out: DevicePtr,
        rows: usize,
        cols: usize,
    ) -> Result<(), HipError> {
        if rows == 0 || cols == 0 {
            return Ok(());
        }
        let chunks = blocks(cols, EACH);
        let args = SelectArgs { x, wanted, out, cols: cols as u32, chunks };
        // SAFETY: the struct is the kernel's; the caller's addresses hold the sizes of the call.
        unsafe { stream.launch(&self.select, Dims::line(blocks(rows * chunks as usize, 1), BLOCK), &args) }
    }

    /// Enqueues a sum over experts.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn expert_sum(&self, stream: &Stream, call: &ExpertSumCall) -> Result<(), HipError> {
        if call.rows == 0 || call.cols == 0 {
            return Ok(());
        }
        let chunks = blocks(call.cols, EACH);
        let args = ExpertSumArgs {
            x: call.x,
            weights: call.weights,
            residual: call.residual,
            out: call.out,
            cols: call.cols as u32,
            chosen: call.chosen as u32,
            chunks,
            unused: 0,
        };
        // SAFETY: as in `select_rows`.
        unsafe { stream.launch(&self.expert_sum, Dims::line(blocks(call.rows * chunks as usize, 1), BLOCK), &args) }
    }
}

fn map(stream: &Stream, function: &Function, args: MapArgs) -> Result<(), HipError> {
    if args.count == 0 {
        return Ok(());
    }
    // SAFETY: the struct is the kernel's; the caller's addresses hold the sizes of the call.
    unsafe { stream.launch(function, Dims::line(blocks(args.count as usize, EACH), BLOCK), &args) }
}
