//! Recording and replaying.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use rocmforge_hip_backend::driver::{HipError, read_f32, write};

use crate::device::{PrivateFake, has_compiler};
use crate::launch;

#[test]
fn a_graph_replays_and_keeps_what_it_uses() {
    if !has_compiler() {
        return;
    }
    let fake = PrivateFake::new();
    fake.set("deferred", "on");
    let device = fake.device(0);
    let stream = device.stream().expect("a stream");
    let image = launch::image(&fake.api, &device.properties().arch);
    let module = device.load_module(&image, "maps").expect("it loads");
    let kernel = module.function(launch::KERNEL).expect("it is there");
    let numbers = Arc::new(device.alloc(16, "numbers").expect("there is memory"));
    let copied = device.alloc(16, "copied").expect("there is memory");
    let result = Arc::new(device.alloc(16, "result").expect("there is memory"));
    write(&numbers, 0, &[1f32, 2.0, 3.0, 4.0]).expect("as long as the buffer");
    let graph = stream
        .capture(|stream| {
            launch::scale(stream, &kernel, &numbers, 2.0)?;
            stream.copy(copied.ptr(), numbers.ptr(), 16)?;
            stream.copy(result.ptr(), copied.ptr(), 16)
        })
        .expect("recorded");
    assert_eq!(graph.nodes(), Ok(3));
    assert_eq!(read_f32(&numbers, 0..1), Ok(vec![1.0]), "recording runs nothing");
    let replay = graph.instantiate(vec![numbers.clone()]).expect("an executable graph");
    drop((graph, module, kernel, copied));
    assert_eq!(Arc::strong_count(&numbers), 2);
    let allocations = device.memory_use().allocations;
    for _ in 0..3 {
        replay.launch(&stream).expect("a launch");
    }
    assert_eq!(device.memory_use().allocations, allocations, "a replay allocates nothing");
    assert_eq!(read_f32(&result, 0..4), Ok(vec![8.0, 16.0, 24.0, 32.0]));
    replay.launch(&stream).expect("a launch");
    drop(replay);
    assert!(stream.is_idle().expect("no failure"), "dropping it waits for its stream");
    assert_eq!(Arc::strong_count(&numbers), 1);
    assert_eq!(device.memory_use().buffers, 2);
    drop((numbers, result, stream));
    assert_eq!(fake.live(), (0, 0));
    device.memory().expect("no release failed");
}

#[test]
fn a_failed_recording_leaves_nothing_behind() {
    let fake = PrivateFake::new();
    let device = fake.device(0);
    let stream = device.stream().expect("a stream");
    let buffer = device.alloc(64, "data").expect("there is memory");
    let handles = fake.live();
    let failure = HipError::NotRecorded { call: "a failure of the caller" };
    let failed = stream.capture(|stream| {
        stream.fill(buffer.ptr(), 1, 64)?;
        Err(failure.clone())
    });
    assert_eq!(failed.err(), Some(failure));
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        stream.capture(|stream| -> Result<(), HipError> {
            stream.fill(buffer.ptr(), 1, 64)?;
            panic!("on purpose")
        })
    }));
    assert!(panicked.is_err());
    for call in ["hipStreamBeginCapture", "hipStreamEndCapture"] {
        fake.fail_next(call, 901);
        let failed = stream.capture(|stream| stream.fill(buffer.ptr(), 1, 64));
        assert!(failed.is_err_and(|error| error.status().is_some_and(|status| status.code() == 901)), "{call}");
        stream.fill(buffer.ptr(), 2, 64).expect("an ordinary fill");
        stream.synchronize().expect("an ordinary wait");
    }
    assert_eq!(fake.live(), handles);
}

#[test]
fn a_recording_refuses_what_cannot_be_replayed() {
    let fake = PrivateFake::new();
    let device = fake.device(0);
    let stream = device.stream().expect("a stream");
    let event = device.event().expect("an event");
    let buffer = device.alloc(64, "data").expect("there is memory");
    let mut host = device.alloc_pinned(64).expect("there is memory");
    stream.record(&event).expect("recorded");
    let graph = stream.capture(|stream| {
        let refused = |result: Result<(), HipError>| matches!(result, Err(HipError::WhileCapturing { .. }));
        assert!(refused(stream.synchronize()));
        assert!(refused(stream.is_idle().map(|_| ())));
        assert!(refused(stream.record(&event)));
        assert!(refused(stream.wait_event(&event)));
        assert!(refused(stream.copy_in(buffer.ptr(), &host, 0..64)));
        assert!(refused(stream.copy_out(&mut host, 0..64, buffer.ptr())));
        assert!(refused(stream.capture(|_| Ok::<_, HipError>(())).map(|_| ())));
        stream.fill(buffer.ptr(), 3, 64)
    });
    let graph = graph.expect("what was refused spoiled nothing");
    assert_eq!(graph.nodes(), Ok(1));
    let replay = graph.instantiate(Vec::new()).expect("an executable graph");
    let nested = stream.capture(|stream| replay.launch(stream));
    assert!(matches!(nested, Err(HipError::WhileCapturing { .. })));
    replay.launch(&stream).expect("a launch");
    stream.synchronize().expect("done");
    assert_eq!(read_f32(&buffer, 0..1), Ok(vec![f32::from_ne_bytes([3; 4])]));
}
