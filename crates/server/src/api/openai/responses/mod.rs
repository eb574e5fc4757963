//! `/v1/responses`.

mod input;
mod output;
mod request;
mod store;
mod stream;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use http::StatusCode;
use rocmforge_chat::Message;
use serde_json::{Value, json};

pub use store::ResponseStore;

use super::common::{new_id, now};
use super::forms;
use crate::api::ask::{Asked, ask};
use crate::app::AppState;
use crate::body::Body;
use crate::error::{ApiError, shown};
use crate::generation::{Chat, Job, Prompt};
use crate::guard::Caller;
use crate::openapi::{self, Operation};
use output::Output;
use request::ResponsesRequest;
use store::{Key, Stored};
use stream::ResponseStream;

/// The routes.
pub fn routes() -> Router<AppState> {
    Router::new()
        .route("/v1/responses", post(create))
        .route("/v1/responses/{id}", get(retrieve).delete(delete))
        .route("/v1/responses/{id}/cancel", post(cancel))
}

/// What the OpenAPI document says of them.
pub fn operations() -> Vec<Operation> {
    vec![
        openapi::post::<ResponsesRequest>("/v1/responses", "Answers an input, and remembers the conversation.")
            .answers("Response", forms::response())
            .answers_as(openapi::EVENTS),
        openapi::get("/v1/responses/{id}", "A response that is remembered.").answers("Response", forms::response()),
        openapi::delete("/v1/responses/{id}", "Forgets a response.").answers("DeletedResponse", forms::deleted()),
        openapi::post_empty("/v1/responses/{id}/cancel", "Stops a response that is made in the background.")
            .answers("Response", forms::response()),
    ]
}

/// Where a response is kept once it is made.
#[derive(Clone)]
struct Keeper {
    store: ResponseStore,
    key: Key,
    /// What was said so far.
    messages: Vec<Message>,
    is_on: bool,
    /// It is kept already, and who asked may have it forgotten.
    is_begun: bool,
}

impl Keeper {
    /// Keeps the response and the conversation with its answer.
    fn keep(&self, output: &Output, body: &Value) {
        if self.is_on {
            let messages = self.messages.iter().cloned().chain(output.message()).collect();
            let stored = Stored { body: body.clone(), messages, cancel: None };
            match self.is_begun {
                true => self.store.replace(self.key.clone(), stored),
                false => self.store.insert(self.key.clone(), stored),
            }
        }
    }
}

async fn create(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Body(request): Body<ResponsesRequest>,
) -> Result<Response, ApiError> {
    let model = state.generator.resolve(request.model.as_deref())?;
    let earlier = match &request.previous {
        Some(id) => state.responses.get(&(caller.client, id.clone())).ok_or_else(|| no_such(id))?.messages,
        None => Vec::new(),
    };
    let messages: Vec<Message> = earlier.into_iter().chain(request.messages.clone()).collect();
    let instructions = request.instructions.as_deref().map(Message::system);
    let prompt: Vec<Message> = instructions.into_iter().chain(messages.iter().cloned()).collect();
    let chat = Chat { messages: prompt, ..request.chat.clone() };
    let mut job = Job::new(Prompt::Chat(Box::new(chat)));
    (job.params, job.structured) = (request.params.clone(), request.structured.clone());
    let cancel = job.cancel.clone();
    let asked = ask(&state, &caller, job).await?;
    let id = new_id("resp").replacen('-', "_", 1);
    let key = (caller.client, id.clone());
    let keeper = Keeper {
        store: state.responses.clone(),
        key: key.clone(),
        messages,
        is_on: request.store,
        is_begun: request.background,
    };
    let output = Output::new(request.head(id, now(), model), request.has_logprobs(), asked.answers().model());
    if request.stream {
        return Ok(crate::stream::respond(asked, ResponseStream::new(output, keeper)));
    }
    if !request.background {
        return Ok(Json(whole(asked, output, &keeper).await?).into_response());
    }
    let body = output.body("in_progress");
    state.responses.insert(key, Stored { body: body.clone(), messages: Vec::new(), cancel: Some(cancel) });
    tokio::spawn(async move {
        // A failure is part of the response that is kept.
        let _ = whole(asked, output, &keeper).await;
    });
    Ok(Json(body).into_response())
}

/// Waits for the whole response, and keeps it.
async fn whole(mut asked: Asked, mut output: Output, keeper: &Keeper) -> Result<Value, ApiError> {
    while let Some(piece) = asked.next().await {
        match piece {
            Ok(piece) => output.piece(piece),
            Err(error) => {
                let body = output.failed(&error);
                keeper.keep(&output, &body);
                return Err(error);
            }
        }
    }
    let body = output.finished(asked.usage());
    keeper.keep(&output, &body);
    Ok(body)
}

async fn retrieve(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let stored = state.responses.get(&(caller.client, id.clone())).ok_or_else(|| no_such(&id))?;
    Ok(Json(stored.body))
}

async fn delete(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let stored = state.responses.remove(&(caller.client, id.clone())).ok_or_else(|| no_such(&id))?;
    if let Some(cancel) = stored.cancel {
        cancel.cancel();
    }
    Ok(Json(json!({"id": id, "object": "response", "deleted": true})))
}

async fn cancel(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let stored = state.responses.get(&(caller.client, id.clone())).ok_or_else(|| no_such(&id))?;
    let Some(cancel) = stored.cancel else {
        return Err(ApiError::invalid("only a response that is still made in the background can be cancelled"));
    };
    cancel.cancel();
    let mut body = stored.body;
    body["status"] = "cancelled".into();
    Ok(Json(body))
}

fn no_such(id: &str) -> ApiError {
    let message = format!("there is no response `{}`; it may have been forgotten", shown(id));
    ApiError::new(StatusCode::NOT_FOUND, message).code("response_not_found")
}
