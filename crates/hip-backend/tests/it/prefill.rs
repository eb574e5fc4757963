//! Attention in tiles against its definition in f64, over what the cache keeps.

use rocmforge_attention::AttentionSpec;
use rocmforge_hip_backend::driver::DevicePtr;
use rocmforge_hip_backend::ops::{Attention, FormPtrs, Tiles};
use rocmforge_kernels::TILED_HEADS;
use rocmforge_program::backend::KvType;

use crate::paged::{Placed, World, fits, worst};
use crate::rig::{Noise, Rig, on_each_device, on_named_device};

/// Queries and weights are rounded to 11 bits, and so are values of an f32 cache: of scores of about 1 and values
/// within ±1 that leaves 5e-4 at the worst.
const HALF: f32 = 6e-4;

/// Queries of a tile.
const TILE: usize = 128;

fn spec(num_kv_heads: usize, group: usize, head_dim: usize) -> AttentionSpec {
    AttentionSpec::causal(num_kv_heads * group, num_kv_heads, head_dim)
}

fn attention(rig: &Rig, world: &World) -> Attention {
    let attention = Attention::load(&rig.kernels, world.kv_type, &world.spec, world.value_in_key).expect("kernels");
    attention.with_tiles(&rig.kernels, world.kv_type).expect("kernels of tiles")
}

/// Tiles of the texts that `is_wanted` says, each of `size` queries: sequences and first queries.
fn tiles(world: &World, size: usize, is_wanted: impl Fn(usize) -> bool) -> (Vec<u32>, Vec<u32>) {
    let of = |(i, new): (usize, usize)| (0..new).step_by(size).map(move |first| (i as u32, first as u32));
    let all = world.texts.iter().map(|text| text.new).enumerate();
    all.filter(|&(i, _)| is_wanted(i)).flat_map(of).unzip()
}

fn run(rig: &Rig, world: &World, placed: &Placed, size: usize, is_wanted: impl Fn(usize) -> bool) -> Vec<f32> {
    let out = rig.room::<f32>(world.queries() * world.spec.output_width());
    let (sequences, first) = tiles(world, size, is_wanted);
    let (sequences_buffer, first_buffer) = (rig.buffer(&sequences), rig.buffer(&first));
    let tiles =
        Tiles { sequences: sequences_buffer.ptr(), first: first_buffer.ptr(), count: sequences.len(), queries: size };
    let call = world.call(placed, FormPtrs::f32(out.ptr()));
    attention(rig, world).run_tiles(&rig.stream, &call, tiles).expect("attention runs");
    rig.read(&out)
}

fn check(rig: &Rig, world: &World, what: &str) {
    let placed = world.place(rig, 65536);
    let found = run(rig, world, &placed, TILE, |_| true);
    let off = worst(&found, &world.exact(&placed));
    assert!(off < HALF, "{what}, {}, {}, blocks of {}: off by {off:e}", world.spec, world.kv_type, world.block_size);
}

#[test]
fn every_head_size_and_type_matches_the_definition() {
    on_each_device(|rig| {
        let mut turn = 0;
        for (head_dim, value_dim) in
            [(64, 64), (80, 80), (96, 96), (112, 112), (128, 128), (192, 128), (192, 192), (256, 256)]
        {
            let mut s = spec(1, 2, head_dim);
            s.value_dim = value_dim;
            check(rig, &World::new(s, KvType::F16, 16, &[(5, 5), (70, 21)], turn), "heads");
            turn += 1;
        }
        for kv_type in KvType::ALL {
            for (head_dim, value_dim) in [(128, 128), (256, 256), (32, 64)] {
                // Long rows of f32 are the ones that are loaded otherwise.
                if head_dim == 256 && kv_type != KvType::F32 {
                    continue;
                }
                let mut s = spec(2, 1, head_dim);
                s.value_dim = value_dim;
                check(rig, &World::new(s, kv_type, 16, &[(37, 3), (33, 33)], turn), "types");
                turn += 1;
            }
        }
    });
}

