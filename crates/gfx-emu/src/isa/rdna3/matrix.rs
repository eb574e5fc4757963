//! Products of 16 × 16 matrices (WMMA; RDNA3 ISA guide, 7.9).
//!
//! A lane holds a row of A and a column of B by its number modulo 16, so that each group of 16 lanes has all of both.
//! Register r of the result holds in group g row `groups * r + g`, a column in each lane. The operation is that of the
//! whole wave: EXEC does not matter.

use crate::arith::{Bf16, F16, dot};
use crate::fault::Fault;
use crate::isa::macros::across;
use crate::isa::row::Semantics;
use crate::isa::{Class, Inst, Kind, Row, Src};
use crate::wave::{LANES, Wave};

/// Rows, columns and summands.
pub(in crate::isa) const SIDE: usize = 16;

const fn row(opcode: u16, name: &'static str, semantics: Semantics) -> Row {
    Row::new(Class::Matrix, opcode, name, semantics)
}

/// VOP3P.
pub(super) static VOP3P: &[Row] = &[
    row(
        64,
        "v_wmma_f32_16x16x16_f16",
        across!(Kind::Tile, [Kind::V(8), Kind::V(8), Kind::Tile], product::<OfF16>, define),
    ),
    row(
        65,
        "v_wmma_f32_16x16x16_bf16",
        across!(Kind::Tile, [Kind::V(8), Kind::V(8), Kind::Tile], product::<OfBf16>, define),
    ),
    row(
        66,
        "v_wmma_f16_16x16x16_f16",
        across!(Kind::Tile, [Kind::V(8), Kind::V(8), Kind::TileF16], product::<ToF16>, define),
    ),
    row(
        67,
        "v_wmma_bf16_16x16x16_bf16",
        across!(Kind::Tile, [Kind::V(8), Kind::V(8), Kind::TileBf16], product::<ToBf16>, define),
    ),
    row(
        68,
        "v_wmma_i32_16x16x16_iu8",
        across!(Kind::Tile, [Kind::V(4), Kind::V(4), Kind::Tile], product::<OfIu8>, define),
    ),
    row(
        69,
        "v_wmma_i32_16x16x16_iu4",
        across!(Kind::Tile, [Kind::V(2), Kind::V(2), Kind::Tile], product::<OfIu4>, define),
    ),
];

/// What the elements of the matrices are.
pub(in crate::isa) trait Format {
    /// What is multiplied and added.
    type Number: Copy + Default;
    /// Bits of an element of A and B.
    const BITS: usize;
    /// An element of A or B (`n` 0 or 1), `place` counting elements within a register.
    fn element(inst: &Inst, n: usize, bits: u32, place: usize) -> Self::Number;
    /// What a sum begins with, given the register with the element of C.
    fn start(inst: &Inst, c: u32) -> Self::Number;
    /// Adds the products of a row of A with all columns of B.
    fn add_products(a: &[Self::Number; SIDE], b: &[[Self::Number; SIDE]; SIDE], sums: &mut [Self::Number; SIDE]);
    /// A register with an element of the result, given those with the element of C and with the old result.
    fn finish(inst: &Inst, sum: Self::Number, c: u32, old: u32) -> u32;
}

/// Whether the sign of an element flips: NEG is for the low halves of registers, its high part for the high ones.
#[inline(always)]
fn flips(inst: &Inst, n: usize, place: usize) -> bool {
    (if place == 0 { inst.neg } else { inst.abs }) >> n & 1 == 1
}

#[inline(always)]
fn signed(value: f32, flips: bool) -> f32 {
    f32::from_bits(value.to_bits() ^ u32::from(flips) << 31)
}

/// C may be negated, and for its high part of NEG become an absolute value before.
#[inline(always)]
pub(in crate::isa) fn modified(inst: &Inst, value: f32) -> f32 {
    let value = if inst.abs >> 2 & 1 == 1 { value.abs() } else { value };
    signed(value, inst.neg >> 2 & 1 == 1)
}

