//! Products of matrices against f64 and i64, and what they leave undefined.

use super::{Random, inst_of, run, wave};
use gfx_emu::arith::Mode;
use gfx_emu::isa::Inst;
use gfx_emu::run::execute_watched;
use gfx_emu::wave::Wave;
use half::{bf16, f16};

const A: u16 = 8;
const B: u16 = 16;
const C: u16 = 24;
const D: u16 = 40;

/// `neg` are NEG's low bits, then its high ones.
fn wmma(opcode: u32, neg: [u32; 2], op_sel: u32, clamp: u32, wave64: bool) -> Inst {
    let [a, b, c] = [A, B, C].map(|register| 256 + u32::from(register));
    let low = 0xcc00_4000 | clamp << 15 | opcode << 16 | op_sel << 11 | neg[1] << 8 | u32::from(D);
    inst_of(&[low, neg[0] << 29 | 3 << 27 | a | b << 9 | c << 18], wave64)
}

/// Elements `[lane modulo 16][summand]`, put into each group of lanes.
fn place(wave: &mut Wave, first: u16, bits: u32, elements: &[[u32; 16]; 16]) {
    let in_register = 32 / bits as usize;
    for half in 0..wave.halves {
        for lane in 0..32 {
            for r in 0..16 / in_register {
                let of_register = &elements[lane % 16][r * in_register..][..in_register];
                let word = of_register.iter().rev().fold(0u32, |word, e| word << bits | e);
                wave.v_mut(half, first + r as u16)[lane] = word;
            }
        }
    }
}

/// Register and half and lane of an element of the result.
fn at(halves: usize, row: usize, column: usize) -> (usize, u16, usize) {
    let groups = 2 * halves;
    let (register, group) = (row / groups, row % groups);
    (group / 2, register as u16, 16 * (group % 2) + column)
}

fn elements(random: &mut Random, element: impl Fn(u64) -> u32) -> [[u32; 16]; 16] {
    std::array::from_fn(|_| std::array::from_fn(|_| element(random.next())))
}

fn number(random: u64) -> f64 {
    (random >> 50) as f64 / 4096.0 - 2.0
}

/// A product of floats, each of which `value` takes from its bits; C and D in floats, or in halves of registers.
fn check_floats(opcode: u32, bits_of: fn(f64) -> u32, value: fn(u32) -> f64, in_halves: bool, tolerance: f64) {
    let mut random = Random(4);
    for (halves, op_sel, neg) in [(1, 0, [0, 0]), (2, 0, [0, 0]), (1, 4, [1, 2]), (2, 4, [6, 5]), (1, 0, [3, 7])] {
        let op_sel = if in_halves { op_sel } else { 0 };
        let mut wave = wave(halves);
        let a = elements(&mut random, |r| bits_of(number(r)));
        let b = elements(&mut random, |r| bits_of(number(r)));
        place(&mut wave, A, 16, &a);
        place(&mut wave, B, 16, &b);
        let c: [[f64; 16]; 16] =
            std::array::from_fn(|_| std::array::from_fn(|_| f64::from(number(random.next()) as f32)));
        let c = c.map(|row| row.map(|c| if in_halves { value(bits_of(c)) } else { c }));
        for (m, row) in c.iter().enumerate() {
            for (n, c) in row.iter().enumerate() {
                let (half, r, lane) = at(halves, m, n);
                let bits = if in_halves { bits_of(*c) << (4 * op_sel) } else { (*c as f32).to_bits() };
                wave.v_mut(half, C + r)[lane] = bits;
                wave.v_mut(half, D + r)[lane] = 0x7777_7777;
            }
        }
        wave.set_exec64(0);
        run(&mut wave, &wmma(opcode, neg, op_sel, 0, halves == 2));
        let sign = |operand: usize, k: usize| if neg[k % 2] >> operand & 1 == 1 { -1.0 } else { 1.0 };
        for m in 0..16 {
            for n in 0..16 {
                let (half, r, lane) = at(halves, m, n);
                let found = wave.v(half, D + r)[lane];
                let start = if neg[1] & 4 == 4 { c[m][n].abs() } else { c[m][n] };
                let start = if neg[0] & 4 == 4 { -start } else { start };
                let wanted =
                    (0..16).fold(start, |sum, k| sum + value(a[m][k]) * sign(0, k) * value(b[n][k]) * sign(1, k));
                let number = if in_halves {
                    assert_eq!(found >> (16 - 4 * op_sel) & 0xffff, 0x7777, "the other half");
                    value(found >> (4 * op_sel) & 0xffff)
                } else {
                    f64::from(f32::from_bits(found))
                };
                assert!((number - wanted).abs() <= tolerance * 16.0, "{m} {n}: {number} and not {wanted}");
            }
        }
    }
}

