//! Runs the compiler for one module and one target, unless its result is there already.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use rocmforge_kernels::{Hasher, Module, source_hash, sources};
use serde::{Deserialize, Serialize};

use super::disasm;
use super::object::{self, Kernel};
use crate::process;

/// A warning is an error: the same text goes through three other compilers.
const WARNINGS: &[&str] = &["-Wall", "-Wextra", "-Wshadow", "-Werror"];
/// The sources include no header of HIP, so it is not read in: that is most of the time of a small module.
const OUTPUT: &[&str] = &["--genco", "--no-gpu-bundle-output", "-nogpuinc", "-Ikernels/include"];
/// Raised when what is kept beside an object changes.
const CACHE_VERSION: u32 = 1;

/// A compiled module.
#[derive(Debug, Clone)]
pub struct Built {
    pub object: Vec<u8>,
    pub kernels: Vec<Kernel>,
    pub fresh: bool,
}

/// What is kept beside an object.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    kernels: Vec<Kernel>,
}

/// The compiler, and where its results are kept.
#[derive(Debug)]
pub struct Compiler {
    /// Words ahead of each command.
    prefix: Vec<String>,
    hipcc: String,
    objdump: String,
    /// How the compiler describes itself.
    pub version: String,
    cache: PathBuf,
    /// Holds the folder `kernels` as this program knows it.
    sources: PathBuf,
}

impl Compiler {
    /// Asks the compiler who it is.
    pub fn find(prefix: Option<&str>) -> Result<Self> {
        let prefix: Vec<String> = prefix.unwrap_or_default().split_whitespace().map(str::to_owned).collect();
        let hipcc = std::env::var("HIPCC").unwrap_or_else(|_| "hipcc".into());
        let output = command(&prefix, &hipcc).arg("--version").output().with_context(|| {
            format!("cannot start `{hipcc}`; put ROCm's bin folder into PATH, set HIPCC, or name a --prefix")
        })?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(output.status.success(), "`{hipcc} --version`: {}", String::from_utf8_lossy(&output.stderr).trim());
        let llvm = text.lines().find_map(|line| line.strip_prefix("InstalledDir: "));
        let objdump = llvm.map_or("llvm-objdump".to_owned(), |folder| format!("{}/llvm-objdump", folder.trim()));
        let cache = cache_folder();
        let sources = write_sources(&cache)?;
        Ok(Self { prefix, hipcc, objdump, version: version(&text), cache, sources })
    }

    /// The code object of a module, compiled now or earlier from the same text.
    pub fn build(&self, module: &Module, arch: &str) -> Result<Built> {
        let path = self.path(module, arch);
        if let Some(built) = self.kept(&path) {
            return Ok(built);
        }
        fs::create_dir_all(path.parent().unwrap_or(&self.cache))?;
        // Another task may be at the same module.
        let new = path.with_extension(format!("{}.new", std::process::id()));
        self.compile(module, arch, &new)?;
        let object = fs::read(&new)?;
        let mut kernels = object::kernels(&object)?;
        disasm::count(&self.disassemble(&new)?, &mut kernels);
        forget_older(&path);
        fs::write(path.with_extension("json"), serde_json::to_string(&Kept { kernels: kernels.clone() })?)?;
        // The object comes last and at once: where it lies, the rest lies too.
        fs::rename(&new, &path)?;
        Ok(Built { object, kernels, fresh: true })
    }

    fn kept(&self, path: &Path) -> Option<Built> {
        let object = fs::read(path).ok()?;
        let kept: Kept = serde_json::from_str(&fs::read_to_string(path.with_extension("json")).ok()?).ok()?;
        Some(Built { object, kernels: kept.kernels, fresh: false })
    }

    /// `<cache>/gfx1100/norm-norm.0123456789abcdef.co`
    fn path(&self, module: &Module, arch: &str) -> PathBuf {
        let options = [OUTPUT, WARNINGS].concat().join(" ");
        let key = Hasher::new().field(CACHE_VERSION.to_le_bytes()).field(&self.version).field(options).field(arch);
        let key = key.field(module.hash().0).finish().to_string();
        self.cache.join(arch).join(format!("{}.{}.co", module.name.replace('/', "-"), &key[..16]))
    }

