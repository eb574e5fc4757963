//! One sequence of a request, wherever it is.

use rocmforge_kv_cache::{BlockPool, Sequence, Space, TokenId};

use crate::{ClientId, EndReason, NewRequest, RequestId, Rows, SequenceId, State};

/// Who goes first: the lower one. Arrival counts in steps, and each level of priority as many steps as ageing says,
/// so that of two requests the difference never changes while they wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    due: i64,
    id: RequestId,
    index: u32,
}

impl Rank {
    pub fn new(arrival: u64, priority: i32, ageing: u32, sequence: SequenceId) -> Self {
        let due = (arrival as i64).saturating_add(i64::from(priority).saturating_mul(i64::from(ageing)));
        Self { due, id: sequence.request, index: sequence.index }
    }

    pub fn of_sequence(self, index: u32) -> Self {
        Self { index, ..self }
    }
}

#[derive(Debug)]
pub(crate) struct Entry {
    pub id: SequenceId,
    pub client: ClientId,
    pub priority: i32,
    pub arrival: u64,
    pub rank: Rank,
    pub space: Space,
    /// The token log: the prompt and what was generated. Those past `cache.len()` are still to compute.
    pub log: Vec<TokenId>,
    pub prompt_len: usize,
    pub max_tokens: usize,
    /// Sequences that part from this one when the prompt is computed.
    pub forks: u32,
    pub rows: Rows,
    /// Tokens of the log whose rows were delivered, if all are wanted.
    pub rows_done: usize,
    pub cache: Sequence,
    state: State,
    pub is_paused: bool,
    /// Set when it is to end before the next step.
    pub doomed: Option<EndReason>,
}

impl Entry {
    pub fn new(request: NewRequest, id: RequestId, arrival: u64, ageing: u32) -> Self {
        let id = SequenceId { request: id, index: 0 };
        Self {
            id,
            client: request.client,
            priority: request.priority,
            arrival,
            rank: Rank::new(arrival, request.priority, ageing, id),
            space: request.space,
            prompt_len: request.prompt.len(),
            log: request.prompt,
            max_tokens: request.max_tokens,
            forks: request.sequences - 1,
            rows: request.rows,
            rows_done: 0,
            cache: Sequence::default(),
            state: State::Waiting,
            is_paused: false,
            doomed: None,
        }
    }

    /// Sequence `index`, which parts from this one at the end of the prompt.
    pub fn part(&self, index: u32, cache: Sequence) -> Self {
        let mut log = Vec::with_capacity(self.prompt_len + self.max_tokens);
        log.extend_from_slice(&self.log[..self.prompt_len]);
        Self {
            id: SequenceId { index, ..self.id },
            rank: self.rank.of_sequence(index),
            log,
            forks: 0,
            cache,
            state: State::Decode,
            doomed: None,
            ..*self
        }
    }

    pub fn state(&self) -> State {
        self.state
    }

    pub fn become_state(&mut self, next: State) {
        debug_assert!(self.state.next().contains(&next), "{}: {:?} to {next:?}", self.id, self.state);
        self.state = next;
    }

    /// Known tokens that are not computed.
    pub fn remaining(&self) -> usize {
        self.log.len() - self.cache.len()
    }

    pub fn generated(&self) -> usize {
        self.log.len() - self.prompt_len
    }

    /// Whether its next step yields a token.
    pub fn decodes(&self) -> bool {
        !self.is_paused && self.remaining() == 1
    }

    /// Places among the running sequences that it takes, those of sequences that will part from it included.
    pub fn places(&self) -> usize {
        1 + self.forks as usize
    }

    /// Whether rows of the prompt are wanted that were not delivered.
    pub fn wants_prompt_rows(&self) -> bool {
        self.rows != Rows::Last && self.rows_done < self.prompt_len
    }

    /// Whether the limit of rows applies to its prompt.
    pub fn is_limited_by_rows(&self) -> bool {
        self.rows == Rows::All && self.wants_prompt_rows()
    }

    /// Tokens to look up in the cache: not those whose rows are wanted still.
    pub fn shareable(&self) -> &[TokenId] {
        if self.wants_prompt_rows() { &self.log[..self.rows_done] } else { &self.log }
    }

    /// Shares what others have computed meanwhile.
    pub fn share_computed(&mut self, pool: &mut BlockPool) {
        let mut cache = std::mem::take(&mut self.cache);
        pool.share_computed(&mut cache, self.shareable());
        self.cache = cache;
    }

    /// Tokens to choose if a step computes everything that remains.
    pub fn samples(&self) -> u32 {
        if self.max_tokens == 0 { 0 } else { 1 + self.forks }
    }
}
