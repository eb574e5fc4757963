//! A small fixed team of threads that all run the same function, many thousand times a second.
//!
//! One step of a model is a few hundred short parallel regions, microseconds apart. So a
//! dispatch allocates nothing and costs one atomic store and one counter; workers spin for a
//! moment before they sleep, and an idle pool uses no CPU at all.

use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::hint::spin_loop;
use std::marker::PhantomData;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

/// How long a worker looks for the next job before it sleeps. Longer than the serial work
/// between two dispatches of one step, shorter than anything a person or a scheduler notices.
const SPIN: Duration = Duration::from_micros(150);

/// `N - 1` worker threads and the caller of [`Pool::run`].
///
/// Dispatches from several threads queue up behind each other. A dispatch from inside a job
/// runs on that thread alone, so nesting is slow but never a deadlock.
pub struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    entry: Mutex<()>,
}

impl Pool {
    /// A pool of `threads` threads, the caller included; 0 counts as 1.
    ///
    /// # Errors
    /// When the system refuses to start a thread.
    pub fn new(threads: usize) -> std::io::Result<Self> {
        let threads = threads.max(1);
        let shared = Arc::new(Shared::default());
        // The pool is built before its workers, so that a failure half-way joins those that run.
        let mut pool = Self { shared, workers: Vec::with_capacity(threads - 1), entry: Mutex::new(()) };
        for index in 1..threads {
            let shared = Arc::clone(&pool.shared);
            let body = move || shared.work(index, threads);
            pool.workers.push(Builder::new().name(format!("cpu-{index}")).spawn(body)?);
        }
        Ok(pool)
    }

    /// Threads that take part in a dispatch, the caller included.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `job(index, threads)` once on every thread of the pool, at the same time, and
    /// returns when all calls have returned.
    ///
    /// # Panics
    /// When a call panics, with the payload of one that did, after all have ended. The pool
    /// stays usable.
    pub fn run<F: Fn(usize, usize) + Sync>(&self, job: F) {
        if self.workers.is_empty() || IN_JOB.get() {
            return job(0, 1);
        }
        let turn = unpoison(self.entry.lock());
        let threads = self.threads();
        self.shared.start(&job, self.workers.len());
        let mine = as_job(|| catch_unwind(AssertUnwindSafe(|| job(0, threads))));
        // `job` is borrowed by the workers, so nothing may unwind past this line.
        self.shared.wait();
        let theirs = unpoison(self.shared.panic.lock()).take();
        drop(turn);
        if let Some(payload) = mine.err().or(theirs) {
            resume_unwind(payload);
        }
    }

    /// Splits `0..total` into ranges of at most `size` that the threads take one after another,
    /// so that a slow thread takes fewer. Ranges are handed out in increasing order.
    ///
    /// # Panics
    /// As [`Pool::run`].
    pub fn for_each_chunk<F: Fn(Range<usize>) + Sync>(&self, total: usize, size: usize, job: F) {
        let size = size.max(1);
        if total <= size {
            return if total > 0 {
                job(0..total)
            };
        }
        let next = AtomicUsize::new(0);
        self.run(|_, _| {
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed).saturating_mul(size);
                if at >= total {
                    break;
                }
                job(at..total.min(at + size));
            }
        });
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.shared.announce();
        for worker in self.workers.drain(..) {
            // A worker catches what its jobs throw; it has nothing of its own to report.
            let _ = worker.join();
        }
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("threads", &self.threads()).finish()
    }
}

/// A slice whose parts the threads of a dispatch write.
pub(crate) struct Parts<'a, T> {
    base: *mut T,
    len: usize,
    slice: PhantomData<&'a mut [T]>,
}

// SAFETY: this stands for a `&mut [T]`, which may move to and be split among threads if `T` may.
unsafe impl<T: Send> Send for Parts<'_, T> {}
// SAFETY: as above; `get` demands that the parts be disjoint.
unsafe impl<T: Send> Sync for Parts<'_, T> {}

impl<'a, T> Parts<'a, T> {
    pub(crate) fn new(slice: &'a mut [T]) -> Self {
        Self { base: slice.as_mut_ptr(), len: slice.len(), slice: PhantomData }
    }

    /// One part.
    ///
    /// # Panics
    /// If the range lies outside the slice.
    ///
    /// # Safety
    /// No entry is in two parts that are in use at the same time.
    #[allow(clippy::mut_from_ref, reason = "that is the point, and the contract makes it sound")]
    pub(crate) unsafe fn get(&self, range: Range<usize>) -> &mut [T] {
        assert!(range.start <= range.end && range.end <= self.len, "{range:?} of {}", self.len);
        // SAFETY: within the slice, and by the contract nobody else's.
        unsafe { std::slice::from_raw_parts_mut(self.base.add(range.start), range.len()) }
    }

