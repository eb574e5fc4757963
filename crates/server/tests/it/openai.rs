//! OpenAI's APIs over the socket: what is streamed is what is sent whole, and what is asked for is what comes.

use serde_json::{Value, json};

use crate::harness::{Harness, MODEL, Reply};

const CHAT: &str = "/v1/chat/completions";
const COMPLETIONS: &str = "/v1/completions";

/// A body with these fields more, or instead.
fn with(mut body: Value, fields: Value) -> Value {
    for (name, value) in fields.as_object().expect("an object") {
        body[name] = value.clone();
    }
    body
}

fn question(fields: Value) -> Value {
    let body = json!({
        "messages": [{"role": "user", "content": "What is paged attention?"}], "temperature": 0, "max_tokens": 40
    });
    with(body, fields)
}

fn ok(reply: Reply) -> Value {
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

/// The data of each event; the last must be the mark of the end.
fn events(reply: &Reply) -> Vec<Value> {
    assert_eq!(reply.status, 200, "{}", reply.text());
    let text = reply.text();
    let mut data: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
    assert_eq!(data.pop(), Some("[DONE]"), "{text}");
    data.into_iter().map(|data| serde_json::from_str(data).expect("JSON")).collect()
}

/// The text of one answer over all events.
fn streamed(events: &[Value], index: u64, pointer: &str) -> String {
    let choices = events.iter().flat_map(|event| event["choices"].as_array().expect("choices"));
    choices.filter(|choice| choice["index"] == index).filter_map(|choice| choice.pointer(pointer)?.as_str()).collect()
}

#[test]
fn models_are_listed_and_found_by_name() {
    let server = Harness::start();
    let list = ok(server.get("/v1/models"));
    let model = &list["data"][0];
    assert_eq!((&model["id"], &model["object"], &model["parent"]), (&json!(MODEL), &json!("model"), &Value::Null));
    assert_eq!(model["max_model_len"], 1024);
    assert_eq!(&ok(server.get(&format!("/v1/models/{MODEL}"))), model);
    server.get("/v1/models/other").assert_error(404);
}

#[test]
fn a_streamed_chat_is_the_whole_one_in_pieces() {
    let mut server = Harness::start();
    let whole = ok(server.post(CHAT, &question(json!({}))));
    let reply = server.post(CHAT, &question(json!({"stream": true, "stream_options": {"include_usage": true}})));
    assert_eq!(reply.header("content-type"), Some("text/event-stream; charset=utf-8"));
    let events = events(&reply);
    assert_eq!(events[0]["choices"][0]["delta"], json!({"role": "assistant", "content": ""}));
    assert_eq!(
        streamed(&events, 0, "/delta/content"),
        whole["choices"][0]["message"]["content"].as_str().expect("text")
    );
    let (usage, end) = (&events[events.len() - 1], &events[events.len() - 2]);
    assert_eq!((&usage["choices"], end["choices"][0]["finish_reason"].as_str()), (&json!([]), Some("stop")));
    assert_eq!(usage["usage"]["completion_tokens"], whole["usage"]["completion_tokens"]);
    assert!(events[..events.len() - 1].iter().all(|event| event["usage"].is_null()));
    assert!(events.iter().all(|event| event["id"] == events[0]["id"]));
    server.assert_alive_and_level();
}

#[test]
fn each_event_tells_the_counts_if_asked_and_the_last_tells_all_tokens() {
    let server = Harness::start();
    let options = json!({"include_usage": true, "continuous_usage_stats": true});
    let body =
        question(json!({"stream": true, "stream_options": options, "return_token_ids": true, "ignore_eos": true}));
    let events = events(&server.post(CHAT, &body));
    let counts: Vec<u64> =
        events.iter().map(|event| event["usage"]["completion_tokens"].as_u64().expect("a count")).collect();
    assert!(counts.is_sorted() && counts.last() == Some(&40), "{counts:?}");
    let choices = events.iter().flat_map(|event| event["choices"].as_array().expect("choices"));
    let ids: usize = choices.filter_map(|choice| Some(choice["token_ids"].as_array()?.len())).sum();
    assert_eq!(ids, 40);
    server.post(CHAT, &question(json!({"stream_options": {}}))).assert_error(400);
}

#[test]
fn answers_of_one_seed_are_the_same_and_several_are_different() {
    let mut server = Harness::start();
    let body = json!({"prompt": "The", "n": 3, "seed": 7, "temperature": 1.5, "max_tokens": 12});
    let texts = |body: &Value| {
        let reply = ok(server.post(COMPLETIONS, body));
        let choices = reply["choices"].as_array().expect("choices").clone();
        choices.iter().map(|choice| choice["text"].as_str().expect("text").to_owned()).collect::<Vec<_>>()
    };
    let first = texts(&body);
    assert_eq!(first.len(), 3);
    assert!(first[0] != first[1] && first[1] != first[2], "{first:?}");
    assert_eq!(texts(&body), first);
    let stream = events(&server.post(COMPLETIONS, &with(body.clone(), json!({"stream": true}))));
    for (i, text) in (0..).zip(&first) {
        assert_eq!(&streamed(&stream, i, "/text"), text);
    }
    // One answer of a seed is the first of several.
    assert_eq!(texts(&with(body, json!({"n": 1})))[..], first[..1]);
    server.assert_alive_and_level();
}

#[test]
fn the_best_answer_is_the_likeliest_of_all() {
    let server = Harness::start();
    let body = json!({"prompt": "The", "seed": 7, "temperature": 1.5, "max_tokens": 8, "logprobs": 0});
    let mean = |choice: &Value| {
        let logprobs = choice["logprobs"]["token_logprobs"].as_array().expect("a list").clone();
        logprobs.iter().filter_map(Value::as_f64).sum::<f64>() / logprobs.len() as f64
    };
    let all = ok(server.post(COMPLETIONS, &with(body.clone(), json!({"n": 4}))));
    let best = ok(server.post(COMPLETIONS, &with(body, json!({"n": 1, "best_of": 4}))));
    let most = all["choices"].as_array().expect("choices").iter().map(mean).fold(f64::MIN, f64::max);
    assert!((mean(&best["choices"][0]) - most).abs() < 1e-9);
    assert_eq!((best["choices"].as_array().map(Vec::len), &best["usage"]), (Some(1), &all["usage"]));
}

#[test]
fn several_prompts_are_answered_in_order() {
    let mut server = Harness::start();
    let alone = |prompt: Value| {
        let body = json!({"prompt": prompt, "max_tokens": 6, "temperature": 0});
        ok(server.post(COMPLETIONS, &body))["choices"][0]["text"].clone()
    };
    let body = json!({"prompt": ["Hello", "The key"], "n": 2, "max_tokens": 6, "temperature": 0});
    let reply = ok(server.post(COMPLETIONS, &body));
    let texts: Vec<Value> = reply["choices"].as_array().expect("choices").iter().map(|c| c["text"].clone()).collect();
    let (first, second) = (alone(json!("Hello")), alone(json!("The key")));
    assert_eq!(texts, [first.clone(), first.clone(), second.clone(), second]);
    let tokens = ok(server.post("/tokenize", &json!({"prompt": "Hello"})))["tokens"].clone();
    assert_eq!(alone(tokens), first);
    server.assert_alive_and_level();
}

#[test]
fn log_probabilities_name_each_token_and_its_alternatives() {
    let server = Harness::start();
    let reply = ok(server.post(CHAT, &question(json!({"logprobs": true, "top_logprobs": 3}))));
    let content = reply["choices"][0]["logprobs"]["content"].as_array().expect("tokens").clone();
    let text: String = content.iter().filter_map(|entry| entry["token"].as_str()).collect();
    assert_eq!(text, reply["choices"][0]["message"]["content"].as_str().expect("text"));
    for entry in &content {
        assert_eq!(entry["top_logprobs"].as_array().map(Vec::len), Some(3));
        // Greedy takes the likeliest.
        assert_eq!(entry["top_logprobs"][0]["token"], entry["token"]);
        assert!(entry["logprob"].as_f64().is_some_and(|logprob| logprob <= 0.0));
    }
    let stream = events(&server.post(CHAT, &question(json!({"logprobs": true, "stream": true}))));
    let choices = stream.iter().flat_map(|event| event["choices"].as_array().expect("choices"));
    let entries: usize = choices.filter_map(|choice| Some(choice["logprobs"]["content"].as_array()?.len())).sum();
    assert_eq!(entries, content.len());
}

#[test]
fn an_echoed_prompt_has_its_log_probabilities() {
    let server = Harness::start();
    let prompt = "Paged attention keeps";
    let body = json!({"prompt": prompt, "echo": true, "logprobs": 1, "max_tokens": 3, "n": 2, "temperature": 0});
    let reply = ok(server.post(COMPLETIONS, &body));
    for choice in reply["choices"].as_array().expect("choices") {
        let text = choice["text"].as_str().expect("text");
        let tokens = choice["logprobs"]["tokens"].as_array().expect("tokens");
        let joined: String = tokens.iter().filter_map(Value::as_str).collect();
        assert!(text.starts_with(prompt) && joined == text, "{joined:?} {text:?}");
        let logprobs = choice["logprobs"]["token_logprobs"].as_array().expect("a list");
        assert!(logprobs[0].is_null() && logprobs[1..].iter().all(Value::is_number), "{logprobs:?}");
        let offsets = choice["logprobs"]["text_offset"].as_array().expect("a list");
        assert!(offsets.is_sorted_by_key(|offset| offset.as_u64()) && offsets.len() == tokens.len());
    }
}

#[test]
fn a_stop_text_is_found_over_the_borders_of_tokens() {
    let server = Harness::start();
    let whole = ok(server.post(CHAT, &question(json!({}))));
    let whole = whole["choices"][0]["message"]["content"].as_str().expect("text").to_owned();
    // From the middle of one word to the middle of the next.
    let stop = &whole[whole.find("tention").expect("its subject")..][..10];
    for stream in [false, true] {
        let reply = server.post(CHAT, &question(json!({"stop": ["never said", stop], "stream": stream})));
        let (text, reason) = match stream {
            true => {
                let events = events(&reply);
                let end = events.last().expect("an end")["choices"][0].clone();
                (streamed(&events, 0, "/delta/content"), end["stop_reason"].clone())
            }
            false => {
                let choice = ok(reply)["choices"][0].clone();
                (choice["message"]["content"].as_str().expect("text").to_owned(), choice["stop_reason"].clone())
            }
        };
        assert_eq!(text, whole[..whole.find(stop).expect("it is there")]);
        assert_eq!(reason, stop);
    }
    let included = ok(server.post(CHAT, &question(json!({"stop": stop, "include_stop_str_in_output": true}))));
    assert!(included["choices"][0]["message"]["content"].as_str().is_some_and(|text| text.ends_with(stop)));
}

#[test]
fn a_stop_token_ends_the_answer_and_is_no_part_of_it() {
    let server = Harness::start();
    let whole = ok(server.post(CHAT, &question(json!({"return_token_ids": true}))));
    let ids = whole["choices"][0]["token_ids"].as_array().expect("ids").clone();
    let stop = ids[4].clone();
    let first = ids.iter().position(|id| *id == stop).expect("it is there");
    let reply = ok(server.post(CHAT, &question(json!({"stop_token_ids": [stop], "return_token_ids": true}))));
    let choice = &reply["choices"][0];
    assert_eq!((&choice["stop_reason"], &choice["finish_reason"]), (&stop, &json!("stop")));
    let text = choice["message"]["content"].as_str().expect("text");
    assert!(whole["choices"][0]["message"]["content"].as_str().is_some_and(|whole| whole.starts_with(text)));
    assert_eq!(reply["usage"]["completion_tokens"], first + 1);
}

#[test]
fn tokens_are_chosen_among_those_that_are_allowed() {
    let mut server = Harness::start();
    let ids = |fields: Value| {
        let body = json!({"prompt": "Hello", "max_tokens": 24, "temperature": 1, "seed": 3, "return_token_ids": true});
        let reply = ok(server.post(COMPLETIONS, &with(body, fields)));
        let ids = reply["choices"][0]["token_ids"].as_array().expect("ids").clone();
        ids.iter().filter_map(Value::as_u64).collect::<Vec<u64>>()
    };
    assert!(ids(json!({"allowed_token_ids": [300, 301], "ignore_eos": true})).iter().all(|id| [300, 301].contains(id)));
    assert!(ids(json!({"logit_bias": {"500": 100}, "max_tokens": 5})).iter().all(|id| *id == 500));
    let free = ids(json!({"ignore_eos": true}));
    let banned = ids(json!({"ignore_eos": true, "logit_bias": {free[0].to_string(): -100}}));
    assert_ne!(free[0], banned[0]);
    assert!(ids(json!({"min_tokens": 20})).len() >= 20);
    let word = ok(server.post("/detokenize", &json!({"tokens": [free[0]]})))["prompt"].clone();
    assert!(!ids(json!({"ignore_eos": true, "bad_words": [word]})).contains(&free[0]));
    let long = json!({"prompt": "Hello", "bad_words": ["several words at once"]});
    server.post(COMPLETIONS, &long).assert_error(400);
    server.assert_alive_and_level();
}

#[test]
fn prompts_can_be_cut_told_and_cached() {
    let mut server = Harness::start();
    let prompt = "Paged attention keeps the KV cache in blocks. ".repeat(8);
    let body = json!({"prompt": prompt, "max_tokens": 1, "temperature": 0});
    let cached = |fields: Value| {
        let reply = ok(server.post(COMPLETIONS, &with(body.clone(), fields)));
        reply["usage"]["prompt_tokens_details"]["cached_tokens"].as_u64().expect("a count")
    };
    assert_eq!(cached(json!({})), 0);
    assert!(cached(json!({})) > 0);
    assert_eq!(cached(json!({"cache_salt": "mine"})), 0);
    assert!(cached(json!({"cache_salt": "mine"})) > 0);
    let cut = ok(server.post(COMPLETIONS, &with(body.clone(), json!({"truncate_prompt_tokens": 5}))));
    assert_eq!(cut["usage"]["prompt_tokens"], 5);
    let told = ok(server.post(COMPLETIONS, &with(body, json!({"prompt_logprobs": 2, "cache_salt": "other"}))));
    let told_prompt = told["choices"][0]["prompt_logprobs"].as_array().expect("a list");
    assert_eq!(json!(told_prompt.len()), told["usage"]["prompt_tokens"]);
    assert!(told_prompt[0].is_null() && told_prompt[1].as_object().is_some_and(|top| [2, 3].contains(&top.len())));
    server.assert_alive_and_level();
}

#[test]
fn a_server_that_loads_says_so_and_when_to_come_back() {
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let server = Harness::loading(
        &[],
        |_| {},
        move || {
            let _ = wait.recv();
        },
    );
    for path in [CHAT, COMPLETIONS] {
        let reply = server.post(path, &with(question(json!({})), json!({"prompt": "x"})));
        reply.assert_error(503);
        assert!(reply.header("retry-after").is_some());
        assert_eq!(reply.json()["error"]["code"], "model_loading");
    }
    drop(go);
}

#[test]
fn forms_that_are_asked_for_are_kept() {
    let mut server = Harness::start();
    let schema = json!({
        "type": "object",
        "properties": {"name": {"enum": ["a", "b"]}, "count": {"type": "integer", "minimum": 0, "maximum": 9}},
        "required": ["name", "count"],
        "additionalProperties": false,
    });
    let format = json!({"type": "json_schema", "json_schema": {"name": "x", "schema": schema}});
    let mut whole = 0;
    for seed in 0..8 {
        let body = question(json!({"response_format": format, "temperature": 1, "seed": seed, "max_tokens": 200}));
        let reply = ok(server.post(CHAT, &body));
        let choice = &reply["choices"][0];
        // An answer that was cut is no whole object; the model may dwell on space between.
        if choice["finish_reason"] == "length" {
            continue;
        }
        whole += 1;
        let text = choice["message"]["content"].as_str().expect("text");
        let value: Value = serde_json::from_str(text).expect("JSON");
        assert!(["a", "b"].contains(&value["name"].as_str().expect("a name")), "{text}");
        assert!(value["count"].as_u64().is_some_and(|count| count <= 9), "{text}");
        assert_eq!(value.as_object().map(serde_json::Map::len), Some(2));
    }
    assert!(whole > 0, "no answer was whole");
    let text = |fields: Value| {
        let reply = ok(server.post(CHAT, &question(with(fields, json!({"temperature": 1, "seed": 1})))));
        reply["choices"][0]["message"]["content"].as_str().expect("text").to_owned()
    };
    assert!(["yes", "no"].contains(&text(json!({"guided_choice": ["yes", "no"]})).as_str()));
    assert!(text(json!({"structured_outputs": {"regex": "[0-9]{3}"}})).bytes().all(|byte| byte.is_ascii_digit()));
    assert_eq!(text(json!({"guided_grammar": "root ::= \"x\" [yz]"})).chars().next(), Some('x'));
    server.assert_alive_and_level();
}

#[test]
fn tools_are_called_when_the_model_must_or_wants_to() {
    let mut server = Harness::start();
    let parameters = json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]});
    let tool = json!({"type": "function", "function": {"name": "get_weather", "parameters": parameters}});
    let ask = |choice: Value, stream: bool| {
        server.post(
            CHAT,
            &json!({
                "messages": [{"role": "user", "content": "What is the weather in Paris?"}],
                "tools": [tool], "tool_choice": choice, "temperature": 0, "max_tokens": 80, "stream": stream,
            }),
        )
    };
    for choice in [json!("auto"), json!("required"), json!({"type": "function", "function": {"name": "get_weather"}})] {
        let whole = ok(ask(choice.clone(), false))["choices"][0].clone();
        assert_eq!(whole["finish_reason"], "tool_calls", "{choice}: {whole}");
        let function = &whole["message"]["tool_calls"][0]["function"];
        let arguments: Value = serde_json::from_str(function["arguments"].as_str().expect("text")).expect("JSON");
        assert_eq!((&function["name"], arguments["city"].is_string()), (&json!("get_weather"), true));
        let stream = events(&ask(choice, true));
        assert_eq!(
            streamed(&stream, 0, "/delta/tool_calls/0/function/arguments"),
            function["arguments"].as_str().expect("text")
        );
    }
    let none = ok(ask(json!("none"), false));
    assert!(none["choices"][0]["message"].get("tool_calls").is_none());
    server.assert_alive_and_level();
}

