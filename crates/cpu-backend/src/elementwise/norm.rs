//! Root mean square and layer normalisation.

use rocmforge_program::NormKind;

use super::lanes::{Isa, Kernel, LANES, Lanes};
use super::places;

/// What `Op::Norm` carries, with its weights at hand.
#[derive(Debug, Clone, Copy)]
pub struct NormParams<'a> {
    /// What is divided by.
    pub kind: NormKind,
    /// Columns of a row.
    pub cols: usize,
    /// Columns normalised together; divides `cols`.
    pub group: usize,
    /// Added to the mean square or variance.
    pub eps: f32,
    /// Factors: `group` or `cols` of them.
    pub weight: Option<&'a [f32]>,
    /// Summands: `group` or `cols` of them.
    pub bias: Option<&'a [f32]>,
}

/// Normalises each group of each row, `[rows, cols]` → `[rows, cols]`; without `x`, `out` in place.
///
/// Squares are summed in 64 running f32 sums, so that the error does not grow with the width in practice: within 1e-6
/// of f64 relative to the largest element.
///
/// # Panics
/// If the sizes do not fit together.
pub fn norm(isa: Isa, params: &NormParams<'_>, x: Option<&[f32]>, out: &mut [f32]) {
    let NormParams { cols, group, weight, bias, .. } = *params;
    assert!(group > 0 && cols.is_multiple_of(group) && out.len().is_multiple_of(cols), "rows of whole groups");
    for w in [weight, bias].into_iter().flatten() {
        assert!(w.len() == group || w.len() == cols, "{} weights for groups of {group} in {cols}", w.len());
    }
    let count = out.len();
    let (x, out) = places(x, out);
    isa.run(Norm { params: *params, x, out, count });
}

struct Norm<'a> {
    params: NormParams<'a>,
    x: *const f32,
    out: *mut f32,
    count: usize,
}

impl Kernel for Norm<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let NormParams { kind, cols, group, eps, weight, bias } = self.params;
        for start in (0..self.count).step_by(group) {
            let col = start % cols;
            let at = |w: Option<&[f32]>| {
                let offset = |w: &[f32]| if w.len() == cols { w[col..].as_ptr() } else { w.as_ptr() };
                w.map_or(std::ptr::null(), offset)
            };
            // SAFETY: `x` and `out` have a group from `start`, the weights one from their pointer, as `norm` checked.
            unsafe {
                let x = self.x.add(start);
                let mean = if kind == NormKind::Layer { sum::<L, false>(x, group, 0.0) / group as f32 } else { 0.0 };
                let variance = sum::<L, true>(x, group, mean) / group as f32;
                let inverse = 1.0 / (variance + eps).sqrt();
                apply::<L>(x, group, mean, inverse, at(weight), at(bias), self.out.add(start));
            }
        }
    }
}

/// `Σ (x - shift)`, or `Σ (x - shift)²`.
#[inline(always)]
unsafe fn sum<L: Lanes, const SQUARE: bool>(x: *const f32, count: usize, shift: f32) -> f32 {
    // SAFETY: the caller gives `count` numbers at `x` and has the instructions.
    unsafe {
        let shift = L::splat(shift);
        let mut sums = [L::splat(0.0); 4];
        let mut i = 0;
        while i + 4 * LANES <= count {
            let mut j = 0;
            while j < 4 {
                sums[j] = term::<L, SQUARE>(L::sub(L::load(x.add(i + j * LANES)), shift), sums[j]);
                j += 1;
            }
            i += 4 * LANES;
        }
        while i + LANES <= count {
            sums[0] = term::<L, SQUARE>(L::sub(L::load(x.add(i)), shift), sums[0]);
            i += LANES;
        }
        if i < count {
            let rest = count - i;
            let x = L::sub(L::load_part(x.add(i), rest), shift);
            sums[1] = term::<L, SQUARE>(L::within(0, rest, x, L::splat(0.0)), sums[1]);
        }
        L::sum(L::add(L::add(sums[0], sums[1]), L::add(sums[2], sums[3])))
    }
}

#[inline(always)]
unsafe fn term<L: Lanes, const SQUARE: bool>(x: L::V, sum: L::V) -> L::V {
    // SAFETY: the caller has the instructions.
    unsafe { if SQUARE { L::fma(x, x, sum) } else { L::add(x, sum) } }
}

