//! Mistakes that are found, each beside a neighbour that is none.

use super::machine::Machine;
use gfx_emu::FaultKind;

const WAIT: &str = "s_waitcnt vmcnt(0) lgkmcnt(0)";
const LOAD: &str = "global_load_b32 v2, v[0:1], off";
const STORE: &str = "global_store_b32 v[0:1], v2, off";
const WIDE: &str = "global_load_b128 v[4:7], v[0:1], off";

/// A machine whose lane 3 uses an address relative to 256 written bytes, and others the first.
fn at(offset: i64) -> (Machine, u64) {
    let mut machine = Machine::new();
    let base = machine.memory.allocate_from(&[1u8; 256], "weights");
    let odd = base.wrapping_add_signed(offset);
    machine.v64(0, move |lane| if lane == 3 { odd } else { base }).v(2, |_| 0);
    (machine, base)
}

fn place(machine: &Machine, program: &[&str]) -> String {
    match machine.fault(program) {
        FaultKind::OutOfBounds { place, .. } => place,
        other => panic!("{other}"),
    }
}

#[test]
fn outside_of_an_allocation() {
    for instruction in [LOAD, STORE] {
        assert!(at(252).0.run(&[instruction]).is_ok(), "the last word");
        let (machine, base) = at(256 + 16);
        let expected = format!("16 bytes behind the end of `weights` (256 bytes at {base:#x})");
        assert_eq!(place(&machine, &[instruction]), expected);
        let (machine, _) = at(-8);
        assert!(place(&machine, &[instruction]).contains("before the beginning of `weights`"));
        let (machine, _) = at(254);
        assert!(place(&machine, &[instruction]).starts_with("2 of them behind the end of `weights`"));
    }
    assert!(at(240).0.run(&[WIDE]).is_ok());
    assert!(place(&at(244).0, &[WIDE]).starts_with("4 of them behind the end"));
}

#[test]
fn the_lane_and_the_instruction_are_named() {
    let (machine, _) = at(256);
    let fault = machine.run(&[LOAD]).err().unwrap();
    assert_eq!((fault.lane, fault.instruction.as_str(), fault.wave), (Some(3), "global_load_b32", 0));
}

#[test]
fn null_and_freed_memory() {
    let mut machine = Machine::new();
    machine.v64(0, |_| 16);
    assert_eq!(place(&machine, &[LOAD]), "a null pointer");
    let (machine, base) = at(0);
    assert!(machine.run(&[LOAD]).is_ok());
    assert!(machine.memory.free(base));
    assert_eq!(place(&machine, &[LOAD]), "0 bytes into `weights`, which was freed");
}

#[test]
fn scalar_loads_outside_and_misaligned_and_of_unwritten_memory() {
    let mut machine = Machine::new();
    let base = machine.memory.allocate_from(&[1u32; 16], "table");
    machine.s64(2, base);
    assert!(machine.run(&["s_load_b32 s4, s[2:3], 0x3c"]).is_ok());
    assert!(place(&machine, &["s_load_b64 s[6:7], s[2:3], 0x3c"]).starts_with("4 of them behind"));
    machine.memory.mark_unwritten(base + 0x3c, 1);
    let fault = machine.fault(&["s_load_b32 s4, s[2:3], 0x3c"]);
    assert!(matches!(fault, FaultKind::UndefinedMemory { address, .. } if address == base + 0x3c), "{fault}");
    machine.s64(2, base + 2);
    let fault = machine.fault(&["s_load_b32 s4, s[2:3], null"]);
    assert!(matches!(fault, FaultKind::Misaligned { alignment: 4, .. }), "{fault}");
}

