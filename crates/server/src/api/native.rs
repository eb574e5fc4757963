//! The server's own API, as short as it can be: `/generate`, `/cancel/{id}`, `/status/{id}` and `/models`.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use http::StatusCode;
use rocmforge_sampler::TokenId;
use serde_json::{Value, json};

use super::ask::ask;
use crate::app::AppState;
use crate::body::{Body, Fields, Read};
use crate::error::{ApiError, Family, shown};
use crate::generation::{Finish, Job, MOST_TOKENS, Params, Piece, PieceKind, Prompt, Usage};
use crate::guard::Caller;
use crate::openapi::{self, Operation, form};
use crate::stream::{Encoder, Frames, Wire, respond};

/// The routes of this API.
pub fn routes() -> Router<AppState> {
    Router::new()
        .route("/generate", post(generate))
        .route("/generate/stream", post(generate_stream))
        .route("/inference/v1/generate", post(generate_tokens))
        .route("/cancel/{id}", post(cancel))
        .route("/status/{id}", get(status))
        .route("/models", get(models))
}

/// What the OpenAPI document says of them.
pub fn operations() -> Vec<Operation> {
    vec![
        openapi::post::<GenerateRequest>("/generate", "Continues a text.")
            .answers("Generated", generated())
            .answers_as(openapi::EVENTS),
        openapi::post::<GenerateRequest>("/generate/stream", "Continues a text, as events.")
            .answers_as(openapi::EVENTS),
        openapi::post::<TokensRequest>("/inference/v1/generate", "Continues tokens.")
            .answers("Generated", generated())
            .answers_as(openapi::EVENTS),
        openapi::post_empty("/cancel/{id}", "Stops a request by the name in its `x-request-id`.").answers(
            "Cancelled",
            form::object([("request_id", form::text()), ("cancelled", form::flag()), ("status", form::text())]),
        ),
        openapi::get("/status/{id}", "Where a request is in its life.").answers(
            "Progress",
            form::object([("request_id", form::text()), ("status", form::text()), ("finished", form::flag())]),
        ),
        openapi::get("/models", "The model, with its sizes.")
            .answers("OwnModels", form::object([("models", form::list(form::map()))])),
    ]
}

/// A whole answer, for the OpenAPI document.
fn generated() -> Value {
    let counts = ["prompt_tokens", "cached_tokens", "completion_tokens"];
    form::object([
        ("request_id", form::text()),
        ("text", form::text()),
        ("tokens", form::list(form::count())),
        ("finished", form::flag()),
        ("finish_reason", form::word(&["stop", "length", "tool_calls", "cancelled"])),
        ("usage", form::object(counts.map(|name| (name, form::count())))),
    ])
}

/// A text to continue.
#[derive(Debug)]
struct GenerateRequest {
    prompt: String,
    params: Params,
    stream: bool,
}

/// Tokens of an answer where a request names no limit.
const USUAL_TOKENS: usize = 128;
/// How freely tokens are chosen where a request does not say.
const USUAL_TOP_K: u32 = 50;
const USUAL_TOP_P: f32 = 0.9;

impl Read for GenerateRequest {
    const NAME: &'static str = "GenerateRequest";

    fn read(fields: &mut Fields) -> Result<Self, ApiError> {
        let prompt = fields.text("prompt", "The text that is continued.")?;
        let prompt = fields.require("prompt", prompt)?;
        let max_tokens =
            fields.integer("max_tokens", 1..=MOST_TOKENS, "Most tokens of the answer; 128 if not told.")?;
        let top_k =
            fields.integer("top_k", -1..=i64::from(u32::MAX), "Keep the k likeliest tokens; 50 if not told.")?;
        let top_p = fields.number("top_p", "Keep the likeliest tokens up to this share; 0.9 if not told.")?;
        let stream = fields.flag("stream", "Whether the answer comes as events.")?.unwrap_or(false);
        let mut params = Params::read(fields)?;
        params.max_tokens = Some(max_tokens.unwrap_or(USUAL_TOKENS));
        params.sampling.top_k = top_k.map_or(USUAL_TOP_K, |k| u32::try_from(k).unwrap_or(0));
        params.sampling.top_p = top_p.unwrap_or(USUAL_TOP_P);
        Ok(Self { prompt, params, stream })
    }
}

async fn generate(
    state: State<AppState>,
    caller: Extension<Caller>,
    Body(GenerateRequest { prompt, params, stream }): Body<GenerateRequest>,
) -> Result<Response, ApiError> {
    run(&state, &caller, Prompt::text(prompt), params, stream).await
}

async fn generate_stream(
    state: State<AppState>,
    caller: Extension<Caller>,
    Body(GenerateRequest { prompt, params, .. }): Body<GenerateRequest>,
) -> Result<Response, ApiError> {
    run(&state, &caller, Prompt::text(prompt), params, true).await
}

async fn run(
    state: &AppState,
    caller: &Caller,
    prompt: Prompt,
    params: Params,
    stream: bool,
) -> Result<Response, ApiError> {
    let asked = ask(state, caller, Job { params, ..Job::new(prompt) }).await?;
    let request_id = caller.request_id.to_string();
    if stream {
        return Ok(respond(asked, EventWriter { request_id, finish: Finish::Stop }));
    }
    let collected = asked.collect().await?;
    let answer = collected.answers.into_iter().next().ok_or_else(|| ApiError::internal("a job without an answer"))?;
    let tokens: Vec<TokenId> = answer.tokens.iter().map(|token| token.token).collect();
    Ok(Json(json!({
        "request_id": request_id,
        "text": answer.text,
        "tokens": tokens,
        "finished": true,
        "finish_reason": finish_name(answer.finish),
        "usage": usage_of(&collected.usage),
    }))
    .into_response())
}

