//! Timing one kernel, and the table.

use std::error::Error;

use hip_sys::Api;
use rocmforge_hip_backend::driver::{
    Buffer, Device, Event, GraphExec, HipError, Properties, Stream, elapsed_ms, write,
};
use rocmforge_hip_backend::library::{KernelOptions, Kernels};

use super::Options;
use crate::report::Report;

/// What a group of rows comes to.
pub type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// Launches of a graph at least, so that what starts the graph counts little.
const LEAST_LAUNCHES: usize = 16;
/// Replays of a measurement at most.
const MOST_REPLAYS: f32 = 1000.0;

/// What one launch of a kernel does at least.
#[derive(Debug, Clone, Copy)]
pub enum Work {
    /// Bytes that it has to read and write.
    Bytes(usize),
    /// Multiplications and additions.
    Flops(f64),
}

/// A device, and how kernels on it are timed.
pub struct Bench {
    pub kernels: Kernels,
    pub stream: Stream,
    device: Device,
    events: [Event; 2],
    rounds: u32,
    millis: f32,
    /// GB/s.
    bandwidth: Option<f64>,
    timed: usize,
    failed: Vec<String>,
}

impl Bench {
    /// Opens device 0 and prints the head of the table.
    pub fn open(options: &Options) -> Outcome<Self> {
        let device = Device::open(Api::open()?, 0)?;
        let kernels = Kernels::new(&device, KernelOptions::default());
        let events = [device.timing_event()?, device.timing_event()?];
        let bandwidth = options.bandwidth.or_else(|| bandwidth_of(device.properties()));
        let Properties { name, arch, compute_units, .. } = device.properties();
        println!("{name} ({arch}), {compute_units} compute units, {}", bandwidth_text(bandwidth));
        println!("{:<24} {:<32} {:>10}", "kernel", "shape", "µs");
        let millis = options.size(options.millis, 0.0);
        let (stream, rounds) = (device.stream()?, options.size(options.rounds, 1));
        Ok(Self { kernels, stream, device, events, rounds, millis, bandwidth, timed: 0, failed: Vec::new() })
    }

    /// Loads modules, several at a time; compiling may take a while.
    pub fn prepare(&self, modules: &[String]) -> Outcome {
        let done = self.kernels.prepare(modules, &|_| ())?;
        if done.compiled > 0 {
            println!("({} modules compiled for this device)", done.compiled);
        }
        Ok(())
    }

    /// Memory with anything in it.
    pub fn room(&self, bytes: usize) -> Result<Buffer, HipError> {
        self.device.alloc(bytes.max(256), "timing")
    }

    /// Memory with these numbers.
    pub fn buffer<T: bytemuck::Pod>(&self, values: &[T]) -> Result<Buffer, HipError> {
        let buffer = self.room(size_of_val(values))?;
        write(&buffer, 0, bytemuck::cast_slice::<T, u8>(values))?;
        Ok(buffer)
    }

    /// Times what `enqueue` launches and prints a row. `enqueue(i)` uses data set `i` of `rotation` sets.
    pub fn row(
        &mut self,
        kernel: &str,
        shape: &str,
        work: Work,
        rotation: usize,
        enqueue: impl Fn(&Stream, usize) -> Result<(), HipError>,
    ) {
        match self.time(rotation, enqueue) {
            Ok(us) => {
                self.timed += 1;
                println!("{kernel:<24} {shape:<32} {us:>10.2} {}", self.rate(work, us));
            }
            Err(error) => self.note(kernel, shape, &error),
        }
    }

    /// Prints why there is no row. That memory does not suffice for a shape is no failure.
    pub fn note(&mut self, kernel: &str, shape: &str, error: &(dyn Error + 'static)) {
        println!("{kernel:<24} {shape:<32} {error}");
        if !matches!(error.downcast_ref(), Some(HipError::OutOfMemory { .. })) {
            self.failed.push(format!("{kernel} {shape}: {error}"));
        }
    }

    /// Microseconds of one launch.
    fn time(&self, rotation: usize, enqueue: impl Fn(&Stream, usize) -> Result<(), HipError>) -> Result<f64, HipError> {
        let launches = if self.millis > 0.0 { LEAST_LAUNCHES.next_multiple_of(rotation.max(1)) } else { 2 };
        let graph = self.stream.capture(|stream| (0..launches).try_for_each(|i| enqueue(stream, i % rotation)))?;
        // The caller's buffers outlive this call, and so the graph.
        let graph = graph.instantiate(Vec::new())?;
        self.replay(&graph, 1)?;
        let one = self.replay(&graph, 1)?;
        let replays = (self.millis / one.max(1e-3)).ceil().clamp(1.0, MOST_REPLAYS) as u32;
        // Clocks rise while a device works.
        self.replay(&graph, replays)?;
        let mut times = (0..self.rounds).map(|_| self.replay(&graph, replays)).collect::<Result<Vec<_>, _>>()?;
        times.sort_by(f32::total_cmp);
        Ok(f64::from(times[times.len() / 2]) * 1e3 / f64::from(replays) / launches as f64)
    }

    /// Milliseconds of some replays.
    fn replay(&self, graph: &GraphExec, times: u32) -> Result<f32, HipError> {
        let [start, end] = &self.events;
        self.stream.record(start)?;
        (0..times).try_for_each(|_| graph.launch(&self.stream))?;
        self.stream.record(end)?;
        end.synchronize()?;
        elapsed_ms(start, end)
    }

    fn rate(&self, work: Work, us: f64) -> String {
        match work {
            Work::Flops(flops) => format!("{:>8.1} TFLOP/s", flops / us * 1e-6),
            Work::Bytes(bytes) => {
                let rate = bytes as f64 / us * 1e-3;
                let share = self.bandwidth.map(|most| format!("{:>5.0} %", rate / most * 100.0));
                format!("{rate:>8.0} GB/s{}", share.unwrap_or_default())
            }
        }
    }

    /// The sum of all.
    pub fn finish(self, report: &mut Report) {
        let outcome = if self.failed.is_empty() && self.timed > 0 {
            Ok(format!("{} rows", self.timed))
        } else {
            Err(format!("{} rows, {} failures: {}", self.timed, self.failed.len(), self.failed.join("; ")))
        };
        report.check("kernels", outcome);
    }
}

/// What memory transfers at most, in GB/s: two words a clock.
fn bandwidth_of(device: &Properties) -> Option<f64> {
    let (clock, bits) = (f64::from(device.memory_clock_khz), f64::from(device.memory_bus_bits));
    Some(2.0 * clock * bits / 8.0 * 1e-6).filter(|&rate| rate > 1.0)
}

fn bandwidth_text(bandwidth: Option<f64>) -> String {
    bandwidth.map_or("bandwidth unknown".into(), |rate| format!("shares of {rate:.0} GB/s"))
}
