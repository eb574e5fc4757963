//! What is allocated on a device.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::HipError;

/// Counts of a device's allocations through this crate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MemoryUse {
    /// Buffers alive.
    pub buffers: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The most bytes that were alive at once.
    pub peak_bytes: u64,
    /// Allocations since the device was opened, of buffers and of pinned memory.
    pub allocations: u64,
    /// Releases since the device was opened, of buffers and of pinned memory.
    pub releases: u64,
    /// Pieces of pinned host memory alive.
    pub pinned: u64,
    /// Their bytes.
    pub pinned_bytes: u64,
    /// Objects of any kind that the driver refused to release, or to wait for before that.
    pub failed_releases: u64,
}

/// The account of one device. `T` is what stands for a live allocation.
#[derive(Debug)]
pub(crate) struct Ledger<T> {
    state: Mutex<State<T>>,
}

#[derive(Debug)]
struct State<T> {
    counts: MemoryUse,
    budget: u64,
    live: BTreeMap<u64, Live<T>>,
}

#[derive(Debug)]
struct Live<T> {
    len: u64,
    owner: Weak<T>,
}

impl<T> Default for Ledger<T> {
    fn default() -> Self {
        let state = State { counts: MemoryUse::default(), budget: u64::MAX, live: BTreeMap::new() };
        Self { state: Mutex::new(state) }
    }
}

impl<T> Ledger<T> {
    pub fn counts(&self) -> MemoryUse {
        self.lock().counts
    }

    pub fn set_budget(&self, bytes: u64) {
        self.lock().budget = bytes;
    }

    /// The limit.
    pub fn budget(&self) -> u64 {
        self.lock().budget
    }

    /// Counts bytes before the driver is asked, so that concurrent allocations cannot pass the budget together.
    ///
    /// # Errors
    /// [`HipError::OverBudget`].
    pub fn reserve(&self, bytes: u64, what: &'static str) -> Result<(), HipError> {
        let mut state = self.lock();
        let (in_use, budget) = (state.counts.bytes, state.budget);
        match in_use.checked_add(bytes).filter(|total| *total <= budget) {
            Some(total) => state.counts.bytes = total,
            None => return Err(HipError::OverBudget { what, requested: bytes, in_use, budget }),
        }
        Ok(())
    }

    /// Takes back a reservation that came to nothing.
    pub fn cancel(&self, bytes: u64) {
        let mut state = self.lock();
        state.counts.bytes = state.counts.bytes.saturating_sub(bytes);
    }

    /// Turns a reservation into a live allocation.
    pub fn insert(&self, address: u64, len: u64, owner: &Arc<T>) {
        let mut state = self.lock();
        state.counts.buffers += 1;
        state.counts.allocations += 1;
        state.counts.peak_bytes = state.counts.peak_bytes.max(state.counts.bytes);
        state.live.insert(address, Live { len, owner: Arc::downgrade(owner) });
    }

    /// Forgets a live allocation.
    pub fn remove(&self, address: u64) {
        let mut state = self.lock();
        if let Some(live) = state.live.remove(&address) {
            state.counts.buffers -= 1;
            state.counts.releases += 1;
            state.counts.bytes = state.counts.bytes.saturating_sub(live.len);
        }
    }

    pub fn insert_pinned(&self, bytes: u64) {
        let mut state = self.lock();
        state.counts.pinned += 1;
        state.counts.allocations += 1;
        state.counts.pinned_bytes += bytes;
    }

    pub fn remove_pinned(&self, bytes: u64) {
        let mut state = self.lock();
        state.counts.pinned = state.counts.pinned.saturating_sub(1);
        state.counts.releases += 1;
        state.counts.pinned_bytes = state.counts.pinned_bytes.saturating_sub(bytes);
    }

    pub fn note_failed_release(&self) {
        self.lock().counts.failed_releases += 1;
    }

    /// The live allocation that holds all of a range. An empty range lies in any allocation that it touches.
    pub fn owner_of(&self, range: Range<u64>) -> Option<Arc<T>> {
        let state = self.lock();
        let (start, live) = state.live.range(..=range.start).next_back()?;
        let end = start.checked_add(live.len)?;
        if range.end > end || range.end < range.start { None } else { live.owner.upgrade() }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // Counters and table are changed by code that cannot panic half way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger_of(entries: &[(u64, u64)]) -> (Ledger<u64>, Vec<Arc<u64>>) {
        let ledger = Ledger::default();
        let owners: Vec<_> = entries.iter().map(|(address, _)| Arc::new(*address)).collect();
        for ((address, len), owner) in entries.iter().zip(&owners) {
            ledger.reserve(*len, "test").expect("no budget yet");
            ledger.insert(*address, *len, owner);
        }
        (ledger, owners)
    }

    #[test]
    fn counts_follow_allocations() {
        let (ledger, _owners) = ledger_of(&[(1000, 100), (2000, 50)]);
        ledger.remove(1000);
        ledger.remove(1000);
        let counts = ledger.counts();
        assert_eq!((counts.buffers, counts.bytes, counts.peak_bytes), (1, 50, 150));
        assert_eq!((counts.allocations, counts.releases), (2, 1));
    }

    #[test]
    fn a_budget_is_exact_and_overflow_is_beyond_it() {
        let (ledger, _owners) = ledger_of(&[(1000, 100)]);
        ledger.set_budget(150);
        let refused = HipError::OverBudget { what: "x", requested: 51, in_use: 100, budget: 150 };
        assert_eq!(ledger.reserve(51, "x"), Err(refused));
        assert!(ledger.reserve(u64::MAX, "x").is_err());
        assert_eq!(ledger.reserve(50, "x"), Ok(()));
        assert!(ledger.reserve(1, "x").is_err());
        ledger.cancel(50);
        assert_eq!(ledger.reserve(50, "x"), Ok(()));
    }

    #[test]
    fn a_range_belongs_to_the_allocation_that_holds_all_of_it() {
        let (ledger, owners) = ledger_of(&[(1000, 100), (1100, 50)]);
        let owner = |range| ledger.owner_of(range).map(|owner| *owner);
        assert_eq!(owner(1000..1100), Some(1000));
        assert_eq!(owner(1099..1100), Some(1000));
        assert_eq!(owner(1100..1150), Some(1100));
        assert_eq!(owner(1099..1101), None);
        assert_eq!(owner(999..1001), None);
        assert_eq!(owner(1100..1151), None);
        assert_eq!(owner(1140..u64::MAX), None);
        #[allow(clippy::reversed_empty_ranges, reason = "what an overflow would make")]
        let reversed = 1050..1000;
        assert_eq!(owner(reversed), None);
        drop(owners);
        assert!(ledger.owner_of(1000..1001).is_none());
    }
}
