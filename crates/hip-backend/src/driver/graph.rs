//! Recorded work.

use std::any::Any;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hip_sys::{hipGraphExec, hipStreamCaptureMode, ihipGraph};

use super::handle::Handle;
use super::{Device, HipError, Stream};

/// Something that a graph keeps alive.
pub type Hold = Arc<dyn Any + Send + Sync>;

/// What a stream notes while it records.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    on: AtomicBool,
    holds: Mutex<Vec<Hold>>,
}

impl Recorder {
    /// Whether the stream records.
    pub fn is_on(&self) -> bool {
        self.on.load(Ordering::Acquire)
    }

    /// Keeps something alive for as long as the graph.
    pub fn hold(&self, thing: Hold) {
        let mut holds = lock(&self.holds);
        if !holds.iter().any(|held| std::ptr::addr_eq(Arc::as_ptr(held), Arc::as_ptr(&thing))) {
            holds.push(thing);
        }
    }

    /// Whether it was off.
    fn start(&self) -> bool {
        !self.on.swap(true, Ordering::AcqRel)
    }

    fn stop(&self) -> Vec<Hold> {
        let holds = std::mem::take(&mut *lock(&self.holds));
        self.on.store(false, Ordering::Release);
        holds
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Lists of handles are whole at any time: nothing panics between their changes.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Stream {
    /// Records what `body` enqueues into a graph instead of running it.
    ///
    /// The graph keeps the modules of its kernels and the buffers of its copies and fills alive. Not recorded, and
    /// refused, are copies from and to pinned memory, events and waiting. Nothing may be allocated or released on the
    /// thread meanwhile: HIP gives the recording up then.
    ///
    /// # Errors
    /// What `body` returns, [`HipError::WhileCapturing`], [`HipError::Call`], [`HipError::DeviceLost`]. The recording
    /// is ended and what there is of the graph destroyed in all cases, also if `body` panics.
    pub fn capture<E: From<HipError>>(&self, body: impl FnOnce(&Self) -> Result<(), E>) -> Result<Graph, E> {
        let recording = Recording::begin(self)?;
        body(self)?;
        Ok(recording.finish()?)
    }
}

/// A stream that records, until this is finished or dropped.
struct Recording<'a> {
    stream: &'a Stream,
}

impl<'a> Recording<'a> {
    fn begin(stream: &'a Stream) -> Result<Self, HipError> {
        const CALL: &str = "hipStreamBeginCapture";
        let device = stream.device();
        let api = device.enter()?;
        if !stream.recorder().start() {
            return Err(HipError::WhileCapturing { call: CALL });
        }
        // Other threads may go on allocating, which the global mode would take for part of the recording.
        let mode = hipStreamCaptureMode::hipStreamCaptureModeThreadLocal;
        // SAFETY: the stream is alive and does not record.
        let status = unsafe { api.hipStreamBeginCapture(stream.raw(), mode) };
        device.check(CALL, status).inspect_err(|_| drop(stream.recorder().stop()))?;
        Ok(Self { stream })
    }

    fn finish(self) -> Result<Graph, HipError> {
        let graph = self.end();
        std::mem::forget(self);
        graph
    }

    fn end(&self) -> Result<Graph, HipError> {
        let holds = self.stream.recorder().stop();
        let graph = self.end_with(holds);
        if graph.is_err() {
            // Once more, in case the stream records still: it could not be used otherwise, nor memory be freed.
            drop(self.end_with(Vec::new()));
        }
        graph
    }

    fn end_with(&self, holds: Vec<Hold>) -> Result<Graph, HipError> {
        const CALL: &str = "hipStreamEndCapture";
        let device = self.stream.device();
        let Some(api) = device.enter_to_release() else {
            return Err(device.enter().err().unwrap_or(HipError::NullHandle { call: CALL }));
        };
        let mut raw = null_mut();
        // SAFETY: the function writes one handle; the stream is alive and records.
        let status = unsafe { api.hipStreamEndCapture(self.stream.raw(), &mut raw) };
        // An owner first, so that a graph is destroyed even if the call also reports a failure.
        let graph = Handle::new(raw, CALL).map(|raw| Graph { device: device.clone(), raw, holds });
        device.check(CALL, status)?;
        graph
    }
}

impl Drop for Recording<'_> {
    fn drop(&mut self) {
        // Whoever drops it has an error to report already, of which a failure here is only a consequence.
        drop(self.end());
    }
}

