//! Operands by type: how a row's function gets 32 values of a source, and how its 32 results are written.

use super::dpp;
use super::inst::{Inst, Src};
use super::row::Kind;
use crate::arith::{Arith, Bf16, F16};
use crate::wave::{LANES, Wave, slot};

/// A source of a lane-wise instruction.
pub trait Operand: Copy {
    /// What it is in tables.
    const KIND: Kind;
    /// Source `n` of all lanes of a half.
    fn read(wave: &Wave, inst: &Inst, n: usize, half: usize) -> [Self; LANES];
}

/// A result of a lane-wise instruction.
pub trait Output: Copy {
    /// What it is in tables.
    const KIND: Kind;
    /// Whether it has one bit a lane besides.
    const CARRIES: bool = false;
    /// Room for results.
    const ZERO: Self;
    /// Writes the active lanes.
    fn write<A: Arith>(arith: A, wave: &mut Wave, inst: &Inst, half: usize, values: &[Self; LANES]);
}

/// The 32 bits of a source, without modifiers.
#[inline(always)]
pub fn bits32(wave: &Wave, inst: &Inst, n: usize, half: usize) -> [u32; LANES] {
    match inst.src[n] {
        Src::V(register) if n == 0 && inst.dpp.is_some() => exchanged(wave, inst, register, half),
        Src::V(_) | Src::S(_) if n < 2 && inst.subword.is_some() => part(wave, inst, n, half),
        Src::V(register) => *wave.v(half, register),
        Src::S(register) => [wave.s(register); LANES],
        Src::K(value) => [value as u32; LANES],
        other => [flag(wave, other); LANES],
    }
}

#[cold]
#[inline(never)]
fn exchanged(wave: &Wave, inst: &Inst, register: u16, half: usize) -> [u32; LANES] {
    let values = wave.v(half, register);
    inst.dpp.as_ref().map_or(*values, |dpp| dpp::exchange(wave, dpp, half, values))
}

/// A source that is part of a register.
#[inline(never)]
fn part(wave: &Wave, inst: &Inst, n: usize, half: usize) -> [u32; LANES] {
    let whole = match inst.src[n] {
        Src::V(register) => *wave.v(half, register),
        Src::S(register) => [wave.s(register); LANES],
        _ => [0; LANES],
    };
    inst.subword.as_ref().map_or(whole, |subword| whole.map(|value| subword.src[n].of(value)))
}

/// Writes a result to part of a register.
#[inline(never)]
fn write_part(wave: &mut Wave, inst: &Inst, half: usize, values: &[u32; LANES]) {
    let Some(subword) = &inst.subword else { return };
    let old = wave.v(half, inst.dst);
    let placed = std::array::from_fn(|lane| subword.placed(values[lane], old[lane]));
    let lanes = wave.lanes_of(inst, half);
    wave.write(half, inst.dst, lanes, &placed);
}

#[cold]
fn flag(wave: &Wave, src: Src) -> u32 {
    u32::from(match src {
        Src::Scc => wave.scc,
        Src::VccZ => wave.s64(slot::VCC) & wave.lane_mask() == 0,
        _ => wave.exec64() == 0,
    })
}

/// The 64 bits of a source, without modifiers.
#[inline(always)]
pub fn bits64(wave: &Wave, inst: &Inst, n: usize, half: usize) -> [u64; LANES] {
    match inst.src[n] {
        Src::V(register) => {
            let (low, high) = (wave.v(half, register), wave.v(half, register + 1));
            std::array::from_fn(|lane| u64::from(low[lane]) | u64::from(high[lane]) << 32)
        }
        Src::S(register) => [wave.s64(register); LANES],
        Src::K(value) => [value; LANES],
        other => [u64::from(flag(wave, other)); LANES],
    }
}

/// The 16 bits of a source in the low half, from the half of the register that the instruction names.
#[inline(always)]
fn bits16(wave: &Wave, inst: &Inst, n: usize, half: usize) -> [u32; LANES] {
    let shift = if inst.opsel >> n & 1 == 1 { 16 } else { 0 };
    bits32(wave, inst, n, half).map(|bits| bits >> shift & 0xffff)
}

