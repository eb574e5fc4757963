//! The server's own API and those of Anthropic and Ollama, as they are on the wire.

use serde_json::{Value, json};

use crate::harness::{Harness, MODEL, Reply, Wire, eventually, post};

fn events(reply: &Reply) -> Vec<Value> {
    let data = reply.text();
    data.lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).expect("JSON"))
        .collect()
}

/// A stream that goes on until it is stopped, whose first event has come.
fn endless(harness: &Harness, name: &str) -> Wire {
    let body = json!({"prompt": "Once", "max_tokens": 900, "stream": true, "ignore_eos": true});
    let mut wire = harness.connect();
    wire.send(&post("/generate", &format!("x-request-id: {name}\r\n"), body.to_string().as_bytes()));
    assert_eq!(wire.head().expect("an answer").status, 200);
    wire.chunk().expect("an event");
    wire
}

#[test]
fn a_prompt_is_continued_whole_and_as_events() {
    let mut harness = Harness::start();
    let body = json!({"prompt": "Paged attention", "max_tokens": 12, "temperature": 0});
    let whole = harness.post("/generate", &body).json();
    assert_eq!((&whole["finished"], &whole["finish_reason"]), (&json!(true), &json!("length")));
    assert_eq!(whole["tokens"].as_array().map(Vec::len), Some(12));
    let events = events(&harness.post("/generate/stream", &body));
    let text: String = events.iter().filter_map(|event| event["text"].as_str()).collect();
    assert_eq!(text, whole["text"]);
    let tokens: Vec<Value> = events.iter().filter_map(|event| event["tokens"].as_array()).flatten().cloned().collect();
    assert_eq!(json!(tokens), whole["tokens"]);
    let last = events.last().expect("events");
    assert_eq!((&last["finished"], &last["usage"]["completion_tokens"]), (&json!(true), &json!(12)));
    assert!(events.iter().rev().skip(1).all(|event| event["finished"] == false));
    harness.assert_alive_and_level();
}

#[test]
fn tokens_are_continued_as_their_text_is() {
    let harness = Harness::start();
    let tokens = harness.post("/tokenize", &json!({"prompt": "Paged attention"})).json()["tokens"].clone();
    let params = json!({"max_tokens": 6, "temperature": 0});
    let by_tokens =
        harness.post("/inference/v1/generate", &json!({"token_ids": tokens, "sampling_params": params})).json();
    let by_text = json!({"prompt": "Paged attention", "max_tokens": 6, "temperature": 0});
    assert_eq!(by_tokens["tokens"], harness.post("/generate", &by_text).json()["tokens"]);
    harness.post("/inference/v1/generate", &json!({"token_ids": [1 << 30]})).assert_error(400);
}

#[test]
fn a_request_is_followed_and_stopped_by_its_name() {
    let mut harness = Harness::start();
    let mut wire = endless(&harness, "story-1");
    assert_eq!(harness.get("/status/story-1").json()["status"], "processing");
    assert_eq!(harness.post("/cancel/story-1", &json!({})).json()["cancelled"], true);
    let mut rest = String::new();
    while let Some(chunk) = wire.chunk().expect("it ends well") {
        rest += &String::from_utf8_lossy(&chunk);
    }
    assert!(rest.contains("\"finish_reason\":\"cancelled\""), "{rest}");
    let is_over = || harness.get("/status/story-1").json()["finished"] == true;
    assert!(eventually(is_over));
    harness.get("/status/story-2").assert_error(404);
    harness.post("/cancel/story-2", &json!({})).assert_error(404);
    harness.assert_alive_and_level();
}

#[test]
fn a_client_that_leaves_ends_its_request() {
    let mut harness = Harness::start();
    drop(endless(&harness, "left"));
    let is_cancelled = || harness.get("/status/left").json()["status"] == "cancelled";
    assert!(eventually(is_cancelled));
    harness.assert_alive_and_level();
}

#[test]
fn the_model_is_told_with_its_sizes() {
    let harness = Harness::start();
    let models = harness.get("/models").json();
    assert_eq!(models["models"][0]["name"], MODEL);
    assert_eq!(models["models"][0]["context_length"], 1024);
}

#[test]
fn errors_have_the_form_of_their_api() {
    let harness = Harness::with(&["--api-key", "key"]);
    let ask = |path: &str, key: &str, body: Value| {
        let reply = harness.post_with(path, &format!("x-api-key: {key}\r\n"), body.to_string().as_bytes());
        (reply.status, reply.json())
    };
    let question =
        |model: &str| json!({"model": model, "max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}]});
    let anthropic = |kind: &str, status: u16, answer: (u16, Value)| {
        assert_eq!((answer.0, &answer.1["type"], &answer.1["error"]["type"]), (status, &json!("error"), &json!(kind)));
    };
    anthropic("authentication_error", 401, ask("/v1/messages", "wrong", question(MODEL)));
    anthropic("not_found_error", 404, ask("/v1/messages", "key", question("other")));
    anthropic("invalid_request_error", 400, ask("/v1/messages", "key", json!({"model": MODEL})));
    let ollama =
        |status: u16, answer: (u16, Value)| assert!(answer.0 == status && answer.1["error"].is_string(), "{answer:?}");
    ollama(401, ask("/api/chat", "wrong", question(MODEL)));
    ollama(404, ask("/api/chat", "key", question("other")));
    ollama(400, ask("/api/chat", "key", json!({"model": MODEL, "options": {"num_ctx": 1_000_000}})));
    ollama(501, ask("/api/pull", "key", json!({"model": "other"})));
}

#[test]
fn a_limit_beyond_the_context_ends_there_where_clients_must_name_one() {
    let harness = Harness::start();
    let messages = json!([{"role": "user", "content": "What is paged attention?"}]);
    let anthropic = json!({"model": MODEL, "max_tokens": 32_000, "messages": messages});
    assert_eq!(harness.post("/v1/messages", &anthropic).status, 200);
    let ollama = json!({"model": MODEL, "stream": false, "options": {"num_predict": 32_000}, "messages": messages});
    assert_eq!(harness.post("/api/chat", &ollama).status, 200);
    let openai = json!({"model": MODEL, "max_tokens": 32_000, "messages": messages});
    harness.post("/v1/chat/completions", &openai).assert_error(400);
}

#[test]
fn ollamas_lines_are_json_and_the_last_one_says_so() {
    let harness = Harness::start();
    let body = json!({"model": MODEL, "options": {"num_predict": 4}, "messages": [{"role": "user", "content": "What is paged attention?"}]});
    let reply = harness.post("/api/chat", &body);
    assert_eq!(reply.header("content-type"), Some("application/x-ndjson"));
    let lines: Vec<Value> = reply.text().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let (last, others) = lines.split_last().expect("lines");
    assert!(last["done"] == true && others.iter().all(|line| line["done"] == false), "{lines:?}");
    assert_eq!(last["done_reason"], "length");
    let hello =
        harness.send("GET / HTTP/1.1\r\nhost: localhost\r\nuser-agent: ollama-python/0.6\r\nconnection: close\r\n\r\n");
    assert_eq!(hello.text(), "Ollama is running");
    // An answer to HEAD has no body, whatever length it names.
    let mut wire = harness.connect();
    wire.send(b"HEAD / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    assert_eq!(wire.head().expect("an answer").status, 200);
}
