//! Streams, events, pinned memory and launches.

use rocmforge_hip_backend::driver::{Dims, HipError, elapsed_ms, read, read_f32, write};

use crate::device::{PrivateFake, has_compiler};
use crate::launch;

/// A fake whose work waits until something waits for it.
fn deferred() -> PrivateFake {
    let fake = PrivateFake::new();
    fake.set("deferred", "on");
    fake
}

#[test]
fn bytes_go_in_and_out() {
    let fake = deferred();
    let device = fake.device(0);
    let stream = device.stream().expect("a stream");
    let [a, b] = [(); 2].map(|()| device.alloc(16, "bytes").expect("there is memory"));
    let mut host = device.alloc_pinned(32).expect("there is memory");
    host.as_mut_slice().expect("unused").copy_from_slice(&std::array::from_fn::<u8, 32, _>(|i| i as u8));
    stream.copy_in(a.ptr(), &host, 8..24).expect("a copy");
    stream.copy(b.ptr(), a.ptr().add(4), 8).expect("a copy");
    stream.fill(b.ptr().add(8), 0x55, 8).expect("a fill");
    stream.copy_out(&mut host, 0..16, b.ptr()).expect("a copy");
    stream.synchronize().expect("all is done");
    assert_eq!(&host.as_slice().expect("done")[..8], [12, 13, 14, 15, 16, 17, 18, 19]);
    assert_eq!(&host.as_slice().expect("done")[8..16], [0x55; 8]);
    assert_eq!(read::<u8>(&a, 0..2), Ok(vec![8, 9]));
}

#[test]
fn pinned_memory_waits_for_its_copies() {
    let fake = deferred();
    let device = fake.device(0);
    let stream = device.stream().expect("a stream");
    let buffer = device.alloc(64, "data").expect("there is memory");
    let mut host = device.alloc_pinned(64).expect("there is memory");
    let in_flight = HipError::InFlight { len: 64 };
    stream.copy_in(buffer.ptr(), &host, 0..64).expect("a copy");
    assert!(host.as_slice().is_ok(), "the device only reads it");
    assert_eq!(host.as_mut_slice().err(), Some(in_flight.clone()));
    stream.synchronize().expect("done");
    assert!(host.as_mut_slice().is_ok());
    stream.copy_out(&mut host, 0..8, buffer.ptr()).expect("a copy");
    assert_eq!(host.as_slice().err(), Some(in_flight.clone()));
    host.wait().expect("done");
    assert!(host.as_slice().is_ok());
    let waits = fake.fake.call_count("hipStreamSynchronize");
    host.wait().expect("nothing to wait for");
    assert_eq!(fake.fake.call_count("hipStreamSynchronize"), waits);
}

#[test]
fn an_event_ends_the_copies_before_it_and_no_others() {
    let fake = deferred();
    let device = fake.device(0);
    let [stream, other] = [(); 2].map(|()| device.stream().expect("a stream"));
    let event = device.event().expect("an event");
    let buffer = device.alloc(64, "data").expect("there is memory");
    let [mut first, mut second] = [(); 2].map(|()| device.alloc_pinned(64).expect("there is memory"));
    stream.copy_out(&mut first, 0..64, buffer.ptr()).expect("a copy");
    stream.record(&event).expect("recorded");
    stream.copy_out(&mut second, 0..64, buffer.ptr()).expect("a copy");
    event.synchronize().expect("happened");
    assert!(first.as_slice().is_ok());
    assert!(second.as_slice().is_err());
    other.copy_out(&mut first, 0..64, buffer.ptr()).expect("a copy");
    stream.synchronize().expect("the wrong stream");
    assert!(first.as_slice().is_err() && second.as_slice().is_ok());
    other.record(&event).expect("recorded again, elsewhere");
    while !event.has_happened().expect("no failure") {}
    assert!(first.as_slice().is_ok());
}

