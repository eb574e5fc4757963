//! Races between the waves of a workgroup: two use the same byte, one of them writes, and no barrier stands between.
//!
//! Waves run one after another here, so that a race does no harm; it is found from who used what since the last barrier.
//! Atomic operations among themselves are no race, and neither are waves that write the same values.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// How memory is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    Read,
    Write,
    Atomic,
}

/// Another wave that used the same bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Conflict {
    /// Its number in the workgroup.
    pub wave: u32,
    /// What it did with them.
    pub did: &'static str,
    /// All that is against a write are other writes, which do no harm if they are of the same value.
    pub only_writes: bool,
}

impl Conflict {
    /// The graver one.
    fn or(found: Option<Self>, other: Option<Self>) -> Option<Self> {
        match (found, other) {
            (Some(a), Some(b)) => Some(if a.only_writes { b } else { a }),
            (a, b) => a.or(b),
        }
    }
}

/// Who used a word, or a byte, since a barrier: a bit for each wave.
#[derive(Debug, Clone, Copy, Default)]
struct Cell {
    epoch: u32,
    readers: u32,
    writers: u32,
    atomics: u32,
    /// Of a word: its bytes have cells of their own.
    is_split: bool,
}

impl Cell {
    #[inline(always)]
    fn renew(&mut self, epoch: u32) {
        if self.epoch != epoch {
            *self = Self { epoch, ..Self::default() };
        }
    }

    #[inline(always)]
    fn note(&mut self, wave: u32, use_: Use) -> Option<Conflict> {
        // Workgroups have at most 1024 work-items, which are 32 waves.
        let bit = 1u32 << (wave % 32);
        let Self { readers, writers, atomics, .. } = *self;
        let (mine, others) = match use_ {
            Use::Read => (&mut self.readers, writers | atomics),
            Use::Write => (&mut self.writers, readers | writers | atomics),
            Use::Atomic => (&mut self.atomics, readers | writers),
        };
        *mine |= bit;
        let others = others & !bit;
        if others == 0 { None } else { Some(self.conflict(others, use_)) }
    }

    #[cold]
    fn conflict(&self, others: u32, use_: Use) -> Conflict {
        let graver = if use_ == Use::Write { others & (self.readers | self.atomics) } else { others };
        let wave = if graver == 0 { others } else { graver }.trailing_zeros();
        let is = |waves: u32| waves >> wave & 1 == 1;
        let did = if is(self.writers) {
            "wrote"
        } else if is(self.atomics) {
            "changed atomically"
        } else {
            "read"
        };
        Conflict { wave, did, only_writes: graver == 0 }
    }
}

/// Cells of a range of memory.
#[derive(Debug, Clone, Default)]
pub(crate) struct Words {
    cells: Vec<Cell>,
    /// Cells of the bytes of words that were used in part.
    split: HashMap<usize, [Cell; 4]>,
}

impl Words {
    /// Of so many bytes.
    pub fn new(bytes: usize) -> Self {
        Self { cells: vec![Cell::default(); bytes.div_ceil(4)], split: HashMap::new() }
    }

    /// Notes a use of bytes after so many barriers, and says who stands against it.
    #[inline]
    pub fn note(&mut self, at: usize, bytes: usize, wave: u32, epoch: u32, use_: Use) -> Option<Conflict> {
        let mut found = None;
        for word in at / 4..(at + bytes).div_ceil(4) {
            let Some(cell) = self.cells.get_mut(word) else { break };
            cell.renew(epoch);
            let from = at.saturating_sub(4 * word);
            let to = (at + bytes - 4 * word).min(4);
            let conflict = if to - from == 4 && !cell.is_split {
                cell.note(wave, use_)
            } else {
                self.note_bytes(word, from..to, wave, use_)
            };
            found = Conflict::or(found, conflict);
        }
        found
    }

    #[cold]
    fn note_bytes(&mut self, word: usize, bytes: std::ops::Range<usize>, wave: u32, use_: Use) -> Option<Conflict> {
        let cell = &mut self.cells[word];
        if !cell.is_split {
            self.split.insert(word, [*cell; 4]);
            cell.is_split = true;
        }
        let cells = self.split.get_mut(&word)?;
        bytes.fold(None, |found, byte| Conflict::or(found, cells[byte].note(wave, use_)))
    }
}

/// Cells of the pages of global memory that a workgroup wrote.
///
/// Found are two writes, and a read after a write. A write after a read is found where the workgroup wrote to the same
/// page before the read; otherwise the read left no trace, since most pages are only ever read. Waves of different
/// workgroups are not compared, and a wait for a flag in memory does not count as a barrier.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pages {
    pages: HashMap<u64, Words, BuildHasherDefault<PageHasher>>,
    /// The first and the last of them.
    span: Option<(u64, u64)>,
}

/// Page numbers are spread well enough by one multiplication, and looked up by every load.
#[derive(Debug, Clone, Default)]
struct PageHasher(u64);

