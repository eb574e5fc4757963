//! Steering the fake from a test: the functions that it exports beside HIP's.

use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::ffi::{CString, OsString, c_char, c_int};
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fmt, fs};

use hip_sys::hipError_t;
use libloading::Library;
use rocmforge_kernels::Archive;

/// The shared library: beside the running program, in its `deps` folder or the folder above, or where the system's
/// loader looks. It is built whenever this crate is a dependency; nothing is built here. Where no file is found, the
/// path is the one where it should be.
pub fn library_path() -> PathBuf {
    let file = format!("{DLL_PREFIX}fake_hip{DLL_SUFFIX}");
    let mut candidates = folders().map(|folder| folder.join(&file));
    let first = candidates.next().unwrap_or_else(|| PathBuf::from(&file));
    std::iter::once(first.clone()).chain(candidates).find(|path| path.is_file()).unwrap_or(first)
}

fn folders() -> impl Iterator<Item = PathBuf> {
    let program = std::env::current_exe().unwrap_or_default();
    let near = program.parent().map(Path::to_path_buf).unwrap_or_default();
    let above = near.parent().map(Path::to_path_buf).unwrap_or_default();
    // Programs of doc tests lie elsewhere, but run with the folder in the loader's path.
    let variables = ["LD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH"];
    let paths = variables.into_iter().filter_map(std::env::var_os);
    let listed: Vec<PathBuf> = paths.flat_map(|paths| std::env::split_paths(&paths).collect::<Vec<_>>()).collect();
    [near.clone(), near.join("deps"), above.join("deps"), above].into_iter().chain(listed)
}

/// The C++ compiler that kernels are compiled with: the one that `ROCMFORGE_FAKE_HIP_CXX` names, or else the first of
/// `c++`, `g++` and `clang++` that there is. Without one, tests that need kernels are to be skipped.
pub fn compiler() -> Option<PathBuf> {
    let settings = crate::settings::Settings::from_environment();
    crate::compile::compiler(settings.cxx.as_deref())
}

/// The variables of a program that is to run on an emulated device whose code objects are those of an archive. The file
/// has the target's name: `gfx1100.bin`.
///
/// # Errors
/// If it cannot be read, or holds objects of other sources than those of this program. Tests are to be skipped then, with
/// what the error says.
pub fn emulated(archive: &Path) -> Result<[(&'static str, OsString); 3], OpenError> {
    let arch = archive.file_stem().unwrap_or_default().to_string_lossy();
    let error = |reason: String| OpenError::Objects { path: archive.into(), reason, arch: arch.clone().into() };
    let bytes = fs::read(archive).map_err(|reason| error(reason.to_string()))?;
    let objects = Archive::read(&bytes).map_err(|reason| error(reason.to_string()))?;
    if let Some(entry) = objects.outdated().next() {
        return Err(error(format!("it is older than the sources of {}", entry.name)));
    }
    Ok([
        (hip_sys::LIBRARY_VARIABLE, library_path().into()),
        ("ROCMFORGE_FAKE_HIP", format!("emulate:{arch}").into()),
        ("ROCMFORGE_FAKE_HIP_OBJECTS", archive.into()),
    ])
}

/// Why the fake cannot be steered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The library does not open, or is another one.
    #[error("{}: {error}; `cargo build -p rocmforge-fake-hip` builds it", path.display())]
    Library {
        /// The file.
        path: PathBuf,
        /// What the loader said.
        error: libloading::Error,
    },
    /// An archive that cannot be used.
    #[error("{}: {reason}; `cargo xtask kernels --arch {arch} --test-objects` renews that of the tests", path.display())]
    Objects {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
        /// The target that its name tells.
        arch: String,
    },
    /// A setting or fault that the library does not understand.
    #[error("{0}")]
    Words(String),
}

/// Something that goes wrong on purpose: which call, when, and how.
///
/// ```
/// use fake_hip::Fault;
/// use hip_sys::hipError_t;
///
/// let third = Fault::fail(hipError_t::hipErrorOutOfMemory).call("hipMalloc").at(3);
/// assert_eq!(third.to_string(), "fail=2 call=hipMalloc at=3");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    words: String,
}

