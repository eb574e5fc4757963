//! Tables in the documentation that are made from the code, so that the two cannot part.
//!
//! A page holds `<!-- table: NAME -->` and `<!-- end table -->` on lines of their own; what is between belongs to
//! `cargo xtask tidy --fix`.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail, ensure};

use super::Finding;
use super::workspace::Workspace;

/// A table: its name in the pages, and how it is made.
struct DocTable {
    name: &'static str,
    make: fn(&Workspace) -> Result<String>,
    /// Pages that must have it.
    pages: &'static [&'static str],
}

static TABLES: &[DocTable] = &[
    DocTable { name: "commands", make: commands, pages: &["README.md", "docs/src/command-line.md"] },
    DocTable { name: "architectures", make: architectures, pages: &["docs/src/models.md"] },
    DocTable { name: "quantization types", make: types, pages: &["docs/src/models.md"] },
    DocTable { name: "crates", make: crates, pages: &["README.md"] },
];

const END: &str = "<!-- end table -->";

fn begin(name: &str) -> String {
    format!("<!-- table: {name} -->")
}

/// Every page has the tables it must have, as the code has them.
pub fn up_to_date(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for table in TABLES {
        for page in table.pages {
            match with_table(workspace, table, workspace.text(page)) {
                Ok(text) if text == workspace.text(page) => {}
                Ok(_) => {
                    let message = format!("its table of {} is old: run `cargo xtask tidy --fix`", table.name);
                    findings.push(Finding::new(*page, message));
                }
                Err(error) => findings.push(Finding::new(*page, format!("table of {}: {error:#}", table.name))),
            }
        }
    }
    findings
}

/// Rewrites the tables; returns the pages that changed.
pub fn fix(workspace: &mut Workspace, root: &Path) -> Result<Vec<String>> {
    let mut changed = Vec::new();
    for table in TABLES {
        for page in table.pages {
            let text = with_table(workspace, table, workspace.text(page)).with_context(|| page.to_string())?;
            if text != workspace.text(page) {
                fs::write(root.join(page), &text).with_context(|| format!("cannot write {page}"))?;
                workspace.texts.insert(page.to_string(), text);
                changed.push(page.to_string());
            }
        }
    }
    changed.sort();
    changed.dedup();
    Ok(changed)
}

/// A page with its table made anew.
fn with_table(workspace: &Workspace, table: &DocTable, page: &str) -> Result<String> {
    let begin = begin(table.name);
    let (before, rest) = page.split_once(&begin).ok_or_else(|| anyhow!("no line `{begin}`"))?;
    let (_, after) = rest.split_once(END).ok_or_else(|| anyhow!("no line `{END}` after `{begin}`"))?;
    Ok(format!("{before}{begin}\n{}{END}{after}", (table.make)(workspace)?))
}

fn markdown(head: &[&str], rows: &[Vec<String>]) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let head: Vec<String> = head.iter().map(|cell| cell.to_string()).collect();
    let body: String = rows.iter().map(|row| line(row)).collect();
    format!("{}|{}\n{body}", line(&head), "---|".repeat(head.len()))
}

/// Commands and their first lines of help, from the command line's definition.
fn commands(workspace: &Workspace) -> Result<String> {
    const FILE: &str = "crates/cli/src/args.rs";
    let (_, after) = workspace.text(FILE).split_once("pub enum Command {\n").context("no `enum Command` in args.rs")?;
    let (variants, _) = after.split_once("\n}").context("`enum Command` has no end")?;
    let mut rows = Vec::new();
    let mut help = None;
    for line in variants.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("/// ") {
            help.get_or_insert(text);
        } else if let Some((name, _)) = line.split_once('(').filter(|_| !line.starts_with("#[")) {
            let help = help.take().with_context(|| format!("command {name} has no help"))?;
            rows.push(vec![format!("`rocmforge {}`", kebab(name)), help.to_string()]);
        }
    }
    ensure!(!rows.is_empty(), "`enum Command` has no commands");
    Ok(markdown(&["command", "what it does"], &rows))
}

/// `TwoWords` as `two-words`.
fn kebab(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !out.is_empty() {
            out.push('-');
        }
        out.extend(c.to_lowercase());
    }
    out
}

/// Architectures in the order of their table, from their files.
fn architectures(workspace: &Workspace) -> Result<String> {
    const FOLDER: &str = "crates/model/src/archs";
    let table = workspace.text(&format!("{FOLDER}/mod.rs"));
    let (_, rows) = table.split_once("ARCHS: &[ArchSpec] = &[").context("no `ARCHS` in archs/mod.rs")?;
    let (rows, _) = rows.split_once("];").context("`ARCHS` has no end")?;
    let modules = rows.split(',').map(str::trim).filter(|row| !row.is_empty());
    let rows = modules.map(|row| {
        let Some(module) = row.strip_suffix("::SPEC") else { bail!("row `{row}` of ARCHS: expected `module::SPEC`") };
        let text = workspace.text(&format!("{FOLDER}/{module}.rs"));
        let field =
            |field: &str| literal(text, field).with_context(|| format!("archs/{module}.rs: no `{field}: \"…\"`"));
        Ok(vec![format!("`{}`", field("name")?), field("description")?])
    });
    Ok(markdown(&["architecture", "models"], &rows.collect::<Result<Vec<_>>>()?))
}

