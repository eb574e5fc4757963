//! Bodies of requests: strict JSON, read field by field.

pub mod fields;
pub mod json;

use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{FromRequest, Request};
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::Value;

pub use fields::{Fields, Read};

use crate::error::{ApiError, shown};

/// Names the fields of a request that no one here knows.
pub static IGNORED_FIELDS: HeaderName = HeaderName::from_static("x-ignored-fields");

/// Bodies up to this size are parsed where they arrive; larger ones go to a thread that may be busy.
const SMALL: usize = 64 << 10;

/// A JSON body.
#[derive(Debug)]
pub struct Body<T>(pub T);

/// The fields that were ignored in this request; the header that [`report_ignored`] writes.
#[derive(Debug, Clone, Default)]
struct Ignored(Arc<Mutex<Vec<String>>>);

impl<S: Send + Sync, T: Read + Send + 'static> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        check_type(request.headers())?;
        let ignored = request.extensions().get::<Ignored>().cloned().unwrap_or_default();
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| {
            let message = match rejection.status() {
                StatusCode::PAYLOAD_TOO_LARGE => "the body is larger than this server allows",
                _ => "the body could not be read to its end",
            };
            ApiError::new(rejection.status(), message)
        })?;
        let (value, names) = match bytes.len() {
            ..=SMALL => read(&bytes)?,
            _ => tokio::task::spawn_blocking(move || read(&bytes)).await.map_err(ApiError::internal)??,
        };
        ignored.0.lock().unwrap_or_else(PoisonError::into_inner).extend(names);
        Ok(Self(value))
    }
}

/// Reads a request from the bytes of a body; the names of ignored fields come with it.
///
/// # Errors
/// 400 for malformed JSON, a body that is no object, and what [`Read::read`] refuses.
pub fn read<T: Read>(bytes: &[u8]) -> Result<(T, Vec<String>), ApiError> {
    let Value::Object(values) = json::parse(bytes)? else {
        return Err(ApiError::invalid("the body must be a JSON object").code("invalid_json"));
    };
    let mut fields = Fields::new(values);
    let value = T::read(&mut fields)?;
    Ok((value, fields.into_ignored()))
}

/// A page of another site may send text and forms without asking, but not this type.
fn check_type(headers: &HeaderMap) -> Result<(), ApiError> {
    let given = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let message = format!("the body must be of type application/json, found `{}`", shown(given));
    Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message))
}

/// Middleware: tells the client which fields of its request had no effect.
pub async fn report_ignored(mut request: Request, next: Next) -> Response {
    let ignored = Ignored::default();
    request.extensions_mut().insert(ignored.clone());
    let mut response = next.run(request).await;
    let names = std::mem::take(&mut *ignored.0.lock().unwrap_or_else(PoisonError::into_inner));
    if !names.is_empty() {
        // Names are escaped, which leaves characters beyond ASCII; a header has none.
        let list: String =
            names.join(", ").chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect();
        if let Ok(value) = HeaderValue::from_str(&list) {
            response.headers_mut().insert(IGNORED_FIELDS.clone(), value);
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Nothing;

    impl Read for Nothing {
        const NAME: &'static str = "Nothing";
        fn read(_: &mut Fields) -> Result<Self, ApiError> {
            Ok(Self)
        }
    }

    #[test]
    fn a_body_is_an_object() {
        for body in ["[]", "1", "null", "\"text\""] {
            assert_eq!(read::<Nothing>(body.as_bytes()).expect_err("refused").status, 400);
        }
        assert!(read::<Nothing>(b" {} \n").is_ok());
    }

    #[test]
    fn only_json_is_taken() {
        let with = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(value));
            check_type(&headers).is_ok()
        };
        assert!(with("application/json") && with("Application/JSON; charset=utf-8"));
        assert!(!with("text/plain") && !with("application/x-www-form-urlencoded"));
        assert!(check_type(&HeaderMap::new()).is_err());
    }
}