impl Fault {
    /// The call returns this status and does nothing.
    pub fn fail(status: hipError_t) -> Self {
        Self { words: format!("fail={}", status.0) }
    }

    /// The call ends the process, as a crash would.
    pub fn abort() -> Self {
        Self { words: "abort".into() }
    }

    /// The call takes this long, then goes on.
    pub fn sleep(time: Duration) -> Self {
        Self { words: format!("sleep={}", time.as_millis()) }
    }

    /// The copy, fill, launch or graph succeeds, but what it should write stays as it was.
    pub fn unwritten() -> Self {
        Self { words: "unwritten".into() }
    }

    /// The call succeeds and makes nothing: the new handle or pointer is null. For functions that make something.
    pub fn null() -> Self {
        Self { words: "null".into() }
    }

    /// Only calls of this function.
    #[must_use]
    pub fn call(self, name: &str) -> Self {
        self.with(&format!("call={name}"))
    }

    /// The `k`th of the calls since now, from 1; without it the next one.
    #[must_use]
    pub fn at(self, k: u64) -> Self {
        self.with(&format!("at={k}"))
    }

    /// That call and all later ones.
    #[must_use]
    pub fn sticky(self) -> Self {
        self.with("sticky")
    }

    /// Only calls of the thread that adds the fault, so that tests may run side by side.
    #[must_use]
    pub fn this_thread(self) -> Self {
        self.with("thread")
    }

