//! Many requests at once.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::stream::{Client, Record};
use super::workload::{Job, Random};

/// When requests are sent.
#[derive(Debug, Clone, Copy)]
pub enum Arrivals {
    /// Each client sends its next request when the last is answered.
    Closed { clients: usize },
    /// At random moments, so many a second.
    Poisson { rate: f64, seed: u64 },
}

/// Sends all requests; what came of each, in no order, and how long all took.
pub fn run(client: &Client, jobs: &[Job], arrivals: Arrivals) -> (Vec<Result<Record>>, Duration) {
    let records = Mutex::new(Vec::with_capacity(jobs.len()));
    let one = |job: &Job| {
        let record = client.run(job, |_| {});
        records.lock().unwrap_or_else(PoisonError::into_inner).push(record);
    };
    let start = Instant::now();
    match arrivals {
        Arrivals::Closed { clients } => closed(jobs, clients, &one),
        Arrivals::Poisson { rate, seed } => open(jobs, Random::new(!seed), rate, &one),
    }
    let took = start.elapsed();
    (records.into_inner().unwrap_or_else(PoisonError::into_inner), took)
}

fn closed(jobs: &[Job], clients: usize, one: &(impl Fn(&Job) + Sync)) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..clients.min(jobs.len()) {
            scope.spawn(|| {
                while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    one(job);
                }
            });
        }
    });
}

fn open(jobs: &[Job], mut random: Random, rate: f64, one: &(impl Fn(&Job) + Sync)) {
    let mut at = Instant::now();
    thread::scope(|scope| {
        for job in jobs {
            // By the clock, so that a late start does not delay those behind it.
            thread::sleep(at.saturating_duration_since(Instant::now()));
            scope.spawn(move || one(job));
            at += random.until_next(rate);
        }
    });
}