/// `out = (x - mean) * inverse * weight + bias`; null pointers stand for no weight and no bias.
#[inline(always)]
unsafe fn apply<L: Lanes>(
    x: *const f32,
    count: usize,
    mean: f32,
    inverse: f32,
    weight: *const f32,
    bias: *const f32,
    out: *mut f32,
) {
    // SAFETY: the caller gives `count` numbers at each pointer that is not null and has the instructions.
    unsafe {
        let (mean, inverse) = (L::splat(mean), L::splat(inverse));
        let mut i = 0;
        while i < count {
            let here = (count - i).min(LANES);
            let get = |from: *const f32| {
                if here == LANES { L::load(from.add(i)) } else { L::load_part(from.add(i), here) }
            };
            let mut y = L::mul(L::sub(get(x), mean), inverse);
            if !weight.is_null() {
                y = L::mul(y, get(weight));
            }
            if !bias.is_null() {
                y = L::add(y, get(bias));
            }
            if here == LANES {
                L::store(out.add(i), y)
            } else {
                L::store_part(out.add(i), here, y)
            }
            i += LANES;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exact(p: &NormParams<'_>, x: &[f32]) -> Vec<f64> {
        let mut out = Vec::new();
        for (g, group) in x.chunks_exact(p.group).enumerate() {
            let n = p.group as f64;
            let mean = match p.kind {
                NormKind::Rms => 0.0,
                NormKind::Layer => group.iter().map(|&x| f64::from(x)).sum::<f64>() / n,
            };
            let variance = group.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / n;
            for (i, &x) in group.iter().enumerate() {
                let at = |w: &[f32]| f64::from(w[(g * p.group + i) % p.cols % w.len()]);
                let y = (f64::from(x) - mean) / (variance + f64::from(p.eps)).sqrt();
                out.push(y * p.weight.map_or(1.0, at) + p.bias.map_or(0.0, at));
            }
        }
        out
    }

    #[test]
    fn matches_f64_for_awkward_widths() {
        let noise = |n: usize, seed: usize| -> Vec<f32> {
            (0..n).map(|i| ((i * 7919 + seed * 104_729) % 1009) as f32 / 504.5 - 1.0).collect()
        };
        for isa in Isa::available() {
            for (cols, group) in [(1, 1), (17, 17), (64, 64), (192, 64), (896, 896), (1000, 1000), (300, 100), (70, 7)]
            {
                for kind in [NormKind::Rms, NormKind::Layer] {
                    for (weight, bias) in [(0, 0), (group, 0), (cols, cols), (group, cols)] {
                        let (w, b) = (noise(weight, 1), noise(bias, 2));
                        let p = NormParams {
                            kind,
                            cols,
                            group,
                            eps: 1e-5,
                            weight: (weight > 0).then_some(&w),
                            bias: (bias > 0).then_some(&b),
                        };
                        // An offset makes the subtraction of the mean matter.
                        let x: Vec<f32> = noise(3 * cols, 3).iter().map(|x| x * 3.0 + 1.5).collect();
                        let mut out = vec![0.0; x.len()];
                        norm(isa, &p, Some(&x), &mut out);
                        for (i, (y, e)) in out.iter().zip(exact(&p, &x)).enumerate() {
                            assert!((f64::from(*y) - e).abs() < 4e-6, "{isa} {cols}/{group} {kind:?} {i}: {y} {e}");
                        }
                        let mut in_place = x.clone();
                        norm(isa, &p, None, &mut in_place);
                        assert_eq!(in_place, out);
                        let mut alone = x[cols..2 * cols].to_vec();
                        norm(isa, &p, None, &mut alone);
                        assert_eq!(alone, out[cols..2 * cols], "a row does not depend on its neighbours");
                    }
                }
            }
        }
    }

    #[test]
    fn zeros_stay_zeros_and_large_rows_stay_finite() {
        let p = NormParams { kind: NormKind::Rms, cols: 64, group: 64, eps: 1e-6, weight: None, bias: None };
        let mut out = vec![0.0; 64];
        norm(Isa::best(), &p, None, &mut out);
        assert_eq!(out, [0.0; 64]);
        let mut out = vec![1e15; 64];
        norm(Isa::best(), &p, None, &mut out);
        assert!(out.iter().all(|y| (y - 1.0).abs() < 1e-6));
    }
}
