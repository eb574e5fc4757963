//! Helpers of the workspace-level tests: where the data is, and how to run a Program on any backend.
#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rocmforge_engine::ModelFile;
use rocmforge_model::BuildOptions;
use rocmforge_program::Program;
use rocmforge_program::backend::{
    Backend, BackendError, BlockMove, CacheId, CacheSpec, KvType, ModelId, RowSampling, StepInput, StepLimits,
    StepOutput, StepSequence,
};

/// A file of the tests' data.
pub fn data(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data").join(path)
}

/// Little-endian f32 numbers of a file.
pub fn read_f32(path: &Path) -> Vec<f32> {
    let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

/// A JSON file.
pub fn read_json(path: &Path) -> serde_json::Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Squared error relative to the squares of the truth.
pub fn nmse(found: &[f32], truth: &[f32]) -> f64 {
    assert_eq!(found.len(), truth.len(), "as many numbers");
    let square = |x: f64| x * x;
    let error: f64 = found.iter().zip(truth).map(|(&a, &b)| square(f64::from(a) - f64::from(b))).sum();
    error / truth.iter().map(|&b| square(f64::from(b))).sum::<f64>()
}

/// A model on a backend, with a cache.
pub struct Loaded<B> {
    /// The backend.
    pub backend: B,
    /// The model's Program.
    pub program: Program,
    model: ModelId,
    cache: CacheId,
    sequences: usize,
    blocks_per_sequence: usize,
}

/// Tokens a cache block.
pub const BLOCK: usize = 16;

/// Blocks that memory of the host keeps.
pub const HOST_SLOTS: usize = 4;

impl<B: Backend> Loaded<B> {
    /// Loads a file with room for `sequences` sequences of `context` tokens.
    pub fn new(backend: B, path: &Path, kv_type: KvType, sequences: usize, context: usize) -> Self {
        Self::try_new(backend, path, kv_type, sequences, context).expect("the model loads")
    }

    /// As [`new`](Self::new), for backends that may fail.
    ///
    /// # Errors
    /// What the backend refuses.
    pub fn try_new(
        backend: B,
        path: &Path,
        kv_type: KvType,
        sequences: usize,
        context: usize,
    ) -> Result<Self, BackendError> {
        let file = Arc::new(ModelFile::open(path).expect("the file opens"));
        let most = sequences * context;
        let limits = StepLimits { max_tokens: most, max_wanted: most, max_hidden: most, max_sequences: sequences };
        Self::of_file(backend, file, kv_type, context, limits)
    }

    /// As [`try_new`](Self::try_new), for an opened file and steps within `limits`.
    ///
    /// # Errors
    /// What the backend refuses.
    pub fn of_file(
        mut backend: B,
        file: Arc<ModelFile>,
        kv_type: KvType,
        context: usize,
        limits: StepLimits,
    ) -> Result<Self, BackendError> {
        let program = rocmforge_model::build(file.gguf(), &BuildOptions::default()).expect("the model builds");
        let model = backend.load(&program, file, limits)?;
        let (sequences, blocks_per_sequence) = (limits.max_sequences, context.div_ceil(BLOCK));
        let num_blocks = sequences * blocks_per_sequence;
        let spec = CacheSpec { block_size: BLOCK, num_blocks, kv_type, host_slots: HOST_SLOTS };
        let cache = backend.make_cache(model, spec)?;
        Ok(Self { backend, program, model, cache, sequences, blocks_per_sequence })
    }

    /// Runs a step in which sequence `which` goes on by `tokens`, having `before` tokens already. Blocks are scattered:
    /// sequences take turns. Returns the logits of every token.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn step(&mut self, parts: &[(usize, usize, &[u32])]) -> Result<Vec<f32>, BackendError> {
        let tokens: usize = parts.iter().map(|(_, _, tokens)| tokens.len()).sum();
        Ok(self.run(parts, (0..tokens as u32).collect(), Vec::new())?.logits)
    }

    /// As [`step`](Self::step), for chosen rows, whose tokens the device may choose.
    ///
    /// # Errors
    /// What the backend refuses, and failures of the device.
    pub fn run(
        &mut self,
        parts: &[(usize, usize, &[u32])],
        wanted: Vec<u32>,
        sampling: Vec<Option<RowSampling>>,
    ) -> Result<StepOutput, BackendError> {
        self.run_step(parts, StepInput { wanted, sampling, ..StepInput::default() })
    }

    /// As [`run`](Self::run), for a step that says what is wanted and has no tokens yet.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_step(
        &mut self,
        parts: &[(usize, usize, &[u32])],
        mut step: StepInput,
    ) -> Result<StepOutput, BackendError> {
        let stride = self.sequences;
        for &(which, before, tokens) in parts {
            step.tokens.extend_from_slice(tokens);
            step.sequences.push(StepSequence {
                num_tokens: tokens.len(),
                context_len: before + tokens.len(),
                block_table: (0..self.blocks_per_sequence).map(|b| (b * stride + which) as u32).collect(),
            });
        }
        let ticket = self.backend.submit(self.model, self.cache, &step)?;
        self.backend.wait(ticket)
    }

    /// Moves blocks of the cache.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn move_blocks(&mut self, moves: &[BlockMove]) -> Result<(), BackendError> {
        self.backend.move_blocks(self.cache, moves)
    }
}
