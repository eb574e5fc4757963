//! Races between waves of a workgroup.

use super::machine::Machine;
use gfx_emu::FaultKind;

const WAIT: &str = "s_waitcnt vmcnt(0) lgkmcnt(0)";
const BARRIER: &str = "s_barrier";

fn machine() -> (Machine, u64) {
    let mut machine = Machine::new();
    let base = machine.memory.allocate_from(&[0u32; 64], "sums");
    machine.v64(0, move |lane| base + 4 * lane as u64).v(2, |lane| lane as u32).v(4, |lane| 4 * lane as u32);
    (machine, base)
}

fn is_race(kind: &FaultKind, with: u32, what: &str) -> bool {
    matches!(kind, FaultKind::Race { other, did, .. } if *other == with && *did == what)
}

#[test]
fn lds_written_by_one_and_read_by_another() {
    let (machine, _) = machine();
    let (store, load) = ("ds_store_b32 v4, v2", "ds_load_b32 v3, v4");
    let fault = machine.fault_of_waves(&[&[store], &[load]]);
    assert!(is_race(&fault, 0, "wrote"), "{fault}");
    let fault = machine.fault_of_waves(&[&[load], &[store]]);
    assert!(is_race(&fault, 0, "read"), "{fault}");
    assert!(machine.run_waves(&[&[store, WAIT, BARRIER], &[BARRIER, load]]).is_ok(), "with a barrier between");
    assert!(machine.run_waves(&[&[store, load], &["ds_store_b32 v4, v2 offset:128"]]).is_ok(), "other words");
}

#[test]
fn atomic_operations_on_lds_are_no_race() {
    let (machine, _) = machine();
    let start = ["ds_store_b32 v4, v2", WAIT, BARRIER, "ds_add_u32 v4, v2", WAIT];
    assert!(machine.run_waves(&[&start, &[BARRIER, "ds_add_u32 v4, v2"]]).is_ok());
    let fault = machine.fault_of_waves(&[&start, &[BARRIER, "ds_load_b32 v3, v4"]]);
    assert!(is_race(&fault, 0, "changed atomically"), "{fault}");
}

#[test]
fn global_memory_written_by_one_and_used_by_another() {
    let (machine, base) = machine();
    let (store, load) = ("global_store_b32 v[0:1], v2, off", "global_load_b32 v3, v[0:1], off");
    for second in ["global_store_b32 v[0:1], v4, off", load] {
        let fault = machine.fault_of_waves(&[&[store], &[second]]);
        assert!(is_race(&fault, 0, "wrote"), "{fault}");
        assert!(fault.to_string().contains(&format!("bytes into `sums` (256 bytes at {base:#x})")), "{fault}");
    }
    assert!(machine.run_waves(&[&[store, BARRIER], &[BARRIER, load]]).is_ok());
    assert!(machine.run_waves(&[&[load], &[load]]).is_ok());
    assert!(machine.run_waves(&[&[store, load], &["global_store_b32 v[0:1], v2, off offset:128"]]).is_ok());
    let add = "global_atomic_add_u32 v[0:1], v2, off";
    assert!(machine.run_waves(&[&[add], &[add]]).is_ok());
}

#[test]
fn waves_may_write_the_same_values_until_one_reads_them() {
    let (machine, _) = machine();
    for [store, other, load] in [
        ["global_store_b32 v[0:1], v2, off", "global_store_b32 v[0:1], v4, off", "global_load_b32 v3, v[0:1], off"],
        ["ds_store_b32 v4, v2", "ds_store_b32 v4, v4", "ds_load_b32 v3, v4"],
    ] {
        assert!(machine.run_waves(&[&[store], &[store]]).is_ok(), "{store}");
        assert!(machine.run_waves(&[&[store], &[other]]).is_err(), "{other}");
        let fault = machine.fault_of_waves(&[&[store], &[store], &[load]]);
        assert!(is_race(&fault, 0, "wrote"), "{fault}");
        assert!(machine.run_waves(&[&[store, load], &[store]]).is_err(), "one reads, another writes: {store}");
    }
}
