//! `cargo xtask bench-cpu`: speed on the processor.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::{Bench, command_of};
use crate::process;

/// Options of `bench-cpu`.
#[derive(Debug, Args)]
pub struct CpuArgs {
    /// Model file; may be repeated
    #[arg(long, required = true, value_name = "FILE", num_args = 1..)]
    model: Vec<PathBuf>,
    /// A command that runs llama-bench, with its first arguments, divided at spaces
    #[arg(long, required = true, value_name = "COMMAND")]
    llama_bench: String,
    /// Prompt tokens
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..))]
    prompt_tokens: u32,
    /// Tokens generated
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..))]
    gen_tokens: u32,
    /// Threads of both
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..))]
    threads: u32,
    /// Rounds
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

struct OnCpu<'a> {
    args: &'a CpuArgs,
    program: PathBuf,
}

impl Bench for OnCpu<'_> {
    fn tokens(&self) -> (u32, u32) {
        (self.args.prompt_tokens, self.args.gen_tokens)
    }

    fn ours(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["--device", "cpu", "--threads", &self.args.threads.to_string()]);
        command
    }

    fn theirs(&self) -> Result<Option<Command>> {
        let mut command = command_of(&self.args.llama_bench)?;
        command.args(["-t", &self.args.threads.to_string()]);
        Ok(Some(command))
    }
}

/// Runs all rounds for all files and prints a table, or JSON.
pub fn run(args: &CpuArgs) -> Result<()> {
    let bench = OnCpu { args, program: process::build_rocmforge()? };
    super::run(&bench, &args.model, args.rounds, json!({ "threads": args.threads }), args.json)
}