fn finish_name(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "stop",
        Finish::Length => "length",
        Finish::ToolCalls => "tool_calls",
        Finish::Cancelled => "cancelled",
    }
}

fn usage_of(usage: &Usage) -> Value {
    json!({
        "prompt_tokens": usage.prompt_tokens,
        "cached_tokens": usage.cached_tokens,
        "completion_tokens": usage.completion_tokens,
    })
}

/// Writes an answer as events: the text and tokens that came, and at last why it ended.
struct EventWriter {
    request_id: String,
    finish: Finish,
}

impl Encoder for EventWriter {
    const WIRE: Wire = Wire::Events;

    fn open(&mut self, _: &mut Frames) {}

    fn piece(&mut self, piece: Piece, _: &Usage, out: &mut Frames) {
        let tokens: Vec<TokenId> = piece.tokens.iter().map(|token| token.token).collect();
        let text = match piece.kind {
            PieceKind::Text(text) => text,
            PieceKind::Finished { reason, .. } => {
                self.finish = reason;
                String::new()
            }
            PieceKind::Prompt(_) | PieceKind::Reasoning(_) | PieceKind::ToolCall { .. } => return,
        };
        if !text.is_empty() || !tokens.is_empty() {
            out.data(&json!({"request_id": self.request_id, "text": text, "tokens": tokens, "finished": false}));
        }
    }

    fn close(&mut self, usage: &Usage, out: &mut Frames) {
        out.data(&json!({
            "request_id": self.request_id,
            "text": "",
            "tokens": [],
            "finished": true,
            "finish_reason": finish_name(self.finish),
            "usage": usage_of(usage),
        }));
    }

    fn fail(&mut self, error: &ApiError, out: &mut Frames) {
        out.event("error", &error.body(Family::OpenAi));
    }
}

/// Tokens to continue, as routers that tokenize themselves send them.
#[derive(Debug)]
struct TokensRequest {
    model: Option<String>,
    tokens: Vec<TokenId>,
    params: Params,
    stream: bool,
}

impl Read for TokensRequest {
    const NAME: &'static str = "TokensRequest";

    fn read(fields: &mut Fields) -> Result<Self, ApiError> {
        let model = fields.text("model", "The model that is asked.")?;
        let tokens = fields.tokens("token_ids", 1..=MOST_TOKENS, "The prompt.")?;
        let tokens = fields.require("token_ids", tokens)?;
        let params = fields.object("sampling_params", "How to generate.", |fields| {
            let max_tokens = fields.integer("max_tokens", 1..=MOST_TOKENS, "Most tokens of the answer.")?;
            Ok(Params { max_tokens, ..Params::read(fields)? })
        })?;
        let stream = fields.flag("stream", "Whether the answer comes as events.")?.unwrap_or(false);
        fields.without_effect(&["request_id"]);
        Ok(Self { model, tokens, params: params.unwrap_or_default(), stream })
    }
}

async fn generate_tokens(
    state: State<AppState>,
    caller: Extension<Caller>,
    Body(TokensRequest { model, tokens, params, stream }): Body<TokensRequest>,
) -> Result<Response, ApiError> {
    state.generator.resolve(model.as_deref())?;
    run(&state, &caller, Prompt::Tokens(tokens), params, stream).await
}

async fn cancel(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let before = state.requests.cancel(&caller, &id).ok_or_else(|| no_such_request(&id))?;
    Ok(Json(json!({"request_id": id, "cancelled": !before.is_over(), "status": before.name()})))
}

async fn status(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let progress = state.requests.progress(&caller, &id).ok_or_else(|| no_such_request(&id))?;
    Ok(Json(json!({"request_id": id, "status": progress.name(), "finished": progress.is_over()})))
}

fn no_such_request(id: &str) -> ApiError {
    let message = format!("no request of yours has the name `{}`", shown(id));
    ApiError::new(StatusCode::NOT_FOUND, message).code("request_not_found")
}

async fn models(State(state): State<AppState>) -> Result<Json<Value>, ApiError> {
    let model = state.generator.model()?;
    let entry = |name: &String| {
        json!({
            "name": name,
            "architecture": model.architecture,
            "parameters": model.parameters,
            "quantization": model.quantization,
            "file_bytes": model.file_bytes,
            "context_length": model.context_length,
            "vocab_size": model.vocab_size,
            "device": model.device.name,
        })
    };
    let entries: Vec<Value> = state.generator.names()?.iter().map(entry).collect();
    Ok(Json(json!({"models": entries})))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::read;

    #[test]
    fn what_is_not_told_has_its_usual_value() {
        let request = |body: Value| read::<GenerateRequest>(body.to_string().as_bytes()).map(|(request, _)| request);
        let usual = request(json!({"prompt": "x"})).expect("taken").params;
        assert_eq!((usual.max_tokens, usual.sampling.top_k, usual.sampling.top_p), (Some(128), 50, 0.9));
        let told = request(json!({"prompt": "x", "top_k": -1, "top_p": 1, "max_tokens": 5})).expect("taken").params;
        assert_eq!((told.max_tokens, told.sampling.top_k, told.sampling.top_p), (Some(5), 0, 1.0));
        assert_eq!(request(json!({})).expect_err("refused").param.as_deref(), Some("prompt"));
        assert_eq!(
            request(json!({"prompt": "x", "max_tokens": 0})).expect_err("refused").param.as_deref(),
            Some("max_tokens")
        );
    }
}
