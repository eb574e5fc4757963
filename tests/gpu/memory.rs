//! What steps take of a device and what loading refuses: no allocation and one wait a step, everything back in the end,
//! typed errors where something does not fit.

use std::path::Path;
use std::sync::Arc;

use rocmforge_engine::{EndTokens, Engine, EngineError, EngineOptions, ModelFile, Request};
use rocmforge_hip_backend::driver::{Device, MemoryUse};
use rocmforge_hip_backend::{HipBackend, HipOptions};
use rocmforge_model::BuildOptions;
use rocmforge_program::Program;
use rocmforge_program::backend::{
    Backend, BackendError, BlockMove, CacheSpec, KvType, RowSampling, StepLimits, StepOutput,
};
use rocmforge_sampler::{SamplingParams, greedy};
use rocmforge_tests::{BLOCK, Loaded};

use crate::bundled::Weights;
use crate::report::Report;

const CONTEXT: usize = 256;
const PROMPT: usize = 40;
/// Steps until every kind of step was seen twice: from then on nothing is recorded any more.
const WARM: usize = 2;
/// What the engine asks of the backend here.
const ENGINE_LIMITS: StepLimits = StepLimits { max_tokens: 512, max_wanted: 1, max_hidden: 0, max_sequences: 1 };
/// Blocks of the cache that is left room for.
const FEW_BLOCKS: usize = 2;

pub fn run(data: &Path, quick: bool, report: &mut Report) {
    let steps = if quick { 10 } else { 100 };
    let file = match Weights::Q4KM.file(data) {
        Ok(file) => file,
        Err(error) => return report.check("memory", Err(error)),
    };
    report.check("memory: steps take nothing, and wait once", steps_take_nothing(&file, steps));
    report.check("memory: everything comes back", everything_comes_back(&file));
    report.check("memory: too little for the model", too_little_for_the_model(&file));
    report.check("memory: too little for the cache", too_little_for_the_cache(&file));
    report.check("memory: the context is cut to fit", context_is_cut(&file));
}

