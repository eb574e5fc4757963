//! Mistakes that a kernel or its launch can make: each is found and named, and its right neighbour runs.

use super::{Arg, Dispatch, buffer, launch_once, line, object, results, room, value};
use gfx_emu::{
    Fault, FaultKind, LaunchError, Memory, Options, Order, Program, ProgramError, kernarg_from_args, launch,
};

const OBJECT: &[u8] = object!("mistakes.gfx1100");

/// The fault of a launch, which names the kernel, an instruction and its place whatever it is.
fn fault(kernel: &str, dispatch: &Dispatch, args: &[Arg]) -> Box<Fault> {
    fault_in(kernel, dispatch, args, &Options { threads: 1, ..Options::default() })
}

fn fault_in(kernel: &str, dispatch: &Dispatch, args: &[Arg], options: &Options) -> Box<Fault> {
    let error =
        launch_once(OBJECT, kernel, dispatch, args, options).err().unwrap_or_else(|| panic!("{kernel} has run"));
    let LaunchError::Fault(fault) = error else { panic!("{error}") };
    assert!(fault.to_string().starts_with(&format!("kernel {kernel}: ")), "{fault}");
    fault
}

/// That a fault's message names an instruction, where it is in the kernel, and a lane of a wave.
fn assert_names(fault: &Fault, instruction: &str, wave: u32, lane: u32) {
    let message = fault.to_string();
    let (name, kernel) = (&fault.instruction, &fault.kernel);
    assert!(name.contains(instruction), "{message}");
    assert_eq!((fault.wave, fault.lane), (wave, Some(lane)), "{message}");
    assert!(message.contains(&format!("; {name} at pc {:#x} ({kernel}+0x", fault.pc)), "{message}");
    assert!(message.ends_with(&format!("wave {wave}, lane {lane}")), "{message}");
}

#[test]
fn a_store_of_one_item_too_many() {
    let args = |extra: u32| [room::<u32>(70), value(70u32), value(extra)];
    let fault = fault("one_too_many", &line(2, 64), &args(1));
    assert_names(&fault, "store_b32", 0, 6);
    assert_eq!(fault.workgroup, [1, 0, 0]);
    assert!(fault.to_string().contains("0 bytes behind the end of `argument 0` (280 bytes at "), "{fault}");
    assert_eq!(results(OBJECT, "one_too_many", &line(2, 64), &args(0)).of::<u32>(0), [1; 70]);
}

#[test]
fn lds_that_waves_exchange_without_a_barrier() {
    let x: Vec<u32> = (0..64).collect();
    let args = |waits: u32| [buffer(&x), room::<u32>(64), value(waits)];
    for order in [Order::Forward, Order::Reverse, Order::Random(1), Order::Random(2)] {
        let options = Options { order, threads: 1, ..Options::default() };
        let fault = fault_in("race", &line(1, 64), &args(0), &options);
        let FaultKind::Race { place, other, .. } = &fault.kind else { panic!("{fault}") };
        assert!(fault.instruction.starts_with("ds_") && place.contains("LDS"), "{fault}");
        assert_eq!(*other, 1 - fault.wave, "{fault}");
    }
    let behind: Vec<u32> = (0..64).rev().collect();
    assert_eq!(results(OBJECT, "race", &line(1, 64), &args(1)).of::<u32>(1), behind);
    // A wave of its own orders what its lanes do.
    let args = |waits: u32| [buffer(&x[..32]), room::<u32>(32), value(waits)];
    assert_eq!(results(OBJECT, "race", &line(1, 32), &args(0)).of::<u32>(1), behind[32..]);
}

#[test]
fn words_that_waves_share_without_atomic_operations() {
    let args = |apart: u32| [buffer(&[5u32; 64]), value(apart)];
    let fault = fault("shared_word", &line(1, 64), &args(0));
    assert!(matches!(&fault.kind, FaultKind::Race { other: 0, .. }) && fault.wave == 1, "{fault}");
    assert_eq!(results(OBJECT, "shared_word", &line(1, 64), &args(1)).of::<u32>(0), [6; 64]);
}

#[test]
fn barriers_that_waves_or_lanes_do_not_come_to() {
    let args = |coming: u32| [room::<u32>(64), value(coming)];
    for (coming, reason) in
        [(32, "waves wait at 0x"), (16, "of the wave do not come to it"), (48, "of the wave do not come to it")]
    {
        let fault = fault("barrier", &line(1, 64), &args(coming));
        let message = fault.to_string();
        assert!(matches!(fault.kind, FaultKind::DivergentBarrier { .. }) && message.contains(reason), "{message}");
    }
    let fault = fault("barrier", &line(1, 64), &args(48));
    assert_eq!((fault.instruction.as_str(), fault.wave), ("s_barrier", 1));
    assert!(fault.to_string().contains("lanes 0xffff0000"), "{fault}");
    for coming in [0, 64] {
        let expected: Vec<u32> = (0..64).map(|t| if t < coming { t + (t & 1) } else { t }).collect();
        assert_eq!(results(OBJECT, "barrier", &line(1, 64), &args(coming)).of::<u32>(0), expected);
    }
}

