//! What can be wrong with a tokenizer, or with a call to one.

use rocmforge_gguf_loader::GgufError;

/// Everything that can go wrong while building or using a tokenizer.
///
/// The messages name the metadata key or the entry, what was expected and what was found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenizerError {
    /// A metadata key is present with another type than the format asks for.
    #[error(transparent)]
    Metadata(#[from] GgufError),
    /// A key that this kind of tokenizer cannot do without is absent.
    #[error("key `{key}` is missing: {why}")]
    MissingKey {
        /// The metadata key.
        key: String,
        /// What it is needed for.
        why: &'static str,
    },
    /// A key holds an integer where another type was expected, or the reverse.
    #[error("key `{key}`: expected {want}, found {found}")]
    WrongType {
        /// The metadata key.
        key: String,
        /// The expected type.
        want: &'static str,
        /// The value found, shortened.
        found: String,
    },
    /// The token list has no entry.
    #[error("key `{key}`: the vocabulary is empty")]
    EmptyVocabulary {
        /// The metadata key.
        key: String,
    },
    /// The model file says that it carries no vocabulary.
    #[error("the file says `tokenizer.ggml.model` = `{model}`: it carries no vocabulary, so text cannot be tokenized")]
    NoVocabulary {
        /// The value found.
        model: String,
    },
    /// No algorithm or pre-tokenizer of this name is known.
    #[error("key `{key}`: unsupported tokenizer `{found}`; known: {known}")]
    UnsupportedTokenizer {
        /// The metadata key, or the member of `tokenizer.json`.
        key: String,
        /// The name found.
        found: String,
        /// The names that would be accepted.
        known: String,
    },
    /// An array must have one entry for each token.
    #[error("key `{key}`: expected {expected} entries, one for each token, found {found}")]
    LengthMismatch {
        /// The metadata key.
        key: String,
        /// Number of tokens.
        expected: usize,
        /// Number of entries.
        found: usize,
    },
    /// A token type outside the enumeration of the format.
    #[error("token {id}: type {value} is not one of 0 to 6")]
    BadTokenType {
        /// The token.
        id: usize,
        /// The value found.
        value: i64,
    },
    /// A score that does not order.
    #[error("token {id}: score {value} is not a number")]
    BadScore {
        /// The token.
        id: usize,
        /// The value found.
        value: f32,
    },
    /// A special token's id lies outside the vocabulary.
    #[error("key `{key}`: token id {id} is outside the vocabulary of {vocab} tokens")]
    TokenIdOutOfRange {
        /// The metadata key.
        key: String,
        /// The id found.
        id: i64,
        /// Number of tokens.
        vocab: usize,
    },
    /// A token of type byte does not read `<0xHH>`, or a set of byte tokens has holes.
    #[error("byte token {id} `{text}`: {why}")]
    BadByteToken {
        /// The token, or the byte's value when the token is missing.
        id: usize,
        /// Its text, or the text it should have.
        text: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A merge rule that cannot be applied.
    #[error("merge {index} `{text}`: {why}")]
    BadMerge {
        /// Position in the list of merges.
        index: usize,
        /// The rule.
        text: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The normalization table of a SentencePiece model is damaged.
    #[error("key `{key}`: {why}")]
    BadCharsmap {
        /// The metadata key.
        key: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A token's text is longer than any real vocabulary has.
    #[error("token {id}: {bytes} bytes of text, at most {max} are supported")]
    TokenTooLong {
        /// The token.
        id: usize,
        /// Length of its text in bytes.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// `tokenizer.json` does not parse, or describes a tokenizer that cannot be built.
    #[error("tokenizer.json: {reason}")]
    Json {
        /// What the parser or the builder said.
        reason: String,
    },
    /// A tokenizer built from `tokenizer.json` failed on a text.
    #[error("encoding {bytes} bytes of text: {reason}")]
    Encode {
        /// Length of the text.
        bytes: usize,
        /// What the tokenizer said.
        reason: String,
    },
    /// A caller's byte range does not lie on character boundaries of the text.
    #[error("literal range {start}..{end} is not a range of characters of a text of {bytes} bytes")]
    BadRange {
        /// First byte.
        start: usize,
        /// One past the last byte.
        end: usize,
        /// Length of the text.
        bytes: usize,
    },
    /// Our own table of patterns does not compile: a defect of this crate.
    #[error("pre-tokenizer pattern `{pattern}`: {reason}")]
    BadPattern {
        /// The pattern.
        pattern: String,
        /// What the compiler said.
        reason: String,
    },
}
