//! Searching the two levels of scales of a super-block of 256 values: one half-precision scale
//! and a small integer for each of `G` groups of `L` values.
//!
//! The groups are fitted on their own first. Then three steps alternate: each group takes the
//! integers, next to what it would like, that give the least error; the shared scales are
//! solved by least squares for the codes this leads to; and rounded to half precision.

use half::f16;

use crate::codec::inverse;
use crate::fit::{Affine, Reach, affine, affine_error, integer_level, scale, scale_error, sums};

/// How often integers and shared scales are improved in turn.
const ROUNDS: usize = 2;

/// `v` as half precision will return it.
fn as_half(v: f32) -> f32 {
    f16::from_f32(v.clamp(-65504.0, 65504.0)).to_f32()
}

/// The integers next to `ideal` within `lo..=hi`, nearest first.
fn around(ideal: f32, lo: f32, hi: f32) -> [f32; 3] {
    let middle = integer_level(ideal, lo, hi);
    [middle, (middle - 1.0).max(lo), (middle + 1.0).min(hi)]
}

/// A super-block whose groups have a scale: `x ~ d * scales[group] * level`.
pub(crate) struct Scaled<const G: usize> {
    /// The shared scale, a half-precision number.
    pub(crate) d: f32,
    /// The groups' integers.
    pub(crate) scales: [f32; G],
}

impl<const G: usize> Scaled<G> {
    /// Searches the scales; integers run from `lo` to `hi`.
    #[inline(always)]
    pub(crate) fn fit<const L: usize>(
        x: &[[f32; L]; G],
        w: &[[f32; L]; G],
        level: impl Fn(f32) -> f32 + Copy,
        reach: Reach,
        [lo, hi]: [f32; 2],
    ) -> Self {
        let ideal: [f32; G] = std::array::from_fn(|g| scale(&x[g], &w[g], level, reach));
        let mut best = Scaled { d: as_half(crate::fit::peak(&ideal) / lo), scales: [0.0; G] };
        best.choose(x, w, level, &ideal, [lo, hi]);
        for _ in 0..ROUNDS {
            let d = best.solve(x, w, level);
            if d == best.d {
                break;
            }
            best.d = d;
            best.choose(x, w, level, &ideal, [lo, hi]);
        }
        best
    }

    /// Picks the integers for the present `d`.
    #[inline(always)]
    fn choose<const L: usize>(
        &mut self,
        x: &[[f32; L]; G],
        w: &[[f32; L]; G],
        level: impl Fn(f32) -> f32 + Copy,
        ideal: &[f32; G],
        [lo, hi]: [f32; 2],
    ) {
        for g in 0..G {
            let mut least = f32::INFINITY;
            for s in around(ideal[g] * inverse(self.d), lo, hi) {
                let error = scale_error(&x[g], &w[g], level, self.d * s);
                if error < least {
                    (least, self.scales[g]) = (error, s);
                }
            }
        }
    }

    /// The `d` of least error for the present codes.
    #[inline(always)]
    fn solve<const L: usize>(&self, x: &[[f32; L]; G], w: &[[f32; L]; G], level: impl Fn(f32) -> f32) -> f32 {
        let (mut xq, mut qq) = (0.0, 0.0);
        for g in 0..G {
            let s = self.scales[g];
            let inverse = inverse(self.d * s);
            let [a, b] = sums::<2, L>(|i| {
                let q = level(x[g][i] * inverse) * s;
                let wq = w[g][i] * q;
                [wq * x[g][i], wq * q]
            });
            xq += a;
            qq += b;
        }
        if qq > 0.0 { as_half(xq / qq) } else { self.d }
    }

    /// The scale that the values of group `g` are divided by.
    pub(crate) fn group(&self, g: usize) -> f32 {
        self.d * self.scales[g]
    }
}

/// A super-block whose groups have a scale and a minimum:
/// `x ~ d * scales[group] * code - dmin * mins[group]`.
pub(crate) struct Lined<const G: usize> {
    /// The shared scale of the scales, a half-precision number.
    pub(crate) d: f32,
    /// The shared scale of the minimums, a half-precision number.
    pub(crate) dmin: f32,
    /// The groups' integers for the scale.
    pub(crate) scales: [f32; G],
    /// The groups' integers for the minimum.
    pub(crate) mins: [f32; G],
}

