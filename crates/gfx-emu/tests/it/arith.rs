//! Arithmetic against formulas that share nothing with it: f64 with its rounding error, wide integers, tables of all
//! values, the `half` crate.

mod classes;
mod division;
mod functions;
mod half_precision;
mod integers;
mod modes;
mod rounding;

use std::cmp::Ordering;

use gfx_emu::arith::{Denorm, Exact, Float, Mode, Round};

const ROUNDS: [Round; 4] = [Round::NearestEven, Round::Up, Round::Down, Round::Zero];

/// HIP's mode with another rounding for every format.
fn rounding(round: Round) -> Exact {
    Exact { mode: Mode { round_32: round, round_16_64: round, ..Mode::HIP } }
}

/// HIP's mode with other denormals for every format.
fn denormals(denorm: Denorm) -> Exact {
    Exact { mode: Mode { denorm_32: denorm, denorm_16_64: denorm, ..Mode::HIP } }
}

/// Seeded random numbers (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// Any bits, or one of the values at which something changes, or a neighbour of the last one.
    fn float<F: Float>(&mut self) -> F {
        let sign = (self.next() & 1) << (F::FRACTION_BITS + F::EXPONENT_BITS);
        let (one, infinity) = (F::ONE.to_raw(), F::INFINITY.to_raw());
        let least_normal = 1 << F::FRACTION_BITS;
        let edges = [
            0,
            1,
            2,
            least_normal - 1,
            least_normal,
            least_normal + 1,
            one,
            one - 1,
            one + 1,
            one + least_normal,
            one - least_normal,
            infinity - 1,
            infinity,
            infinity + 1,
            F::NAN.to_raw(),
        ];
        let choice = self.next();
        match choice % 4 {
            0 => F::from_raw(edges[(choice >> 8) as usize % edges.len()] | sign),
            // A few set bits in the fraction make halfway cases.
            1 => F::from_raw((self.next() & self.next() & self.next() & (infinity | (infinity - 1))) | sign),
            _ => F::from_raw(self.next()),
        }
    }
}

/// Equal in every bit, or both NaNs.
#[track_caller]
fn assert_same<F: Float>(got: F, want: F, about: impl Fn() -> String) {
    let same = got.to_raw() == want.to_raw() || got.is_nan() && want.is_nan();
    assert!(same, "{}: got {:#x}, want {:#x}", about(), got.to_raw(), want.to_raw());
}

/// The number that `round` gives where `near` is the nearest and compares to the exact value as `near_is`.
fn directed<F: Float>(near: F, near_is: Ordering, round: Round) -> F {
    if near.is_nan() || near_is == Ordering::Equal {
        return near;
    }
    // Bits as an ordered number: the neighbour above or below is one off.
    let step = |up: bool| {
        if near.is_zero() {
            return F::from_raw(u64::from(up != near.is_negative())).with_sign(!up);
        }
        let away = up != near.is_negative();
        F::from_raw(if away { near.to_raw() + 1 } else { near.to_raw() - 1 })
    };
    let toward_zero_is_up = near.is_negative();
    match (round, near_is) {
        (Round::Up, Ordering::Less) => step(true),
        (Round::Down, Ordering::Greater) => step(false),
        (Round::Zero, Ordering::Less) if toward_zero_is_up => step(true),
        (Round::Zero, Ordering::Greater) if !toward_zero_is_up => step(false),
        _ => near,
    }
}
