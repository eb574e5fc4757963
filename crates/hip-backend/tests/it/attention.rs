//! Attention against its definition in f64, over what the cache keeps.

use rocmforge_attention::AttentionSpec;
use rocmforge_hip_backend::driver::DevicePtr;
use rocmforge_hip_backend::ops::{Attention, FormPtrs, Queries, SPLIT};
use rocmforge_program::backend::KvType;

use crate::paged::{NONE, Placed, World, fits, worst};
use crate::rig::{Noise, Rig, on_each_device, on_named_device};

/// Values are within ±1. A dot product of up to 576 terms that sum to at most about 30 after scaling is off by 1e-5 at
/// the worst in f32, and so then is a weight, relatively; the weighted sum adds its own rounding.
const F32: f32 = 1e-5;

fn spec(num_kv_heads: usize, group: usize, head_dim: usize) -> AttentionSpec {
    AttentionSpec::causal(num_kv_heads * group, num_kv_heads, head_dim)
}

fn attention(rig: &Rig, world: &World) -> Attention {
    Attention::load(&rig.kernels, world.kv_type, &world.spec, world.value_in_key).expect("kernels")
}

/// All queries of a world, one by one.
fn decode(rig: &Rig, world: &World, placed: &Placed, max_context: usize) -> Vec<f32> {
    let out = rig.room::<f32>(world.queries() * world.spec.output_width());
    let call = world.call(placed, FormPtrs::f32(out.ptr()));
    let queries = Queries { rows: DevicePtr::NULL, count: world.queries(), max_context };
    attention(rig, world).run_queries(&rig.stream, &call, queries).expect("attention runs");
    rig.read(&out)
}

fn scratch(rig: &Rig, world: &World) -> usize {
    attention(rig, world).scratch_bytes(world.queries(), 2 * world.max_context())
}

fn check(rig: &Rig, world: &World, what: &str) {
    let placed = world.place(rig, scratch(rig, world));
    let found = decode(rig, world, &placed, world.max_context());
    let off = worst(&found, &world.exact(&placed));
    assert!(off < F32, "{what}, {}, {}, blocks of {}: off by {off:e}", world.spec, world.kv_type, world.block_size);
}

#[test]
fn every_head_size_and_group_matches_the_definition() {
    on_each_device(|rig| {
        let mut turn = 0;
        for head_dim in [16, 40, 64, 80, 96, 112, 128, 192, 256] {
            for group in 1..=8 {
                turn += 1;
                let kv_type = KvType::ALL[turn % 5];
                let s = spec(2, group, head_dim);
                let kv_type = if fits(kv_type, &s) { kv_type } else { KvType::F16 };
                let block_size = if group % 2 == 0 { 16 } else { 32 };
                check(rig, &World::new(s, kv_type, block_size, &[(1, 1), (67, 2), (15, 1)], turn as u64), "shapes");
            }
        }
    });
}

#[test]
fn every_type_reads_every_width_it_can() {
    on_each_device(|rig| {
        for kv_type in KvType::ALL {
            for (head_dim, value_dim, group) in
                [(128, 128, 4), (64, 64, 7), (192, 128, 1), (24, 40, 2), (34, 18, 3), (7, 21, 2)]
            {
                let mut s = spec(2, group, head_dim);
                s.value_dim = value_dim;
                if fits(kv_type, &s) {
                    check(rig, &World::new(s, kv_type, 16, &[(40, 1), (131, 1)], 5), "widths");
                }
            }
        }
    });
}

#[test]
fn contexts_at_the_borders_of_blocks_and_splits() {
    on_each_device(|rig| {
        for (kv_type, block_size) in [(KvType::F16, 16), (KvType::Q8_0, 32), (KvType::F32, 5)] {
            let texts = [1, 15, 16, 17, SPLIT - 1, SPLIT, SPLIT + 1, 255, 256, 257, 700].map(|context| (context, 1));
            check(rig, &World::new(spec(1, 3, 64), kv_type, block_size, &texts, 11), "contexts");
        }
    });
}

#[test]
fn masks_caps_and_sinks_match_the_definition() {
    on_each_device(|rig| {
        let mut turn = 0;
        for window in [None, Some(1), Some(17), Some(SPLIT), Some(SPLIT + 2), Some(300)] {
            for (softcap, sinks, causal) in
                [(None, false, true), (Some(5.0), true, true), (None, true, false), (Some(20.0), false, false)]
            {
                turn += 1;
                let mut s = spec(2, 3, 64);
                (s.window, s.softcap, s.causal) = (window, softcap, causal);
                let mut world = World::new(s, KvType::ALL[turn % 5], 16, &[(63, 1), (130, 3), (2, 1), (400, 1)], 3);
                if sinks {
                    world = world.with_sinks();
                }
                check(rig, &world, "masks");
            }
        }
    });
}