/// Recorded work, from which executable graphs are made.
#[derive(Debug)]
pub struct Graph {
    device: Device,
    raw: Handle<ihipGraph>,
    holds: Vec<Hold>,
}

impl Graph {
    /// Makes a graph that streams can launch. It keeps alive what the recording noted and `holds`: every buffer whose
    /// address a recorded kernel was given.
    ///
    /// # Errors
    /// [`HipError::Call`], [`HipError::OutOfMemory`], [`HipError::DeviceLost`].
    pub fn instantiate(&self, holds: Vec<Hold>) -> Result<GraphExec, HipError> {
        const CALL: &str = "hipGraphInstantiate";
        let api = self.device.enter()?;
        let mut raw = null_mut();
        // SAFETY: the function writes one handle; the graph is alive; node, log and its size are optional.
        let status = unsafe { api.hipGraphInstantiate(&mut raw, self.raw.raw(), null_mut(), null_mut(), 0) };
        self.device.check(CALL, status)?;
        let raw = Handle::new(raw, CALL)?;
        let holds = holds.into_iter().chain(self.holds.iter().cloned()).collect();
        Ok(GraphExec { device: self.device.clone(), raw, streams: Mutex::default(), _holds: holds })
    }

    /// The number of recorded kernels, copies and fills.
    ///
    /// # Errors
    /// [`HipError::Call`], [`HipError::DeviceLost`].
    pub fn nodes(&self) -> Result<usize, HipError> {
        let api = self.device.enter()?;
        let mut count = 0;
        // SAFETY: without room for nodes the function writes only their number; the graph is alive.
        let status = unsafe { api.hipGraphGetNodes(self.raw.raw(), null_mut(), &mut count) };
        self.device.check("hipGraphGetNodes", status)?;
        Ok(count)
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        if let Some(api) = self.device.enter_to_release() {
            // SAFETY: the graph came from `hipStreamEndCapture` and has this one owner.
            let status = unsafe { api.hipGraphDestroy(self.raw.raw()) };
            self.device.note_release("hipGraphDestroy", status);
        }
    }
}

/// An executable graph. When it is dropped it waits for the streams it was launched on.
#[derive(Debug)]
pub struct GraphExec {
    device: Device,
    raw: Handle<hipGraphExec>,
    /// Every stream it was launched on. Locked during a launch too: HIP's graph objects are not to be used by two
    /// threads at once.
    streams: Mutex<Vec<Stream>>,
    _holds: Vec<Hold>,
}

impl GraphExec {
    /// Enqueues all of the recorded work. Launches of one graph run one after the other, whatever their streams.
    ///
    /// # Errors
    /// [`HipError::WhileCapturing`], [`HipError::WrongDevice`], [`HipError::Call`], [`HipError::DeviceLost`].
    pub fn launch(&self, stream: &Stream) -> Result<(), HipError> {
        const CALL: &str = "hipGraphLaunch";
        let api = stream.enter_outside_graph(CALL)?;
        self.device.expect_same(stream.device(), CALL)?;
        let mut streams = lock(&self.streams);
        if !streams.iter().any(|known| known.is(stream)) {
            streams.push(stream.clone());
        }
        // SAFETY: graph and stream are alive and of one device; the holds keep alive what the work uses, as far as
        // those who recorded and instantiated it named it.
        let status = unsafe { api.hipGraphLaunch(self.raw.raw(), stream.raw()) };
        self.device.check(CALL, status)
    }
}

impl Drop for GraphExec {
    fn drop(&mut self) {
        lock(&self.streams).iter().for_each(Stream::wait_in_drop);
        if let Some(api) = self.device.enter_to_release() {
            // SAFETY: the graph came from `hipGraphInstantiate`, has this one owner, and its streams are idle.
            let status = unsafe { api.hipGraphExecDestroy(self.raw.raw()) };
            self.device.note_release("hipGraphExecDestroy", status);
        }
    }
}
