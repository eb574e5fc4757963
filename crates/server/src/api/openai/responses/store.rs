//! Responses that can be asked for again, for as long as there is room.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rocmforge_chat::Message;
use rocmforge_engine::{CancelToken, ClientId};
use serde_json::Value;

/// A caller sees its own responses only.
pub(super) type Key = (ClientId, String);

/// Responses that are kept.
const MOST_ENTRIES: usize = 1000;
/// Bytes of them, as text.
const MOST_BYTES: usize = 64 << 20;

/// A response that is kept.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    /// As the client saw it.
    pub body: Value,
    /// The conversation with it.
    pub messages: Vec<Message>,
    /// Stops it, while it is made in the background.
    pub cancel: Option<CancelToken>,
}

impl Stored {
    fn bytes(&self) -> usize {
        let messages = self.messages.iter().map(|message| Value::Object(message.fields().clone()).to_string().len());
        self.body.to_string().len() + messages.sum::<usize>()
    }
}

#[derive(Debug, Default)]
struct Table {
    entries: HashMap<Key, (Stored, usize)>,
    /// The oldest first; may name some that are gone.
    order: VecDeque<Key>,
    bytes: usize,
}

/// The responses of all callers; the oldest are forgotten first.
#[derive(Debug, Clone, Default)]
pub struct ResponseStore(Arc<Mutex<Table>>);

impl ResponseStore {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a response, in place of an earlier one of that name.
    pub(super) fn insert(&self, key: Key, stored: Stored) {
        let bytes = stored.bytes();
        self.lock().insert(key, stored, bytes);
    }

    /// Puts a response that is whole in the place of the one that was begun, unless that was forgotten meanwhile.
    pub(super) fn replace(&self, key: Key, stored: Stored) {
        let bytes = stored.bytes();
        let mut table = self.lock();
        if table.entries.contains_key(&key) {
            table.insert(key, stored, bytes);
        }
    }

    /// A response of this name.
    pub(super) fn get(&self, key: &Key) -> Option<Stored> {
        self.lock().entries.get(key).map(|(stored, _)| stored.clone())
    }

    /// Forgets a response.
    pub(super) fn remove(&self, key: &Key) -> Option<Stored> {
        self.lock().remove(key)
    }
}

impl Table {
    fn insert(&mut self, key: Key, stored: Stored, bytes: usize) {
        self.remove(&key);
        self.order.push_back(key.clone());
        self.bytes += bytes;
        self.entries.insert(key, (stored, bytes));
        self.shrink();
    }

    fn remove(&mut self, key: &Key) -> Option<Stored> {
        let (stored, bytes) = self.entries.remove(key)?;
        self.bytes -= bytes;
        Some(stored)
    }

    fn shrink(&mut self) {
        while self.entries.len() > MOST_ENTRIES || self.bytes > MOST_BYTES || self.order.len() > 2 * MOST_ENTRIES {
            let Some(oldest) = self.order.pop_front() else { return };
            // A name that was used again stands further behind too.
            if !self.order.contains(&oldest) {
                self.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn stored(text: &str) -> Stored {
        Stored { body: json!(text), messages: Vec::new(), cancel: None }
    }

    fn key(client: u64, id: usize) -> Key {
        (ClientId(client), id.to_string())
    }

    #[test]
    fn the_oldest_are_forgotten_by_count_and_by_size() {
        let store = ResponseStore::default();
        for id in 0..MOST_ENTRIES + 10 {
            store.insert(key(1, id), stored("x"));
        }
        assert!(store.get(&key(1, 9)).is_none() && store.get(&key(1, 10)).is_some());
        for id in 0..4 {
            store.insert(key(2, id), stored(&"x".repeat(MOST_BYTES / 3)));
        }
        assert!(store.get(&key(2, 1)).is_none() && store.get(&key(2, 3)).is_some());
        assert!(store.lock().bytes <= MOST_BYTES);
    }

    #[test]
    fn what_was_forgotten_while_it_was_made_does_not_come_back() {
        let store = ResponseStore::default();
        store.insert(key(1, 0), stored("begun"));
        store.replace(key(1, 0), stored("whole"));
        assert_eq!(store.remove(&key(1, 0)).expect("it is there").body, "whole");
        store.replace(key(1, 0), stored("late"));
        assert!(store.get(&key(1, 0)).is_none());
    }

    #[test]
    fn callers_see_their_own_responses_only() {
        let store = ResponseStore::default();
        store.insert(key(1, 0), stored("mine"));
        assert!(store.get(&key(2, 0)).is_none() && store.remove(&key(2, 0)).is_none());
        assert!(store.remove(&key(1, 0)).is_some());
        assert_eq!(store.lock().bytes, 0);
    }
}
