//! The Responses API over the socket.

use serde_json::{Value, json};

use crate::harness::{Harness, Reply, eventually};

const RESPONSES: &str = "/v1/responses";

fn ok(reply: Reply) -> Value {
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

fn text(response: &Value) -> String {
    let items = response["output"].as_array().expect("items").iter();
    items.filter_map(|item| item.pointer("/content/0/text")?.as_str()).collect()
}

#[test]
fn a_streamed_response_is_the_whole_one_in_events() {
    let mut server = Harness::start();
    let body = json!({"input": "What is paged attention?", "temperature": 0, "max_output_tokens": 40});
    let whole = ok(server.post(RESPONSES, &body));
    assert_eq!((&whole["status"], &whole["object"]), (&json!("completed"), &json!("response")));
    let mut streamed = body.clone();
    streamed["stream"] = true.into();
    let reply = server.post(RESPONSES, &streamed);
    let events: Vec<Value> = reply
        .text()
        .lines()
        .filter_map(|line| Some(serde_json::from_str(line.strip_prefix("data: ")?).expect("JSON")))
        .collect();
    let names: Vec<&str> = events.iter().filter_map(|event| event["type"].as_str()).collect();
    assert_eq!(
        names[..4],
        ["response.created", "response.in_progress", "response.output_item.added", "response.content_part.added"]
    );
    let end =
        ["response.output_text.done", "response.content_part.done", "response.output_item.done", "response.completed"];
    assert_eq!(names[names.len() - 4..], end);
    assert!((0..).zip(&events).all(|(i, event)| event["sequence_number"] == i));
    let deltas: String = events.iter().filter_map(|event| event["delta"].as_str()).collect();
    let last = &events.last().expect("an end")["response"];
    assert_eq!((text(last), deltas), (text(&whole), text(&whole)));
    assert_eq!(last["usage"]["output_tokens"], whole["usage"]["output_tokens"]);
    server.assert_alive_and_level();
}

#[test]
fn a_response_goes_on_from_an_earlier_one_until_it_is_deleted() {
    let mut server = Harness::start();
    let first = ok(server.post(RESPONSES, &json!({"input": "Hello", "temperature": 0, "max_output_tokens": 16})));
    let id = first["id"].as_str().expect("an id").to_owned();
    let path = format!("{RESPONSES}/{id}");
    assert_eq!(ok(server.get(&path)), first);
    let more = json!({"input": "And now?", "previous_response_id": id, "temperature": 0, "max_output_tokens": 8});
    let second = ok(server.post(RESPONSES, &more));
    let tokens = |response: &Value| response["usage"]["input_tokens"].as_u64().expect("a count");
    assert!(tokens(&second) > tokens(&first) + 10, "{second}");
    let deleted = server.send(&format!("DELETE {path} HTTP/1.1\r\nhost: localhost\r\n\r\n"));
    assert_eq!(ok(deleted)["deleted"], true);
    server.get(&path).assert_error(404);
    server.post(RESPONSES, &more).assert_error(404);
    let kept = ok(server.post(RESPONSES, &json!({"input": "Hello", "store": false, "max_output_tokens": 1})));
    server.get(&format!("{RESPONSES}/{}", kept["id"].as_str().expect("an id"))).assert_error(404);
    assert_eq!(
        (&kept["status"], &kept["incomplete_details"]["reason"]),
        (&json!("incomplete"), &json!("max_output_tokens"))
    );
    server.assert_alive_and_level();
}

#[test]
fn a_response_in_the_background_is_kept() {
    let server = Harness::start();
    let reply = server.post("/v1/responses", &json!({"input": "Hello", "background": true, "store": false}));
    reply.assert_error(400);
    assert_eq!(reply.json()["error"]["param"], "store");
}

#[test]
fn a_response_in_the_background_can_be_waited_for_and_cancelled() {
    let mut server = Harness::start();
    let start = |fields: Value| {
        let mut body = json!({"input": "Hello", "background": true, "ignore_eos": true});
        body["max_output_tokens"] = fields;
        let response = ok(server.post(RESPONSES, &body));
        assert_eq!(response["status"], "in_progress");
        format!("{RESPONSES}/{}", response["id"].as_str().expect("an id"))
    };
    let status = |path: &str| ok(server.get(path))["status"].as_str().expect("a word").to_owned();
    let short = start(json!(4));
    assert!(eventually(|| status(&short) == "incomplete"));
    server.post(&format!("{short}/cancel"), &json!({})).assert_error(400);
    let long = start(json!(900));
    assert_eq!(ok(server.post(&format!("{long}/cancel"), &json!({})))["status"], "cancelled");
    assert!(eventually(|| status(&long) == "cancelled"));
    server.assert_alive_and_level();
}

#[test]
fn calls_and_their_outputs_are_items() {
    let server = Harness::start();
    let parameters = json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]});
    let tools = json!([{"type": "function", "name": "get_weather", "parameters": parameters}]);
    let question = json!({"role": "user", "content": "What is the weather in Paris?"});
    let body = json!({"input": [question], "tools": tools, "tool_choice": "required", "temperature": 0});
    let response = ok(server.post(RESPONSES, &body));
    let call = response["output"][0].clone();
    assert_eq!((&call["type"], &call["name"]), (&json!("function_call"), &json!("get_weather")), "{response}");
    let output = json!({"type": "function_call_output", "call_id": call["call_id"], "output": "sunny, 21 degrees"});
    let body = json!({"input": [question, call, output], "tools": tools, "temperature": 0, "max_output_tokens": 40});
    let answer = ok(server.post(RESPONSES, &body));
    assert_eq!(answer["output"][0]["type"], "message", "{answer}");
}

#[test]
fn the_form_of_the_text_is_kept() {
    let server = Harness::start();
    let format = json!({"type": "json_schema", "name": "x", "schema": {"enum": ["red", "blue"]}});
    let body = json!({"input": "A colour?", "text": {"format": format}, "max_output_tokens": 20});
    let response = ok(server.post(RESPONSES, &body));
    assert!(["\"red\"", "\"blue\""].contains(&text(&response).trim()), "{response}");
    let bad = json!({"input": "x", "text": {"format": {"type": "json_schema", "name": "x"}}});
    server.post(RESPONSES, &bad).assert_error(400);
    server.post(RESPONSES, &json!({"input": "x", "truncation": "auto"})).assert_error(400);
    server.post(RESPONSES, &json!({"input": "x", "tools": [{"type": "web_search"}]})).assert_error(400);
}
