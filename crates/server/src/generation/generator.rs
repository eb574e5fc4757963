//! From a job to its answers.

use std::num::NonZero;
use std::sync::{Arc, OnceLock};
use std::thread::available_parallelism;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use rocmforge_engine::{EndTokens, EngineHandle, ModelInfo, Request, Space, SubmitError};
use rocmforge_grammar::{Grammar, GrammarCache, GrammarError, Limits, Spec};
use rocmforge_sampler::TokenId;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use super::answers::{Wishes, failure};
use super::prompt::{Constraint, constraint};
use super::{Answers, Encoded, Job, Params, Prompt};
use crate::error::ApiError;

/// What the operator decides.
#[derive(Debug, Clone, PartialEq)]
pub struct GeneratorOptions {
    /// The names by which clients may ask for the model; the first is the one that is told. Without any, the name of
    /// the file.
    pub names: Vec<String>,
    /// Most answers of a request, over all of its prompts.
    pub max_sequences: u32,
    /// Whether requests may bring a chat template, or variables for the model's.
    pub allow_templates: bool,
    /// Bytes of compiled grammars that are kept.
    pub grammar_cache_bytes: usize,
    /// Limits on grammars.
    pub grammar_limits: Limits,
}

impl Default for GeneratorOptions {
    fn default() -> Self {
        Self {
            names: Vec::new(),
            max_sequences: 128,
            allow_templates: false,
            grammar_cache_bytes: 256 << 20,
            grammar_limits: Limits::default(),
        }
    }
}

/// Turns jobs into answers. A clone is a reference.
#[derive(Clone)]
pub struct Generator {
    inner: Arc<Inner>,
}

struct Inner {
    engine: EngineHandle,
    options: GeneratorOptions,
    grammars: OnceLock<GrammarCache>,
    /// Prompts that are made ready at once; more would only take turns on the cores.
    preparing: Arc<Semaphore>,
}

/// Vectors of one job that are computed at once.
const VECTORS_AT_ONCE: usize = 16;

/// One prompt that is ready.
type Prepared = (Encoded, Option<Grammar>);

impl Generator {
    /// A generator on this engine.
    pub fn new(engine: EngineHandle, options: GeneratorOptions) -> Self {
        let threads = available_parallelism().map_or(1, NonZero::get);
        let preparing = Arc::new(Semaphore::new(threads));
        Self { inner: Arc::new(Inner { engine, options, grammars: OnceLock::new(), preparing }) }
    }

    /// What the operator decided.
    pub fn options(&self) -> &GeneratorOptions {
        &self.inner.options
    }

    /// The engine.
    pub fn engine(&self) -> &EngineHandle {
        &self.inner.engine
    }

    /// About how many bytes of compiled grammars are kept.
    pub fn grammar_cache_bytes(&self) -> usize {
        self.inner.grammars.get().map_or(0, GrammarCache::bytes)
    }

    /// The model.
    ///
    /// # Errors
    /// 503 while it is being loaded.
    pub fn model(&self) -> Result<Arc<ModelInfo>, ApiError> {
        self.inner.engine.model().ok_or_else(ApiError::loading)
    }

    /// The names of the model, the first being the one that is told.
    ///
    /// # Errors
    /// 503 while it is being loaded.
    pub fn names(&self) -> Result<Vec<String>, ApiError> {
        match self.inner.options.names.as_slice() {
            [] => Ok(vec![self.model()?.name.clone()]),
            names => Ok(names.to_vec()),
        }
    }

    /// The name of the model that a request asks for; without one, the model's own.
    ///
    /// # Errors
    /// 404 for a name that is not on the list. No name is ever looked for anywhere else.
    pub fn resolve(&self, asked: Option<&str>) -> Result<String, ApiError> {
        let names = self.names()?;
        match asked {
            None | Some("") => names.into_iter().next().ok_or_else(ApiError::loading),
            Some(asked) => names.into_iter().find(|name| name == asked).ok_or_else(|| ApiError::no_such_model(asked)),
        }
    }

