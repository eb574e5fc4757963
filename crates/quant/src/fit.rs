//! Searching the scales of one group of values.
//!
//! For given codes `q` the best scale is a weighted least-squares solution; for a given scale
//! the best codes are the nearest levels. The searches below start from scales that put the
//! largest value at or around the end of the range, solve for the scale each time, keep the
//! best, and let the two steps alternate from there.
//!
//! Sums run in eight lanes, which compilers turn into vector instructions; the order of
//! additions is fixed, so the result is the same everywhere.

use crate::codec::{TINY, inverse};

/// Nearest integer, ties to even, for magnitudes below 2^22: adding and subtracting 1.5 * 2^23
/// leaves no room for a fraction. Unlike `f32::round` this is two instructions everywhere.
#[inline(always)]
fn nearest(v: f32) -> f32 {
    (v + SHIFT) - SHIFT
}

const SHIFT: f32 = 12_582_912.0;

/// The integer nearest to `v`, of a magnitude below 2^21, in the lowest 22 bits as two's
/// complement: the sum above has it there.
#[inline(always)]
pub(crate) fn nearest_bits(v: f32) -> u32 {
    (v + SHIFT).to_bits()
}

/// The level nearest to `v` among the integers from `lo` to `hi`.
#[inline(always)]
pub(crate) fn integer_level(v: f32, lo: f32, hi: f32) -> f32 {
    // Comparisons rather than `max` and `min`, whose care for NaN costs three instructions each.
    let v = if v > lo { v } else { lo };
    nearest(if v < hi { v } else { hi })
}

/// `K` sums over `N` terms, `N` a multiple of 8.
#[inline(always)]
pub(crate) fn sums<const K: usize, const N: usize>(term: impl Fn(usize) -> [f32; K]) -> [f32; K] {
    const { assert!(N.is_multiple_of(8)) };
    let mut lanes = [[0.0; 8]; K];
    for start in (0..N).step_by(8) {
        #[expect(clippy::needless_range_loop, reason = "eight lanes side by side become one vector")]
        for lane in 0..8 {
            let values = term(start + lane);
            for k in 0..K {
                lanes[k][lane] += values[k];
            }
        }
    }
    lanes.map(|l: [f32; 8]| ((l[0] + l[4]) + (l[2] + l[6])) + ((l[1] + l[5]) + (l[3] + l[7])))
}

/// The value of largest magnitude, with its sign.
#[inline(always)]
pub(crate) fn peak(x: &[f32]) -> f32 {
    x.iter().fold(0.0, |best: f32, &v| if v.abs() > best.abs() { v } else { best })
}

/// Which scales to start from: those that put the peak at `first`, `first + step`, ...
#[derive(Clone, Copy)]
pub(crate) struct Reach {
    pub(crate) first: f32,
    pub(crate) step: f32,
    pub(crate) count: u8,
    /// Whether to try the same places on the other side of zero.
    pub(crate) mirrored: bool,
}

/// A scale and how much of the weighted sum of squares it explains.
#[derive(Clone, Copy)]
struct Explained {
    scale: f32,
    gain: f32,
}

/// The `d` of least weighted squared error for `x ~ d * level(x / d)`.
#[inline(always)]
pub(crate) fn scale<const N: usize>(
    x: &[f32; N],
    w: &[f32; N],
    level: impl Fn(f32) -> f32 + Copy,
    reach: Reach,
) -> f32 {
    let peak = peak(x);
    if peak.abs() < TINY {
        return 0.0;
    }
    let mut best = Explained { scale: 0.0, gain: 0.0 };
    for side in [1.0, -1.0] {
        for i in 0..reach.count {
            let place = side * (reach.first + reach.step * f32::from(i));
            let found = solve_scale(x, w, level, place / peak);
            if found.gain > best.gain {
                best = found;
            }
        }
        if !reach.mirrored {
            break;
        }
    }
    for _ in 0..2 {
        let found = solve_scale(x, w, level, inverse(best.scale));
        if found.gain <= best.gain {
            break;
        }
        best = found;
    }
    best.scale
}

