//! Compiled constraints that were used lately.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::{Grammar, GrammarError, GrammarVocab, Limits, Spec};

/// Keeps the constraints that were used last, up to a number of bytes, for use from many threads.
///
/// It is for one vocabulary and one set of limits. Two threads that ask for the same new constraint at once may both
/// compile it. Failures are not kept.
#[derive(Debug)]
pub struct GrammarCache {
    vocab: GrammarVocab,
    limits: Limits,
    bytes_max: usize,
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    by_key: HashMap<String, Entry>,
    /// Counts uses, to tell which is the oldest.
    clock: u64,
}

#[derive(Debug)]
struct Entry {
    grammar: Grammar,
    last_use: u64,
}

/// What an entry takes beside its key and its grammar.
const ENTRY_BYTES: usize = 256;

/// The most entries: each is measured when one comes in.
const MOST_ENTRIES: usize = 512;

impl GrammarCache {
    /// An empty cache of at most about `bytes_max` bytes.
    #[must_use]
    pub fn new(vocab: GrammarVocab, limits: Limits, bytes_max: usize) -> Self {
        Self { vocab, limits, bytes_max, entries: Mutex::default() }
    }

    /// The compiled form of `spec`, kept or made now. It may compile: call it where nothing else waits.
    ///
    /// # Errors
    /// Those of [`Grammar::compile`].
    pub fn get(&self, spec: &Spec) -> Result<Grammar, GrammarError> {
        // The size is checked before the key is written, which walks the constraint.
        spec.check_size(&self.limits)?;
        let key = spec.key();
        if let Some(grammar) = self.entries().touch(&key) {
            return Ok(grammar);
        }
        let grammar = Grammar::compile(&self.vocab, spec, &self.limits)?;
        self.entries().insert(key, grammar.clone(), self.bytes_max);
        Ok(grammar)
    }

    /// About how many bytes it holds.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.entries().by_key.iter().map(|(key, entry)| entry.bytes(key)).sum()
    }

    /// The number of constraints in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries().by_key.len()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The vocabulary of its constraints.
    #[must_use]
    pub fn vocab(&self) -> &GrammarVocab {
        &self.vocab
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn bytes(&self, key: &str) -> usize {
        ENTRY_BYTES + key.len() + self.grammar.bytes()
    }
}

impl Entries {
    fn touch(&mut self, key: &str) -> Option<Grammar> {
        self.clock += 1;
        let entry = self.by_key.get_mut(key)?;
        entry.last_use = self.clock;
        Some(entry.grammar.clone())
    }

    fn insert(&mut self, key: String, grammar: Grammar, bytes_max: usize) {
        self.by_key.insert(key, Entry { grammar, last_use: self.clock });
        // Grammars grow in use, so they are measured anew.
        let mut by_age: Vec<(u64, usize, &String)> =
            self.by_key.iter().map(|(key, entry)| (entry.last_use, entry.bytes(key), key)).collect();
        by_age.sort_unstable();
        let (mut bytes, mut count) = (by_age.iter().map(|(_, bytes, _)| bytes).sum::<usize>(), by_age.len());
        let mut evicted = Vec::new();
        for (_, size, key) in by_age {
            if bytes <= bytes_max && count <= MOST_ENTRIES {
                break;
            }
            bytes -= size;
            count -= 1;
            evicted.push(key.clone());
        }
        for key in evicted {
            self.by_key.remove(&key);
        }
    }
}