/// A scalar source of 32 bits.
#[inline(always)]
pub fn scalar32(wave: &Wave, inst: &Inst, n: usize) -> u32 {
    match inst.src[n] {
        Src::S(register) => wave.s(register),
        Src::K(value) => value as u32,
        // A vector register here stands for its first lane.
        Src::V(register) => wave.v(0, register)[0],
        other => flag(wave, other),
    }
}

/// A scalar source of 64 bits.
#[inline(always)]
pub fn scalar64(wave: &Wave, inst: &Inst, n: usize) -> u64 {
    match inst.src[n] {
        Src::S(register) => wave.s64(register),
        Src::K(value) => value,
        Src::V(register) => u64::from(wave.v(0, register)[0]),
        other => u64::from(flag(wave, other)),
    }
}

/// A scalar source of one bit a lane, all lanes.
#[inline(always)]
pub fn scalar_mask(wave: &Wave, inst: &Inst, n: usize) -> u64 {
    if wave.halves == 2 { scalar64(wave, inst, n) } else { u64::from(scalar32(wave, inst, n)) }
}

impl Operand for u32 {
    const KIND: Kind = Kind::B32;
    #[inline(always)]
    fn read(wave: &Wave, inst: &Inst, n: usize, half: usize) -> [Self; LANES] {
        bits32(wave, inst, n, half)
    }
}

impl Operand for i32 {
    const KIND: Kind = Kind::B32;
    #[inline(always)]
    fn read(wave: &Wave, inst: &Inst, n: usize, half: usize) -> [Self; LANES] {
        bits32(wave, inst, n, half).map(|bits| bits as i32)
    }
}

impl Operand for f32 {
    const KIND: Kind = Kind::B32;
    #[inline(always)]
    fn read(wave: &Wave, inst: &Inst, n: usize, half: usize) -> [Self; LANES] {
        let mut bits = bits32(wave, inst, n, half);
        if (inst.neg | inst.abs) >> n & 1 == 1 {
            modify(&mut bits, inst, n, 0x8000_0000);
        }
        bits.map(f32::from_bits)
    }
}

/// Takes the absolute value, then flips the sign, as the instruction says.
#[inline(always)]
fn modify(bits: &mut [u32; LANES], inst: &Inst, n: usize, sign: u32) {
    let clear = if inst.abs >> n & 1 == 1 { sign } else { 0 };
    let flip = if inst.neg >> n & 1 == 1 { sign } else { 0 };
    for lane in bits {
        *lane = (*lane & !clear) ^ flip;
    }
}

impl Operand for u64 {
    const KIND: Kind = Kind::B64;
    #[inline(always)]
    fn read(wave: &Wave, inst: &Inst, n: usize, half: usize) -> [Self; LANES] {
        bits64(wave, inst, n, half)
    }
}

impl Operand for i64 {
    const KIND: Kind = Kind::I64;
    #[inline(always)]
    fn read(wave: &Wave, inst: &Inst, n: usize, half: usize) -> [Self; LANES] {
        bits64(wave, inst, n, half).map(|bits| bits as i64)
    }
}

impl Operand for f64 {
    const KIND: Kind = Kind::F64;
    #[inline(always)]
    fn read(wave: &Wave, inst: &Inst, n: usize, half: usize) -> [Self; LANES] {
        let clear = u64::from(inst.abs >> n & 1) << 63;
        let flip = u64::from(inst.neg >> n & 1) << 63;
        bits64(wave, inst, n, half).map(|bits| Self::from_bits((bits & !clear) ^ flip))
    }
}

impl Operand for u16 {
    const KIND: Kind = Kind::B16;
    #[inline(always)]
    fn read(wave: &Wave, inst: &Inst, n: usize, half: usize) -> [Self; LANES] {
        bits16(wave, inst, n, half).map(|bits| bits as Self)
    }
}

impl Operand for i16 {
    const KIND: Kind = Kind::B16;
    #[inline(always)]
    fn read(wave: &Wave, inst: &Inst, n: usize, half: usize) -> [Self; LANES] {
        bits16(wave, inst, n, half).map(|bits| bits as Self)
    }
}

