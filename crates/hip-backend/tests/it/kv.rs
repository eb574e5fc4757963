//! Rotation, cache writes and block copies.

use rocmforge_attention::{AttentionSpec, RopePairing, RopeScaling, RopeSpec, reference};
use rocmforge_hip_backend::driver::{Buffer, DevicePtr};
use rocmforge_hip_backend::ops::{
    BlockPlace, CopyBlocks, CopyBlocksCall, HeadPrep, KvLayout, RopeWrite, RopeWriteCall, from_and_to, independent_runs,
};
use rocmforge_program::CacheLayer;
use rocmforge_program::backend::{BlockMove, CacheSpec, KvType};

use crate::paged::{NONE, World, fits, worst};
use crate::rig::{Noise, Rig, on_each_device};

/// One side's norm and rotation, on the host.
#[derive(Clone, Default)]
struct Side {
    norm: Option<Vec<f32>>,
    rope: Option<RopeSpec>,
}

const EPS: f32 = 1e-5;

impl Side {
    /// In f64 but for the results of norm and rotation.
    fn exact(&self, x: &[f32], head_dim: usize, positions: &[usize]) -> Vec<f32> {
        let mut x = x.to_vec();
        if let Some(weight) = &self.norm {
            for head in x.chunks_exact_mut(head_dim) {
                let mean = head.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / head_dim as f64;
                let factor = 1.0 / (mean + f64::from(EPS)).sqrt();
                head.iter_mut().zip(weight).for_each(|(x, &w)| *x = (f64::from(*x) * factor * f64::from(w)) as f32);
            }
        }
        if let Some(rope) = &self.rope {
            reference::rope(rope, head_dim, positions, &mut x);
        }
        x
    }

    fn place(&self, rig: &Rig) -> (HeadPrep, Vec<Buffer>) {
        let norm = self.norm.as_ref().map(|w| rig.buffer(w));
        let table = self.rope.as_ref().map(|r| rig.buffer(&r.frequencies));
        let ptr = |buffer: &Option<Buffer>| buffer.as_ref().map_or(DevicePtr::NULL, |b| b.ptr());
        let mut prep = HeadPrep { norm: ptr(&norm), frequencies: ptr(&table), eps: EPS, ..HeadPrep::default() };
        if let Some(rope) = &self.rope {
            (prep.pairs, prep.pairing, prep.magnitude) = (rope.frequencies.len(), rope.pairing, rope.magnitude);
        }
        (prep, norm.into_iter().chain(table).collect())
    }
}

fn rope(pairing: RopePairing, head_dim: usize, dims: usize, magnitude: f32) -> Option<RopeSpec> {
    let scaling = RopeScaling::Factors { factors: vec![1.0; dims / 2], magnitude };
    Some(RopeSpec::new(pairing, head_dim, dims, 1e4, &scaling).expect("a rotation"))
}

/// Writes one token a position; returns prepared queries and what the cache has of keys and values.
fn run(
    rig: &Rig,
    kv_type: KvType,
    s: &AttentionSpec,
    positions: &[usize],
    q_side: &Side,
    k_side: &Side,
) -> [Vec<f32>; 6] {
    let tokens = positions.len();
    let world = World::new(s.clone(), kv_type, 16, &[(tokens, tokens)], 31);
    let text = &world.texts[0];
    let slots: Vec<u32> = (0..tokens).map(|t| text.blocks[t / 16] * 16 + t as u32 % 16).collect();
    let cache = rig.room::<u8>(world.layout().bytes());
    let (q, k, v) = (rig.buffer(&text.q), rig.buffer(&text.k), rig.buffer(&text.v));
    let device_positions: Vec<u32> = positions.iter().map(|&p| p as u32).collect();
    let (position_buffer, slot_buffer) = (rig.buffer(&device_positions), rig.buffer(&slots));
    let ((q_prep, _q_holds), (k_prep, _k_holds)) = (q_side.place(rig), k_side.place(rig));
    let call = RopeWriteCall {
        q: q.ptr(),
        q_out: q.ptr(),
        k: k.ptr(),
        v: v.ptr(),
        q_stride: s.query_width(),
        k_stride: s.key_width(),
        v_stride: s.value_width(),
        cache: world.layout().layer(0, cache.ptr()),
        block_size: 16,
        positions: position_buffer.ptr(),
        slots: slot_buffer.ptr(),
        q_prep,
        k_prep,
        tokens,
        q_heads: s.num_heads,
        kv_heads: s.num_kv_heads,
        head_dim: s.head_dim,
        value_dim: s.value_dim,
    };
    RopeWrite::load(&rig.kernels, kv_type)
        .expect("the kernel loads")
        .run(&rig.stream, &call)
        .expect("the kernel starts");
    let (found_q, bytes): (Vec<f32>, Vec<u8>) = (rig.read(&q), rig.read(&cache));
    let (mut found_k, mut found_v) = (vec![], vec![]);
    for t in 0..tokens {
        for head in 0..s.num_kv_heads {
            let row = (text.blocks[t / 16] as usize * s.num_kv_heads + head) * 16 + t % 16;
            found_k.extend(world.row(&bytes, 0, row, s.head_dim));
            found_v.extend(world.row(&bytes, 1, row, s.value_dim));
        }
    }
    let exact_q = q_side.exact(&text.q, s.head_dim, positions);
    let exact_k = k_side.exact(&text.k, s.head_dim, positions);
    [found_q, exact_q, found_k, exact_k, found_v, text.v.clone()]
}

