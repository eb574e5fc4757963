//! `devices`: what can compute.

use rocmforge_cpu_backend::CpuBackend;
use rocmforge_engine::Fallback;
use rocmforge_hip_backend::OpenError;
use rocmforge_hip_backend::driver::{HipError, MemoryInfo};
use rocmforge_hip_backend::library::Inventory;
use rocmforge_hip_backend::survey::{DeviceSurvey, Survey};
use rocmforge_launch::CommonArgs;
use rocmforge_program::backend::{Backend, DeviceInfo};
use serde_json::{Value, json};

use crate::args::{Cli, DevicesArgs};
use crate::device;
use crate::error::CliError;
use crate::output::{self, bytes};

const HEAD: [&str; 8] = ["device", "name", "target", "units", "wave", "memory", "driver/runtime", "kernels"];

pub fn run(cli: &Cli, args: &DevicesArgs) -> Result<(), CliError> {
    let cpu = processor(&cli.common)?;
    let Survey { runtime, devices, .. } = Survey::take();
    let found = runtime.map_err(OpenError::from).and_then(|_| Ok(devices?));
    let (devices, problem) = match found {
        Ok(devices) if devices.is_empty() => (devices, Some(OpenError::NoDevice)),
        Ok(devices) => (devices, None),
        Err(error) => (Vec::new(), Some(error)),
    };
    let memory = system_memory();
    if args.json {
        let gpus = devices.iter().map(as_json);
        let (total, free) = (memory.map(|m| m.total), memory.map(|m| m.free));
        let cpu = json!({ "device": "cpu", "name": cpu.name, "memory_bytes": total, "memory_free_bytes": free });
        output::print_json(&std::iter::once(cpu).chain(gpus).collect())?;
    } else {
        let mut first = HEAD.map(|_| String::new());
        (first[0], first[1]) = ("cpu".into(), cpu.name);
        first[5] = memory.map(in_words).unwrap_or_default();
        let rows: Vec<_> = [HEAD.map(String::from), first].into_iter().chain(devices.iter().map(row)).collect();
        output::print(&table(&rows))?;
    }
    if let Some(problem) = problem {
        eprintln!("no GPU: {}; `rocmforge doctor` tells more", Fallback(problem.into()));
    }
    Ok(())
}

/// Memory of the machine: all of it, and what programs may still take. `None` where the system does not tell.
fn system_memory() -> Option<MemoryInfo> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let of = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
        Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
    };
    Some(MemoryInfo { free: of("MemAvailable")?, total: of("MemTotal")? })
}

/// The processor as a device.
pub fn processor(common: &CommonArgs) -> Result<DeviceInfo, CliError> {
    let cpu = CpuBackend::new(common.threads).map_err(rocmforge_engine::EngineError::from)?;
    Ok(cpu.device().clone())
}

fn row(device: &DeviceSurvey) -> [String; 8] {
    let it = &device.properties;
    [
        device::flag(it),
        it.name.clone(),
        it.arch.clone(),
        it.compute_units.to_string(),
        it.wave_size.to_string(),
        memory(device),
        format!("{}/{}", it.driver_version, it.runtime_version),
        kernels(device.kernels),
    ]
}

/// Free and total memory in words.
pub fn memory(device: &DeviceSurvey) -> String {
    match &device.memory {
        Ok(memory) => in_words(*memory),
        Err(error) => format!("{} ({error})", bytes(device.properties.memory_bytes)),
    }
}

fn in_words(memory: MemoryInfo) -> String {
    format!("{} of {} free", bytes(memory.free), bytes(memory.total))
}

/// Where kernels come from, in words.
pub fn kernels(inventory: Inventory) -> String {
    let parts = [
        (inventory.embedded, "embedded"),
        (inventory.cached, "compiled before"),
        (inventory.missing, "compiled at first use"),
    ];
    let parts: Vec<_> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    parts.join(", ")
}

/// Columns side by side; the last one is not filled up.
fn table(rows: &[[String; 8]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 8] = std::array::from_fn(width);
    let line = |row: &[String; 8]| {
        let cells: Vec<_> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

fn as_json(device: &DeviceSurvey) -> Value {
    let DeviceSurvey { properties: it, memory, kernels, .. } = device;
    json!({
        "device": device::flag(it),
        "name": it.name,
        "target": it.arch,
        "target_full": it.arch_full,
        "compute_units": it.compute_units,
        "wave_size": it.wave_size,
        "memory_bytes": it.memory_bytes,
        "memory_free_bytes": memory.as_ref().ok().map(|memory| memory.free),
        "memory_error": memory.as_ref().err().map(HipError::to_string),
        "integrated": it.integrated,
        "pci_address": it.pci_address,
        "driver_version": it.driver_version.to_string(),
        "runtime_version": it.runtime_version.to_string(),
        "kernels": {
            "total": kernels.total,
            "embedded": kernels.embedded,
            "compiled": kernels.cached,
            "missing": kernels.missing,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_under_each_other() {
        let mut rows = [HEAD.map(String::from), HEAD.map(|_| String::new())];
        rows[1][0] = "hip:10".into();
        rows[1][1] = "a ü longer".into();
        let table = table(&rows);
        let lines: Vec<&str> = table.lines().collect();
        assert!(lines[0].starts_with("device  name        target"), "{table}");
        assert_eq!(lines[1], "hip:10  a ü longer");
    }
}