    /// A prompt in tokens.
    ///
    /// # Errors
    /// 400 for a prompt that cannot be made.
    pub async fn encode(&self, prompt: Prompt) -> Result<Encoded, ApiError> {
        let model = self.model()?;
        self.check_prompt(&prompt)?;
        self.off_thread(move |_| prompt.encode(&model)).await
    }

    /// Starts a job.
    ///
    /// # Errors
    /// 400 for a request that cannot be fulfilled, 503 where it cannot be now.
    pub async fn start(&self, job: Job) -> Result<Answers, ApiError> {
        let model = self.model()?;
        job.params.check(&model, self.inner.options.max_sequences, job.prompts.len())?;
        let params = job.params.clone();
        let is_structured = job.structured.is_some();
        let mut streams = Vec::with_capacity(job.prompts.len());
        for (encoded, request) in self.requests(&model, job).await? {
            streams.push((encoded, self.inner.engine.submit(request)?));
        }
        let ends = match params.end_tokens {
            EndTokens::Ignored => Vec::new(),
            EndTokens::Known | EndTokens::Named => model.tokenizer.stop_tokens().to_vec(),
        };
        let wishes = Wishes { params: &params, is_structured, ends };
        Ok(Answers::new(model, streams, wishes))
    }

    /// The vectors of a job's prompts, and how many tokens these have.
    ///
    /// # Errors
    /// As [`Generator::start`].
    pub async fn embed(&self, job: Job) -> Result<(Vec<Vec<f32>>, usize), ApiError> {
        let model = self.model()?;
        job.params.check(&model, u32::MAX, job.prompts.len())?;
        let requests = self.requests(&model, job).await?;
        let vector = async |(encoded, request): (Encoded, Request)| {
            let vector = self.inner.engine.embed(request)?.get().await;
            let (vector, _) = vector.map_err(|reason| failure(&reason))?;
            Ok::<_, ApiError>((vector, encoded.tokens.len()))
        };
        let vectors: Vec<(Vec<f32>, usize)> =
            stream::iter(requests).map(vector).buffered(VECTORS_AT_ONCE).try_collect().await?;
        let tokens = vectors.iter().map(|(_, tokens)| tokens).sum();
        Ok((vectors.into_iter().map(|(vector, _)| vector).collect(), tokens))
    }

    /// The engine's requests for a job's prompts.
    async fn requests(&self, model: &Arc<ModelInfo>, job: Job) -> Result<Vec<(Encoded, Request)>, ApiError> {
        job.prompts.iter().try_for_each(|prompt| self.check_prompt(prompt))?;
        let model = model.clone();
        self.off_thread(move |inner| {
            let Job { prompts, params, structured, client, salt, cancel } = job;
            let salt = salted(salt, params.cache_salt.as_deref());
            let prepare = |prompt: &Prompt| {
                let (encoded, grammar) = inner.prepare(&model, prompt, structured.as_ref())?;
                let prepared = request(&model, &params, encoded, grammar).map_err(|error| error.of_prompt(prompt));
                let (encoded, mut request) = prepared?;
                request.client = client;
                request.space = Space { salt, ..Space::default() };
                request.cancel = cancel.clone();
                Ok((encoded, request))
            };
            let requests: Vec<(Encoded, Request)> = prompts.iter().map(prepare).collect::<Result<_, ApiError>>()?;
            check_prompt_logprobs(requests.iter().map(|(encoded, _)| encoded.tokens.len()).sum(), &params)?;
            Ok(requests)
        })
        .await
    }

    fn check_prompt(&self, prompt: &Prompt) -> Result<(), ApiError> {
        let Prompt::Chat(chat) = prompt else { return Ok(()) };
        let brought = match (&chat.template, chat.has_own_variables) {
            (Some(_), _) => Some("chat_template"),
            (None, true) => Some("chat_template_kwargs"),
            (None, false) => None,
        };
        if let Some(param) = brought.filter(|_| !self.inner.options.allow_templates) {
            let message = format!("`{param}` is not allowed here; whoever runs the server can allow it");
            return Err(ApiError::unsupported(param, message));
        }
        chat.check()
    }

