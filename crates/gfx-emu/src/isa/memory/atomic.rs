//! Atomic operations on memory.
//!
//! Lanes take their turns in order. Memory that was never written must not be changed so, since it would decide the
//! result.

use super::format::Words;
use super::local::Local;
use super::{Access, Lanes, Outcome, Sources, Space, issue, receive, vgpr};
use crate::arith::{Bf16, F16};
use crate::fault::Fault;
use crate::isa::row::{Exec, Semantics};
use crate::isa::{Inst, Kind};
use crate::run::{Core, undefined};
use crate::wave::LANES;

/// An operation on N words.
pub(crate) trait Operation<const N: usize> {
    /// Whether it has a second operand.
    const HAS_SECOND: bool = false;
    /// The new value, from the old one and the operands.
    fn apply(old: u64, data: u64, second: u64) -> u64;
}

macro_rules! operation {
    ($name:ident, $words:literal, |$old:ident: $type:ty, $data:ident| $new:expr) => {
        pub(crate) struct $name;
        impl Operation<$words> for $name {
            fn apply(old: u64, data: u64, _: u64) -> u64 {
                let ($old, $data) = (<$type as Bits>::from_bits(old), <$type as Bits>::from_bits(data));
                Bits::to_bits($new)
            }
        }
    };
    ($name:ident, $words:literal, |$old:ident: $type:ty, $data:ident, $second:ident| $new:expr) => {
        pub(crate) struct $name;
        impl Operation<$words> for $name {
            const HAS_SECOND: bool = true;
            fn apply(old: u64, data: u64, second: u64) -> u64 {
                let ($old, $data) = (<$type as Bits>::from_bits(old), <$type as Bits>::from_bits(data));
                let $second = <$type as Bits>::from_bits(second);
                Bits::to_bits($new)
            }
        }
    };
}

/// A number of 32 or 64 bits.
trait Bits {
    fn from_bits(bits: u64) -> Self;
    fn to_bits(self) -> u64;
}

macro_rules! bits {
    ($($type:ty, |$bits:ident| $from:expr, |$value:ident| $to:expr;)*) => {$(
        impl Bits for $type {
            fn from_bits($bits: u64) -> Self {
                $from
            }
            fn to_bits(self) -> u64 {
                let $value = self;
                $to
            }
        }
    )*};
}

bits! {
    u32, |bits| bits as u32, |value| value.into();
    i32, |bits| bits as i32, |value| value as u32 as u64;
    u64, |bits| bits, |value| value;
    i64, |bits| bits as i64, |value| value as u64;
    f32, |bits| Self::from_bits(bits as u32), |value| value.to_bits().into();
    f64, |bits| Self::from_bits(bits), |value| value.to_bits();
}

/// The wrapping counters: up to a limit, then zero; and down to zero, then the limit.
macro_rules! counters {
    ($inc:ident, $dec:ident, $words:literal, $type:ty) => {
        operation!($inc, $words, |old: $type, limit| if old >= limit { 0 } else { old + 1 });
        operation!($dec, $words, |old: $type, limit| if old == 0 || old > limit { limit } else { old - 1 });
    };
}

operation!(Swap32, 1, |_old: u32, data| data);
operation!(Swap64, 2, |_old: u64, data| data);
operation!(Add32, 1, |old: u32, data| old.wrapping_add(data));
operation!(Add64, 2, |old: u64, data| old.wrapping_add(data));
operation!(Sub32, 1, |old: u32, data| old.wrapping_sub(data));
operation!(Sub64, 2, |old: u64, data| old.wrapping_sub(data));
operation!(ReverseSub32, 1, |old: u32, data| data.wrapping_sub(old));
operation!(ReverseSub64, 2, |old: u64, data| data.wrapping_sub(old));
operation!(ClampedSub32, 1, |old: u32, data| old.saturating_sub(data));
operation!(MinI32, 1, |old: i32, data| old.min(data));
operation!(MaxI32, 1, |old: i32, data| old.max(data));
operation!(MinU32, 1, |old: u32, data| old.min(data));
operation!(MaxU32, 1, |old: u32, data| old.max(data));
operation!(MinI64, 2, |old: i64, data| old.min(data));
operation!(MaxI64, 2, |old: i64, data| old.max(data));
operation!(MinU64, 2, |old: u64, data| old.min(data));
operation!(MaxU64, 2, |old: u64, data| old.max(data));
operation!(And32, 1, |old: u32, data| old & data);
operation!(Or32, 1, |old: u32, data| old | data);
operation!(Xor32, 1, |old: u32, data| old ^ data);
operation!(And64, 2, |old: u64, data| old & data);
operation!(Or64, 2, |old: u64, data| old | data);
operation!(Xor64, 2, |old: u64, data| old ^ data);
counters!(Inc32, Dec32, 1, u32);
counters!(Inc64, Dec64, 2, u64);
operation!(MaskedOr32, 1, |old: u32, mask, data| old & !mask | data);
operation!(MaskedOr64, 2, |old: u64, mask, data| old & !mask | data);
operation!(Wrap32, 1, |old: u32, data, limit| if old >= data { old - data } else { old.wrapping_add(limit) });
operation!(CompareSwap32, 1, |old: u32, data, expected| if old == expected { data } else { old });
operation!(CompareSwap64, 2, |old: u64, data, expected| if old == expected { data } else { old });
operation!(CompareSwapF32, 1, |old: f32, data, expected| if old == expected { data } else { old });
operation!(CompareSwapF64, 2, |old: f64, data, expected| if old == expected { data } else { old });
operation!(SubIfCovered, 1, |old: u32, data| if old >= data { old - data } else { old });
operation!(AddF32, 1, |old: f32, data| old + data);
operation!(MinF32, 1, |old: f32, data| old.min(data));
operation!(MaxF32, 1, |old: f32, data| old.max(data));
operation!(MinF64, 2, |old: f64, data| old.min(data));
operation!(MaxF64, 2, |old: f64, data| old.max(data));