#[test]
fn atomic_operations_need_alignment() {
    let (machine, base) = at(2);
    let fault = machine.fault(&["global_atomic_add_u32 v[0:1], v2, off"]);
    assert!(matches!(fault, FaultKind::Misaligned { address, alignment: 4, .. } if address == base + 2), "{fault}");
    assert!(at(4).0.run(&["global_atomic_add_u32 v[0:1], v2, off"]).is_ok());
    let mut machine = Machine::new();
    machine.v(0, |lane| 4 * lane as u32 + 2).v(1, |_| 0);
    assert!(machine.run(&["ds_store_b32 v0, v1"]).is_ok(), "stores of one address need none");
    let fault = machine.fault(&["ds_store_2addr_b32 v0, v1, v1 offset1:1"]);
    assert!(matches!(fault, FaultKind::Misaligned { alignment: 4, .. }), "{fault}");
}

#[test]
fn outside_of_lds_and_of_private_memory() {
    let mut machine = Machine::new();
    machine.v(0, |lane| if lane == 9 { 1021 } else { 0 }).v(1, |_| 0);
    let fault = machine.fault(&["ds_store_b32 v0, v1"]);
    assert!(matches!(fault, FaultKind::LdsOutOfBounds { offset: 1021, size: 1024, .. }), "{fault}");
    machine.lds = 1025;
    assert!(machine.run(&["ds_store_b32 v0, v1"]).is_ok());
    let mut machine = Machine::new();
    machine.v(0, |_| 61);
    let fault = machine.fault(&["scratch_load_b32 v2, v0, off"]);
    assert!(matches!(fault, FaultKind::ScratchOutOfBounds { offset: 61, size: 64, .. }), "{fault}");
    machine.private = 65;
    assert!(machine.run(&["scratch_load_b32 v2, v0, off"]).is_ok());
}

#[test]
fn a_register_is_used_before_its_load_was_waited_for() {
    let cases = [
        ("global_load_b32 v2, v[0:1], off", "v_mov_b32_e32 v3, v2", "s_waitcnt vmcnt(0)"),
        ("ds_load_b32 v2, v4", "v_mov_b32_e32 v3, v2", "s_waitcnt lgkmcnt(0)"),
        ("s_load_b32 s4, s[2:3], null", "s_mov_b32 s5, s4", "s_waitcnt lgkmcnt(0)"),
    ];
    for (load, use_, wait) in cases {
        let (mut machine, base) = at(0);
        machine.s64(2, base).v(4, |lane| 4 * lane as u32).v(5, |_| 1);
        let fill = ["ds_store_b32 v4, v5", WAIT];
        let fault = machine.fault(&[fill[0], fill[1], load, use_]);
        assert!(matches!(fault, FaultKind::MissingWait { .. }), "{load}: {fault}");
        assert!(machine.run(&[fill[0], fill[1], load, wait, use_]).is_ok(), "{load}");
    }
    let (machine, _) = at(0);
    let halves = ["global_load_d16_b16 v2, v[0:1], off", "global_load_d16_hi_b16 v2, v[0:1], off", WAIT];
    assert!(machine.run(&halves).is_ok(), "two loads of the halves of a register need no wait between");
}

#[test]
fn flat_loads_are_waited_for_by_both_counters() {
    let (machine, _) = at(0);
    let load = "flat_load_b32 v2, v[0:1]";
    let use_ = "v_mov_b32_e32 v3, v2";
    assert!(machine.run(&[load, WAIT, use_]).is_ok());
    for wait in ["s_waitcnt vmcnt(0)", "s_waitcnt lgkmcnt(0)"] {
        assert!(matches!(machine.fault(&[load, wait, use_]), FaultKind::MissingWait { .. }), "{wait}");
    }
}