    /// The first entry.
    pub(crate) fn base(&self) -> *mut T {
        self.base
    }
}

thread_local! {
    static IN_JOB: Cell<bool> = const { Cell::new(false) };
}

/// Runs `body` with the mark that makes nested dispatches serial.
fn as_job<R>(body: impl FnOnce() -> R) -> R {
    IN_JOB.set(true);
    let result = body();
    IN_JOB.set(false);
    result
}

/// A borrowed closure without its type and lifetime.
#[derive(Clone, Copy)]
struct Job {
    data: *const (),
    call: unsafe fn(*const (), usize, usize),
}

/// # Safety
/// `data` is a live `&F`.
unsafe fn call<F: Fn(usize, usize)>(data: *const (), index: usize, threads: usize) {
    // SAFETY: as promised by the caller.
    let job = unsafe { &*data.cast::<F>() };
    job(index, threads);
}

#[derive(Default)]
struct Shared {
    /// Written by the dispatcher only while `remaining` is 0; read after `epoch` was seen to move.
    job: UnsafeCell<Option<Job>>,
    epoch: AtomicU64,
    /// Workers that have not finished the current job.
    remaining: AtomicUsize,
    stop: AtomicBool,
    sleepers: AtomicUsize,
    sleep: Mutex<()>,
    wake: Condvar,
    caller_sleeps: AtomicBool,
    done: Condvar,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

// SAFETY: `job` is the one field that is not `Sync`, and `job.data` the one that is not `Send`.
// The dispatcher writes it before the release on `epoch` and not again before every worker has
// released `remaining`; workers read it between the two. What it points to is `Sync` and outlives
// the dispatch, see `Pool::run`.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    fn start<F: Fn(usize, usize) + Sync>(&self, job: &F, workers: usize) {
        let erased = Job { data: std::ptr::from_ref(job).cast(), call: call::<F> };
        // SAFETY: `entry` is held and no worker is inside a job, so this is the only access.
        unsafe { *self.job.get() = Some(erased) };
        self.remaining.store(workers, Ordering::Relaxed);
        self.announce();
    }

    /// Moves the epoch and wakes those who sleep. The order epoch, sleepers here and sleepers,
    /// epoch in `next_epoch` means that one of the two sees the other.
    fn announce(&self) {
        self.epoch.fetch_add(1, Ordering::SeqCst);
        if self.sleepers.load(Ordering::SeqCst) > 0 {
            let _guard = unpoison(self.sleep.lock());
            self.wake.notify_all();
        }
    }

    /// Waits until every worker has finished.
    fn wait(&self) {
        if spin_until(|| self.remaining.load(Ordering::Acquire) == 0) {
            return;
        }
        let mut guard = unpoison(self.sleep.lock());
        self.caller_sleeps.store(true, Ordering::SeqCst);
        while self.remaining.load(Ordering::SeqCst) != 0 {
            guard = unpoison(self.done.wait(guard));
        }
        self.caller_sleeps.store(false, Ordering::Relaxed);
    }

    fn work(&self, index: usize, threads: usize) {
        let mut seen = 0;
        loop {
            seen = self.next_epoch(seen);
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            // SAFETY: the epoch moved, so the dispatcher has written the job and will not touch
            // it before this thread has counted down `remaining`.
            let job = unsafe { *self.job.get() };
            if let Some(job) = job {
                // SAFETY: the closure lives until `remaining` is 0.
                let run = || unsafe { (job.call)(job.data, index, threads) };
                if let Err(payload) = as_job(|| catch_unwind(AssertUnwindSafe(run))) {
                    *unpoison(self.panic.lock()) = Some(payload);
                }
            }
            self.finish();
        }
    }

    fn finish(&self) {
        if self.remaining.fetch_sub(1, Ordering::SeqCst) == 1 && self.caller_sleeps.load(Ordering::SeqCst) {
            let _guard = unpoison(self.sleep.lock());
            self.done.notify_one();
        }
    }

    /// Waits for an epoch other than `seen`.
    fn next_epoch(&self, seen: u64) -> u64 {
        if !spin_until(|| self.epoch.load(Ordering::Acquire) != seen) {
            self.sleepers.fetch_add(1, Ordering::SeqCst);
            let mut guard = unpoison(self.sleep.lock());
            while self.epoch.load(Ordering::SeqCst) == seen {
                guard = unpoison(self.wake.wait(guard));
            }
            drop(guard);
            self.sleepers.fetch_sub(1, Ordering::SeqCst);
        }
        self.epoch.load(Ordering::Acquire)
    }
}

