//! Products of 16 × 16 matrices (WMMA; RDNA4 ISA guide, 7.12), of waves of 32.
//!
//! A lane holds half a row of A and half a column of B by its number modulo 16: lanes from 16 on have the second half
//! of the summands. Of the result it holds eight rows of a column, those from 16 on the last eight. EXEC does not
//! matter.

use crate::arith::{Bf16, F16, dot, float8};
use crate::fault::Fault;
use crate::isa::macros::across;
use crate::isa::rdna3::matrix::{Format, OfBf16, OfF16, OfIu4, OfIu8, SIDE, defined, modified, register};
use crate::isa::row::Semantics;
use crate::isa::{Class, Inst, Kind, Row, Src};
use crate::wave::{LANES, Wave};

/// Rows of the result that a lane holds.
const ROWS: usize = SIDE / 2;

const fn row(opcode: u16, name: &'static str, semantics: Semantics) -> Row {
    Row::new(Class::Matrix, opcode, name, semantics)
}

/// Semantics of a product whose lanes hold so many registers of A and of B, for so many times sixteen summands.
macro_rules! wmma {
    ($registers:literal, $blocks:literal, $format:ty, $result:ty) => {
        across!(
            <$result as Layout<$format>>::KIND,
            [Kind::V($registers), Kind::V($registers), <$result as Layout<$format>>::KIND],
            product::<$format, $result, $blocks>,
            define::<$format, $result>
        )
    };
}

/// VOP3P.
pub(super) fn vop3p(wave64: bool) -> &'static [Row] {
    if wave64 { &[] } else { VOP3P }
}

static VOP3P: &[Row] = &[
    row(64, "v_wmma_f32_16x16x16_f16", wmma!(4, 1, OfF16, Words)),
    row(65, "v_wmma_f32_16x16x16_bf16", wmma!(4, 1, OfBf16, Words)),
    row(66, "v_wmma_f16_16x16x16_f16", wmma!(4, 1, OfF16, Halves)),
    row(67, "v_wmma_bf16_16x16x16_bf16", wmma!(4, 1, OfBf16, Halves)),
    row(68, "v_wmma_i32_16x16x16_iu8", wmma!(2, 1, OfIu8, Words)),
    row(69, "v_wmma_i32_16x16x16_iu4", wmma!(1, 1, OfIu4, Words)),
    row(70, "v_wmma_f32_16x16x16_fp8_fp8", wmma!(2, 1, OfFp8Fp8, Words)),
    row(71, "v_wmma_f32_16x16x16_fp8_bf8", wmma!(2, 1, OfFp8Bf8, Words)),
    row(72, "v_wmma_f32_16x16x16_bf8_fp8", wmma!(2, 1, OfBf8Fp8, Words)),
    row(73, "v_wmma_f32_16x16x16_bf8_bf8", wmma!(2, 1, OfBf8Bf8, Words)),
    row(74, "v_wmma_i32_16x16x32_iu4", wmma!(2, 2, OfIu4, Words)),
];

/// A format whose elements are floats of a byte, one format for A and one for B.
macro_rules! float8_format {
    ($name:ident, $a:ident, $b:ident) => {
        struct $name;
        impl Format for $name {
            type Number = f32;
            const BITS: usize = 8;
            #[inline(always)]
            fn element(_: &Inst, n: usize, bits: u32, place: usize) -> f32 {
                let byte = (bits >> (8 * place)) as u8;
                if n == 0 { float8::$a(byte) } else { float8::$b(byte) }
            }
            #[inline(always)]
            fn start(inst: &Inst, c: u32) -> f32 {
                modified(inst, f32::from_bits(c))
            }
            #[inline(always)]
            fn add_products(a: &[f32; SIDE], b: &[[f32; SIDE]; SIDE], sums: &mut [f32; SIDE]) {
                dot::wmma_row(a, b, sums);
            }
            #[inline(always)]
            fn finish(_: &Inst, sum: f32, _: u32, _: u32) -> u32 {
                sum.to_bits()
            }
        }
    };
}

float8_format!(OfFp8Fp8, from_e4m3, from_e4m3);
float8_format!(OfFp8Bf8, from_e4m3, from_e5m2);
float8_format!(OfBf8Fp8, from_e5m2, from_e4m3);
float8_format!(OfBf8Bf8, from_e5m2, from_e5m2);

/// How elements of C and of the result lie in registers.
trait Layout<F: Format> {
    /// Kind of these operands.
    const KIND: Kind;
    /// Elements in a register.
    const PACKED: usize;
    /// What a sum begins with, given the element of C in the low bits.
    fn start(inst: &Inst, c: u32) -> F::Number;
    /// An element of the result, in the low bits.
    fn finish(inst: &Inst, sum: F::Number, c: u32) -> u32;
}

/// An element in each register.
struct Words;

impl<F: Format> Layout<F> for Words {
    const KIND: Kind = Kind::Tile;
    const PACKED: usize = 1;
    #[inline(always)]
    fn start(inst: &Inst, c: u32) -> F::Number {
        F::start(inst, c)
    }
    #[inline(always)]
    fn finish(inst: &Inst, sum: F::Number, c: u32) -> u32 {
        F::finish(inst, sum, c, 0)
    }
}