/// Widths of heads just below and exactly those that kernels are compiled for, as far as a type can hold them.
#[test]
fn every_type_matches_at_every_compiled_width() {
    on_named_device(|rig| {
        for (kv_type, &(key, value)) in
            KvType::ALL.iter().flat_map(|&kv_type| TILED_HEADS.iter().map(move |w| (kv_type, w)))
        {
            for (less, texts) in
                [(0, &[(37, 3), (33, 33)][..]), (if kv_type == KvType::Q8_0 { 32 } else { 8 }, &[(66, 5)])]
            {
                let mut s = spec(1, 2, key as usize - less);
                s.value_dim = value as usize - less;
                if fits(kv_type, &s) {
                    check(rig, &World::new(s, kv_type, 16, texts, u64::from(key)), "compiled widths");
                }
            }
        }
    });
}

#[test]
fn tiles_and_groups_that_do_not_come_out_even() {
    on_each_device(|rig| {
        for (group, texts) in [
            (1, &[(129, 129), (1, 1), (140, 9)][..]),
            (3, &[(64, 64), (65, 43)]),
            (4, &[(31, 31), (32, 32), (33, 33)]),
            (7, &[(40, 19)]),
            (20, &[(30, 13), (9, 2)]),
        ] {
            check(rig, &World::new(spec(2, group, 64), KvType::F16, 16, texts, group as u64), "groups");
        }
        // Columns that the kernel has and the heads have not, and blocks of odd sizes.
        for (head_dim, value_dim, block_size) in [(8, 24, 1), (40, 56, 5), (72, 64, 7), (24, 88, 64)] {
            let mut s = spec(2, 2, head_dim);
            s.value_dim = value_dim;
            check(rig, &World::new(s, KvType::F16, block_size, &[(50, 20), (17, 17)], 3), "widths");
        }
    });
}

#[test]
fn masks_caps_and_sinks_match_the_definition() {
    on_each_device(|rig| {
        let mut turn = 0;
        for window in [None, Some(1), Some(17), Some(64), Some(100)] {
            for (softcap, sinks, causal) in
                [(None, false, true), (Some(5.0), true, true), (None, true, false), (Some(20.0), false, false)]
            {
                turn += 1;
                let mut s = spec(1, 2, 64);
                (s.window, s.softcap, s.causal) = (window, softcap, causal);
                let kv_type = if turn % 2 == 0 { KvType::F16 } else { KvType::Q8_0 };
                let mut world = World::new(s, kv_type, 16, &[(40, 40), (130, 12), (2, 1)], turn);
                if sinks {
                    world = world.with_sinks();
                }
                check(rig, &world, "masks");
            }
        }
    });
}

#[test]
fn values_in_keys() {
    on_each_device(|rig| {
        let mut s = spec(1, 5, 96);
        s.value_dim = 64;
        let mut world = World::new(s, KvType::F16, 16, &[(50, 20)], 8);
        world.value_in_key = true;
        check(rig, &world, "values in keys");
    });
}

#[test]
fn a_query_has_the_same_bits_in_any_tile_and_batch() {
    on_each_device(|rig| {
        let mut s = spec(1, 3, 64);
        s.window = Some(70);
        let world = World::new(s, KvType::F16, 16, &[(150, 60), (90, 90)], 9);
        let placed = world.place(rig, 65536);
        let all = run(rig, &world, &placed, TILE, |_| true);
        assert!(all == run(rig, &world, &placed, 7, |_| true), "small tiles");
        let alone = run(rig, &world, &placed, TILE, |i| i == 0);
        let first = 60 * world.spec.output_width();
        assert!(all[..first] == alone[..first], "alone");
        assert!(alone[first..].iter().all(|x| x.is_nan()), "rows of other sequences are not touched");
    });
}