impl<const G: usize> Lined<G> {
    /// Searches scales and minimums; codes run from 0 to `top`, integers from 0 to `hi`.
    #[inline(always)]
    pub(crate) fn fit<const L: usize>(x: &[[f32; L]; G], w: &[[f32; L]; G], top: f32, hi: f32, reach: Reach) -> Self {
        let ideal: [Affine; G] = std::array::from_fn(|g| affine(&x[g], &w[g], top, true, reach));
        let largest = |of: fn(&Affine) -> f32| ideal.iter().map(of).fold(0.0, f32::max);
        let (d, dmin) = (as_half(largest(|a| a.scale) / hi), as_half(largest(|a| -a.min) / hi));
        let mut best = Lined { d, dmin, scales: [0.0; G], mins: [0.0; G] };
        best.choose(x, w, &ideal, top, hi);
        for _ in 0..ROUNDS {
            let (d, dmin) = best.solve(x, w, top);
            if (d, dmin) == (best.d, best.dmin) {
                break;
            }
            (best.d, best.dmin) = (d, dmin);
            best.choose(x, w, &ideal, top, hi);
        }
        best
    }

    /// Picks the integers for the present `d` and `dmin`.
    #[inline(always)]
    fn choose<const L: usize>(&mut self, x: &[[f32; L]; G], w: &[[f32; L]; G], ideal: &[Affine; G], top: f32, hi: f32) {
        for g in 0..G {
            let mut least = f32::INFINITY;
            for s in around(ideal[g].scale * inverse(self.d), 0.0, hi) {
                for m in around(-ideal[g].min * inverse(self.dmin), 0.0, hi) {
                    let line = Affine { scale: self.d * s, min: -self.dmin * m };
                    let error = affine_error(&x[g], &w[g], top, line);
                    if error < least {
                        (least, self.scales[g], self.mins[g]) = (error, s, m);
                    }
                }
            }
        }
    }

    /// The `d` and `dmin` of least error for the present codes.
    #[inline(always)]
    fn solve<const L: usize>(&self, x: &[[f32; L]; G], w: &[[f32; L]; G], top: f32) -> (f32, f32) {
        // Normal equations of x ~ d * a - dmin * b with a = scale * code, b = min.
        let (mut aa, mut ab, mut bb, mut xa, mut xb) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for g in 0..G {
            let (s, m, line) = (self.scales[g], self.mins[g], self.group(g));
            let inverse = inverse(line.scale);
            let [wq, wqq, wqx, wx, sw] = sums::<5, L>(|i| {
                let (x, w) = (x[g][i], w[g][i]);
                let q = integer_level((x - line.min) * inverse, 0.0, top);
                let wq = w * q;
                [wq, wq * q, wq * x, w * x, w]
            });
            aa += s * s * wqq;
            ab += s * m * wq;
            bb += m * m * sw;
            xa += s * wqx;
            xb += m * wx;
        }
        let det = aa * bb - ab * ab;
        let (d, dmin) = if det > 1e-6 * aa * bb {
            ((xa * bb - xb * ab) / det, (xa * ab - xb * aa) / det)
        } else if aa > 0.0 {
            ((xa + self.dmin * ab) / aa, self.dmin)
        } else {
            (self.d, self.dmin)
        };
        if d > 0.0 && dmin >= 0.0 { (as_half(d), as_half(dmin)) } else { (self.d, self.dmin) }
    }

    /// The line that the codes of group `g` lie on.
    pub(crate) fn group(&self, g: usize) -> Affine {
        Affine { scale: self.d * self.scales[g], min: -self.dmin * self.mins[g] }
    }
}

/// The values of a super-block as `G` groups of `L`.
#[inline(always)]
pub(crate) fn grouped<const L: usize, const G: usize>(x: &[f32; 256]) -> [[f32; L]; G] {
    const { assert!(L * G == 256) };
    std::array::from_fn(|g| std::array::from_fn(|l| x[g * L + l]))
}

/// The code of each value of a group for a given line.
#[inline(always)]
pub(crate) fn line_codes<const L: usize>(x: &[f32; L], line: Affine, top: f32) -> [u8; L] {
    let inverse = inverse(line.scale);
    x.map(|v| integer_level((v - line.min) * inverse, 0.0, top) as u8)
}

/// The code of each value of a group, counted from level `lo`, for a given scale.
#[inline(always)]
pub(crate) fn scale_codes<const L: usize>(x: &[f32; L], d: f32, [lo, hi]: [f32; 2]) -> [u8; L] {
    let inverse = inverse(d);
    x.map(|v| (integer_level(v * inverse, lo, hi) - lo) as u8)
}
