//! Counts of a model's steps: the real backend on the emulator, with few layers.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use rocmforge_kernels::Archive;
use serde::Deserialize;
use serde_json::Value;

use super::file;
use super::launches::Launches;
use super::recording::{Recording, Residency, Step, StepKind, few_layers};
use super::shape::Model;
use crate::gpu::{Artifact, Programs};
use crate::kernels::residency;
use crate::process;

/// The target whose code is executed.
pub const TARGET: &str = "gfx1100";

/// One line of `gpu-tests launches`.
#[derive(Debug, Deserialize)]
struct Counted {
    #[serde(flatten)]
    kind: StepKind,
    launches: Vec<Value>,
}

/// Runs models of the shape with one or two layers, and takes their differences.
///
/// # Errors
/// If something cannot be built, or the emulator finds a fault.
pub fn record(model: &Model, steps: &[StepKind], programs: &Programs) -> Result<Recording> {
    let (gpu_tests, library) = (programs.get(Artifact::GpuTests)?, programs.get(Artifact::FakeHip)?);
    let objects = process::root().join(format!("kernels/objects/{TARGET}.bin"));
    let residency = residencies(&objects)?;
    let mut runs = Vec::new();
    for layers in few_layers(model) {
        let start = Instant::now();
        let folder = tempfile::tempdir()?;
        let (path, counts) = (folder.path().join("model.gguf"), folder.path().join("counts.jsonl"));
        file::write(&path, model, &layers)?;
        let mut command = Command::new(&gpu_tests);
        command.arg("launches").arg(&path).arg("--counts").arg(&counts);
        for StepKind { sequences, tokens, context } in steps {
            command.arg("--step").arg(format!("{sequences},{tokens},{context}"));
        }
        command.env("ROCMFORGE_HIP_LIBRARY", &library);
        command.env("ROCMFORGE_FAKE_HIP", format!("emulate:{TARGET}"));
        command.env("ROCMFORGE_FAKE_HIP_COUNTS", &counts).env("ROCMFORGE_FAKE_HIP_OBJECTS", &objects);
        // What the emulator says of a fault is more than the last line.
        command.env("ROCMFORGE_FAKE_HIP_MEMORY", "64G").stderr(Stdio::inherit());
        runs.push(parse(&process::stdout_of(&mut command)?, steps)?);
        eprintln!("{} layers of {}: {:.0} s", layers.len(), model.name(), start.elapsed().as_secs_f64());
    }
    let step = |(at, kind): (usize, &StepKind)| {
        let runs: Vec<Launches> = runs.iter().filter_map(|run: &Vec<Launches>| run.get(at).cloned()).collect();
        Step::from_runs(*kind, model, &runs, &residency)
    };
    let steps = steps.iter().enumerate().map(step).collect::<Result<_>>()?;
    Ok(Recording { model: model.name(), target: TARGET.into(), steps })
}

/// The launches of each step.
fn parse(output: &[u8], steps: &[StepKind]) -> Result<Vec<Launches>> {
    let text = std::str::from_utf8(output)?;
    let lines = text.lines().map(|line| serde_json::from_str(line).with_context(|| line.to_owned()));
    let counted = lines.collect::<Result<Vec<Counted>>>()?;
    ensure!(counted.iter().map(|c| &c.kind).eq(steps), "gpu-tests has run other steps");
    counted.iter().map(|counted| Launches::parse(&counted.launches)).collect()
}

/// What the registers of each kernel leave room for.
fn residencies(objects: &Path) -> Result<Residency> {
    let help = || format!("{}: cargo xtask kernels --arch {TARGET} makes it", objects.display());
    let bytes = fs::read(objects).with_context(help)?;
    let archive = Archive::read(&bytes)?;
    let mut all = Residency::new();
    for entry in &archive.entries {
        for (kernel, waves, wgp) in residency(TARGET, &archive.unpack(entry)?)? {
            all.insert((entry.name.clone(), kernel), (waves, wgp));
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::super::launches::tests::line;
    use super::*;
    use serde_json::json;

    #[test]
    fn output_of_other_steps_is_refused() {
        let kind = StepKind { sequences: 1, tokens: 1, context: 7 };
        let text = json!({"sequences": 1, "tokens": 1, "context": 7, "launches": [line("m", "k", 1, 1)]}).to_string();
        assert_eq!(parse(text.as_bytes(), &[kind]).unwrap()[0].0.len(), 1);
        assert!(parse(text.as_bytes(), &[StepKind { context: 8, ..kind }]).is_err());
        assert!(parse(b"", &[kind]).is_err() && parse(b"ok", &[kind]).is_err());
    }
}
