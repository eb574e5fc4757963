//! From a model file to an engine that is ready for requests.

use std::sync::Arc;

use rocmforge_cpu_backend::CpuBackend;
use rocmforge_kv_cache::BlockPool;
use rocmforge_model::BuildOptions;
use rocmforge_program::backend::{Backend, CacheSpec, DeviceInfo, KvType, StepLimits};
use rocmforge_tokenizer::Tokenizer;

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
    /// Tokens a cache block.
    pub block_size: usize,
}

/// Context of an engine that was not told one.
const DEFAULT_CONTEXT: usize = 4096;

/// The same on a device that knows how much fits beside the weights.
const DEFAULT_DEVICE_CONTEXT: usize = 32_768;

/// Tokens of a step on a device with memory of its own.
const MANY_TOKENS_PER_STEP: usize = 2048;

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            threads: default_threads(),
            context_length: None,
            kv_type: KvType::default(),
            max_sequences: 1,
            tokens_per_step: None,
            logits_per_step: 1,
            block_size: 16,
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
        StepLimits {
            max_tokens: self.tokens_per_step.unwrap_or(usual).min(most).max(self.max_sequences),
            max_wanted: self.logits_per_step.max(self.max_sequences),
            max_sequences: self.max_sequences,
        }
    }

    /// The context: what was asked for, or as much as the model was made for and a device with room for `capacity`
    /// blocks can hold.
    fn fit_context(&self, trained: usize, capacity: Option<usize>) -> Result<Context, EngineError> {
        let usual = if capacity.is_some() { DEFAULT_DEVICE_CONTEXT } else { DEFAULT_CONTEXT };
        let wanted = self.context_length.unwrap_or_else(|| trained.min(usual));
        let fits = capacity.map_or(usize::MAX, |blocks| blocks / self.max_sequences * self.block_size);
        if fits == 0 || (self.context_length.is_some() && wanted > fits) {
            return Err(EngineError::ContextTooLong { context: wanted, fits });
        }
        Ok(Context { length: wanted.min(fits), wanted })
    }
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
        let capacity = backend.cache_capacity(model, options.block_size, options.kv_type)?;
        let context = options.fit_context(program.context_length, capacity)?;
        let num_blocks = context.length.div_ceil(options.block_size) * options.max_sequences;
        let spec = CacheSpec { block_size: options.block_size, num_blocks, kv_type: options.kv_type };
        let cache = backend.make_cache(model, spec)?;
        let pool = BlockPool::new(options.block_size, num_blocks)?;
        Ok(Self::assemble(backend, model, cache, pool, file, program, tokenizer, chat, limits, context))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_context_fits_the_device() {
        let options = |context_length| EngineOptions { context_length, max_sequences: 2, ..EngineOptions::default() };
        let fit = |asked, capacity| options(asked).fit_context(100_000, capacity).ok().map(|c| (c.length, c.wanted));
        assert_eq!(fit(None, None), Some((4096, 4096)));
        assert_eq!(fit(None, Some(1000)), Some((8000, 32_768)));
        assert_eq!(fit(None, Some(1 << 20)), Some((32_768, 32_768)));
        assert_eq!(fit(Some(50_000), Some(1 << 20)), Some((50_000, 50_000)));
        assert_eq!(fit(Some(8001), Some(1000)), None);
        assert_eq!(fit(None, Some(1)), None);
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
