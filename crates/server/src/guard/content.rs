//! Bodies of requests: JSON, not compressed, within a size, and at a pace.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, EXPECT};
use http::{HeaderMap, HeaderValue, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use crate::app::AppState;
use crate::error::ApiError;

/// What bodies may take.
#[derive(Debug, Clone)]
pub struct BodyLimits {
    /// Bytes of one.
    pub bytes: usize,
    /// Time that every body may take.
    pub time: Duration,
    /// Bytes a second that a body must bring beyond that.
    pub bytes_per_second: usize,
    /// KiB left for bodies that are large, over all requests.
    pub budget: Arc<Semaphore>,
}

/// Bodies up to this size are not counted against the budget.
const SMALL: usize = 64 << 10;

/// Bytes of large bodies that are read at once, over all requests.
const BUDGET: usize = 256 << 20;

impl BodyLimits {
    /// Bodies of at most `bytes`.
    pub fn new(bytes: usize) -> Self {
        let budget = Semaphore::new(BUDGET.max(bytes) / 1024 + 1);
        Self { bytes, time: Duration::from_secs(10), bytes_per_second: 16 << 10, budget: Arc::new(budget) }
    }

    fn too_large(&self) -> ApiError {
        let message = format!("the body is larger than the {} bytes that this server allows", self.bytes);
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, message)
    }

    /// A share of the budget for a body of that size.
    fn share(&self, bytes: usize) -> Result<Option<OwnedSemaphorePermit>, ApiError> {
        if bytes <= SMALL {
            return Ok(None);
        }
        let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX);
        let busy = |_| ApiError::unavailable("too many large bodies arrive at once", Duration::from_secs(1));
        self.budget.clone().try_acquire_many_owned(kib).map(Some).map_err(busy)
    }
}

/// Middleware: reads the body, so that handlers never wait for a client.
pub async fn read_body(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let limits = &state.config.bodies;
    let (parts, body) = request.into_parts();
    let read = async {
        check(&parts.headers, !body.is_end_stream(), limits)?;
        let most = body.size_hint().exact().map_or(limits.bytes, |bytes| bytes as usize);
        let share = limits.share(most)?;
        let bytes = read(body, limits).await?;
        let share = share.and_then(|share| kept(share, bytes.len()));
        Ok((bytes, share))
    };
    match read.await {
        Ok((bytes, share)) => {
            let response = next.run(Request::from_parts(parts, Body::from(bytes))).await;
            drop(share);
            response
        }
        Err(error) => refuse(error),
    }
}

/// What a body that has arrived needs of its share; one whose length was not told had a share for the largest.
fn kept(mut share: OwnedSemaphorePermit, bytes: usize) -> Option<OwnedSemaphorePermit> {
    if bytes <= SMALL { None } else { share.split(bytes.div_ceil(1024)) }
}

/// An answer after which the connection closes, since the rest of the body was not read.
fn refuse(error: ApiError) -> Response {
    let mut response = error.into_response();
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

fn check(headers: &HeaderMap, has_body: bool, limits: &BodyLimits) -> Result<(), ApiError> {
    if headers.get(EXPECT).is_some_and(|value| !value.as_bytes().eq_ignore_ascii_case(b"100-continue")) {
        return Err(ApiError::new(StatusCode::EXPECTATION_FAILED, "the only expectation known is 100-continue"));
    }
    if !has_body {
        return Ok(());
    }
    let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > limits.bytes as u64) {
        return Err(limits.too_large());
    }
    let unsupported = |message| Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
    if headers.get_all(CONTENT_ENCODING).iter().any(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return unsupported("compressed bodies are not read: send the JSON as it is");
    }
    if !is_json(headers) {
        return unsupported("the body must be JSON: send it with `content-type: application/json`");
    }
    Ok(())
}

fn is_json(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let (Some(value), None) = (types.next(), types.next()) else { return false };
    let Ok(value) = value.to_str() else { return false };
    let mut parts = value.split(';').map(str::trim);
    let is_utf8 = |parameter: &str| match parameter.split_once('=') {
        Some((name, value)) if name.trim().eq_ignore_ascii_case("charset") => {
            value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
        }
        _ => true,
    };
    parts.next().is_some_and(|media| media.eq_ignore_ascii_case("application/json")) && parts.all(is_utf8)
}

async fn read(mut body: Body, limits: &BodyLimits) -> Result<Bytes, ApiError> {
    let began = Instant::now();
    let mut bytes = BytesMut::new();
    loop {
        let earned = Duration::from_secs_f64(bytes.len() as f64 / limits.bytes_per_second.max(1) as f64);
        let frame = timeout_at(began + limits.time + earned, body.frame()).await;
        let frame = frame.map_err(|_| ApiError::new(StatusCode::REQUEST_TIMEOUT, "the body arrives too slowly"))?;
        let Some(frame) = frame else { return Ok(bytes.freeze()) };
        let early = |_| ApiError::invalid("the body ended early, or its chunks are malformed");
        if let Some(data) = frame.map_err(early)?.data_ref() {
            if bytes.len() + data.len() > limits.bytes {
                return Err(limits.too_large());
            }
            bytes.extend_from_slice(data);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_told_by_its_type() {
        let is_json =
            |value: &'static str| is_json(&HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(value))]));
        for good in ["application/json", "Application/JSON; charset=UTF-8", "application/json;charset=\"utf-8\""] {
            assert!(is_json(good), "{good}");
        }
        for bad in ["text/plain", "", "application/json; charset=utf-16", "application/jsonp", "multipart/form-data"] {
            assert!(!is_json(bad), "{bad}");
        }
    }

    #[test]
    fn large_bodies_share_a_budget() {
        let limits = BodyLimits { budget: Arc::new(Semaphore::new(200)), ..BodyLimits::new(1 << 20) };
        let held = limits.share(150 << 10).expect("there is room");
        assert!(limits.share(SMALL).is_ok());
        assert_eq!(limits.share(100 << 10).expect_err("no room").status, StatusCode::SERVICE_UNAVAILABLE);
        let held = kept(held.expect("a large one"), 90 << 10);
        assert!(limits.share(100 << 10).is_ok() && limits.share(120 << 10).is_err());
        drop(held);
        let held = limits.share(200 << 10).expect("there is room").expect("a large one");
        assert!(kept(held, SMALL).is_none());
        assert!(limits.share(200 << 10).is_ok());
    }
}
