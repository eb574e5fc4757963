//! Rules about the written pages.

use std::collections::BTreeSet;

use super::Finding;
use super::workspace::Workspace;

/// Users find what is new under a heading of its own.
pub fn changelog(workspace: &Workspace) -> Vec<Finding> {
    let has_heading = workspace.text("CHANGELOG.md").lines().any(|line| line.trim() == "## [Unreleased]");
    if has_heading { Vec::new() } else { vec![Finding::new("CHANGELOG.md", "has no heading `## [Unreleased]`")] }
}

/// Pages of the book are in its summary; a page that is not cannot be reached.
pub fn book_pages(workspace: &Workspace) -> Vec<Finding> {
    let summary = workspace.text("docs/src/SUMMARY.md");
    let pages = workspace.texts_ending(".md").filter_map(|(path, _)| path.strip_prefix("docs/src/"));
    let lost = pages.filter(|page| *page != "SUMMARY.md" && !summary.contains(&format!("({page})")));
    lost.map(|page| Finding::new(format!("docs/src/{page}"), "is not in SUMMARY.md")).collect()
}

/// Where options and variables are told to users.
const COMMAND_LINE_PAGE: &str = "docs/src/command-line.md";

/// Where variables that only tests read are told.
const TESTS_PAGE: &str = "CONTRIBUTING.md";

/// The page about the command line names every option that all commands share.
pub fn common_options(workspace: &Workspace) -> Vec<Finding> {
    const FILE: &str = "crates/launch/src/args.rs";
    let page = workspace.text(COMMAND_LINE_PAGE);
    let after = workspace.text(FILE).split_once("pub struct CommonArgs {").map(|(_, after)| after);
    let Some((fields, _)) = after.and_then(|after| after.split_once("\n}")) else {
        return vec![Finding::new(FILE, "has no `struct CommonArgs`")];
    };
    let names = fields.lines().filter_map(|line| Some(line.trim().strip_prefix("pub ")?.split_once(':')?.0));
    let options = names.map(|name| format!("--{}", name.replace('_', "-")));
    let missing = options.filter(|option| !page.contains(option));
    missing.map(|option| Finding::new(COMMAND_LINE_PAGE, format!("does not name `{option}`"))).collect()
}

/// Variables that sources read are on the page for users, those that tests and their fake of HIP read are on the page for
/// contributors, and these pages name no others.
pub fn variables(workspace: &Workspace) -> Vec<Finding> {
    let is_of_tests =
        |path: &str| path.contains("/tests/") || path.starts_with("tests/") || path.starts_with("crates/fake-hip/");
    let mut findings = Vec::new();
    for (of_tests, page) in [(false, COMMAND_LINE_PAGE), (true, TESTS_PAGE)] {
        let sources = workspace
            .texts_ending(".rs")
            .filter(|(path, _)| {
                path.starts_with("tests/it/")
                    || path.starts_with("crates/") && (path.contains("/src/") || path.contains("/tests/"))
            })
            .filter(|(path, _)| is_of_tests(path) == of_tests);
        let read: BTreeSet<&str> = sources.flat_map(|(_, text)| variables_in(text)).collect();
        let told: BTreeSet<&str> = variables_in(workspace.text(page)).collect();
        findings.extend(read.difference(&told).map(|v| Finding::new(page, format!("does not name `{v}`"))));
        findings
            .extend(told.difference(&read).map(|v| Finding::new(page, format!("names `{v}`, which nothing reads"))));
    }
    findings
}

fn variables_in(text: &str) -> impl Iterator<Item = &str> {
    const PREFIX: &str = concat!("ROCMFORGE", "_");
    text.match_indices(PREFIX).map(|(at, _)| {
        let rest = &text[at..];
        let end = rest.find(|c: char| !c.is_ascii_uppercase() && !c.is_ascii_digit() && c != '_');
        &rest[..end.unwrap_or(rest.len())]
    })
}

/// Relative links lead to files that exist, and their fragments to headings.
pub fn links(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in workspace.texts_ending(".md") {
        for (line, target) in targets(text) {
            if let Err(message) = resolve(workspace, path, &target) {
                findings.push(Finding::at(path, line, message));
            }
        }
    }
    findings
}

fn resolve(workspace: &Workspace, from: &str, target: &str) -> Result<(), String> {
    let is_elsewhere = ["http://", "https://", "mailto:"].iter().any(|scheme| target.starts_with(scheme));
    if is_elsewhere {
        return Ok(());
    }
    let (file, fragment) = target.split_once('#').unwrap_or((target, ""));
    let folder = from.rsplit_once('/').map_or("", |(folder, _)| folder);
    let path = if file.is_empty() { Some(from.to_string()) } else { join(folder, file) };
    let path = path.filter(|path| path.is_empty() || workspace.paths.contains(path));
    let path = path.ok_or_else(|| format!("the link to `{target}` leads nowhere"))?;
    let has_heading = || headings(workspace.text(&path)).any(|slug| slug == fragment);
    if !fragment.is_empty() && path.ends_with(".md") && !has_heading() {
        return Err(format!("`{path}` has no heading `#{fragment}`"));
    }
    Ok(())
}