impl Operand for F16 {
    const KIND: Kind = Kind::F16;
    #[inline(always)]
    fn read(wave: &Wave, inst: &Inst, n: usize, half: usize) -> [Self; LANES] {
        let mut bits = bits16(wave, inst, n, half);
        modify(&mut bits, inst, n, 0x8000);
        bits.map(|bits| Self(bits as u16))
    }
}

impl Operand for Bf16 {
    const KIND: Kind = Kind::Bf16;
    #[inline(always)]
    fn read(wave: &Wave, inst: &Inst, n: usize, half: usize) -> [Self; LANES] {
        let mut bits = bits16(wave, inst, n, half);
        modify(&mut bits, inst, n, 0x8000);
        bits.map(|bits| Self(bits as u16))
    }
}

/// Low and high half of a packed operand, each from the half of the register that the instruction names.
#[inline(always)]
fn packed(wave: &Wave, inst: &Inst, n: usize, half: usize) -> [[u16; 2]; LANES] {
    let shift = [inst.opsel, inst.opsel_hi].map(|select| if select >> n & 1 == 1 { 16 } else { 0 });
    bits32(wave, inst, n, half).map(|bits| shift.map(|shift| (bits >> shift) as u16))
}

/// The signs that flip in the low and the high half.
#[inline(always)]
fn packed_signs(inst: &Inst, n: usize) -> [u16; 2] {
    [inst.neg, inst.abs].map(|flips| u16::from(flips >> n & 1) << 15)
}

impl Operand for [F16; 2] {
    const KIND: Kind = Kind::PkF16;
    #[inline(always)]
    fn read(wave: &Wave, inst: &Inst, n: usize, half: usize) -> [Self; LANES] {
        let [low, high] = packed_signs(inst, n);
        packed(wave, inst, n, half).map(|[l, h]| [F16(l ^ low), F16(h ^ high)])
    }
}

impl Operand for [Bf16; 2] {
    const KIND: Kind = Kind::PkBf16;
    #[inline(always)]
    fn read(wave: &Wave, inst: &Inst, n: usize, half: usize) -> [Self; LANES] {
        let [low, high] = packed_signs(inst, n);
        packed(wave, inst, n, half).map(|[l, h]| [Bf16(l ^ low), Bf16(h ^ high)])
    }
}

impl Operand for [u16; 2] {
    const KIND: Kind = Kind::PkB16;
    #[inline(always)]
    fn read(wave: &Wave, inst: &Inst, n: usize, half: usize) -> [Self; LANES] {
        packed(wave, inst, n, half)
    }
}

impl Operand for [i16; 2] {
    const KIND: Kind = Kind::PkB16;
    #[inline(always)]
    fn read(wave: &Wave, inst: &Inst, n: usize, half: usize) -> [Self; LANES] {
        packed(wave, inst, n, half).map(|pair| pair.map(|bits| bits as i16))
    }
}

/// A float, or a half float that became one.
#[derive(Debug, Clone, Copy)]
pub struct Mix(pub f32);

impl Operand for Mix {
    const KIND: Kind = Kind::Mix;
    #[inline(always)]
    fn read(wave: &Wave, inst: &Inst, n: usize, half: usize) -> [Self; LANES] {
        let bits = bits32(wave, inst, n, half);
        let mut bits = if inst.opsel_hi >> n & 1 == 1 {
            let shift = if inst.opsel >> n & 1 == 1 { 16 } else { 0 };
            bits.map(|bits| F16((bits >> shift) as u16).to_f32().to_bits())
        } else {
            bits
        };
        modify(&mut bits, inst, n, 0x8000_0000);
        bits.map(|bits| Self(f32::from_bits(bits)))
    }
}

impl Operand for [f32; 2] {
    const KIND: Kind = Kind::PkF32;
    #[inline(always)]
    fn read(wave: &Wave, inst: &Inst, n: usize, half: usize) -> [Self; LANES] {
        let select = |bits: u64, which: u8| (bits >> (if which >> n & 1 == 1 { 32 } else { 0 })) as u32;
        let signs = [inst.neg, inst.abs].map(|flips| u32::from(flips >> n & 1) << 31);
        bits64(wave, inst, n, half).map(|bits| {
            [
                f32::from_bits(select(bits, inst.opsel) ^ signs[0]),
                f32::from_bits(select(bits, inst.opsel_hi) ^ signs[1]),
            ]
        })
    }
}

