//! What a request is addressed to: a host that is us, and a path with one meaning.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::uri::Authority;
use http::{StatusCode, header};

use crate::app::AppState;
use crate::error::{ApiError, shown};

/// Names under which this server is asked. A web page whose own name is made to lead here (DNS rebinding) sends that
/// name, and is refused.
#[derive(Debug, Clone, Default)]
pub struct Hosts {
    /// The address that it listens on; `None` before.
    pub bound: Option<IpAddr>,
    /// The name that it was told to listen on, and others that the operator allows; `*` allows all.
    pub names: Vec<String>,
}

impl Hosts {
    /// Whether this is us.
    pub fn allow(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.');
        let is_named = |name: &String| name == "*" || name.trim_end_matches('.').eq_ignore_ascii_case(host);
        if self.names.iter().any(is_named) {
            return true;
        }
        match host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
            Ok(address) => {
                let address = address.to_canonical();
                address.is_loopback() || self.bound.is_some_and(|ours| ours.is_unspecified() || ours == address)
            }
            Err(_) => host.eq_ignore_ascii_case("localhost"),
        }
    }

    /// The names under which a server on `bound` is asked.
    pub fn new(bound: SocketAddr, told: &str, allowed: &[String]) -> Self {
        let names = std::iter::once(told.to_owned()).chain(allowed.iter().cloned());
        let is_name = |name: &String| name.parse::<IpAddr>().is_err();
        Self { bound: Some(bound.ip()), names: names.filter(is_name).collect() }
    }
}

/// Middleware: refuses foreign hosts, and paths that proxies and servers read in different ways.
pub async fn check(State(state): State<AppState>, request: Request, next: Next) -> Response {
    match refusal(&state.config.hosts, &request) {
        Some(error) => error.into_response(),
        None => next.run(request).await,
    }
}

fn refusal(hosts: &Hosts, request: &Request) -> Option<ApiError> {
    let named = request.headers().get(header::HOST).map(|host| host.to_str().unwrap_or_default());
    for host in named.into_iter().chain(request.uri().authority().map(Authority::as_str)) {
        let name = host.parse::<Authority>().ok().filter(|authority| !authority.as_str().contains('@'));
        if !name.as_ref().is_some_and(|name| hosts.allow(name.host())) {
            let message =
                format!("this server does not answer to the host `{}`; --allowed-host adds a name", shown(host));
            return Some(ApiError::new(StatusCode::FORBIDDEN, message).code("host_not_allowed"));
        }
    }
    let path = request.uri().path();
    (!is_plain(path)).then(|| {
        let message = "the path must be plain: no empty, `.` or `..` parts and no escaped letters";
        ApiError::new(StatusCode::BAD_REQUEST, message).code("invalid_path")
    })
}

/// Whether a path has one meaning. No route of ours needs an escape for a letter, a dot or a slash.
fn is_plain(path: &str) -> bool {
    let Some(rest) = path.strip_prefix('/') else { return path == "*" };
    let mut parts = rest.split('/').peekable();
    while let Some(part) = parts.next() {
        let is_last = parts.peek().is_none();
        if matches!(part, "." | "..") || (part.is_empty() && !is_last) || !part.is_ascii() || part.contains('\\') {
            return false;
        }
        if escapes(part).any(|byte| byte.is_none_or(|byte| byte.is_ascii_control() || b"./\\%".contains(&byte))) {
            return false;
        }
    }
    true
}

/// The bytes that `%XX` stands for; `None` where it stands for none.
fn escapes(part: &str) -> impl Iterator<Item = Option<u8>> {
    part.split('%').skip(1).map(|rest| rest.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_loopback_bound_or_named() {
        let hosts = |bound: &str, told: &str, allowed: &[&str]| {
            let allowed: Vec<String> = allowed.iter().map(|name| (*name).to_owned()).collect();
            Hosts::new(bound.parse().expect("an address"), told, &allowed)
        };
        let local = hosts("127.0.0.1:8080", "127.0.0.1", &[]);
        for (host, is_ours) in [
            ("localhost", true),
            ("LOCALHOST.", true),
            ("127.0.0.1", true),
            ("127.9.9.9", true),
            ("[::1]", true),
            ("[::ffff:127.0.0.1]", true),
            ("192.168.1.2", false),
            ("evil.example", false),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("", false),
        ] {
            assert_eq!(local.allow(host), is_ours, "{host}");
        }
        let open = hosts("0.0.0.0:80", "0.0.0.0", &["llm.example"]);
        assert!(open.allow("192.168.1.2") && open.allow("LLM.example") && !open.allow("evil.example"));
        assert!(hosts("10.0.0.1:80", "gpu-box", &[]).allow("gpu-box"));
        assert!(hosts("10.0.0.1:80", "10.0.0.1", &["*"]).allow("anything"));
    }

    #[test]
    fn paths_have_one_meaning() {
        for path in ["/", "/v1/models", "/v1/models/", "/v1/models/a%3Ab", "/page/app.js", "/v1/models/%C3%A4", "*"] {
            assert!(is_plain(path), "{path}");
        }
        for path in [
            "//v1/models",
            "/v1//models",
            "/v1/../x",
            "/v1/./x",
            "/..",
            "/%2e%2e/x",
            "/v1%2fmodels",
            "/v1/%2E/x",
            "/a\\b",
            "/%00",
            "/%",
            "/%4",
            "/%zz",
            "/%25",
            "/%5c",
            "/ä",
            "x",
        ] {
            assert!(!is_plain(path), "{path}");
        }
    }
}