/// The most that a type is off for numbers within ±`bound`: half a unit in the last place, and in q8_0 as much of the
/// scale, which is rounded to 11 bits after the bytes were made with it.
fn step(kv_type: KvType, bound: f32) -> f32 {
    bound
        * match kv_type {
            KvType::F32 => 1e-6,
            KvType::F16 => 1.0 / 2048.0,
            KvType::Bf16 => 1.0 / 256.0,
            KvType::Q8_0 => 0.5 / 127.0 + 1.0 / 2048.0 + 1e-6,
            KvType::F8E4M3 => 1.0 / 16.0,
        }
}

#[test]
fn heads_are_normalised_rotated_and_cached() {
    on_each_device(|rig| {
        let mut noise = Noise::new(3);
        for kv_type in KvType::ALL {
            for (kv_heads, group, head_dim, value_dim) in
                [(2, 4, 64, 64), (1, 1, 128, 96), (9, 2, 32, 32), (3, 1, 80, 40), (2, 1, 18, 7)]
            {
                let mut s = AttentionSpec::causal(kv_heads * group, kv_heads, head_dim);
                s.value_dim = value_dim;
                if !fits(kv_type, &s) {
                    continue;
                }
                let norm = Some(noise.f32s(head_dim, 0.5, 1.0));
                let part = head_dim / 4 * 2;
                let sides = [
                    (Side::default(), Side::default()),
                    (
                        Side { norm: None, rope: rope(RopePairing::Adjacent, head_dim, head_dim, 1.0) },
                        Side { norm: None, rope: rope(RopePairing::Adjacent, head_dim, head_dim, 1.0) },
                    ),
                    (
                        Side { norm: norm.clone(), rope: rope(RopePairing::Halves, head_dim, head_dim, 1.25) },
                        Side { norm, rope: rope(RopePairing::Halves, head_dim, part, 1.25) },
                    ),
                    (Side { norm: None, rope: rope(RopePairing::Adjacent, head_dim, part, 1.0) }, Side::default()),
                ];
                for (q_side, k_side) in &sides {
                    let [q, exact_q, k, exact_k, v, exact_v] =
                        run(rig, kv_type, &s, &[0, 1, 2, 77, 4095, 131_071, 1_000_000], q_side, k_side);
                    let bound = |x: &[f32]| x.iter().fold(0f32, |m, x| m.max(x.abs()));
                    // Sines are off by 2e-7 and so are products, twice.
                    assert!(worst(&q, &exact_q) < 1e-6 * bound(&exact_q).max(1.0), "{kv_type} {s}: queries");
                    let limit = step(kv_type, bound(&exact_k)) + 1e-6 * bound(&exact_k).max(1.0);
                    assert!(worst(&k, &exact_k) < limit, "{kv_type} {s}: keys");
                    assert!(worst(&v, &exact_v) <= step(kv_type, 1.0), "{kv_type} {s}: values");
                }
            }
        }
    });
}

#[test]
fn range_is_kept_and_nan_shows() {
    on_each_device(|rig| {
        let cases = [
            (KvType::F16, 65504.0),
            (KvType::Bf16, f32::from_bits(0x7f7f_0000)),
            (KvType::Q8_0, 65504.0 * 127.0),
            (KvType::F8E4M3, 448.0),
        ];
        for (kv_type, bound) in cases {
            let s = AttentionSpec::causal(1, 1, 32);
            let mut world = World::new(s, kv_type, 16, &[(2, 1)], 1);
            let mut k = vec![0.5f32; 64];
            (k[3], k[4], k[32 + 3]) = (3.4e38, -3.4e38, f32::NAN);
            world.texts[0].k = k;
            let placed = world.place(rig, 65536);
            let bytes: Vec<u8> = rig.read(&placed.cache);
            let block = world.texts[0].blocks[0] as usize;
            let first = world.row(&bytes, 0, block * 16, 32);
            assert_eq!(first[3..5], [bound, -bound], "{kv_type}");
            let second = world.row(&bytes, 0, block * 16 + 1, 32);
            if kv_type == KvType::F8E4M3 {
                assert_eq!(second[3], 480.0, "the code of NaN");
            } else {
                assert!(second[3].is_nan(), "{kv_type}");
            }
        }
    });
}

