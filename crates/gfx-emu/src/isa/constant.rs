//! Constants that instructions carry (RDNA3 ISA guide, 5.2 and 7.3).

use super::row::Kind;

/// The eight inline floats behind code 240, and 1/(2π).
const FLOATS: [f64; 9] = [0.5, -0.5, 1.0, -1.0, 2.0, -2.0, 4.0, -4.0, 0.15915494309189532];
/// 1/(2π) as the guide gives it for each width.
const INVERSE_TWO_PI: (u16, u32, u64) = (0x3118, 0x3e22_f983, 0x3fc4_5f30_6dc9_c882);

/// Bases of the apertures that flat addresses name LDS and private memory by.
const SHARED_BASE: u64 = crate::abi::SHARED_APERTURE;
const PRIVATE_BASE: u64 = crate::abi::PRIVATE_APERTURE;

/// The constant that a source code stands for, in the form of an operand's kind.
pub fn inline(code: u32, kind: Kind) -> Option<u64> {
    Some(match code {
        128..=192 => integer(i64::from(code) - 128, kind),
        193..=208 => integer(192 - i64::from(code), kind),
        235 => aperture(SHARED_BASE, kind),
        236 => aperture(SHARED_BASE | 0xffff_ffff, kind),
        237 => aperture(PRIVATE_BASE, kind),
        238 => aperture(PRIVATE_BASE | 0xffff_ffff, kind),
        240..=248 => float((code - 240) as usize, kind),
        _ => return None,
    })
}

fn integer(value: i64, kind: Kind) -> u64 {
    match kind {
        Kind::B64 | Kind::I64 | Kind::F64 | Kind::Mask => value as u64,
        _ => u64::from(value as u32),
    }
}

/// An operand of 32 bits gets the high word, since the low one is zero.
fn aperture(address: u64, kind: Kind) -> u64 {
    if kind.registers() == 2 { address } else { address >> 32 }
}

fn float(index: usize, kind: Kind) -> u64 {
    let value = FLOATS[index];
    let is_inverse = index == 8;
    match kind {
        Kind::F16 | Kind::PkF16 | Kind::TileF16 | Kind::PkTileF16 => {
            u64::from(if is_inverse { INVERSE_TWO_PI.0 } else { half::f16::from_f64(value).to_bits() })
        }
        Kind::Bf16 | Kind::PkBf16 | Kind::TileBf16 | Kind::PkTileBf16 => {
            u64::from(if is_inverse { INVERSE_TWO_PI.1 >> 16 } else { (value as f32).to_bits() >> 16 })
        }
        Kind::F64 | Kind::B64 | Kind::I64 => {
            if is_inverse {
                INVERSE_TWO_PI.2
            } else {
                value.to_bits()
            }
        }
        // Integers of 16 bits get the low half of the float, pairs of them both halves.
        _ => u64::from(if is_inverse { INVERSE_TWO_PI.1 } else { (value as f32).to_bits() }),
    }
}

/// A literal in the form of an operand's kind: of a double it is the high word.
pub fn literal_of(literal: u32, kind: Kind) -> u64 {
    match kind {
        Kind::F64 => u64::from(literal) << 32,
        Kind::I64 | Kind::Mask => i64::from(literal as i32) as u64,
        _ => u64::from(literal),
    }
}
