#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod added;
mod bpe;
mod byte_level;
mod charsmap;
mod detokenizer;
mod error;
mod gguf;
mod hash;
mod json;
#[cfg_attr(not(feature = "tokenizers"), path = "library_absent.rs")]
mod library;
mod merge;
mod pretoken;
mod queue;
mod special;
mod tokenizer;
mod unigram;
mod vocab;
mod wordpiece;

pub use detokenizer::Detokenizer;
pub use error::TokenizerError;
pub use special::SpecialTokens;
pub use tokenizer::{EncodeOptions, Tokenizer, TokenizerKind};
pub use vocab::TokenType;

/// The number of a token in its vocabulary.
pub type TokenId = u32;

/// The values of `tokenizer.ggml.pre` for which a pattern is known, sorted.
pub fn pre_tokenizer_names() -> Vec<&'static str> {
    pretoken::table::names()
}
