//! Lane-wise instructions, each against a formula of its own.

mod formulas;

use super::{RESULT, Random, SOURCES, get64, inst, run, set_exec, set64, wave, words_of};
use gfx_emu::isa::row::Form;
use gfx_emu::isa::{Exec, Inst, Isa, Kind, Row};
use gfx_emu::wave::{Wave, slot};

/// Scalar register of a mask that selects, and of a mask that is a result.
const MASK: u8 = 50;
const CARRY: u8 = 44;

/// A formula over the bits of the sources: the bits of the result, and the flag besides.
type Formula = fn(&[u64]) -> (u64, bool);

/// An instruction's formula, and how far from it a result may be, relative to it (0: not at all, zeros of both signs
/// apart).
struct Case {
    name: &'static str,
    tolerance: f64,
    formula: Formula,
}

/// Instructions that are tested for themselves, or as parts of a computation.
const PARTS: [&str; 11] = [
    "v_nop",
    "v_div_scale_f32",
    "v_div_scale_f64",
    "v_div_fmas_f32",
    "v_div_fmas_f64",
    "v_div_fixup_f32",
    "v_div_fixup_f64",
    "v_div_fixup_f16",
    "v_mqsad_u32_u8",
    "v_mbcnt_lo_u32_b32",
    "v_trig_preop_f64",
];

/// Instructions without a long encoding.
const SHORT_ONLY: [&str; 7] = [
    "v_dot2acc_f32_f16",
    "v_fmamk_f32",
    "v_fmaak_f32",
    "v_fmamk_f16",
    "v_fmaak_f16",
    "v_pk_fmac_f16",
    "v_dot2acc_f32_bf16",
];

fn rows() -> impl Iterator<Item = &'static Row> {
    let isa = Isa::gfx11(false);
    let rows = isa.vop1.rows().chain(isa.vop2.rows()).chain(isa.vop3.rows()).chain(isa.vop3p.rows());
    rows.filter(|row| matches!(row.exec, Exec::Lanes { .. } | Exec::Wave(_)))
}

/// The instruction with its operands in the registers of tests, masks in scalar ones.
fn instruction(name: &str) -> Inst {
    let mut words = words_of(name);
    let row = inst(&words).row;
    if row.src.get(2) == Some(&Kind::Mask) {
        words[1] = words[1] & !(0x1ff << 18) | u32::from(MASK) << 18;
    }
    if row.carries {
        words[0] |= u32::from(CARRY) << 8;
    }
    inst(&words)
}

/// Puts random operands in place, and returns them by lane and source.
fn prepare(wave: &mut Wave, row: &Row, random: &mut Random) -> Vec<Vec<u64>> {
    let mask = random.next() as u32;
    wave.set_s(MASK, mask);
    wave.set_s(slot::VCC, mask);
    (0..32)
        .map(|lane| {
            set64(wave, 0, RESULT, lane, random.next());
            let mut operands = Vec::new();
            for (n, kind) in row.src.iter().enumerate() {
                let value = random.operand(*kind);
                let is_old = row.form == Form::Accumulate && n + 1 == row.src.len();
                if *kind == Kind::Mask {
                    operands.push(u64::from(mask >> lane & 1));
                } else {
                    set64(wave, 0, if is_old { RESULT } else { SOURCES[n] }, lane, value);
                    operands.push(value);
                }
            }
            operands
        })
        .collect()
}

/// The result's bits within a register or two, given what was there.
fn placed(row: &Row, value: u64, old: u64) -> u64 {
    match row.dst {
        kind if kind.is_half() && row.form == Form::HighHalf => old & !0xffff_0000 | (value & 0xffff) << 16,
        kind if kind.is_half() => old & !0xffff | value & 0xffff,
        Kind::B64 | Kind::I64 | Kind::F64 => value,
        _ => old & !0xffff_ffff | value & 0xffff_ffff,
    }
}