/// The best scale for the codes that `inverse` leads to.
#[inline(always)]
fn solve_scale<const N: usize>(x: &[f32; N], w: &[f32; N], level: impl Fn(f32) -> f32, inverse: f32) -> Explained {
    let [xq, qq] = sums::<2, N>(|i| {
        let q = level(x[i] * inverse);
        let wq = w[i] * q;
        [wq * x[i], wq * q]
    });
    let scale = if qq > 0.0 { xq / qq } else { 0.0 };
    Explained { scale, gain: scale * xq }
}

/// Weighted squared error of `x ~ d * level(x / d)`.
#[inline(always)]
pub(crate) fn scale_error<const N: usize>(x: &[f32; N], w: &[f32; N], level: impl Fn(f32) -> f32, d: f32) -> f32 {
    let id = inverse(d);
    let [error] = sums::<1, N>(|i| {
        let e = x[i] - d * level(x[i] * id);
        [w[i] * e * e]
    });
    error
}

/// A scale and a minimum: `x ~ scale * q + min`.
#[derive(Clone, Copy, Default)]
pub(crate) struct Affine {
    pub(crate) scale: f32,
    pub(crate) min: f32,
}

/// The line of least weighted squared error for `x ~ scale * q + min`, `q` an integer from 0 to
/// `top`. With `below_zero` the minimum is at most 0, as the K types need it.
#[inline(always)]
pub(crate) fn affine<const N: usize>(x: &[f32; N], w: &[f32; N], top: f32, below_zero: bool, reach: Reach) -> Affine {
    let (mut low, high) = x.iter().fold((x[0], x[0]), |(l, h), &v| (l.min(v), h.max(v)));
    if below_zero {
        low = low.min(0.0);
    }
    let flat = Affine { scale: 0.0, min: low };
    // Values that differ by less than rounding have no slope to find.
    if high - low <= TINY.max(low.abs() * 1e-6) {
        return flat;
    }
    // Measured from the lowest value, so that a far-off minimum does not drown the differences.
    let from_low: [f32; N] = std::array::from_fn(|i| x[i] - low);
    let ceiling = if below_zero { -low } else { f32::INFINITY };
    let line = Lines::new(&from_low, w, top, ceiling);
    let mut best = Line { scale: 0.0, min: 0.0, gain: 0.0 };
    for i in 0..reach.count {
        let place = reach.first + reach.step * f32::from(i);
        line.keep_better(&mut best, place / (high - low), 0.0);
    }
    for _ in 0..3 {
        let start = best;
        if !line.keep_better(&mut best, inverse(start.scale), start.min) {
            break;
        }
    }
    if best.scale > 0.0 { Affine { scale: best.scale, min: best.min + low } } else { flat }
}

/// A line through values measured from their lowest, and what it explains.
#[derive(Clone, Copy)]
struct Line {
    scale: f32,
    min: f32,
    gain: f32,
}

/// One group's values, and the sums that do not depend on the codes.
struct Lines<'a, const N: usize> {
    x: &'a [f32; N],
    w: &'a [f32; N],
    top: f32,
    ceiling: f32,
    sum_w: f32,
    sum_x: f32,
}

impl<'a, const N: usize> Lines<'a, N> {
    #[inline(always)]
    fn new(x: &'a [f32; N], w: &'a [f32; N], top: f32, ceiling: f32) -> Self {
        let [sum_w, sum_x] = sums::<2, N>(|i| [w[i], w[i] * x[i]]);
        Lines { x, w, top, ceiling, sum_w, sum_x }
    }

