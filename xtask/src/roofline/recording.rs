//! Counts of one model, kept in a file: they hold for every card that executes the same code.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use super::launches::{Key, Launches, Sum};
use super::shape::Model;

/// Counts of all steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recording {
    /// The model's name.
    pub model: String,
    /// Target of the code that was executed.
    pub target: String,
    pub steps: Vec<Step>,
}

/// One step of the engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    #[serde(flatten)]
    pub kind: StepKind,
    /// What each kind of layer launches, and what runs once a step, in the order of [`Model::layer_kinds`].
    pub parts: Vec<Part>,
}

/// What a step computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepKind {
    /// Sequences.
    pub sequences: u64,
    /// Tokens of each sequence.
    pub tokens: u64,
    /// Tokens of each sequence before this step.
    pub context: u64,
}

impl StepKind {
    /// Whether it computes a prompt.
    pub fn is_prefill(&self) -> bool {
        self.tokens > 1
    }
}

/// What is launched for a layer of one kind, or once a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// How often the step does this.
    pub times: u64,
    pub rows: Vec<Row>,
}

/// Launches of a part that are alike.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    #[serde(flatten)]
    pub key: Key,
    #[serde(flatten)]
    pub sum: Sum,
    /// Waves that a SIMD holds at once.
    pub occupancy: u64,
    /// Whether workgroups may spread over the two compute units of a work-group processor.
    pub wgp: bool,
}

/// Waves that a SIMD holds of a kernel, and whether it runs in WGP mode, by module and kernel.
pub type Residency = BTreeMap<(String, String), (u64, bool)>;

impl Step {
    /// From the launches of models with few layers. One kind: with one layer and with two. Two kinds: with one layer of
    /// the first kind, one of the second, and one of each.
    ///
    /// # Errors
    /// If a layer launches less with another beside it, or a kernel is unknown.
    pub fn from_runs(kind: StepKind, model: &Model, runs: &[Launches], residency: &Residency) -> Result<Self> {
        let kinds = model.layer_kinds();
        let without = |all: &Launches, part: &Launches| all.clone().plus(part, -1).checked();
        let (layers, rest) = match (kinds.len(), runs) {
            (1, [one, two]) => {
                let layer = without(two, one)?;
                let rest = without(one, &layer)?;
                (vec![layer], rest)
            }
            (2, [first, second, both]) => {
                let layers = vec![without(both, second)?, without(both, first)?];
                let rest = without(first, &layers[0])?;
                (layers, rest)
            }
            _ => anyhow::bail!("{} runs for {} kinds of layers", runs.len(), kinds.len()),
        };
        let times = kinds.iter().map(|kind| kind.layers).chain([1]);
        let parts = layers.iter().chain([&rest]).zip(times);
        Ok(Self { kind, parts: parts.map(|(launches, n)| Part::new(n, launches, residency)).collect::<Result<_>>()? })
    }
}

impl Part {
    fn new(times: u64, launches: &Launches, residency: &Residency) -> Result<Self> {
        let row = |(key, sum): (&Key, &Sum)| {
            let found = residency.get(&(key.module.clone(), key.kernel.clone()));
            let &(occupancy, wgp) = found.with_context(|| format!("{}: no kernel {}", key.module, key.kernel))?;
            Ok(Row { key: key.clone(), sum: *sum, occupancy, wgp })
        };
        Ok(Self { times, rows: launches.0.iter().map(row).collect::<Result<_>>()? })
    }
}

impl Recording {
    /// Reads a file.
    ///
    /// # Errors
    /// If it cannot be read, or is of another form.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read(path).with_context(|| path.display().to_string())?;
        let recording: Self = serde_json::from_slice(&text).with_context(|| path.display().to_string())?;
        let kinds = recording.model()?.layer_kinds().len();
        for step in &recording.steps {
            ensure!(step.parts.len() == kinds + 1, "{}: {} parts of a step", path.display(), step.parts.len());
        }
        Ok(recording)
    }

    /// Writes a file.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_vec_pretty(self)?;
        fs::write(path, text).with_context(|| path.display().to_string())
    }

    /// The model's shape.
    ///
    /// # Errors
    /// If there is no such model.
    pub fn model(&self) -> Result<Model> {
        Model::named(&self.model)
    }
}

#[cfg(test)]
mod tests {
    use super::super::launches::tests::line;
    use super::*;

    const DECODE: StepKind = StepKind { sequences: 1, tokens: 1, context: 0 };

    fn residency() -> Residency {
        ["layer", "more", "once"].map(|name| (("m".into(), name.into()), (16, true))).into()
    }

    fn run(kernels: &[&str]) -> Launches {
        Launches::parse(&kernels.iter().map(|kernel| line("m", kernel, 1, 10)).collect::<Vec<_>>()).unwrap()
    }

    fn kernels(step: &Step) -> Vec<(u64, Vec<&str>)> {
        let names = |part: &'_ Part| part.rows.iter().map(|row| row.key.kernel.clone()).collect::<Vec<_>>();
        let names = step.parts.iter().map(|part| (part.times, names(part)));
        names.map(|(times, names)| (times, names.into_iter().map(|name| &*name.leak()).collect())).collect()
    }

    #[test]
    fn two_lengths_tell_layers_from_the_rest() {
        let model = Model::named("llama-8b:q4_0").unwrap();
        let runs = [run(&["layer", "once"]), run(&["layer", "layer", "once"])];
        let step = Step::from_runs(DECODE, &model, &runs, &residency()).unwrap();
        assert_eq!(kernels(&step), [(32, vec!["layer"]), (1, vec!["once"])]);
    }

    #[test]
    fn three_models_tell_two_kinds_of_layers_from_the_rest() {
        let model = Model::named("llama-8b:q4_k_m").unwrap();
        let runs = [run(&["layer", "once"]), run(&["more", "layer", "once"]), run(&["more", "layer", "layer", "once"])];
        let step = Step::from_runs(DECODE, &model, &runs, &residency()).unwrap();
        assert_eq!(kernels(&step), [(16, vec!["layer"]), (16, vec!["layer", "more"]), (1, vec!["once"])]);
        assert!(Step::from_runs(DECODE, &model, &runs[..2], &residency()).is_err());
    }

    #[test]
    fn a_recording_comes_back_from_its_file() {
        let model = Model::named("llama-8b:q4_0").unwrap();
        let runs = [run(&["layer", "once"]), run(&["layer", "layer", "once"])];
        let steps = vec![Step::from_runs(DECODE, &model, &runs, &residency()).unwrap()];
        let recording = Recording { model: model.name(), target: "gfx1100".into(), steps };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("counts.json");
        recording.write(&path).unwrap();
        assert_eq!(Recording::read(&path).unwrap(), recording);
        fs::write(&path, "{}").unwrap();
        assert!(Recording::read(&path).is_err());
    }
}