    fn compile(&self, module: &Module, arch: &str, to: &Path) -> Result<()> {
        let mut compile = command(&self.prefix, &self.hipcc);
        compile.current_dir(&self.sources);
        compile.args(OUTPUT).args(WARNINGS).args(module.options()).arg(format!("--offload-arch={arch}"));
        compile.arg(format!("kernels/{}", module.file)).arg("-o").arg(to);
        let output = compile.output().with_context(|| format!("cannot start {}", self.hipcc))?;
        if !output.status.success() {
            bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(())
    }

    fn disassemble(&self, object: &Path) -> Result<String> {
        let mut objdump = command(&self.prefix, &self.objdump);
        objdump.args(["--disassemble", "--no-show-raw-insn"]).arg(object);
        process::stdout_of(&mut objdump).map(|text| String::from_utf8_lossy(&text).into_owned())
    }
}

fn command(prefix: &[String], program: &str) -> Command {
    let mut words = prefix.iter().map(String::as_str).chain([program]);
    let mut command = Command::new(words.next().unwrap_or(program));
    command.args(words).current_dir(process::root());
    command
}

/// The lines of `hipcc --version` that tell one compiler from another.
fn version(text: &str) -> String {
    let told = text.lines().map(str::trim).filter(|line| line.contains(" version"));
    told.map(|line| line.replace(" version:", "").replace(" version", "")).collect::<Vec<_>>().join(", ")
}

fn cache_folder() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or("target".into(), PathBuf::from);
    process::root().join(target).join("kernels")
}

/// Writes the texts inside this program to a folder of their own. The compiler reads these and not the ones in the
/// workspace, which may have changed since: what is compiled is what the digests are of.
fn write_sources(cache: &Path) -> Result<PathBuf> {
    let folder = cache.join("sources").join(&source_hash().to_string()[..16]);
    for source in sources() {
        let path = folder.join("kernels").join(source.path);
        if fs::read_to_string(&path).ok().as_deref() != Some(source.text) {
            fs::create_dir_all(path.parent().unwrap_or(&folder))?;
            fs::write(&path, source.text)?;
        }
    }
    forget_unused(&cache.join("sources"));
    Ok(folder)
}

/// Removes folders of a day ago; younger ones may belong to a task that runs now.
fn forget_unused(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let written = entry.metadata().and_then(|about| about.modified());
        if written.is_ok_and(|time| time.elapsed().is_ok_and(|age| age.as_secs() > 24 * 3600)) {
            // One that stays costs a little room.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Removes what earlier texts of the same module left behind.
fn forget_older(path: &Path) {
    let module = |path: &Path| Some(path.file_name()?.to_str()?.split('.').next()?.to_owned());
    let Some(entries) = path.parent().and_then(|folder| fs::read_dir(folder).ok()) else { return };
    for entry in entries.flatten().map(|entry| entry.path()) {
        if module(&entry) == module(path) && entry.extension().is_none_or(|e| e != "new") {
            // One that another task has removed already is gone as wanted.
            let _ = fs::remove_file(entry);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compiler_is_known_by_its_versions() {
        let text = "HIP version: 6.4.43484-9999\nDebian clang version 21.1.8 (14)\nTarget: x86_64-pc-linux-gnu\n";
        assert_eq!(version(text), "HIP 6.4.43484-9999, Debian clang 21.1.8 (14)");
    }

    #[test]
    fn a_prefix_goes_ahead() {
        let command = command(&["in-container".into(), "--quiet".into()], "hipcc");
        assert_eq!(command.get_program(), "in-container");
        assert_eq!(command.get_args().collect::<Vec<_>>(), ["--quiet", "hipcc"]);
    }

    #[test]
    fn older_results_are_removed_and_others_stay() {
        let folder = tempfile::tempdir().unwrap();
        let names = ["a-a.11.co", "a-a.11.json", "a-a.22.new", "a-ab.33.co"];
        names.iter().for_each(|name| fs::write(folder.path().join(name), "").unwrap());
        forget_older(&folder.path().join("a-a.22.co"));
        let left = names.map(|name| folder.path().join(name).exists());
        assert_eq!(left, [false, false, true, true]);
    }
}
