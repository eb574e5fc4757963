//! Heads of requests: what is no HTTP, what is too much of it, and what could be read in two ways.

use std::io::Write;
use std::time::Duration;

use crate::harness::{Harness, PATIENCE, post};

const OK: &str = "GET /version HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// A refusal in JSON, after which the connection closes.
fn refused(server: &Harness, request: &[u8], status: u16) {
    let mut wire = server.connect();
    wire.send(request);
    let reply = wire.reply();
    reply.assert_error(status);
    assert_eq!(reply.header("connection"), Some("close"), "{reply:?}");
    wire.finish();
    assert!(wire.is_closed());
}

#[test]
fn h05_two_lengths_are_refused() {
    let mut server = Harness::start();
    let request = |headers: &str| format!("POST /v1/completions HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n{{}}");
    for headers in [
        "content-length: 2\r\ncontent-length: 2\r\n",
        "content-length: 2\r\ncontent-length: 3\r\n",
        "content-length: 2\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 2\r\n",
        "transfer-encoding: chunked, identity\r\n",
        "transfer-encoding : chunked\r\n",
        "content-length: 2, 2\r\n",
        "content-length: -2\r\n",
        "content-length: 0x2\r\n",
    ] {
        refused(&server, request(headers).as_bytes(), 400);
    }
    server.assert_alive_and_level();
}

#[test]
fn h05_what_follows_an_ambiguous_request_is_never_answered() {
    let mut server = Harness::start();
    let mut wire = server.connect();
    wire.send(
        b"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n",
    );
    wire.send(format!("0\r\n\r\n{OK}").as_bytes());
    wire.finish();
    let all = wire.read_to_end();
    assert_eq!(all.matches("x-request-id: ").count(), 1, "{all}");
    server.assert_alive_and_level();
}

#[test]
fn h08_many_or_long_headers_are_refused() {
    let mut server = Harness::start();
    let request = |headers: &str| format!("GET /version HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n");
    let many = |count: usize| (0..count).map(|n| format!("x-{n}: y\r\n")).collect::<String>();
    assert_eq!(server.send(&request(&many(99))).status, 200);
    refused(&server, request(&many(100)).as_bytes(), 431);
    assert_eq!(server.send(&request(&format!("x: {}\r\n", "y".repeat(30 << 10)))).status, 200);
    refused(&server, request(&format!("x: {}\r\n", "y".repeat(33 << 10))).as_bytes(), 431);
    server.assert_alive_and_level();
}

#[test]
fn h09_a_long_first_line_is_refused() {
    let mut server = Harness::start();
    let request = |length: usize| format!("GET /{} HTTP/1.1\r\nhost: localhost\r\n\r\n", "a".repeat(length));
    server.send(&request(8000)).assert_error(404);
    refused(&server, request(9000).as_bytes(), 414);
    refused(&server, request(1 << 20).as_bytes(), 414);
    server.assert_alive_and_level();
}

#[test]
fn h10_methods_and_paths_that_do_not_exist_are_said_not_to() {
    let mut server = Harness::start();
    let status = |request: &str| server.send(&format!("{request} HTTP/1.1\r\nhost: localhost\r\n\r\n"));
    status("GET /nothing").assert_error(404);
    status("DELETE /health").assert_error(405);
    status("PATCH /version").assert_error(405);
    assert_eq!(status("GET http://localhost/version").status, 200);
    status("GET http://evil.example/version").assert_error(403);
    assert!(matches!(status("OPTIONS *").status, 404 | 405));
    assert_eq!(status("OPTIONS /health").status, 405);
    server.assert_alive_and_level();
}

#[test]
fn h10_a_head_is_answered_without_a_body() {
    let mut server = Harness::start();
    let mut wire = server.connect();
    wire.send(b"HEAD /version HTTP/1.1\r\nhost: localhost\r\n\r\n");
    assert_eq!(wire.head().expect("a head").status, 200);
    // What comes next is the next answer.
    wire.send(OK.as_bytes());
    assert_eq!(wire.reply().json()["version"], env!("CARGO_PKG_VERSION"));
    server.assert_alive_and_level();
}

