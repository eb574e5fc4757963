//! From a model file to an engine that is ready for requests.

use std::sync::Arc;

use rocmforge_cpu_backend::CpuBackend;
use rocmforge_kv_cache::BlockPool;
use rocmforge_model::BuildOptions;
use rocmforge_program::backend::{Backend, CacheSpec, KvType, StepLimits};
use rocmforge_tokenizer::Tokenizer;

use crate::{ChatFormat, Engine, EngineError, ModelFile};

/// Sizes of an engine, fixed when it is loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineOptions {
    /// Threads of the CPU backend.
    pub threads: usize,
    /// Tokens a sequence may have; `None`: the model's context, but at most 4,096.
    pub context_length: Option<usize>,
    /// Element type of the KV cache.
    pub kv_type: KvType,
    /// Sequences that run at once.
    pub max_sequences: usize,
    /// Prompt tokens computed in one step, over all sequences.
    pub tokens_per_step: usize,
    /// Rows of logits a step may return.
    pub logits_per_step: usize,
    /// Tokens a cache block.
    pub block_size: usize,
}

/// Context of an engine that was not told one.
const DEFAULT_CONTEXT: usize = 4096;

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            threads: default_threads(),
            context_length: None,
            kv_type: KvType::default(),
            max_sequences: 1,
            tokens_per_step: 512,
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
            ("tokens per step", self.tokens_per_step, 1 << 20),
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
        let context = options.context_length.unwrap_or_else(|| program.context_length.min(DEFAULT_CONTEXT));
        let max_sequences = options.max_sequences;
        let limits = StepLimits {
            max_tokens: options.tokens_per_step.max(max_sequences),
            max_wanted: options.logits_per_step.max(max_sequences),
            max_sequences,
        };
        let model = backend.load(&program, file.clone(), limits)?;
        file.check_unchanged()?;
        let num_blocks = context.div_ceil(options.block_size) * max_sequences;
        let spec = CacheSpec { block_size: options.block_size, num_blocks, kv_type: options.kv_type };
        let cache = backend.make_cache(model, spec)?;
        let pool = BlockPool::new(options.block_size, num_blocks)?;
        Ok(Self::assemble(backend, model, cache, pool, file, program, tokenizer, chat, limits, context, max_sequences))
    }
}
