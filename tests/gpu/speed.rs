//! Tokens a second of one file straight on the backend, and where the time goes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use rocmforge_engine::ModelFile;
use rocmforge_hip_backend::{HipBackend, HipOptions};
use rocmforge_model::BuildOptions;
use rocmforge_program::backend::{
    Backend, BackendError, CacheId, CacheSpec, KvType, ModelId, RowSampling, StepInput, StepLimits, StepSequence,
};

/// What is run.
#[derive(clap::Args)]
pub struct SpeedArgs {
    /// The model
    file: PathBuf,
    /// Tokens of the prompt
    #[arg(long, default_value_t = 2048)]
    prompt: usize,
    /// Tokens that are generated
    #[arg(long, default_value_t = 128)]
    generate: usize,
    /// Sequences that decode side by side
    #[arg(long, default_value_t = 1)]
    batch: usize,
    /// Tokens of one step at most
    #[arg(long, default_value_t = 2048)]
    step: usize,
    /// Times ops instead, without graphs
    #[arg(long)]
    profile: bool,
}

const BLOCK: usize = 16;

/// A file on the backend, with room for some sequences.
pub struct Bench {
    backend: HipBackend,
    model: ModelId,
    cache: CacheId,
    blocks: usize,
}

/// What a [`Bench`] has room for.
pub struct Room {
    /// Tokens of one step.
    pub step: usize,
    pub sequences: usize,
    /// Tokens of each sequence.
    pub tokens: usize,
}

impl Bench {
    pub fn load(file: &Path, room: &Room, options: HipOptions) -> Result<Self, Box<dyn std::error::Error>> {
        let file = Arc::new(ModelFile::open(file)?);
        let program = rocmforge_model::build(file.gguf(), &BuildOptions::default())?;
        let mut backend = HipBackend::open(options)?;
        let Room { step, sequences, tokens } = *room;
        let limits = StepLimits { max_tokens: step, max_wanted: sequences, max_hidden: 0, max_sequences: sequences };
        let model = backend.load(&program, file, limits)?;
        let blocks = tokens.div_ceil(BLOCK);
        let spec = CacheSpec { block_size: BLOCK, num_blocks: blocks * sequences, kv_type: KvType::F16, host_slots: 0 };
        let cache = backend.make_cache(model, spec)?;
        Ok(Self { backend, model, cache, blocks })
    }

    /// A step in which each of some sequences goes on from `before` by `tokens` tokens.
    pub fn step(&mut self, sequences: usize, before: usize, tokens: usize) -> Result<(), BackendError> {
        let mut step = StepInput::default();
        for which in 0..sequences {
            step.tokens.extend((0..tokens).map(|i| ((before + i) * 31 + which * 7) as u32 % 1000));
            step.sequences.push(StepSequence {
                num_tokens: tokens,
                context_len: before + tokens,
                block_table: (0..self.blocks).map(|block| (block * sequences + which) as u32).collect(),
            });
            step.wanted.push(step.tokens.len() as u32 - 1);
            step.sampling.push(Some(RowSampling { temperature: 0.0, ..RowSampling::default() }));
        }
        let ticket = self.backend.submit(self.model, self.cache, &step)?;
        self.backend.wait(ticket).map(|_| ())
    }

    fn prompt(&mut self, args: &SpeedArgs) -> Result<f64, BackendError> {
        let start = Instant::now();
        for before in (0..args.prompt).step_by(args.step) {
            self.step(1, before, args.step.min(args.prompt - before))?;
        }
        Ok(args.prompt as f64 / start.elapsed().as_secs_f64())
    }

    fn generate(&mut self, args: &SpeedArgs, before: usize) -> Result<f64, BackendError> {
        let start = Instant::now();
        for i in 0..args.generate {
            self.step(args.batch, before + i, 1)?;
        }
        Ok((args.generate * args.batch) as f64 / start.elapsed().as_secs_f64())
    }

    fn print_profile(&mut self, what: &str) {
        let rows = self.backend.take_profile(self.model);
        let total: f64 = rows.iter().map(|row| row.seconds).sum();
        println!("{what}: {:.2} ms on the device", total * 1e3);
        for row in rows {
            let each = row.seconds / row.count as f64;
            println!(
                "{:6.2} % {:9.1} us x{:<6} {:7.0} GB/s {:7.1} TFLOP/s  {}",
                100.0 * row.seconds / total,
                each * 1e6,
                row.count,
                row.weight_bytes as f64 / row.seconds / 1e9,
                row.flops as f64 / row.seconds / 1e12,
                row.op
            );
        }
    }
}

pub fn run(args: &SpeedArgs) -> Result<(), Box<dyn std::error::Error>> {
    let start = Instant::now();
    let room = Room { step: args.step, sequences: args.batch, tokens: args.prompt + args.generate + 2 };
    let options = HipOptions { profile: args.profile, ..HipOptions::default() };
    let mut bench = Bench::load(&args.file, &room, options)?;
    println!("{}: loaded in {:.1} s", args.file.display(), start.elapsed().as_secs_f64());
    let rounds = if args.profile { 2 } else { 3 };
    for round in 0..rounds {
        bench.backend.take_profile(bench.model);
        let rate = bench.prompt(args)?;
        println!("pp{}: {rate:.1} t/s", args.prompt);
        if args.profile && round == rounds - 1 {
            bench.print_profile("prompt");
        }
    }
    for round in 0..rounds {
        bench.backend.take_profile(bench.model);
        let rate = bench.generate(args, 0)?;
        println!("tg{} x{}: {rate:.1} t/s", args.generate, args.batch);
        if args.profile && round == rounds - 1 {
            bench.print_profile("decode");
        }
    }
    let rate = bench.generate(args, args.prompt)?;
    println!("tg{} x{} after {}: {rate:.1} t/s", args.generate, args.batch, args.prompt);
    Ok(())
}
