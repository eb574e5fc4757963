//! Messages for who runs a test.

use std::io::Write;

/// Writes a line to stderr, where a test's other messages go, too.
pub(crate) fn say(text: &str) {
    let line = format!("fake HIP: {text}\n");
    // In one piece, since others write, too. Nobody reads a closed stderr.
    let _ = std::io::stderr().write_all(line.as_bytes());
}
