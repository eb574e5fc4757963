use std::ptr::null_mut;

use super::*;

fn malloc() -> hipError_t {
    let mut pointer = null_mut();
    // SAFETY: the pointer is written; what was allocated is freed.
    unsafe {
        let status = hipMalloc(&mut pointer, 16);
        hipFree(pointer);
        status
    }
}

#[test]
fn the_second_allocation_fails() {
    let turn = turn();
    turn.fault("call=hipMalloc at=2 fail=2");
    assert_eq!([malloc(), malloc(), malloc()], [OK, hipError_t::hipErrorOutOfMemory, OK]);
    turn.fault("call=hipMalloc fail=700 sticky");
    assert_eq!([malloc(), malloc()], [hipError_t::hipErrorIllegalAddress; 2]);
    assert_eq!(state::lock().counts["hipMalloc"], 5);
}

#[test]
fn a_copy_that_does_nothing() {
    let turn = turn();
    let device = Device::new(&[1u32, 2]);
    turn.fault("call=hipMemset unwritten");
    // SAFETY: inside the allocation.
    assert_eq!(unsafe { hipMemset(device.address.cast(), 0, 8) }, OK);
    assert_eq!(device.read(), [1, 2]);
    // SAFETY: as above.
    assert_eq!(unsafe { hipMemset(device.address.cast(), 0, 8) }, OK);
    assert_eq!(device.read(), [0, 0]);
}

#[test]
fn a_pointer_that_is_null() {
    let turn = turn();
    turn.fault("call=hipMalloc null");
    let mut pointers = [std::ptr::dangling_mut(); 2];
    let statuses = pointers.each_mut().map(|pointer| {
        // SAFETY: the pointer is written.
        unsafe { hipMalloc(pointer, 16) }
    });
    assert_eq!(statuses, [OK, OK]);
    assert!(pointers[0].is_null() && !pointers[1].is_null());
    assert_eq!(state::lock().live("device"), 1);
    // SAFETY: allocated above.
    assert_eq!(unsafe { hipFree(pointers[1]) }, OK);
}

#[test]
fn a_call_that_takes_long() {
    let turn = turn();
    turn.fault("call=hipMalloc sleep=30");
    let start = std::time::Instant::now();
    assert_eq!(malloc(), OK);
    assert!(start.elapsed().as_millis() >= 30);
}

/// Runs this test alone in a process of its own, whose allocation is to end it.
#[test]
fn a_fault_ends_the_process() {
    const CHILD: &str = "FAKE_HIP_TEST_CHILD";
    if std::env::var_os(CHILD).is_some() {
        let _turn = turn();
        malloc();
        return;
    }
    let run = |fault: &str| {
        let name = "symbols::tests::faults::a_fault_ends_the_process";
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        child.args([name, "--exact"]).env(CHILD, "1").env("ROCMFORGE_FAKE_HIP_FAULT", fault);
        child.output().unwrap()
    };
    let aborted = run("call=hipMalloc abort");
    assert!(!aborted.status.success());
    assert!(String::from_utf8_lossy(&aborted.stderr).contains("ends the process in hipMalloc"));
    assert!(run("call=hipMalloc at=2 abort").status.success());
}
