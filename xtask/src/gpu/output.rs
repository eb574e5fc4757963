//! What programs print: passed on, kept in a file, and searched for failures.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, Result};
use clap::Args;

/// Failures that the summary repeats at most.
const MOST: usize = 40;

/// Where the output of programs goes.
#[derive(Debug, Args)]
pub struct OutputArgs {
    /// Print no more than failures and the summary
    #[arg(long)]
    quiet: bool,
    /// Write all output to a file as well
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
}

/// The output of all parts.
pub struct Output {
    quiet: bool,
    log: Option<File>,
    failures: Vec<String>,
}

impl Output {
    pub fn new(args: &OutputArgs) -> Result<Self> {
        let create = |path: &PathBuf| File::create(path).with_context(|| path.display().to_string());
        Ok(Self { quiet: args.quiet, log: args.log.as_ref().map(create).transpose()?, failures: Vec::new() })
    }

    /// Says something in all places.
    pub fn say(&mut self, line: &str) -> Result<()> {
        println!("{line}");
        self.keep(line)
    }

    /// Runs a program to its end. Its two streams come together, in the order in which it writes.
    pub fn run(&mut self, command: &mut Command) -> Result<ExitStatus> {
        let name = command.get_program().to_string_lossy().into_owned();
        let (reader, writer) = std::io::pipe()?;
        command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
        let mut child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        // The command holds the other ends of the pipe, which would never end.
        command.stdout(Stdio::null()).stderr(Stdio::null());
        self.read(reader)?;
        Ok(child.wait()?)
    }

    fn read(&mut self, stream: impl Read) -> Result<()> {
        for line in BufReader::new(stream).split(b'\n') {
            let line = String::from_utf8_lossy(&line?).into_owned();
            let fails = line.contains("FAILED");
            if fails {
                self.failures.push(line.trim().to_owned());
            }
            if fails || !self.quiet {
                println!("{line}");
            }
            self.keep(&line)?;
        }
        Ok(())
    }

    fn keep(&mut self, line: &str) -> Result<()> {
        self.log.as_mut().map_or(Ok(()), |log| writeln!(log, "{line}"))?;
        Ok(())
    }

    /// The lines that say that something failed, as many as are worth reading.
    pub fn failures(&self) -> String {
        let mut text: String = self.failures.iter().take(MOST).map(|line| format!("{line}\n")).collect();
        if self.failures.len() > MOST {
            text += &format!("and {} more\n", self.failures.len() - MOST);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_found_on_both_streams_and_all_is_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let log = folder.path().join("log");
        let mut output = Output::new(&OutputArgs { quiet: true, log: Some(log.clone()) }).expect("a file");
        let script = "echo fine; echo FAILED norm; echo '  FAILED gemm' >&2; exit 4";
        let status = output.run(Command::new("sh").args(["-c", script])).expect("a shell");
        assert_eq!(status.code(), Some(4));
        assert_eq!(output.failures(), "FAILED norm\nFAILED gemm\n");
        assert_eq!(std::fs::read_to_string(log).expect("a file"), "fine\nFAILED norm\n  FAILED gemm\n");
    }

    #[test]
    fn a_long_list_of_failures_is_cut() {
        let mut output = Output::new(&OutputArgs { quiet: true, log: None }).expect("no file");
        output.read("FAILED\n".repeat(MOST + 2).as_bytes()).expect("text");
        assert!(output.failures().ends_with("and 2 more\n"));
        assert!(output.run(&mut Command::new("no-such-program-anywhere")).is_err());
    }
}
