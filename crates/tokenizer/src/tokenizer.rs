//! The tokenizer: a vocabulary, an algorithm, and the rules around them.

use std::borrow::Cow;
use std::ops::Range;

use rocmforge_gguf_loader::Metadata;
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

use crate::TokenId;
use crate::added::{AddedTokens, Fragment};
use crate::bpe::Bpe;
use crate::detokenizer::Decoder;
use crate::error::TokenizerError;
use crate::library::Library;
use crate::special::{SpecialTokens, is_document_end};
use crate::unigram::Unigram;
use crate::vocab::{MARK, TokenType, Vocab};
use crate::wordpiece::WordPiece;

/// What [`Tokenizer::encode`] does beside cutting text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EncodeOptions {
    /// Adds the tokens that the model expects around a text: beginning and end, as the file says.
    pub add_special: bool,
    /// The text of a control token, such as `<|im_end|>`, becomes that token. Without it such text stays text, which is
    /// what input from outside needs. User-defined tokens are matched in either case.
    pub parse_special: bool,
}

/// The algorithm of a tokenizer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TokenizerKind {
    /// Byte-pair encoding by a list of merges.
    Bpe,
    /// SentencePiece's byte-pair encoding by scores.
    SentencePiece,
    /// SentencePiece's Unigram model.
    Unigram,
    /// BERT's WordPiece.
    WordPiece,
    /// Whole words only.
    WordLevel,
}

/// The algorithm with its tables.
#[derive(Debug)]
pub(crate) enum Model {
    Bpe { bpe: Bpe, nfc: bool },
    Marked(Bpe),
    Unigram(Unigram),
    WordPiece(WordPiece),
    Library(Box<Library>),
}

/// Turns text into token ids and back.
///
/// It is immutable, so one `Arc<Tokenizer>` serves any number of threads.
#[derive(Debug)]
pub struct Tokenizer {
    pub(crate) kind: TokenizerKind,
    pub(crate) vocab: Vocab,
    pub(crate) special: SpecialTokens,
    pub(crate) stops: Vec<TokenId>,
    pub(crate) added: AddedTokens,
    pub(crate) model: Model,
    /// Tokens before a text, with `add_special`.
    pub(crate) before: Vec<TokenId>,
    /// Tokens behind a text, with `add_special`.
    pub(crate) behind: Vec<TokenId>,
    /// Encoding puts a space before a text, and decoding takes it away again.
    pub(crate) space_prefix: bool,
}

impl Tokenizer {
    /// Builds the tokenizer that a GGUF file describes under `tokenizer.ggml.*`.
    ///
    /// # Errors
    /// [`TokenizerError`] when the file names an algorithm or a pre-tokenizer that is not known, when a list is missing,
    /// damaged or of the wrong length, or when a special token lies outside the vocabulary. Nothing is guessed, with
    /// one exception: a file without `tokenizer.ggml.pre` gets the `default` pattern and a logged warning.
    pub fn from_gguf(metadata: &Metadata) -> Result<Self, TokenizerError> {
        crate::gguf::build(metadata)
    }

    /// Builds the tokenizer of a `tokenizer.json`.
    ///
    /// That file does not say which token ends a generation; the well-known texts are looked up, and
    /// [`Tokenizer::with_config`] reads `tokenizer_config.json` beside it.
    ///
    /// # Errors
    /// [`TokenizerError::Json`] when the file does not parse or does not describe a tokenizer.
    pub fn from_json(bytes: &[u8]) -> Result<Self, TokenizerError> {
        crate::json::build(bytes)
    }

    /// Takes the special tokens that `tokenizer_config.json` names (`bos_token`, `eos_token`, `pad_token`, …).
    ///
    /// # Errors
    /// [`TokenizerError::Json`] when it does not parse or names a token that the vocabulary lacks.
    pub fn with_config(self, config: &[u8]) -> Result<Self, TokenizerError> {
        crate::json::configure(self, config)
    }

    /// The token ids of `text`.
    ///
    /// The time grows (nearly) linearly with the text whatever the text is, and the stack does not grow at all.
    ///
    /// # Errors
    /// [`TokenizerError::Encode`] from a tokenizer of `tokenizer.json` whose patterns fail on the text; a tokenizer of a
    /// GGUF file does not fail.
    pub fn encode(&self, text: &str, options: EncodeOptions) -> Result<Vec<TokenId>, TokenizerError> {
        self.encode_with_literals(text, options, &[])
    }

    /// As [`Tokenizer::encode`], but in the byte ranges of `literals` (sorted, apart) control tokens stay text.
    ///
    /// A chat template mixes its own markers with what users wrote; with the users' parts given as literals, nothing
    /// that they write can become a marker.
    ///
    /// # Errors
    /// [`TokenizerError::BadRange`] for ranges that overlap, are out of order, or do not lie on character boundaries.
    pub fn encode_with_literals(
        &self,
        text: &str,
        options: EncodeOptions,
        literals: &[Range<usize>],
    ) -> Result<Vec<TokenId>, TokenizerError> {
        let mut out = Vec::with_capacity(text.len() / 4 + self.before.len() + self.behind.len() + 1);
        if options.add_special {
            out.extend_from_slice(&self.before);
        }
        check_literals(text, literals)?;
        if let Model::Library(library) = &self.model {
            library.encode(text, options.parse_special, literals, &mut out)?;
        } else {
            self.encode_fragments(text, options.parse_special, literals, &mut out);
        }
        if options.add_special {
            out.extend_from_slice(&self.behind);
        }
        Ok(out)
    }

