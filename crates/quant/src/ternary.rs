//! Types of one to two bits: TQ1_0 and TQ2_0 for models trained with ternary weights, Q1_0 with
//! signs alone, Q2_0 with four levels.

use crate::codec::{Decode, f16_at};

/// The digit at `place` (0 is the first) of a byte that holds five base-3 digits as the
/// fraction `byte / 256`: multiplying by 3 moves one digit before the point.
#[inline(always)]
fn trit(byte: u8, place: usize) -> u8 {
    const POW3: [u8; 5] = [1, 3, 9, 27, 81];
    let fraction = byte.wrapping_mul(POW3[place]);
    (u16::from(fraction) * 3 >> 8) as u8
}

/// 1.6875 bits a value: 48 bytes of five base-3 digits at 0; 4 bytes of four digits at 48; f16
/// scale at 52. Digit `n` of the first 32 bytes is value `32 n + byte`; the next 16 bytes and
/// the last 4 continue in the same way.
pub(crate) struct Tq1_0;

impl Tq1_0 {
    /// `(first byte, bytes, digits, first value)` of the three runs of a block.
    const RUNS: [(usize, usize, usize, usize); 3] = [(0, 32, 5, 0), (32, 16, 5, 160), (48, 4, 4, 240)];
}

impl Decode<54, 256> for Tq1_0 {
    fn decode(block: &[u8; 54], out: &mut [f32; 256]) {
        let d = f16_at(block, 52);
        for (first, len, digits, start) in Tq1_0::RUNS {
            for n in 0..digits {
                for m in 0..len {
                    let t = i16::from(trit(block[first + m], n)) - 1;
                    out[start + n * len + m] = f32::from(t) * d;
                }
            }
        }
    }
}

/// 2.0625 bits a value: 64 bytes of four 2-bit codes at 0; f16 scale at 64. In each half of 32
/// bytes, the codes at bit `2 l` are values `32 l` and following.
pub(crate) struct Tq2_0;

impl Decode<66, 256> for Tq2_0 {
    fn decode(block: &[u8; 66], out: &mut [f32; 256]) {
        let d = f16_at(block, 64);
        for (i, y) in out.iter_mut().enumerate() {
            let code = block[i / 128 * 32 + i % 32] >> (i / 32 % 4 * 2) & 3;
            *y = (f32::from(code) - 1.0) * d;
        }
    }
}

/// 1.125 bits a value: f16 scale at 0; 16 bytes of signs at 2, a set bit meaning plus.
pub(crate) struct Q1_0;

impl Decode<18, 128> for Q1_0 {
    fn decode(block: &[u8; 18], out: &mut [f32; 128]) {
        let d = f16_at(block, 0);
        for (i, y) in out.iter_mut().enumerate() {
            *y = if block[2 + i / 8] >> (i % 8) & 1 == 1 { d } else { -d };
        }
    }
}

/// 2.25 bits a value: f16 scale at 0; 16 bytes of four 2-bit codes at 2, for -1, 0, 1 and 2
/// times the scale.
pub(crate) struct Q2_0;

impl Decode<18, 64> for Q2_0 {
    fn decode(block: &[u8; 18], out: &mut [f32; 64]) {
        let d = f16_at(block, 0);
        for (i, y) in out.iter_mut().enumerate() {
            let code = block[2 + i / 4] >> (i % 4 * 2) & 3;
            *y = (f32::from(code) - 1.0) * d;
        }
    }
}