#[test]
fn rows_may_lie_apart_and_queries_alone() {
    on_each_device(|rig| {
        // One row holds q, k and v, as a fused product leaves them; the slot of the second token is none.
        let s = AttentionSpec::causal(2, 1, 32);
        let world = World::new(s, KvType::F32, 16, &[(3, 3)], 9);
        let mut noise = Noise::new(2);
        let fused = noise.f32s(3 * 128, 1.0, 0.0);
        let (buffer, out) = (rig.buffer(&fused), rig.room::<f32>(3 * 64));
        let cache = rig.room::<u8>(world.layout().bytes());
        let (positions, slots) = (rig.buffer(&[5u32, 6, 7]), rig.buffer(&[16u32, NONE, 18]));
        let side = Side { norm: None, rope: rope(RopePairing::Halves, 32, 32, 1.0) };
        let (prep, _holds) = side.place(rig);
        let call = RopeWriteCall {
            q: buffer.ptr(),
            q_out: out.ptr(),
            k: buffer.ptr().add(64 * 4),
            v: buffer.ptr().add(96 * 4),
            q_stride: 128,
            k_stride: 128,
            v_stride: 128,
            cache: world.layout().layer(0, cache.ptr()),
            block_size: 16,
            positions: positions.ptr(),
            slots: slots.ptr(),
            q_prep: prep,
            k_prep: prep,
            tokens: 3,
            q_heads: 2,
            kv_heads: 1,
            head_dim: 32,
            value_dim: 32,
        };
        RopeWrite::load(&rig.kernels, KvType::F32).unwrap().run(&rig.stream, &call).unwrap();
        let (q, bytes): (Vec<f32>, Vec<u8>) = (rig.read(&out), rig.read(&cache));
        let part = |from: usize, width: usize| -> Vec<f32> {
            fused.chunks(128).flat_map(|row| &row[from..from + width]).copied().collect()
        };
        assert!(worst(&q, &side.exact(&part(0, 64), 32, &[5, 6, 7])) < 1e-6);
        let (k, v) = (side.exact(&part(64, 32), 32, &[5, 6, 7]), part(96, 32));
        for (row, slot) in [(0, 16), (2, 18)] {
            assert!(worst(&world.row(&bytes, 0, slot, 32), &k[row * 32..][..32]) < 1e-6);
            assert_eq!(world.row(&bytes, 1, slot, 32), v[row * 32..][..32]);
        }
        let planes = world.layout().planes();
        let block = planes[0].block_bytes as usize;
        let touched = |plane: usize, slot: usize| {
            let at = planes[plane].offset as usize + slot * 128;
            bytes[at..at + 128].iter().any(|&b| b != 0xff)
        };
        assert!(block == 16 * 128 && !touched(0, 17) && !touched(1, 17) && touched(0, 18));
    });
}

#[test]
fn blocks_are_copied_in_all_layers() {
    on_each_device(|rig| {
        for kv_type in KvType::ALL {
            let layer =
                |num_kv_heads, head_dim, value_dim| CacheLayer { num_kv_heads, head_dim, value_dim, window: None };
            let shapes = [layer(2, 32, 64), layer(1, 96, 32)];
            let odd = [layer(1, 9, 7), layer(3, 5, 2)];
            let shapes = if kv_type == KvType::Q8_0 { shapes } else { [shapes[0].clone(), odd[1].clone()] };
            let layout =
                KvLayout::new(&shapes, CacheSpec { block_size: 6, num_blocks: 7, kv_type, host_slots: 0 }).unwrap();
            let before: Vec<u8> = (0..layout.bytes()).map(|i| (i * 31 % 251) as u8).collect();
            let (cache, planes) = (rig.buffer(&before), rig.buffer(layout.planes()));
            let moves = [(1, 2), (1, 0), (2, 3), (6, 1), (3, 6)].map(|(from, to)| BlockMove::Copy { from, to });
            let kernel = CopyBlocks::load(&rig.kernels).unwrap();
            let copy = |from: BlockPlace, to: BlockPlace, pairs: &[u32]| {
                let (pair_count, pairs) = (pairs.len() / 2, rig.buffer(pairs));
                let (layout, planes, pairs) = (&layout, planes.ptr(), pairs.ptr());
                kernel.run(&rig.stream, &CopyBlocksCall { layout, planes, from, to, pairs, pair_count }).unwrap();
                rig.stream.synchronize().unwrap();
            };
            let whole = BlockPlace::Cache(cache.ptr());
            for run in independent_runs(&moves) {
                let pairs: Vec<u32> = run.iter().map(|&m| from_and_to(m)).flat_map(|(from, to)| [from, to]).collect();
                copy(whole, whole, &pairs);
            }
            let mut expected = before;
            for (from, to) in moves.map(from_and_to) {
                for plane in layout.planes() {
                    let (bytes, offset) = (plane.block_bytes as usize, plane.offset as usize);
                    let from = offset + from as usize * bytes;
                    expected.copy_within(from..from + bytes, offset + to as usize * bytes);
                }
            }
            assert!(rig.read::<u8>(&cache) == expected, "{kv_type}");
            // Two blocks packed, overwritten, and brought back.
            let packed = rig.room::<u8>(3 * layout.packed_bytes());
            copy(whole, BlockPlace::Packed(packed.ptr()), &[4, 2, 5, 0]);
            copy(whole, whole, &[1, 4, 0, 5]);
            assert!(rig.read::<u8>(&cache) != expected, "{kv_type}");
            copy(BlockPlace::Packed(packed.ptr()), whole, &[2, 4, 0, 5]);
            assert!(rig.read::<u8>(&cache) == expected, "{kv_type}");
        }
    });
}
