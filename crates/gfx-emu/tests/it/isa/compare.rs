//! Comparisons: every predicate of every type, by what its name says.

use super::{Random, SOURCES, inst, inst_of, run, set_exec, set64, vop3, wave};
use gfx_emu::isa::{Isa, Kind, Row};
use gfx_emu::wave::slot;
use std::cmp::Ordering;

/// What two operands are to each other, by the type at the end of a name.
fn order(kind: &str, a: u64, b: u64) -> Option<Ordering> {
    let half = |bits: u64| half::f16::from_bits(bits as u16).to_f64();
    let float = |bits: u64| f64::from(f32::from_bits(bits as u32));
    match kind {
        "f16" => half(a).partial_cmp(&half(b)),
        "f32" => float(a).partial_cmp(&float(b)),
        "f64" => f64::from_bits(a).partial_cmp(&f64::from_bits(b)),
        "i16" => Some((a as i16).cmp(&(b as i16))),
        "u16" => Some((a as u16).cmp(&(b as u16))),
        "i32" => Some((a as i32).cmp(&(b as i32))),
        "u32" => Some((a as u32).cmp(&(b as u32))),
        "i64" => Some((a as i64).cmp(&(b as i64))),
        "u64" => Some(a.cmp(&b)),
        _ => panic!("type {kind}"),
    }
}

fn holds(predicate: &str, order: Option<Ordering>) -> bool {
    let is = |wanted: &[Ordering]| order.is_some_and(|order| wanted.contains(&order));
    use Ordering::{Equal, Greater, Less};
    match predicate {
        "f" => false,
        "t" => true,
        "lt" => is(&[Less]),
        "eq" => is(&[Equal]),
        "le" => is(&[Less, Equal]),
        "gt" => is(&[Greater]),
        "lg" => is(&[Less, Greater]),
        "ne" => !is(&[Equal]),
        "ge" => is(&[Greater, Equal]),
        "o" => order.is_some(),
        "u" => order.is_none(),
        negated => !holds(&negated[1..], order),
    }
}

/// The bit of a number's class.
fn class(kind: &str, bits: u64) -> u32 {
    let (exponent, fraction) = match kind {
        "f16" => (5, 10),
        "f32" => (8, 23),
        _ => (11, 52),
    };
    let is_negative = bits >> (exponent + fraction) & 1 == 1;
    let field = bits >> fraction & ((1 << exponent) - 1);
    let rest = bits & ((1 << fraction) - 1);
    let positive = match (field, rest) {
        (0, 0) => 6,
        (0, _) => 7,
        (field, 0) if field == (1 << exponent) - 1 => 9,
        (field, rest) if field == (1 << exponent) - 1 => return u32::from(rest >> (fraction - 1) == 1),
        _ => 8,
    };
    if is_negative { 11 - positive } else { positive }
}

fn expected(row: &Row, a: u64, b: u64) -> bool {
    let mut parts = row.name.split('_').skip(2);
    let (predicate, kind) = (parts.next().unwrap(), parts.next().unwrap());
    if predicate == "class" { b >> class(kind, a) & 1 == 1 } else { holds(predicate, order(kind, a, b)) }
}

#[test]
fn comparisons_hold_where_their_names_say() {
    let mut random = Random(1);
    let mut wave = wave(1);
    for row in Isa::gfx11(false).vopc.rows() {
        let inst = inst(&vop3(u32::from(row.opcode)));
        assert_eq!(inst.row.name, row.name);
        for _ in 0..20 {
            let exec = random.next() as u32;
            let mut mask = 0;
            for lane in 0..32 {
                let a = random.operand(row.src[0]);
                let b = if random.next().is_multiple_of(3) { a } else { random.operand(row.src[1]) };
                set64(&mut wave, 0, SOURCES[0], lane, a);
                set64(&mut wave, 0, SOURCES[1], lane, b);
                mask |= u32::from(expected(row, a, b)) << lane;
            }
            set_exec(&mut wave, exec);
            wave.set_s(slot::VCC, 0x1234_5678);
            wave.set_s(super::RESULT as u8, !0);
            run(&mut wave, &inst);
            let is_cmpx = row.name.starts_with("v_cmpx");
            let (result, exec_after) = if is_cmpx { (!0, mask & exec) } else { (mask & exec, exec) };
            assert_eq!(wave.s(super::RESULT as u8), result, "{} of lanes {exec:#x}", row.name);
            assert_eq!(wave.s(slot::EXEC), exec_after, "{}", row.name);
            assert_eq!(wave.s(slot::VCC), 0x1234_5678, "{}", row.name);
        }
    }
}

#[test]
fn a_wave_of_64_compares_both_halves_with_the_scalar_as_it_was() {
    let mut wave = wave(2);
    // v_cmp_eq_u32 s[40:41], s40, v20
    let inst = inst_of(&[0xd400_0000 | 74 << 16 | 40, 40 | (256 + 20) << 9], true);
    assert_eq!((inst.row.name, inst.row.src[0]), ("v_cmp_eq_u32", Kind::B32));
    wave.set_s(40, 7);
    for half in 0..2 {
        *wave.v_mut(half, 20) = std::array::from_fn(|lane| if lane % 3 == half { 7 } else { 0 });
    }
    run(&mut wave, &inst);
    assert_eq!(wave.s64(40), 0x9249_2492_4924_9249);
}

#[test]
fn a_comparison_into_the_null_register_is_lost_and_leaves_the_next_one() {
    for halves in [1, 2] {
        let mut wave = wave(halves);
        wave.set_s(slot::M0, 99);
        let inst = inst_of(&[0xd400_0000 | 74 << 16 | 124, 256 | 256 << 9], halves == 2);
        run(&mut wave, &inst);
        assert_eq!((wave.s(slot::NULL), wave.s(slot::M0)), (0, 99));
    }
}
