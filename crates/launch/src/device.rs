//! The device that the options ask for, and what is said about it.

use std::sync::{Mutex, PoisonError};

use indicatif::ProgressBar;
use rocmforge_engine::{DeviceOptions, Fallback};
use rocmforge_hip_backend::HipOptions;
use rocmforge_hip_backend::library::{CompileProgress, KernelOptions, OnCompile};

use crate::{CommonArgs, terminal};

impl CommonArgs {
    /// The device of choice, and how it is used.
    pub fn device_options(&self) -> DeviceOptions {
        DeviceOptions { choice: self.device, strict: self.strict_gpu, hip: self.hip_options() }
    }

    /// How HIP devices are used. Kernels that have to be compiled show a progress bar.
    pub fn hip_options(&self) -> HipOptions {
        let mut kernels = KernelOptions::default();
        kernels.on_compile = Some(compile_bar());
        HipOptions {
            memory_fraction: self.gpu_memory_fraction,
            precision: self.gpu_precision.into(),
            graphs: !self.no_gpu_graphs,
            kernels,
            ..HipOptions::default()
        }
    }
}

/// A progress bar for kernels that are compiled on this machine, which takes a while and happens once.
fn compile_bar() -> OnCompile {
    let bar: Mutex<Option<ProgressBar>> = Mutex::new(None);
    OnCompile::new(move |progress: CompileProgress<'_>| {
        let mut bar = bar.lock().unwrap_or_else(PoisonError::into_inner);
        let template = format!(
            "compiling GPU kernels for {}, once: {{bar:20}} {{pos}}/{{len}}, {{elapsed}} {{msg}}",
            progress.target
        );
        let shown = bar.get_or_insert_with(|| terminal::progress(progress.total as u64, &template));
        shown.set_position(progress.done as u64);
        shown.set_message(progress.module.to_owned());
        if progress.done == progress.total {
            shown.finish_and_clear();
            *bar = None;
        }
    })
}

/// Says why the processor computes, in one line. With `quiet` only what its owner would want to know: a GPU that is
/// there and cannot be used.
pub(crate) fn announce(fallback: &Fallback, quiet: bool) {
    match (quiet, fallback.is_absence()) {
        (true, true) => tracing::info!("running on the CPU: {fallback}"),
        (true, false) => tracing::warn!("running on the CPU: {fallback}"),
        (false, true) => eprintln!("running on the CPU: {fallback}"),
        (false, false) => {
            eprintln!(
                "running on the CPU, since the GPU cannot be used: {fallback} (--strict-gpu makes this an error)"
            );
        }
    }
}
