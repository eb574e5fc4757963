//! Prints what indexing a vocabulary, compiling a constraint and making a mask take.
//!
//! `cargo run --release -p rocmforge-grammar --example mask_speed [FILE.gguf]`; without a file it takes the bundled
//! model's vocabulary.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rocmforge_gguf_loader::Gguf;
use rocmforge_grammar::{Grammar, GrammarVocab, Limits, Spec};
use rocmforge_tokenizer::{EncodeOptions, Tokenizer};

const SCHEMA: &str = r#"{"type": "object", "properties": {
    "name": {"type": "string"}, "age": {"type": "integer"}, "mood": {"enum": ["good", "bad"]},
    "tags": {"type": "array", "items": {"type": "string", "maxLength": 40}}},
    "required": ["name", "age", "tags"], "additionalProperties": false}"#;

const TEXT: &str = r#"{"name": "Ada, Countess of \"Lovelace\"", "age": 36, "mood": "good",
  "tags": ["mathematics", "analytical engine", "日本語", "notes on the engine by Menabrea"]}"#;

fn main() -> Result<(), Box<dyn Error>> {
    let file = match std::env::args().nth(1) {
        Some(path) => std::fs::read(path)?,
        None => rocmforge_demo_model::GGUF.to_vec(),
    };
    let tokenizer = Arc::new(Tokenizer::from_gguf(Gguf::parse(file)?.metadata())?);
    let (vocab, took) = timed(|| GrammarVocab::new(&tokenizer));
    let vocab = vocab?;
    println!("{} tokens indexed in {} ms", vocab.vocab_size(), took.as_millis());

    let schema = Spec::JsonSchema(serde_json::from_str(SCHEMA)?);
    let (grammar, took) = timed(|| Grammar::compile(&vocab, &schema, &Limits::default()));
    let grammar = grammar?;
    println!("schema compiled in {} us", took.as_micros());

    // The second round finds the lexer grown.
    for round in 1..=2 {
        let (mut matcher, mut mask) = (grammar.start(), vec![0; vocab.mask_words()]);
        let (mut masks, mut accepts) = (Vec::new(), Vec::new());
        for token in tokenizer.encode(TEXT, EncodeOptions::default())? {
            let (result, took) = timed(|| matcher.mask(&mut mask));
            result?;
            masks.push(took);
            let (result, took) = timed(|| matcher.accept(token));
            result?;
            accepts.push(took);
        }
        println!("round {round}: mask {}; accept {}", summary(&mut masks), summary(&mut accepts));
    }
    println!("the grammar takes {} KiB", grammar.bytes() >> 10);
    Ok(())
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    (work(), start.elapsed())
}

fn summary(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let mean = times.iter().sum::<Duration>() / u32::try_from(times.len()).unwrap_or(u32::MAX).max(1);
    let worst = times.last().copied().unwrap_or_default();
    let middle = times.get(times.len() / 2).copied().unwrap_or_default();
    format!("mean {} us, median {} us, worst {} us", mean.as_micros(), middle.as_micros(), worst.as_micros())
}
