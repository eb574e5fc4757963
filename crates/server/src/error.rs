//! The one error of all APIs, and its wire forms.

use std::time::Duration;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use rocmforge_chat::ChatError;
use rocmforge_engine::EngineError;
use rocmforge_sampler::SamplerError;
use rocmforge_scheduler::Refused;
use serde_json::{Value, json};

/// A refusal or a failure, as a client sees it: no paths, no addresses, no names of our types.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    /// The HTTP status.
    pub status: StatusCode,
    /// What happened and what to do, in one line.
    pub message: String,
    /// The class of the error.
    pub kind: ErrorKind,
    /// The field of the request that is at fault.
    pub param: Option<String>,
    /// A word that programs can compare.
    pub code: Option<&'static str>,
    /// When to try again.
    pub retry_after: Option<Duration>,
}

/// The class of an error; each API family has its own word for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The request is wrong.
    InvalidRequest,
    /// No key, or a wrong one.
    Authentication,
    /// The caller may not do this.
    Permission,
    /// There is no such route, model or response.
    NotFound,
    /// The body is larger than allowed.
    TooLarge,
    /// This caller has too much under way.
    RateLimit,
    /// The server has too much under way, or is not ready.
    Overloaded,
    /// Our failure.
    Server,
}

/// The APIs that differ in how they write an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// `{"error": {"message", "type", "param", "code"}}`.
    OpenAi,
    /// `{"type": "error", "error": {"type", "message"}}`.
    Anthropic,
    /// `{"error": "message"}`.
    Ollama,
}

impl Family {
    /// The family that a path belongs to.
    pub fn of(path: &str) -> Self {
        match path {
            _ if path.starts_with("/v1/messages") => Self::Anthropic,
            _ if path.starts_with("/api/") => Self::Ollama,
            _ => Self::OpenAi,
        }
    }
}

impl ErrorKind {
    fn openai(self) -> &'static str {
        match self {
            Self::InvalidRequest | Self::TooLarge => "invalid_request_error",
            Self::Authentication => "authentication_error",
            Self::Permission => "permission_error",
            Self::NotFound => "not_found_error",
            Self::RateLimit => "rate_limit_error",
            Self::Overloaded => "overloaded_error",
            Self::Server => "server_error",
        }
    }

    fn anthropic(self) -> &'static str {
        match self {
            Self::TooLarge => "request_too_large",
            Self::Server => "api_error",
            other => other.openai(),
        }
    }

    /// The class that a bare status belongs to.
    fn of(status: StatusCode) -> Self {
        match status {
            StatusCode::UNAUTHORIZED => Self::Authentication,
            StatusCode::FORBIDDEN => Self::Permission,
            StatusCode::NOT_FOUND => Self::NotFound,
            StatusCode::PAYLOAD_TOO_LARGE => Self::TooLarge,
            StatusCode::TOO_MANY_REQUESTS => Self::RateLimit,
            StatusCode::SERVICE_UNAVAILABLE => Self::Overloaded,
            status if status.is_server_error() => Self::Server,
            _ => Self::InvalidRequest,
        }
    }
}

impl ApiError {
    /// An error of this status, whose class follows from it.
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        let kind = ErrorKind::of(status);
        Self { status, message: message.into(), kind, param: None, code: None, retry_after: None }
    }

    /// 400: the request is wrong as a whole.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// 400: one field of the request is wrong.
    pub fn field(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self::invalid(message).at(param)
    }

    /// 400: the field is known, but what it asks for does not exist here.
    pub fn unsupported(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self::field(param, message).code("unsupported_parameter")
    }

    /// 400: more tokens than the context holds.
    pub fn context_length(param: &str, prompt: usize, answer: usize, context: usize) -> Self {
        let asked = match answer {
            0 => format!("the prompt has {prompt}; shorten it"),
            _ => format!(
                "you asked for {} ({prompt} of the prompt and {answer} of the answer); ask for fewer",
                prompt.saturating_add(answer)
            ),
        };
        let message = format!("the context of this model holds {context} tokens, and {asked}");
        Self::field(param, message).code("context_length_exceeded")
    }

    /// 404: a model that is not served.
    pub fn no_such_model(name: &str) -> Self {
        let message = format!("the model `{}` does not exist here; /v1/models lists those that do", shown(name));
        Self::new(StatusCode::NOT_FOUND, message).at("model").code("model_not_found")
    }

    /// 503: the model is still being loaded.
    pub fn loading() -> Self {
        let message = "the model is still being loaded; try again in a few seconds";
        Self::unavailable(message, Duration::from_secs(2)).code("model_loading")
    }

    /// 503: the server ends.
    pub fn shutting_down() -> Self {
        Self::unavailable("the server is shutting down", Duration::from_secs(2)).code("shutting_down")
    }

    /// 503: try again later.
    pub fn unavailable(message: impl Into<String>, retry_after: Duration) -> Self {
        let mut error = Self::new(StatusCode::SERVICE_UNAVAILABLE, message);
        error.retry_after = Some(retry_after);
        error
    }

    /// 500: our failure. `details` go to the log and not to the client.
    pub fn internal(details: impl std::fmt::Display) -> Self {
        tracing::error!(%details, "a request failed inside of the server");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "the server failed on this request; its log says more")
            .code("internal_error")
    }

    /// Names the field at fault.
    #[must_use]
    pub fn at(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// Adds a word that programs can compare.
    #[must_use]
    pub fn code(mut self, code: &'static str) -> Self {
        self.code = Some(code);
        self
    }

    /// The error as JSON of that family.
    pub fn body(&self, family: Family) -> Value {
        match family {
            Family::OpenAi => json!({"error": {
                "message": self.message,
                "type": self.kind.openai(),
                "param": self.param,
                "code": self.code,
            }}),
            Family::Anthropic => json!({
                "type": "error",
                "error": {"type": self.kind.anthropic(), "message": self.message},
            }),
            Family::Ollama => json!({"error": self.message}),
        }
    }

    /// The error as a response of that family.
    pub fn response(&self, family: Family) -> Response {
        let body = self.body(family).to_string();
        let json = HeaderValue::from_static("application/json");
        let mut response = (self.status, [(CONTENT_TYPE, json)], body).into_response();
        if let Some(wait) = self.retry_after {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        response
    }
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ApiError {}

/// OpenAI's form; [`by_family`] writes it anew where the path belongs to another.
impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.response(Family::OpenAi);
        response.extensions_mut().insert(self);
        response
    }
}

