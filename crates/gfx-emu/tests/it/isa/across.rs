//! Instructions that look beyond their lane.

use super::{RESULT, SOURCES, inst, inst_of, run, set_exec, vop3, wave};
use gfx_emu::arith::Mode;
use gfx_emu::isa::Inst;
use gfx_emu::run::execute_watched;
use gfx_emu::wave::{Wave, slot};

/// A wave whose first source holds each lane's number and a hundred.
fn numbered(halves: usize) -> Wave {
    let mut wave = wave(halves);
    for half in 0..halves {
        *wave.v_mut(half, SOURCES[0]) = std::array::from_fn(|lane| 100 + (32 * half + lane) as u32);
    }
    wave
}

/// A VOP3 instruction with scalar second and third sources.
fn with_scalars(opcode: u32, second: u32, third: u32, op_sel: u32) -> [u32; 2] {
    let [low, high] = vop3(opcode);
    [low | op_sel << 11, high & 0x1ff | second << 9 | third << 18]
}

fn read_first(wave64: bool) -> Inst {
    inst_of(&[0x7e00_0000 | 7 << 17 | 2 << 9 | (256 + 10)], wave64)
}

#[test]
fn the_first_active_lane_is_read_or_lane_zero_if_none_is() {
    for (halves, exec, wanted) in [(1, 0xff00, 108), (1, 0, 100), (2, 0, 100), (2, 1 << 40, 140)] {
        let mut wave = numbered(halves);
        wave.set_exec64(exec);
        run(&mut wave, &read_first(halves == 2));
        assert_eq!(wave.s(7), wanted);
    }
}

#[test]
fn a_named_lane_is_read_and_written_whatever_exec_says() {
    for (halves, lane, read) in [(1, 5, 105), (1, 37, 105), (2, 37, 137), (2, 69, 105)] {
        let mut wave = numbered(halves);
        wave.set_exec64(0);
        wave.set_s(3, lane);
        let mut words = with_scalars(864, 3, 0, 0);
        words[0] = words[0] & !0xff | 7;
        run(&mut wave, &inst_of(&words, halves == 2));
        assert_eq!(wave.s(7), read, "lane {lane}");
        wave.set_s(9, 77);
        let words = [vop3(865)[0], 9 | 3 << 9];
        run(&mut wave, &inst_of(&words, halves == 2));
        let at = (read - 100) as usize;
        assert_eq!(wave.v(at / 32, RESULT)[at % 32], 77);
        assert_eq!(wave.v(at / 32, RESULT)[(at + 1) % 32], 0);
    }
}

#[test]
fn lanes_of_a_row_are_permuted_within_it_or_from_the_other() {
    // Each lane of a row reads the lane that is as far from the row's end.
    let (low, high) = (0x89ab_cdef, 0x0123_4567);
    for (opcode, flip) in [(603, 0), (604, 16)] {
        let mut wave = numbered(1);
        wave.set_s(2, low);
        wave.set_s(3, high);
        run(&mut wave, &inst(&with_scalars(opcode, 2, 3, 0)));
        let wanted: [u32; 32] = std::array::from_fn(|lane| 100 + ((lane as u32 & 16) ^ flip) + 15 - (lane as u32 & 15));
        assert_eq!(*wave.v(0, RESULT), wanted);
    }
}

#[test]
fn what_a_permuted_lane_gets_of_an_inactive_one_is_as_op_sel_says() {
    // All lanes read lane 0 of their row; of the first row it is inactive.
    for (op_sel, wanted) in [(0, 7), (1, 100), (2, 0), (3, 100)] {
        let mut wave = numbered(1);
        *wave.v_mut(0, RESULT) = [7; 32];
        wave.set_s(2, 0);
        set_exec(&mut wave, !1);
        run(&mut wave, &inst(&with_scalars(603, 2, 2, op_sel)));
        assert_eq!((wave.v(0, RESULT)[0], wave.v(0, RESULT)[1], wave.v(0, RESULT)[17]), (7, wanted, 116));
    }
}

#[test]
fn halves_of_a_wave_of_64_are_exchanged() {
    let mut wave = numbered(2);
    wave.set_exec64(!2);
    run(&mut wave, &inst_of(&[0x7e00_0000 | 40 << 17 | 103 << 9 | (256 + 10)], true));
    assert_eq!((wave.v(0, RESULT)[3], wave.v(0, RESULT)[1], wave.v(1, RESULT)[1]), (135, 0, 101));
}

#[test]
fn bits_below_a_lane_are_counted() {
    let mut wave = wave(2);
    for half in 0..2 {
        *wave.v_mut(half, SOURCES[0]) = [0xf0f0_f0f1; 32];
        *wave.v_mut(half, SOURCES[1]) = [1000; 32];
    }
    run(&mut wave, &inst_of(&vop3(799), true));
    assert_eq!([0, 1, 5, 31].map(|lane| wave.v(0, RESULT)[lane]), [1000, 1001, 1002, 1016]);
    assert_eq!(wave.v(1, RESULT)[0], 1017);
    run(&mut wave, &inst_of(&vop3(800), true));
    assert_eq!((wave.v(0, RESULT)[31], wave.v(1, RESULT)[5]), (1000, 1002));
}

#[test]
fn registers_and_halves_of_registers_are_swapped() {
    let mut wave = numbered(1);
    *wave.v_mut(0, RESULT) = [0xaaaa_bbbb; 32];
    set_exec(&mut wave, 1);
    run(&mut wave, &inst(&[0x7e00_0000 | 40 << 17 | 101 << 9 | (256 + 10)]));
    assert_eq!((wave.v(0, RESULT)[0], wave.v(0, 10)[0]), (100, 0xaaaa_bbbb));
    assert_eq!((wave.v(0, RESULT)[1], wave.v(0, 10)[1]), (0xaaaa_bbbb, 101));
    // v_swap_b16 v40.h, v10.l
    run(&mut wave, &inst(&[0x7e00_0000 | (40 | 128) << 17 | 102 << 9 | (256 + 10)]));
    assert_eq!((wave.v(0, RESULT)[0], wave.v(0, 10)[0]), (0xbbbb_0064, 0xaaaa_0000));
}

#[test]
fn a_scalar_must_not_come_from_a_lane_never_written() {
    let mut wave = Wave::new(1, 0, u64::from(u32::MAX), Mode::HIP);
    wave.track.define(0, 10, !1, !0);
    assert!(execute_watched(&mut wave, &read_first(false)).is_err());
    set_exec(&mut wave, !1);
    execute_watched(&mut wave, &read_first(false)).unwrap();
    wave.set_s(slot::EXEC, !0);
    let named = |lane: u32| {
        let mut words = with_scalars(864, 128 + lane, 0, 0);
        words[0] = words[0] & !0xff | 7;
        inst(&words)
    };
    assert!(execute_watched(&mut wave, &named(0)).is_err());
    execute_watched(&mut wave, &named(1)).unwrap();
    // A permuted lane is as defined as the one it reads.
    execute_watched(&mut wave, &inst(&with_scalars(603, 128, 128, 0))).unwrap();
    assert_eq!(wave.track.defined(0, RESULT), 0xffff_0000);
}
