//! What is checked and made ready of a request before it is queued, so that the step loop has little to do.

use std::sync::Arc;

use rocmforge_sampler::Sampler;
use rocmforge_scheduler::{NewRequest, Rows};
use rocmforge_tokenizer::{TokenId, Tokenizer};

use crate::admission::Place;
use crate::answer::Answer;
use crate::{EngineError, Pooling, Request};

/// What requests are checked against; fixed once a model is loaded.
#[derive(Debug, Clone)]
pub(crate) struct Intake {
    pub tokenizer: Arc<Tokenizer>,
    pub vocab_size: usize,
    pub context_length: usize,
    pub max_sequences: usize,
    /// Whether prompts may be asked for as vectors.
    pub embeddings: bool,
}

/// A request that may be queued.
pub(crate) struct Prepared {
    pub request: Request,
    pub answer: Answer,
    pub max_tokens: usize,
    /// Its place in the queue; given back when it begins.
    pub place: Option<Place>,
}

impl Intake {
    /// Checks a request and makes it ready.
    pub fn prepare(&self, request: Request) -> Result<Prepared, EngineError> {
        self.check_prompt(&request.prompt)?;
        let (tokens, context) = (request.prompt.len(), self.context_length);
        if tokens >= context {
            return Err(EngineError::PromptTooLong { tokens, context });
        }
        let found = request.sequences as usize;
        if found == 0 || found > self.max_sequences {
            let (found, expected) = (found.to_string(), format!("1 to {}", self.max_sequences));
            return Err(EngineError::BadOption { option: "sequences", found, expected });
        }
        for &token in &request.stop_tokens {
            self.check_token(token)?;
        }
        if request.pooling.is_some() && !self.embeddings {
            return Err(EngineError::NoEmbeddings);
        }
        // The cache holds a whole context, so whatever begins can end.
        let room = context - tokens;
        let asked = if request.pooling.is_some() { Some(0) } else { request.max_tokens };
        let max_tokens = asked.map_or(room, |most| most.min(room));
        let mut sampler = Sampler::new(request.sampling.clone(), self.vocab_size)?;
        sampler.accept_prompt(&request.prompt);
        let answer = Answer::new(&request, sampler, &self.tokenizer);
        Ok(Prepared { request, answer, max_tokens, place: None })
    }

    pub fn check_prompt(&self, prompt: &[TokenId]) -> Result<(), EngineError> {
        if prompt.is_empty() {
            return Err(EngineError::EmptyPrompt);
        }
        prompt.iter().try_for_each(|&token| self.check_token(token))
    }

    fn check_token(&self, token: TokenId) -> Result<(), EngineError> {
        let vocab_size = self.vocab_size;
        if (token as usize) < vocab_size { Ok(()) } else { Err(EngineError::TokenOutOfRange { token, vocab_size }) }
    }
}

impl Prepared {
    /// What the scheduler needs to know. The prompt is moved there.
    pub fn take_new_request(&mut self) -> NewRequest {
        let request = &mut self.request;
        NewRequest {
            client: request.client,
            priority: request.priority,
            prompt: std::mem::take(&mut request.prompt),
            max_tokens: self.max_tokens,
            sequences: request.sequences,
            space: request.space,
            rows: match (request.pooling, request.prompt_logprobs) {
                (Some(Pooling::Mean), _) => Rows::Hidden,
                (None, Some(_)) => Rows::All,
                _ => Rows::Last,
            },
        }
    }
}
