//! What an encoding does to operands and results: halves of registers, signs, clamping, literals, exchange of lanes.

use super::{RESULT, SOURCES, inst, run, set_exec, vop3, vop3p, wave};
use gfx_emu::wave::{Wave, slot};

/// The result of an instruction in all lanes of the first three registers, in the first lane.
fn result_of(words: &[u32], sources: [u32; 3]) -> u32 {
    result_over(words, sources, 0)
}

fn result_over(words: &[u32], sources: [u32; 3], old: u32) -> u32 {
    let mut wave = wave(1);
    for (register, value) in SOURCES.into_iter().zip(sources) {
        *wave.v_mut(0, register) = [value; 32];
    }
    *wave.v_mut(0, RESULT) = [old; 32];
    run(&mut wave, &inst(words));
    wave.v(0, RESULT)[0]
}

fn float(value: f32) -> u32 {
    value.to_bits()
}

#[test]
fn op_sel_names_halves_of_sources_and_of_the_result() {
    // v_add_nc_u16 with each combination of halves.
    for op_sel in 0..16 {
        let [low, high] = vop3(771);
        let found = result_over(&[low | op_sel << 11, high], [0x0200_0001, 0x0040_0003, 0], 0x7777_7777);
        let sum = [1, 0x200][op_sel as usize & 1] + [3, 0x40][op_sel as usize >> 1 & 1];
        let wanted = if op_sel >> 3 == 1 { sum << 16 | 0x7777 } else { 0x7777_0000 | sum };
        assert_eq!(found, wanted, "op_sel {op_sel:#x}");
    }
}

#[test]
fn one_word_names_high_halves_by_the_highest_bit() {
    // v_add_f16 v40.h, v10.h, v20.l
    let word = 50 << 25 | (40 | 128) << 17 | 20 << 9 | (256 + (10 | 128));
    assert_eq!(result_over(&[word], [0x3c00_7e00, 0x7e00_4000, 0], 0x1234), 0x4200_1234);
    // v_mov_b16 v40.l, v10.h
    assert_eq!(
        result_over(&[0x7e00_0000 | 40 << 17 | 28 << 9 | (256 + (10 | 128))], [0xabcd_0000, 0, 0], 0x5555_0000),
        0x5555_abcd
    );
    // v_fmac_f16 v40.h, v10.l, v20.l adds to the high half.
    let word = 54 << 25 | (40 | 128) << 17 | 20 << 9 | (256 + 10);
    assert_eq!(result_over(&[word], [0x4000, 0x4200, 0], 0x3c00_7e00), 0x4700_7e00);
}

#[test]
fn signs_go_and_flip_before_the_operation() {
    let [low, high] = vop3(259);
    let sources = [float(-3.0), float(5.0), 0];
    assert_eq!(result_of(&[low | 1 << 8, high], sources), float(8.0));
    assert_eq!(result_of(&[low | 1 << 8, high | 3 << 29], sources), float(-8.0));
    // A selection takes them as well.
    let [low, high] = [vop3(257)[0], vop3(257)[1] & !(0x1ff << 18) | 128 << 18];
    assert_eq!(result_of(&[low, high | 1 << 29], sources), float(3.0));
}

