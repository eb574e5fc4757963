//! Blocks of the cache that memory of the host keeps meanwhile.

use std::path::PathBuf;

use rocmforge_cpu_backend::{CpuBackend, ReferenceBackend};
use rocmforge_hip_backend::{HipBackend, HipOptions};
use rocmforge_program::backend::{Backend, BlockMove, KvType};
use rocmforge_tests::{HOST_SLOTS, Loaded, data};

use crate::private_fake::PrivateFake;

/// Windows and two kinds of layers.
fn model() -> PathBuf {
    data("golden/gemma2/model.gguf")
}

fn bits(logits: &[f32]) -> Vec<u32> {
    logits.iter().map(|x| x.to_bits()).collect()
}

/// The blocks of the first sequence of 40 tokens go to the host, others take their place, and they come back.
fn check<B: Backend>(make: impl Fn() -> B, kv_type: KvType) {
    let mut model = Loaded::new(make(), &model(), kv_type, 2, 64);
    let prompt: Vec<u32> = (0..40).map(|i| i * 7 % 250).collect();
    let other: Vec<u32> = (0..40).map(|i| i * 11 % 250).collect();
    model.step(&[(0, 0, &prompt)]).expect("the step runs");
    let expected = bits(&model.step(&[(0, 40, &[5])]).expect("the step runs"));

    // Sequence 0 has the blocks 0, 2, 4.
    let save = |block, slot| BlockMove::Save { block, slot };
    let load = |slot, block| BlockMove::Load { slot, block };
    model.move_blocks(&[save(0, 3), save(2, 0), save(4, 1)]).expect("they move");
    model.step(&[(0, 0, &other)]).expect("the step runs");
    let overwritten = bits(&model.step(&[(0, 40, &[5])]).expect("the step runs"));
    assert_ne!(overwritten, expected);
    model.move_blocks(&[load(3, 0), load(0, 2), load(1, 4)]).expect("they move");
    assert_eq!(bits(&model.step(&[(0, 40, &[5])]).expect("the step runs")), expected, "{kv_type}");

    // A slot and a block that come twice in one list, which is right only in its order.
    model.step(&[(0, 0, &other)]).expect("the step runs");
    let moves = [
        save(0, 2),
        load(3, 0),
        BlockMove::Copy { from: 0, to: 5 },
        load(2, 0),
        save(5, 2),
        load(2, 0),
        load(0, 5),
        BlockMove::Copy { from: 5, to: 2 },
        save(2, 2),
        load(1, 4),
    ];
    model.move_blocks(&moves).expect("they move");
    assert_eq!(bits(&model.step(&[(0, 40, &[5])]).expect("the step runs")), expected, "{kv_type}");

    for (bad, told) in [(save(8, 0), "no block 8 of 8"), (load(HOST_SLOTS as u32, 0), "no host slot 4 of 4")] {
        // The good one before it is not done either.
        let error = model.move_blocks(&[BlockMove::Copy { from: 1, to: 0 }, bad]).expect_err("there is none");
        assert!(error.to_string().contains(told), "{error}");
    }
    assert_eq!(bits(&model.step(&[(0, 40, &[5])]).expect("the step runs")), expected, "{kv_type}");
}

#[test]
fn blocks_come_back_as_they_were_in_the_reference_interpreter() {
    check(ReferenceBackend::new, KvType::F16);
}

#[test]
fn blocks_come_back_as_they_were_on_the_processor() {
    for kv_type in [KvType::F32, KvType::F16, KvType::Bf16, KvType::F8E4M3] {
        check(|| CpuBackend::new(2).expect("threads start"), kv_type);
    }
}

#[test]
fn blocks_come_back_as_they_were_on_a_device() {
    let Some(fake) = PrivateFake::new() else { return };
    let open = || {
        let options = HipOptions { graphs: false, ..fake.options() };
        HipBackend::open_with(fake.api.clone(), options).expect("the fake opens")
    };
    check(open, KvType::F16);
    // Nothing of a stream runs before someone waits.
    fake.fake.set("deferred", "on").expect("a setting");
    check(open, KvType::F8E4M3);
}