#[test]
fn unwritten_memory_may_be_copied_and_decides_nothing() {
    let (mut machine, base) = at(0);
    machine.memory.mark_unwritten(base + 4, 4);
    let to = machine.memory.allocate(16, "copy");
    machine.exec = 1;
    machine.v64(8, move |_| to);
    machine.run(&[WIDE, WAIT, "global_store_b128 v[8:9], v[4:7], off"]).unwrap();
    assert!(machine.memory.is_written(to, 4) && machine.memory.is_written(to + 8, 8));
    assert_eq!(machine.memory.first_unwritten(to, 16), Some(to + 4), "what it copied is as unwritten");
    let fault = machine.fault(&[WIDE, WAIT, "v_cmp_eq_u32_e32 vcc_lo, v4, v5"]);
    assert!(matches!(fault, FaultKind::UnwrittenValue { register: 5, address, .. } if address == base + 4), "{fault}");
    assert!(machine.run(&[WIDE, WAIT, "v_cmp_eq_u32_e32 vcc_lo, v4, v6"]).is_ok());
}

#[test]
fn what_was_made_of_unwritten_memory_is_no_address_and_not_stored() {
    let (machine, base) = at(0);
    machine.memory.mark_unwritten(base, 256);
    let made = "v_add_nc_u32_e32 v2, v2, v2";
    let fault = machine.fault(&[LOAD, WAIT, made, STORE]);
    assert!(matches!(fault, FaultKind::UnwrittenValue { use_: "is stored to memory", .. }), "{fault}");
    let fault = machine.fault(&[LOAD, WAIT, "ds_load_b32 v3, v2"]);
    assert!(matches!(fault, FaultKind::UnwrittenValue { use_: "is an address", .. }), "{fault}");
}

#[test]
fn registers_never_written_are_no_address_and_not_stored() {
    let (machine, _) = at(0);
    let fault = machine.fault(&["global_load_b32 v2, v[1:2], off", "ds_load_b32 v3, v9"]);
    assert!(matches!(fault, FaultKind::OutOfBounds { .. } | FaultKind::UndefinedRegister { .. }), "{fault}");
    let fault = machine.fault(&["ds_load_b32 v3, v9"]);
    assert!(matches!(fault, FaultKind::UndefinedRegister { register: 9, use_: "is an address" }), "{fault}");
    let fault = machine.fault(&["global_store_b32 v[0:1], v9, off"]);
    assert!(matches!(fault, FaultKind::UndefinedRegister { register: 9, use_: "is stored to memory" }), "{fault}");
}

#[test]
fn compilers_may_save_undefined_registers_in_private_memory() {
    let mut machine = Machine::new();
    machine.v(0, |_| 0);
    let save = ["scratch_store_b32 v0, v9, off", "scratch_load_b32 v2, v0, off", WAIT];
    assert!(machine.run(&save).is_ok());
    let fault = machine.fault(&[save[0], save[1], save[2], "ds_load_b32 v3, v2"]);
    assert!(matches!(fault, FaultKind::UnwrittenValue { register: 2, .. }), "{fault}");
}

#[test]
fn unwritten_lds_is_found_where_it_matters() {
    let mut machine = Machine::new();
    machine.v(0, |lane| 4 * lane as u32).v(1, |lane| lane as u32);
    let load = ["ds_load_b32 v2, v0", WAIT, "v_cmp_eq_u32_e32 vcc_lo, v1, v2"];
    let fault = machine.fault(&load);
    assert!(matches!(fault, FaultKind::UnwrittenValue { register: 2, address: 0, .. }), "{fault}");
    assert!(machine.run(&["ds_store_b32 v0, v1", load[0], load[1], load[2]]).is_ok());
    let fault = machine.fault(&["ds_add_u32 v0, v1"]);
    assert!(matches!(fault, FaultKind::UndefinedMemory { address: 0, .. }), "{fault}");
}

#[test]
fn outside_of_a_buffer() {
    let (mut machine, base) = at(0);
    machine.s64(4, base).s(6, 128).s(7, 0).v(1, |lane| 4 * lane as u32);
    assert!(machine.run(&["buffer_load_b32 v2, v1, s[4:7], 0 offen"]).is_ok());
    machine.s(6, 124);
    assert!(
        place(&machine, &["buffer_load_b32 v2, v1, s[4:7], 0 offen"])
            .starts_with("offset 124 of a buffer of 124 bytes")
    );
}