    fn encode_fragments(&self, text: &str, parse_special: bool, literals: &[Range<usize>], out: &mut Vec<TokenId>) {
        let mut at_start = true;
        for fragment in self.added.split(text, parse_special, literals) {
            match fragment {
                Fragment::Token(id) => {
                    out.push(id);
                    at_start = true;
                }
                Fragment::Text(range) => {
                    self.encode_text(&text[range], at_start, out);
                    at_start = false;
                }
            }
        }
    }

    /// Encodes text without special tokens. `at_start`: at the beginning, or behind a special token.
    fn encode_text(&self, text: &str, at_start: bool, out: &mut Vec<TokenId>) {
        match &self.model {
            Model::Bpe { bpe, nfc: false } => bpe.encode(text, out),
            Model::Bpe { bpe, nfc: true } => match is_nfc_quick(text.chars()) {
                IsNormalized::Yes => bpe.encode(text, out),
                _ => bpe.encode(&text.nfc().collect::<String>(), out),
            },
            Model::Marked(bpe) => {
                let prefix = if self.space_prefix && at_start { MARK } else { "" };
                bpe.encode(&mark_spaces(prefix, text), out);
            }
            Model::Unigram(unigram) => unigram.encode(text, out),
            Model::WordPiece(wordpiece) => wordpiece.encode(text, out),
            // Takes whole texts, see `encode_with_literals`.
            Model::Library(_) => {}
        }
    }

    /// The text of `ids`. Bytes that are not UTF-8 become U+FFFD, nothing else is changed.
    ///
    /// With `skip_special`, control and unknown tokens give no text. Ids outside the vocabulary give none either.
    pub fn decode(&self, ids: &[TokenId], skip_special: bool) -> String {
        let mut decoder = Decoder::new(self, skip_special);
        let mut text = String::new();
        for &id in ids {
            decoder.push(self, id, &mut text);
        }
        decoder.flush(&mut text);
        text
    }

    /// The bytes that a token stands for: for ordinary tokens those of the text they came from, for control tokens their
    /// own text. They need not be whole characters. None for an id outside the vocabulary.
    pub fn token_bytes(&self, id: TokenId) -> &[u8] {
        self.vocab.bytes(id)
    }

    /// The token as the vocabulary writes it (with `Ġ` or `▁` for spaces), for listings.
    pub fn piece(&self, id: TokenId) -> Option<Cow<'_, str>> {
        self.vocab.shown(id)
    }

    /// The number of tokens; ids are below it.
    pub fn vocab_size(&self) -> usize {
        self.vocab.len()
    }

    /// What a token is for; `None` outside the vocabulary.
    pub fn token_type(&self, id: TokenId) -> Option<TokenType> {
        self.vocab.token_type(id)
    }

    /// Whether a token stands for no text: a control or unknown token.
    pub fn is_special(&self, id: TokenId) -> bool {
        matches!(self.vocab.token_type(id), Some(TokenType::Control | TokenType::Unknown))
    }

    /// The id of a token as the vocabulary writes it.
    pub fn token_to_id(&self, text: &str) -> Option<TokenId> {
        self.vocab.id(text.as_bytes())
    }

    /// All tokens with a role.
    pub fn special_tokens(&self) -> &SpecialTokens {
        &self.special
    }

    /// Beginning of text.
    pub fn bos(&self) -> Option<TokenId> {
        self.special.bos
    }

    /// End of text.
    pub fn eos(&self) -> Option<TokenId> {
        self.special.eos
    }

    /// End of a turn.
    pub fn eot(&self) -> Option<TokenId> {
        self.special.eot
    }

    /// End of a message within a turn.
    pub fn eom(&self) -> Option<TokenId> {
        self.special.eom
    }

    /// Unknown text.
    pub fn unk(&self) -> Option<TokenId> {
        self.special.unk
    }

    /// Padding.
    pub fn pad(&self) -> Option<TokenId> {
        self.special.pad
    }

    /// Whether `add_special` puts the beginning-of-text token before a text.
    pub fn add_bos(&self) -> bool {
        self.special.bos.is_some_and(|bos| self.before.contains(&bos))
    }

    /// Whether `add_special` puts the end-of-text token behind a text.
    pub fn add_eos(&self) -> bool {
        self.special.eos.is_some_and(|eos| self.behind.contains(&eos))
    }

    /// Every token that ends a generation, in order of id: end of text, of turn and of message, and the control tokens
    /// of this vocabulary whose texts are known to mean that.
    pub fn stop_tokens(&self) -> &[TokenId] {
        &self.stops
    }

    /// As [`stop_tokens`](Self::stop_tokens), without the well-known ends of whole documents, such as `<|endoftext|>`,
    /// that the file itself does not name as an end. A model that continues plain text may pass those.
    pub fn named_stop_tokens(&self) -> Vec<TokenId> {
        let named = [self.special.eos, self.special.eot, self.special.eom];
        let counts = |id: &TokenId| named.contains(&Some(*id)) || !is_document_end(self.token_bytes(*id));
        self.stops.iter().copied().filter(counts).collect()
    }

    /// The algorithm.
    pub fn kind(&self) -> TokenizerKind {
        self.kind
    }
}

fn check_literals(text: &str, literals: &[Range<usize>]) -> Result<(), TokenizerError> {
    let mut at = 0;
    for range in literals {
        if range.start < at || range.start > range.end || text.get(range.clone()).is_none() {
            return Err(TokenizerError::BadRange { start: range.start, end: range.end, bytes: text.len() });
        }
        at = range.end;
    }
    Ok(())
}

/// `prefix` and then `text` with a mark for each space.
fn mark_spaces(prefix: &str, text: &str) -> String {
    let mut marked = String::with_capacity(prefix.len() + text.len() + text.len() / 2);
    marked.push_str(prefix);
    for (index, part) in text.split(' ').enumerate() {
        if index > 0 {
            marked.push_str(MARK);
        }
        marked.push_str(part);
    }
    marked
}
