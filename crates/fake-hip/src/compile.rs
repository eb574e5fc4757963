//! hipRTC: kernels compiled for the CPU by the system's C++ compiler, and a folder that keeps the results.

use std::ffi::OsStr;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Component, Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use crate::objects::ObjectsError;
use crate::settings::{Settings, base_arch, wave_of};

/// Compilers to look for, when none is named.
const COMPILERS: &[&str] = &["c++", "g++", "clang++"];
/// What every compilation gets. Floating-point contraction is as on GPUs (g++ makes use of it among the expensive
/// optimizations); kernels reinterpret memory. Lanes spend their time in taking turns, so that unrolled loops run
/// hardly faster, while their compilation takes two to seven times as long.
const OPTIONS: &[&str] = &[
    "-std=c++17",
    "-O1",
    "-fexpensive-optimizations",
    "-fno-tree-loop-optimize",
    "-ffp-contract=fast",
    "-fno-strict-aliasing",
    "-march=native",
    "-fPIC",
    "-shared",
    "-pthread",
    "-w",
    "-DRF_HOST",
];

/// A hipRTC program.
#[derive(Debug, Clone, Default)]
pub(crate) struct Program {
    pub source: String,
    pub name: String,
    /// Include names and texts.
    pub headers: Vec<(String, String)>,
    pub log: String,
    /// The shared object; empty until compiled.
    pub code: Vec<u8>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum CompileError {
    #[error(
        "no C++ compiler found ({}); install one, or name it in ROCMFORGE_FAKE_HIP_CXX",
        COMPILERS.join(", ")
    )]
    NoCompiler,
    #[error("{0}")]
    Rejected(String),
    #[error("include name `{0}` leaves the folder of the headers")]
    IncludeName(String),
    #[error(transparent)]
    Objects(#[from] ObjectsError),
    #[error("{what}: {error}")]
    Io { what: String, error: io::Error },
}

fn io_error(what: &Path) -> impl FnOnce(io::Error) -> CompileError {
    let what = what.display().to_string();
    move |error| CompileError::Io { what, error }
}

/// The compiler that kernels are compiled with, `None` without one.
pub(crate) fn compiler(named: Option<&Path>) -> Option<PathBuf> {
    if let Some(path) = named {
        return if path.components().count() > 1 { Some(path.into()) } else { on_path(path.as_os_str()) };
    }
    COMPILERS.iter().find_map(|name| on_path(OsStr::new(name)))
}

fn on_path(name: &OsStr) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// The target that the options name, or else the device's.
fn target(options: &[String], settings: &Settings) -> String {
    let named = options.iter().find_map(|option| {
        option.strip_prefix("--offload-arch=").or_else(|| option.strip_prefix("--gpu-architecture="))
    });
    base_arch(named.unwrap_or(&settings.arch)).to_string()
}

/// Compiles a program to a shared object; options that mean something to a GPU only are left out.
pub(crate) fn compile(program: &Program, options: &[String], settings: &Settings) -> Result<Vec<u8>, CompileError> {
    let compiler = compiler(settings.cxx.as_deref()).ok_or(CompileError::NoCompiler)?;
    let mut arguments: Vec<String> = OPTIONS.iter().map(|option| option.to_string()).collect();
    let target = target(options, settings);
    arguments.push(format!("-DRF_WAVE={}", wave_of(&target)));
    arguments.push(format!("-DRF_HOST_TARGET=\"{target}\""));
    arguments.extend(options.iter().filter(|option| is_for_any_compiler(option)).cloned());
    let folder = cache_folder(settings)?;
    let key = cache_key(program, &arguments, &compiler);
    let kept = folder.join(format!("{key}.so"));
    if let Ok(object) = fs::read(&kept) {
        return Ok(object);
    }
    let _turn = take_turns(&folder, &key);
    if let Ok(object) = fs::read(&kept) {
        return Ok(object);
    }
    let work = WorkFolder::new(&folder)?;
    let built = build(program, &arguments, &compiler, &work.path)?;
    let object = fs::read(&built).map_err(io_error(&built))?;
    // Renamed into place, so that other processes see nothing or all of it. Without it the next one compiles again.
    let _ = fs::rename(&built, &kept);
    Ok(object)
}

/// Waits while another thread or process compiles the same, which often happens when tests begin together; until the
/// file is dropped. Without locks in the folder's file system both compile.
fn take_turns(folder: &Path, key: &str) -> Option<fs::File> {
    let file = fs::File::create(folder.join(format!("lock-{}", &key[..2]))).ok()?;
    file.lock().ok()?;
    Some(file)
}

fn is_for_any_compiler(option: &str) -> bool {
    option.starts_with("-D") || option.starts_with("-U") || option.starts_with("-std=")
}

fn build(program: &Program, arguments: &[String], compiler: &Path, folder: &Path) -> Result<PathBuf, CompileError> {
    let include = folder.join("include");
    for (name, text) in &program.headers {
        write_inside(&include, name, text)?;
    }
    let source = if is_inside(&program.name) { program.name.as_str() } else { "program.hip" };
    let source = write_inside(folder, source, &program.source)?;
    let object = folder.join("object.so");
    let mut command = Command::new(compiler);
    command.args(arguments).arg("-I").arg(&include).args(["-x", "c++"]).arg(&source).arg("-o").arg(&object);
    let output = command.output().map_err(io_error(compiler))?;
    if output.status.success() {
        return Ok(object);
    }
    // The user knows the file by its own name.
    let log = String::from_utf8_lossy(&output.stderr).replace(&format!("{}/", folder.display()), "");
    Err(CompileError::Rejected(log))
}