fn of_f16(bits: u32) -> f64 {
    f16::from_bits(bits as u16).to_f64()
}

fn of_bf16(bits: u32) -> f64 {
    bf16::from_bits(bits as u16).to_f64()
}

fn to_f16(value: f64) -> u32 {
    f16::from_f64(value).to_bits().into()
}

fn to_bf16(value: f64) -> u32 {
    bf16::from_f64(value).to_bits().into()
}

#[test]
fn products_of_floats_are_those_of_doubles() {
    check_floats(64, to_f16, of_f16, false, 1e-6);
    check_floats(65, to_bf16, of_bf16, false, 1e-6);
    check_floats(66, to_f16, of_f16, true, 2e-3);
    check_floats(67, to_bf16, of_bf16, true, 2e-2);
}

#[test]
fn products_of_integers_are_exact_wrap_and_saturate() {
    let mut random = Random(5);
    for (opcode, bits) in [(68, 8), (69, 4)] {
        for (halves, neg, clamp, start) in
            [(1, 0, 0, 5), (2, 3, 0, -9), (1, 1, 1, i32::MAX), (2, 2, 0, i32::MAX), (1, 3, 1, i32::MIN)]
        {
            let mut wave = wave(halves);
            let [a, b] = [0, 1].map(|_| elements(&mut random, |r| r as u32 & ((1 << bits) - 1)));
            place(&mut wave, A, bits, &a);
            place(&mut wave, B, bits, &b);
            for half in 0..halves {
                (0..8).for_each(|r| *wave.v_mut(half, C + r) = [start as u32; 32]);
            }
            run(&mut wave, &wmma(opcode, [neg, 0], 0, clamp, halves == 2));
            let signed = |bit: u32, x: u32| {
                let is_negative = neg >> bit & 1 == 1 && x >> (bits - 1) == 1;
                i64::from(x) - if is_negative { 1 << bits } else { 0 }
            };
            for m in 0..16 {
                for n in 0..16 {
                    let (half, r, lane) = at(halves, m, n);
                    let sum = (0..16).fold(i64::from(start), |sum, k| sum + signed(0, a[m][k]) * signed(1, b[n][k]));
                    let wanted = if clamp == 1 { sum.clamp(i32::MIN.into(), i32::MAX.into()) } else { sum };
                    assert_eq!(wave.v(half, D + r)[lane], wanted as u32, "{opcode} {neg} {clamp}: {m} {n}");
                }
            }
        }
    }
}

#[test]
fn a_hole_in_a_or_b_makes_its_row_or_column_undefined() {
    for halves in [1, 2] {
        let (row, column) = (6, 11);
        let mut wave = wave(halves);
        for half in 0..halves {
            wave.track.define(half, A + 3, 1 << row | 1 << (16 + row), 0);
            wave.track.define(half, B + 5, 1 << column | 1 << (16 + column), 0);
        }
        execute_watched(&mut wave, &wmma(64, [0, 0], 0, 0, halves == 2)).unwrap();
        for m in 0..16 {
            for n in 0..16 {
                let (half, r, lane) = at(halves, m, n);
                let is_defined = wave.track.defined(half, D + r) >> lane & 1 == 1;
                assert_eq!(is_defined, m != row && n != column, "{m} {n}");
            }
        }
    }
    let mut empty = Wave::new(1, 0, u64::from(u32::MAX), Mode::HIP);
    execute_watched(&mut empty, &wmma(64, [0, 0], 0, 0, false)).unwrap();
    assert_eq!(empty.track.defined(0, D), 0);
}
