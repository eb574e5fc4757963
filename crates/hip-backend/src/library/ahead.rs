//! Compiling what will be needed, all cores at work and somebody told, instead of module by module.

use std::fmt;
use std::sync::Arc;

use rocmforge_kernels::{module as table_row, modules};

use super::{KernelError, Kernels, Origin, lock, unknown_module};

/// How far the compilation of kernels has come.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct CompileProgress<'a> {
    /// The target that is compiled for.
    pub target: &'a str,
    /// Modules that are compiled.
    pub done: usize,
    /// Modules that were found missing.
    pub total: usize,
    /// The module that was compiled last; empty at the beginning.
    pub module: &'a str,
}

/// Who hears of [`CompileProgress`]: once at the beginning, and after each module, from several threads.
#[derive(Clone)]
pub struct OnCompile(Arc<dyn Fn(CompileProgress<'_>) + Send + Sync>);

impl OnCompile {
    /// A function to be told.
    pub fn new(tell: impl Fn(CompileProgress<'_>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }
}

impl fmt::Debug for OnCompile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnCompile")
    }
}

/// Two are equal if they are the same function.
impl PartialEq for OnCompile {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for OnCompile {}

/// Where the modules of the table would come from on a device.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Inventory {
    /// Modules of the table.
    pub total: usize,
    /// Part of the program.
    pub embedded: usize,
    /// Kept on the disk by an earlier run.
    pub cached: usize,
    /// To be compiled when they are first needed.
    pub missing: usize,
}

impl Kernels {
    /// Where a module would come from now: [`Origin::Compiled`] if it would have to be compiled. Nothing is loaded.
    ///
    /// # Errors
    /// [`KernelError::UnknownModule`].
    pub fn find(&self, module: &str) -> Result<Origin, KernelError> {
        let row = table_row(module).ok_or_else(|| unknown_module(module))?;
        Ok(self.0.images.find(row))
    }

    /// Where all modules of the table would come from.
    pub fn inventory(&self) -> Inventory {
        let mut inventory = Inventory { total: modules().len(), ..Inventory::default() };
        for module in modules() {
            *match self.0.images.find(module) {
                Origin::Embedded => &mut inventory.embedded,
                Origin::Cached => &mut inventory.cached,
                Origin::Compiled => &mut inventory.missing,
            } += 1;
        }
        inventory
    }

    /// Compiles and loads those of the modules that would have to be compiled, several at a time, and tells
    /// [`KernelOptions::on_compile`](super::KernelOptions::on_compile) about it. Names that the table does not have are
    /// left out.
    ///
    /// # Errors
    /// Those of [`Kernels::prepare`].
    pub fn compile_ahead<S: AsRef<str>>(&self, modules: &[S]) -> Result<(), KernelError> {
        let mut missing: Vec<&str> = modules.iter().map(AsRef::as_ref).filter(|name| self.is_missing(name)).collect();
        missing.sort_unstable();
        missing.dedup();
        if missing.is_empty() {
            return Ok(());
        }
        let (target, total) = (self.0.images.arch.as_str(), missing.len());
        let tell = |done: usize, module: &str| {
            if let Some(OnCompile(tell)) = &self.0.on_compile {
                tell(CompileProgress { target, done, total, module });
            }
        };
        tracing::info!(target_arch = target, modules = total, "compiling kernels");
        tell(0, "");
        self.prepare(&missing, &|progress| tell(progress.done, progress.module)).map(drop)
    }

    /// Whether a module of the table is neither loaded nor anywhere to be found.
    fn is_missing(&self, name: &str) -> bool {
        let is_loaded = || lock(&self.0.modules).get(name).is_some_and(|slot| lock(slot).is_some());
        matches!(self.find(name), Ok(Origin::Compiled)) && !is_loaded()
    }
}
