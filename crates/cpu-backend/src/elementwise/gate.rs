//! Activations, sums, factors and caps: element by element.

use rocmforge_program::Activation;

use super::lanes::{Isa, Kernel, LANES, Lanes};
use super::math::{normal_cdf, sigmoid, tanh};
use super::places;

/// `out = activation(gate) * up`, or `activation(gate)` alone; without `gate`, `out` in place.
///
/// Errors relative to f64 are below 1e-6 where the result is a normal number; for `Gelu` 3e-6 below -1 and 2e-5 below
/// -3, where its cubic argument magnifies rounding and the result is under 0.005.
///
/// # Panics
/// If the lengths differ.
pub fn gate(isa: Isa, activation: Activation, gate: Option<&[f32]>, up: Option<&[f32]>, out: &mut [f32]) {
    match up {
        Some(_) => each(isa, Gated(activation), gate, up, out),
        None => each(isa, Alone(activation), gate, None, out),
    }
}

/// [`gate`] with one gate a row, `[rows]`, that spreads over the row: `up` and `out` are `[rows, cols]`.
///
/// # Panics
/// If the lengths do not fit together.
pub fn gate_spread(isa: Isa, activation: Activation, gate: &[f32], up: Option<&[f32]>, out: &mut [f32]) {
    assert!(!gate.is_empty() && out.len().is_multiple_of(gate.len()), "one gate a row");
    assert!(up.is_none_or(|up| up.len() == out.len()), "up is as large as out");
    let cols = (out.len() / gate.len()).max(1);
    for (row, (&g, out)) in gate.iter().zip(out.chunks_exact_mut(cols)).enumerate() {
        match up {
            Some(up) => each(isa, Spread(activation, g), Some(&up[row * cols..][..cols]), None, out),
            None => {
                let mut one = [g];
                each(isa, Alone(activation), None, None, &mut one);
                out.fill(one[0]);
            }
        }
    }
}

/// `out = a + b`; without `a`, `out += b`.
///
/// # Panics
/// If the lengths differ.
pub fn add(isa: Isa, a: Option<&[f32]>, b: &[f32], out: &mut [f32]) {
    each(isa, Sum, a, Some(b), out);
}

/// `out = factor * x`; without `x`, `out` in place.
///
/// # Panics
/// If the lengths differ.
pub fn scale(isa: Isa, factor: f32, x: Option<&[f32]>, out: &mut [f32]) {
    each(isa, Factor(factor), x, None, out);
}

/// `out = cap * tanh(x / cap)`; without `x`, `out` in place.
///
/// # Panics
/// If the lengths differ.
pub fn softcap(isa: Isa, cap: f32, x: Option<&[f32]>, out: &mut [f32]) {
    each(isa, Cap(cap), x, None, out);
}

/// Applies a map; without `b`, it gets `a` twice.
fn each<M: Map>(isa: Isa, map: M, a: Option<&[f32]>, b: Option<&[f32]>, out: &mut [f32]) {
    assert!(b.is_none_or(|b| b.len() == out.len()), "both inputs are of one size");
    let count = out.len();
    let (a, out) = places(a, out);
    isa.run(Each { map, a, b: b.map_or(a, <[f32]>::as_ptr), out, count });
}

/// A function of two numbers, sixteen at a time.
trait Map {
    /// # Safety
    /// The processor has the instructions of `L`.
    unsafe fn map<L: Lanes>(&self, a: L::V, b: L::V) -> L::V;
}

/// A map over `count` numbers; `a` and `b` may be `out` itself.
struct Each<M> {
    map: M,
    a: *const f32,
    b: *const f32,
    out: *mut f32,
    count: usize,
}

impl<M: Map> Kernel for Each<M> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let Self { map, a, b, out, count } = self;
        let mut i = 0;
        // SAFETY: all three have `count` numbers, and every vector is read before it is written.
        unsafe {
            while i + LANES <= count {
                L::store(out.add(i), map.map::<L>(L::load(a.add(i)), L::load(b.add(i))));
                i += LANES;
            }
            if i < count {
                let rest = count - i;
                let (x, y) = (L::load_part(a.add(i), rest), L::load_part(b.add(i), rest));
                L::store_part(out.add(i), rest, map.map::<L>(x, y));
            }
        }
    }
}