impl Operand for [u32; 4] {
    const KIND: Kind = Kind::V(4);
    #[inline(always)]
    fn read(wave: &Wave, inst: &Inst, n: usize, half: usize) -> [Self; LANES] {
        let words: [[u32; LANES]; 4] = std::array::from_fn(|word| match inst.src[n] {
            Src::V(register) => *wave.v(half, register + word as u16),
            Src::S(register) => [wave.s(register + word as u8); LANES],
            _ => bits32(wave, inst, n, half),
        });
        std::array::from_fn(|lane| words.map(|word| word[lane]))
    }
}

impl Operand for bool {
    const KIND: Kind = Kind::Mask;
    #[inline(always)]
    fn read(wave: &Wave, inst: &Inst, n: usize, half: usize) -> [Self; LANES] {
        let mask = match inst.src[n] {
            Src::S(register) => wave.s(register + half as u8),
            Src::K(value) => (value >> (32 * half)) as u32,
            _ => 0,
        };
        std::array::from_fn(|lane| mask >> lane & 1 == 1)
    }
}

impl Output for u32 {
    const KIND: Kind = Kind::B32;
    const ZERO: Self = 0;
    #[inline(always)]
    fn write<A: Arith>(_: A, wave: &mut Wave, inst: &Inst, half: usize, values: &[Self; LANES]) {
        if inst.subword.is_some() {
            return write_part(wave, inst, half, values);
        }
        let lanes = wave.lanes_of(inst, half);
        wave.write(half, inst.dst, lanes, values);
    }
}

impl Output for i32 {
    const KIND: Kind = Kind::B32;
    const ZERO: Self = 0;
    #[inline(always)]
    fn write<A: Arith>(arith: A, wave: &mut Wave, inst: &Inst, half: usize, values: &[Self; LANES]) {
        u32::write(arith, wave, inst, half, &values.map(|value| value as u32));
    }
}

impl Output for f32 {
    const KIND: Kind = Kind::B32;
    const ZERO: Self = 0.0;
    #[inline(always)]
    fn write<A: Arith>(arith: A, wave: &mut Wave, inst: &Inst, half: usize, values: &[Self; LANES]) {
        if inst.clamp || inst.omod != 0 {
            let values = values.map(|value| {
                let value = arith.omod(value, u32::from(inst.omod));
                if inst.clamp { arith.clamp(value) } else { value }
            });
            u32::write(arith, wave, inst, half, &values.map(Self::to_bits));
        } else {
            u32::write(arith, wave, inst, half, &values.map(Self::to_bits));
        }
    }
}

impl Output for u64 {
    const KIND: Kind = Kind::B64;
    const ZERO: Self = 0;
    #[inline(always)]
    fn write<A: Arith>(_: A, wave: &mut Wave, inst: &Inst, half: usize, values: &[Self; LANES]) {
        let lanes = wave.lanes_of(inst, half);
        wave.write(half, inst.dst, lanes, &values.map(|value| value as u32));
        wave.write(half, inst.dst + 1, lanes, &values.map(|value| (value >> 32) as u32));
    }
}

impl Output for i64 {
    const KIND: Kind = Kind::I64;
    const ZERO: Self = 0;
    #[inline(always)]
    fn write<A: Arith>(arith: A, wave: &mut Wave, inst: &Inst, half: usize, values: &[Self; LANES]) {
        u64::write(arith, wave, inst, half, &values.map(|value| value as u64));
    }
}

impl Output for f64 {
    const KIND: Kind = Kind::F64;
    const ZERO: Self = 0.0;
    #[inline(always)]
    fn write<A: Arith>(arith: A, wave: &mut Wave, inst: &Inst, half: usize, values: &[Self; LANES]) {
        let values = values.map(|value| {
            let value = arith.omod(value, u32::from(inst.omod));
            if inst.clamp { arith.clamp(value) } else { value }
        });
        u64::write(arith, wave, inst, half, &values.map(Self::to_bits));
    }
}

