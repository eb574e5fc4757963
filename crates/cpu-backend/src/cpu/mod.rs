//! The fast interpreter: SIMD chosen at run time, quantized dot products, threads, a paged cache.

mod arena;
mod step;
mod weights;

use std::sync::Arc;

use rocmforge_program::backend::{
    Backend, BackendError, BlockMove, CacheId, CacheSpec, DeviceInfo, ModelId, StepInput, StepLimits, StepOutput,
    StepTicket, WeightSource,
};
use rocmforge_program::{Program, passes};

use crate::kv::{KvCache, KvError};
use crate::matmul::Isa;
use crate::pool::Pool;
use crate::registry::Registry;
use step::{Scratch, Step};
use weights::Weights;

/// Elements below which a row-wise op is done by one thread: a dispatch costs more than the work.
const SHARE: usize = 1 << 14;

/// Fast interpreter of Programs on the CPU.
///
/// The logits of a sequence do not depend, to the last bit, on the other sequences of a step, on how its prompt is cut
/// into steps, or on the number of threads.
pub struct CpuBackend {
    info: DeviceInfo,
    pool: Pool,
    registry: Registry<Model, Cache>,
}

struct Model {
    program: Program,
    limits: StepLimits,
    weights: Weights,
    scratch: Scratch,
}

/// A paged cache of one model.
pub(crate) struct Cache {
    spec: CacheSpec,
    store: KvCache,
}

impl CpuBackend {
    /// A backend that computes with `threads` threads, the caller's included.
    ///
    /// # Errors
    /// When the system refuses to start a thread.
    pub fn new(threads: usize) -> Result<Self, BackendError> {
        let pool =
            Pool::new(threads).map_err(|e| BackendError::Device(format!("cannot start {threads} threads: {e}")))?;
        let threads = pool.threads();
        let plural = if threads == 1 { "" } else { "s" };
        let name = format!("CPU, {threads} thread{plural}, {}", Isa::best().name());
        Ok(Self { info: DeviceInfo { name, memory_bytes: None }, pool, registry: Registry::new() })
    }
}

impl Backend for CpuBackend {
    fn device(&self) -> &DeviceInfo {
        &self.info
    }

    fn load(
        &mut self,
        program: &Program,
        source: Arc<dyn WeightSource>,
        limits: StepLimits,
    ) -> Result<ModelId, BackendError> {
        let mut program = program.clone();
        passes::select_rows_early(&mut program);
        passes::share_inputs(&mut program);
        let weights = Weights::load(&program, source, &self.pool)?;
        let scratch = Scratch::new(&program, &weights, limits.rows(), self.pool.threads())?;
        Ok(self.registry.add_model(Model { program, limits, weights, scratch }))
    }

    fn make_cache(&mut self, model: ModelId, spec: CacheSpec) -> Result<CacheId, BackendError> {
        let program = &self.registry.model(model)?.program;
        let store = KvCache::new(&program.cache_layers, spec).map_err(bad_cache)?;
        Ok(self.registry.add_cache(model, Cache { spec, store }))
    }

    fn submit(&mut self, model: ModelId, cache: CacheId, step: &StepInput) -> Result<StepTicket, BackendError> {
        let (model, cache) = self.registry.pair(model, cache)?;
        let Model { program, limits, weights, scratch } = model;
        step.check(program, *limits, cache.spec)?;
        let (logits, hidden) = Step { pool: &self.pool, program, weights, scratch, cache, input: step }.run()?;
        let output = StepOutput::of_values(step, program, logits, hidden);
        Ok(self.registry.finish(output))
    }

    fn wait(&mut self, ticket: StepTicket) -> Result<StepOutput, BackendError> {
        self.registry.fetch(ticket)
    }

    fn move_blocks(&mut self, cache: CacheId, moves: &[BlockMove]) -> Result<(), BackendError> {
        let cache = self.registry.cache(cache)?;
        BlockMove::check(moves, cache.spec)?;
        moves.iter().try_for_each(|moved| cache.store.move_block(*moved).map_err(bad_cache))
    }
}

fn bad_cache(error: KvError) -> BackendError {
    BackendError::BadCache(error.to_string())
}