/// Middleware: errors of any layer below take the form of the API that was called.
pub async fn by_family(request: Request, next: Next) -> Response {
    let family = Family::of(request.uri().path());
    let mut response = next.run(request).await;
    let Some(error) = response.extensions_mut().remove::<ApiError>().filter(|_| family != Family::OpenAi) else {
        return response;
    };
    let (rewritten, body) = error.response(family).into_parts();
    let headers = response.headers_mut();
    headers.remove(http::header::CONTENT_LENGTH);
    headers.extend(rewritten.headers);
    *response.body_mut() = body;
    response
}

impl From<EngineError> for ApiError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Sampler(error) => error.into(),
            EngineError::Chat(error) => error.into(),
            EngineError::EmptyPrompt => Self::field("prompt", "the prompt is empty: give at least one token of text"),
            EngineError::TokenOutOfRange { token, vocab_size } => {
                Self::field("prompt", format!("token {token} is outside the vocabulary of {vocab_size}"))
            }
            EngineError::PromptTooLong { tokens, context } => Self::context_length("prompt", tokens, 0, context),
            EngineError::Refused(Refused::TooLong { tokens, limit }) => {
                Self::context_length("prompt", tokens, 0, limit)
            }
            EngineError::NoChatTemplate => {
                Self::field("messages", "the model has no chat template: use /v1/completions").code("no_chat_template")
            }
            EngineError::BrokenChatTemplate(reason) => {
                let message = format!("the model's chat template cannot be used ({reason}): use /v1/completions");
                Self::field("messages", message).code("no_chat_template")
            }
            EngineError::BadOption { option, found, expected } => {
                Self::field(option, format!("`{option}` must be {expected}, found {found}"))
            }
            other => Self::internal(other),
        }
    }
}

impl From<SamplerError> for ApiError {
    fn from(error: SamplerError) -> Self {
        let message = error.to_string();
        match error {
            SamplerError::OutOfRange { param, .. }
            | SamplerError::TokenOutOfVocab { param, .. }
            | SamplerError::DuplicateToken { param, .. }
            | SamplerError::ListLength { param, .. } => Self::field(param, message),
            SamplerError::NoCandidate { .. } => Self::invalid(message),
            _ => Self::internal(message),
        }
    }
}

impl From<ChatError> for ApiError {
    fn from(error: ChatError) -> Self {
        let message = error.to_string();
        match error {
            ChatError::Raised { .. } | ChatError::Render { .. } | ChatError::Limit { .. } | ChatError::Input { .. } => {
                Self::field("messages", message).code("template_error")
            }
            ChatError::Syntax { .. } => Self::field("chat_template", message).code("template_error"),
            _ => Self::internal(message),
        }
    }
}

/// Text of a client for a message: short, and without anything that a terminal or log would obey.
pub fn shown(text: &str) -> String {
    const MOST: usize = 64;
    let mut out: String = text.chars().take(MOST).flat_map(char::escape_debug).collect();
    if text.chars().nth(MOST).is_some() {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_family_has_its_own_form() {
        let error = ApiError::field("top_p", "wrong").code("c");
        assert_eq!(
            error.body(Family::OpenAi),
            json!({"error": {"message": "wrong", "type": "invalid_request_error", "param": "top_p", "code": "c"}})
        );
        assert_eq!(
            error.body(Family::Anthropic),
            json!({"type": "error", "error": {"type": "invalid_request_error", "message": "wrong"}})
        );
        assert_eq!(error.body(Family::Ollama), json!({"error": "wrong"}));
        assert_eq!(Family::of("/v1/messages/count_tokens"), Family::Anthropic);
        assert_eq!(Family::of("/api/chat"), Family::Ollama);
        assert_eq!(Family::of("/v1/chat/completions"), Family::OpenAi);
    }

    #[test]
    fn a_wait_is_told_in_whole_seconds() {
        let response = ApiError::unavailable("later", Duration::from_millis(1200)).into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[RETRY_AFTER], "2");
    }

    #[test]
    fn clients_never_see_paths_or_types() {
        let inside = EngineError::NotRegularFile { path: "/secret/model.gguf".into(), found: "a folder" };
        let error = ApiError::from(inside);
        assert_eq!(error.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(!error.message.contains("secret"));
    }

    #[test]
    fn text_of_clients_is_shown_short_and_escaped() {
        assert_eq!(shown("a\r\n\u{1b}[31m"), "a\\r\\n\\u{1b}[31m");
        assert_eq!(shown(&"x".repeat(1 << 20)).chars().count(), 65);
    }
}
