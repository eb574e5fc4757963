//! What a person at a terminal sees: log lines, progress, sizes in words.

use std::io::{self, IsTerminal};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};
use tracing::Level;
use tracing_subscriber::EnvFilter;

use crate::CommonArgs;

/// Sets up logging to stderr, from `usual` on where the options name no level.
pub fn start_logging(common: &CommonArgs, usual: Level) {
    let filter = EnvFilter::builder().parse_lossy(common.log_level.as_deref().unwrap_or(usual.as_str()));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    if common.log_json {
        builder.json().init();
    } else {
        builder.with_ansi(io::stderr().is_terminal()).without_time().init();
    }
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