#[test]
fn prompts_are_rendered_tokenized_and_back() {
    let server = Harness::start();
    let rendered = ok(server.post("/v1/chat/completions/render", &question(json!({}))));
    let tokens = rendered["token_ids"].clone();
    assert_eq!(
        ok(server.post(CHAT, &question(json!({}))))["usage"]["prompt_tokens"],
        tokens.as_array().expect("ids").len()
    );
    assert_eq!(ok(server.post("/detokenize", &json!({"tokens": tokens})))["prompt"], rendered["prompt"]);
    let list = ok(server.post("/v1/completions/render", &json!({"prompt": ["Hello", [1, 2]]})));
    assert_eq!(list[1]["token_ids"], json!([1, 2]));
    assert_eq!(list[0]["token_ids"], ok(server.post("/tokenize", &json!({"prompt": "Hello"})))["tokens"]);
    assert_eq!(ok(server.get("/tokenizer_info"))["vocab_size"], 2048);
    server.post("/detokenize", &json!({"tokens": [999_999]})).assert_error(400);
}

#[test]
fn a_message_of_the_assistant_can_be_continued() {
    let server = Harness::start();
    let body = json!({
        "messages": [
            {"role": "user", "content": "What is paged attention?"},
            {"role": "assistant", "content": "Paged attention keeps the KV"},
        ],
        "continue_final_message": true, "temperature": 0, "max_tokens": 8,
    });
    let prompt = ok(server.post("/v1/chat/completions/render", &body))["prompt"].clone();
    assert!(prompt.as_str().is_some_and(|prompt| prompt.ends_with("Paged attention keeps the KV")), "{prompt}");
    let text = ok(server.post(CHAT, &body))["choices"][0]["message"]["content"].clone();
    assert!(text.as_str().is_some_and(|text| text.starts_with(" cache")), "{text}");
}

