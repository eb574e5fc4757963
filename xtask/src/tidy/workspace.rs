//! The workspace as data: the rules read this and nothing else, so that tests can make one up.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::kernels::test_objects;
use crate::process;

/// Folders that hold no sources of ours.
const SKIPPED_FOLDERS: &[&str] = &["target", ".git", "corpus", "artifacts", "book", "__pycache__", "node_modules"];
/// Endings of the files whose text is read.
const TEXT_ENDINGS: &[&str] = &["rs", "md", "toml", "py", "sh", "hip", "h", "hpp", "cpp", "yml", "yaml"];
/// Text files without an ending.
const TEXT_NAMES: &[&str] = &["LICENSE", "LICENSE-MIT", "LICENSE-APACHE", "run", ".gitignore"];

/// Files and packages; paths are relative to the root, with `/`.
#[derive(Debug, Default)]
pub struct Workspace {
    /// Every file and folder.
    pub paths: BTreeSet<String>,
    /// Contents of text files.
    pub texts: BTreeMap<String, String>,
    /// The archive of code objects that tests execute.
    pub test_objects: Vec<u8>,
    /// Packages of the workspace.
    pub packages: Vec<Package>,
}

/// A package of the workspace.
#[derive(Debug, Default, Clone)]
pub struct Package {
    pub name: String,
    /// Its folder.
    pub folder: String,
    pub description: String,
    /// Fields of the manifest that are missing, of those that a published package needs.
    pub missing: Vec<&'static str>,
    pub published: bool,
    pub has_library: bool,
    /// The file at the root of its library, or else of its program, or else of its tests.
    pub root_file: String,
    pub dependencies: Vec<Dependency>,
}

/// A direct dependency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    pub name: String,
    /// Used by tests, examples and benches alone.
    pub dev: bool,
}

impl Package {
    /// The folder's own name: `quant` for `rocmforge-quant`.
    pub fn room(&self) -> &str {
        room_of(&self.name)
    }
}

/// A package's name without the project's.
pub fn room_of(package: &str) -> &str {
    package.strip_prefix("rocmforge-").unwrap_or(package)
}

impl Workspace {
    pub fn read(root: &Path) -> Result<Self> {
        let mut workspace = Self::default();
        workspace.read_folder(root, "")?;
        // One that is missing is as stale as an empty one.
        workspace.test_objects = fs::read(root.join(test_objects::PATH)).unwrap_or_default();
        let metadata = process::stdout_of(
            process::cargo().args(["metadata", "--format-version", "1", "--no-deps"]).current_dir(root),
        )?;
        let metadata: Value = serde_json::from_slice(&metadata).context("cargo metadata is not JSON")?;
        let prefix = metadata["workspace_root"].as_str().unwrap_or_default();
        workspace.packages = list(&metadata["packages"]).map(|package| package_of(package, prefix)).collect();
        workspace.packages.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(workspace)
    }

    fn read_folder(&mut self, root: &Path, folder: &str) -> Result<()> {
        let at = root.join(folder);
        for entry in fs::read_dir(&at).with_context(|| format!("cannot read {}", at.display()))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
            let kind = entry.file_type()?;
            if kind.is_dir() && !SKIPPED_FOLDERS.contains(&name.as_str()) {
                self.paths.insert(path.clone());
                self.read_folder(root, &path)?;
            } else if kind.is_file() {
                if is_text(&name) {
                    let bytes = fs::read(entry.path()).with_context(|| format!("cannot read {path}"))?;
                    self.texts.insert(path.clone(), String::from_utf8_lossy(&bytes).into_owned());
                }
                self.paths.insert(path);
            }
        }
        Ok(())
    }

    /// The text of a file, or an empty one.
    pub fn text(&self, path: &str) -> &str {
        self.texts.get(path).map_or("", String::as_str)
    }

    /// Files of one ending and their texts.
    pub fn texts_ending<'a>(&'a self, ending: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.texts
            .iter()
            .filter(move |(path, _)| path.ends_with(ending))
            .map(|(path, text)| (path.as_str(), text.as_str()))
    }
}

