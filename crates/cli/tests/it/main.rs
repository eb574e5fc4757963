//! The program as a user runs it: what it prints, where, and with which exit code.

mod answers;
mod emulated;
mod errors;
mod gpu;
mod tools;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The program, untouched by the environment of whoever runs the tests.
fn rocmforge(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rocmforge"));
    command.args(args).stdin(Stdio::null());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("ROCMFORGE")) {
        command.env_remove(name);
    }
    // What a test does not say is the same on machines with a GPU; flags go before variables.
    command.env("ROCMFORGE_DEVICE", "cpu");
    command
}

fn run(args: &[&str]) -> Output {
    rocmforge(args).output().expect("the program starts")
}

fn run_with_input(args: &[&str], input: &[u8]) -> Output {
    let mut child = rocmforge(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    // The program may have ended already, without reading.
    let _ = stdin.write_all(input);
    drop(stdin);
    child.wait_with_output().expect("the program ends")
}

/// What a successful run printed.
fn stdout(args: &[&str]) -> String {
    let output = run(args);
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

fn json(args: &[&str]) -> serde_json::Value {
    serde_json::from_str(&stdout(args)).expect("JSON")
}

/// A run that must fail with `code` and one line on stderr that contains `message`.
fn refused(output: &Output, code: i32, message: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert!(stderr.contains(message), "expected {message:?} in {stderr:?}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    assert_eq!(stderr.lines().filter(|l| l.starts_with("error: ")).count(), 1, "{stderr}");
}

fn demo_model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../demo-model/model/demo-q4_k_m.gguf")
}

fn path(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}
