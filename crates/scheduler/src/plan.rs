//! A step as plain data.

use std::fmt;

use rocmforge_kv_cache::Move;

use crate::RequestId;

/// A sequence of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SequenceId {
    /// The request.
    pub request: RequestId,
    /// Which of its sequences, from 0.
    pub index: u32,
}

impl fmt::Display for SequenceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.request.0, self.index)
    }
}

/// Tokens of one sequence in a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item {
    /// Whose.
    pub sequence: SequenceId,
    /// Position of the first token.
    pub start: usize,
    /// Tokens.
    pub count: usize,
    /// How many of them, the last ones, have rows of logits that are wanted.
    pub rows: usize,
    /// Tokens to choose from the last row: one for this sequence, and one more for each that will part from it here.
    /// 0: the last row continues the prompt and yields nothing yet.
    pub samples: u32,
    /// Place among the running sequences.
    pub(crate) at: usize,
}

/// What the next step computes. Of the sequences that run, each has at most one item.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StepPlan {
    /// Number of the step.
    pub step: u64,
    /// What to compute.
    pub items: Vec<Item>,
    /// What to move before that, in this order. It has to be done also if the step then is not.
    pub moves: Vec<Move>,
    /// Sequences that made room.
    pub preempted: Vec<SequenceId>,
    /// Sequences that began, or went on after a preemption, in this step.
    pub started: Vec<SequenceId>,
}

impl StepPlan {
    /// Tokens of the step.
    pub fn tokens(&self) -> usize {
        self.items.iter().map(|item| item.count).sum()
    }

    /// Rows of logits that are wanted.
    pub fn rows(&self) -> usize {
        self.items.iter().map(|item| item.rows).sum()
    }

    /// Whether there is nothing to compute. There may be something to move.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The sequences that [`commit`](crate::Scheduler::commit) needs an outcome for, in its order.
    pub fn wanted(&self) -> impl Iterator<Item = SequenceId> {
        self.items.iter().flat_map(|item| {
            let first = item.sequence;
            (0..item.samples).map(move |more| SequenceId { index: first.index + more, ..first })
        })
    }

    pub(crate) fn begin(&mut self, step: u64) {
        self.step = step;
        self.items.clear();
        self.moves.clear();
        self.preempted.clear();
        self.started.clear();
    }
}

impl fmt::Display for StepPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "step {}: {} tokens, {} rows", self.step, self.tokens(), self.rows())?;
        for Item { sequence, start, count, samples, .. } in &self.items {
            write!(f, "\n  {sequence}: {start}..{}", start + count)?;
            match samples {
                0 => {}
                1 => write!(f, " -> a token")?,
                n => write!(f, " -> {n} tokens")?,
            }
        }
        for moved in &self.moves {
            match moved {
                Move::Copy { from, to } => write!(f, "\n  copy block {from} to {to}")?,
                Move::Save { block, slot } => write!(f, "\n  save block {block} to slot {slot}")?,
                Move::Load { slot, block } => write!(f, "\n  load slot {slot} to block {block}")?,
            }
        }
        self.preempted.iter().try_for_each(|sequence| write!(f, "\n  preempted {sequence}"))
    }
}
