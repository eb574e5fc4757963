//! The clients' side: what each was promised and has received.

use rocmforge_kv_cache::{Space, TokenId};
use rocmforge_scheduler::{EndReason, NewRequest, RequestId, Rows};

use crate::model::Oracle;
use crate::random::Random;

/// Microseconds of virtual time.
pub(crate) type Micros = u64;

/// Tokens that may lie unread before a request is held back.
const BUFFER: usize = 8;
/// How long they may lie there.
pub(crate) const WRITE_TIMEOUT: Micros = 30_000_000;

/// One answer.
#[derive(Debug)]
pub(crate) struct Stream {
    pub oracle: Oracle,
    pub received: usize,
    pub last: Option<TokenId>,
    pub end: Option<EndReason>,
    /// Starts since the last token.
    pub restarts: u64,
}

/// How a client takes its tokens.
#[derive(Debug, Clone, Copy)]
enum Reader {
    AtOnce,
    /// One in so many microseconds.
    Slow(Micros),
    Never,
}

#[derive(Debug)]
pub(crate) struct Request {
    pub id: RequestId,
    pub space: Space,
    pub prompt: Vec<TokenId>,
    pub max_tokens: usize,
    /// Answers asked for.
    pub sequences: u32,
    pub rows: Rows,
    /// Key of its random numbers.
    pub seed: u64,
    /// Answers that have begun.
    pub streams: Vec<Stream>,
    pub submitted: u64,
    pub has_started: bool,
    /// Step before whose end it must be gone.
    pub cancelled: Option<u64>,
    pub is_failed: bool,
    pub losses: u32,
    /// Rows of the prompt that were delivered.
    pub rows_done: usize,
    reader: Reader,
    unread: usize,
    read_at: Micros,
    full_since: Option<Micros>,
}

impl Request {
    pub fn new(id: RequestId, request: NewRequest, step: u64, random: &mut Random) -> Self {
        let reader = match random.below(10) {
            0 => Reader::Never,
            1 | 2 => Reader::Slow(random.between(1_000, 100_000) as Micros),
            _ => Reader::AtOnce,
        };
        let oracle = Oracle::of(&request.space, &request.prompt);
        let stream = Stream { oracle, received: 0, last: None, end: None, restarts: 0 };
        Self {
            id,
            space: request.space,
            prompt: request.prompt,
            max_tokens: request.max_tokens,
            sequences: request.sequences,
            rows: request.rows,
            seed: random.next(),
            streams: vec![stream],
            submitted: step,
            has_started: false,
            cancelled: None,
            is_failed: false,
            losses: 0,
            rows_done: 0,
            reader,
            unread: 0,
            read_at: 0,
            full_since: None,
        }
    }

    /// A further answer, which parts from the prompt.
    pub fn part(&mut self) {
        let oracle = Oracle::of(&self.space, &self.prompt);
        self.streams.push(Stream { oracle, received: 0, last: None, end: None, restarts: 0 });
    }

    pub fn is_over(&self) -> bool {
        self.streams.iter().all(|stream| stream.end.is_some())
    }

    /// Tokens lie ready for the client.
    pub fn deliver(&mut self) {
        self.unread += 1;
    }

    /// The client stops taking tokens.
    pub fn stop_reading(&mut self) {
        self.reader = Reader::Never;
    }

    /// The client takes everything from here on.
    pub fn read_all(&mut self) {
        self.reader = Reader::AtOnce;
    }

    /// The client takes what it takes until now. Returns whether the request must be held back, and whether its tokens
    /// have lain there for too long.
    pub fn read(&mut self, now: Micros) -> (bool, bool) {
        match self.reader {
            Reader::AtOnce => self.unread = 0,
            Reader::Never => {}
            Reader::Slow(_) if self.unread == 0 => self.read_at = now,
            Reader::Slow(each) => {
                let taken = ((now - self.read_at) / each).min(self.unread as u64);
                self.unread -= taken as usize;
                self.read_at += taken * each;
            }
        }
        let is_full = self.unread >= BUFFER;
        if self.unread <= BUFFER / 2 {
            self.full_since = None;
        } else if is_full {
            self.full_since.get_or_insert(now);
        }
        let is_late = self.full_since.is_some_and(|since| now - since > WRITE_TIMEOUT);
        (self.full_since.is_some(), is_late)
    }
}
