//! The demo model's answers, as transformers computed them in float32 from the f16 weights.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rocmforge_engine::{EndTokens, Engine, EngineOptions, ModelFile, PerplexityOptions, Request};
use rocmforge_sampler::{SamplingParams, token_logprob};
use rocmforge_tests::{data, read_json};
use rocmforge_tokenizer::EncodeOptions;
use serde_json::Value;

fn load(path: &Path) -> Engine {
    let file = Arc::new(ModelFile::open(path).expect("the file opens"));
    let options = EngineOptions { threads: 2, logits_per_step: 64, ..EngineOptions::default() };
    Engine::load(file, options).expect("the model loads")
}

fn f16() -> PathBuf {
    data("demo/demo-f16.gguf")
}

fn q8_0() -> PathBuf {
    data("demo/demo-q8_0.gguf")
}

fn q4_k_m() -> PathBuf {
    data("../../crates/demo-model/model/demo-q4_k_m.gguf")
}

fn cases() -> Vec<Value> {
    let cases = read_json(&data("demo/expect.json"))["cases"].as_array().expect("cases").clone();
    assert_eq!(cases.len(), 14);
    cases
}

fn ids(value: &Value) -> Vec<u32> {
    serde_json::from_value(value.clone()).expect("token ids")
}

/// How many greedy answers are equal.
fn equal_texts(engine: &mut Engine) -> usize {
    let mut equal = 0;
    for case in cases() {
        let sampling = SamplingParams { temperature: 0.0, ..SamplingParams::default() };
        let max_tokens = Some(ids(&case["greedy_ids"]).len());
        // Plain text goes on past the end of a document, as it does in the reference.
        let end_tokens = EndTokens::Named;
        let request = Request { sampling, max_tokens, end_tokens, ..Request::new(ids(&case["prompt_ids"])) };
        let answer = engine.generate(request, |_| {}).expect("the request runs");
        if Some(answer.text.as_str()) == case["greedy"].as_str() {
            equal += 1;
        } else {
            println!("{}\n  expected {}\n  found    {:?}", case["name"], case["greedy"], answer.text);
        }
    }
    equal
}

/// The largest difference of a log-probability of the first token.
fn top5_difference(engine: &mut Engine) -> f32 {
    let mut worst = 0f32;
    for case in cases() {
        let prompt = ids(&case["prompt_ids"]);
        let expected: Vec<(u32, f32)> = serde_json::from_value(case["first_top5"].clone()).expect("pairs");
        engine
            .score(&prompt, &mut |position, row| {
                if position + 1 == prompt.len() {
                    for &(token, logprob) in &expected {
                        worst = worst.max((token_logprob(row, token).expect("finite") - logprob).abs());
                    }
                }
            })
            .expect("the prompt is scored");
    }
    worst
}

#[test]
fn prompts_become_the_same_tokens() {
    let engine = load(&q4_k_m());
    for case in cases() {
        let text = case["prompt"].as_str().expect("a prompt");
        let options = EncodeOptions { add_special: false, parse_special: true };
        assert_eq!(engine.tokenizer().encode(text, options).expect("encodes"), ids(&case["prompt_ids"]), "{text:?}");
    }
}

#[test]
fn f16_answers_are_those_of_transformers() {
    let mut engine = load(&f16());
    assert_eq!(equal_texts(&mut engine), 14);
    let difference = top5_difference(&mut engine);
    assert!(difference <= 0.02, "{difference}");
}

/// The 8-bit file is not the f16 one: evaluated without any rounding of activations it still differs by 0.105 in one
/// log-probability (of a token at -10), and in one text, where two tokens are 0.006 apart. The bounds leave no more.
#[test]
fn q8_0_answers_are_those_of_transformers_but_for_a_tie() {
    let mut engine = load(&q8_0());
    let equal = equal_texts(&mut engine);
    assert!(equal >= 13, "{equal} of 14");
    let difference = top5_difference(&mut engine);
    assert!(difference <= 0.11, "{difference}");
}

#[test]
fn q4_k_m_answers_nearly_all_the_same() {
    let equal = equal_texts(&mut load(&q4_k_m()));
    assert!(equal >= 12, "{equal} of 14");
}

#[test]
fn perplexity_is_that_of_transformers() {
    let expected = read_json(&data("demo/expect.json"))["perplexity"].clone();
    let truth = expected["transformers_f32_of_f16_weights"].as_f64().expect("a number");
    let window = expected["window"].as_u64().expect("a number") as usize;
    let text = std::fs::read_to_string(data("demo/heldout.txt")).expect("the text is there");
    for (path, bound) in [(f16(), 0.002), (q8_0(), 0.01)] {
        let mut engine = load(&path);
        let options = EncodeOptions { add_special: false, parse_special: true };
        let tokens = engine.tokenizer().encode(&text, options).expect("encodes");
        let found = engine.perplexity(&tokens, PerplexityOptions { window }, &mut |_, _, _| {}).expect("scored");
        assert_eq!(found.windows, expected["windows"].as_u64().expect("a number") as usize);
        println!("{}: {} (expected {truth})", path.display(), found.value);
        assert!((found.value / truth - 1.0).abs() <= bound, "{} against {truth}", found.value);
    }
}
