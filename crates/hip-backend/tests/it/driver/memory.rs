//! Buffers, views, budgets, and copies that wait.

use rocmforge_hip_backend::driver::{DevicePtr, HipError, read, read_f32, read_into, write};

use crate::device::PrivateFake;

#[test]
fn what_is_allocated_is_freed_once() {
    let fake = PrivateFake::new();
    let device = fake.device(0);
    let lens = [0, 1, 255, 256, 257, 100_000];
    let buffers = lens.map(|len| device.alloc(len, "some").expect("there is memory"));
    let pinned = lens.map(|len| device.alloc_pinned(len).expect("there is memory"));
    assert_eq!(buffers.each_ref().map(|buffer| buffer.len()), lens);
    assert!(buffers.iter().all(|buffer| buffer.ptr().addr() % 256 == 0 && !buffer.ptr().is_null()));
    assert!(pinned.iter().all(|memory| memory.as_slice().is_ok_and(|bytes| bytes.iter().all(|byte| *byte == 0))));
    let counts = device.memory_use();
    assert_eq!((counts.buffers, counts.bytes, counts.pinned, counts.pinned_bytes), (6, 100_769, 6, 100_769));
    drop(buffers);
    drop(pinned);
    let counts = device.memory_use();
    assert_eq!((counts.buffers, counts.bytes, counts.pinned, counts.pinned_bytes), (0, 0, 0, 0));
    assert_eq!((counts.allocations, counts.releases, counts.peak_bytes), (12, 12, 100_769));
    assert_eq!((fake.fake.call_count("hipFree"), fake.fake.call_count("hipHostFree")), (6, 6));
    assert_eq!(fake.live(), (0, 0));
}

#[test]
fn out_of_memory_says_how_much_there_is() {
    let fake = PrivateFake::new();
    fake.set("memory", "1M");
    let device = fake.device(0);
    let kept = device.alloc(1 << 19, "weights").expect("half fits");
    let error = device.alloc(1 << 20, "KV cache").expect_err("more than there is");
    let expected = HipError::OutOfMemory { what: "KV cache", requested: 1 << 20, free: 1 << 19, total: 1 << 20 };
    assert_eq!(error, expected);
    assert!(error.is_out_of_memory());
    assert_eq!(device.memory_use().bytes, 1 << 19, "nothing stays reserved");
    drop(kept);
    device.alloc(1 << 20, "KV cache").expect("now it fits");
    fake.fail_next("hipHostMalloc", 2);
    assert!(device.alloc_pinned(64).is_err_and(|error| error.is_out_of_memory()));
    assert_eq!(fake.live(), (0, 0));
}

#[test]
fn a_budget_holds_before_the_driver_is_asked() {
    let fake = PrivateFake::new();
    let device = fake.device(0);
    device.set_budget(1000);
    let kept = device.alloc(600, "weights").expect("within the budget");
    let asked = fake.fake.call_count("hipMalloc");
    let refused = HipError::OverBudget { what: "KV cache", requested: 401, in_use: 600, budget: 1000 };
    assert_eq!(device.alloc(401, "KV cache").err(), Some(refused.clone()));
    assert!(refused.is_out_of_memory());
    assert!(device.alloc(usize::MAX, "everything").is_err());
    assert_eq!(fake.fake.call_count("hipMalloc"), asked);
    fake.fail_next("hipMalloc", 999);
    assert!(device.alloc(400, "KV cache").is_err());
    let rest = device.alloc(400, "KV cache").expect("the failure took nothing from the budget");
    drop((kept, rest));
    device.alloc(1000, "all").expect("what was freed is available");
}

