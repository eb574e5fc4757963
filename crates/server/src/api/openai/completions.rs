//! `/v1/completions`.

use axum::response::{IntoResponse, Response};
use axum::{Extension, Json, extract::State};
use rocmforge_engine::EndTokens;
use rocmforge_tokenizer::Tokenizer;
use serde_json::{Value, json};

use super::common::{self, Common, Head, Report, new_id, now};
use super::completions_stream::CompletionStream;
use super::logprobs::{TextLogprobs, Writer};
use super::prompts;
use crate::api::ask::ask;
use crate::app::AppState;
use crate::body::{Body, Fields, Read};
use crate::error::ApiError;
use crate::generation::{Answer, Collected, Encoded, Job, Prompt};
use crate::guard::Caller;
use crate::stream;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct CompletionRequest {
    common: Common,
    prompts: Vec<Prompt>,
    echo: bool,
    /// Whether they were asked for as such; an echo needs them too.
    has_prompt_logprobs: bool,
}

/// Prompts of one request; each is a request to the engine.
const MOST_PROMPTS: usize = 128;
/// Answers have this many tokens where nothing is said, as OpenAI's have.
const DEFAULT_TOKENS: usize = 16;

impl Read for CompletionRequest {
    const NAME: &'static str = "CompletionRequest";

    fn read(fields: &mut Fields) -> Result<Self, ApiError> {
        let add_special =
            fields.flag("add_special_tokens", "Whether the prompt gets the model's usual first token.")?;
        let prompts = prompts::read(fields, "prompt", MOST_PROMPTS, add_special.unwrap_or(true))?;
        let mut common = Common::read(fields)?;
        let params = &mut common.params;
        let max = fields.integer("max_tokens", 1..=i32::MAX as usize, "Most tokens of the answer; 16 if absent.")?;
        params.max_tokens = Some(max.unwrap_or(DEFAULT_TOKENS.max(params.min_tokens)));
        params.best_of = fields.integer("best_of", 1..=u32::from(u16::MAX), "The best `n` of so many answers.")?;
        params.sampling.logprobs = fields.integer("logprobs", 0..=20_u32, "Alternatives to report for each token.")?;
        if params.end_tokens == EndTokens::Known {
            params.end_tokens = EndTokens::Named;
        }
        let echo = fields.flag("echo", "Whether the prompt comes before the answer.")?.unwrap_or(false);
        fields.unsupported("suffix", Value::from(""))?;
        fields.unsupported("prompt_embeds", Value::Null)?;
        let has_prompt_logprobs = params.prompt_logprobs.is_some();
        if echo && params.sampling.logprobs.is_some() {
            params.prompt_logprobs = params.prompt_logprobs.max(params.sampling.logprobs);
        }
        if common.stream.is_on && params.best_of.is_some_and(|best_of| best_of > params.n) {
            return Err(ApiError::field("best_of", "the best answers are known at the end only: leave `stream` out"));
        }
        if common.stream.is_on && params.prompt_logprobs.is_some() {
            let message = "log-probabilities of the prompt cannot be streamed: leave `stream` or `echo` out";
            return Err(ApiError::unsupported("echo", message));
        }
        Ok(Self { common, prompts, echo, has_prompt_logprobs })
    }
}

/// Handles `POST /v1/completions`.
///
/// # Errors
/// 400 for a request that cannot be fulfilled, 503 where it cannot be now.
pub async fn complete(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Body(request): Body<CompletionRequest>,
) -> Result<Response, ApiError> {
    let CompletionRequest { common, prompts, echo, has_prompt_logprobs } = request;
    let model = state.generator.model()?;
    let head = Head { id: new_id("cmpl"), created: now(), model: state.generator.resolve(common.model.as_deref())? };
    let has_logprobs = common.params.sampling.logprobs.is_some();
    let shape = Shape { head, echo, has_logprobs, has_prompt_logprobs, report: common.report };
    let mut job = Job::new(Prompt::text(""));
    (job.prompts, job.params, job.structured) = (prompts, common.params, common.structured);
    let answers = ask(&state, &caller, job).await?;
    if common.stream.is_on {
        let encoder = CompletionStream::new(shape, answers.answers(), common.stream);
        return Ok(stream::respond(answers, encoder));
    }
    let collected = answers.collect().await?;
    Ok(Json(shape.body(&model.tokenizer, &collected)).into_response())
}

/// What of the request its answer's form depends on.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    pub head: Head,
    pub echo: bool,
    pub has_logprobs: bool,
    has_prompt_logprobs: bool,
    pub report: Report,
}

impl Shape {
    fn body(&self, tokenizer: &Tokenizer, collected: &Collected) -> Value {
        let choices: Vec<Value> = collected
            .answers
            .iter()
            .map(|answer| self.choice(tokenizer, answer, &collected.prompts[answer.prompt]))
            .collect();
        self.head.body("text_completion", choices.into(), common::usage(&collected.usage))
    }

    fn choice(&self, tokenizer: &Tokenizer, answer: &Answer, prompt: &Encoded) -> Value {
        let writer = Writer { tokenizer, as_ids: self.report.tokens_as_ids };
        let mut logprobs = TextLogprobs::default();
        let mut at = 0;
        let mut text = String::new();
        if self.echo {
            text = prompt.shown(tokenizer);
            logprobs.add_prompt(writer, &prompt.tokens, &answer.prompt_logprobs, &mut at);
        }
        text += &answer.text;
        logprobs.add(writer, &answer.tokens, &mut at);
        let mut choice = json!({
            "index": answer.choice,
            "text": text,
            "logprobs": if self.has_logprobs { logprobs.take() } else { Value::Null },
            "finish_reason": common::finish_reason(answer.finish),
            "stop_reason": common::stop_reason(answer.stop.as_ref()),
        });
        if self.has_prompt_logprobs && !answer.prompt_logprobs.is_empty() {
            choice["prompt_logprobs"] = writer.prompt(&answer.prompt_logprobs);
        }
        if self.report.token_ids {
            choice["prompt_token_ids"] = prompt.tokens.clone().into();
            choice["token_ids"] = answer.tokens.iter().map(|info| info.token).collect();
        }
        choice
    }
}

/// Handles `POST /v1/completions/render`.
///
/// # Errors
/// As [`complete`].
pub async fn render(
    State(state): State<AppState>,
    Body(request): Body<CompletionRequest>,
) -> Result<Json<Value>, ApiError> {
    let model = state.generator.resolve(request.common.model.as_deref())?;
    let mut out = Vec::new();
    for prompt in request.prompts {
        let encoded = state.generator.encode(prompt).await?;
        out.push(common::rendered(&model, &encoded, &request.common.params));
    }
    Ok(Json(out.into()))
}
