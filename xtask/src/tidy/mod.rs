//! `cargo xtask tidy`: the project's own rules, which no other tool knows.

mod code;
mod docs;
mod edges;
mod objects;
mod packages;
mod sources;
mod tables;
mod unsafety;
mod workspace;

use std::fmt;

use anyhow::{Result, bail};
use clap::Args;

use crate::process;
use workspace::Workspace;

/// Options of `tidy`.
#[derive(Debug, Default, Args)]
pub struct TidyArgs {
    /// Rewrite the tables in the documentation that are made from the code
    #[arg(long)]
    fix: bool,
}

/// Something that breaks a rule.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// A file, with `:line` where one line is meant, or a package.
    place: String,
    message: String,
}

impl Finding {
    fn new(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self { place: place.into(), message: message.into() }
    }

    fn at(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self::new(format!("{path}:{line}"), message)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

/// A rule: what it is called, and what it finds.
type Rule = (&'static str, fn(&Workspace) -> Vec<Finding>);

/// Every rule.
static RULES: &[Rule] = &[
    ("crates use only the crates below them", edges::between_rooms),
    ("outside crates stay in the rooms that own them", edges::owned_crates),
    ("`unsafe` stays inside its fences", unsafety::fences),
    ("other crates forbid `unsafe`", unsafety::forbidden_elsewhere),
    ("files stay short", sources::length),
    ("nothing is left unfinished", sources::unfinished),
    ("libraries do not print", sources::printing),
    ("no path of one person's machine", sources::machine_paths),
    ("packages describe themselves", packages::metadata),
    ("packages share the lints", packages::lints),
    ("every crate has a README with an example", packages::readme),
    ("every crate is in docs/ARCHITECTURE.md", packages::in_architecture),
    ("licences are there", packages::licences),
    ("the changelog has an Unreleased part", docs::changelog),
    ("links lead somewhere", docs::links),
    ("the book lists its pages", docs::book_pages),
    ("common options are documented", docs::common_options),
    ("environment variables are documented", docs::variables),
    ("committed code objects are those of the sources", objects::up_to_date),
    ("tables in the documentation are those of the code", tables::up_to_date),
];

/// Checks every rule and prints what it found.
pub fn run(args: &TidyArgs) -> Result<()> {
    let mut workspace = Workspace::read(process::root())?;
    if args.fix {
        for path in tables::fix(&mut workspace, process::root())? {
            println!("rewrote the tables of {path}");
        }
    }
    let mut count = 0;
    for (name, check) in RULES {
        let mut findings = check(&workspace);
        if findings.is_empty() {
            continue;
        }
        findings.sort();
        findings.dedup();
        eprintln!("{name}:");
        for finding in &findings {
            eprintln!("  {finding}");
        }
        count += findings.len();
    }
    if count > 0 {
        bail!("tidy found {count} things");
    }
    println!(
        "tidy: {} rules hold for {} files and {} packages",
        RULES.len(),
        workspace.texts.len(),
        workspace.packages.len()
    );
    Ok(())
}
