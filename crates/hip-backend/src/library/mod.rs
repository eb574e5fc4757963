//! Kernels by name: loaded from the code objects in the program, from the disk, or compiled by hipRTC.
//!
//! A device of a target that the program was built for needs no compiler. Any other target is compiled once, and kept on
//! the disk under a key of sources, options, target, runtime and driver.

mod ahead;
mod cache;
mod error;
mod images;
mod rtc;

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use rocmforge_kernels::module as table_row;

use crate::driver::{Device, Function, HipError, Module};
use cache::DiskCache;
use images::{HipRtc, Images};

pub use ahead::{CompileProgress, Inventory, OnCompile};
pub use error::KernelError;
pub use images::Origin;
pub(crate) use rtc::release as rtc_release;
pub use rtc::{compile, version as rtc_version};

/// Room for the modules of several devices, and of several releases of this program.
const CACHE_BYTES_MAX: u64 = 1 << 30;

/// Where compiled modules are kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum CacheFolder {
    /// `kernels` in `$ROCMFORGE_CACHE`, or in `rocmforge` of the system's folder for caches.
    #[default]
    User,
    /// This folder.
    At(PathBuf),
    /// Nowhere: each start compiles.
    Off,
}

/// How kernels are found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KernelOptions {
    /// Where compiled modules are kept.
    pub cache: CacheFolder,
    /// What the folder may hold, in bytes; what was used longest ago is removed first.
    pub cache_bytes_max: u64,
    /// Whether code objects in the program are used.
    pub embedded: bool,
    /// Macros in addition to each module's own, as name and value. With any, nothing embedded is used.
    pub defines: Vec<(String, String)>,
    /// Who hears that modules are compiled ahead of their use.
    pub on_compile: Option<OnCompile>,
}

impl Default for KernelOptions {
    fn default() -> Self {
        Self {
            cache: CacheFolder::default(),
            cache_bytes_max: CACHE_BYTES_MAX,
            embedded: true,
            defines: Vec::new(),
            on_compile: None,
        }
    }
}

/// How far [`Kernels::prepare`] has come.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Progress<'a> {
    /// Modules that are loaded, this one included.
    pub done: usize,
    /// Modules that were asked for.
    pub total: usize,
    /// The module that was loaded last.
    pub module: &'a str,
    /// Where it came from; `None` if it was loaded before.
    pub origin: Option<Origin>,
}

/// What [`Kernels::prepare`] has done: how many modules came from where.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Prepared {
    /// Part of the program.
    pub embedded: usize,
    /// Kept on the disk by an earlier run.
    pub cached: usize,
    /// Compiled now.
    pub compiled: usize,
    /// Loaded before.
    pub loaded: usize,
}

impl Prepared {
    fn count(&mut self, origin: Option<Origin>) {
        *match origin {
            Some(Origin::Embedded) => &mut self.embedded,
            Some(Origin::Cached) => &mut self.cached,
            Some(Origin::Compiled) => &mut self.compiled,
            None => &mut self.loaded,
        } += 1;
    }
}

/// The kernels of one device. Clones share what is loaded; all threads may use them.
#[derive(Clone)]
pub struct Kernels(Arc<Shared>);

struct Shared {
    device: Device,
    images: Images,
    modules: Mutex<HashMap<String, Slot>>,
    on_compile: Option<OnCompile>,
}

/// A module, once it is loaded. Who finds it locked waits for the one who loads it.
type Slot = Arc<Mutex<Option<Loaded>>>;

struct Loaded {
    module: Module,
    functions: HashMap<String, Function>,
}

impl fmt::Debug for Kernels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kernels").field("arch", &self.0.images.arch).finish_non_exhaustive()
    }
}

/// A lock that a panic elsewhere cannot take away: entries are inserted whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poison| poison.into_inner())
}

impl Kernels {
    /// The kernels of a device. Nothing is loaded yet.
    pub fn new(device: &Device, options: KernelOptions) -> Self {
        let properties = device.properties();
        let folder = match options.cache {
            CacheFolder::User => DiskCache::default_folder(),
            CacheFolder::At(folder) => Some(folder),
            CacheFolder::Off => None,
        };
        let api = device.api();
        let (runtime, driver) = (properties.runtime_version, properties.driver_version);
        let images = Images {
            arch: properties.arch.clone(),
            versions: format!("{} runtime {runtime} driver {driver}", api.path().display()),
            system: !api.is_named(),
            defines: options.defines,
            embedded: options.embedded,
            cache: folder.map(|folder| DiskCache::new(folder, options.cache_bytes_max)),
            compiler: Box::new(HipRtc::new(Arc::clone(api))),
        };
        let on_compile = options.on_compile;
        Self(Arc::new(Shared { device: device.clone(), images, modules: Mutex::default(), on_compile }))
    }

    /// The device.
    pub fn device(&self) -> &Device {
        &self.0.device
    }

