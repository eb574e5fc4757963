//! A small archive that is committed, so that tests execute code objects where there is no hipcc.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rocmforge_kernels::{Archive, Module, module};

use super::compile::Compiler;
use super::{Results, build_all, report};
use crate::process;

/// Where it lies, from the root of the repository.
pub const PATH: &str = "tests/data/kernels/gfx1100.bin";
/// The target of its objects.
pub const ARCH: &str = "gfx1100";
/// What builds it.
pub const COMMAND: &str = "cargo xtask kernels --arch gfx1100 --test-objects";

/// The modules that it holds: those that tests on an emulated device load.
const MODULES: &[&str] = &[
    // Every model.
    "attention/decode_f16",
    "attention/prefill_f16_64x64",
    "elementwise/gate",
    "elementwise/maps",
    "gemm/group",
    "gemm/reduce",
    "kv/copy_blocks",
    "kv/rope_write_f16",
    "norm/norm",
    "route/route",
    "sample/sample",
    "weights/split_planes",
    // The self-test.
    "gemm/mma_check",
    "matvec/f32",
    "matvec/q8_0",
    // The bundled model.
    "embed/q4_k",
    "embed/q6_k",
    "gemm/q4_k",
    "gemm/q6_k",
    "matvec/q4_k",
    "matvec/q6_k",
    // Golden models, fast and exact.
    "attention/decode_f32",
    "attention/prefill_f32_64x64",
    "embed/f16",
    "gemm/f16",
    "gemm_exact/f16",
    "kv/rope_write_f32",
    "matvec/f16",
];

/// The rows of the table.
pub fn modules() -> Result<Vec<&'static Module>> {
    MODULES.iter().map(|name| module(name).with_context(|| format!("there is no module {name}"))).collect()
}

/// Compiles the modules and writes the archive.
pub fn renew(compiler: &Compiler, jobs: Option<usize>) -> Result<()> {
    let mut results: Results = build_all(compiler, &modules()?, &[ARCH.to_owned()], jobs)?;
    let built = results.remove(ARCH).unwrap_or_default();
    let objects = built.into_iter().map(|(module, built)| (module.name.clone(), module.hash(), built.object)).collect();
    let bytes = Archive::write(&compiler.version, objects);
    let path = path();
    fs::create_dir_all(path.parent().unwrap_or(Path::new("")))?;
    fs::write(&path, &bytes).with_context(|| format!("cannot write {}", path.display()))?;
    eprintln!("{PATH}: {} modules, {}", MODULES.len(), report::bytes(bytes.len()));
    Ok(())
}

fn path() -> PathBuf {
    process::root().join(PATH)
}

/// Why an archive is not what the sources would make; `None` if it is.
pub fn stale(bytes: &[u8]) -> Option<String> {
    let archive = match Archive::read(bytes) {
        Ok(archive) => archive,
        Err(error) => return Some(error.to_string()),
    };
    let list = |names: Vec<&str>, what: &str| (!names.is_empty()).then(|| format!("{what} {}", names.join(", ")));
    let missing = MODULES.iter().copied().filter(|name| archive.entry(name).is_none()).collect();
    let unlisted = archive.entries.iter().map(|entry| entry.name.as_str()).filter(|name| !MODULES.contains(name));
    let faults = [
        list(archive.outdated().map(|entry| entry.name.as_str()).collect(), "is older than the sources of"),
        list(missing, "lacks"),
        list(unlisted.collect(), "need not have"),
    ];
    let faults: Vec<String> = faults.into_iter().flatten().collect();
    (!faults.is_empty()).then(|| faults.join("; "))
}

#[cfg(test)]
mod tests {
    use rocmforge_kernels::{ArchiveError, Digest};

    use super::*;

    /// An archive of these modules whose objects are empty.
    fn archive<'a>(names: impl Iterator<Item = &'a str>, hash: impl Fn(&Module) -> Digest) -> Vec<u8> {
        let object = |name: &str| (name.to_owned(), module(name).map_or(Digest::of(b""), &hash), Vec::new());
        Archive::write("", names.map(object).collect())
    }

    #[test]
    fn the_listed_modules_exist() {
        assert_eq!(modules().unwrap().len(), MODULES.len());
    }

    #[test]
    fn an_archive_of_the_sources_is_not_stale() {
        assert_eq!(stale(&archive(MODULES.iter().copied(), Module::hash)), None);
    }

    #[test]
    fn changed_missing_and_unlisted_modules_are_told() {
        let names = || MODULES.iter().copied();
        let changed = |module: &Module| if module.name == "norm/norm" { Digest::of(b"") } else { module.hash() };
        assert_eq!(stale(&archive(names(), changed)).unwrap(), "is older than the sources of norm/norm");
        assert_eq!(stale(&archive(names().skip(1), Module::hash)).unwrap(), format!("lacks {}", MODULES[0]));
        let more = stale(&archive(names().chain(["embed/q8_0"]), Module::hash)).unwrap();
        assert_eq!(more, "need not have embed/q8_0");
        assert_eq!(stale(b"").unwrap(), ArchiveError::Format.to_string());
    }
}
