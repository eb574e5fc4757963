//! The chat page at `/`: static files that are part of the program, without a build
//! step, without anything from elsewhere, and without a right to load anything from there.

use axum::Router;
use axum::http::{HeaderMap, HeaderName, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// A file of the page.
struct Asset {
    path: &'static str,
    media: &'static str,
    body: &'static str,
}

const SCRIPT: &str = "text/javascript; charset=utf-8";

static INDEX: Asset = Asset { path: "/", media: "text/html; charset=utf-8", body: include_str!("index.html") };

static ASSETS: &[Asset] = &[
    Asset { path: "/page/api.js", media: SCRIPT, body: include_str!("api.js") },
    Asset { path: "/page/app.js", media: SCRIPT, body: include_str!("app.js") },
    Asset { path: "/page/markdown.js", media: SCRIPT, body: include_str!("markdown.js") },
    Asset { path: "/page/settings.js", media: SCRIPT, body: include_str!("settings.js") },
    Asset { path: "/page/theme.js", media: SCRIPT, body: include_str!("theme.js") },
    Asset { path: "/page/turns.js", media: SCRIPT, body: include_str!("turns.js") },
    Asset { path: "/page/icon.svg", media: "image/svg+xml", body: include_str!("icon.svg") },
    Asset { path: "/page/style.css", media: "text/css; charset=utf-8", body: include_str!("style.css") },
];

/// What the page may do: run its own scripts and talk to the server it came from.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'";

static HEADERS: [(HeaderName, &str); 5] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    // A newer server's page is shown at once.
    (header::CACHE_CONTROL, "no-cache"),
];

/// The page's routes: `/` and its files under `/page/`. They hold nothing secret and
/// need no key, since the page is where a key is entered.
pub fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    ASSETS.iter().fold(Router::new().route("/", get(index)), |router, asset| {
        router.route(asset.path, get(async || respond(asset)))
    })
}

/// Whether `path` is one of the page's own.
pub fn is_page(path: &str) -> bool {
    path == INDEX.path || ASSETS.iter().any(|asset| asset.path == path)
}

/// The page; clients of Ollama's API look here whether the server runs, and want
/// that server's words.
async fn index(headers: HeaderMap) -> Response {
    let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
    match agent {
        Some(agent) if agent.starts_with("ollama") => "Ollama is running".into_response(),
        _ => respond(&INDEX),
    }
}

fn respond(asset: &'static Asset) -> Response {
    ([(header::CONTENT_TYPE, asset.media)], HEADERS.clone(), asset.body).into_response()
}
