//! A request's logits do not depend on its batch neighbours, on the chunks of its prefill, or on the threads: bit for
//! bit, on the fast interpreter.

use std::path::Path;

use proptest::prelude::*;
use rocmforge_cpu_backend::CpuBackend;
use rocmforge_program::backend::KvType;
use rocmforge_tests::{Loaded, data};

const SEQUENCES: usize = 4;
const CONTEXT: usize = 80;

fn load(path: &Path, kv_type: KvType, threads: usize) -> Loaded<CpuBackend> {
    Loaded::new(CpuBackend::new(threads).expect("threads start"), path, kv_type, SEQUENCES, CONTEXT)
}

fn bits(logits: &[f32]) -> Vec<u32> {
    logits.iter().map(|x| x.to_bits()).collect()
}

/// Logits of one sequence computed in one step, alone.
fn alone(model: &mut Loaded<CpuBackend>, tokens: &[u32]) -> Vec<u32> {
    bits(&model.step(&[(0, 0, tokens)]).expect("the step runs"))
}

/// Computes all sequences in batched steps, each going on by the next of its chunk sizes, and collects their logits.
fn batched(model: &mut Loaded<CpuBackend>, sequences: &[Vec<u32>], chunks: &[usize]) -> Vec<Vec<u32>> {
    let vocab = model.program.vocab_size;
    let mut done = vec![0; sequences.len()];
    let mut found = vec![Vec::new(); sequences.len()];
    for turn in 0.. {
        let parts: Vec<(usize, usize, &[u32])> = sequences
            .iter()
            .enumerate()
            .filter(|(which, tokens)| done[*which] < tokens.len())
            .map(|(which, tokens)| {
                let chunk = chunks[(turn + which) % chunks.len()].min(tokens.len() - done[which]);
                (which, done[which], &tokens[done[which]..done[which] + chunk])
            })
            .collect();
        if parts.is_empty() {
            break;
        }
        let logits = model.step(&parts).expect("the step runs");
        let mut rows = logits.chunks_exact(vocab);
        for (which, _, tokens) in parts {
            done[which] += tokens.len();
            rows.by_ref().take(tokens.len()).for_each(|row| found[which].extend(bits(row)));
        }
    }
    found
}

fn models() -> [std::path::PathBuf; 4] {
    let demo = |name: &str| data("../../crates/demo-model/model").join(name);
    // A K-quant mix, a mixture of experts, windows with softcaps, and partial rotary with biases.
    [
        demo("demo-q4_k_m.gguf"),
        data("golden/qwen3moe/model.gguf"),
        data("golden/gemma2/model.gguf"),
        data("golden/glm4/model.gguf"),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn logits_do_not_depend_on_company_or_chunks(
        which in 0usize..4,
        kv_type in prop::sample::select(vec![KvType::F32, KvType::F16]),
        sequences in prop::collection::vec(prop::collection::vec(0u32..500, 1..CONTEXT), 1..=SEQUENCES),
        chunks in prop::collection::vec(1usize..40, 1..4),
    ) {
        let path = &models()[which];
        let expected: Vec<Vec<u32>> = {
            let mut model = load(path, kv_type, 1);
            sequences.iter().map(|tokens| alone(&mut model, tokens)).collect()
        };
        let found = batched(&mut load(path, kv_type, 2), &sequences, &chunks);
        prop_assert!(found == expected, "{} {kv_type} {chunks:?}", path.display());
    }
}

#[test]
fn an_eight_bit_cache_keeps_the_invariance() {
    let path = &models()[0];
    let sequences: Vec<Vec<u32>> = (1..4).map(|s| (0..20 * s).map(|i| (i * 37 + s) % 2000).collect()).collect();
    let expected: Vec<_> = {
        let mut model = load(path, KvType::Q8_0, 1);
        sequences.iter().map(|tokens| alone(&mut model, tokens)).collect()
    };
    assert!(batched(&mut load(path, KvType::Q8_0, 2), &sequences, &[1, 7, 33]) == expected);
}
