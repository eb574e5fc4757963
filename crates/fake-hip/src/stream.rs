//! Streams: work that runs at once, waits, or is recorded into a graph.

use std::collections::VecDeque;
use std::thread::ThreadId;
use std::time::Instant;

use hip_sys::{hipError_t, hipMemcpyKind, hipStreamCaptureMode, hipStreamCaptureStatus};

use crate::memory::{Kind, Place};
use crate::module::LaunchCall;
use crate::settings::Check;
use crate::state::{State, Status};

/// What a stream can be asked to do.
#[derive(Debug, Clone)]
pub(crate) enum Work {
    Copy {
        to: usize,
        from: usize,
        bytes: usize,
        kind: hipMemcpyKind,
    },
    FillBytes {
        to: usize,
        value: u8,
        bytes: usize,
    },
    FillWords {
        to: usize,
        value: u32,
        count: usize,
    },
    Launch(LaunchCall),
    /// The event reaches its nth recording.
    Record {
        event: usize,
        turn: u64,
    },
    /// Waits for the nth recording.
    Wait {
        event: usize,
        turn: u64,
    },
}

/// One piece of work; `unwritten` is a fault that lets it succeed and do nothing.
#[derive(Debug, Clone)]
pub(crate) struct Op {
    pub work: Work,
    pub unwritten: bool,
}

#[derive(Debug)]
pub(crate) struct Capture {
    ops: Vec<Op>,
    mode: hipStreamCaptureMode,
    thread: ThreadId,
    invalid: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Stream {
    pub device: usize,
    /// Does not wait for work of the null stream, nor that for this one's.
    non_blocking: bool,
    capture: Option<Capture>,
    queue: VecDeque<Op>,
}

#[derive(Debug, Default)]
pub(crate) struct Event {
    timing: bool,
    stream: usize,
    /// How many times it was enqueued, and how many of them happened.
    recorded: u64,
    done: u64,
    time: Option<Instant>,
    /// Recorded by a capture last, so that there is nothing to wait for outside of it.
    captured: bool,
}

impl Stream {
    pub(crate) fn new(device: usize, non_blocking: bool) -> Self {
        Self { device, non_blocking, ..Self::default() }
    }

    fn is_capturing(&self) -> bool {
        self.capture.is_some()
    }

    pub(crate) fn capture_status(&self) -> hipStreamCaptureStatus {
        match &self.capture {
            None => hipStreamCaptureStatus::hipStreamCaptureStatusNone,
            Some(capture) if capture.invalid => hipStreamCaptureStatus::hipStreamCaptureStatusInvalidated,
            Some(_) => hipStreamCaptureStatus::hipStreamCaptureStatusActive,
        }
    }

    pub(crate) fn begin_capture(&mut self, mode: hipStreamCaptureMode) -> Status {
        if self.capture.is_some() {
            return Err(hipError_t::hipErrorIllegalState);
        }
        let thread = std::thread::current().id();
        self.capture = Some(Capture { ops: Vec::new(), mode, thread, invalid: false });
        Ok(())
    }

    /// The work that was recorded.
    pub(crate) fn end_capture(&mut self) -> Result<Vec<Op>, hipError_t> {
        let here = std::thread::current().id();
        match &self.capture {
            None => return Err(hipError_t::hipErrorIllegalState),
            Some(capture)
                if capture.thread != here && capture.mode != hipStreamCaptureMode::hipStreamCaptureModeRelaxed =>
            {
                return Err(hipError_t::hipErrorStreamCaptureWrongThread);
            }
            Some(_) => {}
        }
        match self.capture.take() {
            Some(capture) if !capture.invalid => Ok(capture.ops),
            _ => Err(hipError_t::hipErrorStreamCaptureInvalidated),
        }
    }

    fn invalidate(&mut self) {
        if let Some(capture) = &mut self.capture {
            capture.invalid = true;
        }
    }
}

impl Event {
    pub(crate) fn new(timing: bool) -> Self {
        Self { timing, ..Self::default() }
    }