    /// Runs what may take long where no other request waits for it.
    async fn off_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let inner = self.inner.clone();
        let permit = self.inner.preparing.clone().acquire_owned().await.map_err(ApiError::internal)?;
        let work = tokio::task::spawn_blocking(move || {
            let done = work(&inner);
            // Held until here also where nobody waits for it any more.
            drop(permit);
            done
        });
        work.await.map_err(ApiError::internal)?
    }
}

impl Inner {
    fn prepare(&self, model: &ModelInfo, prompt: &Prompt, structured: Option<&Spec>) -> Result<Prepared, ApiError> {
        let encoded = prompt.encode(model)?;
        let grammar = match constraint(prompt, &encoded, structured)? {
            Some(constraint) => self.grammar(model, &constraint)?,
            None => None,
        };
        Ok((encoded, grammar))
    }

    /// A constraint that is only a help may be left out where it cannot be compiled.
    fn grammar(&self, model: &ModelInfo, constraint: &Constraint) -> Result<Option<Grammar>, ApiError> {
        let cache = match self.grammars.get() {
            Some(cache) => cache,
            None => {
                let vocab = model.grammar_vocab()?.clone();
                let options = &self.options;
                let cache = || GrammarCache::new(vocab, options.grammar_limits.clone(), options.grammar_cache_bytes);
                self.grammars.get_or_init(cache)
            }
        };
        match cache.get(&constraint.spec) {
            Ok(grammar) => Ok(Some(grammar)),
            Err(error) if !constraint.is_required && error.is_request_fault() => Ok(None),
            Err(error) => Err(refusal(error, &constraint.spec)),
        }
    }
}

fn request(
    model: &ModelInfo,
    params: &Params,
    mut encoded: Encoded,
    grammar: Option<Grammar>,
) -> Result<(Encoded, Request), ApiError> {
    if let Some(keep) = params.truncate_prompt.filter(|keep| *keep < encoded.tokens.len()) {
        encoded.tokens.drain(..encoded.tokens.len() - keep);
    }
    let room = model.context_length.min(model.cache.block_size * model.cache.num_blocks);
    let fits = |max: &usize| !params.fit_context || encoded.tokens.len().saturating_add(*max) <= room;
    let max_tokens = params.max_tokens.filter(fits);
    check_length(&encoded.tokens, max_tokens, room)?;
    let mut request = params.request(encoded.tokens.clone(), &model.tokenizer)?;
    request.max_tokens = max_tokens;
    request.grammar = grammar;
    // Marks that are control tokens must reach what takes the answer apart by them.
    request.keep_special |= !encoded.marks.is_empty();
    Ok((encoded, request))
}

fn check_length(prompt: &[TokenId], max_tokens: Option<usize>, context: usize) -> Result<(), ApiError> {
    if prompt.is_empty() {
        return Err(ApiError::field("prompt", "the prompt is empty: give at least one token of text"));
    }
    if prompt.len() + max_tokens.unwrap_or(1) > context {
        return Err(ApiError::context_length("prompt", prompt.len(), max_tokens.unwrap_or(0), context));
    }
    Ok(())
}

/// Log-probabilities of prompts in one answer, over all prompts and the choices that repeat them. Each takes some
/// hundred bytes until it is sent.
const MOST_PROMPT_LOGPROBS: usize = 1 << 20;

