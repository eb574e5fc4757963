//! `cargo xtask`: the project's own tasks.
#![forbid(unsafe_code)]

mod bench_cpu;
mod bindings;
mod golden;
mod kernels;
mod process;
mod table;
mod test;
mod tidy;

use clap::{Parser, Subcommand};

/// The project's own tasks.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", disable_help_subcommand = true)]
struct Xtask {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Everything a change has to pass: format, clippy, tests, doc tests, documentation, tidy
    Test,
    /// The project's own rules: dependency edges, `unsafe` fences, tables against docs, links, long files
    Tidy(tidy::TidyArgs),
    /// Logits of the golden models against those of an independent implementation
    Golden(golden::GoldenArgs),
    /// The raw bindings of the HIP libraries, generated from their headers
    Bindings(bindings::BindingsArgs),
    /// The kernels compiled for each target, packed for embedding, and a table of what they need
    Kernels(kernels::KernelArgs),
    /// Speed on the CPU against a command that runs llama-bench, in alternation
    BenchCpu(bench_cpu::BenchArgs),
}

fn main() {
    let result = match Xtask::parse().task {
        Task::Test => test::run(),
        Task::Tidy(args) => tidy::run(&args),
        Task::Golden(args) => golden::run(&args),
        Task::Bindings(args) => bindings::run(&args),
        Task::Kernels(args) => kernels::run(&args),
        Task::BenchCpu(args) => bench_cpu::run(&args),
    };
    if let Err(error) = result {
        eprintln!("error: {error:#}");
        std::process::exit(1);
    }
}