    /// Solves for the line through the codes that `(inverse, min)` lead to; whether it was
    /// better than `best`, which it then replaces.
    #[inline(always)]
    fn keep_better(&self, best: &mut Line, inverse: f32, min: f32) -> bool {
        let [sum_q, sum_qq, sum_qx] = sums::<3, N>(|i| {
            let q = integer_level((self.x[i] - min) * inverse, 0.0, self.top);
            let wq = self.w[i] * q;
            [wq, wq * q, wq * self.x[i]]
        });
        if sum_qq <= 0.0 {
            return false;
        }
        // Equal codes determine no line; then it goes through the lowest value.
        let (mut scale, mut min) = (sum_qx / sum_qq, 0.0);
        let det = self.sum_w * sum_qq - sum_q * sum_q;
        if det > 1e-6 * self.sum_w * sum_qq {
            scale = (self.sum_w * sum_qx - self.sum_x * sum_q) / det;
            min = (sum_qq * self.sum_x - sum_q * sum_qx) / det;
        }
        if min > self.ceiling {
            min = self.ceiling;
            scale = (sum_qx - min * sum_q) / sum_qq;
        }
        // What is left of sum(w x^2) once the error of this line is taken away.
        let gain = 2.0 * (scale * sum_qx + min * self.sum_x)
            - scale * scale * sum_qq
            - 2.0 * scale * min * sum_q
            - min * min * self.sum_w;
        let better = scale > 0.0 && gain > best.gain;
        if better {
            *best = Line { scale, min, gain };
        }
        better
    }
}

/// Weighted squared error of `x ~ line`, with codes from 0 to `top`.
#[inline(always)]
pub(crate) fn affine_error<const N: usize>(x: &[f32; N], w: &[f32; N], top: f32, line: Affine) -> f32 {
    let inverse = inverse(line.scale);
    let [error] = sums::<1, N>(|i| {
        let above = x[i] - line.min;
        let e = above - line.scale * integer_level(above * inverse, 0.0, top);
        [w[i] * e * e]
    });
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values without a pattern the searches could know.
    fn noise(i: usize) -> f32 {
        ((i * 7919 + 13) % 1009) as f32 / 504.5 - 1.0
    }

    #[test]
    fn no_scale_of_a_dense_scan_is_much_better() {
        let x: [f32; 32] = std::array::from_fn(|i| noise(i) * noise(i + 40));
        let w = [1.0; 32];
        let level = |v| integer_level(v, -8.0, 7.0);
        let reach = Reach { first: -9.2, step: 0.15, count: 16, mirrored: true };
        let found = scale_error(&x, &w, level, scale(&x, &w, level, reach));
        for i in -4000..4000 {
            let other = scale_error(&x, &w, level, i as f32 * 1e-4);
            assert!(found <= other * 1.02, "{i}: {other} against {found}");
        }
    }

    #[test]
    fn a_line_is_found_again() {
        let x: [f32; 32] = std::array::from_fn(|i| (i * 5 % 16) as f32 * 0.25 - 1.5);
        let reach = Reach { first: 14.0, step: 0.15, count: 16, mirrored: false };
        for below_zero in [false, true] {
            let line = affine(&x, &[1.0; 32], 15.0, below_zero, reach);
            assert!((line.scale - 0.25).abs() < 1e-5 && (line.min + 1.5).abs() < 1e-5, "{} {}", line.scale, line.min);
        }
        let above: [f32; 32] = x.map(|v| v + 9.0);
        assert!(affine(&above, &[1.0; 32], 15.0, false, reach).min > 7.0);
        assert!(affine(&above, &[1.0; 32], 15.0, true, reach).min <= 0.0);
    }

    #[test]
    fn nearest_is_rounding_with_ties_to_even() {
        for i in -4000..4000 {
            let v = i as f32 * 0.125;
            assert_eq!(nearest(v), v.round_ties_even(), "{v}");
            assert_eq!(nearest_bits(v) & 0x3f_ffff, v.round_ties_even() as i32 as u32 & 0x3f_ffff, "{v}");
        }
    }
}