/// Whether `ready` became true within [`SPIN`]. Gives the core away now and then, for there may
/// be fewer cores than threads, and the awaited one may need this one.
fn spin_until(ready: impl Fn() -> bool) -> bool {
    for _ in 0..200 {
        if ready() {
            return true;
        }
        spin_loop();
    }
    let start = Instant::now();
    loop {
        for _ in 0..50 {
            if ready() {
                return true;
            }
            spin_loop();
        }
        if start.elapsed() > SPIN {
            return false;
        }
        std::thread::yield_now();
    }
}

/// The mutexes here guard no invariant that a panic could break.
fn unpoison<'a, T>(lock: Result<MutexGuard<'a, T>, PoisonError<MutexGuard<'a, T>>>) -> MutexGuard<'a, T> {
    lock.unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_thread_runs_every_job_once() {
        for threads in [1, 2, 3, 5] {
            let pool = Pool::new(threads).unwrap();
            let counts: Vec<AtomicUsize> = (0..threads).map(|_| AtomicUsize::new(0)).collect();
            for _ in 0..500 {
                pool.run(|index, n| {
                    assert_eq!(n, threads);
                    counts[index].fetch_add(1, Ordering::Relaxed);
                });
            }
            assert!(counts.iter().all(|c| c.load(Ordering::Relaxed) == 500));
        }
    }

    #[test]
    fn workers_that_sleep_are_woken() {
        let pool = Pool::new(3).unwrap();
        let hits = AtomicUsize::new(0);
        for _ in 0..5 {
            std::thread::sleep(SPIN * 20);
            pool.run(|_, _| {
                hits.fetch_add(1, Ordering::Relaxed);
            });
        }
        assert_eq!(hits.into_inner(), 15);
    }

    #[test]
    fn a_caller_that_finishes_early_waits_for_slow_workers() {
        let pool = Pool::new(2).unwrap();
        let done = AtomicBool::new(false);
        pool.run(|index, _| {
            if index == 1 {
                std::thread::sleep(SPIN * 50);
                done.store(true, Ordering::Relaxed);
            }
        });
        assert!(done.into_inner());
    }

    #[test]
    fn chunks_cover_the_range_once() {
        let pool = Pool::new(3).unwrap();
        for (total, size) in [(0, 4), (1, 4), (4, 4), (5, 4), (1000, 7), (10, 0)] {
            let seen: Vec<AtomicUsize> = (0..total).map(|_| AtomicUsize::new(0)).collect();
            pool.for_each_chunk(total, size, |range| {
                assert!(range.len() <= size.max(1));
                for i in range {
                    seen[i].fetch_add(1, Ordering::Relaxed);
                }
            });
            assert!(seen.iter().all(|c| c.load(Ordering::Relaxed) == 1), "{total} by {size}");
        }
    }

    #[test]
    fn a_panic_on_any_thread_reaches_the_caller_and_the_pool_lives_on() {
        let pool = Pool::new(3).unwrap();
        for culprit in 0..3 {
            let result = catch_unwind(AssertUnwindSafe(|| {
                pool.run(|index, _| assert!(index != culprit, "thread {culprit} fails"));
            }));
            let message = *result.unwrap_err().downcast::<String>().unwrap();
            assert!(message.contains("fails"), "{message}");
            let hits = AtomicUsize::new(0);
            pool.run(|_, _| {
                hits.fetch_add(1, Ordering::Relaxed);
            });
            assert_eq!(hits.into_inner(), 3);
        }
    }

    #[test]
    fn nested_and_concurrent_dispatches_end() {
        let pool = Pool::new(2).unwrap();
        let hits = AtomicUsize::new(0);
        pool.run(|_, _| {
            pool.run(|index, n| {
                assert_eq!((index, n), (0, 1));
                hits.fetch_add(1, Ordering::Relaxed);
            });
        });
        assert_eq!(hits.load(Ordering::Relaxed), 2);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        pool.run(|_, _| {
                            hits.fetch_add(1, Ordering::Relaxed);
                        });
                    }
                });
            }
        });
        assert_eq!(hits.into_inner(), 2 + 4 * 200 * 2);
    }
}