#[test]
fn values_in_keys_and_many_heads_over_one() {
    on_each_device(|rig| {
        for kv_type in [KvType::F16, KvType::Q8_0] {
            let mut latent = spec(1, 20, 576);
            latent.value_dim = 512;
            let mut world = World::new(latent, kv_type, 16, &[(5, 1), (150, 1)], 8);
            world.value_in_key = true;
            check(rig, &world, "latent");
        }
    });
}

#[test]
fn long_contexts_are_added_by_a_launch_of_their_own_to_the_same_bits() {
    on_each_device(|rig| {
        let s = spec(1, 2, 64);
        let long = SPLIT * 35 + 9;
        let world = World::new(s, KvType::F16, 16, &[(long, 1), (300, 1), (100, 1)], 21).with_sinks();
        let bytes = attention(rig, &world).scratch_bytes(3, 2 * long);
        let placed = world.place(rig, bytes);
        let together = decode(rig, &world, &placed, long);
        let off = worst(&together, &world.exact(&placed));
        assert!(off < F32, "off by {off:e}");
        // Alone, in a smaller grid: the workgroup that arrives last adds the splits.
        for (i, width) in [(1, world.spec.output_width()), (2, world.spec.output_width())] {
            let rows = rig.buffer(&[i as u32]);
            let out = rig.room::<f32>(3 * width);
            let call = world.call(&placed, FormPtrs::f32(out.ptr()));
            let queries = Queries { rows: rows.ptr(), count: 1, max_context: 300 };
            attention(rig, &world).run_queries(&rig.stream, &call, queries).unwrap();
            let alone: Vec<f32> = rig.read(&out);
            assert_eq!(alone[i * width..][..width], together[i * width..][..width], "query {i}");
            assert!(alone[..i * width].iter().all(|x| x.is_nan()), "other rows are not touched");
        }
        assert!(together == decode(rig, &world, &placed, 2 * long), "a larger grid changes nothing");
    });
}

#[test]
fn long_contexts_of_every_type_are_added_by_a_launch_of_their_own() {
    on_named_device(|rig| {
        for kv_type in KvType::ALL {
            let texts = [(SPLIT * 33 + 7, 1), (SPLIT + 1, 1), (3, 1)];
            check(rig, &World::new(spec(1, 2, 32), kv_type, 16, &texts, 31).with_sinks(), "long");
        }
    });
}

#[test]
fn every_type_shares_keys_among_every_number_of_heads() {
    on_named_device(|rig| {
        for kv_type in KvType::ALL {
            for group in 1..=9 {
                check(rig, &World::new(spec(1, group, 96), kv_type, 16, &[(SPLIT + 9, 2), (1, 1)], 32), "groups");
            }
        }
    });
}

#[test]
fn few_bytes_of_scratch_take_several_launches_to_the_same_bits() {
    on_each_device(|rig| {
        let world = World::new(spec(2, 2, 64), KvType::F16, 16, &[(300, 7), (40, 2)], 4);
        let kernels = attention(rig, &world);
        let all = world.place(rig, kernels.scratch_bytes(9, 300));
        let expected = decode(rig, &world, &all, 300);
        let few = world.place(rig, kernels.scratch_bytes(2, 300));
        assert!(expected == decode(rig, &world, &few, 300));
        let none = world.place(rig, kernels.scratch_bytes(0, 300));
        let out = rig.room::<f32>(9 * world.spec.output_width());
        let call = world.call(&none, FormPtrs::f32(out.ptr()));
        let queries = Queries { rows: DevicePtr::NULL, count: 9, max_context: 300 };
        let error = kernels.run_queries(&rig.stream, &call, queries).unwrap_err();
        assert!(error.to_string().starts_with("bytes of scratch of attention: expected "), "{error}");
    });
}

