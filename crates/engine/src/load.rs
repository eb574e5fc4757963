//! From a model file to an engine that is ready for requests.

use std::sync::Arc;
use std::time::Duration;

use rocmforge_cpu_backend::CpuBackend;
use rocmforge_kv_cache::BlockPool;
use rocmforge_model::BuildOptions;
use rocmforge_program::backend::{Backend, CacheSpec, DeviceInfo, KvType, StepLimits};
use rocmforge_scheduler::{Preemption, SchedulerConfig};
use rocmforge_tokenizer::Tokenizer;

use crate::engine::Parts;
use crate::{ChatFormat, Engine, EngineError, ModelFile};

/// Sizes of an engine, fixed when it is loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineOptions {
    /// Threads of the CPU backend.
    pub threads: usize,
    /// Tokens a sequence may have; `None`: the model's context, but at most 4,096, or on a device with memory of its
    /// own 32,768 or what fits.
    pub context_length: Option<usize>,
    /// Element type of the KV cache.
    pub kv_type: KvType,
    /// Sequences that run at once.
    pub max_sequences: usize,
    /// Prompt tokens computed in one step, over all sequences; `None`: 512, or 2,048 on a device with memory of its
    /// own, whose matrix units want many rows.
    pub tokens_per_step: Option<usize>,
    /// Rows of logits a step may return.
    pub logits_per_step: usize,
    /// Whether prompts may be asked for as vectors, which takes memory for hidden states of a whole step.
    pub embeddings: bool,
    /// Tokens a cache block.
    pub block_size: usize,
    /// Tokens that the KV cache holds, over all sequences; `None`: enough for all of them at full length, or what
    /// fits. Sequences that find no room wait, or are computed again later.
    pub cache_tokens: Option<usize>,
    /// Tokens that the second tier of the cache holds, in memory of the host. 0: there is none.
    pub host_cache_tokens: usize,
    /// Changes of the cache kept for whoever follows them. 0: none are.
    pub cache_events: usize,
    /// Requests that may wait.
    pub max_queue_size: usize,
    /// Prompt tokens that may wait, over all requests.
    pub max_queue_tokens: usize,
    /// How long an idle engine waits for company after a first request. Requests that come while others run join
    /// the next step anyway.
    pub batch_timeout: Duration,
    /// How long a step should take at most while answers are being generated: prompts are cut accordingly, so that
    /// others' tokens come smoothly.
    pub mixed_step_time: Duration,
}

/// Context of an engine that was not told one.
const DEFAULT_CONTEXT: usize = 4096;

/// The same on a device that knows how much fits beside the weights.
const DEFAULT_DEVICE_CONTEXT: usize = 32_768;

/// Tokens of a step on a device with memory of its own.
const MANY_TOKENS_PER_STEP: usize = 2048;

impl Default for EngineOptions {
    fn default() -> Self {
        let queue = SchedulerConfig::default();
        Self {
            threads: default_threads(),
            context_length: None,
            kv_type: KvType::default(),
            max_sequences: 1,
            tokens_per_step: None,
            logits_per_step: 1,
            embeddings: false,
            block_size: 16,
            cache_tokens: None,
            host_cache_tokens: 0,
            cache_events: 0,
            max_queue_size: queue.max_queue_size,
            max_queue_tokens: queue.max_queue_tokens,
            batch_timeout: Duration::ZERO,
            mixed_step_time: Duration::from_millis(250),
        }
    }
}

/// One thread a processor that this process may use.
pub fn default_threads() -> usize {
    std::thread::available_parallelism().map_or(1, |n| n.get())
}

impl EngineOptions {
    fn check(&self) -> Result<(), EngineError> {
        for (option, found, max) in [
            ("threads", self.threads, 1024),
            ("context length", self.context_length.unwrap_or(1), 1 << 30),
            ("sequences", self.max_sequences, 1 << 16),
            ("tokens per step", self.tokens_per_step.unwrap_or(1), 1 << 20),
            ("logits per step", self.logits_per_step, 1 << 20),
            ("block size", self.block_size, 1 << 10),
            ("cache tokens", self.cache_tokens.unwrap_or(1), 1 << 40),
            ("host cache tokens", self.host_cache_tokens.max(1), 1 << 40),
            ("queue size", self.max_queue_size, 1 << 30),
            ("queue tokens", self.max_queue_tokens, 1 << 40),
        ] {
            if found == 0 || found > max {
                let (found, expected) = (found.to_string(), format!("1 to {max}"));
                return Err(EngineError::BadOption { option, found, expected });
            }
        }
        Ok(())
    }
}

