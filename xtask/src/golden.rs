//! `cargo xtask golden`: both interpreters against logits of an independent implementation.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use crate::{process, table};

/// Options of `golden`.
#[derive(Debug, Args)]
pub struct GoldenArgs {
    /// Folder of folders, each with model.gguf, tokens.json and logits.f32 [default: tests/data/golden]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Only models whose name contains this
    #[arg(long, value_name = "NAME", default_value = "")]
    only: String,
    /// Threads of the fast interpreter
    #[arg(long, value_name = "N", default_value_t = 2)]
    threads: usize,
}

/// An interpreter and how far it may be from the truth.
struct Interpreter {
    flags: &'static [&'static str],
    /// The reference adds in f64 and keeps f32 between ops; the golden logits are f32 themselves. The fast one
    /// quantizes activations to 8 bits where weights are quantized.
    max_nmse: f64,
}

const REFERENCE: Interpreter = Interpreter { flags: &["--reference"], max_nmse: 1e-6 };
const FAST: Interpreter = Interpreter { flags: &[], max_nmse: 1e-5 };

/// How two lists of logits compare.
#[derive(Debug, PartialEq)]
struct Difference {
    /// Squared error over the squared truth.
    nmse: f64,
    /// Positions at which the likeliest token is the same.
    same_argmax: usize,
    positions: usize,
}

/// Compares every golden model on both interpreters and prints a table.
pub fn run(args: &GoldenArgs) -> Result<()> {
    let data = args.data.clone().unwrap_or_else(|| process::root().join("tests/data/golden"));
    let models = models(&data, &args.only)?;
    let program = process::build_rocmforge()?;
    let mut rows = Vec::new();
    let mut failures = Vec::new();
    for folder in &models {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut row = vec![name.clone()];
        for interpreter in [&REFERENCE, &FAST] {
            match difference(&program, folder, interpreter, args.threads) {
                Ok(d) => {
                    row.push(format!("{:.2e}", d.nmse));
                    row.push(format!("{}/{}", d.same_argmax, d.positions));
                    // A NaN is no small number.
                    if d.nmse.is_nan() || d.nmse > interpreter.max_nmse {
                        failures.push(format!("{name}{}: NMSE {:.2e}", interpreter.label(), d.nmse));
                    }
                }
                Err(error) => {
                    row.extend(["-".into(), "-".into()]);
                    failures.push(format!("{name}{}: {error:#}", interpreter.label()));
                }
            }
        }
        rows.push(row);
    }
    print!("{}", table::render(&["model", "reference NMSE", "argmax", "fast NMSE", "argmax"], &rows));
    for failure in &failures {
        eprintln!("{failure}");
    }
    if !failures.is_empty() {
        let (reference, fast) = (REFERENCE.max_nmse, FAST.max_nmse);
        bail!("{} comparisons failed; NMSE may be at most {reference:e} (reference), {fast:e} (fast)", failures.len());
    }
    println!("{} models agree", models.len());
    Ok(())
}

impl Interpreter {
    fn label(&self) -> String {
        self.flags.iter().map(|flag| format!(" {flag}")).collect()
    }
}

fn models(data: &Path, only: &str) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(data).with_context(|| format!("cannot read {}", data.display()))?;
    let folders = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().contains(only);
    let mut models: Vec<PathBuf> = folders.filter(|path| path.join("model.gguf").is_file() && name(path)).collect();
    models.sort();
    ensure!(!models.is_empty(), "no golden model in {} has a name with `{only}`", data.display());
    Ok(models)
}

fn difference(program: &Path, folder: &Path, interpreter: &Interpreter, threads: usize) -> Result<Difference> {
    let output = std::env::temp_dir().join(format!("rocmforge-golden-{}.f32", std::process::id()));
    let mut command = Command::new(program);
    command.arg("logits").arg("--model").arg(folder.join("model.gguf"));
    command.arg("--tokens").arg(folder.join("tokens.json")).arg("--output").arg(&output);
    command.args(["--kv-type", "f32", "--threads", &threads.to_string()]).args(interpreter.flags);
    let ours = process::stdout_of(&mut command).and_then(|_| floats(&output));
    // Nothing is lost if a temporary file stays behind.
    let _ = fs::remove_file(&output);
    let tokens: Vec<u32> = serde_json::from_slice(&fs::read(folder.join("tokens.json"))?).context("tokens.json")?;
    compare(&ours?, &floats(&folder.join("logits.f32"))?, tokens.len())
}

fn floats(path: &Path) -> Result<Vec<f32>> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let (chunks, rest) = bytes.as_chunks::<4>();
    ensure!(rest.is_empty(), "{}: {} bytes are no list of f32", path.display(), bytes.len());
    Ok(chunks.iter().map(|&chunk| f32::from_le_bytes(chunk)).collect())
}

fn compare(ours: &[f32], truth: &[f32], positions: usize) -> Result<Difference> {
    ensure!(ours.len() == truth.len(), "{} logits, expected {}", ours.len(), truth.len());
    ensure!(
        positions > 0 && !truth.is_empty() && truth.len().is_multiple_of(positions),
        "{} logits for {positions} tokens",
        truth.len()
    );
    let square = |x: f64| x * x;
    let error: f64 = ours.iter().zip(truth).map(|(&a, &b)| square(f64::from(a) - f64::from(b))).sum();
    let scale: f64 = truth.iter().map(|&b| square(f64::from(b))).sum();
    let vocab = truth.len() / positions;
    let rows = ours.chunks_exact(vocab).zip(truth.chunks_exact(vocab));
    Ok(Difference { nmse: error / scale, same_argmax: rows.filter(|(a, b)| argmax(a) == argmax(b)).count(), positions })
}

fn argmax(row: &[f32]) -> Option<usize> {
    (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_measured() {
        let truth = [1.0, 2.0, 2.0, 0.0];
        assert_eq!(
            compare(&truth, &truth, 2).expect("same size"),
            Difference { nmse: 0.0, same_argmax: 2, positions: 2 }
        );
        let d = compare(&[1.0, 2.0, 0.0, 3.0], &truth, 2).expect("same size");
        assert_eq!((d.nmse, d.same_argmax), (13.0 / 9.0, 1));
        assert!(compare(&[f32::NAN; 4], &truth, 2).expect("same size").nmse.is_nan());
    }

    #[test]
    fn lists_of_different_size_are_refused() {
        assert!(compare(&[1.0], &[1.0, 2.0], 1).is_err());
        assert!(compare(&[1.0, 2.0, 3.0], &[1.0, 2.0, 3.0], 2).is_err());
        assert!(compare(&[], &[], 0).is_err());
    }

    #[test]
    fn models_are_chosen_by_name() {
        let data = process::root().join("tests/data/golden");
        assert!(models(&data, "").expect("they are in the repository").len() > 10);
        assert!(models(&data, "llama-y").expect("there is one").iter().all(|p| p.ends_with("llama-yarn")));
        assert!(models(&data, "no such model").is_err());
    }

    #[test]
    fn floats_are_little_endian() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("x.f32");
        fs::write(&path, [0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0]).expect("it can be written");
        assert_eq!(floats(&path).expect("two numbers"), [1.0, -2.0]);
        fs::write(&path, [0; 5]).expect("it can be written");
        assert!(floats(&path).is_err());
    }
}