    /// A kernel of a module of the table, as in `function("norm/norm", "norm_long")`. The first call for a module
    /// loads it, which may compile it.
    ///
    /// # Errors
    /// [`KernelError`]: no object and no compiler, a source that does not compile, or a device that refuses the code.
    pub fn function(&self, module: &str, kernel: &str) -> Result<Function, KernelError> {
        let slot = self.slot(module)?;
        let mut slot = lock(&slot);
        if slot.is_none() {
            *slot = Some(self.0.load(module)?.0);
        }
        let loaded = slot.as_mut().ok_or_else(|| unknown_module(module))?;
        if let Some(function) = loaded.functions.get(kernel) {
            return Ok(function.clone());
        }
        self.0.named(module, kernel)?;
        let function = loaded.module.function(kernel).map_err(|source| self.0.refused(module, source))?;
        loaded.functions.insert(kernel.to_owned(), function.clone());
        Ok(function)
    }

    /// Loads modules, several at a time, and tells about each. The first error ends it.
    ///
    /// # Errors
    /// Those of [`function`](Self::function).
    pub fn prepare<S: AsRef<str> + Sync>(
        &self,
        modules: &[S],
        progress: &(dyn Fn(Progress<'_>) + Sync),
    ) -> Result<Prepared, KernelError> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(modules.len());
        let next = AtomicUsize::new(0);
        let outcome = Mutex::new((Prepared::default(), 0, None::<KernelError>));
        let work = || {
            while let Some(name) = modules.get(next.fetch_add(1, Ordering::Relaxed)).map(AsRef::as_ref) {
                let loaded = self.load_one(name);
                let mut outcome = lock(&outcome);
                match loaded {
                    Ok(origin) => {
                        outcome.0.count(origin);
                        outcome.1 += 1;
                        progress(Progress { done: outcome.1, total: modules.len(), module: name, origin });
                    }
                    Err(error) => {
                        outcome.2.get_or_insert(error);
                        next.store(modules.len(), Ordering::Relaxed);
                    }
                }
            }
        };
        std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
        let (prepared, _, error) = outcome.into_inner().unwrap_or_else(|poison| poison.into_inner());
        error.map_or(Ok(prepared), Err)
    }

    /// Where a module came from, or `None` if it was there already.
    fn load_one(&self, module: &str) -> Result<Option<Origin>, KernelError> {
        let slot = self.slot(module)?;
        let mut slot = lock(&slot);
        if slot.is_some() {
            return Ok(None);
        }
        let (loaded, origin) = self.0.load(module)?;
        *slot = Some(loaded);
        Ok(Some(origin))
    }

    fn slot(&self, module: &str) -> Result<Slot, KernelError> {
        let mut modules = lock(&self.0.modules);
        if let Some(slot) = modules.get(module) {
            return Ok(Arc::clone(slot));
        }
        // Only names of the table get a slot.
        table_row(module).ok_or_else(|| unknown_module(module))?;
        Ok(Arc::clone(modules.entry(module.to_owned()).or_default()))
    }
}

impl Shared {
    /// Loads a module. What the device refuses is looked for further on: an embedded object may be for another
    /// stepping, and a cached one from before a change of the driver that its version does not show.
    fn load(&self, name: &str) -> Result<(Loaded, Origin), KernelError> {
        let row = table_row(name).ok_or_else(|| unknown_module(name))?;
        let mut refusal = None;
        let mut first = Origin::Embedded;
        loop {
            let (image, origin) = match self.images.get(row, first) {
                Ok(found) => found,
                Err(error) => return Err(refusal.unwrap_or(error)),
            };
            match self.device.load_module(&image, name) {
                Ok(module) => {
                    tracing::debug!(module = name, ?origin, bytes = image.len(), "kernels loaded");
                    return Ok((Loaded { module, functions: HashMap::new() }, origin));
                }
                Err(source) => {
                    let error = self.refused(name, source);
                    let Some(next) = next_origin(origin, &error) else { return Err(error) };
                    tracing::warn!(module = name, ?origin, %error, "trying another code object");
                    if origin == Origin::Cached {
                        self.images.forget(row);
                    }
                    refusal = Some(error);
                    first = next;
                }
            }
        }
    }

    /// The kernel is in the table's row.
    fn named(&self, module: &str, kernel: &str) -> Result<(), KernelError> {
        let row = table_row(module).ok_or_else(|| unknown_module(module))?;
        if row.kernels.iter().any(|name| name == kernel) {
            return Ok(());
        }
        Err(KernelError::UnknownKernel { module: module.to_owned(), kernel: kernel.to_owned() })
    }

    fn refused(&self, module: &str, source: HipError) -> KernelError {
        KernelError::Load { module: module.to_owned(), arch: self.images.arch.clone(), source }
    }
}

/// Where to look after a refusal. Memory that ran out, or a lost device, does not come back with another object.
fn next_origin(refused: Origin, error: &KernelError) -> Option<Origin> {
    if !matches!(error, KernelError::Load { source: HipError::BadImage { .. }, .. }) {
        return None;
    }
    match refused {
        Origin::Embedded => Some(Origin::Cached),
        Origin::Cached => Some(Origin::Compiled),
        Origin::Compiled => None,
    }
}

fn unknown_module(module: &str) -> KernelError {
    KernelError::UnknownModule { module: module.to_owned() }
}
