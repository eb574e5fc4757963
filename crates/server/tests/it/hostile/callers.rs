//! Callers: their keys, the hosts and paths they ask, the pages they come from, and what they leave in logs.

use crate::harness::{Harness, Reply};

fn get(server: &Harness, path: &str, headers: &str) -> Reply {
    let host = if headers.to_ascii_lowercase().contains("host:") { "" } else { "host: localhost\r\n" };
    server.send(&format!("GET {path} HTTP/1.1\r\n{host}{headers}\r\n"))
}

#[test]
fn h55_all_that_is_not_the_key_gets_the_same_answer() {
    let mut server = Harness::with(&["--api-key", "secret", "--api-key", "other"]);
    let bodies: Vec<String> = [
        "",
        "authorization: Bearer wrong\r\n",
        "authorization: Bearer secre\r\n",
        "authorization: Bearer secrets\r\n",
        "authorization: Bearer\r\n",
        "authorization: secret\r\n",
        "authorization: Basic c2VjcmV0\r\n",
        "authorization: Bearer secret\r\nauthorization: Bearer secret\r\n",
        "authorization: Bearer s\u{e9}cret\r\n",
        "x-api-key: wrong\r\n",
        &format!("authorization: Bearer {}\r\n", "a".repeat(20 << 10)),
    ]
    .iter()
    .map(|headers| {
        let reply = get(&server, "/version", headers);
        reply.assert_error(401);
        assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
        reply.text()
    })
    .collect();
    assert!(bodies.iter().all(|body| *body == bodies[0]), "{bodies:?}");
    for headers in ["authorization: Bearer secret\r\n", "authorization: bearer other\r\n", "x-api-key: secret\r\n"] {
        assert_eq!(get(&server, "/version", headers).status, 200, "{headers}");
    }
    server.assert_alive_and_level();
}

#[test]
fn h56_every_route_but_liveness_and_the_page_needs_the_key() {
    let mut server = Harness::with(&["--api-key", "secret"]);
    for path in ["/health", "/live", "/ready", "/"] {
        assert_eq!(get(&server, path, "").status, 200, "{path}");
    }
    for path in [
        "/metrics",
        "/version",
        "/load",
        "/ping",
        "/v1/models",
        "/v1/completions",
        "/v1/chat/completions",
        "/v1/embeddings",
        "/v1/responses",
        "/v1/messages",
        "/tokenize",
        "/detokenize",
        "/generate",
        "/status/x",
        "/api/tags",
        "/api/chat",
        "/openapi.json",
        "/nothing",
        "/health/",
        "/health/x",
        "/HEALTH",
        "/invocations",
        "/slots",
    ] {
        assert_eq!(get(&server, path, "").status, 401, "{path}");
        let posted = server.post_with(path, "", b"{}");
        assert_eq!(posted.status, 401, "{path}");
    }
    for path in ["//health", "/v1/../health", "/health%2f..%2fv1/models", "/%68ealth", "/./health", "/v1/%2e%2e/health"]
    {
        assert!(matches!(get(&server, path, "").status, 400 | 401), "{path}");
        assert!(matches!(get(&server, path, "authorization: Bearer secret\r\n").status, 400 | 404), "{path}");
    }
    server.assert_alive_and_level();
}

#[test]
fn h57_figures_need_the_key_and_routes_for_operators_are_off() {
    let mut server = Harness::with(&["--api-key", "secret"]);
    get(&server, "/metrics", "").assert_error(401);
    for path in ["/reset_prefix_cache", "/slots", "/v1/load_lora_adapter", "/shutdown", "/sleep", "/collective_rpc"] {
        server.post_with(path, "authorization: Bearer secret\r\n", b"{}").assert_error(404);
    }
    let open = Harness::with(&["--api-key", "secret", "--metrics-open"]);
    assert_eq!(get(&open, "/metrics", "").status, 200);
    get(&open, "/version", "").assert_error(401);
    server.assert_alive_and_level();
}

#[test]
fn h51_there_is_no_way_to_load_an_adapter() {
    let mut server = Harness::start();
    for path in ["/v1/load_lora_adapter", "/v1/unload_lora_adapter", "/lora-adapters"] {
        server.post_with(path, "", b"{\"lora_path\": \"/etc/passwd\"}").assert_error(404);
    }
    server.assert_alive_and_level();
}

#[test]
fn h58_pages_of_other_origins_are_not_let_in_unless_listed() {
    const QUESTION: &str = "access-control-request-method: POST\r\naccess-control-request-headers: authorization\r\n";
    let ask = |server: &Harness, origin: &str| {
        let head = format!("OPTIONS /v1/models HTTP/1.1\r\nhost: localhost\r\norigin: {origin}\r\n{QUESTION}\r\n");
        server.send(&head)
    };
    let names = |reply: &Reply| reply.header("access-control-allow-origin").map(str::to_owned);
    let mut closed = Harness::with(&["--api-key", "secret"]);
    let reply = get(&closed, "/health", "origin: https://evil.example\r\n");
    assert_eq!((reply.status, names(&reply)), (200, None));
    assert_eq!(names(&ask(&closed, "https://evil.example")), None);
    closed.assert_alive_and_level();

    let open = Harness::with(&["--api-key", "secret", "--cors-origin", "https://chat.example"]);
    let answer = ask(&open, "https://chat.example");
    assert_eq!((answer.status, names(&answer)), (204, Some("https://chat.example".into())));
    assert_eq!(answer.header("access-control-allow-credentials"), None);
    assert_eq!(answer.header("vary"), Some("origin"));
    for origin in ["https://evil.example", "https://chat.example.evil.example", "null", "http://chat.example"] {
        assert_eq!(names(&ask(&open, origin)), None, "{origin}");
        let reply = get(&open, "/health", &format!("origin: {origin}\r\n"));
        assert_eq!(names(&reply), None, "{origin}");
    }
}

#[test]
fn h59_foreign_hosts_are_refused() {
    let mut server = Harness::with(&["--allowed-host", "llm.example"]);
    for host in ["localhost", "LOCALHOST:8080", "127.0.0.1", "[::1]:8080", "llm.example", "llm.example:80"] {
        assert_eq!(get(&server, "/version", &format!("host: {host}\r\n")).status, 200, "{host}");
    }
    for host in
        ["evil.example", "localhost.evil.example", "127.0.0.1.nip.example", "192.168.0.1", "", "a@localhost", "a b"]
    {
        get(&server, "/version", &format!("host: {host}\r\n")).assert_error(403);
    }
    server.assert_alive_and_level();
}

#[test]
fn h59_an_open_server_beyond_this_machine_must_be_asked_for() {
    use clap::Parser;
    use rocmforge_server::app::{Config, ServeError};

    #[derive(Parser)]
    struct Options {
        #[command(flatten)]
        serve: rocmforge_server::ServeArgs,
    }
    let config = |options: &[&str], bound: &str| {
        let Options { serve } = Options::parse_from(["test"].iter().chain(options));
        Config::new(&serve, bound, bound.parse().expect("an address"), "m").map(drop)
    };
    assert!(matches!(config(&[], "0.0.0.0:80"), Err(ServeError::Open(_))));
    assert!(matches!(config(&[], "[::]:80"), Err(ServeError::Open(_))));
    assert!(config(&[], "[::ffff:127.0.0.1]:80").is_ok() && config(&[], "127.0.0.1:80").is_ok());
    assert!(config(&["--api-key", "k"], "0.0.0.0:80").is_ok());
    assert!(config(&["--allow-unauthenticated"], "0.0.0.0:80").is_ok());
}
