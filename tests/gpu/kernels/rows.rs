//! What lies between the products: norms, gates, rotations, and how short a kernel of a graph can be.

use rocmforge_attention::RopePairing;
use rocmforge_hip_backend::driver::DevicePtr;
use rocmforge_hip_backend::ops::{
    FormPtrs, Gate, GateCall, HeadPrep, KvLayout, MAX_COLUMNS, Maps, Norm, NormCall, RopeWrite, RopeWriteCall,
};
use rocmforge_program::backend::{CacheSpec, KvType};
use rocmforge_program::{Activation, CacheLayer, NormKind};

use super::Options;
use super::bench::{Bench, Outcome, Work};
use super::data::Activations;

const TOKENS: [usize; 4] = [1, 8, 512, 2048];
const TINY_TOKENS: [usize; 2] = [1, 9];
const BLOCK_SIZE: usize = 16;

/// All of them.
pub fn run(bench: &mut Bench, options: &Options) -> Outcome {
    let modules = ["elementwise/maps", "elementwise/gate", "norm/norm", "kv/rope_write_f16"].map(String::from);
    bench.prepare(&modules)?;
    smallest(bench)?;
    for &tokens in options.size::<&[_]>(&TOKENS, &TINY_TOKENS) {
        norm(bench, options, tokens)?;
        gate(bench, options, tokens)?;
        rope(bench, options, tokens)?;
    }
    Ok(())
}

/// 32 numbers copied: what a kernel costs that does nothing.
fn smallest(bench: &mut Bench) -> Outcome {
    let maps = Maps::load(&bench.kernels)?;
    let [from, to] = [bench.buffer(&[0f32; 32])?, bench.room(128)?];
    bench.row("copy", "[32]", Work::Bytes(256), 1, |stream, _| maps.copy(stream, from.ptr(), to.ptr(), 32));
    Ok(())
}

/// The form in which the product behind reads its rows, and the bytes of a number in it.
fn form_for(tokens: usize, to: &Activations) -> (FormPtrs, usize) {
    let all = to.forms();
    if tokens <= MAX_COLUMNS {
        (FormPtrs { q8: all.q8, q8_scales: all.q8_scales, ..FormPtrs::default() }, 1)
    } else {
        (FormPtrs { half: all.half, half_scales: all.half_scales, ..FormPtrs::default() }, 2)
    }
}

fn norm(bench: &mut Bench, options: &Options, tokens: usize) -> Outcome {
    let cols = options.size(4096, 256);
    let [x, add, to] = [(); 3].map(|()| Activations::new(bench, tokens, cols));
    let (x, add, to) = (x?, add?, to?);
    let weight = bench.buffer(&vec![1f32; cols])?;
    let norm = Norm::load(&bench.kernels)?;
    let (out, bytes) = form_for(tokens, &to);
    let sum = to.forms().f32;
    let work = Work::Bytes(tokens * cols * (12 + bytes));
    bench.row("norm of x + y", &format!("[{tokens}, {cols}]"), work, 1, |stream, _| {
        let plain = NormCall::of(NormKind::Rms, x.forms().f32, out, tokens, cols, 1e-5);
        let weighted = NormCall { weight: weight.ptr(), weight_len: cols, ..plain };
        norm.run(stream, &NormCall { add: add.forms().f32, sum, ..weighted })
    });
    Ok(())
}

fn gate(bench: &mut Bench, options: &Options, tokens: usize) -> Outcome {
    let cols = options.size(14336, 512);
    let [gate, up, to] = [(); 3].map(|()| Activations::new(bench, tokens, cols));
    let (gate, up, to) = (gate?, up?, to?);
    let kernel = Gate::load(&bench.kernels)?;
    let (out, bytes) = form_for(tokens, &to);
    let work = Work::Bytes(tokens * cols * (8 + bytes));
    bench.row("silu(gate) * up", &format!("[{tokens}, {cols}]"), work, 1, |stream, _| {
        let activation = Some(Activation::Silu);
        let (gate, up) = (gate.forms().f32, up.forms().f32);
        kernel.run(stream, &GateCall { gate, spread: false, up, activation, out, rows: tokens, cols })
    });
    Ok(())
}

fn rope(bench: &mut Bench, options: &Options, tokens: usize) -> Outcome {
    let (q_heads, kv_heads, head_dim) = options.size((32, 8, 128), (4, 2, 64));
    let cache_layer = CacheLayer { num_kv_heads: kv_heads, head_dim, value_dim: head_dim, window: None };
    let num_blocks = tokens.div_ceil(BLOCK_SIZE);
    let layout = KvLayout::new(
        &[cache_layer],
        CacheSpec { block_size: BLOCK_SIZE, num_blocks, kv_type: KvType::F16, host_slots: 0 },
    )?;
    let cache = bench.room(layout.bytes())?;
    let [q, k, v] = [q_heads, kv_heads, kv_heads].map(|heads| Activations::new(bench, tokens, heads * head_dim));
    let (q, k, v) = (q?, k?, v?);
    let q_out = bench.room(tokens * q_heads * head_dim * 4)?;
    let numbers: Vec<u32> = (0..tokens as u32).collect();
    let numbers = bench.buffer(&numbers)?;
    let pairs = head_dim / 2;
    let frequencies: Vec<f32> = (0..pairs).map(|i| 500_000f32.powf(-(i as f32) / pairs as f32)).collect();
    let frequencies = bench.buffer(&frequencies)?;
    let prep =
        HeadPrep { frequencies: frequencies.ptr(), pairs, pairing: RopePairing::Adjacent, ..HeadPrep::default() };
    let call = RopeWriteCall {
        q: q.forms().f32,
        q_out: q_out.ptr(),
        k: k.forms().f32,
        v: v.forms().f32,
        q_stride: q_heads * head_dim,
        k_stride: kv_heads * head_dim,
        v_stride: kv_heads * head_dim,
        cache: layout.layer(0, cache.ptr()),
        block_size: BLOCK_SIZE,
        positions: numbers.ptr(),
        slots: numbers.ptr(),
        q_prep: prep,
        k_prep: prep,
        tokens,
        q_heads,
        kv_heads,
        head_dim,
        value_dim: head_dim,
    };
    let kernel = RopeWrite::load(&bench.kernels, KvType::F16)?;
    let work = Work::Bytes(tokens * head_dim * (q_heads * 8 + 2 * kv_heads * 6));
    bench.row(
        "rope_write_f16",
        &format!("[{tokens}, {q_heads} + 2 * {kv_heads}, {head_dim}]"),
        work,
        1,
        |stream, _| {
            debug_assert_ne!(call.q, DevicePtr::NULL);
            kernel.run(stream, &call)
        },
    );
    Ok(())
}
