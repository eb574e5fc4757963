//! Who may ask: everything but liveness needs a key, where there are keys.

use std::hash::{DefaultHasher, Hash, Hasher};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use rocmforge_scheduler::ClientId;

use super::{Caller, RequestName};
use crate::app::{AppState, Config};
use crate::error::ApiError;
use crate::health;
use crate::page;
use crate::transport::Peer;

/// Longest header that is looked at for a key.
const MOST: usize = 4096;

/// Middleware: finds the caller, or answers 401.
pub async fn authenticate(State(state): State<AppState>, mut request: Request, next: Next) -> Response {
    let keys = &state.config.keys;
    let known = presented(request.headers()).and_then(|key| keys.find(key));
    let is_free = keys.is_open() || is_open(&state.config, request.method(), request.uri().path());
    if known.is_none() && !is_free {
        return unauthorized();
    }
    let peer = request.extensions().get::<Peer>().map(|peer| peer.address.ip());
    let by_address = || {
        let mut hasher = DefaultHasher::new();
        peer.hash(&mut hasher);
        ClientId(hasher.finish())
    };
    let request_id = request.extensions().get::<RequestName>().cloned().unwrap_or_default();
    request.extensions_mut().insert(Caller {
        client: known.map_or_else(by_address, |known| known.client),
        salt: known.map(|known| known.salt),
        request_id,
    });
    next.run(request).await
}

/// Paths that need no key: liveness, the page in which a key is entered, and figures if the operator says so.
fn is_open(config: &Config, method: &Method, path: &str) -> bool {
    let is_read = matches!(*method, Method::GET | Method::HEAD);
    is_read && (health::is_liveness(path) || page::is_page(path) || (config.metrics_open && path == "/metrics"))
}

/// The key that a request presents. One that is named twice is none.
fn presented(headers: &HeaderMap) -> Option<&[u8]> {
    let only = |name: &str| {
        let mut values = headers.get_all(name).iter();
        values.next().filter(|value| values.next().is_none() && value.len() <= MOST).map(HeaderValue::as_bytes)
    };
    match (headers.contains_key(header::AUTHORIZATION), headers.contains_key("x-api-key")) {
        (true, false) => only("authorization").and_then(bearer),
        (false, true) => only("x-api-key"),
        // Clients that fill in both mean the same key.
        (true, true) => only("authorization").and_then(bearer).or_else(|| only("x-api-key")),
        (false, false) => None,
    }
}

fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, key) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| key.trim_ascii())
}

fn unauthorized() -> Response {
    let message = "a valid API key is needed: send `Authorization: Bearer KEY` or `x-api-key: KEY`";
    let mut response = ApiError::new(StatusCode::UNAUTHORIZED, message).code("invalid_api_key").into_response();
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(headers: &[(&str, &[u8])]) -> Option<Vec<u8>> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name = http::HeaderName::from_bytes(name.as_bytes()).expect("a name");
            map.append(name, HeaderValue::from_bytes(value).expect("a value"));
        }
        presented(&map).map(<[u8]>::to_vec)
    }

    #[test]
    fn a_key_is_read_from_either_header() {
        assert_eq!(key(&[("authorization", b"Bearer k")]), Some(b"k".to_vec()));
        assert_eq!(key(&[("authorization", b"bEARER  k ")]), Some(b"k".to_vec()));
        assert_eq!(key(&[("x-api-key", b"k")]), Some(b"k".to_vec()));
        assert_eq!(key(&[("x-api-key", b"k"), ("authorization", b"Bearer j")]), Some(b"j".to_vec()));
        assert_eq!(key(&[("x-api-key", b"k"), ("authorization", b"Basic j")]), Some(b"k".to_vec()));
    }

    #[test]
    fn what_is_no_single_key_is_none() {
        let huge = [b"Bearer ".to_vec(), vec![b'a'; MOST]].concat();
        for headers in [
            &[][..],
            &[("authorization", &b"Bearer"[..])],
            &[("authorization", b"k")],
            &[("authorization", b"Basic azpr")],
            &[("authorization", &huge)],
            &[("authorization", b"Bearer k"), ("authorization", b"Bearer k")],
            &[("x-api-key", b"k"), ("x-api-key", b"k")],
        ] {
            assert_eq!(key(headers), None, "{headers:?}");
        }
        assert_eq!(key(&[("authorization", b"Bearer \xff\xfe")]), Some(vec![0xff, 0xfe]));
    }
}