fn check_prompt_logprobs(tokens: usize, params: &Params) -> Result<(), ApiError> {
    let Some(alternatives) = params.prompt_logprobs else { return Ok(()) };
    let all = tokens.saturating_mul(alternatives as usize + 1).saturating_mul(params.sequences() as usize);
    if all <= MOST_PROMPT_LOGPROBS {
        return Ok(());
    }
    let message = format!(
        "log-probabilities of {tokens} prompt tokens, with {alternatives} alternatives each and for each answer, are \
         {all}, more than the {MOST_PROMPT_LOGPROBS} of one request: ask for fewer alternatives or answers"
    );
    Err(ApiError::field("prompt_logprobs", message))
}

/// The salt of a caller and the one of the request together.
fn salted(caller: Option<[u8; 16]>, request: Option<&str>) -> Option<[u8; 16]> {
    let Some(request) = request else { return caller };
    let digest = Sha256::new().chain_update(caller.unwrap_or_default()).chain_update(request).finalize();
    let mut salt = [0; 16];
    salt.copy_from_slice(&digest[..16]);
    Some(salt)
}

impl From<SubmitError> for ApiError {
    fn from(error: SubmitError) -> Self {
        let soon = Duration::from_secs(5);
        match error {
            SubmitError::Busy { retry_after, .. } => {
                let message = "too many requests wait already; try again later";
                Self::unavailable(message, retry_after).code("queue_full")
            }
            SubmitError::Loading => Self::loading(),
            SubmitError::Stopping => Self::shutting_down(),
            SubmitError::Dead(why) => {
                tracing::error!(%why, "a request came to an engine that has failed");
                Self::unavailable("the engine has failed; whoever runs the server must restart it", soon)
                    .code("engine_failed")
            }
            SubmitError::Request(error) => error.into(),
            other => Self::internal(other),
        }
    }
}

/// A constraint that is not understood is refused, as an answer without it would look like one with it.
fn refusal(error: GrammarError, spec: &Spec) -> ApiError {
    if !error.is_request_fault() {
        return ApiError::internal(error);
    }
    let param = match spec {
        Spec::Tools(_) => "tools",
        Spec::After { then, .. } if matches!(**then, Spec::Tools(_)) => "tools",
        _ => "response_format",
    };
    ApiError::field(param, error.to_string()).code("invalid_grammar")
}

impl ApiError {
    /// The field that holds a prompt has another name where it is a conversation.
    fn of_prompt(self, prompt: &Prompt) -> Self {
        match prompt {
            Prompt::Chat(_) if self.param.as_deref() == Some("prompt") => self.at("messages"),
            _ => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn salts_differ_by_caller_and_by_request() {
        let (a, b) = (Some([1; 16]), Some([2; 16]));
        assert_eq!(salted(a, None), a);
        assert_eq!(salted(None, None), None);
        let all = [salted(a, Some("x")), salted(b, Some("x")), salted(a, Some("y")), salted(None, Some("x"))];
        for (i, salt) in all.iter().enumerate() {
            assert!(salt.is_some() && all[..i].iter().all(|other| other != salt));
        }
    }

    #[test]
    fn log_probabilities_of_a_prompt_are_limited_over_all_answers() {
        let check = |tokens, alternatives, n| {
            check_prompt_logprobs(tokens, &Params { prompt_logprobs: alternatives, n, ..Params::default() })
        };
        assert!(check(100_000, None, 128).is_ok() && check(100_000, Some(1), 1).is_ok());
        for refused in [check(100_000, Some(20), 1), check(100_000, Some(0), 128), check(usize::MAX, Some(20), 128)] {
            assert_eq!(refused.expect_err("too many").param.as_deref(), Some("prompt_logprobs"));
        }
    }

    #[test]
    fn a_prompt_that_is_too_long_is_told_with_both_numbers() {
        assert!(check_length(&[0; 10], Some(6), 16).is_ok());
        let error = check_length(&[0; 10], Some(7), 16).expect_err("too long");
        assert_eq!(error.code, Some("context_length_exceeded"));
        assert!(error.message.contains("17") && error.message.contains("16"), "{}", error.message);
        assert!(check_length(&[], None, 16).is_err());
        assert!(check_length(&[0; 16], None, 16).is_err());
    }
}
