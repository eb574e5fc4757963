//! Random texts under constraints must fulfil them, masks must allow what fulfils them, and hostile constraints must
//! be refused or be cheap.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod cache;
mod complete;
mod gbnf;
mod hostile;
mod json;
mod text;
mod tools;
mod vocab;
mod walk;

use std::path::Path;
use std::sync::{Arc, LazyLock};

use rocmforge_gguf_loader::Gguf;
use rocmforge_grammar::{Grammar, GrammarError, GrammarVocab, Limits, Spec};
use rocmforge_tokenizer::Tokenizer;

fn tokenizer_of(file: Vec<u8>) -> Arc<Tokenizer> {
    Arc::new(Tokenizer::from_gguf(Gguf::parse(file).unwrap().metadata()).unwrap())
}

/// A vocabulary among the tokenizer's test data.
fn vocab_file(name: &str) -> GrammarVocab {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tokenizer/tests/data").join(name);
    let file = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    GrammarVocab::new(&tokenizer_of(file)).unwrap()
}

/// The bundled model's vocabulary, which is small.
static DEMO: LazyLock<GrammarVocab> =
    LazyLock::new(|| GrammarVocab::new(&tokenizer_of(rocmforge_demo_model::GGUF.to_vec())).unwrap());
static GPT2: LazyLock<GrammarVocab> = LazyLock::new(|| vocab_file("gpt-2.gguf"));
static QWEN2: LazyLock<GrammarVocab> = LazyLock::new(|| vocab_file("qwen2.gguf"));
/// SentencePiece, with bytes and a space before each text.
static SPM: LazyLock<GrammarVocab> = LazyLock::new(|| vocab_file("small-bpe-scores.gguf"));
/// Without tokens for all bytes.
static UNIGRAM: LazyLock<GrammarVocab> = LazyLock::new(|| vocab_file("small-unigram.gguf"));

fn compile(vocab: &GrammarVocab, spec: &Spec) -> Result<Grammar, GrammarError> {
    Grammar::compile(vocab, spec, &Limits::default())
}

fn schema(json: &str) -> Spec {
    Spec::JsonSchema(serde_json::from_str(json).unwrap())
}

/// The error of a constraint, which must be one, on one line, and the sender's.
fn refusal(spec: &Spec) -> String {
    let error = compile(&DEMO, spec).expect_err("a refusal");
    assert!(error.is_request_fault(), "{error:?}");
    let text = error.to_string();
    assert!(!text.contains('\n') && text.len() < 500, "{text}");
    text
}
