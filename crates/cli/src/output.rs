//! Where text goes: model text and results to stdout, everything else to stderr.

use std::io::{self, IsTerminal, Write};

use serde_json::Value;

pub use rocmforge_launch::{bytes, progress};

use crate::error::CliError;

/// Writes to stdout and flushes, so that streamed text appears at once.
pub fn print(text: &str) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(CliError::Stdout)
}

/// Writes a line to stdout.
pub fn print_line(text: &str) -> Result<(), CliError> {
    print(&format!("{text}\n"))
}

/// Writes a JSON value to stdout, indented for people if stdout is a terminal.
pub fn print_json(value: &Value) -> Result<(), CliError> {
    if io::stdout().is_terminal() { print_line(&format!("{value:#}")) } else { print_line(&value.to_string()) }
}
