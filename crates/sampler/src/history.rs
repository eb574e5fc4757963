//! The tokens of a sequence so far, with what the penalties need to know about them.

use std::collections::HashMap;

use crate::{SamplingParams, TokenId};

/// How often a token is inside the penalty window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Count {
    /// In prompt and output together.
    pub total: u32,
    /// In the output.
    pub generated: u32,
}

/// Prompt and output in order. Counts are kept up to date token by token, so that a step
/// does not walk a long history.
#[derive(Debug, Clone)]
pub(crate) struct History {
    tokens: Vec<TokenId>,
    /// Beside each token, whether it was generated.
    generated: Vec<bool>,
    /// `None` when no penalty is on.
    counts: Option<Counts>,
    /// `None` when DRY is off.
    breakers: Option<Breakers>,
}

#[derive(Debug, Clone)]
struct Counts {
    window: Option<usize>,
    by_token: HashMap<TokenId, Count>,
}

#[derive(Debug, Clone)]
struct Breakers {
    by_last: HashMap<TokenId, Vec<Vec<TokenId>>>,
    /// The position after the last token of the last complete breaker; 0 when there is none.
    run_start: usize,
}

impl History {
    pub fn new(params: &SamplingParams) -> Self {
        let counts = crate::stages::penalties_active(params)
            .then(|| Counts { window: params.penalty_last_n, by_token: HashMap::new() });
        let breakers = params.dry.as_ref().map(|dry| {
            let mut by_last: HashMap<TokenId, Vec<Vec<TokenId>>> = HashMap::new();
            for breaker in &dry.sequence_breakers {
                if let Some(&last) = breaker.last() {
                    by_last.entry(last).or_default().push(breaker.clone());
                }
            }
            Breakers { by_last, run_start: 0 }
        });
        Self { tokens: Vec::new(), generated: Vec::new(), counts, breakers }
    }

    pub fn tokens(&self) -> &[TokenId] {
        &self.tokens
    }

    /// Each token inside the penalty window once, and how often the output has it there; empty when no penalty is on.
    pub fn counted(&self) -> impl Iterator<Item = (TokenId, u32)> + '_ {
        self.counts.iter().flat_map(|counts| counts.by_token.iter().map(|(&token, count)| (token, count.generated)))
    }

    pub fn reserve(&mut self, additional: usize) {
        self.tokens.reserve(additional);
        self.generated.reserve(additional);
    }

    pub fn push(&mut self, token: TokenId, generated: bool) {
        self.tokens.push(token);
        self.generated.push(generated);
        if let Some(counts) = &mut self.counts {
            counts.enter(token, generated);
            if let Some(leaving) = counts.window.and_then(|window| self.tokens.len().checked_sub(window + 1)) {
                counts.leave(self.tokens[leaving], self.generated[leaving]);
            }
        }
        if let Some(breakers) = &mut self.breakers {
            breakers.note_end(&self.tokens);
        }
    }

    /// The tokens inside the penalty window with their counts, in no order.
    pub fn counts(&self) -> impl Iterator<Item = (TokenId, Count)> {
        self.counts.iter().flat_map(|counts| counts.by_token.iter().map(|(t, c)| (*t, *c)))
    }

    /// How many of the last tokens came after the last complete sequence breaker.
    pub fn run_len(&self) -> usize {
        self.tokens.len() - self.breakers.as_ref().map_or(0, |b| b.run_start)
    }

    /// Whether the token alone is a sequence breaker.
    pub fn is_breaker(&self, token: TokenId) -> bool {
        let ending = self.breakers.as_ref().and_then(|b| b.by_last.get(&token));
        ending.is_some_and(|list| list.iter().any(|breaker| breaker.len() == 1))
    }
}

impl Counts {
    fn enter(&mut self, token: TokenId, generated: bool) {
        let count = self.by_token.entry(token).or_default();
        count.total += 1;
        count.generated += u32::from(generated);
    }

    fn leave(&mut self, token: TokenId, generated: bool) {
        if let Some(count) = self.by_token.get_mut(&token) {
            count.total -= 1;
            count.generated -= u32::from(generated);
            if count.total == 0 {
                self.by_token.remove(&token);
            }
        }
    }
}

impl Breakers {
    fn note_end(&mut self, tokens: &[TokenId]) {
        let ending = tokens.last().and_then(|last| self.by_last.get(last));
        if ending.is_some_and(|list| list.iter().any(|breaker| tokens.ends_with(breaker))) {
            self.run_start = tokens.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_slides() {
        let params = SamplingParams { presence_penalty: 1.0, penalty_last_n: Some(3), ..SamplingParams::default() };
        let mut history = History::new(&params);
        for (token, generated) in [(5, false), (5, false), (7, true), (5, true), (9, true)] {
            history.push(token, generated);
        }
        let mut counts: Vec<_> = history.counts().collect();
        counts.sort_by_key(|(token, _)| *token);
        let one = Count { total: 1, generated: 1 };
        assert_eq!(counts, [(5, one), (7, one), (9, one)]);
    }
}
