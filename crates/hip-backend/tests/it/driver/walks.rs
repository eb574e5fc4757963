//! Faults in every call of what the driver layer does.

use std::sync::Arc;

use rocmforge_hip_backend::driver::{Device, HipError, elapsed_ms, enumerate, read, read_f32, write};

use crate::device::{PrivateFake, has_compiler};
use crate::faults::{STATUSES, Walked, walk, walk_opening};
use crate::launch;

fn deferred() -> PrivateFake {
    let fake = PrivateFake::new();
    fake.set("deferred", "on");
    fake
}

/// Failures were met, and at least so many calls can fail.
fn check(walked: Walked, calls_min: u64) {
    assert!(walked.calls >= calls_min && walked.errors > walked.answers && walked.lost > 0, "{walked:?}");
}

#[test]
fn opening() {
    let open = |fake: &PrivateFake| {
        enumerate(&fake.api)?;
        let device = Device::open(fake.api.clone(), 0)?;
        Ok::<_, HipError>((device.properties().arch.clone(), device.memory()?.total))
    };
    let walked = walk_opening(&PrivateFake::new(), STATUSES, open);
    assert!(walked.calls >= 20 && walked.errors > 0, "{walked:?}");
}

#[test]
fn memory_and_copies() {
    let scenario = |device: &Device| {
        let stream = device.stream()?;
        let [a, b] = [device.alloc(64, "first")?, device.alloc(100, "second")?];
        let mut host = device.alloc_pinned(64)?;
        host.as_mut_slice()?.fill(7);
        stream.copy_in(a.ptr(), &host, 0..64)?;
        stream.copy(b.ptr().add(32), a.ptr(), 64)?;
        stream.fill(b.ptr(), 9, 48)?;
        stream.copy_out(&mut host, 0..64, b.ptr())?;
        host.wait()?;
        let copied = host.as_slice()?.to_vec();
        write(&a, 3, &[1u8, 2, 3])?;
        Ok::<_, HipError>((copied, read::<u8>(&a, 0..8)?))
    };
    check(walk(&deferred(), STATUSES, scenario), 15);
}

#[test]
fn poisoned_memory() {
    let scenario = |device: &Device| {
        device.set_poison(true);
        let buffer = device.alloc(64, "poisoned")?;
        read::<u8>(&buffer, 0..64)
    };
    check(walk(&deferred(), STATUSES, scenario), 5);
}

#[test]
fn drops_while_work_is_running() {
    let scenario = |device: &Device| {
        let stream = device.stream()?;
        let event = device.event()?;
        let buffer = device.alloc(64, "data")?;
        let mut host = device.alloc_pinned(64)?;
        stream.copy_out(&mut host, 0..64, buffer.ptr())?;
        stream.record(&event)?;
        device.stream()?.wait_event(&event)?;
        device.alloc(32, "explicitly freed")?.free()
    };
    check(walk(&deferred(), STATUSES, scenario), 15);
}

#[test]
fn modules_launches_and_events() {
    if !has_compiler() {
        return;
    }
    let fake = deferred();
    let image = launch::image(&fake.api, "gfx1100");
    let scenario = |device: &Device| {
        let kernel = device.load_module(&image, "maps")?.function(launch::KERNEL)?;
        let [stream, other] = [device.stream()?, device.stream()?];
        let [start, end] = [device.timing_event()?, device.timing_event()?];
        let buffer = device.alloc(16, "numbers")?;
        write(&buffer, 0, &[1f32, 2.0, 3.0, 4.0])?;
        stream.record(&start)?;
        launch::scale(&stream, &kernel, &buffer, 2.0)?;
        stream.record(&end)?;
        other.wait_event(&end)?;
        launch::scale(&other, &kernel, &buffer, 3.0)?;
        end.synchronize()?;
        let in_order = elapsed_ms(&start, &end)? >= 0.0;
        other.synchronize()?;
        Ok::<_, HipError>((in_order, read_f32(&buffer, 0..4)?))
    };
    check(walk(&fake, STATUSES, scenario), 30);
}

#[test]
fn graphs() {
    if !has_compiler() {
        return;
    }
    let fake = deferred();
    let image = launch::image(&fake.api, "gfx1100");
    let scenario = |device: &Device| {
        let kernel = device.load_module(&image, "maps")?.function(launch::KERNEL)?;
        let stream = device.stream()?;
        let numbers = Arc::new(device.alloc(16, "numbers")?);
        let copied = device.alloc(16, "copied")?;
        write(&numbers, 0, &[1f32, 2.0, 3.0, 4.0])?;
        let graph = stream.capture(|stream| {
            launch::scale(stream, &kernel, &numbers, 2.0)?;
            stream.copy(copied.ptr(), numbers.ptr(), 16)
        })?;
        let replay = graph.instantiate(vec![numbers.clone()])?;
        drop((graph, kernel));
        replay.launch(&stream)?;
        replay.launch(&stream)?;
        stream.synchronize()?;
        let answer = read_f32(&copied, 0..4)?;
        replay.launch(&stream)?;
        Ok::<_, HipError>(answer)
    };
    check(walk(&fake, STATUSES, scenario), 25);
}