impl Output for [u32; 4] {
    const KIND: Kind = Kind::V(4);
    const ZERO: Self = [0; 4];
    #[inline(always)]
    fn write<A: Arith>(_: A, wave: &mut Wave, inst: &Inst, half: usize, values: &[Self; LANES]) {
        let lanes = wave.lanes_of(inst, half);
        for word in 0..4 {
            wave.write(half, inst.dst + word as u16, lanes, &values.map(|value| value[word]));
        }
    }
}

impl Output for u16 {
    const KIND: Kind = Kind::B16;
    const ZERO: Self = 0;
    #[inline(always)]
    fn write<A: Arith>(_: A, wave: &mut Wave, inst: &Inst, half: usize, values: &[Self; LANES]) {
        if inst.subword.is_some() {
            return write_part(wave, inst, half, &values.map(u32::from));
        }
        let lanes = wave.lanes_of(inst, half);
        let old = *wave.v(half, inst.dst);
        let merged = if inst.opsel >> 3 & 1 == 1 {
            std::array::from_fn(|lane| old[lane] & 0xffff | u32::from(values[lane]) << 16)
        } else {
            std::array::from_fn(|lane| old[lane] & 0xffff_0000 | u32::from(values[lane]))
        };
        wave.write(half, inst.dst, lanes, &merged);
    }
}

impl Output for i16 {
    const KIND: Kind = Kind::B16;
    const ZERO: Self = 0;
    #[inline(always)]
    fn write<A: Arith>(arith: A, wave: &mut Wave, inst: &Inst, half: usize, values: &[Self; LANES]) {
        u16::write(arith, wave, inst, half, &values.map(|value| value as u16));
    }
}

impl Output for F16 {
    const KIND: Kind = Kind::F16;
    const ZERO: Self = Self(0);
    #[inline(always)]
    fn write<A: Arith>(arith: A, wave: &mut Wave, inst: &Inst, half: usize, values: &[Self; LANES]) {
        let values = values.map(|value| {
            let value = arith.omod(value, u32::from(inst.omod));
            if inst.clamp { arith.clamp(value) } else { value }
        });
        u16::write(arith, wave, inst, half, &values.map(|value| value.0));
    }
}

impl Output for Bf16 {
    const KIND: Kind = Kind::Bf16;
    const ZERO: Self = Self(0);
    #[inline(always)]
    fn write<A: Arith>(arith: A, wave: &mut Wave, inst: &Inst, half: usize, values: &[Self; LANES]) {
        u16::write(arith, wave, inst, half, &values.map(|value| value.0));
    }
}

impl Output for [u16; 2] {
    const KIND: Kind = Kind::PkB16;
    const ZERO: Self = [0; 2];
    #[inline(always)]
    fn write<A: Arith>(arith: A, wave: &mut Wave, inst: &Inst, half: usize, values: &[Self; LANES]) {
        u32::write(arith, wave, inst, half, &values.map(|[low, high]| u32::from(low) | u32::from(high) << 16));
    }
}

impl Output for [i16; 2] {
    const KIND: Kind = Kind::PkB16;
    const ZERO: Self = [0; 2];
    #[inline(always)]
    fn write<A: Arith>(arith: A, wave: &mut Wave, inst: &Inst, half: usize, values: &[Self; LANES]) {
        <[u16; 2]>::write(arith, wave, inst, half, &values.map(|pair| pair.map(|value| value as u16)));
    }
}

impl Output for [F16; 2] {
    const KIND: Kind = Kind::PkF16;
    const ZERO: Self = [F16(0); 2];
    #[inline(always)]
    fn write<A: Arith>(arith: A, wave: &mut Wave, inst: &Inst, half: usize, values: &[Self; LANES]) {
        let clamp = |value: F16| if inst.clamp { arith.clamp(value) } else { value };
        <[u16; 2]>::write(arith, wave, inst, half, &values.map(|pair| pair.map(|value| clamp(value).0)));
    }
}