#[test]
fn a_failed_copy_counts_as_running_until_waited_for() {
    let fake = deferred();
    let device = fake.device(0);
    let stream = device.stream().expect("a stream");
    let buffer = device.alloc(64, "data").expect("there is memory");
    let mut host = device.alloc_pinned(64).expect("there is memory");
    fake.fail_next("hipMemcpyAsync", 999);
    assert!(stream.copy_out(&mut host, 0..64, buffer.ptr()).is_err());
    assert!(host.as_slice().is_err());
    host.wait().expect("idle");
    assert!(host.as_slice().is_ok());
}

#[test]
fn everything_may_be_dropped_while_work_is_running() {
    let fake = deferred();
    let device = fake.device(0);
    let stream = device.stream().expect("a stream");
    let event = device.event().expect("an event");
    let buffer = device.alloc(64, "data").expect("there is memory");
    let mut host = device.alloc_pinned(64).expect("there is memory");
    stream.fill(buffer.ptr(), 7, 64).expect("a fill");
    stream.copy_out(&mut host, 0..64, buffer.ptr()).expect("a copy");
    stream.record(&event).expect("recorded");
    drop(event);
    drop(host);
    assert!(stream.is_idle().expect("no failure"), "freeing has waited");
    stream.fill(buffer.ptr(), 8, 64).expect("a fill");
    drop(buffer);
    drop(stream);
    assert_eq!((fake.live(), device.memory_use().failed_releases), ((0, 0), 0));
    assert_eq!(fake.fake.last_message(), "");
    device.memory().expect("no release failed");
}

#[test]
fn events_order_streams_and_keep_time() {
    let fake = deferred();
    let device = fake.device(0);
    let [first, second] = [(); 2].map(|()| device.stream().expect("a stream"));
    let buffer = device.alloc(64, "data").expect("there is memory");
    let event = device.event().expect("an event");
    let early = HipError::NotRecorded { call: "hipStreamWaitEvent" };
    assert_eq!(second.wait_event(&event), Err(early));
    assert!(matches!(event.synchronize(), Err(HipError::NotRecorded { .. })));
    first.fill(buffer.ptr(), 1, 64).expect("a fill");
    first.record(&event).expect("recorded");
    second.wait_event(&event).expect("ordered");
    second.fill(buffer.ptr(), 2, 32).expect("a fill");
    second.synchronize().expect("done");
    assert_eq!(read::<u8>(&buffer, 31..33), Ok(vec![2, 1]));
    let [start, end] = [(); 2].map(|()| device.timing_event().expect("an event"));
    first.record(&start).expect("recorded");
    assert!(matches!(elapsed_ms(&start, &end), Err(HipError::NotRecorded { .. })));
    first.record(&end).expect("recorded");
    first.synchronize().expect("done");
    assert!(elapsed_ms(&start, &end).expect("both happened") >= 0.0);
    assert!(elapsed_ms(&start, &event).is_err(), "an event without time");
}

#[test]
fn a_kernel_runs_and_keeps_its_module() {
    if !has_compiler() {
        return;
    }
    let fake = deferred();
    let device = fake.device(0);
    let stream = device.stream().expect("a stream");
    let image = launch::image(&fake.api, &device.properties().arch);
    let module = device.load_module(&image, "maps").expect("it loads");
    drop(image);
    assert_eq!(module.name(), "maps");
    let kernel = module.function(launch::KERNEL).expect("it is there");
    drop(module);
    assert!(kernel.attributes().max_threads_per_block >= 256);
    let buffer = device.alloc(400, "numbers").expect("there is memory");
    write(&buffer, 0, &(0..100).map(|i| i as f32).collect::<Vec<_>>()).expect("as long as the buffer");
    launch::scale(&stream, &kernel, &buffer, 0.5).expect("a launch");
    drop(kernel);
    assert_eq!(read_f32(&buffer, 97..100), Ok(vec![48.5, 49.0, 49.5]));
    drop((buffer, stream));
    assert_eq!(fake.live(), (0, 0));
}

