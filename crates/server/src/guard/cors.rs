//! Which web pages of other origins may ask from a browser: those that the operator lists.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use crate::app::AppState;

/// Origins whose pages may read answers; `*` stands for all. Credentials that a browser adds by itself are never
/// allowed: a page that may ask must know the key.
#[derive(Debug, Clone, Default)]
pub struct Origins(Vec<String>);

const METHODS: &str = "GET, POST, DELETE, OPTIONS";
const REQUEST_HEADERS: &str =
    "authorization, content-type, x-api-key, x-request-id, traceparent, anthropic-version, anthropic-beta";
const ANSWER_HEADERS: &str = "x-request-id, traceparent, retry-after";

impl Origins {
    /// These origins, such as `https://chat.example`.
    pub fn new(origins: &[String]) -> Self {
        Self(origins.iter().map(|origin| origin.trim_end_matches('/').to_owned()).collect())
    }

    /// What the answer to a page of that origin says, if it is allowed.
    fn allow(&self, origin: &HeaderValue) -> Option<HeaderValue> {
        if self.0.iter().any(|known| known == "*") {
            return Some(HeaderValue::from_static("*"));
        }
        self.0.iter().any(|known| known.as_bytes() == origin.as_bytes()).then(|| origin.clone())
    }
}

/// Middleware: answers a browser's question whether a page may ask, and lets listed pages read answers.
pub async fn answer(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let origin = request.headers().get(ORIGIN).and_then(|origin| state.config.origins.allow(origin));
    let Some(origin) = origin else { return next.run(request).await };
    let is_question =
        request.method() == Method::OPTIONS && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = if is_question {
        let mut response = StatusCode::NO_CONTENT.into_response();
        set(response.headers_mut(), ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        set(response.headers_mut(), ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS);
        set(response.headers_mut(), ACCESS_CONTROL_MAX_AGE, "600");
        response
    } else {
        next.run(request).await
    };
    response.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    set(response.headers_mut(), ACCESS_CONTROL_EXPOSE_HEADERS, ANSWER_HEADERS);
    response.headers_mut().append(VARY, HeaderValue::from_static("origin"));
    response
}

fn set(headers: &mut HeaderMap, name: http::HeaderName, value: &'static str) {
    headers.insert(name, HeaderValue::from_static(value));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listed_origins_are_allowed() {
        let allow = |origins: &[&str], origin: &'static str| {
            let origins: Vec<String> = origins.iter().map(|origin| (*origin).to_owned()).collect();
            let allowed = Origins::new(&origins).allow(&HeaderValue::from_static(origin));
            allowed.map(|value| value.to_str().expect("text").to_owned())
        };
        assert_eq!(allow(&[], "https://a.example"), None);
        assert_eq!(allow(&["https://a.example/"], "https://a.example").as_deref(), Some("https://a.example"));
        assert_eq!(allow(&["https://a.example"], "https://a.example.evil"), None);
        assert_eq!(allow(&["https://a.example"], "null"), None);
        assert_eq!(allow(&["*"], "https://b.example").as_deref(), Some("*"));
    }
}
