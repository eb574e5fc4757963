//! Types of cached numbers that no vector instruction converts here: bfloat16 and the 8-bit float E4M3.

use half::bf16;

/// The largest finite bfloat16.
const BF16_MAX: f32 = f32::from_bits(0x7f7f_0000);
/// Fraction bits of E4M3.
const FRACTION: u32 = 3;
/// The least normal exponent of E4M3.
const LEAST: i32 = -6;

/// Rounds to bfloat16, to nearest even; finite numbers stay finite.
pub(crate) fn to_bf16(x: f32) -> u16 {
    bf16::from_f32(x.clamp(-BF16_MAX, BF16_MAX)).to_bits()
}

/// The number of a bfloat16.
pub(crate) fn from_bf16(bits: u16) -> f32 {
    bf16::from_bits(bits).to_f32()
}

/// Rounds to E4M3 (OCP 8-bit floats: 4 exponent bits with bias 7, 3 fraction bits, no infinity), to nearest even.
/// Saturates at ±448; NaN stays.
pub(crate) fn to_e4m3(x: f32) -> u8 {
    let sign = if x.is_sign_negative() { 0x80 } else { 0 };
    if x.is_nan() {
        return sign | 0x7f;
    }
    let magnitude = x.abs().min(448.0);
    // The exponent of the steps between neighbours: subnormals have those of the least normal numbers.
    let exponent = ((magnitude.to_bits() >> 23).cast_signed() - 127).max(LEAST);
    let steps = (magnitude * 2f32.powi(FRACTION.cast_signed() - exponent)).round_ties_even() as u8;
    // Rounding up to 16 steps carries into the exponent by itself; fewer than 8 steps are a subnormal.
    let base = ((exponent - LEAST) as u8) << FRACTION;
    sign | (base + steps)
}

/// The number of an E4M3.
pub(crate) fn from_e4m3(code: u8) -> f32 {
    let sign = if code & 0x80 == 0 { 1.0 } else { -1.0 };
    let (exponent, fraction) = (i32::from(code >> 3 & 15), f32::from(code & 7));
    let magnitude = match (exponent, code & 7) {
        (15, 7) => f32::NAN,
        (0, _) => fraction * 2f32.powi(LEAST - 3),
        _ => (8.0 + fraction) * 2f32.powi(exponent - 10),
    };
    sign * magnitude
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_e4m3_comes_back() {
        for code in 0..=255u8 {
            let x = from_e4m3(code);
            if code & 0x7f == 0x7f {
                assert!(x.is_nan());
            } else {
                assert_eq!(to_e4m3(x), code, "{x}");
            }
        }
        assert_eq!((from_e4m3(0x7e), from_e4m3(0x08), from_e4m3(0x01)), (448.0, 0.015625, 0.001953125));
    }

    #[test]
    fn e4m3_takes_the_nearest_neighbour_ties_to_even() {
        for code in 0..0x7eu8 {
            let (low, high) = (from_e4m3(code), from_e4m3(code + 1));
            let middle = (low + high) / 2.0;
            assert_eq!(to_e4m3(middle), code + code % 2, "{middle}");
            assert_eq!(to_e4m3(-f32::from_bits(middle.to_bits() - 1)), 0x80 | code);
            assert_eq!(to_e4m3(f32::from_bits(middle.to_bits() + 1)), code + 1);
        }
    }

    #[test]
    fn range_is_kept_and_nan_stays() {
        assert_eq!((to_e4m3(1e9), to_e4m3(f32::NEG_INFINITY)), (0x7e, 0xfe));
        assert!(from_e4m3(to_e4m3(f32::NAN)).is_nan());
        assert_eq!(from_bf16(to_bf16(f32::MAX)), BF16_MAX);
        assert_eq!(from_bf16(to_bf16(1.0 + 1.0 / 256.0)), 1.0, "a tie goes to even");
        assert!(from_bf16(to_bf16(f32::NAN)).is_nan());
    }
}