macro_rules! maps {
    ($($type:ty: |$self:ident, $lanes:ident, $a:ident, $b:ident| $e:expr;)*) => {$(
        impl Map for $type {
            #[inline(always)]
            unsafe fn map<$lanes: Lanes>(&$self, $a: $lanes::V, $b: $lanes::V) -> $lanes::V {
                // SAFETY: as promised by the caller.
                unsafe { $e }
            }
        }
    )*};
}

struct Sum;
struct Factor(f32);
struct Cap(f32);
struct Alone(Activation);
struct Gated(Activation);
/// The gate is a number; `a` is `up`.
struct Spread(Activation, f32);

maps! {
    Sum: |self, L, a, b| L::add(a, b);
    Factor: |self, L, a, _b| L::mul(a, L::splat(self.0));
    Cap: |self, L, a, _b| {
        let cap = L::splat(self.0);
        L::mul(cap, tanh::<L>(L::div(a, cap)))
    };
    Alone: |self, L, a, _b| activate::<L>(self.0, a);
    Gated: |self, L, a, b| L::mul(activate::<L>(self.0, a), shifted::<L>(self.0, b));
    Spread: |self, L, a, _b| L::mul(activate::<L>(self.0, L::splat(self.1)), shifted::<L>(self.0, a));
}

/// The function of the gate.
#[inline(always)]
unsafe fn activate<L: Lanes>(activation: Activation, g: L::V) -> L::V {
    // SAFETY: the caller has the instructions.
    unsafe {
        let zero = L::splat(0.0);
        match activation {
            Activation::Silu => L::mul(g, sigmoid::<L>(g)),
            Activation::Gelu => {
                // (1 + tanh u) / 2 = sigmoid(2u), which does not cancel for negative u.
                let cubic = L::fma(L::mul(L::mul(g, g), g), L::splat(0.044_715), g);
                L::mul(g, sigmoid::<L>(L::mul(cubic, L::splat(1.595_769))))
            }
            Activation::GeluErf => L::mul(g, normal_cdf::<L>(g)),
            Activation::Relu => L::max(zero, g),
            Activation::ReluSquared => {
                let r = L::max(zero, g);
                L::mul(r, r)
            }
            Activation::Sigmoid => sigmoid::<L>(g),
            Activation::SwigluClamped { alpha, limit } => {
                let g = L::min(L::splat(limit), g);
                L::mul(g, sigmoid::<L>(L::mul(L::splat(alpha), g)))
            }
        }
    }
}

