//! Anthropic's API: `/v1/messages` and `/v1/messages/count_tokens`.

mod answer;
mod events;
mod messages;
mod request;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Extension, Json, Router};
use serde_json::{Value, json};

use super::ask::ask;
use crate::app::AppState;
use crate::body::Body;
use crate::error::ApiError;
use crate::generation::{Job, Prompt};
use crate::guard::Caller;
use crate::openapi::{self, Operation, form};
use crate::stream::respond;

use events::EventWriter;
use request::{MessagesRequest, Question};

/// The routes of this API.
pub fn routes() -> Router<AppState> {
    Router::new().route("/v1/messages", post(messages)).route("/v1/messages/count_tokens", post(count_tokens))
}

/// What the OpenAPI document says of them.
pub fn operations() -> Vec<Operation> {
    vec![
        openapi::post::<MessagesRequest>("/v1/messages", "Answers a conversation, in Anthropic's form.")
            .answers("AnthropicMessage", answer::form())
            .answers_as(openapi::EVENTS),
        openapi::post::<Question>("/v1/messages/count_tokens", "Tokens of a conversation.")
            .answers("AnthropicCount", form::object([("input_tokens", form::count())])),
    ]
}

async fn messages(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Body(request): Body<MessagesRequest>,
) -> Result<Response, ApiError> {
    let MessagesRequest { question, params, max_tokens, stream } = request;
    let model = state.generator.resolve(Some(&question.model))?;
    let job = Job { params, structured: question.structured, ..Job::new(Prompt::Chat(Box::new(question.chat))) };
    let asked = ask(&state, &caller, job).await?;
    if stream {
        let message = answer::empty_message(&answer::id("msg"), &model, asked.usage());
        return Ok(respond(asked, EventWriter::new(message, max_tokens)));
    }
    let collected = asked.collect().await?;
    let answer = collected.answers.first().ok_or_else(|| ApiError::internal("a job without an answer"))?;
    Ok(Json(answer::message(&model, answer, &collected.usage, max_tokens)).into_response())
}

async fn count_tokens(State(state): State<AppState>, Body(question): Body<Question>) -> Result<Json<Value>, ApiError> {
    state.generator.resolve(Some(&question.model))?;
    let encoded = state.generator.encode(Prompt::Chat(Box::new(question.chat))).await?;
    Ok(Json(json!({"input_tokens": encoded.tokens.len()})))
}
