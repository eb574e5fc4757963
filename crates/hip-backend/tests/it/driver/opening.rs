//! Opening devices, losing them, and what releases report.

use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use fake_hip::Fault;
use hip_sys::hipError_t;
use rocmforge_hip_backend::driver::{
    Buffer, Device, Event, Function, GraphExec, HipError, Module, PinnedBuffer, Stream, enumerate,
};

use crate::device::{PrivateFake, has_compiler};
use crate::launch;

#[test]
fn handles_go_to_other_threads() {
    fn is_shared<T: Send + Sync + 'static>() {}
    is_shared::<Device>();
    is_shared::<Stream>();
    is_shared::<Event>();
    is_shared::<Buffer>();
    is_shared::<PinnedBuffer>();
    is_shared::<Module>();
    is_shared::<Function>();
    is_shared::<GraphExec>();
    is_shared::<HipError>();
}

#[test]
fn properties_say_what_the_device_is() {
    let fake = PrivateFake::new();
    fake.set("arch", "gfx90a:sramecc+:xnack-");
    fake.set("devices", "2");
    let devices = enumerate(&fake.api).expect("both answer");
    assert_eq!(devices.iter().map(|device| device.ordinal).collect::<Vec<_>>(), [0, 1]);
    let first = &devices[0];
    assert_eq!((first.arch.as_str(), first.arch_full.as_str()), ("gfx90a", "gfx90a:sramecc+:xnack-"));
    assert_eq!((first.wave_size, first.lds_bytes, first.max_threads_per_block), (64, 65_536, 1024));
    assert!(first.compute_units > 0 && first.memory_bytes > 0 && !first.integrated);
    assert_eq!(first.pci_address, "0000:01:00.0");
    let device = fake.device(1);
    assert_eq!(device.properties(), &devices[1]);
    assert_eq!(device.memory().expect("an answer").total, devices[1].memory_bytes);
}

#[test]
fn no_device_is_an_empty_list_and_an_error_that_says_so() {
    let fake = PrivateFake::new();
    fake.set("devices", "0");
    assert_eq!(enumerate(&fake.api), Ok(Vec::new()));
    let missing = Device::open(fake.api.clone(), 0).err();
    assert_eq!(missing, Some(HipError::NoSuchDevice { ordinal: 0, count: 0 }));
    fake.set("devices", "2");
    let missing = Device::open(fake.api.clone(), 2).err();
    assert_eq!(missing, Some(HipError::NoSuchDevice { ordinal: 2, count: 2 }));
}

#[test]
fn many_threads_open_a_device_once() {
    const THREADS: usize = 32;
    let fake = PrivateFake::new();
    let barrier = Arc::new(Barrier::new(THREADS));
    let open = || {
        let (api, barrier) = (fake.api.clone(), barrier.clone());
        std::thread::spawn(move || {
            barrier.wait();
            let device = Device::open(api, 0).expect("the device opens");
            drop(device.alloc(1000, "a thread's buffer").expect("there is memory"));
            device
        })
    };
    let threads: Vec<_> = (0..THREADS).map(|_| open()).collect();
    let devices: Vec<_> = threads.into_iter().map(|thread| thread.join().expect("no panic")).collect();
    assert!(devices.iter().all(|device| device.is(&devices[0])));
    assert_eq!((fake.fake.call_count("hipInit"), fake.fake.call_count("hipGetDeviceCount")), (1, 1));
    let counts = devices[0].memory_use();
    assert_eq!((counts.allocations, counts.releases, counts.bytes), (32, 32, 0));
    assert_eq!(fake.live(), (0, 0));
}

#[test]
fn opening_can_be_tried_again() {
    let fake = PrivateFake::new();
    for call in ["hipInit", "hipGetDeviceCount", "hipDeviceGetAttribute", "hipDeviceTotalMem", "hipSetDevice"] {
        fake.fail_next(call, 999);
        let error = Device::open(fake.api.clone(), 0).expect_err(call);
        assert!(error.to_string().contains("hipErrorUnknown (999)"), "{call}: {error}");
        fake.device(0).memory().expect("the second time it works");
    }
}

#[test]
fn an_unknown_attribute_of_no_consequence_is_left_out() {
    let fake = PrivateFake::new();
    fake.fail_next("hipDeviceGetPCIBusId", 1);
    assert_eq!(fake.device(0).properties().pci_address, "");
}

