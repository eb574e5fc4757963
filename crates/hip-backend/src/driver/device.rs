//! Opening devices, and what every call goes through.

use std::cell::Cell;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use hip_sys::{Api, hipError_t};

use super::buffer::Allocation;
use super::health::Health;
use super::ledger::Ledger;
use super::properties::device_count;
use super::{Buffer, Event, Fault, HipError, MemoryUse, Module, PinnedBuffer, Properties, Status, Stream};

/// Environment variable that fills new buffers, and what steps work in, with 0xFF bytes when it is `1`.
pub const POISON_VARIABLE: &str = "ROCMFORGE_HIP_POISON";

/// Whether [`POISON_VARIABLE`] asks for it.
pub(crate) fn poison_by_default() -> bool {
    std::env::var_os(POISON_VARIABLE).is_some_and(|value| value == "1")
}

/// An open device. Clones are the same device, and so is what [`open`](Self::open) returns for the same library and
/// number while a clone is alive: budget, counts and health belong to the device.
///
/// Every call makes the device current on the calling thread, which costs a thread-local comparison where it is
/// already. A thread that calls `hipSetDevice` itself sets the device back before it uses this crate again.
#[derive(Clone)]
pub struct Device(Arc<Inner>);

struct Inner {
    api: Arc<Api>,
    ordinal: u32,
    /// Different for every opening in this process; 0 is none.
    serial: u64,
    properties: Properties,
    health: Health,
    ledger: Ledger<Allocation>,
    poison: AtomicBool,
    waits: AtomicU64,
}

/// Free and total memory of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryInfo {
    /// Bytes that nobody uses.
    pub free: u64,
    /// Bytes altogether.
    pub total: u64,
}

/// The open devices, so that a device is opened once however many threads ask.
static OPEN: Mutex<Vec<Weak<Inner>>> = Mutex::new(Vec::new());
const SET_DEVICE: &str = "hipSetDevice";

static NEXT_SERIAL: AtomicU64 = AtomicU64::new(1);

thread_local! {
    /// Serial of the device that this thread made current last.
    static CURRENT: Cell<u64> = const { Cell::new(0) };
}