#[test]
fn padding_rows_become_zeros_and_absent_rows_stay() {
    on_each_device(|rig| {
        let world = World::new(spec(1, 4, 64), KvType::F16, 16, &[(200, 3)], 4);
        let placed = world.place(rig, scratch(rig, &world));
        let exact = world.exact(&placed);
        let width = world.spec.output_width();
        let padded = Placed { query_context: rig.buffer(&[198u32, 0, 200]), ..placed };
        let rows = rig.buffer(&[2u32, NONE, 1, 0]);
        let (out, q8, scales) =
            (rig.room::<f32>(4 * width), rig.room::<i8>(4 * width), rig.room::<f32>(4 * width / 16));
        let forms = FormPtrs { f32: out.ptr(), q8: q8.ptr(), q8_scales: scales.ptr(), ..FormPtrs::default() };
        let call = world.call(&padded, forms);
        let queries = Queries { rows: rows.ptr(), count: 4, max_context: 200 };
        attention(rig, &world).run_queries(&rig.stream, &call, queries).unwrap();
        let found: Vec<f32> = rig.read(&out);
        assert!(worst(&found[..width], &exact[..width]) < F32);
        assert!(found[width..2 * width].iter().all(|&x| x == 0.0));
        assert!(worst(&found[2 * width..3 * width], &exact[2 * width..]) < F32);
        assert!(found[3 * width..].iter().all(|x| x.is_nan()), "no row 3");
        // The same in 8 bits: the scale is the largest of 32 over 127.
        let (q8, scales): (Vec<i8>, Vec<f32>) = (rig.read(&q8), rig.read(&scales));
        for (i, &x) in found[..3 * width].iter().enumerate() {
            let group = &found[i / 32 * 32..][..32];
            let d = group.iter().fold(0f32, |m, x| m.max(x.abs())) / 127.0;
            assert!((scales[i / 32 * 2] - d).abs() <= 1e-6 * d, "scale of {i}");
            assert!((f32::from(q8[i]) * d - x).abs() <= 0.5001 * d, "element {i}");
        }
        assert!(q8[3 * width..].iter().all(|&q| q == -1));
    });
}

#[test]
fn a_query_has_the_same_bits_alone_and_in_any_batch() {
    on_each_device(|rig| {
        let world = World::new(spec(2, 4, 64), KvType::Q8_0, 16, &[(260, 3), (17, 2), (129, 1)], 9);
        let placed = world.place(rig, scratch(rig, &world));
        let batch = decode(rig, &world, &placed, world.max_context());
        let width = world.spec.output_width();
        for row in 0..6u32 {
            let rows = rig.buffer(&[row]);
            let out = rig.room::<f32>(6 * width);
            let call = world.call(&placed, FormPtrs::f32(out.ptr()));
            let queries = Queries { rows: rows.ptr(), count: 1, max_context: 260 };
            attention(rig, &world).run_queries(&rig.stream, &call, queries).unwrap();
            let at = row as usize * width;
            assert_eq!(rig.read::<f32>(&out)[at..at + width], batch[at..at + width], "row {row}");
        }
    });
}

#[test]
fn large_scores_stay_finite_and_nan_shows_where_it_is_seen() {
    on_each_device(|rig| {
        for kv_type in KvType::ALL {
            let mut world = World::new(spec(1, 2, 32), kv_type, 16, &[(200, 4)], 13);
            world.texts[0].q.iter_mut().for_each(|x| *x *= 1e4);
            let placed = world.place(rig, scratch(rig, &world));
            let found = decode(rig, &world, &placed, 200);
            // Scores of ±1e4 are off by 1e-3, and so are weights; most are 0 or 1.
            let off = worst(&found, &world.exact(&placed));
            assert!(off < 5e-3, "{kv_type}: off by {off:e}");

            // NaN in token 198 reaches the queries of 198 and 199, and not those before.
            let mut dirty = World::new(spec(1, 2, 32), kv_type, 16, &[(200, 4)], 13);
            dirty.texts[0].v[198 * 32..199 * 32].fill(f32::NAN);
            dirty.texts[0].k[198 * 32] = f32::NAN;
            let clean = World::new(spec(1, 2, 32), kv_type, 16, &[(200, 4)], 13);
            let (clean_place, dirty_place) =
                (clean.place(rig, scratch(rig, &clean)), dirty.place(rig, scratch(rig, &dirty)));
            let (clean, dirty) = (decode(rig, &clean, &clean_place, 200), decode(rig, &dirty, &dirty_place, 200));
            assert!(clean[..2 * 64] == dirty[..2 * 64], "{kv_type}");
            // E4M3 as it is read here has no NaN: the code reads as 480.
            if kv_type != KvType::F8E4M3 {
                assert!(dirty[2 * 64..].iter().all(|x| x.is_nan()), "{kv_type}");
            }
        }
    });
}

#[test]
fn odd_sizes_at_random() {
    on_each_device(|rig| {
        let mut noise = Noise::new(77);
        let mut below = |n: usize| ((noise.unit() + 1.0) * 0.5 * n as f64) as usize;
        for round in 0..25 {
            let mut s = spec(1 + below(3), 1 + below(17), 8 * (1 + below(20)));
            s.value_dim = 4 * (1 + below(40));
            s.window = [None, Some(1 + below(300))][below(2)];
            s.softcap = [None, Some(8.0)][below(2)];
            let kv_type = KvType::ALL[below(5)];
            let kv_type = if fits(kv_type, &s) { kv_type } else { KvType::F8E4M3 };
            let mut text = || {
                let context = 1 + below(300);
                (context, 1 + below(context.min(3)))
            };
            let texts: Vec<_> = (0..=round % 4).map(|_| text()).collect();
            check(rig, &World::new(s, kv_type, 1 + below(40), &texts, round), "random");
        }
    });
}