#[test]
fn devices_do_not_mix() {
    let fake = PrivateFake::new();
    fake.set("devices", "2");
    let devices = [fake.device(0), fake.device(1)];
    let [a, b] = devices.each_ref().map(|device| device.alloc(256, "one of two").expect("there is memory"));
    let streams = devices.each_ref().map(|device| device.stream().expect("a stream"));
    let switches = fake.fake.call_count("hipSetDevice");
    for stream in &streams {
        stream.synchronize().expect("idle");
        stream.synchronize().expect("idle");
    }
    assert_eq!(fake.fake.call_count("hipSetDevice") - switches, 2, "only when the device changes");
    assert_eq!(devices.each_ref().map(|device| device.memory_use().bytes), [256, 256]);
    streams[0].fill(a.ptr(), 1, 256).expect("its own memory");
    let foreign = streams[0].fill(b.ptr(), 1, 256);
    assert!(matches!(foreign, Err(HipError::UnknownMemory { .. })), "{foreign:?}");
    let event = devices[1].event().expect("an event");
    let wrong = HipError::WrongDevice { call: "hipEventRecord", expected: 0, found: 1 };
    assert_eq!(streams[0].record(&event), Err(wrong));
    streams[1].record(&event).expect("of its own device");
    streams[0].wait_event(&event).expect("devices wait for each other");
    drop((a, b, event, streams));
    assert_eq!(fake.live(), (0, 0));
}

#[test]
fn each_thread_gets_the_right_device() {
    let fake = PrivateFake::new();
    fake.set("devices", "2");
    fake.set("memory", "1M");
    let device = fake.device(1);
    let kept = device.alloc(1000, "on device 1").expect("there is memory");
    let elsewhere = device.clone();
    let free = std::thread::spawn(move || elsewhere.memory().map(|memory| memory.free)).join().expect("no panic");
    assert_eq!(free, Ok((1 << 20) - 1000));
    assert_eq!(fake.device(0).memory().map(|memory| memory.free), Ok(1 << 20));
    drop(kept);
}

#[test]
fn a_lost_device_answers_at_once_and_calls_nothing_more() {
    for code in [700, 719, 702, 214, 710, 709, 100, 101] {
        let fake = PrivateFake::new();
        let device = fake.device(0);
        let stream = device.stream().expect("a stream");
        let buffer = device.alloc(64, "lost").expect("there is memory");
        let mut pinned = device.alloc_pinned(64).expect("there is memory");
        stream.copy_in(buffer.ptr(), &pinned, 0..64).expect("a copy");
        fake.fail_next("hipStreamSynchronize", code);
        let lost = stream.synchronize().expect_err("the fault is reported");
        assert!(lost.is_device_lost() && lost.status().is_some_and(|status| status.code() == code), "{lost}");
        let calls = fake.fake.calls();
        assert_eq!(device.alloc(64, "too late").err(), Some(lost.clone()));
        assert_eq!(device.memory().err(), Some(lost.clone()));
        assert_eq!(stream.fill(buffer.ptr(), 0, 64), Err(lost.clone()));
        assert_eq!(pinned.as_mut_slice().err(), Some(lost.clone()), "the copy never ends");
        assert_eq!(Device::open(fake.api.clone(), 0).err(), Some(lost.clone()));
        assert_eq!(device.lost().map(|fault| fault.call), Some("hipStreamSynchronize"));
        drop((buffer, stream, pinned));
        assert_eq!(fake.fake.calls(), calls, "the driver is left alone");
        let counts = device.memory_use();
        assert_eq!((counts.allocations, counts.releases, counts.bytes, counts.pinned), (2, 2, 0, 0));
    }
}

#[test]
fn a_refusal_is_not_the_end() {
    let fake = PrivateFake::new();
    let device = fake.device(0);
    for code in [1, 2, 9, 98, 400, 701, 801, 999] {
        fake.fail_next("hipStreamCreateWithFlags", code);
        let error = device.stream().expect_err("the call fails");
        assert_eq!(error.status().map(|status| status.code()), Some(code));
        assert_eq!(error.is_out_of_memory(), code == 2);
        device.stream().expect("the next one works");
    }
    assert_eq!(device.lost(), None);
}