impl Hasher for PageHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64((*byte).into()));
    }

    fn write_u64(&mut self, page: u64) {
        self.0 = (self.0 ^ page).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
    }
}

const PAGE: u64 = 4096;

impl Pages {
    /// Notes a use of bytes after so many barriers, and says who stands against it.
    pub fn note(&mut self, at: u64, bytes: usize, wave: u32, epoch: u32, use_: Use) -> Option<Conflict> {
        let end = at + bytes as u64;
        let mut found = None;
        for page in at / PAGE..end.div_ceil(PAGE) {
            let words = match self.pages.get_mut(&page) {
                Some(words) => words,
                None if use_ == Use::Read => continue,
                None => {
                    let (first, last) = self.span.unwrap_or((page, page));
                    self.span = Some((first.min(page), last.max(page)));
                    self.pages.entry(page).or_insert_with(|| Words::new(PAGE as usize))
                }
            };
            let from = at.max(page * PAGE);
            let to = end.min((page + 1) * PAGE);
            let conflict = words.note((from % PAGE) as usize, (to - from) as usize, wave, epoch, use_);
            found = Conflict::or(found, conflict);
        }
        found
    }

    /// Whether a page of the range from `from` to before `to` was written.
    #[inline]
    pub fn meets(&self, from: u64, to: u64) -> bool {
        let Some((first, last)) = self.span else { return false };
        let mut pages = first.max(from / PAGE)..=last.min(to.saturating_sub(1) / PAGE);
        pages.any(|page| self.pages.contains_key(&page))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn against(wave: u32, did: &'static str) -> Option<(u32, &'static str)> {
        Some((wave, did))
    }

    fn seen(conflict: Option<Conflict>) -> Option<(u32, &'static str)> {
        conflict.map(|conflict| (conflict.wave, conflict.did))
    }

    #[test]
    fn waves_conflict_where_one_writes_and_no_barrier_stands_between() {
        let mut words = Words::new(64);
        assert_eq!(seen(words.note(0, 16, 0, 0, Use::Write)), None);
        assert_eq!(seen(words.note(0, 16, 0, 0, Use::Read)), None, "its own");
        assert_eq!(seen(words.note(12, 4, 1, 0, Use::Read)), against(0, "wrote"));
        assert_eq!(seen(words.note(12, 4, 1, 1, Use::Read)), None, "after a barrier");
        assert_eq!(seen(words.note(12, 4, 2, 1, Use::Write)), against(1, "read"));
        assert_eq!(seen(words.note(16, 4, 0, 1, Use::Atomic)), None);
        assert_eq!(seen(words.note(16, 4, 1, 1, Use::Atomic)), None, "atomics among themselves");
        assert_eq!(seen(words.note(16, 4, 2, 1, Use::Read)), against(0, "changed atomically"));
    }

    #[test]
    fn bytes_of_a_word_are_told_apart() {
        let mut words = Words::new(64);
        assert_eq!(seen(words.note(0, 1, 0, 0, Use::Write)), None);
        assert_eq!(seen(words.note(1, 1, 1, 0, Use::Write)), None);
        assert_eq!(seen(words.note(1, 1, 1, 0, Use::Read)), None);
        assert_eq!(seen(words.note(2, 2, 2, 0, Use::Write)), None);
        assert_eq!(seen(words.note(0, 4, 2, 0, Use::Read)), against(0, "wrote"));
        assert_eq!(seen(words.note(3, 6, 3, 0, Use::Write)), against(2, "wrote"), "across words");
        assert_eq!(seen(words.note(0, 4, 3, 1, Use::Write)), None, "after a barrier");
        assert_eq!(seen(words.note(0, 1, 3, 1, Use::Write)), None);
    }

    #[test]
    fn reads_count_on_pages_that_were_written() {
        let mut pages = Pages::default();
        assert_eq!(seen(pages.note(4090, 4, 0, 0, Use::Read)), None);
        assert_eq!(seen(pages.note(4090, 4, 1, 0, Use::Write)), None, "not found, as documented");
        assert_eq!(seen(pages.note(4092, 8, 0, 0, Use::Read)), against(1, "wrote"));
        assert_eq!(seen(pages.note(4000, 4, 0, 0, Use::Read)), None);
        assert_eq!(seen(pages.note(4000, 4, 1, 0, Use::Write)), against(0, "read"));
    }

    #[test]
    fn of_several_conflicts_the_gravest_is_named() {
        let mut words = Words::new(64);
        words.note(0, 4, 0, 0, Use::Write);
        words.note(4, 4, 1, 0, Use::Read);
        let both = words.note(0, 8, 2, 0, Use::Write);
        assert_eq!((seen(both), both.map(|c| c.only_writes)), (against(1, "read"), Some(false)));
        words.note(8, 4, 0, 0, Use::Write);
        assert_eq!(words.note(8, 4, 2, 0, Use::Write).map(|c| c.only_writes), Some(true));
    }
}