    fn is_done(&self) -> bool {
        self.done >= self.recorded
    }

    pub(crate) fn happened_at(&self) -> Result<Instant, hipError_t> {
        match self.time {
            _ if !self.timing => Err(hipError_t::hipErrorInvalidHandle),
            _ if !self.is_done() => Err(hipError_t::hipErrorNotReady),
            time => time.ok_or(hipError_t::hipErrorInvalidHandle),
        }
    }
}

impl State {
    /// Refuses a call that must not be made while something is captured, and spoils the captures.
    pub(crate) fn forbid_during_capture(&mut self) -> Status {
        let here = std::thread::current().id();
        let mut hit = false;
        for (_, stream) in self.streams.iter_mut() {
            let forbids = stream.capture.as_ref().is_some_and(|capture| match capture.mode {
                hipStreamCaptureMode::hipStreamCaptureModeGlobal => true,
                hipStreamCaptureMode::hipStreamCaptureModeThreadLocal => capture.thread == here,
                _ => false,
            });
            if forbids {
                stream.invalidate();
                hit = true;
            }
        }
        if hit { Err(hipError_t::hipErrorStreamCaptureUnsupported) } else { Ok(()) }
    }

    /// Refuses what waits for a stream that captures, and spoils the capture.
    pub(crate) fn forbid_on_capturing(&mut self, stream: usize) -> Status {
        if stream != 0 && self.streams.get(stream)?.is_capturing() {
            self.streams.get_mut(stream)?.invalidate();
            return Err(hipError_t::hipErrorStreamCaptureUnsupported);
        }
        Ok(())
    }

    /// Gives work to a stream; 0 is the null stream, which waits for all blocking ones and runs at once.
    pub(crate) fn enqueue(&mut self, stream: usize, work: Work, unwritten: bool) -> Status {
        self.check(&work)?;
        let op = Op { work, unwritten };
        if stream == 0 {
            self.forbid_during_capture()?;
            self.drain_blocking()?;
            return self.run(&op);
        }
        let deferred = self.settings.deferred;
        let target = self.streams.get_mut(stream)?;
        if let Some(capture) = &mut target.capture {
            if capture.invalid {
                return Err(hipError_t::hipErrorStreamCaptureInvalidated);
            }
            capture.ops.push(op);
            return Ok(());
        }
        if !deferred {
            return self.run(&op);
        }
        let waits = !self.is_asynchronous(&op.work);
        self.streams.get_mut(stream)?.queue.push_back(op);
        if waits { self.drain(stream) } else { Ok(()) }
    }

    /// Copies to or from host memory that is not pinned do not return before they are done.
    fn is_asynchronous(&self, work: &Work) -> bool {
        match work {
            Work::Copy { to, from, bytes, .. } => {
                [*to, *from].into_iter().all(|address| matches!(self.memory.place(address, *bytes), Place::Inside(_)))
            }
            _ => true,
        }
    }

    /// Enqueues the recording of an event.
    pub(crate) fn record(&mut self, event: usize, stream: usize) -> Status {
        let captured = stream != 0 && self.streams.get(stream)?.is_capturing();
        let e = self.events.get_mut(event)?;
        e.captured = captured;
        if captured {
            // Inside one stream there is nothing to order, and outside of it the event says nothing.
            return Ok(());
        }
        e.recorded += 1;
        e.stream = stream;
        let turn = e.recorded;
        self.enqueue(stream, Work::Record { event, turn }, false)
    }

    /// Makes a stream wait for what an event recorded last.
    pub(crate) fn wait(&mut self, event: usize, stream: usize) -> Status {
        let e = self.events.get(event)?;
        let (turn, captured) = (e.recorded, e.captured);
        let capturing = stream != 0 && self.streams.get(stream)?.is_capturing();
        if captured != capturing {
            // Work outside of the capture cannot be waited for inside of it, nor the other way round.
            if capturing {
                self.streams.get_mut(stream)?.invalidate();
            }
            return Err(hipError_t::hipErrorStreamCaptureIsolation);
        }
        if capturing { Ok(()) } else { self.enqueue(stream, Work::Wait { event, turn }, false) }
    }

