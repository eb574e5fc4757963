//! The engine: several requests at once, reuse, limits, ends.

use std::collections::HashMap;
use std::sync::Arc;

use rocmforge_chat::Message;
use rocmforge_cpu_backend::CpuBackend;
use rocmforge_engine::{
    CancelToken, EndTokens, Engine, EngineError, EngineOptions, Event, Failure, FailureKind, FinishReason, ModelFile,
    Request,
};
use rocmforge_program::backend::{BackendError, StepInput, StepOutput};
use rocmforge_sampler::SamplingParams;

use crate::hooked::{Hook, Hooked};

fn demo(max_sequences: usize) -> Engine {
    let file = ModelFile::from_static(rocmforge_demo_model::NAME, rocmforge_demo_model::GGUF).expect("it is valid");
    let options = EngineOptions {
        threads: 2,
        max_sequences,
        context_length: Some(512),
        tokens_per_step: Some(64),
        ..EngineOptions::default()
    };
    Engine::load(Arc::new(file), options).expect("the model loads")
}

fn ask(engine: &Engine, question: &str) -> Request {
    let prompt = engine.chat().encode(engine.tokenizer(), &[Message::user(question)], None).expect("it renders");
    let sampling = SamplingParams { temperature: 0.0, ..SamplingParams::default() };
    Request { sampling, max_tokens: Some(60), ..Request::new(prompt) }
}

const QUESTIONS: [&str; 5] =
    ["What is paged attention?", "What is 12 + 30?", "What is ROCm?", "What is a KV cache?", "What is GGUF?"];

#[test]
fn requests_that_share_steps_answer_as_they_do_alone() {
    let alone: Vec<String> = QUESTIONS
        .iter()
        .map(|q| {
            let mut engine = demo(1);
            let request = ask(&engine, q);
            engine.generate(request, |_| {}).expect("it runs").text
        })
        .collect();
    assert!(alone[0].starts_with("Paged attention keeps the KV cache in fixed-size blocks"), "{}", alone[0]);
    let mut engine = demo(3);
    let mut texts: HashMap<_, String> = HashMap::new();
    let mut finished = Vec::new();
    let ids: Vec<_> = QUESTIONS.iter().map(|q| engine.submit(ask(&engine, q)).expect("accepted")).collect();
    while !engine.is_idle() {
        engine
            .step(&mut |event| {
                texts.entry(event.request()).or_default().push_str(event.text());
                if let Event::Finished { request, reason, .. } = event {
                    assert_eq!(reason, FinishReason::Stop);
                    finished.push(request);
                }
            })
            .expect("the step runs");
    }
    let together: Vec<String> = ids.iter().map(|id| texts.remove(id).unwrap_or_default()).collect();
    assert_eq!(together, alone);
    finished.sort();
    assert_eq!(finished, ids, "each ends exactly once");
    assert_eq!(engine.cache_usage().used, 0);
}

#[test]
fn a_second_turn_reuses_the_cache_and_answers_the_same() {
    let mut engine = demo(1);
    let long = "Remember this list: apple, pear, plum, fig, date, lime, kiwi, melon. ".repeat(3) + "What is GGUF?";
    let request = ask(&engine, &long);
    let first = engine.generate(request.clone(), |_| {}).expect("it runs");
    let second = engine.generate(request, |_| {}).expect("it runs");
    assert_eq!(first.usage.cached_tokens, 0);
    assert!(second.usage.cached_tokens >= 16, "{:?}", second.usage);
    assert_eq!(second.tokens, first.tokens);
}

#[test]
fn stop_texts_limits_and_cancellation_end_an_answer() {
    let mut engine = demo(1);
    let mut request = ask(&engine, QUESTIONS[0]);
    request.stop = vec!["fixed-size".into()];
    let stopped = engine.generate(request, |_| {}).expect("it runs");
    assert_eq!(
        (stopped.text.as_str(), stopped.finish_reason),
        ("Paged attention keeps the KV cache in ", FinishReason::Stop)
    );

    let mut request = ask(&engine, QUESTIONS[0]);
    request.max_tokens = Some(3);
    let cut = engine.generate(request, |_| {}).expect("it runs");
    assert_eq!((cut.tokens.len(), cut.finish_reason), (3, FinishReason::Length));

    let mut request = ask(&engine, QUESTIONS[0]);
    request.max_tokens = Some(0);
    let none = engine.generate(request, |_| {}).expect("it runs");
    assert_eq!((none.text.as_str(), none.finish_reason), ("", FinishReason::Length));

    let cancel = CancelToken::new();
    let mut request = ask(&engine, QUESTIONS[0]);
    request.cancel = cancel.clone();
    let mut seen = 0;
    let cancelled = engine
        .generate(request, |event| {
            if let Event::Token { .. } = event {
                seen += 1;
                if seen == 2 {
                    cancel.cancel();
                }
            }
        })
        .expect("it runs");
    assert_eq!((cancelled.tokens.len(), cancelled.finish_reason), (2, FinishReason::Cancelled));
    assert_eq!(engine.cache_usage().used, 0, "every block came back");
}