#[test]
fn clamp_bounds_floats_to_one_and_integers_to_their_range() {
    let clamped = |words: [u32; 2], a: u32, b: u32, c: u32| result_of(&[words[0] | 1 << 15, words[1]], [a, b, c]);
    assert_eq!(clamped(vop3(259), float(3.0), float(5.0), 0), float(1.0));
    assert_eq!(clamped(vop3(259), float(-3.0), float(1.0), 0), float(0.0));
    assert_eq!(clamped(vop3(293), u32::MAX, 5, 0), u32::MAX);
    assert_eq!(clamped(vop3(294), 3, 5, 0), 0);
    assert_eq!(clamped(vop3(768), u32::MAX, 5, 0), u32::MAX);
    assert_eq!(clamped(vop3(769), 3, 5, 0), 0);
    assert_eq!(clamped(vop3(806), 0x7fff_ffff, 5, 0), 0x7fff_ffff);
    assert_eq!(clamped(vop3(805), 0x8000_0000, 5, 0), 0x8000_0000);
    assert_eq!(clamped(vop3(771), 0xffff, 2, 0), 0xffff);
    assert_eq!(clamped(vop3(782), 0x8000, 2, 0), 0x8000);
    assert_eq!(clamped(vop3p(2), 0x7fff_8000, 0x0001_ffff, 0), 0x7fff_8000);
    assert_eq!(clamped(vop3p(11), 0x0001_0005, 0x0002_0003, 0), 2);
    assert_eq!(clamped(vop3p(22), 0xffff_ffff, 0xffff_ffff, 0x7fff_ffff), 0x7fff_ffff);
    assert_eq!(clamped(vop3(577), 0xffff, 0xffff, 0), 0xffff);
    assert_eq!(clamped(vop3(523), 0xff_ffff, 0xff_ffff, 0), u32::MAX);
}

#[test]
fn packed_halves_are_chosen_and_their_signs_flip_each_for_itself() {
    // v_pk_add_f16 with all of OP_SEL, OP_SEL_HI, NEG_LO and NEG_HI of the first source.
    let (one, two, three) = (0x3c00, 0x4000, 0x4200);
    let [low, high] = vop3p(15);
    let sources = [two << 16 | one, three << 16 | three, 0];
    assert_eq!(result_of(&[low, high], sources), 0x4500_4400);
    assert_eq!(result_of(&[low | 1 << 11, high & !(1 << 27)], sources), 0x4400_4500);
    assert_eq!(result_of(&[low, high | 1 << 29], sources), 0x4500_4000);
    assert_eq!(result_of(&[low | 1 << 8, high], sources), 0x3c00_4400);
}

#[test]
fn constants_are_of_the_operands_kind() {
    let with_first = |[low, high]: [u32; 2], code: u32| [low, high & !0x1ff | code];
    // 1.0 to a float, to a half, to a pair of halves and to a pair of integers; -1 to both.
    assert_eq!(result_of(&with_first(vop3(259), 242), [0, float(1.0), 0]), float(2.0));
    assert_eq!(result_of(&with_first(vop3(306), 242), [0, 0x3c00, 0]), 0x4000);
    assert_eq!(result_of(&with_first(vop3p(15), 242), [0, 0x3c00_3c00, 0]), 0x3c00_4000);
    assert_eq!(result_of(&with_first(vop3p(10), 242), [0, 0x0001_0001, 0]), 0x3f81_0001);
    assert_eq!(result_of(&with_first(vop3p(10), 193), [0, 0x0002_0002, 0]), 0x0001_0001);
    assert_eq!(result_of(&with_first(vop3(771), 193), [0, 2, 0]), 1);
    // A literal of a double is its high word.
    let words = with_first(vop3(807), 255);
    let mut wave = wave(1);
    run(&mut wave, &inst(&[words[0], words[1], 0x4008_0000]));
    assert_eq!(super::get64(&wave, 0, RESULT, 0), 3f64.to_bits());
}

#[test]
fn mixed_products_take_floats_and_halves() {
    // v_fma_mix_f32: first a float, second the high half, third a low half, which is negated.
    let [low, high] = vop3p(32);
    let words = [low | 1 << 12 | 1 << 14, high & !(3 << 27) | 2 << 27 | 4 << 29];
    assert_eq!(result_of(&words, [float(3.0), 0x4000_7e00, 0x3c00]), float(5.0));
    // The high form leaves the low half.
    let [low, high] = vop3p(34);
    assert_eq!(result_over(&[low | 1 << 14, high], [0x4000, 0x4200, 0x3c00], 0x1111_2222), 0x4700_2222);
}

#[test]
fn dot_products_take_signs_from_neg() {
    let [low, high] = vop3p(22);
    let dot = |neg: u32| result_of(&[low, high | neg << 29], [0xff, 0xfe, 0]) as i32;
    assert_eq!([0, 1, 2, 3].map(dot), [255 * 254, -254, -2 * 255, 2]);
}

