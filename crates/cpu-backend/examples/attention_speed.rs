//! Speed of attention over the paged cache: `cargo run --release --example attention_speed [threads]`.
//!
//! Decode is bound by reading keys and values, so it is given in GB/s of cache read; prefill by arithmetic, in GFLOP/s of
//! the products that a causal mask leaves. Each number is the best of many runs.

use std::time::Instant;

use rocmforge_attention::AttentionSpec;
use rocmforge_cpu_backend::Pool;
use rocmforge_cpu_backend::elementwise::Isa;
use rocmforge_cpu_backend::flash::{Attention, FlashScratch, attend};
use rocmforge_cpu_backend::kv::KvCache;
use rocmforge_program::CacheLayer;
use rocmforge_program::backend::{CacheSpec, KvType, StepSequence};

/// Head counts, head size, and a model that has them.
const SHAPES: [(usize, usize, usize, &str); 4] =
    [(32, 8, 64, "llama 1B"), (14, 2, 64, "qwen2 0.5B"), (32, 8, 128, "llama 8B"), (32, 32, 128, "llama2 7B")];

fn main() {
    let threads = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(2);
    let pool = match Pool::new(threads) {
        Ok(pool) => pool,
        Err(error) => return eprintln!("cannot start {threads} threads: {error}"),
    };
    for isa in Isa::available().rev() {
        println!("\n{isa}, {threads} threads");
        for (heads, kv_heads, head_dim, name) in SHAPES {
            let spec = AttentionSpec::causal(heads, kv_heads, head_dim);
            for kv_type in [KvType::F32, KvType::F16, KvType::Q8_0] {
                print!("{name:>10} {:>4}:", kv_type.name());
                for (tokens, context) in [(1, 512), (1, 4096), (1, 32768), (128, 128), (512, 512), (512, 4096)] {
                    let seconds = best(isa, &pool, &spec, kv_type, tokens, context);
                    if tokens == 1 {
                        let bytes = context * kv_type.bytes(spec.key_width() + spec.value_width());
                        print!("  decode@{context} {:.1} GB/s ({:.0} us)", bytes as f64 / seconds / 1e9, seconds * 1e6);
                    } else {
                        let pairs = tokens * (context - tokens) + tokens * (tokens + 1) / 2;
                        let flops = 4 * pairs * heads * head_dim;
                        print!("  prefill {tokens}@{context} {:.0} GFLOP/s", flops as f64 / seconds / 1e9);
                    }
                }
                println!();
            }
        }
    }
}

fn best(isa: Isa, pool: &Pool, spec: &AttentionSpec, kv_type: KvType, tokens: usize, context: usize) -> f64 {
    let block_size = 32;
    let num_blocks = context / block_size;
    let layer = CacheLayer {
        num_kv_heads: spec.num_kv_heads,
        head_dim: spec.head_dim,
        value_dim: spec.value_dim,
        window: None,
    };
    let (Ok(mut cache), Ok(mut scratch)) = (
        KvCache::new(&[layer], CacheSpec { block_size, num_blocks, kv_type, host_slots: 0 }),
        FlashScratch::new(pool.threads(), [spec]),
    ) else {
        return f64::NAN;
    };
    // Scattered: neighbours in position are not neighbours in memory.
    let block_table: Vec<u32> = (0..num_blocks).map(|i| ((i * 7 + 3) % num_blocks) as u32).collect();
    let noise = |count: usize| -> Vec<f32> { (0..count).map(|i| ((i * 7919) % 1009) as f32 / 504.5 - 1.0).collect() };
    let whole = StepSequence { num_tokens: context, context_len: context, block_table };
    let (k, v) = (noise(context * spec.key_width()), noise(context * spec.value_width()));
    cache.write_step(isa, pool, 0, std::slice::from_ref(&whole), &k, &v);
    let sequences = [StepSequence { num_tokens: tokens, ..whole }];
    let q = noise(tokens * spec.query_width());
    let mut out = vec![0.0; tokens * spec.output_width()];
    let attention = Attention { spec, cache: &cache, layer: 0, sinks: None, sequences: &sequences };
    let begin = Instant::now();
    let mut least = f64::INFINITY;
    let mut runs = 0;
    while runs < 3 || begin.elapsed().as_millis() < 200 {
        let start = Instant::now();
        attend(isa, pool, &mut scratch, &attention, &q, &mut out);
        least = least.min(start.elapsed().as_secs_f64());
        runs += 1;
    }
    least
}