/// The number that the bits of a result are, for a comparison with a tolerance.
fn number(name: &str, bits: u64) -> f64 {
    match name.rsplit('_').next() {
        Some("f64") => f64::from_bits(bits),
        Some("f16" | "bf16") if name.ends_with("bf16_bf16") => f64::from(f32::from_bits((bits as u32) << 16)),
        Some("f16") if !name.contains("f32_f16") => half::f16::from_bits(bits as u16).to_f64(),
        _ => f64::from(f32::from_bits(bits as u32)),
    }
}

fn is_close(case: &Case, found: u64, wanted: u64) -> bool {
    let (found, wanted) = (number(case.name, found), number(case.name, wanted));
    found == wanted || (found - wanted).abs() <= case.tolerance * wanted.abs().max(1e-30)
}

/// Both NaNs, whatever their payloads, halves of pairs each for itself.
fn are_nans(row: &Row, found: u64, wanted: u64) -> bool {
    let nan16 = |bits: u64| half::f16::from_bits(bits as u16).is_nan();
    let same16 = |shift: u32| {
        let (found, wanted) = (found >> shift & 0xffff, wanted >> shift & 0xffff);
        found == wanted || nan16(found) && nan16(wanted)
    };
    match row.dst {
        Kind::F64 => f64::from_bits(found).is_nan() && f64::from_bits(wanted).is_nan(),
        Kind::PkF16 | Kind::F16 => same16(0) && same16(16),
        Kind::Bf16 => found >> 16 == wanted >> 16 && f32::from_bits((found as u32) << 16).is_nan(),
        Kind::B32 => f32::from_bits(found as u32).is_nan() && f32::from_bits(wanted as u32).is_nan(),
        _ => false,
    }
}

fn check(case: &Case, random: &mut Random) {
    let inst = instruction(case.name);
    let row = inst.row;
    assert_eq!(row.name, case.name);
    let mut wave = wave(1);
    for _ in 0..40 {
        let operands = prepare(&mut wave, row, random);
        let exec = random.next() as u32;
        set_exec(&mut wave, exec);
        let old: Vec<u64> = (0..32).map(|lane| get64(&wave, 0, RESULT, lane)).collect();
        run(&mut wave, &inst);
        let mut flags = 0;
        for lane in 0..32 {
            let found = get64(&wave, 0, RESULT, lane);
            if exec >> lane & 1 == 0 {
                assert_eq!(found, old[lane], "{}: an inactive lane", case.name);
                continue;
            }
            let (value, flag) = (case.formula)(&operands[lane]);
            flags |= u32::from(flag) << lane;
            let wanted = placed(row, value, old[lane]);
            let is_right = found == wanted
                || are_nans(row, found, wanted)
                || case.tolerance > 0.0 && is_close(case, found, wanted);
            assert!(is_right, "{} of {:x?}: {found:#x} and not {wanted:#x}", case.name, operands[lane]);
        }
        if row.carries {
            assert_eq!(wave.s(CARRY), flags, "{}: the flags", case.name);
        }
    }
}

#[test]
fn results_are_those_of_the_formulas() {
    let mut random = Random(2);
    formulas::cases().iter().for_each(|case| check(case, &mut random));
}

