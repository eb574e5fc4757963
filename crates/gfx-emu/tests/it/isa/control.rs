//! The flow of the program and the mode register, as small programs.

use crate::memory::machine::{Done, Machine};
use gfx_emu::wave::slot;

fn run(machine: &Machine, program: &[&str]) -> Done {
    machine.run(program).unwrap_or_else(|fault| panic!("{fault}"))
}

fn s(done: &Done, register: u8) -> u32 {
    done.waves[0].s(register)
}

#[test]
fn branches_are_taken_where_their_condition_holds() {
    // What is set from s2, the branch, and whether it is taken where s2 is 0 and where it is 1.
    let branches = [
        ("s_cmp_eq_u32 s2, 1", "s_cbranch_scc0 1", [true, false]),
        ("s_cmp_eq_u32 s2, 1", "s_cbranch_scc1 1", [false, true]),
        ("s_mov_b32 vcc_lo, s2", "s_cbranch_vccz 1", [true, false]),
        ("s_mov_b32 vcc_lo, s2", "s_cbranch_vccnz 1", [false, true]),
        ("s_mov_b32 exec_lo, s2", "s_cbranch_execz 1", [true, false]),
        ("s_mov_b32 exec_lo, s2", "s_cbranch_execnz 1", [false, true]),
        ("s_mov_b32 s5, s2", "s_branch 1", [true, true]),
    ];
    for (set, branch, taken) in branches {
        for value in [0, 1] {
            let mut machine = Machine::new();
            // The high halves of masks do not count in a wave of 32.
            machine.s(2, value).s(slot::VCC + 1, 9);
            let done = run(&machine, &[set, branch, "s_mov_b32 s4, 7"]);
            assert_eq!(s(&done, 4) == 0, taken[value as usize], "{branch} where s2 is {value}");
        }
    }
}

#[test]
fn a_branch_back_makes_a_loop() {
    let mut machine = Machine::new();
    machine.s(5, 100);
    let turn = ["s_add_u32 s4, s4, s5", "s_sub_u32 s5, s5, 1", "s_cmp_lg_u32 s5, 0", "s_cbranch_scc1 -4"];
    assert_eq!(s(&run(&machine, &turn), 4), 5050);
}

#[test]
fn a_call_leaves_the_address_behind_it() {
    let program = ["s_call_b64 s[8:9], 2", "s_mov_b32 s5, s4", "s_endpgm", "s_mov_b32 s4, 7", "s_setpc_b64 s[8:9]"];
    let done = run(&Machine::new(), &program);
    assert_eq!((s(&done, 4), s(&done, 5)), (7, 7));
}

#[test]
fn jumps_go_to_an_address_in_registers() {
    let jump = ["s_getpc_b64 s[6:7]", "s_add_u32 s6, s6, 16", "s_addc_u32 s7, s7, 0", "s_setpc_b64 s[6:7]"];
    let done = run(&Machine::new(), &[&jump[..], &["s_mov_b32 s4, 7", "s_mov_b32 s5, s4"]].concat());
    assert_eq!((s(&done, 4), s(&done, 5)), (0, 0));

    let call = ["s_getpc_b64 s[6:7]", "s_add_u32 s6, s6, 20", "s_addc_u32 s7, s7, 0", "s_swappc_b64 s[8:9], s[6:7]"];
    let rest = ["s_mov_b32 s5, s4", "s_endpgm", "s_mov_b32 s4, 7", "s_setpc_b64 s[8:9]"];
    let done = run(&Machine::new(), &[call, rest].concat());
    assert_eq!((s(&done, 4), s(&done, 5)), (7, 7));
    let fault = Machine::new().fault(&["s_setpc_b64 s[8:9]"]);
    assert!(fault.to_string().contains("jump to 0x0"), "{fault}");
}

#[test]
fn fields_of_the_mode_register_are_read_and_written_alone() {
    // Kernels begin with denormals kept, rounding to nearest, and bits 8 and 9 for other things.
    let read = "s_getreg_b32 s4, hwreg(HW_REG_MODE, 0, 8)";
    let cases: [(&[&str], u32); 6] = [
        (&[], 0xf0),
        (&["s_setreg_imm32_b32 hwreg(HW_REG_MODE, 0, 2), 2"], 0xf2),
        (&["s_setreg_b32 hwreg(HW_REG_MODE, 4, 2), s2"], 0xd0),
        (&["s_round_mode 0x7"], 0xf7),
        (&["s_denorm_mode 0x3"], 0x30),
        (&["s_denorm_mode 0x3", "s_round_mode 0x7"], 0x37),
    ];
    for (change, mode) in cases {
        let mut machine = Machine::new();
        machine.s(2, 5);
        let done = run(&machine, &[change, &[read]].concat());
        assert_eq!(s(&done, 4), mode, "{change:?}");
    }
    let field = run(&Machine::new(), &["s_round_mode 0x7", "s_getreg_b32 s4, hwreg(HW_REG_MODE, 2, 4)"]);
    assert_eq!(s(&field, 4), 0b1101);
}

#[test]
fn the_mode_rounds_and_flushes() {
    let sum = |mode: &str, a: u32, b: u32| {
        let mut machine = Machine::new();
        machine.v(0, move |_| a).v(1, move |_| b);
        run(&machine, &[mode, "v_add_f32_e32 v2, v0, v1"]).v(2)[0]
    };
    let (one, tiny) = (1f32.to_bits(), 1e-20f32.to_bits());
    // Nearest, up, down, towards zero, for floats of 32 bits.
    assert_eq!(sum("s_round_mode 0x0", one, tiny), one);
    assert_eq!(sum("s_round_mode 0x1", one, tiny), one + 1);
    assert_eq!(sum("s_round_mode 0x2", one, tiny | 1 << 31), one - 1);
    assert_eq!(sum("s_round_mode 0x3", one, tiny), one);
    assert_eq!(sum("s_denorm_mode 0xf", 3, 4), 7);
    assert_eq!(sum("s_denorm_mode 0xc", 3, 4), 0);
}