#[test]
fn threads_cannot_pass_a_budget_together() {
    let fake = PrivateFake::new();
    let device = fake.device(0);
    device.set_budget(10_000);
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let device = device.clone();
            std::thread::spawn(move || {
                for _ in 0..50 {
                    let held: Vec<_> = (0..3).filter_map(|_| device.alloc(1000, "shared budget").ok()).collect();
                    assert!(device.memory_use().bytes <= 10_000);
                    drop(held);
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
    let counts = device.memory_use();
    assert!(counts.peak_bytes <= 10_000 && counts.bytes == 0 && counts.allocations == counts.releases, "{counts:?}");
}

#[test]
fn poison_fills_before_anyone_can_use_the_memory() {
    let fake = PrivateFake::new();
    let device = fake.device(0);
    device.alloc(64, "plain").expect("there is memory");
    assert_eq!(fake.fake.call_count("hipMemsetAsync"), 0);
    device.set_poison(true);
    let buffer = device.alloc(64, "poisoned").expect("there is memory");
    assert_eq!(fake.fake.call_count("hipMemsetAsync"), 1);
    assert!(read_f32(&buffer, 0..16).expect("readable").iter().all(|value| value.is_nan()));
    fake.fail_next("hipMemsetAsync", 1);
    assert!(device.alloc(64, "not poisoned").is_err());
    drop(buffer);
    assert_eq!((fake.live(), device.memory_use().bytes), ((0, 0), 0));
}

#[test]
fn views_stay_inside() {
    let fake = PrivateFake::new();
    let buffer = fake.device(0).alloc(1000, "arena").expect("there is memory");
    let view = buffer.view(100..600).expect("inside");
    assert_eq!((view.ptr(), view.len(), view.offset()), (buffer.ptr().add(100), 500, 100));
    let inner = view.slice(500..500).expect("empty at the end");
    assert!(inner.is_empty() && inner.ptr() == buffer.ptr().add(600));
    let outside = HipError::OutOfRange { what: "arena", start: 1, end: 501, len: 500 };
    assert_eq!(view.slice(1..501).err(), Some(outside));
    #[allow(clippy::reversed_empty_ranges, reason = "what must be refused")]
    let reversed = 5..4;
    for range in [0..1001, 1001..1001, reversed, usize::MAX - 1..usize::MAX] {
        assert!(buffer.view(range.clone()).is_err(), "{range:?}");
    }
}

#[test]
fn reads_and_writes_check_lengths_on_both_sides() {
    let fake = PrivateFake::new();
    let device = fake.device(0);
    let buffer = device.alloc(40, "ten floats").expect("there is memory");
    let values: Vec<f32> = (0..10).map(|i| i as f32).collect();
    write(&buffer, 0, &values).expect("as long as the buffer");
    write(&buffer, 8, &[80.0f32, 90.0]).expect("up to the end");
    assert_eq!(read_f32(&buffer, 6..10), Ok(vec![6.0, 7.0, 80.0, 90.0]));
    assert_eq!(read::<[f32; 2]>(&buffer, 4..5), Ok(vec![[80.0, 90.0]]));
    let beyond = HipError::OutOfRange { what: "ten floats", start: 36, end: 44, len: 40 };
    assert_eq!(write(&buffer, 9, &[0.0f32, 0.0]), Err(beyond.clone()));
    assert_eq!(read_f32(&buffer, 9..11), Err(beyond));
    assert!(write(&buffer, usize::MAX, &[0u8]).is_err());
    let wrong = HipError::LengthMismatch { what: "elements to read", expected: 2, found: 3 };
    assert_eq!(read_into(&buffer, 0..2, &mut [0f32; 3]), Err(wrong));
    let uneven = HipError::LengthMismatch { what: "ten floats", expected: 36, found: 40 };
    assert_eq!(read::<[f32; 3]>(&buffer, 0..1), Err(uneven));
    assert_eq!(read_f32(&buffer, 0..0), Ok(Vec::new()));
}

#[test]
fn copies_go_to_live_memory_only() {
    let fake = PrivateFake::new();
    let device = fake.device(0);
    let stream = device.stream().expect("a stream");
    let pinned = device.alloc_pinned(64).expect("there is memory");
    let buffer = device.alloc(64, "target").expect("there is memory");
    let gone = device.alloc(64, "gone").map(|buffer| buffer.ptr()).expect("there is memory");
    let calls = fake.fake.call_count("hipMemcpyAsync");
    let start = buffer.ptr();
    for (to, bytes) in [(start, 65), (start.add(1), 64), (gone, 1), (DevicePtr::NULL, 1), (start.add(usize::MAX), 8)] {
        let unknown = |result: Result<(), HipError>| matches!(result, Err(HipError::UnknownMemory { .. }));
        assert!(unknown(stream.copy(to, start, bytes)), "{to:?} {bytes}");
        assert!(unknown(stream.copy(start, to, bytes)), "{to:?} {bytes}");
        assert!(unknown(stream.fill(to, 0, bytes)), "{to:?} {bytes}");
        if bytes <= 64 {
            assert!(unknown(stream.copy_in(to, &pinned, 0..bytes)), "{to:?} {bytes}");
        }
    }
    assert!(matches!(stream.copy_in(start, &pinned, 60..65), Err(HipError::OutOfRange { .. })));
    assert_eq!(fake.fake.call_count("hipMemcpyAsync"), calls);
    stream.copy_in(start.add(60), &pinned, 0..4).expect("the last bytes");
}
