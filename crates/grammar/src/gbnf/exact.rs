//! Where terminals must be cut so that taking all they can changes nothing.
//!
//! The library's lexer reads on as long as any terminal that is allowed can. A terminal that could end before a byte
//! with which the text goes on, while another (or itself) could read that byte, would lose that reading. Such other
//! terminals are cut into smaller ones, in the end into single characters, which cannot read on.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use super::automaton::Automaton;
use super::cfg::{Cfg, Item, Key, Piece, Symbol, build};
use super::shape::Shape;
use super::{Node, Rules};

/// A set of bytes.
type Bytes = [bool; 256];

/// Most terminals for which each is compared with each.
const MOST_TERMINALS: usize = 150;

/// Most rounds of cutting.
const MOST_ROUNDS: usize = 40;

/// The productions, with terminals cut where needed. What is too large to be looked at stays whole.
pub(super) fn productions<'a>(rules: &'a Rules, shape: &Shape) -> Cfg<'a> {
    let mut cut = HashSet::new();
    let mut automata = HashMap::new();
    let mut cfg = build(rules, shape, &cut);
    for _ in 0..MOST_ROUNDS {
        // A terminal alone is followed by nothing.
        if cfg.terminals.len() > MOST_TERMINALS || (cfg.terminals.len() == 1 && cfg.rules.len() == 1) {
            break;
        }
        let found = conflicts(&cfg, rules, &mut automata);
        let known = cut.len();
        cut.extend(found);
        if cut.len() == known {
            break;
        }
        cfg = build(rules, shape, &cut);
    }
    cfg
}

/// The pieces to cut.
fn conflicts(cfg: &Cfg<'_>, rules: &Rules, automata: &mut HashMap<Key, Option<Rc<Automaton>>>) -> Vec<Key> {
    let terminals: Vec<Option<Rc<Automaton>>> = cfg
        .terminals
        .iter()
        .map(|piece| automata.entry(piece.key()).or_insert_with(|| Automaton::new(*piece, rules).map(Rc::new)).clone())
        .collect();
    let follow = follow(cfg, &terminals);
    let mut found = Vec::new();
    for (at, piece) in cfg.terminals.iter().enumerate() {
        let Some(reader) = terminals[at].as_ref().filter(|_| !is_character(*piece)) else {
            continue;
        };
        let reads_on = |(ended, follow): (&Option<Rc<Automaton>>, &Bytes)| {
            ended.as_ref().is_some_and(|ended| ended.is_read_on_by(reader, follow))
        };
        if terminals.iter().zip(&follow).any(reads_on) {
            found.push(piece.key());
        }
    }
    found
}

fn is_character(piece: Piece<'_>) -> bool {
    matches!(piece, Piece::Character(_) | Piece::Nodes([Node::Class { .. } | Node::Any]))
}

/// What a symbol can start with, and whether it can be empty.
#[derive(Clone)]
struct Start {
    bytes: Bytes,
    is_empty: bool,
}

impl Start {
    /// Adds what comes from another; whether that was news.
    fn add(&mut self, other: &Bytes) -> bool {
        let mut is_new = false;
        for (byte, other) in self.bytes.iter_mut().zip(other) {
            is_new |= *other && !*byte;
            *byte |= *other;
        }
        is_new
    }
}

const NOTHING: Start = Start { bytes: [false; 256], is_empty: false };

/// By terminal, the bytes that can come after it.
fn follow(cfg: &Cfg<'_>, terminals: &[Option<Rc<Automaton>>]) -> Vec<Bytes> {
    let terminal_starts: Vec<Start> = terminals
        .iter()
        .map(|automaton| match automaton {
            Some(automaton) => Start { bytes: automaton.first(), is_empty: automaton.takes_nothing() },
            None => Start { bytes: [true; 256], is_empty: true },
        })
        .collect();
    let rule_starts = rule_starts(cfg, &terminal_starts);
    let start_of = |symbol: Symbol| match symbol {
        Symbol::Terminal(at) => &terminal_starts[at],
        Symbol::Rule(at) => &rule_starts[at],
    };
    let mut after_terminals = vec![NOTHING; terminals.len()];
    let mut after_rules = vec![NOTHING; cfg.rules.len()];
    loop {
        let mut is_new = false;
        for (rule, options) in cfg.rules.iter().enumerate() {
            for sequence in options {
                // From the end: what comes after the item at hand.
                let mut after = after_rules[rule].bytes;
                for item in sequence.iter().rev() {
                    let start = start_of(item.symbol);
                    let mut own = Start { bytes: after, is_empty: false };
                    if item.max != Some(1) {
                        own.add(&start.bytes);
                    }
                    is_new |= match item.symbol {
                        Symbol::Terminal(at) => after_terminals[at].add(&own.bytes),
                        Symbol::Rule(at) => after_rules[at].add(&own.bytes),
                    };
                    let mut next = start.clone();
                    if start.is_empty || item.min == 0 {
                        next.add(&after);
                    }
                    after = next.bytes;
                }
            }
        }
        if !is_new {
            return after_terminals.into_iter().map(|start| start.bytes).collect();
        }
    }
}

fn rule_starts(cfg: &Cfg<'_>, terminals: &[Start]) -> Vec<Start> {
    let mut starts = vec![NOTHING; cfg.rules.len()];
    loop {
        let mut is_new = false;
        for (rule, options) in cfg.rules.iter().enumerate() {
            for sequence in options {
                let mut bytes = NOTHING;
                let is_empty = sequence.iter().all(|Item { symbol, min, .. }| {
                    let start = match symbol {
                        Symbol::Terminal(at) => &terminals[*at],
                        Symbol::Rule(at) => &starts[*at],
                    };
                    bytes.add(&start.bytes);
                    start.is_empty || *min == 0
                });
                is_new |= starts[rule].add(&bytes.bytes) || (is_empty && !starts[rule].is_empty);
                starts[rule].is_empty |= is_empty;
            }
        }
        if !is_new {
            return starts;
        }
    }
}