#[test]
fn texts_become_vectors() {
    let mut server = Harness::start();
    let reply = ok(server.post("/v1/embeddings", &json!({"input": ["paged attention", "a kitten"]})));
    let vector = |i: usize| {
        let list = reply["data"][i]["embedding"].as_array().expect("a vector").clone();
        list.iter().filter_map(Value::as_f64).map(|x| x as f32).collect::<Vec<f32>>()
    };
    assert_eq!((vector(0).len(), vector(1).len()), (256, 256));
    let length: f32 = vector(0).iter().map(|x| x * x).sum();
    assert!((length - 1.0).abs() < 1e-3 && vector(0) != vector(1));
    assert_eq!(reply["usage"]["prompt_tokens"], reply["usage"]["total_tokens"]);
    let base64 = json!({"input": "paged attention", "encoding_format": "base64", "dimensions": 256});
    let base64 = ok(server.post("/v1/embeddings", &base64));
    assert_eq!(base64["data"][0]["embedding"].as_str().map(str::len), Some((256_usize * 4).div_ceil(3) * 4));
    server.post("/v1/embeddings", &json!({"input": "a", "dimensions": 8})).assert_error(400);
    server.post("/v1/embeddings", &json!({"input": []})).assert_error(400);
    server.assert_alive_and_level();
}

