//! The embedded sources, and which of them a file is made of.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::digest::{Digest, Hasher};

include!(concat!(env!("OUT_DIR"), "/embedded.rs"));

/// One file of kernel code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    /// Path in the folder `kernels`, with `/` between its parts: `include/rf/platform.h`, `norm/norm.hip`.
    pub path: &'static str,
    /// The file's text.
    pub text: &'static str,
}

impl Source {
    /// What an `#include` of this file says: headers are named from `include/` on.
    pub fn include_name(&self) -> &'static str {
        self.path.strip_prefix("include/").unwrap_or(self.path)
    }
}

/// All sources, sorted by path.
pub fn sources() -> &'static [Source] {
    SOURCES
}

/// Archives of code objects by target, as they were when this crate was built.
pub(crate) fn object_files() -> &'static [(&'static str, &'static [u8])] {
    OBJECTS
}

/// Digest of all sources together.
pub fn source_hash() -> Digest {
    SOURCES.iter().fold(Hasher::new(), |hasher, s| hasher.field(s.path).field(s.text)).finish()
}

/// Digests of the files' texts by path; computed once, because headers occur in every module.
static TEXT_DIGESTS: LazyLock<BTreeMap<&'static str, Digest>> =
    LazyLock::new(|| SOURCES.iter().map(|s| (s.path, Digest::of(s.text.as_bytes()))).collect());

/// The digest of an embedded file's text.
pub(crate) fn text_digest(source: &Source) -> Digest {
    TEXT_DIGESTS.get(source.path).copied().unwrap_or_else(|| Digest::of(source.text.as_bytes()))
}

/// What a line includes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Include<'a> {
    /// `#include "name"`
    Ours(&'a str),
    /// `#include <name>`: no kernel has one.
    System(&'a str),
    /// `#include MACRO`
    Macro(&'a str),
}

/// Who reads the sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reader {
    /// A compiler for GPUs.
    Gpu,
    /// Any compiler, that of the host included.
    Any,
}

/// The includes of a text, whatever `#if` they stand in. What stands between `#if defined(RF_HOST)` and the line that
/// ends this branch is not for GPUs.
pub(crate) fn includes(text: &str, reader: Reader) -> impl Iterator<Item = Include<'_>> {
    let mut host_only = false;
    text.lines().filter_map(move |line| {
        let directive = line.trim_start().strip_prefix('#')?.trim_start();
        if directive.starts_with("if") || directive.starts_with("el") || directive.starts_with("endif") {
            host_only = directive.trim_end() == "if defined(RF_HOST)";
        }
        if host_only && reader == Reader::Gpu { None } else { include(directive) }
    })
}

fn include(directive: &str) -> Option<Include<'_>> {
    let rest = directive.strip_prefix("include")?.trim();
    if let Some(name) = rest.strip_prefix('"') {
        return Some(Include::Ours(name.split('"').next().unwrap_or_default()));
    }
    if let Some(name) = rest.strip_prefix('<') {
        return Some(Include::System(name.split('>').next().unwrap_or_default()));
    }
    rest.split_whitespace().next().map(Include::Macro)
}

/// Finds a file the way the compiler does: beside the file that includes it, then in `include/`.
fn find<'a>(sources: &'a [Source], from: &str, name: &str) -> Option<&'a Source> {
    let folder = from.rsplit_once('/').map_or("", |(folder, _)| folder);
    let beside = format!("{folder}/{name}");
    let below = format!("include/{name}");
    let at = |path: &str| sources.iter().find(|s| s.path == path);
    at(&beside).or_else(|| at(&below))
}

/// What a file is made of.
#[derive(Debug, Default)]
pub(crate) struct Closure<'a> {
    /// The file itself and everything it includes, in the order in which they are first met.
    pub files: Vec<&'a Source>,
    /// Includes that name no file of ours, as `file: name`.
    pub missing: Vec<String>,
}

/// Follows the includes from `file` on. An `#include MACRO` is looked up in `defines`.
pub(crate) fn closure<'a>(
    sources: &'a [Source],
    file: &str,
    defines: &[(String, String)],
    reader: Reader,
) -> Closure<'a> {
    let mut found = Closure::default();
    let Some(first) = sources.iter().find(|s| s.path == file) else {
        found.missing.push(file.to_owned());
        return found;
    };
    found.files.push(first);
    let mut next = 0;
    while let Some(&source) = found.files.get(next) {
        next += 1;
        for include in includes(source.text, reader) {
            let name = match include {
                Include::Ours(name) => name,
                Include::System(name) => {
                    found.missing.push(format!("{}: <{name}>", source.path));
                    continue;
                }
                Include::Macro(name) => match defines.iter().find(|(key, _)| key == name) {
                    Some((_, value)) => value.trim_matches('"'),
                    None => continue,
                },
            };
            match find(sources, source.path, name) {
                Some(file) if found.files.iter().any(|f| f.path == file.path) => {}
                Some(file) => found.files.push(file),
                None => found.missing.push(format!("{}: {name}", source.path)),
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILES: &[Source] = &[
        Source { path: "include/rf/a.h", text: "#pragma once\n#include \"rf/b.h\"\n" },
        Source { path: "include/rf/b.h", text: "  #  include \"rf/a.h\" // back\n" },
        Source { path: "include/rf/q4.h", text: "" },
        Source { path: "norm/norm.hip", text: "#include \"rf/a.h\"\n#include KIND\n#include \"near.h\"\n" },
        Source { path: "norm/near.h", text: "#include <cmath>\n#include \"gone.h\"\n" },
    ];

    #[test]
    fn a_closure_follows_includes_and_defines() {
        let defines = [("KIND".to_owned(), "\"rf/q4.h\"".to_owned())];
        let closure = closure(FILES, "norm/norm.hip", &defines, Reader::Gpu);
        let paths: Vec<_> = closure.files.iter().map(|s| s.path).collect();
        assert_eq!(paths, ["norm/norm.hip", "include/rf/a.h", "include/rf/q4.h", "norm/near.h", "include/rf/b.h"]);
        assert_eq!(closure.missing, ["norm/near.h: <cmath>", "norm/near.h: gone.h"]);
    }

    #[test]
    fn a_macro_that_no_define_names_is_left_to_the_compiler() {
        assert_eq!(closure(FILES, "norm/norm.hip", &[], Reader::Gpu).files.len(), 4);
    }

    #[test]
    fn what_only_the_host_includes_is_not_for_gpus() {
        let text = "#if defined(RF_HOST)\n#include <cmath>\n#elif X\n#include \"amd.h\"\n#endif\n#include \"a.h\"\n";
        let found = |reader| includes(text, reader).collect::<Vec<_>>();
        assert_eq!(found(Reader::Gpu), [Include::Ours("amd.h"), Include::Ours("a.h")]);
        assert_eq!(found(Reader::Any), [Include::System("cmath"), Include::Ours("amd.h"), Include::Ours("a.h")]);
    }

    #[test]
    fn a_missing_file_is_named() {
        assert_eq!(closure(FILES, "attic.hip", &[], Reader::Any).missing, ["attic.hip"]);
    }

    #[test]
    fn headers_are_named_from_include_on() {
        assert_eq!(FILES[0].include_name(), "rf/a.h");
        assert_eq!(FILES[3].include_name(), "norm/norm.hip");
    }
}