#[test]
fn a_full_context_ends_the_answer() {
    let mut engine = demo(1);
    let mut request = ask(&engine, QUESTIONS[0]);
    request.max_tokens = None;
    request.end_tokens = EndTokens::Ignored;
    let prompt = request.prompt.len();
    let answer = engine.generate(request, |_| {}).expect("it runs");
    assert_eq!((prompt + answer.tokens.len(), answer.finish_reason), (512, FinishReason::Length));
}

#[test]
fn seeds_repeat_and_logprobs_are_told() {
    let mut engine = demo(1);
    let sampled = |engine: &mut Engine, seed| {
        let mut request = ask(engine, "Tell me a story.");
        request.sampling =
            SamplingParams { temperature: 1.5, seed: Some(seed), logprobs: Some(3), ..SamplingParams::default() };
        engine.generate(request, |_| {}).expect("it runs")
    };
    let first = sampled(&mut engine, 1);
    assert_eq!(sampled(&mut engine, 1).tokens, first.tokens);
    assert!((2..20).any(|seed| sampled(&mut engine, seed).tokens != first.tokens), "other seeds give other answers");
    assert_eq!(first.logprobs.len(), first.tokens.len());
    assert!(first.logprobs.iter().all(|(logprob, top)| *logprob <= 0.0 && top.len() == 3));
}

#[test]
fn what_cannot_run_is_refused_with_its_reason() {
    let mut engine = demo(1);
    let check = |engine: &mut Engine, request: Request, message: &str| {
        let error = engine.submit(request).expect_err("refused");
        assert!(error.to_string().contains(message), "{error}");
        assert!(error.is_bad_input());
    };
    check(&mut engine, Request::new(vec![]), "empty");
    check(&mut engine, Request::new(vec![5; 512]), "512 tokens and the context 512");
    check(&mut engine, Request::new(vec![2048]), "outside the vocabulary of 2048");
    let mut request = ask(&engine, "Hi");
    request.sampling.temperature = f32::NAN;
    check(&mut engine, request, "temperature");
    assert!(engine.is_idle());
    let bad = EngineOptions { threads: 0, ..EngineOptions::default() };
    let file = ModelFile::from_static("demo", rocmforge_demo_model::GGUF).expect("it is valid");
    assert!(matches!(Engine::load(Arc::new(file), bad), Err(EngineError::BadOption { option: "threads", .. })));
}

/// Makes the logits of one sequence no numbers.
struct BadLogits {
    /// The wanted rows of the step under way that follow a context with this token.
    token: u32,
    rows: Vec<usize>,
    vocab_size: usize,
}

impl Hook for BadLogits {
    fn before(&mut self, step: &StepInput) -> Result<(), BackendError> {
        self.rows =
            (0..step.wanted.len()).filter(|&row| step.tokens[step.wanted[row] as usize] == self.token).collect();
        Ok(())
    }

    fn after(&mut self, output: StepOutput) -> StepOutput {
        let mut logits = output.logits;
        self.rows.iter().for_each(|row| logits[row * self.vocab_size + 9] = f32::NAN);
        StepOutput::of_logits(logits, self.vocab_size)
    }
}

#[test]
fn logits_that_are_no_numbers_end_their_request_alone() {
    let request = |tokens: &[u32]| {
        let sampling = SamplingParams { temperature: 0.0, ..SamplingParams::default() };
        Request { sampling, max_tokens: Some(4), end_tokens: EndTokens::Ignored, ..Request::new(tokens.to_vec()) }
    };
    let expected = demo(1).generate(request(&[100, 200]), |_| {}).expect("it runs").tokens;
    let hook = BadLogits { token: 300, rows: Vec::new(), vocab_size: demo(1).program().vocab_size };
    let backend = Hooked { backend: CpuBackend::new(2).expect("threads start"), hook };
    let file = ModelFile::from_static(rocmforge_demo_model::NAME, rocmforge_demo_model::GGUF).expect("it is valid");
    let options = EngineOptions { threads: 2, max_sequences: 2, context_length: Some(64), ..EngineOptions::default() };
    let mut engine = Engine::with_backend(Arc::new(file), Box::new(backend), options).expect("the model loads");
    let bad = engine.submit(request(&[100, 300])).expect("accepted");
    let good = engine.submit(request(&[100, 200])).expect("accepted");
    let (mut tokens, mut ended) = (Vec::new(), Vec::new());
    while !engine.is_idle() {
        let on_event = &mut |event| match event {
            Event::Token { request, token, .. } => tokens.push((request, token)),
            Event::Finished { request, reason, .. } => ended.push((request, reason)),
            Event::PromptLogprobs { .. } | Event::Embedding { .. } => {}
        };
        engine.step(on_event).expect("the step itself runs");
    }
    assert_eq!(tokens, expected.iter().map(|&token| (good, token)).collect::<Vec<_>>());
    let message = "row 0 of the step: the model computed no number for the logit of token 9".to_string();
    let reason = FinishReason::Error(Failure { kind: FailureKind::Model, message });
    assert_eq!(ended, [(bad, reason), (good, FinishReason::Length)]);
}
