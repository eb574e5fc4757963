//! Where text goes: model text and results to stdout, everything else to stderr.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};
use serde_json::Value;
use tracing_subscriber::EnvFilter;

use crate::args::CommonArgs;
use crate::error::CliError;

/// Sets up logging to stderr.
pub fn start_logging(common: &CommonArgs) {
    let filter = EnvFilter::builder().parse_lossy(common.log_level.as_str());
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    if common.log_json {
        builder.json().init();
    } else {
        builder.with_ansi(io::stderr().is_terminal()).without_time().init();
    }
}

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

/// A progress bar on stderr; invisible if stderr is no terminal.
pub fn progress(total: u64, template: &str) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(total).with_finish(ProgressFinish::AndClear);
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// Bytes as people read them.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut value, mut unit) = (n as f64, 0);
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{n} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

#[cfg(test)]
mod tests {
    #[test]
    fn bytes_are_readable() {
        assert_eq!(super::bytes(0), "0 B");
        assert_eq!(super::bytes(1023), "1023 B");
        assert_eq!(super::bytes(1536), "1.5 KiB");
        assert_eq!(super::bytes(3 << 30), "3.0 GiB");
        assert_eq!(super::bytes(u64::MAX), "16777216.0 TiB");
    }
}
