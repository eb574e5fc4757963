//! `rocmforge-server`: a server of language models for many clients.

use std::io::Write;

use clap::Parser;
use rocmforge_launch::CommonArgs;
use rocmforge_server::{ServeArgs, familiar, serve};

/// Serve a language model from a GGUF file over HTTP: OpenAI, Anthropic and Ollama APIs, and a chat page.
#[derive(Parser)]
#[command(name = "rocmforge-server", version)]
struct Program {
    #[command(flatten)]
    common: CommonArgs,
    #[command(flatten)]
    serve: ServeArgs,
}

fn main() {
    let program = Program::parse_from(familiar(std::env::args_os()));
    rocmforge_launch::start_logging(&program.common, tracing::Level::INFO);
    if let Err(error) = serve(&program.common, &program.serve, say) {
        say(&format!("error: {error}"));
        std::process::exit(if error.is_bad_input() { 2 } else { 1 });
    }
}

/// A line on stderr; that nobody reads it is no reason to stop.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
