//! The clients that people use: OpenAI's, Anthropic's and Ollama's own packages.

use std::process::Command;

use crate::harness::{Harness, MODEL};
use crate::tools::{or_skip, python, run, tests_dir};

const KEY: &str = "a-key-of-the-tests";
const CONTEXT: &str = "4096";

/// Runs one file of tests in Python against a server that wants a key. Nothing may be held after it.
fn check(file: &str) {
    let python = or_skip!(python("clients"));
    let harness = Harness::with(&["--api-key", KEY, "--ctx-size", CONTEXT]);
    let mut command = Command::new(python);
    command
        .arg(file)
        .current_dir(tests_dir().join("clients"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("SERVER_URL", harness.url())
        .env("SERVER_KEY", KEY)
        .env("SERVER_MODEL", MODEL)
        .env("SERVER_CONTEXT", CONTEXT);
    run(&mut command).unwrap_or_else(|said| panic!("{said}"));
    harness.assert_level();
}

#[test]
fn the_openai_client_works() {
    check("test_openai.py");
}

#[test]
fn the_anthropic_client_works() {
    check("test_anthropic.py");
}

#[test]
fn the_ollama_client_works() {
    check("test_ollama.py");
}