#[test]
fn the_document_describes_every_route() {
    let server = Harness::start();
    let document = ok(server.get("/openapi.json"));
    for path in
        ["/v1/models", CHAT, COMPLETIONS, "/v1/responses", "/v1/embeddings", "/tokenize", "/v1/messages", "/api/chat"]
    {
        assert!(document["paths"].get(path).is_some(), "{path}");
    }
    let schema = &document["components"]["schemas"]["ChatRequest"];
    assert_eq!(schema["properties"]["top_logprobs"]["maximum"], 20);
    assert_eq!(schema["required"], json!(["messages"]));
}

#[test]
fn prompts_of_one_request_all_get_their_answers_though_one_ends_before_the_other() {
    let server = Harness::start();
    let texts: Vec<String> = (0..24).map(|i| "a longer text ".repeat(i % 5 + 1)).collect();
    for _ in 0..10 {
        let body = ok(server.post("/v1/embeddings", &json!({"input": texts})));
        assert_eq!(body["data"].as_array().map(Vec::len), Some(texts.len()));
        let body = ok(server.post(COMPLETIONS, &json!({"prompt": texts, "max_tokens": 3, "ignore_eos": true})));
        let choices = body["choices"].as_array().expect("choices");
        assert!(choices.iter().all(|choice| choice["finish_reason"] == "length"), "{body}");
    }
}
