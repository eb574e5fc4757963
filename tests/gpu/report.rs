//! What passed and what did not.

use std::process::ExitCode;

/// Counts checks and prints each.
#[derive(Default)]
pub struct Report {
    passed: usize,
    failed: Vec<String>,
}

impl Report {
    /// Notes a check whose error may be at most `bound`; a NaN fails.
    pub fn bound(&mut self, name: &str, error: f64, bound: f64) {
        let verdict = if error <= bound { "ok" } else { "FAILED" };
        println!("{verdict:<6} {name:<56} {error:.2e} (at most {bound:.0e})");
        self.note(name, error <= bound);
    }

    /// Notes a check that holds or does not.
    pub fn check(&mut self, name: &str, outcome: Result<String, String>) {
        match &outcome {
            Ok(text) => println!("ok     {name:<56} {text}"),
            Err(text) => println!("FAILED {name:<56} {text}"),
        }
        self.note(name, outcome.is_ok());
    }

    fn note(&mut self, name: &str, ok: bool) {
        if ok {
            self.passed += 1;
        } else {
            self.failed.push(name.to_string());
        }
    }

    /// The last lines, and the exit status.
    pub fn finish(self) -> ExitCode {
        println!("{} passed, {} failed", self.passed, self.failed.len());
        self.failed.iter().for_each(|name| println!("  failed: {name}"));
        // A run that checked nothing has shown nothing.
        if self.failed.is_empty() && self.passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}
