//! The row-wise ops of a Program: norms, rotary embeddings, gates, sums, routing.
//!
//! Every function works on whole rows of `[rows, cols]` slices and each row is computed on its own, in one fixed
//! order, so that callers may split rows over threads and batches as they like without changing a bit.
//!
//! Where an op may run in place, its input is an `Option`: `None` means that `out` holds it already.

mod gate;
pub(crate) mod lanes;
pub(crate) mod math;
mod norm;
mod rope;
mod route;

pub use gate::{add, gate, gate_spread, scale, softcap};
pub use lanes::Isa;
pub use norm::{NormParams, norm};
pub use rope::{RopeTable, rope};
pub use route::{RouteScratch, expert_sum, route};

/// Where an op reads and writes: the same place, or two.
///
/// # Panics
/// If the lengths differ.
fn places(x: Option<&[f32]>, out: &mut [f32]) -> (*const f32, *mut f32) {
    let to = out.as_mut_ptr();
    match x {
        Some(x) => {
            assert_eq!(x.len(), out.len(), "input and output are of one size");
            (x.as_ptr(), to)
        }
        None => (to, to),
    }
}