    /// Does all work of a stream.
    pub(crate) fn drain(&mut self, stream: usize) -> Status {
        while self.step(stream)? {}
        Ok(())
    }

    /// Does the oldest piece of a stream's work; false: there was none. A failure throws the stream's other work away.
    pub(crate) fn step(&mut self, stream: usize) -> Result<bool, hipError_t> {
        let Ok(target) = self.streams.get_mut(stream) else { return Ok(false) };
        let Some(op) = target.queue.pop_front() else { return Ok(false) };
        let result = self.run(&op);
        if result.is_err() {
            let rest = std::mem::take(&mut self.streams.get_mut(stream)?.queue);
            for op in rest {
                if let Work::Record { event, turn } = op.work {
                    self.reach(event, turn);
                }
            }
        }
        result.map(|()| true)
    }

    /// Does all work of all streams.
    pub(crate) fn drain_all(&mut self) -> Status {
        self.drain_those(|_| true)
    }

    fn drain_blocking(&mut self) -> Status {
        self.drain_those(|stream| !stream.non_blocking)
    }

    fn drain_those(&mut self, wanted: impl Fn(&Stream) -> bool) -> Status {
        let mut ids: Vec<usize> =
            self.streams.iter_mut().filter(|(_, stream)| wanted(stream)).map(|(id, _)| id).collect();
        ids.sort_unstable();
        ids.into_iter().try_for_each(|id| self.drain(id))
    }

    /// Works until an event's nth recording has happened.
    pub(crate) fn drain_until(&mut self, event: usize, turn: u64) -> Status {
        loop {
            // An event that was destroyed while it was waited for counts as done, as its recording stays enqueued.
            let Ok(e) = self.events.get(event) else { return Ok(()) };
            let stream = e.stream;
            if e.done >= turn || !self.step(stream)? {
                return Ok(());
            }
        }
    }

    pub(crate) fn drain_event(&mut self, event: usize) -> Status {
        let turn = self.events.get(event)?.recorded;
        self.drain_until(event, turn)
    }

    /// Refuses to look at an event that a capture recorded last: it never happens by itself.
    pub(crate) fn refuse_captured(&mut self, event: usize) -> Status {
        if self.events.get(event)?.captured { Err(hipError_t::hipErrorCapturedEvent) } else { Ok(()) }
    }

    /// Whether an event has happened; makes some progress if not, so that polling ends.
    pub(crate) fn poll_event(&mut self, event: usize) -> Status {
        let e = self.events.get(event)?;
        let stream = e.stream;
        if e.is_done() {
            return Ok(());
        }
        self.step(stream)?;
        Err(hipError_t::hipErrorNotReady)
    }

    /// Whether a stream is idle; makes some progress if not.
    pub(crate) fn poll_stream(&mut self, stream: usize) -> Status {
        if self.step(stream)? { Err(hipError_t::hipErrorNotReady) } else { Ok(()) }
    }

    fn reach(&mut self, event: usize, turn: u64) {
        if let Ok(e) = self.events.get_mut(event) {
            e.done = e.done.max(turn);
            e.time = Some(Instant::now());
        }
    }

    /// Does one piece of work now.
    pub(crate) fn run(&mut self, op: &Op) -> Status {
        // What was recorded or enqueued may name memory that was freed since.
        self.check(&op.work)?;
        match &op.work {
            Work::Record { event, turn } => self.reach(*event, *turn),
            Work::Wait { event, turn } => self.drain_until(*event, *turn)?,
            _ if op.unwritten => {}
            Work::Launch(call) => call.run(self)?,
            Work::Copy { to, from, bytes, .. } => {
                self.refuse_unwritten(*to, *from, *bytes)?;
                // SAFETY: `check` found the device's side in an allocation; the host's side is the caller's promise.
                unsafe { std::ptr::copy(*from as *const u8, *to as *mut u8, *bytes) };
                self.memory.copied(*to, *from, *bytes);
            }
            Work::FillBytes { to, value, bytes } => {
                // SAFETY: `check` found the range in an allocation.
                unsafe { std::ptr::write_bytes(*to as *mut u8, *value, *bytes) };
                self.memory.wrote(*to, *bytes);
            }
            Work::FillWords { to, value, count } => {
                for i in 0..*count {
                    // SAFETY: as above; the address need not be aligned.
                    unsafe { (*to as *mut u32).add(i).write_unaligned(*value) };
                }
                self.memory.wrote(*to, *count * 4);
            }
        }
        Ok(())
    }