#[test]
fn queries_of_any_size_are_rounded_alike() {
    on_each_device(|rig| {
        for (factor, off_max) in [(1e-30f32, HALF), (1e-6, HALF), (3e2, 0.2), (1e6, 1.0)] {
            let mut world = World::new(spec(1, 2, 64), KvType::F16, 16, &[(60, 20)], 13);
            for row in world.texts[0].q.chunks_mut(64).step_by(2) {
                row.iter_mut().for_each(|x| *x *= factor);
            }
            let placed = world.place(rig, 65536);
            let found = run(rig, &world, &placed, TILE, |_| true);
            let exact = world.exact(&placed);
            // Rows beside a large one are as exact as ever.
            for (i, (found, exact)) in found.chunks(64).zip(exact.chunks(64)).enumerate() {
                let off = worst(found, exact);
                let bound = if i % 2 == 0 { off_max } else { HALF };
                assert!(off < bound, "{factor:e}, row {i}: off by {off:e}");
            }
        }
    });
}

#[test]
fn nan_shows_where_it_is_seen_and_stays_in_its_sequence() {
    on_each_device(|rig| {
        for kv_type in [KvType::F32, KvType::F16, KvType::Bf16, KvType::Q8_0] {
            let texts = [(40, 12), (20, 20)];
            let mut world = World::new(spec(1, 2, 32), kv_type, 16, &texts, 13);
            let clean = world.place(rig, 65536);
            let clean = run(rig, &world, &clean, TILE, |_| true);
            world.texts[0].k[5 * 32] = f32::NAN;
            world.texts[0].v[5 * 32..6 * 32].fill(f32::NAN);
            let dirty = world.place(rig, 65536);
            let dirty = run(rig, &world, &dirty, TILE, |_| true);
            assert!(dirty[..12 * 64].iter().all(|x| x.is_nan()), "{kv_type}");
            assert!(dirty[12 * 64..] == clean[12 * 64..], "{kv_type}");
        }
    });
}

#[test]
fn what_cannot_run_is_an_error() {
    on_each_device(|rig| {
        let world = World::new(spec(1, 2, 34), KvType::F16, 16, &[(40, 12)], 13);
        let placed = world.place(rig, 65536);
        let kernels = attention(rig, &world);
        assert!(!kernels.has_tiles());
        let none = DevicePtr::NULL;
        let tiles = Tiles { sequences: none, first: none, count: 1, queries: TILE };
        let error = kernels.run_tiles(&rig.stream, &world.call(&placed, FormPtrs::default()), tiles).unwrap_err();
        assert!(error.to_string().starts_with("kernels for attention in tiles"), "{error}");

        let world = World::new(spec(1, 2, 64), KvType::F16, 16, &[(40, 12)], 13);
        let placed = world.place(rig, 65536);
        let forms = FormPtrs { q8: placed.q.ptr(), ..FormPtrs::default() };
        let error = attention(rig, &world).run_tiles(&rig.stream, &world.call(&placed, forms), tiles).unwrap_err();
        assert!(error.to_string().starts_with("forms of the result"), "{error}");
        let empty = Tiles { count: 0, ..tiles };
        let call = world.call(&placed, FormPtrs::f32(placed.q.ptr()));
        attention(rig, &world).run_tiles(&rig.stream, &call, empty).expect("nothing to do");
    });
}

#[test]
fn odd_sizes_at_random() {
    on_each_device(|rig| {
        let mut noise = Noise::new(78);
        let mut below = |n: usize| ((noise.unit() + 1.0) * 0.5 * n as f64) as usize;
        for round in 0..12 {
            let mut s = spec(1 + below(2), 1 + below(9), 8 * (1 + below(8)));
            s.value_dim = 8 * (1 + below(8));
            s.window = [None, Some(1 + below(150))][below(2)];
            s.softcap = [None, Some(8.0)][below(2)];
            let kv_type = KvType::ALL[below(5)];
            let kv_type = if fits(kv_type, &s) { kv_type } else { KvType::F16 };
            let mut text = || {
                let context = 1 + below(150);
                (context, 1 + below(context.min(40)))
            };
            let texts: Vec<_> = (0..=round % 3).map(|_| text()).collect();
            check(rig, &World::new(s, kv_type, 1 + below(40), &texts, round), "random");
        }
    });
}