/// The half of an element of C that OP_SEL names; a constant has but one.
#[inline(always)]
fn half_of(inst: &Inst, bits: u32) -> u16 {
    let is_high = inst.opsel >> 2 & 1 == 1 && !matches!(inst.src[2], Src::K(_));
    (bits >> if is_high { 16 } else { 0 }) as u16
}

/// A result of 16 bits goes to the half that OP_SEL names, and leaves the other as it was.
#[inline(always)]
fn in_half(inst: &Inst, value: u16, old: u32) -> u32 {
    if inst.opsel >> 2 & 1 == 1 { old & 0xffff | u32::from(value) << 16 } else { old & 0xffff_0000 | u32::from(value) }
}

/// Formats whose numbers are floats while they are summed.
macro_rules! float_format {
    ($name:ident, $element:ident, |$inst:ident, $bits:ident| $addend:expr, |$i:ident, $value:ident, $old:ident| $result:expr) => {
        pub(in crate::isa) struct $name;
        impl Format for $name {
            type Number = f32;
            const BITS: usize = 16;
            #[inline(always)]
            fn element(inst: &Inst, n: usize, bits: u32, place: usize) -> f32 {
                signed($element((bits >> (16 * place)) as u16).to_f32(), flips(inst, n, place))
            }
            #[inline(always)]
            fn start($inst: &Inst, $bits: u32) -> f32 {
                modified($inst, $addend)
            }
            #[inline(always)]
            fn add_products(a: &[f32; SIDE], b: &[[f32; SIDE]; SIDE], sums: &mut [f32; SIDE]) {
                dot::wmma_row(a, b, sums);
            }
            #[inline(always)]
            fn finish($i: &Inst, $value: f32, _: u32, $old: u32) -> u32 {
                $result
            }
        }
    };
}

float_format!(OfF16, F16, |_inst, bits| f32::from_bits(bits), |_i, value, _old| value.to_bits());
float_format!(OfBf16, Bf16, |_inst, bits| f32::from_bits(bits), |_i, value, _old| value.to_bits());
float_format!(ToF16, F16, |inst, bits| F16(half_of(inst, bits)).to_f32(), |i, value, old| {
    in_half(i, F16::from_f32(value).0, old)
});
float_format!(ToBf16, Bf16, |inst, bits| Bf16(half_of(inst, bits)).to_f32(), |i, value, old| {
    in_half(i, Bf16::from_f32(value).0, old)
});

/// Formats of small integers: NEG says which operands have a sign.
macro_rules! integer_format {
    ($name:ident, $bits:literal) => {
        pub(in crate::isa) struct $name;
        impl Format for $name {
            type Number = i32;
            const BITS: usize = $bits;
            #[inline(always)]
            fn element(inst: &Inst, n: usize, bits: u32, place: usize) -> i32 {
                let top = bits << (32 - $bits - $bits * place);
                if inst.neg >> n & 1 == 1 { top as i32 >> (32 - $bits) } else { (top >> (32 - $bits)) as i32 }
            }
            #[inline(always)]
            fn start(_: &Inst, _: u32) -> i32 {
                0
            }
            #[inline(always)]
            fn add_products(a: &[i32; SIDE], b: &[[i32; SIDE]; SIDE], sums: &mut [i32; SIDE]) {
                for (a, b) in a.iter().zip(b) {
                    for (sum, b) in sums.iter_mut().zip(b) {
                        *sum += a * b;
                    }
                }
            }
            #[inline(always)]
            fn finish(inst: &Inst, sum: i32, c: u32, _: u32) -> u32 {
                let c = c as i32;
                (if inst.clamp { c.saturating_add(sum) } else { c.wrapping_add(sum) }) as u32
            }
        }
    };
}

integer_format!(OfIu8, 8);
integer_format!(OfIu4, 4);

/// A register of a source, or what a constant or scalar stands for.
#[inline(always)]
pub(in crate::isa) fn register(wave: &Wave, inst: &Inst, n: usize, half: usize, r: usize) -> [u32; LANES] {
    match inst.src[n] {
        Src::V(first) => *wave.v(half, first + r as u16),
        Src::S(first) => [wave.s(first); LANES],
        Src::K(value) => [value as u32; LANES],
        _ => [0; LANES],
    }
}

