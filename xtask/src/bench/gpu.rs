//! `cargo xtask bench-gpu`: speed on a GPU.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::{Value, json};

use super::{Bench, command_of};
use crate::gpu::{Artifact, Library, LibraryArgs};
use crate::process::RELEASE;

/// Options of `bench-gpu`.
#[derive(Debug, Args)]
pub struct GpuArgs {
    /// Model file; may be repeated
    #[arg(long, required = true, value_name = "FILE", num_args = 1..)]
    model: Vec<PathBuf>,
    /// A command that runs llama-bench, with its first arguments (such as `-ub 2048`), divided at spaces; without it
    /// there is nothing to compare with. All layers go to the GPU, with flash attention
    #[arg(long, value_name = "COMMAND")]
    llama_bench: Option<String>,
    /// Prompt tokens
    #[arg(long, value_name = "N", default_value_t = 2048, value_parser = clap::value_parser!(u32).range(1..))]
    prompt_tokens: u32,
    /// Tokens generated
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..))]
    gen_tokens: u32,
    /// Rounds
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    library: LibraryArgs,
}

struct OnGpu<'a> {
    args: &'a GpuArgs,
    program: PathBuf,
    library: Library,
}

impl Bench for OnGpu<'_> {
    fn tokens(&self) -> (u32, u32) {
        (self.args.prompt_tokens, self.args.gen_tokens)
    }

    fn ours(&self) -> Command {
        let mut command = Command::new(&self.program);
        self.library.name_in(&mut command);
        command
    }

    fn theirs(&self) -> Result<Option<Command>> {
        let Some(text) = &self.args.llama_bench else { return Ok(None) };
        let mut command = command_of(text)?;
        command.args(["-ngl", "99", "-fa", "1"]);
        Ok(Some(command))
    }

    fn accept(&self, ours: &Value) -> Result<()> {
        let device = ours["device"].as_str().context("rocmforge bench: no `device`")?;
        ensure!(is_gpu(device), "rocmforge computed on {device}, which is no GPU");
        Ok(())
    }
}

/// The processor's name says what it is.
fn is_gpu(device: &str) -> bool {
    !device.is_empty() && !device.starts_with("CPU")
}

/// Runs all rounds for all files and prints a table, or JSON.
pub fn run(args: &GpuArgs) -> Result<()> {
    let programs = args.library.programs(RELEASE);
    let (library, device) = programs.library(&args.library)?;
    eprintln!("{device}");
    let bench = OnGpu { args, program: programs.get(Artifact::Rocmforge)?, library };
    super::run(&bench, &args.model, args.rounds, json!({ "device": device }), args.json)
}

#[cfg(test)]
mod tests {
    use super::is_gpu;

    #[test]
    fn a_processor_is_no_gpu() {
        assert!(is_gpu("AMD Radeon RX 7900 XTX (gfx1100)") && is_gpu("NVIDIA H200 (sm_90)"));
        assert!(!is_gpu("CPU, 16 threads, AVX-512") && !is_gpu(""));
    }
}
