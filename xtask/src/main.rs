//! `cargo xtask`: the project's own tasks.
#![forbid(unsafe_code)]

mod bench;
mod bindings;
mod golden;
mod gpu;
mod kernels;
mod process;
mod roofline;
mod simulate;
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
    /// The scheduler and the KV cache under random use and faults, from seeds
    Simulate(simulate::SimulateArgs),
    /// Logits of the golden models against those of an independent implementation
    Golden(golden::GoldenArgs),
    /// The raw bindings of the HIP libraries, generated from their headers
    Bindings(bindings::BindingsArgs),
    /// The kernels compiled for each target, packed for embedding, and a table of what they need
    Kernels(kernels::KernelArgs),
    /// Speed on the CPU against a command that runs llama-bench, in alternation
    BenchCpu(bench::cpu::CpuArgs),
    /// Speed on a GPU against a command that runs llama-bench, in alternation
    BenchGpu(bench::gpu::GpuArgs),
    /// Load on servers that speak OpenAI's API, ours and others, in alternation
    BenchServe(bench::serve::ServeArgs),
    /// An estimate of a model's speed on GPUs, from what its kernels execute on an emulator
    Roofline(roofline::RooflineArgs),
    /// Tests on the GPU of this machine, or on any HIP library
    TestGpu(gpu::test::TestArgs),
    /// Programs and data for the tests, to be carried to a machine that has a GPU and no Rust
    Pack(gpu::pack::PackArgs),
}

fn main() {
    let result = match Xtask::parse().task {
        Task::Test => test::run(),
        Task::Tidy(args) => tidy::run(&args),
        Task::Simulate(args) => simulate::run(&args),
        Task::Golden(args) => golden::run(&args),
        Task::Bindings(args) => bindings::run(&args),
        Task::Kernels(args) => kernels::run(&args),
        Task::BenchCpu(args) => bench::cpu::run(&args),
        Task::BenchGpu(args) => bench::gpu::run(&args),
        Task::BenchServe(args) => bench::serve::run(&args),
        Task::Roofline(args) => roofline::run(&args),
        Task::TestGpu(args) => gpu::test::run(&args),
        Task::Pack(args) => gpu::pack::run(&args),
    };
    if let Err(error) = result {
        eprintln!("error: {error:#}");
        std::process::exit(1);
    }
}
