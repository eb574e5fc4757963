//! Tiny models of many architectures against the logits that another implementation computed in float32.

use std::path::Path;

use rocmforge_hip_backend::{HipBackend, HipOptions, Precision};
use rocmforge_program::backend::KvType;
use rocmforge_tests::{Loaded, nmse, read_f32, read_json};

use crate::report::Report;

/// The whole prompt at once, and token by token; in f32 and as it is used.
const CASES: [(&str, Precision, KvType, bool, f64); 4] = [
    ("exact, one step", Precision::Exact, KvType::F32, false, 1e-5),
    ("exact, by token", Precision::Exact, KvType::F32, true, 1e-5),
    ("fast, one step", Precision::Fast, KvType::F16, false, 1e-3),
    ("fast, by token", Precision::Fast, KvType::F16, true, 1e-3),
];

#[derive(clap::Args)]
pub struct Which {
    /// Only models whose names contain one of these
    names: Vec<String>,
    /// Only models of exactly these names
    #[arg(long)]
    exact: bool,
}

impl Which {
    fn has(&self, model: &str) -> bool {
        let fits = |name: &String| if self.exact { model == name } else { model.contains(name.as_str()) };
        self.names.is_empty() || self.names.iter().any(fits)
    }
}

pub fn run(data: &Path, which: &Which, report: &mut Report) {
    let folder = data.join("golden");
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut models: Vec<_> = entries.flatten().map(|e| e.path()).filter(|p| p.join("model.gguf").exists()).collect();
    models.sort();
    for model in models {
        let of = model.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !which.has(&of) {
            continue;
        }
        for (case, precision, kv_type, by_token, bound) in CASES {
            let error = error_of(&model, precision, kv_type, by_token);
            match error {
                Ok(error) => report.bound(&format!("golden {of}, {case}"), error, bound),
                Err(error) => report.check(&format!("golden {of}, {case}"), Err(error)),
            }
        }
    }
}

fn error_of(folder: &Path, precision: Precision, kv_type: KvType, by_token: bool) -> Result<f64, String> {
    let tokens: Vec<u32> = serde_json::from_value(read_json(&folder.join("tokens.json"))).map_err(|e| e.to_string())?;
    let truth = read_f32(&folder.join("logits.f32"));
    let options = HipOptions { precision, ..HipOptions::default() };
    let backend = HipBackend::open(options).map_err(|e| e.to_string())?;
    let mut model = Loaded::try_new(backend, &folder.join("model.gguf"), kv_type, 1, 64).map_err(|e| e.to_string())?;
    let mut logits = Vec::new();
    if by_token {
        for (before, token) in tokens.iter().enumerate() {
            logits.extend(model.step(&[(0, before, &[*token])]).map_err(|e| e.to_string())?);
        }
    } else {
        logits = model.step(&[(0, 0, &tokens)]).map_err(|e| e.to_string())?;
    }
    Ok(nmse(&logits, &truth))
}