impl EngineOptions {
    /// Tokens of a step on the processor, and where memory is short.
    pub(crate) const FEW_TOKENS_PER_STEP: usize = 512;

    /// The largest steps that the engine will make on a device.
    fn limits(&self, device: &DeviceInfo) -> StepLimits {
        let usual = if device.memory_bytes.is_some() { MANY_TOKENS_PER_STEP } else { Self::FEW_TOKENS_PER_STEP };
        // More than all contexts together can hold never comes in one step.
        let most = self.context_length.map_or(usize::MAX, |context| context.saturating_mul(self.max_sequences));
        let max_tokens = self.tokens_per_step.unwrap_or(usual).min(most).max(self.max_sequences);
        StepLimits {
            max_tokens,
            max_wanted: self.logits_per_step.max(self.max_sequences),
            // The mean is that of every token of a prompt.
            max_hidden: if self.embeddings { max_tokens } else { 0 },
            max_sequences: self.max_sequences,
        }
    }

    /// The context, what was asked for or what the model was made for, and the blocks of the cache: enough for all
    /// sequences, or as many as there is room for. `capacity` is that room in blocks, on a device that knows it.
    fn fit(
        &self,
        trained: usize,
        capacity: Option<usize>,
        host_blocks: usize,
    ) -> Result<(Context, usize), EngineError> {
        let usual = if capacity.is_some() { DEFAULT_DEVICE_CONTEXT } else { DEFAULT_CONTEXT };
        let wanted = self.context_length.unwrap_or_else(|| trained.min(usual));
        let all = wanted.div_ceil(self.block_size).saturating_mul(self.max_sequences);
        let asked = self.cache_tokens.map_or(all, |tokens| tokens.div_ceil(self.block_size));
        // Memory of the host is only guessed at, so one sequence has what it asks for.
        let room = capacity.unwrap_or_else(|| host_blocks.max(wanted.div_ceil(self.block_size)));
        let is_asked = self.cache_tokens.is_some() && capacity.is_none();
        let blocks = if is_asked { asked } else { asked.min(room) };
        let fits = blocks * self.block_size;
        if fits == 0 || (self.context_length.is_some() && wanted > fits) {
            return Err(EngineError::ContextTooLong { context: wanted, fits });
        }
        Ok((Context { length: wanted.min(fits), wanted }, blocks))
    }

    fn scheduler(&self, limits: StepLimits, context: Context) -> SchedulerConfig {
        SchedulerConfig {
            max_batch_size: self.max_sequences,
            max_queue_size: self.max_queue_size,
            max_queue_tokens: self.max_queue_tokens,
            batch_timeout: self.batch_timeout,
            max_sequence_length: context.length,
            max_tokens_per_step: limits.max_tokens,
            max_rows_per_step: limits.max_wanted,
            preemption: if self.host_cache_tokens > 0 { Preemption::Swap } else { Preemption::Recompute },
            ..SchedulerConfig::default()
        }
    }
}

/// Blocks of this size that half of the free memory of this machine holds.
fn host_blocks(block_bytes: usize) -> usize {
    let free = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
        line.trim().strip_suffix("kB")?.trim().parse::<usize>().ok()
    });
    free.map_or(usize::MAX, |kib| kib * 1024 / 2 / block_bytes.max(1))
}

/// How many tokens a sequence may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Context {
    /// So many.
    pub length: usize,
    /// So many it would be if the device had room for them.
    pub wanted: usize,
}

impl Engine {
    /// Loads a model onto the CPU.
    ///
    /// # Errors
    /// A file whose model, tokenizer or sizes cannot be used, or not enough memory.
    pub fn load(file: Arc<ModelFile>, options: EngineOptions) -> Result<Self, EngineError> {
        options.check()?;
        let backend = Box::new(CpuBackend::new(options.threads)?);
        Self::with_backend(file, backend, options)
    }

