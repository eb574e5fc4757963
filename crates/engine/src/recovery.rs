//! Going on after the device was lost: another one takes its place, and what ran is computed again from its tokens.

use std::sync::Arc;

use rocmforge_program::Program;
use rocmforge_program::backend::{
    Backend, BackendError, BlockMove, CacheId, CacheSpec, DeviceInfo, ModelId, StepInput, StepLimits, StepOutput,
    StepTicket, WeightSource,
};

use crate::{Engine, EngineError};

impl Engine {
    /// Gives up the device, so that its memory is free when it is opened again. Until
    /// [`replace_device`](Self::replace_device) no step can be computed.
    pub(crate) fn leave_device(&mut self) {
        self.backend = Box::new(NoBackend(self.backend.device().clone()));
    }

    /// Takes the device of a new engine for the same model. Requests stay; what they had computed is computed again.
    ///
    /// # Errors
    /// An engine of other sizes, such as a context that no longer fits.
    pub(crate) fn replace_device(&mut self, fresh: Engine) -> Result<(), EngineError> {
        if fresh.cache_spec != self.cache_spec || fresh.limits != self.limits {
            return Err(EngineError::BadOption {
                option: "device",
                found: "another size of cache or step than before".into(),
                expected: "the same".into(),
            });
        }
        self.backend = fresh.backend;
        self.model = fresh.model;
        self.cache = fresh.cache;
        Ok(self.scheduler.device_lost(&mut self.pool)?)
    }
}

/// In place of a device that is being opened again.
struct NoBackend(DeviceInfo);

impl NoBackend {
    fn error<T>(&self) -> Result<T, BackendError> {
        Err(BackendError::Device("the device is lost".into()))
    }
}

impl Backend for NoBackend {
    fn device(&self) -> &DeviceInfo {
        &self.0
    }

    fn load(&mut self, _: &Program, _: Arc<dyn WeightSource>, _: StepLimits) -> Result<ModelId, BackendError> {
        self.error()
    }

    fn make_cache(&mut self, _: ModelId, _: CacheSpec) -> Result<CacheId, BackendError> {
        self.error()
    }

    fn submit(&mut self, _: ModelId, _: CacheId, _: &StepInput) -> Result<StepTicket, BackendError> {
        self.error()
    }

    fn wait(&mut self, _: StepTicket) -> Result<StepOutput, BackendError> {
        self.error()
    }

    fn move_blocks(&mut self, _: CacheId, _: &[BlockMove]) -> Result<(), BackendError> {
        self.error()
    }
}
