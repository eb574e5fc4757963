//! The arithmetic that every stage shares, in loops that compile to vector code.
//!
//! The exponential is our own: the same few multiplications and additions on every
//! machine, where a system's `expf` differs from one C library to the next, and fast
//! because sixteen of them run side by side.

const LANES: usize = 16;
/// Partial sums are moved from f32 to f64 after this many values, so that at most 64
/// f32 additions build on each other and the error of a sum stays near one rounding.
const BLOCK: usize = 64 * LANES;

/// e^x for x <= 0, with a relative error below 2e-7; 0 below -87.
///
/// x = n ln 2 + r with |r| <= ln(2) / 2; e^r by the polynomial of Cephes' `expf`, and 2^n
/// through the exponent field. ln 2 is split in two so that n ln 2 is exact in its first part.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    const ROUNDER: f32 = 12_582_912.0; // 1.5 * 2^23: adding it leaves the integer in the low bits
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let clamped = if x > -87.0 { x } else { -87.0 };
    let shifted = clamped * std::f32::consts::LOG2_E + ROUNDER;
    let n = shifted - ROUNDER;
    let r = (clamped - n * LN2_HIGH) - n * LN2_LOW;
    let mut p = 1.987_569_1e-4;
    p = p * r + 1.398_199_9e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 1.666_666_5e-1;
    p = p * r + 5.0e-1;
    let y = p * (r * r) + r + 1.0;
    let scale = f32::from_bits((shifted.to_bits() << 23).wrapping_add(1.0f32.to_bits()));
    if x >= -87.0 { y * scale } else { 0.0 }
}

/// The sum of e^(logit - max) over the row.
pub(crate) fn exp_sum(logits: &[f32], max: f32) -> f64 {
    logits.chunks(BLOCK).map(|block| lane_sum(block, |v| exp(v - max))).sum()
}

/// Writes e^(logit - max) to `weights` and returns their sum.
pub(crate) fn exp_into(logits: &[f32], max: f32, weights: &mut Vec<f32>) -> f64 {
    weights.resize(logits.len(), 0.0);
    let mut total = 0.0;
    for (values, out) in logits.chunks(BLOCK).zip(weights.chunks_mut(BLOCK)) {
        for (weight, &v) in out.iter_mut().zip(values) {
            *weight = exp(v - max);
        }
        total += lane_sum(out, |w| w);
    }
    total
}

/// The sum of at most [`BLOCK`] values, in a fixed order.
pub(crate) fn lane_sum(block: &[f32], value: impl Fn(f32) -> f32) -> f64 {
    let mut lanes = [0.0f32; LANES];
    let mut chunks = block.chunks_exact(LANES);
    for chunk in &mut chunks {
        for (lane, &v) in lanes.iter_mut().zip(chunk) {
            *lane += value(v);
        }
    }
    let tail: f64 = chunks.remainder().iter().map(|&v| f64::from(value(v))).sum();
    tail + lanes.iter().map(|&lane| f64::from(lane)).sum::<f64>()
}

/// The largest value; -inf for an empty slice. There must be no NaN.
pub(crate) fn max(values: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let mut chunks = values.chunks_exact(LANES);
    for chunk in &mut chunks {
        for (lane, &v) in lanes.iter_mut().zip(chunk) {
            *lane = if v > *lane { v } else { *lane };
        }
    }
    lanes.iter().chain(chunks.remainder()).fold(f32::NEG_INFINITY, |a, &b| if b > a { b } else { a })
}

/// What one pass over a row of logits tells.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Scan {
    /// The largest value.
    pub max: f32,
    /// The lowest index that has it.
    pub argmax: usize,
    /// Whether a value is -inf.
    pub has_neg_inf: bool,
    /// Whether a value is NaN or +inf; the other fields then mean nothing.
    pub broken: bool,
}

/// Finds the first largest value and anything that is not finite, in one pass.
pub(crate) fn scan(values: &[f32]) -> Scan {
    const CHUNK: usize = 4 * LANES;
    let mut scan = Scan { max: f32::NEG_INFINITY, argmax: 0, has_neg_inf: false, broken: false };
    for (number, chunk) in values.chunks(CHUNK).enumerate() {
        let mut high = [f32::NEG_INFINITY; LANES];
        let mut low = [f32::INFINITY; LANES];
        let mut bad = [0u32; LANES];
        let mut look = |lane: usize, v: f32| {
            high[lane] = if v > high[lane] { v } else { high[lane] };
            low[lane] = if v < low[lane] { v } else { low[lane] };
            bad[lane] |= u32::from(v.is_nan() | (v == f32::INFINITY));
        };
        let (parts, tail) = chunk.as_chunks::<LANES>();
        for part in parts {
            for (lane, &v) in part.iter().enumerate() {
                look(lane, v);
            }
        }
        for (lane, &v) in tail.iter().enumerate() {
            look(lane, v);
        }
        scan.broken |= bad.iter().any(|&b| b != 0);
        scan.has_neg_inf |= low.contains(&f32::NEG_INFINITY);
        let best = max(&high);
        if best > scan.max {
            scan.max = best;
            // The maximum of the chunk is one of its values, so the position exists.
            scan.argmax = number * CHUNK + chunk.iter().position(|&v| v == best).unwrap_or(0);
        }
    }
    scan
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_close_everywhere() {
        let mut x = 0.0f32;
        while x > -87.0 {
            let exact = f64::from(x).exp();
            let error = (f64::from(exp(x)) - exact).abs() / exact;
            assert!(error < 2e-7, "exp({x}): relative error {error}");
            x -= 0.0137;
        }
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(-0.0), 1.0);
        assert_eq!(exp(-88.0), 0.0);
        assert_eq!(exp(f32::MIN), 0.0);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
    }

    #[test]
    fn sums_agree_with_f64() {
        let logits: Vec<f32> = (0..5003).map(|i| -((i * 7919 % 1000) as f32) / 97.0).collect();
        let exact: f64 = logits.iter().map(|&v| f64::from(v).exp()).sum();
        let mut weights = Vec::new();
        for sum in [exp_sum(&logits, 0.0), exp_into(&logits, 0.0, &mut weights)] {
            assert!((sum / exact - 1.0).abs() < 2e-7, "{sum} against {exact}");
        }
        assert_eq!(weights.len(), logits.len());
    }

    #[test]
    fn scan_finds_first_maximum_and_bad_values() {
        for len in [1, 15, 16, 17, 64, 65, 200] {
            for at in 0..len {
                let mut row = vec![-1.0f32; len];
                row[at] = 3.0;
                row[len - 1] = 3.0;
                let found = scan(&row);
                assert_eq!((found.argmax, found.max), (at, 3.0), "length {len}");
                assert!(!found.broken && !found.has_neg_inf);
                for bad in [f32::NAN, f32::INFINITY, -f32::NAN] {
                    row[at] = bad;
                    assert!(scan(&row).broken, "{bad} at {at} of {len}");
                }
                row[at] = f32::NEG_INFINITY;
                assert!(scan(&row).has_neg_inf && !scan(&row).broken);
            }
        }
    }
}
