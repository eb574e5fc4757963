//! What both interpreters keep: models, caches, and results that wait to be fetched.

use std::collections::HashMap;

use rocmforge_program::backend::{BackendError, CacheId, ModelId, StepOutput, StepTicket};

/// Models, caches and finished steps of one backend, by the ids handed out.
pub(crate) struct Registry<M, C> {
    models: Vec<M>,
    caches: Vec<(ModelId, C)>,
    finished: HashMap<StepTicket, StepOutput>,
    next_ticket: u64,
}

impl<M, C> Registry<M, C> {
    pub fn new() -> Self {
        Self { models: Vec::new(), caches: Vec::new(), finished: HashMap::new(), next_ticket: 0 }
    }

    pub fn add_model(&mut self, model: M) -> ModelId {
        self.models.push(model);
        ModelId(self.models.len() as u32 - 1)
    }

    pub fn add_cache(&mut self, model: ModelId, cache: C) -> CacheId {
        self.caches.push((model, cache));
        CacheId(self.caches.len() as u32 - 1)
    }

    pub fn model(&self, id: ModelId) -> Result<&M, BackendError> {
        self.models.get(id.0 as usize).ok_or_else(|| BackendError::UnknownId(format!("model {}", id.0)))
    }

    pub fn cache(&mut self, id: CacheId) -> Result<&mut C, BackendError> {
        self.caches
            .get_mut(id.0 as usize)
            .map(|(_, cache)| cache)
            .ok_or_else(|| BackendError::UnknownId(format!("cache {}", id.0)))
    }

    /// A model and a cache that was made for it.
    pub fn pair(&mut self, model: ModelId, cache: CacheId) -> Result<(&mut M, &mut C), BackendError> {
        let unknown = |what: String| BackendError::UnknownId(what);
        let (owner, found) =
            self.caches.get_mut(cache.0 as usize).ok_or_else(|| unknown(format!("cache {}", cache.0)))?;
        if *owner != model {
            return Err(unknown(format!("cache {} of model {}", cache.0, model.0)));
        }
        let model = self.models.get_mut(model.0 as usize).ok_or_else(|| unknown(format!("model {}", model.0)))?;
        Ok((model, found))
    }

    pub fn finish(&mut self, output: StepOutput) -> StepTicket {
        let ticket = StepTicket(self.next_ticket);
        self.next_ticket += 1;
        self.finished.insert(ticket, output);
        ticket
    }

    pub fn fetch(&mut self, ticket: StepTicket) -> Result<StepOutput, BackendError> {
        self.finished.remove(&ticket).ok_or_else(|| BackendError::UnknownId(format!("step {}", ticket.0)))
    }
}