    fn check(&mut self, work: &Work) -> Status {
        match work {
            Work::Copy { to, from, bytes, kind } => self.check_copy(*to, *from, *bytes, *kind),
            Work::FillBytes { to, bytes, .. } => self.check_device("fill", *to, *bytes),
            Work::FillWords { to, count, .. } => {
                let bytes = count.checked_mul(4).ok_or(hipError_t::hipErrorInvalidValue)?;
                self.check_device("fill", *to, bytes)
            }
            _ => Ok(()),
        }
    }

    fn check_copy(&mut self, to: usize, from: usize, bytes: usize, kind: hipMemcpyKind) -> Status {
        let (to_device, from_device) = match kind {
            hipMemcpyKind::hipMemcpyHostToHost => (Some(false), Some(false)),
            hipMemcpyKind::hipMemcpyHostToDevice => (Some(true), Some(false)),
            hipMemcpyKind::hipMemcpyDeviceToHost => (Some(false), Some(true)),
            hipMemcpyKind::hipMemcpyDeviceToDevice | hipMemcpyKind::hipMemcpyDeviceToDeviceNoCU => {
                (Some(true), Some(true))
            }
            hipMemcpyKind::hipMemcpyDefault => (None, None),
            _ => return Err(hipError_t::hipErrorInvalidMemcpyDirection),
        };
        self.check_side("target", to, bytes, to_device)?;
        self.check_side("source", from, bytes, from_device)
    }

    /// Refuses to give the host what nobody has written, where that is known. A GPU hands out whatever lies there.
    fn refuse_unwritten(&mut self, to: usize, from: usize, bytes: usize) -> Status {
        let leaves_device = !matches!(self.memory.place(to, bytes), Place::Inside(Kind::Device(_)));
        if bytes == 0 || !leaves_device || self.settings.check == Check::Off {
            return Ok(());
        }
        let Some(place) = self.memory.unwritten(from, bytes) else { return Ok(()) };
        let text = format!("copy of {bytes} bytes at {from:#x} to the host: {place} was never written");
        Err(self.explain(text, hipError_t::hipErrorIllegalAddress))
    }

    fn check_side(&mut self, what: &str, address: usize, bytes: usize, device: Option<bool>) -> Status {
        if device == Some(true) {
            return self.check_device(&format!("copy ({what})"), address, bytes);
        }
        let wrong = match self.memory.place(address, bytes) {
            _ if bytes == 0 => return Ok(()),
            _ if address == 0 => "is null",
            Place::Across => "leaves its allocation",
            Place::Inside(Kind::Device(_)) if device == Some(false) => "is memory of a device",
            _ => return Ok(()),
        };
        let text = format!("copy ({what}) of {bytes} bytes at {address:#x} {wrong}");
        Err(self.explain(text, hipError_t::hipErrorInvalidValue))
    }

    fn check_device(&mut self, what: &str, address: usize, bytes: usize) -> Status {
        let wrong = match self.memory.place(address, bytes) {
            _ if bytes == 0 => return Ok(()),
            Place::Inside(_) => return Ok(()),
            Place::Across => "leaves its allocation",
            Place::Outside => "is in no allocation",
        };
        let text = format!("{what} of {bytes} bytes at {address:#x} {wrong}");
        Err(self.explain(text, hipError_t::hipErrorInvalidValue))
    }
}
