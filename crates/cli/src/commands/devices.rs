//! `devices`: what can compute.

use rocmforge_cpu_backend::CpuBackend;
use rocmforge_engine::default_threads;
use rocmforge_program::backend::Backend;
use serde_json::json;

use crate::args::DevicesArgs;
use crate::error::CliError;
use crate::output::{self, bytes};

pub fn run(args: &DevicesArgs) -> Result<(), CliError> {
    let cpu = CpuBackend::new(default_threads()).map_err(rocmforge_engine::EngineError::from)?;
    let info = cpu.device();
    if args.json {
        return output::print_json(&json!([{ "device": "cpu", "name": info.name, "memory_bytes": info.memory_bytes }]));
    }
    let memory = info.memory_bytes.map_or(String::new(), |n| format!(", {}", bytes(n)));
    output::print_line(&format!("cpu  {}{memory}", info.name))
}