/// Two elements in each register.
struct Halves;

macro_rules! halves {
    ($format:ty, $element:ident, $kind:ident) => {
        impl Layout<$format> for Halves {
            const KIND: Kind = Kind::$kind;
            const PACKED: usize = 2;
            #[inline(always)]
            fn start(inst: &Inst, c: u32) -> f32 {
                modified(inst, $element(c as u16).to_f32())
            }
            #[inline(always)]
            fn finish(_: &Inst, sum: f32, _: u32) -> u32 {
                $element::from_f32(sum).0.into()
            }
        }
    };
}

halves!(OfF16, F16, PkTileF16);
halves!(OfBf16, Bf16, PkTileBf16);

/// `[block][summand][row or column]` of A or B.
type Elements<N, const BLOCKS: usize> = [[[N; SIDE]; SIDE]; BLOCKS];

#[inline(always)]
fn elements<F: Format, const BLOCKS: usize>(wave: &Wave, inst: &Inst, n: usize) -> Elements<F::Number, BLOCKS> {
    let mut elements = [[[F::Number::default(); SIDE]; SIDE]; BLOCKS];
    let (held, in_register) = (BLOCKS * SIDE / 2, 32 / F::BITS);
    for r in 0..held / in_register {
        let bits = register(wave, inst, n, 0, r);
        for place in 0..in_register {
            for (lane, bits) in bits.iter().enumerate() {
                let summand = lane / SIDE * held + r * in_register + place;
                elements[summand / SIDE][summand % SIDE][lane % SIDE] = F::element(inst, n, *bits, place);
            }
        }
    }
    elements
}

fn product<F: Format, L: Layout<F>, const BLOCKS: usize>(wave: &mut Wave, inst: &Inst) {
    if wave.has_fast {
        // SAFETY: `has_fast` says that this processor has the features that the function is compiled for.
        unsafe { product_fast::<F, L, BLOCKS>(wave, inst) }
    } else {
        product_any::<F, L, BLOCKS>(wave, inst);
    }
}

#[cfg_attr(target_arch = "x86_64", target_feature(enable = "avx2,fma,f16c,bmi1,bmi2,lzcnt,popcnt"))]
unsafe fn product_fast<F: Format, L: Layout<F>, const BLOCKS: usize>(wave: &mut Wave, inst: &Inst) {
    product_any::<F, L, BLOCKS>(wave, inst);
}

/// All of the product. Results are written last: they may overwrite A and B.
#[inline(always)]
fn product_any<F: Format, L: Layout<F>, const BLOCKS: usize>(wave: &mut Wave, inst: &Inst) {
    let a = elements::<F, BLOCKS>(wave, inst, 0);
    let b = elements::<F, BLOCKS>(wave, inst, 1);
    let mut results = [[0; LANES]; ROWS];
    for m in 0..SIDE {
        let (first, held) = (m / ROWS * SIDE, m % ROWS);
        // A constant is the same for all elements, and has no high half.
        let is_constant = matches!(inst.src[2], Src::K(_));
        let shift = if is_constant { 0 } else { 16 * (held % L::PACKED) };
        let c = register(wave, inst, 2, 0, held / L::PACKED).map(|bits| bits >> shift);
        let mut sums = std::array::from_fn(|lane| L::start(inst, c[first + lane]));
        for (a, b) in a.iter().zip(&b) {
            F::add_products(&std::array::from_fn(|k| a[k][m]), b, &mut sums);
        }
        for (lane, sum) in sums.into_iter().enumerate() {
            let result = L::finish(inst, sum, c[first + lane]);
            results[held / L::PACKED][first + lane] |= result << (16 * (held % L::PACKED));
        }
    }
    for (r, result) in results.iter().enumerate().take(ROWS / L::PACKED) {
        *wave.v_mut(0, inst.dst + r as u16) = *result;
    }
}

/// A hole in a row of A makes this row of the result undefined, one in a column of B this column.
fn define<F: Format, L: Layout<F>>(wave: &mut Wave, inst: &Inst) -> Result<(), Box<Fault>> {
    let of_side = |n: usize| {
        let registers = 0..inst.row.src[n].registers();
        let lanes = registers.fold(u32::MAX, |lanes, r| lanes & defined(wave, inst.src[n], 0, r));
        lanes & lanes >> SIDE & 0xffff
    };
    let (rows, columns) = (of_side(0), of_side(1));
    for r in 0..ROWS / L::PACKED {
        let of_rows = (0..L::PACKED).fold(3, |both, place| {
            let row = r * L::PACKED + place;
            both & (rows >> row & 1 | (rows >> (ROWS + row) & 1) << 1)
        });
        let lanes = ((of_rows & 1) * 0xffff) | ((of_rows >> 1) * 0xffff_0000);
        let c = defined(wave, inst.src[2], 0, r as u16);
        wave.track.define(0, inst.dst + r as u16, u32::MAX, lanes & c & (columns | columns << SIDE));
    }
    Ok(())
}
