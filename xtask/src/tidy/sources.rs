//! Rules about source files by themselves.

use super::Finding;
use super::code::{code_only, macro_calls};
use super::workspace::Workspace;

/// Lines of the longest file that needs no reason.
const MAX_LINES: usize = 700;

/// Longer files, and why they are one file.
static LONG_FILES: &[(&str, &str)] = &[];

/// Marks of unfinished work, in two halves so that this file has none.
const MARKS: [&str; 2] = [concat!("TO", "DO"), concat!("FIX", "ME")];

/// Macros that mark unfinished work or were left from a search for a bug.
const UNFINISHED_MACROS: [&str; 3] = [concat!("to", "do"), "unimplemented", "dbg"];

/// Macros that write to the terminal, which is the command line's business.
const PRINTING_MACROS: [&str; 4] = ["print", "println", "eprint", "eprintln"];

/// Packages whose job is the terminal.
const MAY_PRINT: [&str; 3] = ["rocmforge-cli", "rocmforge-launch", "xtask"];

/// Top folders of one person's or one build machine's files.
const MACHINE_FOLDERS: [&str; 8] = ["home", "Users", "root", "work", "workspace", "builds", "mnt", "media"];

/// Files are at most [`MAX_LINES`] long, or listed with a reason.
pub fn length(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in &workspace.texts {
        let (lines, listed) = (text.lines().count(), LONG_FILES.iter().any(|(long, _)| long == path));
        let is_source = [".rs", ".py", ".hip", ".h", ".cpp", ".sh"].iter().any(|ending| path.ends_with(ending));
        if is_source && lines > MAX_LINES && !listed {
            findings.push(Finding::new(path, format!("{lines} lines, expected at most {MAX_LINES}")));
        }
        if listed && lines <= MAX_LINES {
            findings.push(Finding::new(path, "is short again: remove it from LONG_FILES"));
        }
    }
    for (path, _) in LONG_FILES.iter().filter(|(path, _)| !workspace.texts.contains_key(*path)) {
        findings.push(Finding::new(*path, "is in LONG_FILES and does not exist"));
    }
    findings
}

/// No marks of unfinished work in comments or code.
pub fn unfinished(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in &workspace.texts {
        for (line, content) in text.lines().enumerate() {
            for mark in MARKS.iter().filter(|mark| has_word(content, mark)) {
                findings.push(Finding::at(path, line + 1, format!("`{mark}`: finish it or leave it out")));
            }
        }
    }
    for (path, text) in workspace.texts_ending(".rs") {
        let code = code_only(text);
        for name in UNFINISHED_MACROS {
            findings.extend(macro_calls(&code, name).map(|line| Finding::at(path, line, format!("`{name}!`"))));
        }
    }
    findings
}

fn has_word(text: &str, word: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word)
        .any(|(at, _)| !text[..at].ends_with(is_word) && !text[at + word.len()..].starts_with(is_word))
}

/// Libraries log and return; they do not print.
pub fn printing(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    let libraries = workspace.packages.iter().filter(|p| !MAY_PRINT.contains(&p.name.as_str()));
    for package in libraries {
        let sources = format!("{}/src/", package.folder);
        for (path, text) in workspace.texts_ending(".rs").filter(|(path, _)| path.starts_with(&sources)) {
            let code = code_only(text);
            for name in PRINTING_MACROS {
                findings.extend(
                    macro_calls(&code, name).map(|line| Finding::at(path, line, format!("`{name}!` in a library"))),
                );
            }
        }
    }
    findings
}

/// No absolute path that exists on one machine only.
pub fn machine_paths(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in &workspace.texts {
        for (line, content) in text.lines().enumerate() {
            if let Some(found) = machine_path(content) {
                findings.push(Finding::at(path, line + 1, format!("`{found}` is a path of one machine")));
            }
        }
    }
    findings
}

/// The first path in the text that begins in one of [`MACHINE_FOLDERS`] and goes on.
fn machine_path(text: &str) -> Option<String> {
    MACHINE_FOLDERS.iter().find_map(|folder| {
        let start = format!("/{folder}/");
        let at = text.match_indices(&start).map(|(at, _)| at).find(|&at| {
            // After a letter it is the middle of a relative path or of an address.
            let before = text[..at].chars().next_back();
            let after = text[at + start.len()..].chars().next();
            !before.is_some_and(|c| c.is_alphanumeric() || "._-/~}".contains(c))
                && after.is_some_and(char::is_alphanumeric)
        })?;
        let end = text[at..].find(|c: char| c.is_whitespace() || "\"'`)".contains(c)).map_or(text.len(), |n| at + n);
        Some(text[at..end].to_string())
    })
}

#[cfg(test)]
mod tests {
    use super::super::workspace::fake::{files, found, library};
    use super::*;

    #[test]
    fn a_long_file_is_found() {
        let long = "x\n".repeat(MAX_LINES + 1);
        assert_eq!(found(length(&files(&[("a.rs", &long)]))), ["a.rs: 701 lines, expected at most 700"]);
        assert!(length(&files(&[("a.rs", &long[2..]), ("b.md", &long)])).is_empty());
    }

    #[test]
    fn unfinished_work_is_found() {
        let check = |text: &str| unfinished(&files(&[("a.rs", text)])).len();
        assert_eq!(check(&format!("// {}: later", MARKS[0])), 1);
        assert_eq!(check(&format!("// {}", MARKS[1])), 1);
        assert_eq!(check(&format!("fn f() {{ {}!() }}", UNFINISHED_MACROS[0])), 1);
        assert_eq!(check(&format!("fn f() {{ dbg!(1); {}!() }}", ["unimple", "mented"].concat())), 2);
        assert_eq!(check("// the macro dbg! and a MASTODON\nlet s = \"unimplemented!\";"), 0);
    }

    #[test]
    fn a_library_that_prints_is_found() {
        let mut workspace = files(&[
            ("crates/quant/src/lib.rs", "fn f() {\n    println!(\"x\");\n}"),
            ("crates/quant/examples/show.rs", "fn main() { println!(); }"),
            ("crates/cli/src/main.rs", "fn main() { println!(); }"),
        ]);
        workspace.packages = vec![library("quant", &[]), library("cli", &[])];
        assert_eq!(found(printing(&workspace)), ["crates/quant/src/lib.rs:2: `println!` in a library"]);
    }

    #[test]
    fn a_path_of_a_machine_is_found() {
        let check = |text: &str, expected: Option<&str>| assert_eq!(machine_path(text).as_deref(), expected, "{text}");
        let home = format!("/{}/me/model.gguf", "home");
        check(&format!("see `{home}`"), Some(&home));
        check(&format!("\"{home}\""), Some(&home));
        check(&format!("https://example.org{home}"), None);
        check("tests/data/root/x and crates/home/src", None);
        check("/tmp/x /usr/lib/x /path/to/model.gguf", None);
        let workspace = files(&[("a.md", &format!("x\n{home}\n"))]);
        assert_eq!(found(machine_paths(&workspace)), [format!("a.md:2: `{home}` is a path of one machine")]);
    }
}
