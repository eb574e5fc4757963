//! Rules about packages: what a reader and a registry need of each.

use super::Finding;
use super::workspace::{Package, Workspace};

/// Texts that show that a licence is the licence it is named after.
const LICENCES: [(&str, &str); 2] = [
    ("LICENSE-MIT", "Permission is hereby granted, free of charge"),
    ("LICENSE-APACHE", "TERMS AND CONDITIONS FOR USE"),
];

/// Manifests say what a registry shows.
pub fn metadata(workspace: &Workspace) -> Vec<Finding> {
    let published = workspace.packages.iter().filter(|p| p.published);
    let missing = published.flat_map(|p| p.missing.iter().map(move |field| (p, field)));
    missing.map(|(p, field)| Finding::new(&p.name, format!("its manifest lacks `{field}`"))).collect()
}

/// Every package takes the lints of the workspace.
pub fn lints(workspace: &Workspace) -> Vec<Finding> {
    let lacking =
        |p: &&Package| !workspace.text(&format!("{}/Cargo.toml", p.folder)).contains("[lints]\nworkspace = true");
    let lacking = workspace.packages.iter().filter(lacking);
    lacking.map(|p| Finding::new(format!("{}/Cargo.toml", p.folder), "lacks `[lints] workspace = true`")).collect()
}

/// A README with an example that can be tried; a library includes it in its documentation, so that it is a doc test.
pub fn readme(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in workspace.packages.iter().filter(|p| p.published) {
        let path = format!("{}/README.md", package.folder);
        let Some(text) = workspace.texts.get(&path) else {
            findings.push(Finding::new(path, "is missing"));
            continue;
        };
        let fence = if package.has_library { "```rust\n" } else { "```sh\n" };
        if !text.contains(fence) {
            findings.push(Finding::new(&path, format!("has no example that begins with `{}`", fence.trim_end())));
        }
        let root = &package.root_file;
        if package.has_library && !workspace.text(root).contains("#![doc = include_str!(\"../README.md\")]") {
            findings.push(Finding::new(root.as_str(), "does not include its README as documentation"));
        }
    }
    findings
}

/// The page about the house names every room.
pub fn in_architecture(workspace: &Workspace) -> Vec<Finding> {
    const PAGE: &str = "docs/ARCHITECTURE.md";
    let text = workspace.text(PAGE);
    let named = |p: &&Package| text.contains(&format!("`{}`", p.room()));
    let unnamed = workspace.packages.iter().filter(|p| p.published && !named(p));
    unnamed.map(|p| Finding::new(PAGE, format!("does not name `{}`", p.room()))).collect()
}

/// Both licences lie at the root, in full.
pub fn licences(workspace: &Workspace) -> Vec<Finding> {
    let bad = LICENCES.iter().filter(|(path, words)| !workspace.text(path).contains(words));
    bad.map(|(path, words)| Finding::new(*path, format!("is missing or lacks \"{words}\""))).collect()
}

#[cfg(test)]
mod tests {
    use super::super::workspace::fake::{files, found, library};
    use super::*;

    const LIB: &str = "#![doc = include_str!(\"../README.md\")]\n";

    fn quant(texts: &[(&str, &str)]) -> Workspace {
        Workspace { packages: vec![library("quant", &[])], ..files(texts) }
    }

    #[test]
    fn a_missing_field_is_found() {
        let mut workspace = quant(&[]);
        assert!(metadata(&workspace).is_empty());
        workspace.packages[0].missing = vec!["license"];
        assert_eq!(found(metadata(&workspace)), ["rocmforge-quant: its manifest lacks `license`"]);
    }

    #[test]
    fn missing_lints_are_found() {
        assert!(lints(&quant(&[("crates/quant/Cargo.toml", "[lints]\nworkspace = true\n")])).is_empty());
        assert_eq!(lints(&quant(&[("crates/quant/Cargo.toml", "[package]\n")])).len(), 1);
    }

    #[test]
    fn a_readme_without_an_example_is_found() {
        let check = |readme: &str, lib: &str| {
            readme_findings(&[("crates/quant/README.md", readme), ("crates/quant/src/lib.rs", lib)])
        };
        fn readme_findings(texts: &[(&str, &str)]) -> usize {
            readme(&quant(texts)).len()
        }
        assert_eq!(check("# x\n```rust\nf();\n```\n", LIB), 0);
        assert_eq!(check("# x\n", LIB), 1);
        assert_eq!(check("# x\n```rust\nf();\n```\n", "//! x\n"), 1);
        assert_eq!(readme_findings(&[("crates/quant/src/lib.rs", LIB)]), 1);
    }

    #[test]
    fn a_crate_that_the_page_forgets_is_found() {
        assert!(in_architecture(&quant(&[("docs/ARCHITECTURE.md", "`quant` knows block types")])).is_empty());
        assert_eq!(in_architecture(&quant(&[("docs/ARCHITECTURE.md", "quantization")])).len(), 1);
    }

    #[test]
    fn a_missing_or_wrong_licence_is_found() {
        let [(mit, mit_words), (apache, apache_words)] = LICENCES;
        assert!(licences(&files(&[(mit, mit_words), (apache, apache_words)])).is_empty());
        assert_eq!(licences(&files(&[(mit, mit_words), (apache, mit_words)])).len(), 1);
        assert_eq!(licences(&files(&[])).len(), 2);
    }
}
