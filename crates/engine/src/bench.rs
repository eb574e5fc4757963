//! Raw speed: steps of random tokens without sampling, as llama-bench measures it.

use std::time::{Duration, Instant};

use rocmforge_kv_cache::Sequence;
use rocmforge_program::backend::{StepInput, StepSequence};
use rocmforge_tokenizer::TokenId;

use crate::{Engine, EngineError};

impl Engine {
    /// Time to compute a prompt of random tokens from an empty context, logits of the last one included.
    ///
    /// # Errors
    /// More tokens than the context holds, or a failure of the backend.
    pub fn time_prompt(&mut self, tokens: usize) -> Result<Duration, EngineError> {
        self.time_steps(tokens, self.limits.max_tokens)
    }

    /// Time to compute random tokens one by one from an empty context, logits of each included.
    ///
    /// # Errors
    /// More tokens than the context holds, or a failure of the backend.
    pub fn time_generation(&mut self, tokens: usize) -> Result<Duration, EngineError> {
        self.time_steps(tokens, 1)
    }

    fn time_steps(&mut self, count: usize, chunk: usize) -> Result<Duration, EngineError> {
        let mut sequence = Sequence::default();
        if !self.pool.reserve(&mut sequence, count) {
            return Err(EngineError::PromptTooLong { tokens: count, context: self.pool.capacity_tokens() });
        }
        let tokens = pseudo_random_tokens(count, self.program().vocab_size);
        let start = Instant::now();
        let result = self.run_steps(&sequence, &tokens, chunk);
        let time = start.elapsed();
        self.pool.end(sequence)?;
        result.map(|()| time)
    }

    fn run_steps(&mut self, sequence: &Sequence, tokens: &[TokenId], chunk: usize) -> Result<(), EngineError> {
        for (at, part) in tokens.chunks(chunk).enumerate() {
            let context_len = at * chunk + part.len();
            // A prompt has one row of logits, at its end; a generated token has its own.
            let is_last = context_len == tokens.len();
            let step = StepInput {
                tokens: part.to_vec(),
                sequences: vec![StepSequence {
                    num_tokens: part.len(),
                    context_len,
                    block_table: sequence.block_table(),
                }],
                wanted: if is_last || chunk == 1 { vec![part.len() as u32 - 1] } else { vec![] },
                ..StepInput::default()
            };
            let ticket = self.backend.submit(self.model, self.cache, &step)?;
            self.backend.wait(ticket)?;
        }
        Ok(())
    }
}

/// The same tokens in every run, spread over the vocabulary (a linear congruential generator of Knuth's MMIX).
fn pseudo_random_tokens(count: usize, vocab_size: usize) -> Vec<TokenId> {
    let mut state = 1u64;
    let next = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) % vocab_size as u64) as TokenId
    };
    (0..count).map(next).collect()
}