#[test]
fn lds_that_nobody_wrote() {
    let args = |filled: u32| [room::<u32>(64), value(filled)];
    let fault = fault("unwritten_lds", &line(1, 64), &args(63));
    assert_names(&fault, "store_b32", 1, 30);
    assert!(matches!(fault.kind, FaultKind::UnwrittenValue { address: 252, .. }), "{fault}");
    let expected: Vec<u32> = (0..64).map(|t| 2 * (t ^ 1) + 1).collect();
    assert_eq!(results(OBJECT, "unwritten_lds", &line(1, 64), &args(64)).of::<u32>(0), expected);
}

#[test]
fn an_index_from_a_buffer_that_nobody_wrote() {
    let x: Vec<u32> = (10..42).collect();
    let found = fault("gather", &line(1, 32), &[room::<u32>(32), buffer(&x), room::<u32>(32)]);
    // The address is a sum with a carry, which is where the index decides something first.
    assert_names(&found, "v_add_co_u32", 0, 0);
    assert!(matches!(found.kind, FaultKind::UnwrittenValue { .. }), "{found}");
    let index: Vec<u32> = (0..32).rev().collect();
    let args = |index: &[u32]| [buffer(index), buffer(&x), room::<u32>(32)];
    assert_eq!(results(OBJECT, "gather", &line(1, 32), &args(&index)).of::<u32>(2), (10..42).rev().collect::<Vec<_>>());

    // An index that is one too large is as wrong.
    let index: Vec<u32> = (1..33).collect();
    let found = fault("gather", &line(1, 32), &args(&index));
    assert_names(&found, "load_b32", 0, 31);
    assert!(found.to_string().contains("0 bytes behind the end of `argument 1` (128 bytes at "), "{found}");
}

#[test]
fn a_register_that_a_load_has_yet_to_fill() {
    let x: Vec<u32> = (0..32).collect();
    let args = || [buffer(&x), room::<u32>(32)];
    let fault = fault("no_wait", &line(1, 32), &args());
    assert!(matches!(&fault.kind, FaultKind::MissingWait { register, .. } if register.starts_with('v')), "{fault}");
    assert_eq!(fault.instruction, "v_add_nc_u32");
    assert!(fault.location.starts_with("no_wait+0x"), "{fault}");
    assert_eq!(results(OBJECT, "with_wait", &line(1, 32), &args()).of::<u32>(1), (1..33).collect::<Vec<_>>());
}

#[test]
fn a_loop_without_end() {
    let args = |flag: u32| [buffer(&[flag]), room::<u32>(32)];
    let options = Options { turns_max: 1, threads: 1, ..Options::default() };
    let fault = fault_in("spin", &line(1, 32), &args(0), &options);
    assert!(matches!(fault.kind, FaultKind::Endless { .. }), "{fault}");
    let ended = launch_once(OBJECT, "spin", &line(1, 32), &args(9), &options).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(ended.of::<u32>(1), [9; 32]);
}

#[test]
fn null_pointers_and_memory_that_was_freed() {
    let null = fault("one_too_many", &line(1, 32), &[value(0u64), value(32u32), value(0u32)]);
    assert_names(&null, "store_b32", 0, 0);
    assert!(null.to_string().contains("a null pointer"), "{null}");

    let program = Program::load(OBJECT, "gfx1100").unwrap();
    let kernel = program.kernel("one_too_many").unwrap();
    let memory = Memory::new();
    let cache = memory.allocate(256, "cache");
    let args = kernarg_from_args(kernel, &[&cache.to_le_bytes(), &32u32.to_le_bytes(), &0u32.to_le_bytes()]).unwrap();
    let run = || launch(&program, kernel, &line(1, 32), &args, &memory, &Options::default());
    assert!(run().is_ok());
    assert!(memory.free(cache));
    let message = run().unwrap_err().to_string();
    assert!(message.contains("0 bytes into `cache`, which was freed") && message.ends_with("lane 0"), "{message}");
}

#[test]
fn code_for_another_device() {
    let error = Program::load(OBJECT, "gfx1201").unwrap_err();
    let message = error.to_string();
    assert!(message.contains("gfx1201") && message.contains("gfx1100"), "{message}");
    let error = Program::load(OBJECT, "gfx942").unwrap_err();
    assert!(matches!(error, ProgramError::Object(_)), "{error}");
    assert!(Program::load(OBJECT, "gfx1100").is_ok());
}

#[test]
fn blocks_and_lds_larger_than_a_kernel_was_made_for() {
    let run = |kernel: &str, items: u32, dynamic_lds: u32| {
        let dispatch = Dispatch { dynamic_lds, ..line(1, items) };
        launch_once(OBJECT, kernel, &dispatch, &[room::<u32>(items as usize)], &Options::default())
    };
    assert!(run("small_block", 64, 0).is_ok());
    let message = run("small_block", 65, 0).err().unwrap().to_string();
    assert!(message.contains("`small_block`") && message.contains("65") && message.contains("64"), "{message}");
    assert!(run("small_block", 64, 64 << 10).is_ok());
    let message = run("small_block", 64, (64 << 10) + 1).err().unwrap().to_string();
    assert!(message.contains("65537 bytes of LDS"), "{message}");
}
