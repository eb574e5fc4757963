//! Floats of eight bits, as the OCP defines them ("OCP 8-bit Floating Point Specification", 5).

use super::F16;

/// The value of an E4M3 (`fp8`): it has no infinities, and one NaN of each sign.
#[inline(always)]
pub fn from_e4m3(bits: u8) -> f32 {
    if bits & 0x7f == 0x7f {
        return f32::NAN;
    }
    // With its fields where those of an f16 are, it is off by the difference of the biases.
    let scaled = F16(u16::from(bits & 0x80) << 8 | u16::from(bits & 0x7f) << 7);
    scaled.to_f32() * 256.0
}

/// The value of an E5M2 (`bf8`): the high half of an f16.
#[inline(always)]
pub fn from_e5m2(bits: u8) -> f32 {
    F16(u16::from(bits) << 8).to_f32()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e4m3_has_the_values_of_its_specification() {
        let cases =
            [(0x00, 0.0), (0x80, -0.0), (0x01, 2f32.powi(-9)), (0x07, 7.0 * 2f32.powi(-9)), (0x08, 2f32.powi(-6))];
        for (bits, value) in
            cases.into_iter().chain([(0x38, 1.0), (0x3c, 1.5), (0xc0, -2.0), (0x78, 256.0), (0x7e, 448.0)])
        {
            assert_eq!(from_e4m3(bits).to_bits(), f32::to_bits(value), "{bits:#x}");
        }
        assert!(from_e4m3(0x7f).is_nan() && from_e4m3(0xff).is_nan());
    }

    #[test]
    fn e5m2_has_the_values_of_its_specification() {
        let cases = [(0x00, 0.0), (0x01, 2f32.powi(-16)), (0x03, 3.0 * 2f32.powi(-16)), (0x04, 2f32.powi(-14))];
        for (bits, value) in
            cases.into_iter().chain([(0x3c, 1.0), (0xbe, -1.5), (0x7b, 57344.0), (0x7c, f32::INFINITY)])
        {
            assert_eq!(from_e5m2(bits), value, "{bits:#x}");
        }
        assert!(from_e5m2(0x7d).is_nan());
    }
}
