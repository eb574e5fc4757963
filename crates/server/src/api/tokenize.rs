//! `/tokenize`, `/detokenize` and `/tokenizer_info`.

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use rocmforge_sampler::TokenId;
use serde_json::{Value, json};

use super::openai::Conversation;
use crate::app::AppState;
use crate::body::{Body, Fields, Read};
use crate::error::ApiError;
use crate::generation::{Encoded, Prompt};
use crate::openapi::{self, Operation, form};

/// The routes.
pub fn routes() -> Router<AppState> {
    Router::new()
        .route("/tokenize", post(tokenize))
        .route("/detokenize", post(detokenize))
        .route("/tokenizer_info", get(info))
}

/// What the OpenAPI document says of them.
pub fn operations() -> Vec<Operation> {
    vec![
        openapi::post::<TokenizeRequest>("/tokenize", "The tokens of a text or of a conversation.").answers(
            "Tokenized",
            form::object([
                ("count", form::count()),
                ("max_model_len", form::count()),
                ("tokens", form::list(form::count())),
            ]),
        ),
        openapi::post::<DetokenizeRequest>("/detokenize", "The text of tokens.")
            .answers("Detokenized", form::object([("prompt", form::text()), ("content", form::text())])),
        openapi::get("/tokenizer_info", "What the tokenizer is.").answers(
            "TokenizerInfo",
            form::object([
                ("tokenizer_class", form::text()),
                ("vocab_size", form::count()),
                ("model_max_length", form::count()),
            ]),
        ),
    ]
}

/// A text or a conversation.
#[derive(Debug)]
struct TokenizeRequest {
    model: Option<String>,
    prompt: Prompt,
    with_pieces: bool,
}

impl Read for TokenizeRequest {
    const NAME: &'static str = "TokenizeRequest";

    fn read(fields: &mut Fields) -> Result<Self, ApiError> {
        let model = fields.text("model", "Name of the model.")?;
        let prompt = fields.text("prompt", "The text.")?;
        let content = fields.text("content", "Another name of `prompt`.")?;
        let add_special = fields.flag("add_special_tokens", "Whether the model's usual first token is added.")?;
        let add_short = fields.flag("add_special", "Another name of `add_special_tokens`.")?;
        let with_pieces = fields.flag("return_token_strs", "Whether the text of each token is told.")?;
        let conversation = Conversation::read(fields)?;
        let prompt = match (prompt.or(content), conversation) {
            (Some(_), Some(_)) => {
                return Err(ApiError::field("prompt", "`prompt` and `messages` cannot both be given"));
            }
            (Some(text), None) => {
                let add_special = add_special.or(add_short).unwrap_or(true);
                Prompt::Text { text, add_special }
            }
            (None, Some(chat)) => Prompt::Chat(Box::new(chat.0)),
            (None, None) => Prompt::text(fields.require("prompt", None::<String>)?),
        };
        Ok(Self { model, prompt, with_pieces: with_pieces.unwrap_or(false) })
    }
}

async fn tokenize(
    State(state): State<AppState>,
    Body(request): Body<TokenizeRequest>,
) -> Result<Json<Value>, ApiError> {
    state.generator.resolve(request.model.as_deref())?;
    let model = state.generator.model()?;
    let Encoded { tokens, .. } = state.generator.encode(request.prompt).await?;
    let mut body = json!({"count": tokens.len(), "max_model_len": model.context_length, "tokens": tokens});
    if request.with_pieces {
        let text = |id: &TokenId| String::from_utf8_lossy(model.tokenizer.token_bytes(*id)).into_owned();
        body["token_strs"] = tokens.iter().map(text).collect();
    }
    Ok(Json(body))
}

/// Tokens.
#[derive(Debug)]
struct DetokenizeRequest {
    model: Option<String>,
    tokens: Vec<TokenId>,
}

/// Tokens of one request.
const MOST_TOKENS: usize = 1 << 20;

impl Read for DetokenizeRequest {
    const NAME: &'static str = "DetokenizeRequest";

    fn read(fields: &mut Fields) -> Result<Self, ApiError> {
        let model = fields.text("model", "Name of the model.")?;
        let tokens = fields.tokens("tokens", 0..=MOST_TOKENS, "The tokens.")?;
        let tokens = fields.require("tokens", tokens)?;
        Ok(Self { model, tokens })
    }
}

async fn detokenize(
    State(state): State<AppState>,
    Body(request): Body<DetokenizeRequest>,
) -> Result<Json<Value>, ApiError> {
    state.generator.resolve(request.model.as_deref())?;
    let tokenizer = state.generator.model()?.tokenizer.clone();
    let vocab_size = tokenizer.vocab_size();
    if let Some(token) = request.tokens.iter().find(|token| **token as usize >= vocab_size) {
        let message = format!("`tokens` has token {token}, but the vocabulary has {vocab_size}");
        return Err(ApiError::field("tokens", message));
    }
    let text = tokenizer.decode(&request.tokens, false);
    Ok(Json(json!({"prompt": text, "content": text})))
}

async fn info(State(state): State<AppState>) -> Result<Json<Value>, ApiError> {
    let model = state.generator.model()?;
    let tokenizer = &model.tokenizer;
    let special: serde_json::Map<String, Value> =
        model.chat.special_tokens().iter().map(|(name, text)| (name.to_owned(), text.into())).collect();
    Ok(Json(json!({
        "tokenizer_class": format!("{:?}", tokenizer.kind()),
        "vocab_size": tokenizer.vocab_size(),
        "model_max_length": model.context_length,
        "add_bos_token": tokenizer.add_bos(),
        "add_eos_token": tokenizer.add_eos(),
        "bos_token_id": tokenizer.bos(),
        "eos_token_id": tokenizer.eos(),
        "stop_token_ids": tokenizer.stop_tokens(),
        "special_tokens": special,
        "chat_template": model.chat.usable_template().ok().map(|template| template.source()),
    })))
}
