//! The program on an emulated AMD GPU: the machine code that hipcc made of the kernels, and nothing that knows of it.

use std::path::Path;
use std::process::Output;

use crate::{path, rocmforge};

/// Long enough for products of matrices in tiles and attention in tiles.
const PROMPT: &str = "Paged attention keeps the keys and values of every sequence in blocks of a fixed size, which";

/// The program on the device of the tests' code objects, in a folder without kernels of earlier runs; `None` where those
/// objects are of other sources.
fn on_emulated(args: &[&str], order: &str) -> Option<Output> {
    let archive = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/kernels/gfx1100.bin");
    let variables = fake_hip::emulated(&archive).map_err(|error| eprintln!("skipped: {error}")).ok()?;
    let cache = tempfile::tempdir().expect("a folder");
    let mut command = rocmforge(args);
    command.envs(variables).env("ROCMFORGE_FAKE_HIP_ORDER", order).env("ROCMFORGE_CACHE", path(cache.path()));
    Some(command.output().expect("the program starts"))
}

/// What a run that went well wrote as JSON.
fn json(output: &Output) -> serde_json::Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// The emulated device's greedy tokens are the processor's, whatever the order of its workgroups and waves.
fn answers_alike(count: &str, order: &str) {
    let question = ["generate", "--raw", "--prompt", PROMPT, "--temperature", "0", "--json", "-n", count];
    let with = |device| [&question[..], &["--device", device]].concat();
    let Some(output) = on_emulated(&with("hip"), order) else { return };
    let on_gpu = json(&output);
    let on_cpu = json(&rocmforge(&with("cpu")).output().expect("the program starts"));
    assert_eq!(on_gpu["device"], "Emulated gfx1100 (gfx1100)");
    assert_eq!(on_gpu["token_ids"].as_array().map(Vec::len), count.parse().ok());
    assert_eq!((&on_gpu["token_ids"], &on_gpu["text"]), (&on_cpu["token_ids"], &on_cpu["text"]), "order {order}");
}

#[test]
fn machine_code_answers_as_the_processor_does() {
    answers_alike("5", "forward");
}

#[test]
fn the_order_of_waves_does_not_change_an_answer() {
    answers_alike("2", "reverse");
    answers_alike("2", "17");
}

#[test]
fn the_self_test_passes() {
    let Some(output) = on_emulated(&["doctor", "--json"], "forward") else { return };
    let checks: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let mut checks = checks.as_array().expect("a list").iter();
    let status = checks.find(|check| check["check"] == "hip:0 self-test").map(|check| check["status"].clone());
    assert_eq!(status, Some("ok".into()), "{}", String::from_utf8_lossy(&output.stdout));
}
