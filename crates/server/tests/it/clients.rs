//! The clients that people use: OpenAI's, Anthropic's and Ollama's own packages.

use std::process::Command;

use crate::server::Server;
use crate::tools::{or_skip, python, run, tests_dir};

const KEY: &str = "a-key-of-the-tests";

/// Runs one file of tests in Python against a server that wants a key.
fn check(file: &str) {
    let python = or_skip!(python());
    let server = Server::start(&["--api-key", KEY]);
    let (model, context) = server.model(Some(KEY));
    let mut command = Command::new(python);
    command
        .arg(file)
        .current_dir(tests_dir().join("clients"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("SERVER_URL", server.url())
        .env("SERVER_KEY", KEY)
        .env("SERVER_MODEL", model)
        .env("SERVER_CONTEXT", context.to_string());
    run(&mut command).unwrap_or_else(|said| panic!("{said}"));
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
