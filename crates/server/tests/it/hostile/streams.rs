//! Answers whose reader is gone, does not read, or asks for more than there is.

use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

use crate::harness::{Harness, MODEL, Wire, eventually, post};

const PATH: &str = "/v1/completions";

/// A request that takes a while.
fn long(stream: bool) -> Value {
    json!({"model": MODEL, "prompt": "Once upon a time", "max_tokens": 900, "ignore_eos": true, "stream": stream})
}

fn send(server: &Harness, body: &Value) -> Wire {
    let mut wire = server.connect();
    wire.send(&post(PATH, "", body.to_string().as_bytes()));
    wire
}

/// A request for four whole answers, all of which run: more than the neighbour's one.
fn send_four(server: &Harness) -> Wire {
    let mut body = long(false);
    body["n"] = json!(4);
    let wire = send(server, &body);
    assert!(eventually(|| server.state.engine.load().running >= 4));
    wire
}

/// Reads the head and the first event of a stream.
fn begin(wire: &mut Wire) {
    assert_eq!(wire.head().expect("an answer").status, 200);
    assert!(wire.chunk().expect("a chunk").is_some());
}

/// Answers that ended because nobody wanted them any more.
fn aborted(server: &Harness) -> u64 {
    let text = server.get("/metrics").text();
    let line = text
        .lines()
        .find(|line| line.starts_with("vllm:request_success_total{") && line.contains("finished_reason=\"abort\""));
    line.and_then(|line| line.rsplit_once(' ')?.1.parse().ok()).unwrap_or(0)
}

fn assert_aborts(server: &Harness, count: u64) {
    assert!(eventually(|| aborted(server) == count), "{} of {count}", aborted(server));
    server.assert_level();
}

#[test]
fn h61_a_reader_that_leaves_between_tokens_stops_its_answer() {
    let mut server = Harness::start();
    let mut wire = send(&server, &long(true));
    begin(&mut wire);
    drop(wire);
    assert_aborts(&server, 1);
    server.assert_alive_and_level();
}

#[test]
fn h61_a_reader_that_leaves_before_the_whole_answer_stops_it() {
    let mut server = Harness::start();
    let wire = send_four(&server);
    drop(wire);
    assert_aborts(&server, 4);
    server.assert_alive_and_level();
}

#[test]
fn h61_a_reader_that_leaves_several_answers_stops_them_all() {
    let mut server = Harness::start();
    let mut body = long(true);
    body["n"] = json!(4);
    let mut wire = send(&server, &body);
    begin(&mut wire);
    drop(wire);
    assert_aborts(&server, 4);
    server.assert_alive_and_level();
}

#[test]
fn h61_a_reader_that_leaves_the_queue_is_not_served() {
    let mut server = Harness::with(&["--parallel", "1"]);
    let mut first = send(&server, &long(true));
    begin(&mut first);
    let queued = send(&server, &long(false));
    assert!(eventually(|| server.state.engine.load().waiting > 0));
    drop(queued);
    assert!(eventually(|| aborted(&server) == 1));
    while first.chunk().expect("a chunk").is_some() {}
    assert_eq!(aborted(&server), 1, "the one before it was not disturbed");
    server.assert_alive_and_level();
}

#[test]
fn h61_a_reader_that_leaves_during_prefill_stops_it() {
    let mut server = Harness::with(&["--tokens-per-step", "16"]);
    let prompt: Vec<u32> = (0..900).map(|token| 300 + token % 700).collect();
    let wire = send(&server, &json!({"model": MODEL, "prompt": prompt, "max_tokens": 100, "ignore_eos": true}));
    assert!(eventually(|| server.state.engine.load().used_blocks > 4));
    drop(wire);
    assert_aborts(&server, 1);
    server.assert_alive_and_level();
}

#[test]
fn h61_a_closed_sending_side_is_not_a_reader_that_left() {
    let mut server = Harness::start();
    for stream in [false, true] {
        let mut wire = send(&server, &long(stream));
        wire.finish();
        let reply = wire.reply();
        assert_eq!(reply.status, 200);
        if stream {
            assert!(reply.text().ends_with("data: [DONE]\n\n"), "{}", reply.text());
        } else {
            assert_eq!(reply.json()["usage"]["completion_tokens"], 900);
        }
    }
    assert_eq!(aborted(&server), 0);
    server.assert_alive_and_level();
}

#[test]
fn h61_a_reset_connection_stops_its_answer() {
    let mut server = Harness::start();
    let wire = send_four(&server);
    let socket = Socket::from(wire.stream.try_clone().expect("a handle"));
    socket.set_linger(Some(Duration::ZERO)).expect("an option");
    drop((socket, wire));
    assert_aborts(&server, 4);
    server.assert_alive_and_level();
}