#[test]
fn a_failed_release_is_reported_by_the_next_call_once() {
    let fake = PrivateFake::new();
    let device = fake.device(0);
    let buffer = device.alloc(64, "stuck").expect("there is memory");
    fake.fail_next("hipFree", 1);
    drop(buffer);
    let error = device.memory().expect_err("the release failed");
    assert_eq!(error.to_string(), "an earlier release failed: hipFree answered hipErrorInvalidValue (1)");
    device.memory().expect("reported once");
    let buffer = device.alloc(64, "stuck").expect("there is memory");
    fake.fail_next("hipFree", 1);
    assert!(matches!(buffer.free(), Err(HipError::EarlierRelease { .. })));
    assert_eq!(device.alloc(64, "fine").expect("there is memory").free(), Ok(()));
    assert_eq!((device.memory_use().failed_releases, device.memory_use().bytes), (2, 0));
}

#[test]
fn a_fault_during_a_release_loses_the_device() {
    let fake = PrivateFake::new();
    let device = fake.device(0);
    let stream = device.stream().expect("a stream");
    fake.fail(Fault::fail(hipError_t::hipErrorIllegalAddress).sticky());
    drop(stream);
    assert_eq!(device.lost().map(|fault| fault.call), Some("hipStreamSynchronize"));
    assert!(device.memory().is_err_and(|error| error.is_device_lost()));
}

#[test]
fn a_device_that_hangs_is_given_up() {
    let fake = PrivateFake::new();
    fake.set("deferred", "on");
    let device = fake.device(0);
    let stream = device.stream().expect("a stream");
    let event = device.event().expect("an event");
    let mut host = device.alloc_pinned(64).expect("there is memory");
    let buffer = device.alloc(64, "data").expect("there is memory");
    stream.copy_out(&mut host, 0..64, buffer.ptr()).expect("a copy");
    stream.record(&event).expect("recorded");
    fake.fail(Fault::fail(hipError_t::hipErrorNotReady).call("hipEventQuery").sticky());
    let start = Instant::now();
    assert_eq!(event.wait_for(Duration::from_millis(30)), Ok(false));
    assert!(start.elapsed() >= Duration::from_millis(30));
    device.give_up("hipEventQuery");
    let calls = fake.fake.calls();
    let lost = stream.synchronize().expect_err("given up");
    assert_eq!(lost.to_string(), "device 0 is lost since hipEventQuery answered hipErrorLaunchTimeOut (702)");
    assert!(host.as_slice().is_err_and(|error| error.is_device_lost()));
    drop((event, host, buffer, stream));
    assert_eq!(fake.fake.calls(), calls, "nobody waits for what never ends");
}

#[test]
fn an_event_in_time_ends_the_wait() {
    let fake = PrivateFake::new();
    fake.set("deferred", "on");
    let device = fake.device(0);
    let stream = device.stream().expect("a stream");
    let event = device.event().expect("an event");
    stream.record(&event).expect("recorded");
    assert_eq!(event.wait_for(Duration::from_secs(60)), Ok(true));
}

/// Lets the next call of a function succeed without doing anything, so that the handle stays null.
fn null_of<T>(fake: &PrivateFake, call: &'static str, make: impl FnOnce() -> Result<T, HipError>) {
    let live = fake.live();
    fake.fail_next(call, hipError_t::hipSuccess.0);
    assert_eq!(make().err(), Some(HipError::NullHandle { call }));
    assert_eq!(fake.live(), live, "{call}");
}

#[test]
fn null_is_an_error_and_never_released() {
    let fake = PrivateFake::new();
    let device = fake.device(0);
    let stream = device.stream().expect("a stream");
    let buffer = device.alloc(64, "data").expect("there is memory");
    null_of(&fake, "hipMalloc", || device.alloc(64, "nothing"));
    null_of(&fake, "hipHostMalloc", || device.alloc_pinned(64));
    null_of(&fake, "hipStreamCreateWithFlags", || device.stream());
    null_of(&fake, "hipEventCreateWithFlags", || device.event());
    null_of(&fake, "hipModuleLoadData", || device.load_module(b"anything", "module"));
    let record = || stream.capture(|stream| stream.fill(buffer.ptr(), 0, 64));
    null_of(&fake, "hipStreamEndCapture", record);
    let graph = record().expect("the stream records no longer");
    null_of(&fake, "hipGraphInstantiate", || graph.instantiate(Vec::new()));
    if has_compiler() {
        let image = launch::image(&fake.api, "gfx1100");
        let module = device.load_module(&image, "maps").expect("it loads");
        null_of(&fake, "hipModuleGetFunction", || module.function(launch::KERNEL));
    }
    drop((graph, buffer, stream));
    let counts = device.memory_use();
    assert_eq!((counts.allocations, counts.releases, counts.bytes, counts.failed_releases), (1, 1, 0, 0));
    assert_eq!(fake.live(), (0, 0));
}