/// Adds two floats of 16 bits each.
macro_rules! packed_add {
    ($name:ident, $float:ident) => {
        pub(crate) struct $name;
        impl Operation<1> for $name {
            fn apply(old: u64, data: u64, _: u64) -> u64 {
                let half = |shift: u32| {
                    let [old, data] = [old, data].map(|bits| $float((bits >> shift) as u16).to_f32());
                    u64::from($float::from_f32(old + data).0) << shift
                };
                half(0) | half(16)
            }
        }
    };
}

packed_add!(AddPkF16, F16);
packed_add!(AddPkBf16, Bf16);

/// Writes the words whose highest bit is set, without that bit.
pub(crate) struct ConditionalExchange;

impl Operation<2> for ConditionalExchange {
    fn apply(old: u64, data: u64, _: u64) -> u64 {
        let half = |shift: u32| {
            let (old, data) = ((old >> shift) as u32, (data >> shift) as u32);
            u64::from(if data >> 31 == 1 { data & 0x7fff_ffff } else { old }) << shift
        };
        half(0) | half(32)
    }
}

/// An operation whose second operand, if it has one, is in the registers behind the first.
pub(crate) const fn behind<S: Space, O: Operation<N>, const N: usize>() -> Semantics {
    let exec = Exec::Core(|core, inst| run::<S, O, N>(core, inst, vgpr(inst.src[1]) + N as u16));
    let src = if O::HAS_SECOND { Sources::<S, Words<N>, N>::PAIRS } else { Sources::<S, Words<N>, N>::STORES };
    Semantics { exec, dst: Kind::V(N as u8), carries: false, src }
}

/// An operation on LDS, whose second operand has a field of its own; with or without a result.
pub(crate) const fn local<O: Operation<N>, const N: usize>(returns: bool) -> Semantics {
    let exec = Exec::Core(|core, inst| run::<Local, O, N>(core, inst, vgpr(inst.src[2])));
    let dst = if returns { Kind::V(N as u8) } else { Kind::None };
    let src = if O::HAS_SECOND { two_operands::<N>() } else { Sources::<Local, Words<N>, N>::STORES };
    Semantics { exec, dst, carries: false, src }
}

/// Kinds of the operands of an access of LDS with two data.
pub(crate) const fn two_operands<const N: usize>() -> &'static [Kind] {
    match N {
        1 => &[Kind::B32, Kind::V(1), Kind::V(1)],
        _ => &[Kind::B32, Kind::V(2), Kind::V(2)],
    }
}

fn run<S: Space, O: Operation<N>, const N: usize>(core: &mut Core<'_, '_>, inst: &Inst, second: u16) -> Outcome {
    let data = vgpr(inst.src[1]);
    for half in 0..core.wave.halves {
        let mask = core.wave.exec(half);
        if mask == 0 {
            continue;
        }
        let at = S::lanes(core, inst, half, mask)?;
        if core.group.env.options.counts_lines {
            S::count(core, &at, 4 * N, Access::Atomic);
        }
        let first = operand::<N>(core, &at, data)?;
        let second = if O::HAS_SECOND { operand::<N>(core, &at, second)? } else { [0; LANES] };
        let mut words = [[0; LANES]; N];
        for (lane, _) in at.each() {
            let change = |old| O::apply(old, first[lane], second[lane]);
            let old = S::update(core, inst, &at, lane, 4 * N, &change)?;
            words.iter_mut().enumerate().for_each(|(n, word)| word[lane] = (old >> (32 * n)) as u32);
        }
        if inst.has_result() {
            receive::<Words<N>, N>(core.wave, inst.dst, &at, &words, &[0; N]);
        }
    }
    issue(core, inst, if inst.has_result() { S::LOADS } else { S::STORES });
    Ok(())
}

/// An operand in registers, which must be defined in active lanes.
fn operand<const N: usize>(core: &Core<'_, '_>, at: &Lanes, first: u16) -> Result<[u64; LANES], Box<Fault>> {
    let wave = &*core.wave;
    for register in first..first + N as u16 {
        let holes = at.mask & !wave.track.defined(at.half, register);
        if holes != 0 {
            return Err(undefined(
                wave,
                at.half,
                register,
                holes.trailing_zeros(),
                "is an operand of an atomic operation",
            ));
        }
    }
    let words: [&[u32; LANES]; N] = std::array::from_fn(|n| wave.v(at.half, first + n as u16));
    Ok(std::array::from_fn(|lane| words.iter().rev().fold(0, |value, word| value << 32 | u64::from(word[lane]))))
}