impl Output for [f32; 2] {
    const KIND: Kind = Kind::PkF32;
    const ZERO: Self = [0.0; 2];
    #[inline(always)]
    fn write<A: Arith>(arith: A, wave: &mut Wave, inst: &Inst, half: usize, values: &[Self; LANES]) {
        let clamp = |value: f32| if inst.clamp { arith.clamp(value) } else { value };
        let bits = values.map(|[low, high]| u64::from(clamp(low).to_bits()) | u64::from(clamp(high).to_bits()) << 32);
        u64::write(arith, wave, inst, half, &bits);
    }
}

#[inline(always)]
fn mask_of(values: impl Fn(usize) -> bool) -> u32 {
    (0..LANES).fold(0, |mask, lane| mask | u32::from(values(lane)) << lane)
}

/// A comparison's result: inactive lanes get zero.
impl Output for bool {
    const KIND: Kind = Kind::Mask;
    const ZERO: Self = false;
    #[inline(always)]
    fn write<A: Arith>(_: A, wave: &mut Wave, inst: &Inst, half: usize, values: &[Self; LANES]) {
        let mask = mask_of(|lane| values[lane]) & wave.lanes_of(inst, half);
        wave.set_mask(inst.sdst, half, mask);
    }
}

/// A result and one bit a lane besides: carries and flags.
impl<T: Output> Output for (T, bool) {
    const KIND: Kind = T::KIND;
    const CARRIES: bool = true;
    const ZERO: Self = (T::ZERO, false);
    #[inline(always)]
    fn write<A: Arith>(arith: A, wave: &mut Wave, inst: &Inst, half: usize, values: &[Self; LANES]) {
        let mask = mask_of(|lane| values[lane].1) & wave.lanes_of(inst, half);
        T::write(arith, wave, inst, half, &values.map(|value| value.0));
        wave.set_mask(inst.sdst, half, mask);
    }
}

/// A scalar source.
pub trait ScalarOperand {
    /// What it is in tables.
    const KIND: Kind;
    /// Source `n`.
    fn read(wave: &Wave, inst: &Inst, n: usize) -> Self;
}

/// A scalar result.
pub trait ScalarOutput {
    /// What it is in tables.
    const KIND: Kind;
    /// Writes it.
    fn store(self, wave: &mut Wave, inst: &Inst);
}

macro_rules! scalar_type {
    ($type:ty, $kind:expr, $output:expr, |$wave:ident, $inst:ident, $n:ident| $read:expr, |$value:ident| $write:expr) => {
        impl ScalarOperand for $type {
            const KIND: Kind = $kind;
            #[inline(always)]
            fn read($wave: &Wave, $inst: &Inst, $n: usize) -> Self {
                $read
            }
        }
        impl ScalarOutput for $type {
            const KIND: Kind = $output;
            #[inline(always)]
            fn store(self, $wave: &mut Wave, $inst: &Inst) {
                let $value = self;
                $write;
            }
        }
    };
}

scalar_type!(u32, Kind::B32, Kind::S(1), |wave, inst, n| scalar32(wave, inst, n), |v| wave.set_s(inst.dst as u8, v));
scalar_type!(i32, Kind::B32, Kind::S(1), |wave, inst, n| scalar32(wave, inst, n) as i32, |v| wave
    .set_s(inst.dst as u8, v as u32));
scalar_type!(u64, Kind::B64, Kind::S(2), |wave, inst, n| scalar64(wave, inst, n), |v| wave.set_s64(inst.dst as u8, v));
scalar_type!(i64, Kind::I64, Kind::S(2), |wave, inst, n| scalar64(wave, inst, n) as i64, |v| wave
    .set_s64(inst.dst as u8, v as u64));

scalar_type!(f32, Kind::B32, Kind::S(1), |wave, inst, n| Self::from_bits(scalar32(wave, inst, n)), |v| wave
    .set_s(inst.dst as u8, v.to_bits()));
// The high half becomes zero.
scalar_type!(F16, Kind::F16, Kind::S(1), |wave, inst, n| Self(scalar32(wave, inst, n) as u16), |v| wave
    .set_s(inst.dst as u8, v.0.into()));

impl ScalarOutput for () {
    const KIND: Kind = Kind::None;
    fn store(self, _: &mut Wave, _: &Inst) {}
}