fn is_text(name: &str) -> bool {
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    TEXT_ENDINGS.contains(&ending) || TEXT_NAMES.contains(&name)
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// Kinds of a library that other packages use; the second is told for one that names its kinds.
const LIBRARIES: [&str; 2] = ["lib", "rlib"];

fn package_of(package: &Value, prefix: &str) -> Package {
    let text = |key: &str| package[key].as_str().unwrap_or_default().to_string();
    let manifest = text("manifest_path").replace('\\', "/");
    let prefix = prefix.replace('\\', "/") + "/";
    let folder = manifest.strip_prefix(&prefix).unwrap_or(&manifest).trim_end_matches("/Cargo.toml").to_string();
    let missing = ["description", "license", "readme", "repository"];
    let target = |kind: &str| {
        let target = list(&package["targets"]).find(|t| list(&t["kind"]).any(|k| k == kind))?;
        let path = target["src_path"].as_str()?.replace('\\', "/");
        Some(path.strip_prefix(&prefix).unwrap_or(&path).to_string())
    };
    let dependency = |d: &Value| Dependency {
        name: d["name"].as_str().unwrap_or_default().to_string(),
        dev: d["kind"].as_str() == Some("dev"),
    };
    Package {
        name: text("name"),
        folder,
        description: text("description"),
        missing: missing.into_iter().filter(|key| text(key).is_empty()).collect(),
        published: package["publish"].is_null(),
        has_library: LIBRARIES.into_iter().any(|kind| target(kind).is_some()),
        root_file: LIBRARIES.into_iter().chain(["cdylib", "bin", "test"]).find_map(target).unwrap_or_default(),
        dependencies: list(&package["dependencies"]).map(dependency).collect(),
    }
}

#[cfg(test)]
pub mod fake {
    //! Workspaces for the tests of rules.

    use super::*;

    /// A workspace of these files, and no packages.
    pub fn files(files: &[(&str, &str)]) -> Workspace {
        let mut workspace = Workspace::default();
        for (path, text) in files {
            workspace.texts.insert(path.to_string(), text.to_string());
            let ends = path.match_indices('/').map(|(end, _)| end).chain([path.len()]);
            workspace.paths.extend(ends.map(|end| path[..end].to_string()));
        }
        workspace
    }

    /// A published library in `crates/ROOM` with these dependencies.
    pub fn library(room: &str, dependencies: &[&str]) -> Package {
        let name = |d: &str| d.trim_start_matches("dev:").to_string();
        Package {
            name: format!("rocmforge-{room}"),
            folder: format!("crates/{room}"),
            description: format!("the {room}"),
            published: true,
            has_library: true,
            root_file: format!("crates/{room}/src/lib.rs"),
            dependencies: dependencies
                .iter()
                .map(|d| Dependency { name: name(d), dev: d.starts_with("dev:") })
                .collect(),
            missing: Vec::new(),
        }
    }

    /// The findings as text.
    pub fn found(findings: Vec<super::super::Finding>) -> Vec<String> {
        findings.iter().map(ToString::to_string).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_read_from_cargos_words() {
        let value = serde_json::json!({
            "name": "rocmforge-quant", "manifest_path": "/r/crates/quant/Cargo.toml", "description": "d",
            "license": "MIT", "readme": null, "repository": "r", "publish": null,
            "targets": [{ "kind": ["test"], "src_path": "/r/crates/quant/tests/it.rs" },
                        { "kind": ["lib"], "src_path": "/r/crates/quant/src/lib.rs" }],
            "dependencies": [{ "name": "half", "kind": null }, { "name": "criterion", "kind": "dev" }],
        });
        let package = package_of(&value, "/r");
        assert_eq!((package.room(), package.folder.as_str()), ("quant", "crates/quant"));
        assert_eq!(package.missing, ["readme"]);
        assert!(package.has_library && package.published);
        assert_eq!(package.dependencies[1], Dependency { name: "criterion".into(), dev: true });
        assert_eq!(package.root_file, "crates/quant/src/lib.rs");
    }

    #[test]
    fn this_workspace_can_be_read() {
        let workspace = Workspace::read(process::root()).expect("it is there");
        assert!(workspace.text("xtask/src/main.rs").contains("fn main"));
        assert!(workspace.packages.iter().any(|p| p.name == "xtask"));
        assert!(!workspace.paths.contains("target"));
    }
}
