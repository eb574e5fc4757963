//! Counts of one model, kept in a file: they hold for every card that executes the same code.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use super::launches::{Key, Launches, Sum};
use super::shape::{LayerKind, Model};

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
    /// What each kind of layer launches, in the order of [`Model::layer_kinds`], and the last layer with what runs once a step.
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
    /// From the launches of the models of [`few_layers`]. The last layer is told apart from its like, since of a prompt it
    /// computes only the rows whose logits are wanted.
    ///
    /// # Errors
    /// If a layer launches less with another behind it, or a kernel is unknown.
    pub fn from_runs(kind: StepKind, model: &Model, runs: &[Launches], residency: &Residency) -> Result<Self> {
        let without = |all: &Launches, part: &Launches| all.clone().plus(part, -1).checked();
        let (layers, end) = match runs {
            [last, two] => (vec![without(two, last)?], last),
            [first, last, first_last, last_first] => {
                (vec![without(first_last, last)?, without(last_first, first)?], last)
            }
            _ => bail!("{} runs, which should be 2 or 4", runs.len()),
        };
        let times = times_of_parts(model);
        ensure!(times.len() == layers.len() + 1, "{} kinds of layers for {} parts", layers.len(), times.len());
        let parts = layers.iter().chain([end]).zip(times);
        Ok(Self { kind, parts: parts.map(|(launches, n)| Part::new(n, launches, residency)).collect::<Result<_>>()? })
    }
}

/// The layers of the models that are run: each kind as the last one, and each before the other.
pub fn few_layers(model: &Model) -> Vec<Vec<LayerKind>> {
    match model.layer_kinds()[..] {
        [first, last] => vec![vec![first], vec![last], vec![first, last], vec![last, first]],
        [only] => vec![vec![only], vec![only; 2]],
        _ => Vec::new(),
    }
}

/// How often a step does what each part does: the layers of each kind but for the last one, and then that with what runs
/// once a step.
fn times_of_parts(model: &Model) -> Vec<u64> {
    let mut times: Vec<u64> = model.layer_kinds().iter().map(|kind| kind.layers).collect();
    times.iter_mut().last().into_iter().for_each(|layers| *layers -= 1);
    times.push(1);
    times
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
        ["layer", "more", "last", "once"].map(|name| (("m".into(), name.into()), (16, true))).into()
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
    fn a_second_layer_tells_what_one_launches() {
        let model = Model::named("llama-8b:q4_0").unwrap();
        let runs = [run(&["last", "once"]), run(&["layer", "last", "once"])];
        let step = Step::from_runs(DECODE, &model, &runs, &residency()).unwrap();
        assert_eq!(kernels(&step), [(31, vec!["layer"]), (1, vec!["last", "once"])]);
        let error = Step::from_runs(DECODE, &model, &[run(&["last"]), run(&["layer"])], &residency()).unwrap_err();
        assert!(error.to_string().contains("last of m runs less often"), "{error}");
    }

    #[test]
    fn four_models_tell_two_kinds_of_layers_apart() {
        let model = Model::named("llama-8b:q4_k_m").unwrap();
        let ends = [&["last", "once"][..], &["last", "more", "once"]];
        let runs =
            [ends[0].into(), ends[1].into(), [&["layer"], ends[1]].concat(), [&["layer", "more"], ends[0]].concat()];
        let runs = runs.map(|kernels: Vec<&str>| run(&kernels));
        let step = Step::from_runs(DECODE, &model, &runs, &residency()).unwrap();
        let expected = [(16, vec!["layer"]), (15, vec!["layer", "more"]), (1, vec!["last", "more", "once"])];
        assert_eq!(kernels(&step), expected);
        assert!(Step::from_runs(DECODE, &model, &runs[..2], &residency()).is_err());
        assert_eq!(few_layers(&model).iter().map(Vec::len).collect::<Vec<_>>(), [1, 1, 2, 2]);
    }

    #[test]
    fn a_recording_comes_back_from_its_file() {
        let model = Model::named("llama-8b:q4_0").unwrap();
        let runs = [run(&["last", "once"]), run(&["layer", "last", "once"])];
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
