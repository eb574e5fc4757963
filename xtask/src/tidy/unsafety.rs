//! Where `unsafe` may stand.

use super::Finding;
use super::code::{code_only, words};
use super::workspace::Workspace;

/// Files or folders (ending in `/`) that may hold `unsafe`, and why.
static FENCES: &[(&str, &str)] = &[
    ("crates/cpu-backend/src/", "SIMD intrinsics, and threads that share one arena"),
    ("crates/hip-sys/", "foreign functions"),
    ("crates/hipblas-sys/", "foreign functions"),
    ("crates/hip-on-cuda/", "foreign functions, in both directions"),
    ("crates/gfx-emu/src/", "memory of kernels, and functions compiled for more than the baseline processor"),
    ("crates/fake-hip/src/", "foreign functions, and kernels called through pointers"),
    ("crates/hip-backend/src/driver/", "calls of HIP"),
    ("crates/hip-backend/src/library/rtc.rs", "calls of hipRTC"),
    ("crates/hip-backend/src/ops/", "kernel launches"),
    ("crates/hip-backend/tests/it/launch.rs", "the launch that tests of the driver make"),
    ("crates/engine/src/model_file.rs", "mapping files"),
    ("crates/cli/src/signals.rs", "signal dispositions"),
];

fn is_fenced(path: &str) -> bool {
    FENCES.iter().any(|(fence, _)| covers(fence, path))
}

fn covers(fence: &str, path: &str) -> bool {
    if fence.ends_with('/') { path.starts_with(fence) } else { path == fence }
}

fn lines_with_unsafe(text: &str) -> Vec<usize> {
    words(&code_only(text)).filter(|(_, word)| *word == "unsafe").map(|(line, _)| line).collect()
}

/// `unsafe` appears only inside the fences, and each fence still has some.
pub fn fences(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut used = vec![false; FENCES.len()];
    for (path, text) in workspace.texts_ending(".rs") {
        let lines = lines_with_unsafe(text);
        if is_fenced(path) {
            let inside = FENCES.iter().map(|(fence, _)| covers(fence, path) && !lines.is_empty());
            used.iter_mut().zip(inside).for_each(|(used, inside)| *used |= inside);
        } else {
            findings.extend(lines.into_iter().map(|line| Finding::at(path, line, "`unsafe` outside its fences")));
        }
    }
    for ((fence, reason), _) in FENCES.iter().zip(used).filter(|(_, used)| !used) {
        findings.push(Finding::new(*fence, format!("holds no `unsafe` any more ({reason}): remove it from FENCES")));
    }
    findings
}

/// Crates in which no file is fenced say `#![forbid(unsafe_code)]`.
pub fn forbidden_elsewhere(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in &workspace.packages {
        let has_fence = FENCES.iter().any(|(fence, _)| fence.starts_with(&format!("{}/", package.folder)));
        let root = &package.root_file;
        if !has_fence && !code_only(workspace.text(root)).contains("#![forbid(unsafe_code)]") {
            findings.push(Finding::new(root.as_str(), "lacks `#![forbid(unsafe_code)]`"));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::workspace::fake::{files, found, library};
    use super::*;

    const FENCED: [(&str, &str); 12] = [
        ("crates/cpu-backend/src/simd.rs", "unsafe fn f() {}"),
        ("crates/hip-sys/src/api.rs", "unsafe {}"),
        ("crates/hipblas-sys/src/api.rs", "unsafe {}"),
        ("crates/hip-on-cuda/src/lib.rs", "unsafe {}"),
        ("crates/gfx-emu/src/wave.rs", "unsafe {}"),
        ("crates/fake-hip/src/lib.rs", "unsafe {}"),
        ("crates/hip-backend/src/driver/stream.rs", "unsafe {}"),
        ("crates/hip-backend/src/library/rtc.rs", "unsafe {}"),
        ("crates/hip-backend/src/ops/norm.rs", "unsafe {}"),
        ("crates/hip-backend/tests/it/launch.rs", "unsafe {}"),
        ("crates/engine/src/model_file.rs", "unsafe {}"),
        ("crates/cli/src/signals.rs", "unsafe {}"),
    ];

    #[test]
    fn unsafe_outside_is_found_and_inside_is_not() {
        assert!(fences(&files(&FENCED)).is_empty());
        let mut bad = FENCED.to_vec();
        bad.push(("crates/quant/src/lib.rs", "// unsafe is not used\nlet s = \"unsafe\";\nunsafe { read(p) }"));
        assert_eq!(found(fences(&files(&bad))), ["crates/quant/src/lib.rs:3: `unsafe` outside its fences"]);
    }

    #[test]
    fn an_empty_fence_is_found() {
        let mut calm = FENCED.to_vec();
        calm[11].1 = "fn safe() {}";
        let found = found(fences(&files(&calm)));
        assert!(found.len() == 1 && found[0].starts_with("crates/cli/src/signals.rs: holds no `unsafe`"), "{found:?}");
    }

    #[test]
    fn a_library_that_allows_unsafe_is_found() {
        let with = |text: &str| {
            let mut workspace = files(&[("crates/quant/src/lib.rs", text)]);
            workspace.packages = vec![library("quant", &[]), library("cpu-backend", &[])];
            forbidden_elsewhere(&workspace).len()
        };
        assert_eq!(with("//! x\n#![forbid(unsafe_code)]\n"), 0);
        assert_eq!(with("// #![forbid(unsafe_code)]\n"), 1);
    }
}
