//! Which kernels an emulated device has run.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader};

use anyhow::{Context, Result};
use rocmforge_kernels::{Module, modules};
use serde::Deserialize;
use tempfile::NamedTempFile;

use super::Library;

/// Where the emulator appends a line of JSON for each launch.
const VARIABLE: &str = "ROCMFORGE_FAKE_HIP_COUNTS";

/// A line of that file, as far as it matters here.
#[derive(Deserialize)]
struct Launch {
    /// Absent for code that is not of the table.
    module: Option<String>,
    kernel: String,
}

/// The launches of all programs that use a library.
pub struct Launches {
    file: NamedTempFile,
}

impl Launches {
    /// Counts what runs from now on.
    pub fn of(library: &mut Library) -> Result<Self> {
        let file = NamedTempFile::new().context("a file for the counts of launches")?;
        library.variables.push((VARIABLE, file.path().into()));
        Ok(Self { file })
    }

    /// Which kernels of the table ran so far.
    pub fn coverage(&self) -> Result<Coverage> {
        let lines = BufReader::new(File::open(self.file.path())?).lines();
        let mut ran = BTreeSet::new();
        for line in lines {
            let line = line?;
            let launch: Launch = serde_json::from_str(&line).with_context(|| format!("the emulator wrote `{line}`"))?;
            ran.extend(launch.module.map(|module| (module, launch.kernel)));
        }
        Ok(Coverage::of(modules(), &ran))
    }
}

/// How many kernels of the table ran, and which did not.
#[derive(Debug)]
pub struct Coverage {
    all: usize,
    /// By module.
    missing: BTreeMap<&'static str, Vec<&'static str>>,
}

impl Coverage {
    fn of(modules: &'static [Module], ran: &BTreeSet<(String, String)>) -> Self {
        let (mut all, mut missing) = (0, BTreeMap::<_, Vec<_>>::new());
        for module in modules {
            all += module.kernels.len();
            let has_run = |kernel: &&String| ran.contains(&(module.name.clone(), (*kernel).clone()));
            for kernel in module.kernels.iter().filter(|kernel| !has_run(kernel)) {
                missing.entry(module.name.as_str()).or_default().push(kernel.as_str());
            }
        }
        Self { all, missing }
    }

    /// How many kernels did not run.
    pub fn left_out(&self) -> usize {
        self.missing.values().map(Vec::len).sum()
    }

    /// `636 of 637 kernels ran`, and a line for each module with others.
    pub fn text(&self) -> String {
        let line = |(module, kernels): (&&str, &Vec<&str>)| format!("\n  not {module}: {}", kernels.join(", "));
        let missing: String = self.missing.iter().map(line).collect();
        format!("{} of {} kernels ran{missing}", self.all - self.left_out(), self.all)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::Command;

    use super::*;

    fn after(lines: impl Iterator<Item = String>) -> Result<Coverage> {
        let mut launches = Launches::of(&mut Library::default())?;
        for line in lines {
            writeln!(launches.file, "{line}")?;
        }
        launches.coverage()
    }

    fn line(module: &str, kernel: &str) -> String {
        format!(r#"{{"module":"{module}","kernel":"{kernel}","grid":[1,1,1]}}"#)
    }

    #[test]
    fn kernels_without_a_launch_are_named_by_module() {
        let all = || modules().iter().flat_map(|m| m.kernels.iter().map(|kernel| line(&m.name, kernel)));
        let whole = after(all().chain(all())).expect("lines of launches");
        assert_eq!(whole.left_out(), 0);
        let count = all().count();
        assert_eq!(whole.text(), format!("{count} of {count} kernels ran"));

        let (first, lost) = (&modules()[0], modules()[0].kernels.len());
        let others = || all().skip(lost).chain([r#"{"module":null,"kernel":"k"}"#.to_owned()]);
        let most = after(others()).expect("lines of launches");
        assert_eq!(most.left_out(), lost);
        let names = first.kernels.join(", ");
        assert_eq!(most.text(), format!("{} of {count} kernels ran\n  not {}: {names}", count - lost, first.name));
    }

    #[test]
    fn a_kernel_of_another_module_with_the_same_name_does_not_count() {
        let mut same = modules().iter().filter(|module| module.kernels.iter().any(|kernel| kernel == "prefill"));
        let (ran, other) = (same.next().expect("a module"), same.next().expect("another"));
        let coverage = after([line(&ran.name, "prefill")].into_iter()).expect("a line of a launch");
        assert!(!coverage.missing.contains_key(ran.name.as_str()));
        assert_eq!(coverage.missing[other.name.as_str()], ["prefill"]);
    }

    #[test]
    fn programs_that_use_the_library_are_told_the_file() {
        let mut library = Library::file("fake.so".into());
        let launches = Launches::of(&mut library).expect("a file");
        let mut command = Command::new("tests");
        library.name_in(&mut command);
        assert!(command.get_envs().any(|pair| pair == (VARIABLE.as_ref(), Some(launches.file.path().as_os_str()))));
    }

    #[test]
    fn a_line_that_was_cut_is_an_error() {
        let error = after([r#"{"module":"#.to_owned()].into_iter()).expect_err("half a line").to_string();
        assert!(error.contains("the emulator wrote"), "{error}");
    }
}