#[test]
fn launches_that_cannot_run_are_refused() {
    if !has_compiler() {
        return;
    }
    let fake = PrivateFake::new();
    let device = fake.device(0);
    let stream = device.stream().expect("a stream");
    let image = launch::image(&fake.api, &device.properties().arch);
    let kernel = device.load_module(&image, "maps").and_then(|module| module.function(launch::KERNEL));
    let kernel = kernel.expect("it is there");
    let buffer = device.alloc(400, "numbers").expect("there is memory");
    write(&buffer, 0, &[1f32; 100]).expect("as long as the buffer");
    let fits = Dims { grid: [1, 1, 1], threads: 256, lds: 0 };
    let bad = [
        (Dims { grid: [0, 1, 1], ..fits }, "the grid in x is 0"),
        (Dims { grid: [1, 0, 1], ..fits }, "the grid in y is 0"),
        (Dims { grid: [1, 1, 0], ..fits }, "the grid in z is 0"),
        (Dims { grid: [1 << 24, 1, 1], ..fits }, "the grid in x is 16777216, allowed is 1 to 16777215"),
        (Dims { grid: [1, 1 << 20, 1], ..fits }, "the grid in y is 1048576"),
        (Dims { threads: 0, ..fits }, "the number of threads is 0"),
        (Dims { threads: 2048, ..fits }, "the number of threads is 2048"),
        (Dims { lds: 65_537, ..fits }, "the dynamic LDS in bytes is 65537, allowed is 0 to 65536"),
    ];
    for (dims, message) in bad {
        let error = launch::scale_with(&stream, &kernel, &buffer, 2.0, dims).expect_err(message);
        assert!(error.to_string().contains(message), "{error}");
        assert!(error.to_string().starts_with("kernel `scale_f32`"), "{error}");
    }
    assert_eq!(fake.fake.call_count("hipModuleLaunchKernel"), 0);
    launch::scale_with(&stream, &kernel, &buffer, 2.0, fits).expect("this one fits");
    assert_eq!(read_f32(&buffer, 0..1), Ok(vec![2.0]));
}

#[test]
fn images_and_names_that_do_not_fit_are_typed() {
    let fake = PrivateFake::new();
    let device = fake.device(0);
    for image in [&b""[..], b"CCOB compressed", b"\x7fELF cut short", b"neither"] {
        let error = device.load_module(image, "broken").expect_err("no code object");
        assert!(matches!(error, HipError::BadImage { .. }), "{error}");
        assert!(error.to_string().starts_with("code object `broken` does not load on gfx1100: "), "{error}");
    }
    if !has_compiler() {
        return;
    }
    let image = launch::image(&fake.api, "gfx942");
    let error = device.load_module(&image, "maps").expect_err("made for another target");
    assert!(error.to_string().contains("hipErrorNoBinaryForGpu (209)"), "{error}");
    let image = launch::image(&fake.api, "gfx1100");
    let module = device.load_module(&image, "maps").expect("it loads");
    for name in ["missing", "", "with\0zero"] {
        let missing = HipError::NoSuchKernel { module: "maps".into(), kernel: name.into() };
        assert_eq!(module.function(name).err(), Some(missing));
    }
    drop(module);
    assert_eq!(fake.live(), (0, 0));
}

#[test]
fn a_kernel_stays_on_its_device() {
    if !has_compiler() {
        return;
    }
    let fake = PrivateFake::new();
    fake.set("devices", "2");
    let image = launch::image(&fake.api, "gfx1100");
    let kernel = fake.device(0).load_module(&image, "maps").and_then(|module| module.function(launch::KERNEL));
    let device = fake.device(1);
    let buffer = device.alloc(64, "numbers").expect("there is memory");
    let stream = device.stream().expect("a stream");
    let wrong = HipError::WrongDevice { call: "hipModuleLaunchKernel", expected: 1, found: 0 };
    assert_eq!(launch::scale(&stream, &kernel.expect("it is there"), &buffer, 2.0), Err(wrong));
}
