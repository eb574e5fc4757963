//! A terminal as a finite automaton over bytes.

use std::collections::{HashMap, HashSet};

use regex_automata::dfa::{Automaton as _, StartKind, dense};
use regex_automata::util::primitives::StateID;
use regex_automata::util::start;
use regex_automata::{Anchored, MatchKind};

use super::Rules;
use super::cfg::Piece;
use super::emit::regex_of;

/// Most bytes of a terminal's expression, states of its automaton, and bytes for making it.
const MOST_REGEX: usize = 8 << 10;
const MOST_STATES: usize = 2000;
const MOST_BYTES: usize = 4 << 20;

/// No state: nothing that starts like this can be matched.
const NONE: u32 = u32::MAX;

/// States by number, the first is the start; from each of them a match can be reached.
#[derive(Debug)]
pub(super) struct Automaton {
    next: Vec<[u32; 256]>,
    is_match: Vec<bool>,
}

impl Automaton {
    /// None when it would be too large.
    pub(super) fn new(piece: Piece<'_>, rules: &Rules) -> Option<Self> {
        let regex = regex_of(piece, rules, MOST_REGEX)?;
        let dfa = dense::Builder::new()
            .configure(
                dense::Config::new()
                    .match_kind(MatchKind::All)
                    .start_kind(StartKind::Anchored)
                    .dfa_size_limit(Some(MOST_BYTES))
                    .determinize_size_limit(Some(MOST_BYTES)),
            )
            .build(&regex)
            .ok()?;
        let start = dfa.start_state(&start::Config::new().anchored(Anchored::Yes)).ok()?;
        let mut automaton = Self { next: Vec::new(), is_match: Vec::new() };
        let mut numbers: HashMap<StateID, u32> = HashMap::from([(start, 0)]);
        let mut open = vec![start];
        while automaton.next.len() < open.len() {
            let state = open[automaton.next.len()];
            let mut row = [NONE; 256];
            for byte in 0..=u8::MAX {
                let next = dfa.next_state(state, byte);
                if !dfa.is_dead_state(next) && !dfa.is_quit_state(next) {
                    let number = u32::try_from(open.len()).ok()?;
                    row[usize::from(byte)] = *numbers.entry(next).or_insert_with(|| {
                        open.push(next);
                        number
                    });
                }
            }
            automaton.next.push(row);
            automaton.is_match.push(dfa.is_match_state(dfa.next_eoi_state(state)));
            if open.len() > MOST_STATES {
                return None;
            }
        }
        automaton.prune();
        Some(automaton)
    }

    /// Removes the ways to states from which no match can be reached.
    fn prune(&mut self) {
        let mut leads = self.is_match.clone();
        loop {
            let mut is_new = false;
            for (state, row) in self.next.iter().enumerate().rev() {
                if !leads[state] && row.iter().any(|next| leads.get(*next as usize) == Some(&true)) {
                    leads[state] = true;
                    is_new = true;
                }
            }
            if !is_new {
                break;
            }
        }
        for row in &mut self.next {
            for next in row.iter_mut().filter(|next| leads.get(**next as usize) != Some(&true)) {
                *next = NONE;
            }
        }
    }

    /// The bytes that a match can start with.
    pub(super) fn first(&self) -> [bool; 256] {
        self.next[0].map(|next| next != NONE)
    }

    /// Whether the empty text is a match.
    pub(super) fn takes_nothing(&self) -> bool {
        self.is_match[0]
    }

    /// Whether there is a match of this one, not empty, which `reader` could read on from with a byte of `follow`.
    pub(super) fn is_read_on_by(&self, reader: &Automaton, follow: &[bool; 256]) -> bool {
        let mut seen = HashSet::from([(0, 0)]);
        let mut open = vec![(0_u32, 0_u32)];
        while let Some((own, other)) = open.pop() {
            let (row, other_row) = (&self.next[own as usize], &reader.next[other as usize]);
            let is_end = self.is_match[own as usize] && (own, other) != (0, 0);
            for byte in 0..256 {
                if is_end && follow[byte] && other_row[byte] != NONE {
                    return true;
                }
                let pair = (row[byte], other_row[byte]);
                if pair.0 != NONE && pair.1 != NONE && seen.insert(pair) {
                    if seen.len() > MOST_STATES * 10 {
                        return false;
                    }
                    open.push(pair);
                }
            }
        }
        false
    }
}
