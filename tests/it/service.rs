//! The engine on its own thread: many requests from many threads, readers that lag or leave, faults.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rocmforge_chat::Message;
use rocmforge_cpu_backend::CpuBackend;
use rocmforge_engine::{
    ClientId, EndTokens, Engine, EngineError, EngineHandle, EngineOptions, Event, EventStream, FailureKind,
    FinishReason, Load, ModelFile, Pooling, Request, ServiceOptions, Status, StopMatch, SubmitError,
};
use rocmforge_grammar::{Grammar, Limits, Spec};
use rocmforge_program::backend::{BackendError, StepInput};
use rocmforge_sampler::SamplingParams;

use crate::hooked::{Hook, Hooked};

const QUESTIONS: [&str; 16] = [
    "What is paged attention?",
    "What is 12 + 30?",
    "What is ROCm?",
    "What is a KV cache?",
    "What is GGUF?",
    "What is a token?",
    "Who are you?",
    "What is 7 + 5?",
    "What is Rust?",
    "What is a GPU?",
    "What is quantization?",
    "What is 100 + 1?",
    "What is a scheduler?",
    "What is attention?",
    "What is continuous batching?",
    "What is HIP?",
];

fn file() -> Arc<ModelFile> {
    Arc::new(ModelFile::from_static(rocmforge_demo_model::NAME, rocmforge_demo_model::GGUF).expect("it is valid"))
}

fn options() -> EngineOptions {
    EngineOptions {
        threads: 2,
        max_sequences: 16,
        context_length: Some(512),
        tokens_per_step: Some(64),
        embeddings: true,
        ..EngineOptions::default()
    }
}

fn start_with(options: EngineOptions) -> EngineHandle {
    let file = file();
    let load = move || Engine::load(file.clone(), options.clone());
    ready(EngineHandle::start(ServiceOptions::default(), load).expect("the thread starts"))
}

fn ready(handle: EngineHandle) -> EngineHandle {
    assert_eq!(handle.wait_ready_blocking(), Status::Ready);
    handle
}

fn ask(handle: &EngineHandle, question: &str) -> Request {
    let model = handle.model().expect("it is loaded");
    let prompt = model.chat.encode(&model.tokenizer, &[Message::user(question)], None).expect("it renders");
    let sampling = SamplingParams { temperature: 0.0, ..SamplingParams::default() };
    Request { sampling, max_tokens: Some(60), ..Request::new(prompt) }
}

/// What one answer of a stream came to.
#[derive(Debug, Clone, PartialEq, Default)]
struct Answer {
    text: String,
    tokens: Vec<u32>,
    logprobs: Vec<f32>,
    reason: Option<FinishReason>,
    stop: Option<StopMatch>,
    cached: usize,
}

/// Reads all answers of a stream, and checks that each ends once and nothing follows.
fn read(mut stream: EventStream, answers: usize) -> Vec<Answer> {
    let mut read = vec![Answer::default(); answers];
    let mut is_over = false;
    while let Some(event) = stream.next_blocking() {
        assert!(!is_over, "nothing follows the last event");
        match event {
            Event::Token { index, token, text, logprobs, .. } => {
                let answer = &mut read[index as usize];
                assert_eq!(answer.reason, None, "no token follows the end of an answer");
                answer.tokens.push(token);
                answer.text.push_str(&text);
                answer.logprobs.extend(logprobs.map(|(logprob, _)| logprob));
            }
            Event::Finished { index, text, reason, stop, usage, is_last, .. } => {
                let answer = &mut read[index as usize];
                assert_eq!(answer.reason.replace(reason), None, "an answer ends once");
                assert_eq!(usage.completion_tokens, answer.tokens.len(), "no token is lost or repeated");
                answer.text.push_str(&text);
                answer.stop = stop;
                answer.cached = usage.cached_tokens;
                is_over = is_last;
            }
            Event::PromptLogprobs { .. } | Event::Embedding { .. } => {}
        }
    }
    assert!(is_over && read.iter().all(|answer| answer.reason.is_some()), "every answer ends");
    read
}