/// What the activated gate is multiplied with.
#[inline(always)]
unsafe fn shifted<L: Lanes>(activation: Activation, up: L::V) -> L::V {
    // SAFETY: the caller has the instructions.
    unsafe {
        match activation {
            Activation::SwigluClamped { limit, .. } => {
                L::add(L::min(L::splat(limit), L::max(L::splat(-limit), up)), L::splat(1.0))
            }
            _ => up,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::math::tests::normal_cdf_f64;
    use super::*;

    const ALL: [Activation; 7] = [
        Activation::Silu,
        Activation::Gelu,
        Activation::GeluErf,
        Activation::Relu,
        Activation::ReluSquared,
        Activation::Sigmoid,
        Activation::SwigluClamped { alpha: 1.702, limit: 7.0 },
    ];

    fn exact(activation: Activation, g: f64, up: Option<f64>) -> f64 {
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        let y = match activation {
            Activation::Silu => g * sigmoid(g),
            Activation::Gelu => g * sigmoid(2.0 * (2.0 / std::f64::consts::PI).sqrt() * (g + 0.044_715 * g.powi(3))),
            Activation::GeluErf => g * normal_cdf_f64(g),
            Activation::Relu => g.max(0.0),
            Activation::ReluSquared => g.max(0.0).powi(2),
            Activation::Sigmoid => sigmoid(g),
            Activation::SwigluClamped { alpha, limit } => {
                let (alpha, limit) = (f64::from(alpha), f64::from(limit));
                let g = g.min(limit);
                return g * sigmoid(alpha * g) * up.map_or(1.0, |u| u.clamp(-limit, limit) + 1.0);
            }
        };
        y * up.unwrap_or(1.0)
    }

    /// A result below the smallest normal number times the largest factor is as good as 0.
    fn close(found: f32, exact: f64, bound: f64) -> bool {
        (f64::from(found) - exact).abs() <= bound * exact.abs() + 1e-35
    }

    #[test]
    fn activations_match_f64() {
        let g: Vec<f32> = (0..40_003).map(|i| i as f32 / 1600.0 - 12.5).collect();
        let up: Vec<f32> = (0..g.len()).map(|i| (i % 101) as f32 / 5.0 - 10.0).collect();
        for isa in Isa::available() {
            for activation in ALL {
                for up in [None, Some(&up[..])] {
                    let mut out = vec![0.0; g.len()];
                    gate(isa, activation, Some(&g), up, &mut out);
                    for i in 0..g.len() {
                        let exact = exact(activation, f64::from(g[i]), up.map(|u| f64::from(u[i])));
                        let far = g[i] < -3.0;
                        let bound = match activation {
                            Activation::Gelu if far => 2e-5,
                            Activation::Gelu if g[i] < -1.0 => 3e-6,
                            Activation::GeluErf if far && isa == Isa::Scalar => 8e-6,
                            // `alpha g` rounds far out, and `up + 1` cancels near -1.
                            Activation::SwigluClamped { .. } => {
                                3e-6 / up.map_or(1.0, |u| (u[i] + 1.0).abs().clamp(0.1, 1.0))
                            }
                            _ => 1e-6,
                        };
                        let bound = f64::from(bound);
                        assert!(close(out[i], exact, bound), "{isa} {activation:?}({}) = {} not {exact}", g[i], out[i]);
                    }
                    let mut in_place = g.clone();
                    gate(isa, activation, None, up, &mut in_place);
                    assert_eq!(in_place, out);
                    let mut part = vec![0.0; 21];
                    gate(isa, activation, Some(&g[1000..1021]), up.map(|u| &u[1000..1021]), &mut part);
                    assert_eq!(part, out[1000..1021], "an element does not depend on its neighbours");
                }
            }
        }
    }

    #[test]
    fn a_gate_of_one_column_spreads() {
        let up: Vec<f32> = (0..3 * 37).map(|i| i as f32 / 10.0).collect();
        let gates = [0.5, -1.0, 2.0];
        for isa in Isa::available() {
            for activation in ALL {
                for up in [None, Some(&up[..])] {
                    let (mut out, mut wide) = (vec![0.0; 3 * 37], vec![0.0; 3 * 37]);
                    gate_spread(isa, activation, &gates, up, &mut out);
                    let spread: Vec<f32> = (0..3 * 37).map(|i| gates[i / 37]).collect();
                    gate(isa, activation, Some(&spread), up, &mut wide);
                    assert_eq!(out, wide);
                }
            }
        }
    }

    #[test]
    fn extremes_are_finite_and_nan_shows() {
        for isa in Isa::available() {
            for activation in ALL {
                for x in [1e4, -1e4, 200.0, -200.0, 0.0] {
                    let mut out = vec![x; 5];
                    gate(isa, activation, None, None, &mut out);
                    assert!(out.iter().all(|y| close(*y, exact(activation, f64::from(x), None), 1e-6)), "{x} {out:?}");
                }
                let mut out = vec![f32::NAN; 3];
                gate(isa, activation, None, None, &mut out);
                assert!(out[0].is_nan(), "{activation:?}");
            }
        }
    }

    #[test]
    fn add_scale_and_softcap() {
        let a: Vec<f32> = (0..1003).map(|i| (i as f32 - 500.0) / 3.0).collect();
        let b: Vec<f32> = a.iter().map(|x| x * 0.3 + 1.0).collect();
        for isa in Isa::available() {
            let mut out = vec![0.0; a.len()];
            add(isa, Some(&a), &b, &mut out);
            assert!((0..a.len()).all(|i| out[i] == a[i] + b[i]));
            let mut sum = a.clone();
            add(isa, None, &b, &mut sum);
            assert_eq!(sum, out);
            scale(isa, 0.125, Some(&a), &mut out);
            assert!((0..a.len()).all(|i| out[i] == a[i] * 0.125));
            softcap(isa, 30.0, Some(&a), &mut out);
            for (y, x) in out.iter().zip(&a) {
                let exact = 30.0 * (f64::from(*x) / 30.0).tanh();
                assert!(close(*y, exact, 1e-6), "{isa}: softcap {x} = {y} not {exact}");
            }
        }
    }
}
