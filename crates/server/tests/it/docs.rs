//! The page for users says nothing that does not work.

use std::path::Path;
use std::process::Command;

use crate::harness::{Harness, PROGRAM};
use crate::tools::{or_skip, python, run};

const PAGE: &str = include_str!("../../../../docs/src/server.md");

/// The page with the options that all commands have.
const COMMON: &str = include_str!("../../../../docs/src/command-line.md");

/// Where the page's examples look for the server.
const ADDRESS: &str = "127.0.0.1:8080";

/// Texts of the page's blocks in this language, in order.
fn blocks(language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut lines = PAGE.lines();
    while let Some(line) = lines.next() {
        if line.starts_with("```") {
            let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            if line == format!("```{language}") {
                blocks.push(block.join("\n"));
            }
        }
    }
    blocks
}

/// Runs a block against a server on another port.
fn run_block(harness: &Harness, program: &Path, option: &str, block: &str) {
    let script = block.replace(ADDRESS, &harness.address.to_string());
    let mut command = Command::new("timeout");
    command.arg("60").arg(program).args([option, &script]).current_dir(env!("CARGO_TARGET_TMPDIR"));
    run(&mut command).unwrap_or_else(|said| panic!("{block}\n{said}"));
}

#[test]
fn every_shell_command_works() {
    let harness = Harness::with(&["--ctx-size", "4096"]);
    let blocks = blocks("sh");
    assert!(blocks.len() >= 5, "the page has commands");
    for block in blocks {
        run_block(&harness, Path::new("bash"), "-euc", &format!("set -o pipefail\n{block}"));
    }
}

#[test]
fn every_python_example_works() {
    let python = or_skip!(python("clients"));
    let harness = Harness::with(&["--ctx-size", "4096"]);
    let blocks = blocks("python");
    assert!(blocks.len() >= 3, "the page has examples in Python");
    for block in blocks {
        run_block(&harness, &python, "-c", &block);
    }
}

#[test]
fn every_flag_is_in_the_table() {
    let help = Command::new(PROGRAM).arg("--help").output().expect("the program prints its help");
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    let words = help.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    let flags = words.filter(|word| word.starts_with("--") && !["--help", "--version"].contains(word));
    let is_told = |flag: &str| [PAGE, COMMON].iter().any(|page| page.contains(&format!("`{flag}")));
    let missing: Vec<&str> = flags.filter(|flag| !is_told(flag)).collect();
    assert!(missing.is_empty(), "not on the pages: {missing:?}");
}
