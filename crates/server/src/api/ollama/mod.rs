//! Ollama's API under `/api/`.

mod answer;
mod embed;
mod forms;
mod messages;
mod models;
mod request;
mod time;

use axum::extract::State;
use axum::response::Response;
use axum::routing::{any, get, post};
use axum::{Extension, Json, Router};
use http::StatusCode;
use rocmforge_chat::Message;
use serde_json::{Value, json};

use super::ask::ask;
use crate::app::AppState;
use crate::body::Body;
use crate::error::ApiError;
use crate::generation::{Chat, Job, Prompt};
use crate::guard::Caller;
use crate::openapi::{self, Operation};
use crate::stream::respond;
use answer::{LineWriter, Shape};
use embed::{EmbedRequest, EmbeddingsRequest};
use models::ShowRequest;
use request::{ChatRequest, Common, GenerateRequest};

/// The version of Ollama whose API this is; clients refuse older ones.
const VERSION: &str = "0.12.0";

/// The routes of this API.
pub fn routes() -> Router<AppState> {
    let routes = Router::new()
        .route("/api/chat", post(chat))
        .route("/api/generate", post(generate))
        .route("/api/embed", post(embed::embed))
        .route("/api/embeddings", post(embed::embeddings))
        .route("/api/tags", get(models::tags))
        .route("/api/show", post(models::show))
        .route("/api/ps", get(models::ps))
        .route("/api/version", get(version));
    let refused = ["/api/pull", "/api/push", "/api/create", "/api/copy", "/api/delete", "/api/blobs/{digest}"];
    refused.into_iter().fold(routes, |routes, path| routes.route(path, any(not_here)))
}

/// What the OpenAPI document says of them.
pub fn operations() -> Vec<Operation> {
    vec![
        openapi::post::<ChatRequest>("/api/chat", "Answers a conversation, in Ollama's form.")
            .answers("OllamaChat", forms::chat())
            .answers_as(openapi::LINES),
        openapi::post::<GenerateRequest>("/api/generate", "Answers or continues a prompt, in Ollama's form.")
            .answers("OllamaGenerated", forms::generated())
            .answers_as(openapi::LINES),
        openapi::post::<EmbedRequest>("/api/embed", "Texts as vectors, in Ollama's form.")
            .answers("OllamaVectors", forms::vectors()),
        openapi::post::<EmbeddingsRequest>("/api/embeddings", "One text as a vector, as Ollama had it earlier.")
            .answers("OllamaVector", forms::vector()),
        openapi::get("/api/tags", "The models that there are.").answers("OllamaModels", forms::models()),
        openapi::post::<ShowRequest>("/api/show", "What a model is and can do.").answers("OllamaModel", forms::shown()),
        openapi::get("/api/ps", "The models that are loaded.").answers("OllamaModels", forms::models()),
        openapi::get("/api/version", "The version of Ollama whose API this is.")
            .answers("OllamaVersion", forms::version()),
    ]
}

async fn version() -> Json<Value> {
    Json(json!({"version": VERSION}))
}

async fn not_here() -> ApiError {
    let message = "this server serves the model that it was started with: its models are files of its machine";
    ApiError::new(StatusCode::NOT_IMPLEMENTED, message)
}

async fn chat(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Body(ChatRequest { chat, common }): Body<ChatRequest>,
) -> Result<Response, ApiError> {
    let prompt = if chat.messages.is_empty() { None } else { Some(Prompt::Chat(Box::new(chat))) };
    answer(&state, &caller, Shape::Chat, prompt, common).await
}

async fn generate(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Body(request): Body<GenerateRequest>,
) -> Result<Response, ApiError> {
    let GenerateRequest { prompt, system, raw, variables, common } = request;
    let has_template = state.generator.model()?.chat.usable_template().is_ok();
    let prompt = match prompt {
        empty if empty.is_empty() => None,
        prompt if raw || !has_template => Some(Prompt::text(prompt)),
        prompt => {
            let system = system.into_iter().map(Message::system);
            let messages = system.chain([Message::user(prompt)]).collect();
            Some(Prompt::Chat(Box::new(Chat { variables, ..Chat::new(messages) })))
        }
    };
    answer(&state, &caller, Shape::Generate, prompt, common).await
}

/// Without a prompt the client only wants the model loaded, which it is, or unloaded, which it is not.
async fn answer(
    state: &AppState,
    caller: &Caller,
    shape: Shape,
    prompt: Option<Prompt>,
    common: Common,
) -> Result<Response, ApiError> {
    let writer = LineWriter::new(shape, resolve(state, &common.model)?);
    check_context(state, common.num_ctx)?;
    let Some(prompt) = prompt else {
        return Ok(writer.nothing(if common.unload { "unload" } else { "load" }));
    };
    let job = Job { params: common.params, structured: common.structured, ..Job::new(prompt) };
    let asked = ask(state, caller, job).await?;
    if common.stream { Ok(respond(asked, writer)) } else { writer.whole(asked).await }
}

/// The model of this name. Ollama's names have a tag, which is `latest` where none is given.
fn resolve(state: &AppState, asked: &str) -> Result<String, ApiError> {
    let plain = asked.strip_suffix(":latest").filter(|_| state.generator.resolve(Some(asked)).is_err());
    state.generator.resolve(Some(plain.unwrap_or(asked)))
}

/// A client that counts on a longer context must hear that it is not there, or its prompts
/// would be too long later.
fn check_context(state: &AppState, asked: Option<usize>) -> Result<(), ApiError> {
    let context = state.generator.model()?.context_length;
    match asked.filter(|asked| *asked > context) {
        None => Ok(()),
        Some(asked) => {
            let message =
                format!("`options.num_ctx` is {asked}, but the context of this server holds {context} tokens");
            Err(ApiError::field("options.num_ctx", message).code("context_length_exceeded"))
        }
    }
}