    /// Loads a model onto a given backend.
    ///
    /// # Errors
    /// As [`load`](Self::load), and what the backend refuses.
    pub fn with_backend(
        file: Arc<ModelFile>,
        mut backend: Box<dyn Backend>,
        options: EngineOptions,
    ) -> Result<Self, EngineError> {
        options.check()?;
        let program = rocmforge_model::build(file.gguf(), &BuildOptions { context_length: options.context_length })?;
        let tokenizer = Arc::new(Tokenizer::from_gguf(file.gguf().metadata())?);
        let chat = ChatFormat::of(file.gguf().metadata(), &tokenizer)?;
        let limits = options.limits(backend.device());
        let model = backend.load(&program, file.clone(), limits)?;
        file.check_unchanged()?;
        let host_slots = options.host_cache_tokens.div_ceil(options.block_size);
        let block = CacheSpec { block_size: options.block_size, num_blocks: 1, kv_type: options.kv_type, host_slots };
        let capacity = backend.cache_capacity(model, block)?;
        let host_blocks = host_blocks(block.bytes(&program).unwrap_or(usize::MAX));
        let (context, num_blocks) = options.fit(program.context_length, capacity, host_blocks)?;
        let cache_spec = CacheSpec { num_blocks, ..block };
        let cache = backend.make_cache(model, cache_spec)?;
        let pool = BlockPool::with_sizes(options.block_size, num_blocks, host_slots, options.cache_events)?;
        let scheduler = options.scheduler(limits, context);
        Self::assemble(Parts {
            backend,
            model,
            cache,
            cache_spec,
            pool,
            scheduler,
            file,
            program,
            tokenizer,
            chat,
            limits,
            context,
            mixed_step_time: options.mixed_step_time,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn context_and_cache_fit_the_device() {
        let fit = |options: &EngineOptions, capacity, host| {
            options.fit(100_000, capacity, host).ok().map(|(c, blocks)| (c.length, c.wanted, blocks))
        };
        let options = |context_length, cache_tokens| EngineOptions {
            context_length,
            cache_tokens,
            max_sequences: 2,
            ..EngineOptions::default()
        };
        let usual = options(None, None);
        assert_eq!(fit(&usual, None, usize::MAX), Some((4096, 4096, 512)));
        assert_eq!(fit(&usual, None, 300), Some((4096, 4096, 300)), "sequences share what there is");
        assert_eq!(fit(&usual, None, 1), Some((4096, 4096, 256)), "one sequence has what it asks for");
        assert_eq!(fit(&usual, Some(1000), 0), Some((16_000, 32_768, 1000)));
        assert_eq!(fit(&usual, Some(1 << 20), 0), Some((32_768, 32_768, 4096)));
        assert_eq!(fit(&usual, Some(0), 0), None);
        assert_eq!(fit(&options(Some(50_000), None), Some(1 << 20), 0), Some((50_000, 50_000, 6250)));
        assert_eq!(fit(&options(Some(16_001), None), Some(1000), 0), None);
        assert_eq!(fit(&options(None, Some(8000)), None, usize::MAX), Some((4096, 4096, 500)));
        assert_eq!(fit(&options(Some(4096), Some(2000)), None, usize::MAX), None);
    }

    #[test]
    fn steps_are_larger_on_a_device_and_never_larger_than_the_contexts() {
        let cpu = DeviceInfo { name: "CPU".into(), memory_bytes: None };
        let gpu = DeviceInfo { name: "GPU".into(), memory_bytes: Some(1 << 30) };
        let tokens = |options: &EngineOptions, device| options.limits(device).max_tokens;
        let usual = EngineOptions::default();
        assert_eq!((tokens(&usual, &cpu), tokens(&usual, &gpu)), (512, 2048));
        let few = EngineOptions { tokens_per_step: Some(64), ..EngineOptions::default() };
        assert_eq!((tokens(&few, &cpu), tokens(&few, &gpu)), (64, 64));
        let short = EngineOptions { context_length: Some(100), max_sequences: 3, ..EngineOptions::default() };
        assert_eq!((tokens(&short, &cpu), tokens(&short, &gpu)), (300, 300));
        let many = EngineOptions { max_sequences: 4096, ..EngineOptions::default() };
        assert_eq!((tokens(&many, &cpu), tokens(&many, &gpu)), (4096, 4096));
    }
}