    fn with(mut self, word: &str) -> Self {
        self.words.push(' ');
        self.words.push_str(word);
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

/// The fake as it is loaded in this process. There is one, whatever the number of these handles: counters, settings and
/// faults are those of all its users.
#[derive(Debug)]
pub struct FakeHip {
    reset: unsafe extern "C" fn(),
    call_count: unsafe extern "C" fn(*const c_char) -> u64,
    live_allocations: unsafe extern "C" fn() -> u64,
    live_bytes: unsafe extern "C" fn() -> u64,
    live_handles: unsafe extern "C" fn() -> u64,
    live: unsafe extern "C" fn(*const c_char) -> u64,
    fault: unsafe extern "C" fn(*const c_char) -> c_int,
    clear_faults: unsafe extern "C" fn(),
    set: unsafe extern "C" fn(*const c_char, *const c_char) -> c_int,
    last_message: unsafe extern "C" fn(*mut c_char, usize) -> usize,
    device_reset: unsafe extern "C" fn() -> hipError_t,
}

impl FakeHip {
    /// Opens the library at [`library_path`]; the same one as `hip_sys::Api::open_path` with this path.
    ///
    /// # Errors
    /// [`OpenError::Library`].
    pub fn open() -> Result<Self, OpenError> {
        Self::open_path(&library_path())
    }

    /// Opens the library in a given file.
    ///
    /// # Errors
    /// [`OpenError::Library`].
    pub fn open_path(path: &Path) -> Result<Self, OpenError> {
        Self::load(path).map_err(|error| OpenError::Library { path: path.into(), error })
    }

    fn load(path: &Path) -> Result<Self, libloading::Error> {
        // SAFETY: the library is this crate's, whose initialisers do nothing; another one lacks the symbols. These have
        // the types that `symbols/control.rs` gives them, and the library is never closed.
        unsafe {
            let library: &'static Library = Box::leak(Box::new(Library::new(path)?));
            Ok(Self {
                reset: *library.get(b"fake_hip_reset")?,
                call_count: *library.get(b"fake_hip_call_count")?,
                live_allocations: *library.get(b"fake_hip_live_allocations")?,
                live_bytes: *library.get(b"fake_hip_live_bytes")?,
                live_handles: *library.get(b"fake_hip_live_handles")?,
                live: *library.get(b"fake_hip_live")?,
                fault: *library.get(b"fake_hip_fault")?,
                clear_faults: *library.get(b"fake_hip_clear_faults")?,
                set: *library.get(b"fake_hip_set")?,
                last_message: *library.get(b"fake_hip_last_message")?,
                device_reset: *library.get(b"hipDeviceReset")?,
            })
        }
    }

    /// Counters, faults, settings and the last message as in a new process; what lives stays alive.
    pub fn reset(&self) {
        // SAFETY: the function asks for nothing.
        unsafe { (self.reset)() }
    }

    /// Takes everything from the thread's device that was not released, as the end of the process would. For after a
    /// fault, when whoever had something there has dropped it: device memory, pinned memory and handles are gone.
    pub fn reset_device(&self) -> hipError_t {
        // SAFETY: the function asks for nothing. Handles and device addresses are looked up in every call; that nobody
        // reads pinned memory any more is what is asked of the caller, a test.
        unsafe { (self.device_reset)() }
    }

    /// How many calls of a function were made since the last reset.
    pub fn call_count(&self, name: &str) -> u64 {
        let name = c_string(name);
        // SAFETY: a string that lives until the call is over.
        unsafe { (self.call_count)(name.as_ptr()) }
    }

    /// How many calls of all functions were made since the last reset.
    pub fn calls(&self) -> u64 {
        // SAFETY: null stands for all.
        unsafe { (self.call_count)(std::ptr::null()) }
    }

    /// Allocations of device and pinned memory that are not freed.
    pub fn live_allocations(&self) -> u64 {
        // SAFETY: the function asks for nothing.
        unsafe { (self.live_allocations)() }
    }

    /// Bytes of these allocations.
    pub fn live_bytes(&self) -> u64 {
        // SAFETY: as above.
        unsafe { (self.live_bytes)() }
    }

    /// Streams, events, graphs, modules and programs that are not destroyed.
    pub fn live_handles(&self) -> u64 {
        // SAFETY: as above.
        unsafe { (self.live_handles)() }
    }

    /// How many are alive of one kind: allocations by `device` and `pinned`, handles by `streams`, `events`, `graphs`,
    /// `graph_execs`, `modules` and `programs`.
    pub fn live(&self, kind: &str) -> u64 {
        let kind = c_string(kind);
        // SAFETY: a string that lives until the call is over.
        unsafe { (self.live)(kind.as_ptr()) }
    }

    /// Adds a fault.
    ///
    /// # Errors
    /// [`OpenError::Words`] when the library does not understand it.
    pub fn add_fault(&self, fault: &Fault) -> Result<(), OpenError> {
        let words = c_string(&fault.words);
        // SAFETY: a string that lives until the call is over.
        self.understood(unsafe { (self.fault)(words.as_ptr()) })
    }

    /// Removes all faults.
    pub fn clear_faults(&self) {
        // SAFETY: the function asks for nothing.
        unsafe { (self.clear_faults)() }
    }

    /// Changes a setting, as the README lists them: `set("order", "reverse")`.
    ///
    /// # Errors
    /// [`OpenError::Words`] for a name or value that means nothing.
    pub fn set(&self, key: &str, value: &str) -> Result<(), OpenError> {
        let (key, value) = (c_string(key), c_string(value));
        // SAFETY: strings that live until the call is over.
        self.understood(unsafe { (self.set)(key.as_ptr(), value.as_ptr()) })
    }

    /// What went wrong last, in words: which kernel, where, and how. Empty if nothing did.
    pub fn last_message(&self) -> String {
        let mut text = vec![0u8; 4096];
        // SAFETY: the buffer has the room that is told.
        let bytes = unsafe { (self.last_message)(text.as_mut_ptr().cast(), text.len()) };
        text.truncate(bytes.min(4095));
        String::from_utf8_lossy(&text).into_owned()
    }

    fn understood(&self, answer: c_int) -> Result<(), OpenError> {
        if answer == 0 { Ok(()) } else { Err(OpenError::Words(self.last_message())) }
    }
}

/// A text up to its first zero, if it has one.
fn c_string(text: &str) -> CString {
    CString::new(text.split('\0').next().unwrap_or_default()).unwrap_or_default()
}