#[test]
fn every_lanewise_instruction_has_a_formula() {
    let cases = formulas::cases();
    let is_known =
        |name: &str| cases.iter().any(|case| case.name == name) || PARTS.contains(&name) || SHORT_ONLY.contains(&name);
    let missing: Vec<&str> = rows().map(|row| row.name).filter(|name| !is_known(name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// One operation of a computation on v0 to v39, all of one lane's value: result, sources.
fn step(wave: &mut Wave, name: &str, result: u16, sources: [u16; 3]) {
    let [a, b, c] = sources.map(|register| 256 + u32::from(register));
    let mut words = words_of(name);
    words[0] = words[0] & !0xff | u32::from(result);
    words[1] = words[1] >> 27 << 27 | a | b << 9 | c << 18;
    if inst(&words).row.carries {
        words[0] |= u32::from(slot::VCC) << 8;
    }
    run(wave, &inst(&words));
}

/// The sequence that compilers divide floats by.
fn quotient(a: f32, b: f32) -> f32 {
    let mut wave = wave(1);
    let set = |wave: &mut Wave, register: u16, value: f32| *wave.v_mut(0, register) = [value.to_bits(); 32];
    set(&mut wave, 0, a);
    set(&mut wave, 1, b);
    set(&mut wave, 9, 1.0);
    step(&mut wave, "v_div_scale_f32", 2, [1, 1, 0]);
    step(&mut wave, "v_div_scale_f32", 3, [0, 1, 0]);
    step(&mut wave, "v_rcp_f32", 4, [2, 0, 0]);
    let negated = wave.v(0, 2).map(|bits| bits ^ 1 << 31);
    *wave.v_mut(0, 5) = negated;
    step(&mut wave, "v_fma_f32", 6, [5, 4, 9]);
    step(&mut wave, "v_fma_f32", 4, [6, 4, 4]);
    step(&mut wave, "v_mul_f32", 7, [3, 4, 0]);
    step(&mut wave, "v_fma_f32", 8, [5, 7, 3]);
    step(&mut wave, "v_fma_f32", 7, [8, 4, 7]);
    step(&mut wave, "v_fma_f32", 8, [5, 7, 3]);
    step(&mut wave, "v_div_fmas_f32", 8, [8, 4, 7]);
    step(&mut wave, "v_div_fixup_f32", 8, [8, 1, 0]);
    f32::from_bits(wave.v(0, 8)[0])
}

#[test]
fn the_steps_of_a_division_make_the_rounded_quotient() {
    let mut random = Random(3);
    let edges =
        [(1.0, 3.0), (1e-40, 3.0), (3e38, 1e-3), (1e-38, 1e10), (1.0, 0.0), (0.0, -2.0), (1e38, 3e38), (7.0, 1e-41)];
    let randoms = (0..100).map(|_| {
        let number = |bits: u64| f32::from_bits(bits as u32 & 0x8fff_ffff | 0x3000_0000);
        (number(random.next()), number(random.next()))
    });
    for (a, b) in edges.into_iter().chain(randoms.collect::<Vec<_>>()) {
        assert_eq!(quotient(a, b).to_bits(), (a / b).to_bits(), "{a:e} / {b:e}");
    }
}

#[test]
fn segments_of_two_over_pi_add_up_to_it() {
    let mut wave = wave(1);
    for (a, weight) in [(1.0, 1.0), (2f64.powi(60), 2f64.powi(6))] {
        let mut sum = 0.0;
        for segment in (0..4).rev() {
            set64(&mut wave, 0, SOURCES[0], 0, f64::to_bits(a));
            set64(&mut wave, 0, SOURCES[1], 0, segment);
            run(&mut wave, &inst(&words_of("v_trig_preop_f64")));
            sum += f64::from_bits(get64(&wave, 0, RESULT, 0));
        }
        // Of a large operand what makes whole turns is left out.
        let whole = std::f64::consts::FRAC_2_PI * weight;
        assert!((sum * weight - if weight > 1.0 { whole.fract() } else { whole }).abs() < 1e-13, "{a:e}: {sum:e}");
    }
}

#[test]
fn masked_differences_are_summed_into_four_registers() {
    let mut wave = wave(1);
    set64(&mut wave, 0, SOURCES[0], 5, 0x0807_0605_0403_0201);
    set64(&mut wave, 0, SOURCES[1], 5, 0x0a00_0a0a);
    for n in 0..4 {
        wave.v_mut(0, SOURCES[2] + n)[5] = 100 * u32::from(n);
    }
    run(&mut wave, &inst(&words_of("v_mqsad_u32_u8")));
    let sums: Vec<u32> = (0..4).map(|n| wave.v(0, RESULT + n)[5]).collect();
    // The reference's third byte is zero and left out: 9 + 8 + 6, and three less for each byte further on.
    assert_eq!(sums, [23, 120, 217, 314]);
}
