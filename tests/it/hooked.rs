//! The CPU backend with something done to its steps.

use std::sync::Arc;

use rocmforge_cpu_backend::CpuBackend;
use rocmforge_program::Program;
use rocmforge_program::backend::{
    Backend, BackendError, BlockMove, CacheId, CacheSpec, DeviceInfo, ModelId, StepInput, StepLimits, StepOutput,
    StepTicket, WeightSource,
};

/// What is done to steps.
pub trait Hook: Send {
    /// Looks at a step before it is computed, or makes it fail.
    fn before(&mut self, step: &StepInput) -> Result<(), BackendError>;

    /// Changes what a step yields.
    fn after(&mut self, output: StepOutput) -> StepOutput {
        output
    }
}

/// A CPU backend with a hook.
pub struct Hooked<H> {
    pub backend: CpuBackend,
    pub hook: H,
}

impl<H: Hook> Backend for Hooked<H> {
    fn device(&self) -> &DeviceInfo {
        self.backend.device()
    }

    fn load(
        &mut self,
        program: &Program,
        weights: Arc<dyn WeightSource>,
        limits: StepLimits,
    ) -> Result<ModelId, BackendError> {
        self.backend.load(program, weights, limits)
    }

    fn make_cache(&mut self, model: ModelId, spec: CacheSpec) -> Result<CacheId, BackendError> {
        self.backend.make_cache(model, spec)
    }

    fn submit(&mut self, model: ModelId, cache: CacheId, step: &StepInput) -> Result<StepTicket, BackendError> {
        self.hook.before(step)?;
        self.backend.submit(model, cache, step)
    }

    fn wait(&mut self, ticket: StepTicket) -> Result<StepOutput, BackendError> {
        self.backend.wait(ticket).map(|output| self.hook.after(output))
    }

    fn move_blocks(&mut self, cache: CacheId, moves: &[BlockMove]) -> Result<(), BackendError> {
        self.backend.move_blocks(cache, moves)
    }
}
