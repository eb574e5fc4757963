//! What is asked, from a seed.

use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

/// Short words, most of which are one token in most vocabularies.
const WORDS: [&str; 64] = [
    "the", "of", "and", "to", "in", "is", "was", "for", "on", "as", "with", "by", "at", "from", "it", "that", "this",
    "are", "be", "or", "an", "have", "not", "which", "one", "has", "had", "were", "all", "their", "there", "been",
    "many", "may", "other", "when", "time", "more", "out", "so", "two", "into", "year", "some", "them", "can", "only",
    "new", "over", "also", "after", "first", "water", "light", "house", "world", "hand", "part", "place", "work",
    "week", "case", "point", "number",
];

/// Numbers from `low` to `high`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    pub low: usize,
    pub high: usize,
}

impl FromStr for Range {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (low, high) = text.split_once('-').unwrap_or((text, text));
        let number = |text: &str| text.parse().with_context(|| format!("`{text}` is no number of tokens"));
        let range = Self { low: number(low)?, high: number(high)? };
        ensure!(range.low <= range.high, "`{text}` ends before it begins");
        Ok(range)
    }
}

/// A request in the making.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    pub prompt: Prompt,
    pub max_tokens: usize,
}

/// What a prompt is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Prompt {
    Text(String),
    Tokens(Vec<usize>),
}

/// Requests, one after the other.
pub struct Workload {
    random: Random,
    /// Indices of words, or token ids.
    prefix: Vec<usize>,
    token_ids: Option<Range>,
}

impl Workload {
    /// `token_ids`: prompts are lists of these.
    pub fn new(seed: u64, shared_prefix: usize, token_ids: Option<Range>) -> Self {
        let mut workload = Self { random: Random::new(seed), prefix: Vec::new(), token_ids };
        workload.prefix = workload.units(shared_prefix);
        workload
    }

    /// The next request.
    pub fn request(&mut self, prompt_tokens: Range, max_tokens: Range) -> Job {
        let length = self.random.within(prompt_tokens).max(1);
        let rest = self.units(length.saturating_sub(self.prefix.len()));
        let units: Vec<usize> = self.prefix.iter().copied().chain(rest).take(length).collect();
        let prompt = match self.token_ids {
            Some(_) => Prompt::Tokens(units),
            None => Prompt::Text(units.iter().map(|&word| WORDS[word]).collect::<Vec<_>>().join(" ")),
        };
        Job { prompt, max_tokens: self.random.within(max_tokens).max(1) }
    }

    fn units(&mut self, count: usize) -> Vec<usize> {
        let among = self.token_ids.unwrap_or(Range { low: 0, high: WORDS.len() - 1 });
        (0..count).map(|_| self.random.within(among)).collect()
    }
}

/// Random numbers that are the same in every run (SplitMix64, Steele, Lea and Flood 2014).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// A number of a range.
    pub fn within(&mut self, range: Range) -> usize {
        range.low + (self.next() % (range.high - range.low + 1) as u64) as usize
    }

    /// The time between two arrivals of which there are `rate` a second.
    pub fn until_next(&mut self, rate: f64) -> Duration {
        // In (0, 1], so that its logarithm is finite.
        let uniform = ((self.next() >> 11) + 1) as f64 / (1u64 << 53) as f64;
        Duration::from_secs_f64(-uniform.ln() / rate)
    }
}