#[test]
fn h10_expectations_and_upgrades_are_handled() {
    let mut server = Harness::start();
    let mut wire = server.connect();
    wire.send(&post("/nothing", "expect: 100-continue\r\n", b""));
    wire.reply().assert_error(404);
    // A body that is too large is refused before the client was asked to send it.
    let mut wire = server.connect();
    wire.send(
        b"POST /nothing HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nexpect: 100-continue\r\n\
          content-length: 99999999\r\n\r\n",
    );
    let reply = wire.try_reply().expect("an answer");
    reply.assert_error(413);
    server.post_with("/nothing", "expect: money\r\n", b"{}").assert_error(417);
    let upgrade = "GET /version HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: h2c, websocket\r\n\r\n";
    assert_eq!(server.send(upgrade).status, 200);
    server.assert_alive_and_level();
}

#[test]
fn h11_what_is_not_http_is_refused() {
    let mut server = Harness::start();
    for request in [
        &b"GET /version\r\n"[..],
        b"GET /version HTTP/0.9\r\n\r\n",
        b"GET /version HTTP/3.0\r\n\r\n",
        b"hello\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\x00\x00\x00\x00",
        b"{\"jsonrpc\": \"2.0\"}\n",
        b"GET /version HTTP/1.1\nhost: localhost\n\n",
        b"GET /version HTTP/1.1\r\nhost: localhost\r\n folded: x\r\n\r\n",
        b"GET /version HTTP/1.1\r\n\r\n",
        b"GET /version HTTP/1.1\r\nhost: localhost\r\nhost: localhost\r\n\r\n",
        b"REFUSED /431 HTTP/1.1\r\nhost: localhost\r\n\r\n",
    ] {
        refused(&server, request, 400);
    }
    server.assert_alive_and_level();
}

#[test]
fn h12_a_slow_head_is_ended() {
    let mut server = Harness::configured(&[], |config| config.limits.head_time = Duration::from_millis(300));
    let mut slow = server.connect();
    for byte in OK.as_bytes() {
        if slow.stream.write_all(&[*byte]).is_err() {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    slow.reply().assert_error(408);
    assert!(slow.is_closed());
    // One that says nothing at all is closed without a word.
    assert_eq!(server.connect().read_to_end(), "");
    server.assert_alive_and_level();
}

#[test]
fn h14_an_idle_connection_is_closed() {
    let mut server = Harness::configured(&[], |config| config.limits.idle_time = Duration::from_millis(200));
    let mut wire = server.connect();
    for _ in 0..3 {
        wire.send(OK.as_bytes());
        assert_eq!(wire.reply().status, 200);
    }
    assert_eq!(wire.read_to_end(), "");
    server.assert_alive_and_level();
}

#[test]
fn h17_http2_is_not_spoken() {
    let mut server = Harness::start();
    refused(&server, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", 400);
    server.assert_alive_and_level();
}

#[test]
fn h18_requests_in_one_piece_are_answered_in_order() {
    let mut server = Harness::start();
    let mut wire = server.connect();
    let named = |n: usize| format!("GET /version HTTP/1.1\r\nhost: localhost\r\nx-request-id: n-{n}\r\n\r\n");
    let posted = String::from_utf8(post("/nothing", "", b"{}")).expect("text");
    wire.send(format!("{}{}{posted}{}", named(0), named(1), named(2)).as_bytes());
    assert_eq!(wire.reply().header("x-request-id"), Some("n-0"));
    assert_eq!(wire.reply().header("x-request-id"), Some("n-1"));
    wire.reply().assert_error(404);
    assert_eq!(wire.reply().header("x-request-id"), Some("n-2"));
    // A refused one keeps its place.
    wire.send(format!("{}GET / HTTP/9\r\n\r\n{}", named(3), named(4)).as_bytes());
    assert_eq!(wire.reply().header("x-request-id"), Some("n-3"));
    wire.reply().assert_error(400);
    wire.stream.set_read_timeout(Some(PATIENCE)).expect("a time");
    assert_eq!(wire.read_to_end(), "");
    server.assert_alive_and_level();
}
