//! Everything that the calls share, behind one lock.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use hip_sys::hipError_t;

use crate::compile::Program;
use crate::faults::Fault;
use crate::memory::{Kind, Memory};
use crate::module::{Function, Module};
use crate::say::say;
use crate::settings::{Mode, Settings};
use crate::stream::{Event, Op, Stream};

/// A status that is not success.
pub(crate) type Status = Result<(), hipError_t>;

/// Objects that a program holds by a handle. A handle is a number that never comes again, so that one which was
/// destroyed is noticed.
#[derive(Debug)]
pub(crate) struct Handles<T> {
    of: HashMap<usize, T>,
}

impl<T> Default for Handles<T> {
    fn default() -> Self {
        Self { of: HashMap::new() }
    }
}

impl<T> Handles<T> {
    pub(crate) fn insert<H>(&mut self, value: T) -> *mut H {
        // Handles of all kinds differ, so that one of another kind is noticed, too.
        static NEXT: Mutex<usize> = Mutex::new(0x1000);
        let mut next = NEXT.lock().unwrap_or_else(PoisonError::into_inner);
        *next += 0x10;
        self.of.insert(*next, value);
        *next as *mut H
    }

    pub(crate) fn get(&self, handle: usize) -> Result<&T, hipError_t> {
        self.of.get(&handle).ok_or(hipError_t::hipErrorInvalidHandle)
    }

    pub(crate) fn get_mut(&mut self, handle: usize) -> Result<&mut T, hipError_t> {
        self.of.get_mut(&handle).ok_or(hipError_t::hipErrorInvalidHandle)
    }

    pub(crate) fn remove(&mut self, handle: usize) -> Result<T, hipError_t> {
        self.of.remove(&handle).ok_or(hipError_t::hipErrorInvalidHandle)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (usize, &mut T)> {
        self.of.iter_mut().map(|(handle, value)| (*handle, value))
    }

    pub(crate) fn retain(&mut self, keep: impl Fn(&T) -> bool) {
        self.of.retain(|_, value| keep(value));
    }

    pub(crate) fn len(&self) -> usize {
        self.of.len()
    }
}

/// The whole state of the fake.
#[derive(Debug)]
pub(crate) struct State {
    pub settings: Settings,
    pub faults: Vec<Fault>,
    pub counts: HashMap<&'static str, u64>,
    pub memory: Memory,
    pub streams: Handles<Stream>,
    pub events: Handles<Event>,
    pub graphs: Handles<Vec<Op>>,
    pub graph_execs: Handles<Vec<Op>>,
    pub modules: Handles<Module>,
    pub functions: Handles<Function>,
    pub programs: Handles<Program>,
    /// What went wrong last, in words.
    pub message: String,
}

impl State {
    fn new() -> Self {
        let mut state = Self::with(Settings::from_environment());
        state.follow_mode();
        state
    }

    fn with(settings: Settings) -> Self {
        Self {
            settings,
            faults: faults_from_environment(),
            counts: HashMap::new(),
            memory: Memory::default(),
            streams: Handles::default(),
            events: Handles::default(),
            graphs: Handles::default(),
            graph_execs: Handles::default(),
            modules: Handles::default(),
            functions: Handles::default(),
            programs: Handles::default(),
            message: String::new(),
        }
    }

    /// Counters, faults, settings and the last message as in a new process; what lives stays alive.
    pub(crate) fn reset(&mut self) {
        self.settings = Settings::from_environment();
        self.follow_mode();
        self.faults = faults_from_environment();
        self.counts.clear();
        self.message.clear();
    }

    /// Changes a setting by its name.
    pub(crate) fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        self.settings.set(key, value)?;
        self.follow_mode();
        Ok(())
    }

    fn follow_mode(&mut self) {
        self.memory.emulate(self.settings.mode == Mode::Emulate);
    }

    /// Keeps why a call fails and tells it on stderr.
    pub(crate) fn explain(&mut self, message: String, status: hipError_t) -> hipError_t {
        say(&message);
        self.message = message;
        status
    }

    /// Objects other than memory that are not destroyed, by kind. Functions belong to their modules.
    pub(crate) fn live_handles(&self) -> [(&'static str, usize); 6] {
        [
            ("streams", self.streams.len()),
            ("events", self.events.len()),
            ("graphs", self.graphs.len()),
            ("graph_execs", self.graph_execs.len()),
            ("modules", self.modules.len()),
            ("programs", self.programs.len()),
        ]
    }

    /// How much of one kind is alive: a kind of handle, or `device` or `pinned` allocations.
    pub(crate) fn live(&self, kind: &str) -> usize {
        match kind {
            "device" => self.memory.count(|kind| matches!(kind, Kind::Device(_))),
            "pinned" => self.memory.count(|kind| kind == Kind::Pinned),
            _ => self.live_handles().into_iter().filter(|(name, _)| *name == kind).map(|(_, count)| count).sum(),
        }
    }
}

fn faults_from_environment() -> Vec<Fault> {
    let Ok(text) = std::env::var("ROCMFORGE_FAKE_HIP_FAULT") else { return Vec::new() };
    Fault::parse_list(&text).unwrap_or_else(|reason| {
        say(&format!("ROCMFORGE_FAKE_HIP_FAULT: {reason}"));
        Vec::new()
    })
}

static STATE: LazyLock<Mutex<State>> = LazyLock::new(|| Mutex::new(State::new()));

pub(crate) fn lock() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

thread_local! {
    static DEVICE: Cell<usize> = const { Cell::new(0) };
    static LAST_ERROR: Cell<hipError_t> = const { Cell::new(hipError_t::hipSuccess) };
}

/// The calling thread's device.
pub(crate) fn current_device() -> usize {
    DEVICE.get()
}

pub(crate) fn set_current_device(device: usize) {
    DEVICE.set(device);
}

pub(crate) fn take_last_error() -> hipError_t {
    LAST_ERROR.replace(hipError_t::hipSuccess)
}

pub(crate) fn set_last_error(status: hipError_t) {
    LAST_ERROR.set(status);
}
