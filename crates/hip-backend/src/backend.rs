//! The `Backend` of one HIP device.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use hip_sys::Api;
use rocmforge_program::Program;
use rocmforge_program::backend::{
    Backend, BackendError, BlockMove, CacheId, CacheSpec, DeviceInfo, ModelId, RowSampling, StepInput, StepLimits,
    StepOutput, StepTicket, WeightSource,
};

use crate::driver::{Device, Properties, Stream, enumerate};
use crate::error::{Failure, OpenError};
use crate::library::Kernels;
use crate::model::{Cache, InFlight, Model, ProfileRow};
use crate::options::HipOptions;

/// An interpreter of Programs on one HIP device: weights as stored, a paged KV cache, one stream, and steps that only
/// decode as one graph replay.
///
/// Loading and making caches allocate; steps do not, and wait for the device once, in [`Backend::wait`].
pub struct HipBackend {
    info: DeviceInfo,
    device: Device,
    stream: Stream,
    kernels: Kernels,
    options: HipOptions,
    models: Vec<Model>,
    caches: Vec<(ModelId, Cache)>,
    in_flight: HashMap<StepTicket, (ModelId, InFlight)>,
    next_ticket: u64,
}

impl HipBackend {
    /// Opens a device of the HIP library that is installed, or that `ROCMFORGE_HIP_LIBRARY` names.
    ///
    /// # Errors
    /// No library, no device, a device that cannot run the kernels, or one that computes wrongly.
    pub fn open(options: HipOptions) -> Result<Self, OpenError> {
        Self::open_with(Api::open()?, options)
    }

    /// Opens a device of a given library.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with(api: Arc<Api>, options: HipOptions) -> Result<Self, OpenError> {
        let ordinal = choose(&enumerate(&api)?, options.ordinal)?;
        let device = Device::open(api, ordinal)?;
        if options.poison {
            device.set_poison(true);
        }
        let free = device.memory()?.free;
        device.set_budget((free as f64 * options.memory_fraction) as u64);
        let stream = device.stream()?;
        let kernels = Kernels::new(&device, options.kernels.clone());
        crate::self_test::run(&device, &stream, &kernels)?;
        let info =
            DeviceInfo { name: describe(device.properties()), memory_bytes: Some(device.properties().memory_bytes) };
        Ok(Self {
            info,
            device,
            stream,
            kernels,
            options,
            models: Vec::new(),
            caches: Vec::new(),
            in_flight: HashMap::new(),
            next_ticket: 0,
        })
    }

    /// The device, for what the `Backend` trait does not say.
    pub fn hip_device(&self) -> &Device {
        &self.device
    }

    /// What the ops of a model's steps took since the last call, the longest first: with
    /// [`HipOptions::profile`](crate::HipOptions::profile).
    pub fn take_profile(&self, model: ModelId) -> Vec<ProfileRow> {
        self.model(model).map(Model::take_profile).unwrap_or_default()
    }

    fn model(&self, id: ModelId) -> Result<&Model, BackendError> {
        self.models.get(id.0 as usize).ok_or_else(|| BackendError::UnknownId(format!("model {}", id.0)))
    }

    fn pair(&mut self, model: ModelId, cache: CacheId) -> Result<(&mut Model, &mut Cache), BackendError> {
        let unknown = |what: String| BackendError::UnknownId(what);
        let (owner, found) =
            self.caches.get_mut(cache.0 as usize).ok_or_else(|| unknown(format!("cache {}", cache.0)))?;
        if *owner != model {
            return Err(unknown(format!("cache {} of model {}", cache.0, model.0)));
        }
        let model = self.models.get_mut(model.0 as usize).ok_or_else(|| unknown(format!("model {}", model.0)))?;
        Ok((model, found))
    }
}

/// The number of the device to use.
fn choose(devices: &[Properties], wanted: Option<u32>) -> Result<u32, OpenError> {
    let best = devices.iter().max_by_key(|d| (!d.integrated, d.memory_bytes, Reverse(d.ordinal)));
    match (best, wanted) {
        (None, _) => Err(OpenError::NoDevice),
        (Some(best), None) => Ok(best.ordinal),
        (Some(_), Some(ordinal)) if devices.iter().any(|d| d.ordinal == ordinal) => Ok(ordinal),
        (Some(_), Some(ordinal)) => {
            let names: Vec<_> = devices.iter().map(|d| format!("hip:{} {}", d.ordinal, describe(d))).collect();
            Err(OpenError::NoSuchDevice { ordinal, devices: names.join(", ") })
        }
    }
}

fn describe(properties: &Properties) -> String {
    format!("{} ({})", properties.name, properties.arch)
}

impl Backend for HipBackend {
    fn device(&self) -> &DeviceInfo {
        &self.info
    }

    fn load(
        &mut self,
        program: &Program,
        weights: Arc<dyn WeightSource>,
        limits: StepLimits,
    ) -> Result<ModelId, BackendError> {
        let model = Model::load(&self.device, &self.stream, &self.kernels, &self.options, program, &*weights, limits)
            .map_err(BackendError::from)?;
        self.models.push(model);
        Ok(ModelId(self.models.len() as u32 - 1))
    }

    fn make_cache(&mut self, model: ModelId, spec: CacheSpec) -> Result<CacheId, BackendError> {
        let cache = self
            .model(model)?
            .make_cache(&self.device, &self.stream, &self.kernels, spec)
            .map_err(BackendError::from)?;
        self.caches.push((model, cache));
        Ok(CacheId(self.caches.len() as u32 - 1))
    }

    fn cache_capacity(&self, model: ModelId, spec: CacheSpec) -> Result<Option<usize>, BackendError> {
        let blocks = self.model(model)?.cache_capacity(&self.device, spec).map_err(BackendError::from)?;
        Ok(Some(blocks))
    }

    fn can_sample(&self, how: &RowSampling) -> bool {
        self.models.iter().all(|model| crate::ops::sample::supports(how, model.vocab_size()))
    }

    fn submit(&mut self, model: ModelId, cache: CacheId, step: &StepInput) -> Result<StepTicket, BackendError> {
        let stream = self.stream.clone();
        let (running, cache) = self.pair(model, cache)?;
        let in_flight = running.submit(&stream, cache, step).map_err(BackendError::from)?;
        let ticket = StepTicket(self.next_ticket);
        self.next_ticket += 1;
        self.in_flight.insert(ticket, (model, in_flight));
        Ok(ticket)
    }

    fn wait(&mut self, ticket: StepTicket) -> Result<StepOutput, BackendError> {
        let (model, in_flight) =
            self.in_flight.remove(&ticket).ok_or_else(|| BackendError::UnknownId(format!("step {}", ticket.0)))?;
        let model = self.models.get_mut(model.0 as usize).ok_or_else(|| BackendError::UnknownId("model".into()))?;
        model.wait(in_flight).map_err(BackendError::from)
    }

    fn move_blocks(&mut self, cache: CacheId, moves: &[BlockMove]) -> Result<(), BackendError> {
        let (_, cache) = self
            .caches
            .get_mut(cache.0 as usize)
            .ok_or_else(|| BackendError::UnknownId(format!("cache {}", cache.0)))?;
        cache.move_blocks(&self.stream, moves).map_err(BackendError::from)
    }
}

impl From<OpenError> for BackendError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Device(error) => Failure::Hip(error).into(),
            OpenError::Kernels(error) => Failure::Kernel(error).into(),
            error => BackendError::Device(error.to_string()),
        }
    }
}