/// The text of the first `field: "text"`.
fn literal(text: &str, field: &str) -> Option<String> {
    let (_, after) = text.split_once(&format!("{field}: \""))?;
    Some(after.split_once('"')?.0.to_string())
}

/// Types from the table in the README of `quant`, which that crate's tests hold against its code.
fn types(workspace: &Workspace) -> Result<String> {
    let lines = workspace.text("crates/quant/README.md").lines();
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_string()).collect::<Vec<_>>();
    let mut lines = lines.skip_while(|line| !line.starts_with("| type |"));
    let head = cells(lines.next().context("no table of types in crates/quant/README.md")?);
    let wanted = ["type", "bits per value", "read", "write", "format"];
    let columns = wanted.map(|name| head.iter().position(|cell| cell == name));
    let mut rows = Vec::new();
    for line in lines.skip(1).take_while(|line| line.starts_with('|')) {
        let row = cells(line);
        let cell = |column: Option<usize>| column.and_then(|c| row.get(c)).cloned();
        let picked: Option<Vec<String>> = columns.into_iter().map(cell).collect();
        rows.push(picked.context("the table of types in crates/quant/README.md lacks a column")?);
    }
    ensure!(!rows.is_empty(), "the table of types in crates/quant/README.md is empty");
    Ok(markdown(&wanted, &rows))
}

/// Published packages and their descriptions.
fn crates(workspace: &Workspace) -> Result<String> {
    let published = workspace.packages.iter().filter(|p| p.published);
    let row = |p: &super::workspace::Package| {
        vec![format!("[`{}`]({}/README.md)", p.room(), p.folder), p.description.clone()]
    };
    Ok(markdown(&["crate", "its job"], &published.map(row).collect::<Vec<_>>()))
}

#[cfg(test)]
mod tests {
    use super::super::workspace::fake::{files, library};
    use super::*;

    fn make(make: fn(&Workspace) -> Result<String>, texts: &[(&str, &str)]) -> Vec<String> {
        let table = make(&files(texts)).expect("it has what the table needs");
        table.lines().skip(2).map(str::to_string).collect()
    }

    #[test]
    fn commands_come_from_the_definition() {
        let text = "pub enum Command {\n    /// Answer\n    /// and more\n    Generate(A),\n    /// Two\n    #[command(hide = true)]\n    TwoWords(B),\n}\n";
        let rows = make(commands, &[("crates/cli/src/args.rs", text)]);
        assert_eq!(rows, ["| `rocmforge generate` | Answer |", "| `rocmforge two-words` | Two |"]);
        assert!(commands(&files(&[("crates/cli/src/args.rs", "pub enum Command {\n    A(B),\n}")])).is_err());
        assert!(commands(&files(&[])).is_err());
    }

    #[test]
    fn architectures_come_from_their_files() {
        let table = "pub static ARCHS: &[ArchSpec] = &[\n    llama::SPEC,\n    phi3::SPEC,\n];";
        let llama = "SPEC: ArchSpec =\n ArchSpec { name: \"llama\", description: \"Llama, and more\", build };";
        let phi = "SPEC: ArchSpec = ArchSpec { name: \"phi3\", description: \"Phi\", build };";
        let all = [
            ("crates/model/src/archs/mod.rs", table),
            ("crates/model/src/archs/llama.rs", llama),
            ("crates/model/src/archs/phi3.rs", phi),
        ];
        assert_eq!(make(architectures, &all), ["| `llama` | Llama, and more |", "| `phi3` | Phi |"]);
        assert!(architectures(&files(&all[..2])).is_err());
    }

    #[test]
    fn types_come_from_the_readme_of_quant() {
        let text = "| type | number | bits per value | read | write | error | format |\n|---|--:|--:|---|---|--:|---|\n\
                    | Q4_0 | 2 | 4.5 | yes | no | 1 | four bits |\n\nafter";
        let rows = make(types, &[("crates/quant/README.md", text)]);
        assert_eq!(rows, ["| Q4_0 | 4.5 | yes | no | four bits |"]);
        assert!(types(&files(&[("crates/quant/README.md", "no table")])).is_err());
    }

    #[test]
    fn an_old_table_is_found_and_fixed() {
        let page = format!("# x\n\n{}\nold\n{END}\nafter\n", begin("crates"));
        let mut workspace = files(&[("README.md", page.as_str())]);
        workspace.packages = vec![library("quant", &[])];
        let is_old = |w: &Workspace| up_to_date(w).iter().any(|f| f.message.contains("table of crates is old"));
        assert!(is_old(&workspace));
        let fixed = with_table(&workspace, &TABLES[3], &page).expect("the page has the marks");
        assert!(fixed.contains("| [`quant`](crates/quant/README.md) | the quant |\n<!-- end table -->\nafter\n"));
        workspace.texts.insert("README.md".into(), fixed);
        assert!(!is_old(&workspace));
    }

    #[test]
    fn a_page_without_its_table_is_found() {
        let findings = up_to_date(&files(&[("README.md", "# x\n")]));
        assert!(findings.iter().any(|f| f.place == "README.md" && f.message.contains("no line")));
    }
}