impl Device {
    /// Opens a device, or joins those who have it open.
    ///
    /// # Errors
    /// [`HipError::NoSuchDevice`], [`HipError::ImplausibleDevice`], [`HipError::Call`]: nothing is left behind, and
    /// the next call tries again. [`HipError::DeviceLost`]: somebody still holds the device after a fault.
    pub fn open(api: Arc<Api>, ordinal: u32) -> Result<Self, HipError> {
        // Held during the calls: a second thread waits for the first one's result.
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|device| device.strong_count() > 0);
        let mut alive = open.iter().filter_map(Weak::upgrade);
        if let Some(inner) = alive.find(|inner| Arc::ptr_eq(&inner.api, &api) && inner.ordinal == ordinal) {
            inner.health.check(ordinal)?;
            return Ok(Self(inner));
        }
        let device = Self(Arc::new(Inner::new(api, ordinal)?));
        device.enter()?;
        open.push(Arc::downgrade(&device.0));
        let Properties { name, arch_full, .. } = device.properties();
        tracing::debug!(ordinal, name, arch = arch_full, "opened HIP device");
        Ok(device)
    }

    /// What the device is.
    pub fn properties(&self) -> &Properties {
        &self.0.properties
    }

    /// The device's number in this process.
    pub fn ordinal(&self) -> u32 {
        self.0.ordinal
    }

    /// The library that the device was opened with.
    pub fn api(&self) -> &Arc<Api> {
        &self.0.api
    }

    /// Free and total memory, as the driver counts them for all processes.
    ///
    /// # Errors
    /// [`HipError::Call`], [`HipError::DeviceLost`].
    pub fn memory(&self) -> Result<MemoryInfo, HipError> {
        let api = self.enter()?;
        let (mut free, mut total) = (0, 0);
        // SAFETY: the function writes two integers.
        let status = unsafe { api.hipMemGetInfo(&mut free, &mut total) };
        self.check("hipMemGetInfo", status)?;
        Ok(MemoryInfo { free: free as u64, total: total as u64 })
    }

    /// Allocates `bytes` of device memory, aligned to 256 bytes; `what` names them in errors. The memory holds
    /// whatever was there before, or 0xFF bytes in poison mode.
    ///
    /// # Errors
    /// [`HipError::OutOfMemory`], [`HipError::OverBudget`], [`HipError::Call`], [`HipError::DeviceLost`].
    pub fn alloc(&self, bytes: usize, what: &'static str) -> Result<Buffer, HipError> {
        Buffer::alloc(self, bytes, what)
    }

    /// Allocates `bytes` of zeroed host memory that the device copies from and to without the processor's help.
    ///
    /// # Errors
    /// [`HipError::OutOfMemory`], [`HipError::Call`], [`HipError::DeviceLost`].
    pub fn alloc_pinned(&self, bytes: usize) -> Result<PinnedBuffer, HipError> {
        PinnedBuffer::alloc(self, bytes)
    }

    /// Makes a stream, which runs its work in order and independently of other streams.
    ///
    /// # Errors
    /// [`HipError::Call`], [`HipError::OutOfMemory`], [`HipError::DeviceLost`].
    pub fn stream(&self) -> Result<Stream, HipError> {
        Stream::new(self)
    }

    /// Makes an event for ordering and waiting.
    ///
    /// # Errors
    /// [`HipError::Call`], [`HipError::OutOfMemory`], [`HipError::DeviceLost`].
    pub fn event(&self) -> Result<Event, HipError> {
        Event::new(self, false)
    }

    /// Makes an event that also keeps the time, for [`elapsed_ms`](super::elapsed_ms).
    ///
    /// # Errors
    /// [`HipError::Call`], [`HipError::OutOfMemory`], [`HipError::DeviceLost`].
    pub fn timing_event(&self) -> Result<Event, HipError> {
        Event::new(self, true)
    }

    /// Loads a code object; `name` names it in errors. The image is copied.
    ///
    /// # Errors
    /// [`HipError::BadImage`]: it is damaged or made for another device. [`HipError::Call`],
    /// [`HipError::OutOfMemory`], [`HipError::DeviceLost`].
    pub fn load_module(&self, image: &[u8], name: &str) -> Result<Module, HipError> {
        Module::load(self, image, name)
    }

    /// Waits for all work of the device.
    ///
    /// # Errors
    /// [`HipError::Call`] and [`HipError::DeviceLost`], also for work that was enqueued earlier.
    pub fn synchronize(&self) -> Result<(), HipError> {
        let api = self.enter()?;
        self.note_wait();
        // SAFETY: the function takes nothing and waits for the current device.
        let status = unsafe { api.hipDeviceSynchronize() };
        self.check("hipDeviceSynchronize", status)
    }

    /// Limits the device memory that buffers of this process may take together. Allocations beyond it are refused
    /// before the driver is asked; what is allocated already stays.
    pub fn set_budget(&self, bytes: u64) {
        self.0.ledger.set_budget(bytes);
    }

    /// The limit set by [`set_budget`](Self::set_budget); `u64::MAX` without one.
    pub fn budget(&self) -> u64 {
        self.0.ledger.budget()
    }

    /// Says whether new buffers are filled with 0xFF bytes, which are NaN as f32, f16 and bf16.
    pub fn set_poison(&self, on: bool) {
        self.0.poison.store(on, Ordering::Relaxed);
    }

    /// How often somebody waited for the device, a stream or an event since the device was opened.
    pub fn waits(&self) -> u64 {
        self.0.waits.load(Ordering::Relaxed)
    }

    pub(crate) fn note_wait(&self) {
        self.0.waits.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts of buffers and pinned memory.
    pub fn memory_use(&self) -> MemoryUse {
        self.0.ledger.counts()
    }

    /// The fault that made the device unusable, if there was one.
    pub fn lost(&self) -> Option<Fault> {
        self.0.health.lost()
    }

    /// Declares the device lost because `call` did not come back in time, for a caller that watches the clock: a hang
    /// has no status of its own. Later calls return [`HipError::DeviceLost`] with the status of a launch that timed
    /// out, and releases do not wait for work that never ends.
    pub fn give_up(&self, call: &'static str) {
        self.0.health.lose(Fault { call, status: Status::TIMED_OUT });
    }

    /// Whether two handles are the same open device.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    pub(crate) fn ledger(&self) -> &Ledger<Allocation> {
        &self.0.ledger
    }

    pub(crate) fn poisons(&self) -> bool {
        self.0.poison.load(Ordering::Relaxed)
    }

    /// What every call starts with: reports what went wrong earlier, and makes the device current.
    pub(crate) fn enter(&self) -> Result<&Api, HipError> {
        self.0.health.check(self.0.ordinal)?;
        self.make_current()?;
        Ok(&self.0.api)
    }

    /// What every release starts with. `None` where the device is lost: the driver is not called any more, since
    /// releases may hang after a fault, and the system takes the memory back with the process.
    pub(crate) fn enter_to_release(&self) -> Option<&Api> {
        if self.lost().is_some() {
            return None;
        }
        match self.make_current() {
            Ok(()) => Some(&self.0.api),
            Err(error) => {
                // Whatever the failure, it is that of the one call made.
                let fault = error.status().map(|status| Fault { call: SET_DEVICE, status });
                fault.into_iter().for_each(|fault| self.note_failed_release(fault));
                None
            }
        }
    }

    fn make_current(&self) -> Result<(), HipError> {
        if CURRENT.get() == self.0.serial {
            return Ok(());
        }
        // SAFETY: the function takes a number, and reports one that is no device.
        let status = unsafe { self.0.api.hipSetDevice(self.0.ordinal as i32) };
        self.check(SET_DEVICE, status)?;
        CURRENT.set(self.0.serial);
        Ok(())
    }

    /// Turns the status of a call without a size into a result.
    pub(crate) fn check(&self, call: &'static str, status: hipError_t) -> Result<(), HipError> {
        self.check_sized(call, 0, status)
    }

    /// Turns the status of a call on `bytes` into a result, and notes whether the device is lost.
    pub(crate) fn check_sized(&self, call: &'static str, bytes: usize, status: hipError_t) -> Result<(), HipError> {
        match Status::of_failure(status) {
            None => Ok(()),
            Some(status) => Err(self.failure(Fault { call, status }, bytes as u64)),
        }
    }

    #[cold]
    fn failure(&self, fault: Fault, bytes: u64) -> HipError {
        if fault.status.is_sticky() {
            let first = self.0.health.lose(fault);
            return HipError::DeviceLost { ordinal: self.0.ordinal, first };
        }
        if fault.status == Status::OUT_OF_MEMORY {
            return self.out_of_memory(fault.call, bytes);
        }
        HipError::Call { fault, bytes }
    }

    pub(crate) fn out_of_memory(&self, what: &'static str, requested: u64) -> HipError {
        let (mut free, mut total) = (0, 0);
        // SAFETY: the function writes two integers; where it fails they stay 0, which the error says is unknown.
        let _ = unsafe { self.0.api.hipMemGetInfo(&mut free, &mut total) };
        HipError::OutOfMemory { what, requested, free: free as u64, total: total as u64 }
    }

    /// Notes the status of a release; the next call reports a failure.
    pub(crate) fn note_release(&self, call: &'static str, status: hipError_t) {
        if let Some(status) = Status::of_failure(status) {
            self.note_failed_release(Fault { call, status });
        }
    }

    #[cold]
    fn note_failed_release(&self, fault: Fault) {
        tracing::warn!(ordinal = self.0.ordinal, %fault, "release failed");
        self.0.ledger.note_failed_release();
        if fault.status.is_sticky() {
            self.0.health.lose(fault);
        } else {
            self.0.health.note_release(fault);
        }
    }

    /// # Errors
    /// [`HipError::WrongDevice`]: an object of another device as an argument of `call`.
    pub(crate) fn expect_same(&self, other: &Self, call: &'static str) -> Result<(), HipError> {
        if self.is(other) {
            return Ok(());
        }
        Err(HipError::WrongDevice { call, expected: self.ordinal(), found: other.ordinal() })
    }
}

impl Inner {
    fn new(api: Arc<Api>, ordinal: u32) -> Result<Self, HipError> {
        let count = device_count(&api)?;
        if ordinal >= count {
            return Err(HipError::NoSuchDevice { ordinal, count });
        }
        let properties = Properties::query(&api, ordinal)?;
        Ok(Self {
            api,
            ordinal,
            serial: NEXT_SERIAL.fetch_add(1, Ordering::Relaxed),
            properties,
            health: Health::default(),
            ledger: Ledger::default(),
            poison: AtomicBool::new(poison_by_default()),
            waits: AtomicU64::new(0),
        })
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Device {} ({})", self.0.ordinal, self.0.properties.arch_full)
    }
}
