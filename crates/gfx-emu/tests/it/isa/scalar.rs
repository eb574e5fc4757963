//! Scalar instructions: values, condition code and active lanes, each against a formula of its own.

mod formulas;

use super::{Random, inst, inst_of, run, wave};
use gfx_emu::isa::{Exec, Isa, Kind, Row};
use gfx_emu::wave::{Wave, slot};

/// Pairs of scalar registers: the sources, and the result.
const A: u8 = 10;
const B: u8 = 20;
const RESULT: u8 = 40;

/// What an instruction finds.
struct Found {
    a: u64,
    b: u64,
    /// What the result's registers hold; of SOPK, the operand.
    old: u64,
    scc: bool,
    exec: u64,
}

/// What it leaves: the result's registers, the condition code, the active lanes.
#[derive(Debug, PartialEq)]
struct Left {
    result: u64,
    scc: bool,
    exec: u64,
}

/// An instruction's formula.
type Case = (&'static str, fn(&Found) -> Left);

/// Instructions that take registers beside those they name; and waits, which other tests look at.
const APART: [&str; 9] = [
    "s_movrels_b32",
    "s_movrels_b64",
    "s_movreld_b32",
    "s_movreld_b64",
    "s_movrelsd_2_b32",
    "s_waitcnt_vscnt",
    "s_waitcnt_vmcnt",
    "s_waitcnt_expcnt",
    "s_waitcnt_lgkmcnt",
];

/// The rows that compute, each with its words for the registers of tests; `immediate` is that of SOPK.
fn rows(immediate: u16) -> Vec<(&'static Row, u32)> {
    let isa = Isa::gfx11(false);
    let (a, b, result) = (u32::from(A), u32::from(B), u32::from(RESULT));
    let op = |row: &Row| u32::from(row.opcode);
    let sop1 = isa.sop1.rows().map(|row| (row, 0xbe80_0000 | result << 16 | op(row) << 8 | a));
    let sop2 = isa.sop2.rows().map(|row| (row, 0x8000_0000 | op(row) << 23 | result << 16 | b << 8 | a));
    let sopc = isa.sopc.rows().map(|row| (row, 0xbf00_0000 | op(row) << 16 | b << 8 | a));
    let sopk = isa.sopk.rows().map(|row| (row, 0xb000_0000 | op(row) << 23 | result << 16 | u32::from(immediate)));
    let all = sop1.chain(sop2).chain(sopc).chain(sopk);
    all.filter(|(row, _)| matches!(row.exec, Exec::Wave(_)) && !APART.contains(&row.name)).collect()
}

fn found(random: &mut Random, is_sopk: bool, immediate: u16) -> Found {
    let edges: [u64; 8] =
        [1 << 63, (1 << 63) - 1, 1 << 32, u64::MAX << 32, 0xffff_0000, 31 << 16 | 4, 40 << 16 | 28, 64 << 16];
    let mut operand = || if random.next().is_multiple_of(4) { random.pick(&edges) } else { random.operand(Kind::I64) };
    let (a, other, old) = (operand(), operand(), operand());
    // SOPK's source is its immediate, which is often equal to the operand.
    let immediate = i64::from(immediate as i16) as u64;
    let close = random.next() % 3;
    let b = if close == 0 { a.wrapping_add(random.next() % 3).wrapping_sub(1) } else { other };
    let old = match (is_sopk, close) {
        (true, 0) => immediate & 0xffff_ffff,
        (true, 1) => immediate & 0xffff,
        _ => old,
    };
    Found {
        a: if is_sopk { immediate } else { a },
        b,
        old,
        scc: random.next().is_multiple_of(2),
        exec: random.operand(Kind::I64),
    }
}

fn check(row: &Row, word: u32, formula: fn(&Found) -> Left, random: &mut Random) {
    let is_sopk = word >> 28 == 0xb;
    let found = found(random, is_sopk, word as u16);
    let mut wave = wave(1);
    wave.set_s64(A, found.a);
    wave.set_s64(B, found.b);
    wave.set_s64(RESULT, found.old);
    wave.set_s64(slot::EXEC, found.exec);
    wave.scc = found.scc;
    let before = wave.sgpr;
    run(&mut wave, &inst(&[word]));
    let left = Left { result: wave.s64(RESULT), scc: wave.scc, exec: wave.s64(slot::EXEC) };
    let Found { a, b, old, scc, exec } = found;
    assert_eq!(left, formula(&found), "{} of {a:#x}, {b:#x}, old {old:#x}, scc {scc}, exec {exec:#x}", row.name);
    let changed = (0..128u8).filter(|register| wave.s(*register) != before[usize::from(*register)]);
    let may = [RESULT, RESULT + 1, slot::EXEC, slot::EXEC + 1];
    assert_eq!(changed.filter(|register| !may.contains(register)).count(), 0, "{}: other registers", row.name);
}

#[test]
fn results_are_those_of_the_formulas() {
    let mut random = Random(21);
    let cases = formulas::cases();
    for _ in 0..400 {
        let immediate = if random.next().is_multiple_of(2) {
            random.next() as u16
        } else {
            random.pick(&[0, 1, 0x7fff, 0x8000, 0xffff])
        };
        for (row, word) in rows(immediate) {
            if let Some((_, formula)) = cases.iter().find(|(name, _)| *name == row.name) {
                check(row, word, *formula, &mut random);
            }
        }
    }
}

#[test]
fn every_scalar_instruction_has_a_formula() {
    let cases = formulas::cases();
    let rows = rows(0);
    let missing: Vec<&str> =
        rows.iter().map(|(row, _)| row.name).filter(|name| !cases.iter().any(|case| case.0 == *name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    let unknown: Vec<&str> =
        cases.iter().map(|case| case.0).filter(|name| !rows.iter().any(|(row, _)| row.name == *name)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

/// A wave whose scalar registers hold a hundred times their numbers, with M0.
fn numbered(m0: u32) -> Wave {
    let mut wave = wave(1);
    (0..106).for_each(|register| wave.set_s(register, 100 * u32::from(register)));
    wave.set_s(slot::M0, m0);
    wave
}

fn sop1(opcode: u32) -> [u32; 1] {
    [0xbe80_0000 | u32::from(RESULT) << 16 | opcode << 8 | u32::from(A)]
}

#[test]
fn m0_says_which_register_is_moved() {
    let moved = |opcode: u32, m0: u32, register: u8| {
        let mut wave = numbered(m0);
        run(&mut wave, &inst(&sop1(opcode)));
        (wave.s(register), wave.s(register + 1))
    };
    assert_eq!(moved(64, 5, RESULT), (1500, 4100), "s_movrels_b32");
    assert_eq!(moved(65, 6, RESULT), (1600, 1700), "s_movrels_b64");
    assert_eq!(moved(66, 5, RESULT + 5), (1000, 4600), "s_movreld_b32");
    assert_eq!(moved(67, 6, RESULT + 6), (1000, 1100), "s_movreld_b64");
    assert_eq!(moved(68, 7 << 16 | 3, RESULT + 7), (1300, 4800), "s_movrelsd_2_b32");
}

#[test]
fn sources_may_be_constants_literals_and_flags() {
    let value = |words: &[u32], wave64: bool| {
        let mut wave = wave(if wave64 { 2 } else { 1 });
        wave.scc = true;
        wave.set_s64(slot::VCC, 0);
        run(&mut wave, &inst_of(words, wave64));
        wave.s64(RESULT)
    };
    let mov32 = |source: u32| 0xbe80_0000 | u32::from(RESULT) << 16 | source;
    let mov64 = |source: u32| mov32(source) | 1 << 8;
    assert_eq!(value(&[mov32(128 + 64)], false), 64);
    assert_eq!(value(&[mov64(193)], false), u64::MAX, "-1 of 64 bits");
    assert_eq!(value(&[mov64(208)], false), -16i64 as u64);
    assert_eq!(value(&[mov32(255), 0x8765_4321], false), 0x8765_4321);
    assert_eq!(value(&[mov64(255), 0x8765_4321], false), 0x8765_4321, "literals have 32 bits");
    assert_eq!(value(&[mov32(242)], false), 0x3f80_0000);
    assert_eq!(value(&[mov32(248)], false), 0x3e22_f983, "a half over pi");
    for wave64 in [false, true] {
        assert_eq!([251, 252, 253].map(|flag| value(&[mov32(flag)], wave64)), [1, 0, 1], "vccz, execz, scc");
    }
}
