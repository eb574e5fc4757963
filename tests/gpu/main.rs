//! Tests that run on whatever device the HIP library offers: the golden models, the bundled model, replayed graphs, and
//! every op against the reference interpreter. One program without test data inside, so that it can be carried to a
//! machine that has a GPU and no Rust.
#![forbid(unsafe_code)]

mod bundled;
mod decode;
mod demo;
mod device;
mod golden;
mod kernels;
mod launches;
mod memory;
mod ops;
mod perplexity;
mod report;
mod sampler;
mod speed;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use report::Report;

/// Tests on the device that the HIP library offers.
#[derive(Parser)]
struct Args {
    /// Folder of the tests' data
    #[arg(long, global = true, value_name = "DIR", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/data"))]
    data: PathBuf,
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Whether there is a device that computes correctly, and what it is
    Device,
    /// Tiny models against the logits of another implementation
    Golden(golden::Which),
    /// The bundled model's texts against those of another implementation
    Demo {
        /// Only short prompts
        #[arg(long)]
        quick: bool,
        /// Only whether the device's first tokens of one answer are the processor's
        #[arg(long, value_name = "COUNT")]
        tokens: Option<usize>,
    },
    /// Long answers: graphs, batches, and tokens chosen on the device
    Decode(decode::Length),
    /// What steps take of a device, and what does not fit
    Memory {
        /// Fewer steps
        #[arg(long)]
        quick: bool,
    },
    /// Tokens drawn on the device against probabilities and the processor's sampler
    Sampler {
        /// Fewer draws
        #[arg(long)]
        quick: bool,
    },
    /// Perplexity of the bundled model against the processor's
    Perplexity(perplexity::Limits),
    /// Tokens a second of a file, and where the time goes
    Speed(speed::SpeedArgs),
    /// Every op against the reference interpreter
    Ops(ops::Choice),
    /// How long each kernel takes, at the shapes of Llama 8B
    Kernels(kernels::Options),
    /// What an emulated device counts in each of some steps, as lines of JSON
    Launches(launches::LaunchesArgs),
}

fn main() -> ExitCode {
    let args = Args::parse();
    let mut report = Report::default();
    match args.what {
        What::Device => return device::run(),
        What::Launches(args) => return launches::run(&args),
        What::Golden(which) => golden::run(&args.data, &which, &mut report),
        What::Demo { tokens: Some(count), .. } => demo::run_beside_processor(&args.data, count, &mut report),
        What::Demo { quick, tokens: None } => demo::run(&args.data, quick, &mut report),
        What::Decode(length) => decode::run(&args.data, &length, &mut report),
        What::Memory { quick } => memory::run(&args.data, quick, &mut report),
        What::Sampler { quick } => sampler::run(quick, &mut report),
        What::Perplexity(limits) => perplexity::run(&args.data, &limits, &mut report),
        What::Ops(choice) => ops::run(&choice, &mut report),
        What::Kernels(options) => kernels::run(&options, &mut report),
        What::Speed(args) => {
            report.check("speed", speed::run(&args).map(|()| String::new()).map_err(|e| e.to_string()))
        }
    }
    report.finish()
}
