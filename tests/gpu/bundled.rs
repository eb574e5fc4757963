//! The bundled model in three types of weights, on the device and on the processor, and what is expected of it.

use std::path::Path;
use std::sync::Arc;

use rocmforge_engine::{Engine, EngineOptions, ModelFile};
use rocmforge_hip_backend::{HipBackend, HipOptions};
use serde_json::Value;

/// The types of weights, the most precise first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weights {
    F16,
    Q8_0,
    Q4KM,
}

impl Weights {
    pub const ALL: [Weights; 3] = [Weights::F16, Weights::Q8_0, Weights::Q4KM];

    pub fn name(self) -> &'static str {
        match self {
            Weights::F16 => "f16",
            Weights::Q8_0 => "q8_0",
            Weights::Q4KM => "q4_k_m",
        }
    }

    /// The file: from the folder of data, or from inside this program.
    pub fn file(self, data: &Path) -> Result<Arc<ModelFile>, String> {
        let file = match self {
            Weights::Q4KM => ModelFile::from_static(rocmforge_demo_model::NAME, rocmforge_demo_model::GGUF),
            _ => ModelFile::open(data.join(format!("demo/demo-{}.gguf", self.name()))),
        };
        file.map(Arc::new).map_err(lacking)
    }
}

fn lacking(error: impl std::fmt::Display) -> String {
    format!("{error} (--data names the folder of the tests' data)")
}

/// A text of the folder of data.
pub fn text(data: &Path, name: &str) -> Result<String, String> {
    let path = data.join("demo").join(name);
    std::fs::read_to_string(&path).map_err(|error| lacking(format!("{}: {error}", path.display())))
}

/// What another implementation answers.
pub fn expected(data: &Path) -> Result<Value, String> {
    serde_json::from_str(&text(data, "expect.json")?).map_err(|error| format!("expect.json: {error}"))
}

/// A prompt with its greedy answer.
pub struct Case {
    pub name: String,
    pub prompt: Vec<u32>,
    pub greedy: String,
    pub greedy_ids: Vec<u32>,
    /// The most probable first tokens and their log-probabilities.
    pub first: Vec<(u32, f32)>,
}

/// The cases.
pub fn cases(data: &Path) -> Result<Vec<Case>, String> {
    let expected = expected(data)?;
    let all = expected["cases"].as_array().ok_or("expect.json has no cases")?;
    all.iter().map(case).collect::<Result<_, _>>().map_err(|error| format!("expect.json: {error}"))
}

fn case(value: &Value) -> Result<Case, serde_json::Error> {
    Ok(Case {
        name: serde_json::from_value(value["name"].clone())?,
        prompt: serde_json::from_value(value["prompt_ids"].clone())?,
        greedy: serde_json::from_value(value["greedy"].clone())?,
        greedy_ids: serde_json::from_value(value["greedy_ids"].clone())?,
        first: serde_json::from_value(value["first_top5"].clone())?,
    })
}

/// An engine on the device.
pub fn on_device(file: Arc<ModelFile>, hip: HipOptions, options: EngineOptions) -> Result<Engine, String> {
    let backend = HipBackend::open(hip).map_err(|e| e.to_string())?;
    Engine::with_backend(file, Box::new(backend), options).map_err(|e| e.to_string())
}

/// Sizes of an engine for one sequence of the bundled model's whole context.
pub fn options() -> EngineOptions {
    EngineOptions { context_length: Some(2048), logits_per_step: 512, ..EngineOptions::default() }
}
