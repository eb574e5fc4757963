//! Tiny models of many architectures against the logits that transformers computed from the same weights in float32.
//! `tests/data/golden/README.md` tells how they were made.

use std::path::PathBuf;

use rocmforge_cpu_backend::{CpuBackend, ReferenceBackend};
use rocmforge_program::backend::{Backend, KvType};
use rocmforge_tests::{Loaded, data, nmse, read_f32, read_json};

/// Error of the naive interpreter: float32 against float32 in another order.
const REFERENCE_NMSE: f64 = 1e-6;
/// Error of the fast one on these f16 weights, whose products it computes in f32.
const FAST_NMSE: f64 = 1e-5;

fn models() -> Vec<PathBuf> {
    let folder = data("golden");
    let entries = std::fs::read_dir(&folder).expect("the golden models are there");
    let mut models: Vec<_> = entries.map(|e| e.expect("readable").path()).filter(|p| p.is_dir()).collect();
    models.sort();
    assert!(models.len() >= 30, "{} models in {}", models.len(), folder.display());
    models
}

fn check<B: Backend>(make: impl Fn() -> B, bound: f64) {
    let mut failures = Vec::new();
    for folder in models() {
        let tokens: Vec<u32> = serde_json::from_value(read_json(&folder.join("tokens.json"))).expect("token ids");
        let truth = read_f32(&folder.join("logits.f32"));
        let mut model = Loaded::new(make(), &folder.join("model.gguf"), KvType::F32, 1, 64);
        let logits = model.step(&[(0, 0, &tokens)]).expect("the step runs");
        let error = nmse(&logits, &truth);
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        println!("{name:<16} {error:.2e}");
        if error.is_nan() || error > bound {
            failures.push(format!("{name}: {error:.2e}"));
        }
    }
    assert!(failures.is_empty(), "above {bound:e}: {failures:?}");
}

#[test]
fn reference_interpreter_matches_transformers() {
    check(ReferenceBackend::new, REFERENCE_NMSE);
}

#[test]
fn fast_interpreter_matches_transformers() {
    check(|| CpuBackend::new(2).expect("threads start"), FAST_NMSE);
}
