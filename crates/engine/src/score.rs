//! Scoring a given text instead of continuing it: logits of every position, and perplexity.

use rocmforge_kv_cache::Sequence;
use rocmforge_program::backend::{StepInput, StepSequence};
use rocmforge_sampler::token_logprob;
use rocmforge_tokenizer::TokenId;

use crate::{Engine, EngineError};

/// How a text is cut and scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PerplexityOptions {
    /// Tokens a window; each is computed from an empty context.
    pub window: usize,
}

/// How surprised the model is by a text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Perplexity {
    /// `exp` of the mean negative log-likelihood.
    pub value: f64,
    /// Standard error of `value`, from the scatter of the tokens.
    pub error: f64,
    /// Tokens scored.
    pub tokens: usize,
    /// Full windows.
    pub windows: usize,
}

impl Engine {
    /// Computes the logits of every position of `tokens` and hands each row `[vocab]` to `on_row`, in order.
    ///
    /// # Errors
    /// No tokens, more than the context holds, one outside the vocabulary, or a failure of the backend.
    pub fn score(&mut self, tokens: &[TokenId], on_row: &mut dyn FnMut(usize, &[f32])) -> Result<(), EngineError> {
        self.check_prompt(tokens)?;
        let context = self.context_length();
        if tokens.len() > context {
            return Err(EngineError::PromptTooLong { tokens: tokens.len(), context });
        }
        let mut sequence = Sequence::default();
        // Every row is wanted, so nothing that is cached would help.
        if !self.pool.reserve(&mut sequence, tokens.len()) {
            return Err(EngineError::PromptTooLong { tokens: tokens.len(), context: self.pool.capacity_tokens() });
        }
        let result = self.score_in(&sequence, tokens, on_row);
        self.pool.end(sequence)?;
        result
    }

    fn score_in(
        &mut self,
        sequence: &Sequence,
        tokens: &[TokenId],
        on_row: &mut dyn FnMut(usize, &[f32]),
    ) -> Result<(), EngineError> {
        let vocab_size = self.program().vocab_size;
        let chunk = self.limits.max_tokens.min(self.limits.max_wanted);
        for (at, part) in tokens.chunks(chunk).enumerate() {
            let first = at * chunk;
            let step = StepInput {
                tokens: part.to_vec(),
                sequences: vec![StepSequence {
                    num_tokens: part.len(),
                    context_len: first + part.len(),
                    block_table: sequence.block_table(),
                }],
                wanted: (0..part.len() as u32).collect(),
                ..StepInput::default()
            };
            let ticket = self.backend.submit(self.model, self.cache, &step)?;
            let output = self.backend.wait(ticket)?;
            for (i, row) in output.logits.chunks_exact(vocab_size).enumerate() {
                on_row(first + i, row);
            }
        }
        Ok(())
    }

    /// Perplexity over full windows, scoring the second half of each, so that every scored token has at least half a
    /// window of context. `on_window` hears the result so far after each window.
    ///
    /// # Errors
    /// A text shorter than a window, a window that is too small or does not fit in the context, logits that are not
    /// finite, or a failure of the backend.
    pub fn perplexity(
        &mut self,
        tokens: &[TokenId],
        options: PerplexityOptions,
        on_window: &mut dyn FnMut(usize, usize, Perplexity),
    ) -> Result<Perplexity, EngineError> {
        let window = options.window;
        if window < 4 || window > self.context_length() {
            let expected = format!("4 to the context of {}", self.context_length());
            return Err(EngineError::BadOption { option: "window", found: window.to_string(), expected });
        }
        let windows = tokens.len() / window;
        if windows == 0 {
            return Err(EngineError::TextTooShort { tokens: tokens.len(), window });
        }
        let mut sums = Sums::default();
        for (done, part) in tokens.chunks_exact(window).enumerate() {
            let mut failed = None;
            self.score(part, &mut |position, row| {
                // The row at a position predicts the token after it.
                if position >= window / 2 && position + 1 < window {
                    match token_logprob(row, part[position + 1]) {
                        Ok(logprob) => sums.add(-f64::from(logprob)),
                        Err(error) => failed = Some(error),
                    }
                }
            })?;
            if let Some(error) = failed {
                return Err(error.into());
            }
            on_window(done + 1, windows, sums.perplexity(done + 1));
        }
        Ok(sums.perplexity(windows))
    }
}

#[derive(Default)]
struct Sums {
    count: usize,
    sum: f64,
    squares: f64,
}

impl Sums {
    fn add(&mut self, nll: f64) {
        self.count += 1;
        self.sum += nll;
        self.squares += nll * nll;
    }

    fn perplexity(&self, windows: usize) -> Perplexity {
        let n = self.count as f64;
        let mean = self.sum / n;
        let variance = (self.squares / n - mean * mean).max(0.0);
        let value = mean.exp();
        let error = value * (variance / (n - 1.0).max(1.0)).sqrt();
        Perplexity { value, error, tokens: self.count, windows }
    }
}
