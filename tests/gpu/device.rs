//! What the tests run on.

use std::process::ExitCode;

use hip_sys::Api;
use rocmforge_hip_backend::driver::Properties;
use rocmforge_hip_backend::{HipBackend, HipOptions};

/// Prints the first device of the library, its name and architecture in the first line. It has passed the self-test.
pub fn run() -> ExitCode {
    match describe() {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn describe() -> Result<String, Box<dyn std::error::Error>> {
    let api = Api::open()?;
    let library = api.path().display().to_string();
    let backend = HipBackend::open_with(api, HipOptions::default())?;
    let device = backend.hip_device().properties();
    let Properties { name, arch, arch_full, wave_size, compute_units, .. } = device;
    let (memory, l2) = (device.memory_bytes >> 20, device.l2_bytes >> 10);
    Ok(format!(
        "{name} ({arch})\n{library}, runtime {}, driver {}\n{arch_full}, {compute_units} compute units, waves of \
         {wave_size}, {memory} MiB, {l2} KiB of L2 cache",
        device.runtime_version, device.driver_version
    ))
}