#[test]
fn h62_a_reader_that_stops_reading_is_left() {
    let mut server = Harness::configured(&[], |config| {
        config.limits.write_time = Duration::from_millis(300);
        config.limits.send_buffer = 4 << 10;
    });
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(2 << 10).expect("an option");
    socket.connect(&server.address.into()).expect("it listens");
    let mut wire = Wire::over(TcpStream::from(socket));
    let mut body = long(true);
    (body["n"], body["logprobs"]) = (json!(4), json!(5));
    wire.send(&post(PATH, "", body.to_string().as_bytes()));
    assert!(eventually(|| server.state.engine.load().running > 0));
    // Nothing is read, so all four end before their time.
    assert_aborts(&server, 4);
    server.assert_alive_and_level();
}

#[test]
fn h63_a_stream_that_breaks_off_says_so_and_never_done() {
    let mut server = Harness::with(&["--shutdown-timeout", "0"]);
    let mut body = long(true);
    body["n"] = json!(8);
    let mut wire = send(&server, &body);
    begin(&mut wire);
    server.ask_to_stop();
    let mut text = String::new();
    while let Some(chunk) = wire.chunk().expect("a chunk") {
        text.push_str(std::str::from_utf8(&chunk).expect("text"));
    }
    assert!(!text.contains("[DONE]"), "{text}");
    let last = text.trim_end().rsplit("\n\n").next().expect("an event");
    assert!(last.contains("\"error\""), "{last}");
    assert!(server.join().is_ok(), "an error event is a clean end");
}

#[test]
fn h64_what_finds_no_place_is_told_when_to_try_again() {
    let mut server = Harness::with(&["--parallel", "1", "--max-queue-size", "2"]);
    let mut running = send(&server, &long(true));
    begin(&mut running);
    let queued = [send(&server, &long(false)), send(&server, &long(false))];
    assert!(eventually(|| server.state.engine.load().waiting == 2));
    let refused = server.post(PATH, &long(false));
    assert!(matches!(refused.status, 429 | 503), "{refused:?}");
    refused.assert_error(refused.status);
    assert!(refused.header("retry-after").is_some_and(|wait| wait.parse::<u32>().is_ok()), "{refused:?}");
    assert_eq!(server.get("/health").status, 200);
    drop(queued);
    drop(running);
    server.assert_alive_and_level();
}

#[test]
fn h64_what_can_never_fit_is_refused_at_once() {
    let mut server = Harness::start();
    let prompt = vec![300; 1100];
    let reply = server.post(PATH, &json!({"model": MODEL, "prompt": prompt, "max_tokens": 1}));
    reply.assert_error(400);
    assert_eq!(reply.json()["error"]["code"], "context_length_exceeded");
    server.assert_alive_and_level();
}

#[test]
fn h64_running_streams_end_by_themselves_when_the_server_is_asked_to_stop() {
    // Time enough for a debug build on a busy machine.
    let mut server = Harness::with(&["--shutdown-timeout", "600"]);
    let mut body = long(true);
    body["max_tokens"] = json!(300);
    let mut wires: Vec<Wire> = (0..8).map(|_| send(&server, &body)).collect();
    wires.iter_mut().for_each(begin);
    let mut idle = server.connect();
    server.ask_to_stop();
    assert!(eventually(|| server.state.is_draining.load(std::sync::atomic::Ordering::Relaxed)));
    server.get("/ready").assert_error(503);
    server.post(PATH, &long(false)).assert_error(503);
    for mut wire in wires {
        let mut text = String::new();
        while let Some(chunk) = wire.chunk().expect("a chunk") {
            text.push_str(std::str::from_utf8(&chunk).expect("text"));
        }
        assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
    }
    assert!(server.join().is_ok());
    assert_eq!(idle.read_to_end(), "");
    let _ = idle.stream.shutdown(Shutdown::Both);
}

#[test]
fn h60_keys_do_not_share_cached_prompts() {
    let mut server = Harness::with(&["--api-key", "one", "--api-key", "two"]);
    let prompt: Vec<u32> = (0..64).map(|token| 300 + token * 3).collect();
    let body = json!({"model": MODEL, "prompt": prompt, "max_tokens": 1}).to_string();
    let cached = |key: &str| {
        let reply = server.post_with(PATH, &format!("authorization: Bearer {key}\r\n"), body.as_bytes());
        reply.json()["usage"]["prompt_tokens_details"]["cached_tokens"].as_u64().expect("a count")
    };
    assert_eq!(cached("one"), 0);
    assert!(cached("one") >= 48);
    assert_eq!(cached("two"), 0, "the other key's prompt is not known to it");
    assert!(cached("two") >= 48);
    server.assert_alive_and_level();
}

#[test]
fn h50_models_come_from_a_list_and_never_from_a_path() {
    let mut server = Harness::start();
    let huge = "x".repeat(1 << 20);
    for model in ["../../etc/passwd", "/etc/passwd", "a\u{0}b", "file:///etc/passwd", huge.as_str()] {
        let reply = server.post(PATH, &json!({"model": model, "prompt": "a", "max_tokens": 1}));
        reply.assert_error(404);
        assert!(reply.body.len() < 1000, "it is not repeated in full");
    }
    server.assert_alive_and_level();
}
