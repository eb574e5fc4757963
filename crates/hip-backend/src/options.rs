//! What a caller decides about a device.

use crate::driver::poison_by_default;
use crate::library::KernelOptions;

/// Arithmetic of matrix products and attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// Inputs in 8 or 16 bits, sums in f32: what the hardware is fast at.
    #[default]
    Fast,
    /// Everything in f32. Slow; for checking the other.
    Exact,
}

/// How a [`HipBackend`](crate::HipBackend) uses its device.
#[derive(Debug, Clone)]
pub struct HipOptions {
    /// Number of the device; `None`: the one with the most memory, those with memory of their own first.
    pub ordinal: Option<u32>,
    /// Share of the memory that is free at the start which may be used.
    pub memory_fraction: f64,
    /// Arithmetic.
    pub precision: Precision,
    /// Whether steps that only decode are recorded and replayed as graphs.
    pub graphs: bool,
    /// Whether the time of each op is taken; without graphs then.
    pub profile: bool,
    /// Whether memory of steps is filled with NaN before each, fresh memory too, and every op's result looked through:
    /// a read of what was never written is an error that names the op. Slow, without graphs.
    pub poison: bool,
    /// Where kernels come from.
    pub kernels: KernelOptions,
}

impl Default for HipOptions {
    fn default() -> Self {
        Self {
            ordinal: None,
            memory_fraction: 0.9,
            precision: Precision::default(),
            graphs: true,
            profile: false,
            poison: poison_by_default(),
            kernels: KernelOptions::default(),
        }
    }
}