/// Lanes of v40 after a move of lane numbers with DPP16's word, inactive lanes as EXEC says; 77 was there.
fn moved(control: u32, exec: u32) -> [u32; 32] {
    let mut wave: Wave = wave(1);
    *wave.v_mut(0, 10) = std::array::from_fn(|lane| lane as u32);
    *wave.v_mut(0, RESULT) = [77; 32];
    set_exec(&mut wave, exec);
    run(&mut wave, &inst(&[0x7e00_0000 | 40 << 17 | 1 << 9 | 250, control | 10]));
    *wave.v(0, RESULT)
}

#[test]
fn lanes_are_exchanged_before_the_operation() {
    const ALL: u32 = 0xff << 24;
    const BOUND_ZERO: u32 = 1 << 19;
    let all = |from: fn(u32) -> u32| std::array::from_fn(|lane| from(lane as u32));
    assert_eq!(moved(ALL | 0b00_01_10_11 << 8, !0), all(|lane| lane ^ 3));
    assert_eq!(moved(ALL | 0x161 << 8, !0), all(|lane| lane ^ 1));
    assert_eq!(moved(ALL | 0x141 << 8, !0), all(|lane| lane ^ 7));
    assert_eq!(moved(ALL | 0x140 << 8, !0), all(|lane| lane ^ 15));
    assert_eq!(moved(ALL | 0x153 << 8, !0), all(|lane| lane & 16 | 3));
    assert_eq!(moved(ALL | 0x121 << 8, !0), all(|lane| lane & 16 | (lane + 15) & 15));
    assert_eq!(moved(ALL | 0x111 << 8, !0), all(|lane| if lane & 15 == 0 { 77 } else { lane - 1 }));
    assert_eq!(moved(ALL | BOUND_ZERO | 0x101 << 8, !0), all(|lane| if lane & 15 == 15 { 0 } else { lane + 1 }));
    // Row 0 and bank 1 alone.
    assert_eq!(moved(0x12 << 24 | 0x161 << 8, !0), all(|lane| if lane / 4 == 1 { lane ^ 1 } else { 77 }));
    // An inactive lane is not read, unless the instruction says so.
    assert_eq!(moved(ALL | 0x161 << 8, !2)[..3], [77, 77, 3]);
    assert_eq!(moved(ALL | BOUND_ZERO | 0x161 << 8, !2)[..3], [0, 77, 3]);
    assert_eq!(moved(ALL | 1 << 18 | 0x161 << 8, !2)[..3], [1, 77, 3]);
}

#[test]
fn both_operations_of_a_dual_instruction_read_before_either_writes() {
    let mut wave = wave(1);
    *wave.v_mut(0, 10) = [float(1.0); 32];
    *wave.v_mut(0, 11) = [float(2.0); 32];
    // v_dual_mov_b32 v10, v11 :: v_dual_mov_b32 v11, v10
    let words = [0xc800_0000 | 8 << 22 | 8 << 17 | (256 + 11), 10 << 24 | 5 << 17 | (256 + 10)];
    run(&mut wave, &inst(&words));
    assert_eq!((wave.v(0, 10)[0], wave.v(0, 11)[0]), (float(2.0), float(1.0)));
    // v_dual_fmaak_f32 v10, v10, v11, 4.0 :: v_dual_cndmask_b32 v13, 4.0, v11: the literal serves both.
    wave.set_s(slot::VCC, 1);
    let words =
        [0xc800_0000 | 1 << 22 | 9 << 17 | 11 << 9 | (256 + 10), 10 << 24 | 6 << 17 | 11 << 9 | 255, float(9.0)];
    run(&mut wave, &inst(&words));
    assert_eq!((wave.v(0, 10)[0], wave.v(0, 13)[0], wave.v(0, 13)[1]), (float(11.0), float(1.0), float(9.0)));
}
