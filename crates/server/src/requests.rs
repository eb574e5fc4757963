//! Requests by name: whether they still run, and how to stop them.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rocmforge_engine::{CancelToken, ClientId};

use crate::guard::Caller;

/// Requests that have ended and are still remembered.
const REMEMBERED: usize = 1000;

/// Where a request is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// It waits for its first token.
    Pending,
    /// Tokens have come.
    Processing,
    /// It has ended by itself.
    Completed,
    /// It has ended in an error.
    Failed,
    /// It was stopped, or its reader left.
    Cancelled,
}

impl Progress {
    /// Its name in the APIs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Processing => "processing",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing more will come.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

/// A caller sees its own requests only.
type Key = (ClientId, String);

#[derive(Debug, Default)]
struct Table {
    requests: HashMap<Key, (Progress, CancelToken)>,
    /// Those that have ended, the oldest first.
    over: VecDeque<Key>,
}

/// The requests of all callers: those that run, and the latest that have ended.
#[derive(Debug, Clone, Default)]
pub struct RequestTable(Arc<Mutex<Table>>);

impl RequestTable {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a request that `cancel` stops. `None` if the caller has one of that name already.
    pub fn enter(&self, caller: &Caller, name: &str, cancel: CancelToken) -> Option<Entry> {
        let key = (caller.client, name.to_owned());
        let mut table = self.lock();
        if table.requests.contains_key(&key) {
            return None;
        }
        table.requests.insert(key.clone(), (Progress::Pending, cancel));
        Some(Entry { table: self.clone(), key })
    }

    /// Where a request of this caller is in its life.
    pub fn progress(&self, caller: &Caller, name: &str) -> Option<Progress> {
        self.lock().requests.get(&(caller.client, name.to_owned())).map(|(progress, _)| *progress)
    }

    /// Stops a request of this caller. Tells where it was before; one that is over stays as it is.
    pub fn cancel(&self, caller: &Caller, name: &str) -> Option<Progress> {
        let table = self.lock();
        let (progress, cancel) = table.requests.get(&(caller.client, name.to_owned()))?;
        if !progress.is_over() {
            cancel.cancel();
        }
        Some(*progress)
    }
}

/// A request in the table. Dropped before it was said to be over, it counts as cancelled.
#[derive(Debug)]
pub struct Entry {
    table: RequestTable,
    key: Key,
}

impl Entry {
    /// Notes where it is in its life. What is over stays so.
    pub fn set(&self, progress: Progress) {
        let mut table = self.table.lock();
        let Some((known, _)) = table.requests.get_mut(&self.key) else { return };
        if known.is_over() {
            return;
        }
        *known = progress;
        if progress.is_over() {
            table.over.push_back(self.key.clone());
            if table.over.len() > REMEMBERED
                && let Some(oldest) = table.over.pop_front()
            {
                table.requests.remove(&oldest);
            }
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.set(Progress::Cancelled);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::RequestName;

    fn caller(client: u64) -> Caller {
        Caller { client: ClientId(client), salt: None, request_id: RequestName::new() }
    }

    #[test]
    fn a_request_is_followed_to_its_end_and_never_back() {
        let (table, caller) = (RequestTable::default(), caller(1));
        let entry = table.enter(&caller, "a", CancelToken::new()).expect("a free name");
        assert_eq!(table.progress(&caller, "a"), Some(Progress::Pending));
        entry.set(Progress::Processing);
        entry.set(Progress::Completed);
        entry.set(Progress::Processing);
        drop(entry);
        assert_eq!(table.progress(&caller, "a"), Some(Progress::Completed));
        assert!(table.enter(&caller, "a", CancelToken::new()).is_none());
    }

    #[test]
    fn callers_stop_their_own_requests_and_no_others() {
        let (table, cancel) = (RequestTable::default(), CancelToken::new());
        let entry = table.enter(&caller(1), "a", cancel.clone()).expect("a free name");
        assert_eq!(table.cancel(&caller(2), "a"), None);
        assert!(!cancel.is_cancelled());
        assert_eq!(table.cancel(&caller(1), "a"), Some(Progress::Pending));
        assert!(cancel.is_cancelled());
        drop(entry);
        assert_eq!(table.progress(&caller(1), "a"), Some(Progress::Cancelled));
    }

    #[test]
    fn the_oldest_that_are_over_are_forgotten() {
        let (table, caller) = (RequestTable::default(), caller(1));
        let running = table.enter(&caller, "running", CancelToken::new());
        for n in 0..REMEMBERED + 10 {
            drop(table.enter(&caller, &n.to_string(), CancelToken::new()));
        }
        assert_eq!(table.lock().requests.len(), REMEMBERED + 1);
        assert_eq!(table.progress(&caller, "9"), None);
        assert_eq!(table.progress(&caller, "running"), Some(Progress::Pending));
        drop(running);
    }
}