fn one(handle: &EngineHandle, request: Request) -> Answer {
    read(handle.submit(request).expect("accepted"), 1).remove(0)
}

/// Waits until nothing runs and nothing waits, and checks that all blocks came back.
fn settled(handle: &EngineHandle) -> Load {
    let begun = Instant::now();
    loop {
        let load = handle.load();
        if (load.running, load.waiting, load.waiting_tokens, load.used_blocks) == (0, 0, 0, 0) {
            return load;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "it does not settle: {load:?}");
        thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn sixteen_clients_get_what_each_gets_alone_bit_for_bit() {
    let with_logprobs = |handle: &EngineHandle, n: usize| {
        let mut request = ask(handle, QUESTIONS[n]);
        request.sampling = SamplingParams {
            temperature: if n.is_multiple_of(2) { 0.0 } else { 0.9 },
            seed: Some(n as u64),
            logprobs: Some(0),
            ..SamplingParams::default()
        };
        request.client = ClientId(n as u64);
        request
    };
    let alone: Vec<Answer> = {
        let handle = start_with(EngineOptions { max_sequences: 1, ..options() });
        (0..16).map(|n| one(&handle, with_logprobs(&handle, n))).collect()
    };
    let handle = start_with(options());
    let together: Vec<Answer> = thread::scope(|scope| {
        let clients: Vec<_> = (0..16)
            .map(|n| {
                let handle = handle.clone();
                scope.spawn(move || one(&handle, with_logprobs(&handle, n)))
            })
            .collect();
        clients.into_iter().map(|client| client.join().expect("the client ends")).collect()
    });
    for (n, (mut together, mut alone)) in together.into_iter().zip(alone).enumerate() {
        (together.cached, alone.cached) = (0, 0);
        assert_eq!(together, alone, "{}", QUESTIONS[n]);
    }
    settled(&handle);
}

#[test]
fn several_answers_to_one_prompt_are_those_of_as_many_requests() {
    let handle = start_with(options());
    let request = |seed, sequences| {
        let sampling = SamplingParams { temperature: 1.2, seed: Some(seed), ..SamplingParams::default() };
        Request { sampling, sequences, ..ask(&handle, "Tell me a story.") }
    };
    let together = read(handle.submit(request(40, 4)).expect("accepted"), 4);
    for (index, answer) in together.iter().enumerate() {
        let alone = one(&handle, request(40 + index as u64, 1));
        assert_eq!((&answer.text, &answer.tokens), (&alone.text, &alone.tokens), "answer {index}");
    }
    assert!(together[1..].iter().any(|answer| answer.tokens != together[0].tokens), "seeds differ");
    settled(&handle);
}

#[test]
fn readers_that_leave_take_nothing_with_them() {
    let handle = start_with(EngineOptions { max_queue_size: 8, ..options() });
    let long = |n: usize| Request { end_tokens: EndTokens::Ignored, max_tokens: None, ..ask(&handle, QUESTIONS[n]) };
    let expected = one(&handle, ask(&handle, QUESTIONS[0]));
    for round in 0..8 {
        let mut streams: Vec<EventStream> = (0..16).filter_map(|n| handle.submit(long(n)).ok()).collect();
        let stays = handle.submit(ask(&handle, QUESTIONS[0]));
        for (n, stream) in streams.iter_mut().enumerate() {
            // Some leave while they wait, some in the prompt, some between tokens.
            for _ in 0..(n * round) % 5 {
                stream.next_blocking();
            }
        }
        drop(streams);
        if let Ok(stays) = stays {
            let answer = read(stays, 1).remove(0);
            assert_eq!((answer.text, answer.tokens), (expected.text.clone(), expected.tokens.clone()));
        }
        settled(&handle);
    }
}

#[test]
fn a_reader_that_lags_holds_up_nobody_else() {
    let handle = start_with(EngineOptions { context_length: Some(1024), ..options() });
    let long =
        |n: usize| Request { end_tokens: EndTokens::Ignored, max_tokens: Some(700), ..ask(&handle, QUESTIONS[n]) };
    let expected = one(&handle, long(1));
    let lags = handle.submit(long(1)).expect("accepted");
    let answers: Vec<Answer> = (0..3).map(|n| one(&handle, ask(&handle, QUESTIONS[n]))).collect();
    assert!(answers.iter().all(|answer| answer.reason == Some(FinishReason::Stop)));
    let begun = Instant::now();
    while handle.health().is_busy {
        assert!(begun.elapsed() < Duration::from_secs(60), "it is held back");
        thread::sleep(Duration::from_millis(5));
    }
    assert!(handle.load().running == 1, "it keeps its place: {:?}", handle.load());
    let answer = read(lags, 1).remove(0);
    assert_eq!((answer.text, answer.tokens), (expected.text, expected.tokens));
    settled(&handle);
}

#[test]
fn a_full_queue_is_said_at_once_and_empties() {
    let handle = start_with(EngineOptions { max_sequences: 1, max_queue_size: 2, ..options() });
    let long = || Request { end_tokens: EndTokens::Ignored, max_tokens: None, ..ask(&handle, QUESTIONS[0]) };
    let mut runs = handle.submit(long()).expect("accepted");
    runs.next_blocking();
    let waiting: Vec<EventStream> = (0..2).map(|_| handle.submit(long()).expect("there is room")).collect();
    let Err(SubmitError::Busy { waiting: 2, tokens, retry_after }) = handle.submit(long()) else {
        panic!("it is refused");
    };
    assert!(tokens > 0 && retry_after >= Duration::from_secs(1));
    drop((runs, waiting));
    settled(&handle);
    assert_eq!(one(&handle, ask(&handle, QUESTIONS[0])).reason, Some(FinishReason::Stop));
}

#[test]
fn when_the_cache_is_too_small_for_all_they_take_turns() {
    let small = EngineOptions { cache_tokens: Some(640), ..options() };
    let handle = start_with(small);
    let long =
        |n: usize| Request { end_tokens: EndTokens::Ignored, max_tokens: Some(120), ..ask(&handle, QUESTIONS[n]) };
    let alone: Vec<Answer> = (0..8).map(|n| one(&handle, long(n))).collect();
    let streams: Vec<EventStream> = (0..8).map(|n| handle.submit(long(n)).expect("accepted")).collect();
    for (n, stream) in streams.into_iter().enumerate() {
        let answer = read(stream, 1).remove(0);
        assert_eq!((&answer.text, &answer.tokens), (&alone[n].text, &alone[n].tokens), "{}", QUESTIONS[n]);
    }
    settled(&handle);
}

#[test]
fn what_made_room_comes_back_from_the_host() {
    let handle = start_with(EngineOptions { cache_tokens: Some(640), host_cache_tokens: 4096, ..options() });
    let long =
        |n: usize| Request { end_tokens: EndTokens::Ignored, max_tokens: Some(120), ..ask(&handle, QUESTIONS[n]) };
    let alone: Vec<Answer> = (0..8).map(|n| one(&handle, long(n))).collect();
    for _ in 0..2 {
        let streams: Vec<EventStream> = (0..8).map(|n| handle.submit(long(n)).expect("accepted")).collect();
        for (stream, alone) in streams.into_iter().zip(&alone) {
            let answer = read(stream, 1).remove(0);
            assert_eq!((&answer.text, &answer.tokens), (&alone.text, &alone.tokens));
        }
        settled(&handle);
    }
    let mut registry = prometheus_client::registry::Registry::default();
    handle.metrics().register(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).expect("it is written");
    let figure = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("it is there");
        line.trim().parse::<f64>().expect("a number")
    };
    assert!(figure("vllm:num_preemptions_total") > 0.0, "{text}");
    assert!(figure("vllm:external_prefix_cache_hits_total") > 0.0, "{text}");
}

#[test]
fn a_shared_prefix_is_computed_once() {
    let handle = start_with(options());
    let prefix = "Remember this list: apple, pear, plum, fig, date, lime, kiwi, melon. ".repeat(4);
    let asks = |n: usize| ask(&handle, &format!("{prefix}{}", QUESTIONS[n]));
    let length = asks(0).prompt.len();
    let streams: Vec<EventStream> = (0..8).map(|n| handle.submit(asks(n)).expect("accepted")).collect();
    let cached: Vec<usize> = streams.into_iter().map(|stream| read(stream, 1)[0].cached).collect();
    let computed = 8 * length - cached.iter().sum::<usize>();
    assert!(computed < 3 * length, "{computed} of {} tokens were computed; cached: {cached:?}", 8 * length);
}

#[test]
fn answers_end_as_requests_say() {
    let handle = start_with(options());
    let expected = one(&handle, ask(&handle, QUESTIONS[0]));
    let word = expected.text.split(' ').nth(3).expect("it has words").to_string();
    let stopped = one(&handle, Request { stop: vec![word.clone()], ..ask(&handle, QUESTIONS[0]) });
    assert_eq!(stopped.stop, Some(StopMatch::Text(word.clone())));
    assert!(expected.text.starts_with(&stopped.text) && !stopped.text.contains(&word), "{}", stopped.text);
    let request = Request { stop: vec![word.clone()], include_stop: true, ..ask(&handle, QUESTIONS[0]) };
    assert!(one(&handle, request).text.ends_with(&word));

    let token = expected.tokens[2];
    let stopped = one(&handle, Request { stop_tokens: vec![token], ..ask(&handle, QUESTIONS[0]) });
    assert_eq!((stopped.tokens.len(), stopped.stop), (3, Some(StopMatch::Token(token))));

    let least = expected.tokens.len() + 5;
    let longer = one(&handle, Request { min_tokens: least, max_tokens: Some(100), ..ask(&handle, QUESTIONS[0]) });
    assert!(longer.tokens.len() > least, "{}", longer.tokens.len());
    assert!(longer.tokens.starts_with(&expected.tokens[..expected.tokens.len() - 1]));
}

#[test]
fn prompts_tell_their_log_probabilities_in_any_chunks() {
    let logprobs = |tokens_per_step| {
        let handle = start_with(EngineOptions { tokens_per_step: Some(tokens_per_step), ..options() });
        let mut request = ask(&handle, "What is a KV cache, and what is paged attention?");
        (request.prompt_logprobs, request.max_tokens) = (Some(2), Some(1));
        let prompt = request.prompt.clone();
        let mut stream = handle.submit(request).expect("accepted");
        let mut told = Vec::new();
        while let Some(event) = stream.next_blocking() {
            if let Event::PromptLogprobs { logprobs, .. } = event {
                told.extend(logprobs);
            }
        }
        assert_eq!(told.len(), prompt.len());
        assert!(told[0].is_none());
        for (entry, &token) in told.iter().zip(&prompt).skip(1) {
            let entry = entry.as_ref().expect("all but the first have one");
            assert_eq!((entry.token, entry.top.len()), (token, 2));
            assert_eq!(entry.rank == 1, entry.top[0].token == token);
        }
        told
    };
    assert_eq!(logprobs(16), logprobs(64));
}

/// The vector of a text, and how many of its tokens were cached.
fn embed(handle: &EngineHandle, text: &str, pooling: Pooling) -> (Vec<f32>, usize) {
    let request = Request { pooling: Some(pooling), ..ask(handle, text) };
    let mut stream = handle.submit(request).expect("accepted");
    let mut vector = None;
    while let Some(event) = stream.next_blocking() {
        match event {
            Event::Embedding { embedding, .. } => assert!(vector.replace(embedding).is_none(), "there is one"),
            Event::Finished { reason, usage, .. } => {
                assert_eq!(reason, FinishReason::Length);
                return (vector.expect("it came before the end"), usage.cached_tokens);
            }
            event => panic!("{event:?}"),
        }
    }
    panic!("it ends")
}

#[test]
fn an_engine_without_room_for_vectors_says_so() {
    let handle = start_with(EngineOptions { embeddings: false, ..options() });
    let request = Request { pooling: Some(Pooling::Last), ..ask(&handle, QUESTIONS[0]) };
    let error = handle.submit(request).expect_err("it is refused");
    assert!(matches!(error, SubmitError::Request(EngineError::NoEmbeddings)), "{error}");
}

#[test]
fn vectors_of_texts_do_not_depend_on_steps_or_company() {
    let small = start_with(EngineOptions { tokens_per_step: Some(16), ..options() });
    let large = start_with(EngineOptions { tokens_per_step: Some(512), ..options() });
    let text = "Remember this list: apple, pear, plum, fig, date, lime, kiwi, melon. ".repeat(3);
    let company = large.submit(Request { end_tokens: EndTokens::Ignored, ..ask(&large, QUESTIONS[0]) });
    for pooling in [Pooling::Mean, Pooling::Last] {
        let (expected, _) = embed(&small, &text, pooling);
        assert_eq!(expected.len(), small.model().expect("it is loaded").hidden_size);
        let length: f32 = expected.iter().map(|x| x * x).sum();
        assert!((length - 1.0).abs() < 1e-4, "{length}");
        assert_eq!(embed(&large, &text, pooling).0, expected, "{pooling:?}");
        let (again, cached) = embed(&large, &text, pooling);
        assert_eq!((again, cached > 0), (expected.clone(), pooling == Pooling::Last));
        assert_ne!(embed(&large, "another text", pooling).0, expected);
    }
    drop(company);
    settled(&large);
}

#[test]
fn a_grammar_binds_the_answer() {
    let handle = start_with(options());
    let model = handle.model().expect("it is loaded");
    let vocab = model.grammar_vocab().expect("grammars work with it");
    let schema = serde_json::json!({
        "type": "object",
        "properties": { "ok": { "type": "boolean" }, "n": { "type": "integer", "minimum": 3, "maximum": 9 } },
        "required": ["ok", "n"],
        "additionalProperties": false,
    });
    let grammar = Grammar::compile(vocab, &Spec::JsonSchema(schema), &Limits::default()).expect("it compiles");
    let sampling = SamplingParams { temperature: 1.5, seed: Some(3), ..SamplingParams::default() };
    let max_tokens = Some(450);
    let request = Request { grammar: Some(grammar), sequences: 3, sampling, max_tokens, ..ask(&handle, QUESTIONS[0]) };
    for answer in read(handle.submit(request).expect("accepted"), 3) {
        assert_eq!(answer.reason, Some(FinishReason::Stop), "{}", answer.text);
        let value: serde_json::Value = serde_json::from_str(&answer.text).expect(&answer.text);
        assert!(value["ok"].is_boolean() && (3..=9).contains(&value["n"].as_i64().expect("a number")), "{value}");
    }
    settled(&handle);
}

#[test]
fn draining_ends_what_runs_and_takes_nothing_new() {
    let handle = start_with(options());
    let stream = handle.submit(ask(&handle, QUESTIONS[0])).expect("accepted");
    handle.drain();
    assert!(matches!(handle.submit(ask(&handle, QUESTIONS[0])), Err(SubmitError::Stopping)));
    assert_eq!(read(stream, 1)[0].reason, Some(FinishReason::Stop));

    let handle = start_with(options());
    let long = Request { end_tokens: EndTokens::Ignored, max_tokens: None, ..ask(&handle, QUESTIONS[0]) };
    let mut stream = handle.submit(long.clone()).expect("accepted");
    stream.next_blocking();
    handle.end_all("the server is shutting down");
    let mut last = None;
    while let Some(event) = stream.next_blocking() {
        last = Some(event);
    }
    let Some(Event::Finished { reason: FinishReason::Error(why), .. }) = last else { panic!("{last:?}") };
    assert_eq!((why.kind, why.message.as_str()), (FailureKind::Stopped, "the server is shutting down"));
    let stream = handle.submit(long).expect("accepted");
    drop(handle);
    let mut stream = stream;
    while stream.next_blocking().is_some() {}
}

/// Fails at one step.
struct Faulty {
    /// Steps until then, over all devices of a test.
    left: Arc<AtomicI64>,
    fault: fn() -> BackendError,
}

impl Hook for Faulty {
    fn before(&mut self, _: &StepInput) -> Result<(), BackendError> {
        match self.left.fetch_sub(1, Ordering::Relaxed) {
            0 => Err((self.fault)()),
            _ => Ok(()),
        }
    }
}

fn start_faulty(left: &Arc<AtomicI64>, fault: fn() -> BackendError) -> EngineHandle {
    let (file, left) = (file(), left.clone());
    let load = move || {
        let backend = Box::new(Hooked { backend: CpuBackend::new(1)?, hook: Faulty { left: left.clone(), fault } });
        Engine::with_backend(file.clone(), backend, options())
    };
    ready(EngineHandle::start(ServiceOptions::default(), load).expect("the thread starts"))
}

#[test]
fn a_lost_device_is_opened_again_and_no_token_is_lost() {
    let left = Arc::new(AtomicI64::new(i64::MAX));
    let handle = start_faulty(&left, || BackendError::Device("it fell off the bus".into()));
    let expected: Vec<Answer> = (0..4).map(|n| one(&handle, ask(&handle, QUESTIONS[n]))).collect();
    for at in [0, 1, 5, 11] {
        left.store(at, Ordering::Relaxed);
        let streams: Vec<EventStream> =
            (0..4).map(|n| handle.submit(ask(&handle, QUESTIONS[n])).expect("accepted")).collect();
        for (stream, expected) in streams.into_iter().zip(&expected) {
            let answer = read(stream, 1).remove(0);
            assert_eq!((&answer.text, &answer.tokens), (&expected.text, &expected.tokens), "lost at step {at}");
        }
        settled(&handle);
    }
}

#[test]
fn a_step_that_does_not_fit_is_made_smaller() {
    let left = Arc::new(AtomicI64::new(i64::MAX));
    let lacks = || BackendError::OutOfMemory { what: "a step".into(), needed: 2, available: 1 };
    let handle = start_faulty(&left, lacks);
    let expected = one(&handle, ask(&handle, QUESTIONS[0]));
    left.store(0, Ordering::Relaxed);
    assert_eq!(one(&handle, ask(&handle, QUESTIONS[0])).text, expected.text);
    settled(&handle);
}

#[test]
fn a_panic_ends_requests_with_errors_and_the_engine_comes_back() {
    let left = Arc::new(AtomicI64::new(i64::MAX));
    let handle = start_faulty(&left, || panic!("planted"));
    let expected = one(&handle, ask(&handle, QUESTIONS[0]));
    left.store(3, Ordering::Relaxed);
    let streams: Vec<EventStream> =
        (0..3).map(|n| handle.submit(ask(&handle, QUESTIONS[n])).expect("accepted")).collect();
    let mut failed = 0;
    for mut stream in streams {
        while let Some(event) = stream.next_blocking() {
            let is_error = matches!(&event, Event::Finished { reason: FinishReason::Error(why), .. }
                if why.kind == FailureKind::Engine);
            failed += usize::from(is_error);
        }
    }
    assert!(failed > 0);
    let begun = Instant::now();
    let answer = loop {
        match handle.submit(ask(&handle, QUESTIONS[0])) {
            Ok(stream) => break read(stream, 1).remove(0),
            Err(error) => assert!(begun.elapsed() < Duration::from_secs(60), "{error}"),
        }
        thread::sleep(Duration::from_millis(10));
    };
    assert_eq!(answer.text, expected.text);
    settled(&handle);
}

#[test]
fn an_engine_that_cannot_be_loaded_says_why() {
    let file = file();
    let load = move || Engine::load(file.clone(), EngineOptions { threads: 0, ..options() });
    let handle = EngineHandle::start(ServiceOptions::default(), load).expect("the thread starts");
    let Status::Failed(why) = handle.wait_ready_blocking() else { panic!("it cannot be loaded") };
    assert!(why.contains("threads"), "{why}");
    assert!(matches!(handle.submit(Request::new(vec![1])), Err(SubmitError::Dead(_))));
    assert!(handle.model().is_none() && !handle.health().is_ready);
}
