//! Whole models on a HIP device: what `gpu-tests` checks on a GPU, in small sizes, on the library that
//! `ROCMFORGE_HIP_LIBRARY` names or else on the one that computes on the processor.

use std::process::Command;

use hip_sys::LIBRARY_VARIABLE;
use rocmforge_tests::data;

/// Runs `gpu-tests`, unless kernels cannot run here.
pub fn gpu_tests(args: &[&str]) {
    let named = std::env::var_os(LIBRARY_VARIABLE).filter(|value| !value.is_empty());
    if named.is_none() && fake_hip::compiler().is_none() {
        eprintln!("skipped: no C++ compiler, so that the fake HIP library cannot run kernels");
        return;
    }
    let library = named.unwrap_or_else(|| fake_hip::library_path().into_os_string());
    let mut program = Command::new(env!("CARGO_BIN_EXE_gpu-tests"));
    program.arg("--data").arg(data("")).args(args).env(LIBRARY_VARIABLE, library);
    let output = program.output().expect("gpu-tests starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    println!("{}", text(&output.stdout));
    assert!(output.status.success(), "{args:?}: {}\n{}", text(&output.stdout), text(&output.stderr));
}

fn golden(model: &str) {
    gpu_tests(&["golden", "--exact", model]);
}

#[test]
fn llama() {
    golden("llama");
}

/// Norms of each head.
#[test]
fn qwen3() {
    golden("qwen3");
}

/// Windows, norms after each block, scaled embeddings.
#[test]
fn gemma3() {
    golden("gemma3");
}

/// Sinks, biases, experts with clamped gates.
#[test]
fn gpt_oss() {
    golden("gpt-oss");
}

/// Experts.
#[test]
fn qwen3moe() {
    golden("qwen3moe");
}

/// One tensor for queries, keys and values, one for gate and up.
#[test]
fn phi3() {
    golden("phi3");
}

#[test]
fn bundled_model_answers() {
    gpu_tests(&["demo", "--quick"]);
}

#[test]
fn graphs_batches_and_samplers_decode_alike() {
    gpu_tests(&["decode", "--quick"]);
}

#[test]
fn perplexity_is_the_processors() {
    gpu_tests(&["perplexity", "--quick"]);
}

#[test]
fn memory_is_planned() {
    gpu_tests(&["memory", "--quick"]);
}

#[test]
fn draws_have_their_probabilities() {
    gpu_tests(&["sampler", "--quick"]);
}

#[test]
fn missing_data_is_named() {
    let mut program = Command::new(env!("CARGO_BIN_EXE_gpu-tests"));
    let output = program.args(["demo", "--quick", "--data", "/nowhere"]).output().expect("gpu-tests starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!output.status.success());
    assert!(text.contains("/nowhere/demo/expect.json") && text.contains("--data"), "{text}");
}