fn is_inside(name: &str) -> bool {
    !name.is_empty() && Path::new(name).components().all(|part| matches!(part, Component::Normal(_)))
}

fn write_inside(folder: &Path, name: &str, text: &str) -> Result<PathBuf, CompileError> {
    if !is_inside(name) {
        return Err(CompileError::IncludeName(name.into()));
    }
    let file = folder.join(name);
    if let Some(parent) = file.parent() {
        fs::create_dir_all(parent).map_err(io_error(parent))?;
    }
    fs::write(&file, text).map_err(io_error(&file))?;
    Ok(file)
}

/// A file name that nobody else has: no other process, and no other copy of this library in this process.
pub(crate) fn unique_name() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
    format!("{}-{:x}-{number}-{time:x}", std::process::id(), std::ptr::from_ref(&NEXT).addr())
}

/// A folder for one compilation, removed with it.
struct WorkFolder {
    path: PathBuf,
}

impl WorkFolder {
    fn new(parent: &Path) -> Result<Self, CompileError> {
        let path = parent.join(format!("work-{}", unique_name()));
        fs::create_dir(&path).map_err(io_error(&path))?;
        Ok(Self { path })
    }
}

impl Drop for WorkFolder {
    fn drop(&mut self) {
        // What cannot be removed lies in the folder for temporary files.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// The folder that keeps compiled objects. They are code that we shall run, so it must be the user's own.
fn cache_folder(settings: &Settings) -> Result<PathBuf, CompileError> {
    if let Some(folder) = &settings.cache {
        fs::create_dir_all(folder).map_err(io_error(folder))?;
        return Ok(folder.clone());
    }
    private_folder(std::env::temp_dir())
}

#[cfg(unix)]
fn private_folder(parent: PathBuf) -> Result<PathBuf, CompileError> {
    use std::os::unix::fs::{DirBuilderExt, MetadataExt};
    // A file of our own tells who we are.
    let me = fs::metadata("/proc/self").map(|file| file.uid());
    let user = me.as_ref().map_or_else(|_| "user".into(), u32::to_string);
    let folder = parent.join(format!("rocmforge-fake-hip-{user}"));
    let created = fs::DirBuilder::new().mode(0o700).create(&folder);
    if let Err(error) = created
        && error.kind() != io::ErrorKind::AlreadyExists
    {
        return Err(io_error(&folder)(error));
    }
    let found = fs::symlink_metadata(&folder).map_err(io_error(&folder))?;
    let is_ours = found.is_dir() && found.mode() & 0o022 == 0 && me.is_ok_and(|uid| uid == found.uid());
    if is_ours { Ok(folder) } else { Err(io_error(&folder)(io::Error::other("is not a folder of this user alone"))) }
}

#[cfg(not(unix))]
fn private_folder(parent: PathBuf) -> Result<PathBuf, CompileError> {
    let folder = parent.join("rocmforge-fake-hip");
    fs::create_dir_all(&folder).map_err(io_error(&folder))?;
    Ok(folder)
}

/// What decides the result: the texts, the arguments, the compiler, and the processor that `-march=native` means.
fn cache_key(program: &Program, arguments: &[String], compiler: &Path) -> String {
    let half = |seed: u64| {
        let mut hasher = DefaultHasher::new();
        seed.hash(&mut hasher);
        (&program.source, &program.name, &program.headers, arguments, compiler).hash(&mut hasher);
        compiler_state(compiler).hash(&mut hasher);
        processor().hash(&mut hasher);
        hasher.finish()
    };
    format!("{:016x}{:016x}", half(0), half(1))
}

fn compiler_state(compiler: &Path) -> (u64, Option<SystemTime>) {
    fs::metadata(compiler).map_or((0, None), |file| (file.len(), file.modified().ok()))
}

fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    text.lines().find(|line| line.starts_with("flags") || line.starts_with("Features")).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_headers_stay_inside() {
        assert!(is_inside("rf/platform.h"));
        for name in ["", "/etc/passwd", "../up.h", "rf/../../up.h"] {
            assert!(!is_inside(name), "{name}");
        }
    }

    #[test]
    fn the_target_comes_from_the_options_first() {
        let settings = Settings::default();
        assert_eq!(target(&["-O3".into()], &settings), "gfx1100");
        assert_eq!(target(&["--offload-arch=gfx90a:xnack-".into()], &settings), "gfx90a");
    }

    #[test]
    fn the_key_tells_programs_apart() {
        let program = |source: &str| Program { source: source.into(), ..Program::default() };
        let key = |source, argument: &str| cache_key(&program(source), &[argument.into()], Path::new("/none"));
        assert_eq!(key("a", "-DX=1"), key("a", "-DX=1"));
        assert_ne!(key("a", "-DX=1"), key("b", "-DX=1"));
        assert_ne!(key("a", "-DX=1"), key("a", "-DX=2"));
    }

    #[test]
    fn the_same_is_compiled_by_one_at_a_time() {
        let folder = WorkFolder::new(&std::env::temp_dir()).expect("a folder");
        let turn = take_turns(&folder.path, "ab12").expect("it can be locked");
        let other = fs::File::open(folder.path.join("lock-ab")).expect("the lock is a file");
        assert!(other.try_lock().is_err(), "another one compiles it too");
        drop(turn);
        assert!(other.try_lock().is_ok());
    }

    #[test]
    fn a_compiler_that_is_not_there() {
        assert_eq!(compiler(Some(Path::new("no-such-compiler"))), None);
        let settings = Settings { cxx: Some("no-such-compiler".into()), ..Settings::default() };
        let error = compile(&Program::default(), &[], &settings).unwrap_err();
        assert!(error.to_string().contains("ROCMFORGE_FAKE_HIP_CXX"), "{error}");
    }
}