fn open() -> Result<HipBackend, String> {
    HipBackend::open(HipOptions::default()).map_err(text)
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn load(file: &Arc<ModelFile>) -> Result<Loaded<HipBackend>, String> {
    let limits = StepLimits { max_tokens: 64, max_wanted: 4, max_hidden: 4, max_sequences: 4 };
    Loaded::of_file(open()?, file.clone(), KvType::F16, CONTEXT, limits).map_err(text)
}

fn program(file: &ModelFile) -> Result<Program, String> {
    rocmforge_model::build(file.gguf(), &BuildOptions::default()).map_err(text)
}

/// Decodes with logits and with tokens chosen on the device in turn.
struct Decoding {
    model: Loaded<HipBackend>,
    context: usize,
    token: u32,
}

impl Decoding {
    fn begin(file: &Arc<ModelFile>) -> Result<Self, String> {
        let mut model = load(file)?;
        let prompt: Vec<u32> = (0..PROMPT as u32).map(|i| 100 + i * 7).collect();
        let output = model.run(&[(0, 0, &prompt)], vec![PROMPT as u32 - 1], Vec::new()).map_err(text)?;
        let token = chosen(&output)?;
        Ok(Self { model, context: PROMPT, token })
    }

    fn step(&mut self, on_device: bool) -> Result<(), String> {
        let how = RowSampling { temperature: 0.0, ..RowSampling::default() };
        let sampling = if on_device { vec![Some(how)] } else { Vec::new() };
        let parts = [(0, self.context, &[self.token][..])];
        let output = self.model.run(&parts, vec![0], sampling).map_err(text)?;
        self.token = chosen(&output)?;
        self.context += 1;
        Ok(())
    }

    fn device(&self) -> Device {
        self.model.backend.hip_device().clone()
    }
}

fn chosen(output: &StepOutput) -> Result<u32, String> {
    match output.sampled.first() {
        Some(Some(sampled)) => sampled.token.ok_or_else(|| "no token was chosen".into()),
        _ => greedy(&output.logits).map_err(text),
    }
}

fn steps_take_nothing(file: &Arc<ModelFile>, steps: usize) -> Result<String, String> {
    let mut decoding = Decoding::begin(file)?;
    for step in 0..2 * WARM {
        decoding.step(step % 2 == 1)?;
    }
    let device = decoding.device();
    let (before, waits) = (device.memory_use(), device.waits());
    for step in 0..steps {
        decoding.step(step % 2 == 1)?;
    }
    let waits = device.waits() - waits;
    let after = device.memory_use();
    if after != before {
        return Err(format!("{before:?} became {after:?}"));
    }
    let text = format!("{steps} steps, {waits} waits, {} buffers of {} MiB", after.buffers, after.bytes >> 20);
    if waits <= steps as u64 { Ok(text) } else { Err(text) }
}

fn everything_comes_back(file: &Arc<ModelFile>) -> Result<String, String> {
    let mut decoding = Decoding::begin(file)?;
    for step in 0..2 * WARM {
        decoding.step(step % 2 == 1)?;
    }
    let device = decoding.device();
    drop(decoding);
    let left = device.memory_use();
    let is_empty = (left.buffers, left.bytes, left.pinned, left.pinned_bytes, left.failed_releases) == (0, 0, 0, 0, 0);
    // The next call on a device tells of releases that failed.
    device.synchronize().map_err(text)?;
    if is_empty && left.allocations == left.releases {
        Ok(format!("{} allocations, at most {} MiB", left.allocations, left.peak_bytes >> 20))
    } else {
        Err(format!("{left:?}"))
    }
}

/// Checks that nothing was allocated in between.
fn unchanged(before: MemoryUse, after: MemoryUse) -> Result<(), String> {
    if before.allocations == after.allocations && before.bytes == after.bytes {
        return Ok(());
    }
    Err(format!("something was allocated: {before:?} became {after:?}"))
}

fn too_little_for_the_model(file: &Arc<ModelFile>) -> Result<String, String> {
    let mut backend = open()?;
    let device = backend.hip_device().clone();
    let before = device.memory_use();
    device.set_budget(before.bytes + (1 << 20));
    match backend.load(&program(file)?, file.clone(), ENGINE_LIMITS) {
        Err(error @ BackendError::OutOfMemory { .. }) => {
            unchanged(before, device.memory_use())?;
            Ok(error.to_string())
        }
        Err(error) => Err(format!("another error: {error}")),
        Ok(_) => Err("it was loaded".into()),
    }
}

fn too_little_for_the_cache(file: &Arc<ModelFile>) -> Result<String, String> {
    let mut backend = open()?;
    let device = backend.hip_device().clone();
    let program = program(file)?;
    let model = backend.load(&program, file.clone(), ENGINE_LIMITS).map_err(text)?;
    let before = device.memory_use();
    let one = CacheSpec { block_size: BLOCK, num_blocks: 1, kv_type: KvType::F16, host_slots: 0 };
    let block = one.bytes(&program).ok_or("a block of any size")? as u64;
    // The driver is to refuse it, not the account of what may be used.
    device.set_budget(u64::MAX);
    let spec = CacheSpec { num_blocks: (device.memory().map_err(text)?.total * 2 / block) as usize, ..one };
    let refused = match backend.make_cache(model, spec) {
        Err(error @ BackendError::OutOfMemory { .. }) => error.to_string(),
        Err(error) => return Err(format!("another error: {error}")),
        Ok(_) => return Err("it was made".into()),
    };
    let after = device.memory_use();
    if (before.bytes, before.buffers, before.pinned) != (after.bytes, after.buffers, after.pinned) {
        return Err(format!("something is left: {before:?} became {after:?}"));
    }
    // A cache that fits is made all the same.
    let cache = backend.make_cache(model, CacheSpec { num_blocks: 4, ..spec }).map_err(text)?;
    backend.move_blocks(cache, &[BlockMove::Copy { from: 0, to: 3 }]).map_err(text)?;
    Ok(refused)
}

/// The budget with which a cache of [`FEW_BLOCKS`] blocks fits beside the model, and no larger one.
fn tight_budget(file: &Arc<ModelFile>) -> Result<u64, String> {
    let mut backend = open()?;
    let model = backend.load(&program(file)?, file.clone(), ENGINE_LIMITS).map_err(text)?;
    let device = backend.hip_device().clone();
    let used = device.memory_use().bytes;
    let capacity = |budget: u64| {
        device.set_budget(budget);
        backend
            .cache_capacity(model, CacheSpec { block_size: BLOCK, num_blocks: 1, kv_type: KvType::F16, host_slots: 0 })
            .map_err(text)
    };
    let (mut low, mut high) = (used, used + (2 << 30));
    while low + 1 < high {
        let middle = low.midpoint(high);
        if capacity(middle)?.unwrap_or(usize::MAX) >= FEW_BLOCKS {
            high = middle;
        } else {
            low = middle;
        }
    }
    match capacity(high)? {
        Some(FEW_BLOCKS) => Ok(high),
        found => Err(format!("a capacity of {found:?} blocks")),
    }
}

fn context_is_cut(file: &Arc<ModelFile>) -> Result<String, String> {
    let budget = tight_budget(file)?;
    let engine = |context_length| {
        let backend = open()?;
        backend.hip_device().set_budget(budget);
        let tokens_per_step = Some(ENGINE_LIMITS.max_tokens);
        let options = EngineOptions { context_length, tokens_per_step, ..EngineOptions::default() };
        Ok::<_, String>(Engine::with_backend(file.clone(), Box::new(backend), options))
    };
    let fits = FEW_BLOCKS * BLOCK;
    let mut cut = engine(None)?.map_err(text)?;
    if cut.context_length() != fits {
        return Err(format!("a context of {} tokens where {fits} fit", cut.context_length()));
    }
    let sampling = SamplingParams { temperature: 0.0, ..SamplingParams::default() };
    let prompt = (0..20).map(|i| 100 + i * 7).collect();
    let request = Request { sampling, end_tokens: EndTokens::Ignored, ..Request::new(prompt) };
    let answer = cut.generate(request, |_| {}).map_err(text)?;
    if 20 + answer.tokens.len() != fits {
        return Err(format!("an answer of {} tokens to 20 in a context of {fits}", answer.tokens.len()));
    }
    drop(cut);
    let long = ENGINE_LIMITS.max_tokens;
    match engine(Some(long))? {
        Err(error @ EngineError::ContextTooLong { .. }) => Ok(error.to_string()),
        Err(error) => Err(format!("another error: {error}")),
        Ok(_) => Err(format!("a context of {long} tokens where {fits} fit")),
    }
}