/// `product[summand][lane of the group]` of A or B as a group of 16 lanes has it.
#[inline(always)]
fn elements<F: Format>(wave: &Wave, inst: &Inst, n: usize, half: usize, first: usize) -> [[F::Number; SIDE]; SIDE] {
    let in_register = 32 / F::BITS;
    let mut elements = [[F::Number::default(); SIDE]; SIDE];
    for r in 0..SIDE / in_register {
        let bits = register(wave, inst, n, half, r);
        for place in 0..in_register {
            let of_summand = &mut elements[r * in_register + place];
            for (lane, element) in of_summand.iter_mut().enumerate() {
                *element = F::element(inst, n, bits[first + lane], place);
            }
        }
    }
    elements
}

fn product<F: Format>(wave: &mut Wave, inst: &Inst) {
    if wave.has_fast {
        // SAFETY: `has_fast` says that this processor has the features that the function is compiled for.
        unsafe { product_fast::<F>(wave, inst) }
    } else {
        product_any::<F>(wave, inst);
    }
}

#[cfg_attr(target_arch = "x86_64", target_feature(enable = "avx2,fma,f16c,bmi1,bmi2,lzcnt,popcnt"))]
unsafe fn product_fast<F: Format>(wave: &mut Wave, inst: &Inst) {
    product_any::<F>(wave, inst);
}

/// All of the product, a group of 16 lanes after the other. Results are written last: they may overwrite A and B.
#[inline(always)]
fn product_any<F: Format>(wave: &mut Wave, inst: &Inst) {
    let groups = 2 * wave.halves;
    let registers = SIDE / groups;
    let mut results = [[[0; LANES]; 2]; SIDE / 2];
    for group in 0..groups {
        let (half, first) = (group / 2, SIDE * (group % 2));
        let a = elements::<F>(wave, inst, 0, half, first);
        let b = elements::<F>(wave, inst, 1, half, first);
        for (r, result) in results.iter_mut().enumerate().take(registers) {
            let row = std::array::from_fn(|k| a[k][groups * r + group]);
            let c = register(wave, inst, 2, half, r);
            let mut sums = std::array::from_fn(|lane| F::start(inst, c[first + lane]));
            F::add_products(&row, &b, &mut sums);
            let old = wave.v(half, inst.dst + r as u16);
            for lane in first..first + SIDE {
                result[half][lane] = F::finish(inst, sums[lane - first], c[lane], old[lane]);
            }
        }
    }
    for (r, result) in results.iter().enumerate().take(registers) {
        for (half, lanes) in result.iter().enumerate().take(wave.halves) {
            *wave.v_mut(half, inst.dst + r as u16) = *lanes;
        }
    }
}

/// Lanes of a source's register that were written.
pub(in crate::isa) fn defined(wave: &Wave, src: Src, half: usize, r: u16) -> u32 {
    src.vgpr().map_or(u32::MAX, |first| wave.track.defined(half, first + r))
}

/// A hole in a row of A makes this row of the result undefined, one in a column of B this column.
fn define(wave: &mut Wave, inst: &Inst) -> Result<(), Box<Fault>> {
    let groups = 2 * wave.halves;
    let all = |n: usize, half: usize| {
        (0..inst.row.src[n].registers()).fold(u32::MAX, |lanes, r| lanes & defined(wave, inst.src[n], half, r))
    };
    let (a, b) = ([0, 1].map(|half| all(0, half)), [0, 1].map(|half| all(1, half)));
    // C of a row is read before anything of a later row is written, as C and the result are the same or apart.
    for r in 0..(SIDE / groups) as u16 {
        for half in 0..wave.halves {
            let row_of =
                |group: usize| (a[half] >> (SIDE * (group % 2) + groups * usize::from(r) + group) & 1) * 0xffff;
            let rows = row_of(2 * half) | row_of(2 * half + 1) << 16;
            let lanes = rows & b[half] & defined(wave, inst.src[2], half, r);
            wave.track.define(half, inst.dst + r, u32::MAX, lanes);
        }
    }
    Ok(())
}