/// A relative path from a folder, without `.` and `..`; `None` if it leaves the workspace.
fn join(folder: &str, relative: &str) -> Option<String> {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in relative.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            _ => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// Lines outside code blocks, with their numbers, inline code left out.
fn prose(text: &str) -> impl Iterator<Item = (usize, String)> {
    let mut in_code = false;
    text.lines().enumerate().filter_map(move |(line, content)| {
        let is_fence = content.trim_start().starts_with("```");
        in_code ^= is_fence;
        let odd_pieces_are_code = content.split('`').step_by(2).collect::<Vec<_>>();
        (!in_code && !is_fence).then(|| (line + 1, odd_pieces_are_code.join("`")))
    })
}

/// Targets of `[text](target)`.
fn targets(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (line, content) in prose(text) {
        for (at, _) in content.match_indices("](") {
            if let Some(end) = content[at..].find(')') {
                found.push((line, content[at + 2..at + end].trim().to_string()));
            }
        }
    }
    found
}

/// What GitHub and mdBook make of headings: lower case, words joined by `-`.
fn headings(text: &str) -> impl Iterator<Item = String> {
    let mut in_code = false;
    text.lines().filter_map(move |line| {
        in_code ^= line.trim_start().starts_with("```");
        let heading = line.strip_prefix('#').filter(|_| !in_code)?.trim_start_matches('#').trim();
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        Some(kept.collect::<String>().to_lowercase().replace(' ', "-"))
    })
}

#[cfg(test)]
mod tests {
    use super::super::workspace::fake::{files, found};
    use super::*;

    #[test]
    fn a_changelog_without_unreleased_is_found() {
        assert!(changelog(&files(&[("CHANGELOG.md", "# Changelog\n\n## [Unreleased]\n")])).is_empty());
        assert_eq!(changelog(&files(&[("CHANGELOG.md", "# Changelog\n\n## [1.0.0]\n")])).len(), 1);
        assert_eq!(changelog(&files(&[])).len(), 1);
    }

    #[test]
    fn a_page_outside_the_summary_is_found() {
        let summary = ("docs/src/SUMMARY.md", "- [A](a.md)\n");
        assert!(book_pages(&files(&[summary, ("docs/src/a.md", "")])).is_empty());
        let lost = files(&[summary, ("docs/src/a.md", ""), ("docs/src/b.md", "")]);
        assert_eq!(found(book_pages(&lost)), ["docs/src/b.md: is not in SUMMARY.md"]);
    }

    #[test]
    fn an_option_that_the_page_forgets_is_found() {
        let args = "pub struct CommonArgs {\n    /// Where\n    pub kv_type: KvArg,\n    pub log_json: bool,\n}\n";
        let check = |page: &str| {
            found(common_options(&files(&[("crates/launch/src/args.rs", args), ("docs/src/command-line.md", page)])))
        };
        assert!(check("`--kv-type f16`, `--log-json`").is_empty());
        assert_eq!(check("`--kv-type f16`"), ["docs/src/command-line.md: does not name `--log-json`"]);
        assert_eq!(common_options(&files(&[])).len(), 1);
    }

    #[test]
    fn a_variable_without_words_and_words_without_a_variable_are_found() {
        let name = |end: &str| format!("{}_{end}", "ROCMFORGE");
        let source = format!("env = \"{}\"", name("MODEL"));
        let check = |page: &str| {
            found(variables(&files(&[("crates/cli/src/args.rs", &source), ("docs/src/command-line.md", page)])))
        };
        assert!(check(&format!("`{}` names it", name("MODEL"))).is_empty());
        assert_eq!(
            check(&format!("`{}`", name("MODELS"))),
            [
                format!("docs/src/command-line.md: does not name `{}`", name("MODEL")),
                format!("docs/src/command-line.md: names `{}`, which nothing reads", name("MODELS")),
            ]
        );
    }

    #[test]
    fn a_dead_link_is_found() {
        let check = |text: &str, expected: &[&str]| {
            let workspace = files(&[("docs/a.md", text), ("docs/b.md", "# One two: `three`\n"), ("README.md", "")]);
            assert_eq!(found(links(&workspace)), expected, "{text}");
        };
        check("[b](b.md) and [r](../README.md) and [docs](../docs) and [w](https://example.org/x.md)", &[]);
        check("x\n[b](c.md)", &["docs/a.md:2: the link to `c.md` leads nowhere"]);
        check("[b](../../out.md)", &["docs/a.md:1: the link to `../../out.md` leads nowhere"]);
        check("[b](b.md#one-two-three)", &[]);
        check("[b](b.md#four)", &["docs/a.md:1: `docs/b.md` has no heading `#four`"]);
        check("# Here\n[b](#here)\n[c](#there)", &["docs/a.md:3: `docs/a.md` has no heading `#there`"]);
        check("`a[i](x)`\n```\n[b](c.md)\n```\n", &[]);
    }
}
