//! A tokenizer's vocabulary, made ready for masks.

use std::fmt;
use std::sync::Arc;

use llguidance::ParserFactory;
use llguidance::earley::SlicedBiasComputer;
use llguidance::toktrie::{InferenceCapabilities, TokEnv, TokRxInfo, TokTrie, TokenizerEnv};
use rocmforge_tokenizer::{EncodeOptions, TokenId, TokenType, Tokenizer};

use crate::GrammarError;
use crate::error::first_line;

/// A vocabulary, indexed for the making of masks. Built once per model; a clone is a reference.
///
/// Control tokens are no text here: a grammar never allows one because of what it is called.
/// The tokenizer's [`stop_tokens`](Tokenizer::stop_tokens) are what ends a text, all of them.
#[derive(Clone)]
pub struct GrammarVocab {
    inner: Arc<Inner>,
}

struct Inner {
    tokenizer: Arc<Tokenizer>,
    factory: ParserFactory,
}

impl fmt::Debug for GrammarVocab {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrammarVocab").field("vocab_size", &self.vocab_size()).finish_non_exhaustive()
    }
}

impl GrammarVocab {
    /// Indexes the vocabulary of `tokenizer`.
    ///
    /// # Errors
    /// [`GrammarError::Vocabulary`] when it has no tokens or too many different ones.
    pub fn new(tokenizer: &Arc<Tokenizer>) -> Result<Self, GrammarError> {
        let words = words(tokenizer);
        check_nodes(&words)?;
        let env: TokEnv = Arc::new(Env::new(Arc::clone(tokenizer), &words));
        drop(words);
        // The slices are tokens that most strings allow; for the largest vocabularies their copies cost too much.
        let slices = match tokenizer.vocab_size() {
            0..=MOST_SLICED => SlicedBiasComputer::general_slices(),
            _ => Vec::new(),
        };
        let mut factory = ParserFactory::new(&env, InferenceCapabilities::default(), &slices)
            .map_err(|error| GrammarError::Vocabulary(first_line(&error.to_string())))?;
        factory.quiet();
        Ok(Self { inner: Arc::new(Inner { tokenizer: Arc::clone(tokenizer), factory }) })
    }

    /// The number of tokens.
    #[must_use]
    pub fn vocab_size(&self) -> usize {
        self.inner.tokenizer.vocab_size()
    }

    /// The number of words of a mask, `ceil(vocab_size / 32)`.
    #[must_use]
    pub fn mask_words(&self) -> usize {
        self.vocab_size().div_ceil(32)
    }

    /// The tokenizer.
    #[must_use]
    pub fn tokenizer(&self) -> &Arc<Tokenizer> {
        &self.inner.tokenizer
    }

    pub(crate) fn factory(&self) -> &ParserFactory {
        &self.inner.factory
    }
}

/// The longest token that can be indexed, in bytes; longer ones are never allowed.
const MOST_TOKEN_BYTES: usize = 1000;

/// The most places of the index: it numbers them with 22 bits.
const MOST_NODES: usize = (1 << 22) - 1;

/// The largest vocabulary that is sliced.
const MOST_SLICED: usize = 1 << 20;

/// The bytes of each token as the index takes them. The index knows a control token by its first byte, `0xFF`,
/// which no text contains. Empty: never allowed.
fn words(tokenizer: &Tokenizer) -> Vec<Vec<u8>> {
    let stops = tokenizer.stop_tokens();
    let ids = 0..TokenId::try_from(tokenizer.vocab_size()).unwrap_or(TokenId::MAX);
    ids.map(|id| {
        let bytes = tokenizer.token_bytes(id);
        if tokenizer.is_special(id) || stops.binary_search(&id).is_ok() {
            return special_word(bytes, id);
        }
        let is_text = tokenizer.token_type(id) != Some(TokenType::Unused)
            && bytes.first() != Some(&TokTrie::SPECIAL_TOKEN_MARKER)
            && bytes.len() <= MOST_TOKEN_BYTES;
        if is_text { bytes.to_vec() } else { Vec::new() }
    })
    .collect()
}

fn special_word(bytes: &[u8], id: TokenId) -> Vec<u8> {
    let mut word = vec![TokTrie::SPECIAL_TOKEN_MARKER];
    match bytes {
        [] => word.extend_from_slice(format!("<{id}>").as_bytes()),
        _ => word.extend_from_slice(&bytes[..bytes.len().min(MOST_TOKEN_BYTES)]),
    }
    word
}

/// Counts the places of the index before it is built, as it does not survive too many.
fn check_nodes(words: &[Vec<u8>]) -> Result<(), GrammarError> {
    if words.is_empty() {
        return Err(GrammarError::Vocabulary("it has no tokens".to_owned()));
    }
    if words.iter().map(Vec::len).sum::<usize>() < MOST_NODES {
        return Ok(());
    }
    let mut sorted: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
    sorted.sort_unstable();
    let mut last: &[u8] = &[];
    let mut nodes = 1;
    for word in sorted {
        let shared = word.iter().zip(last).take_while(|(a, b)| a == b).count();
        // A token that is there twice has two places.
        nodes += (word.len() - shared).max(usize::from(!word.is_empty()));
        last = word;
    }
    match nodes {
        0..MOST_NODES => Ok(()),
        _ => Err(GrammarError::Vocabulary(format!("{nodes} places in its prefix tree, at most {MOST_NODES}"))),
    }
}

/// The tokenizer as the library wants it.
struct Env {
    tokenizer: Arc<Tokenizer>,
    trie: TokTrie,
    /// The tokens of [`LEAD`], for tokenizers that put a space before a text.
    lead: Vec<TokenId>,
    /// Every byte of UTF-8 is a token, so that any text can be written with tokens of exactly its bytes.
    covers_bytes: bool,
}

/// A character that merges with nothing. What follows it is not the start of a text.
const LEAD: &str = "\u{2}";

/// Bytes of forced text that are looked at for its next token. Without a bound, each step within a long forced text
/// would encode all the rest of it.
const FORCED_WINDOW: usize = 4 * MOST_TOKEN_BYTES;

const PLAIN: EncodeOptions = EncodeOptions { add_special: false, parse_special: false };

impl Env {
    fn new(tokenizer: Arc<Tokenizer>, words: &[Vec<u8>]) -> Self {
        let stops = tokenizer.stop_tokens();
        let no_token = llguidance::toktrie::INVALID_TOKEN;
        let size = u32::try_from(words.len()).unwrap_or(u32::MAX);
        let trie = TokTrie::from(&TokRxInfo::new(size, stops.first().copied().unwrap_or(no_token)), words);
        let trie = if stops.is_empty() { trie } else { trie.with_eos_tokens(stops) };
        let lead = tokenizer.encode(LEAD, PLAIN).unwrap_or_default();
        let in_utf8 = |byte: &u8| !matches!(byte, 0x00..=0x08 | 0x0B..=0x1F | 0x7F | 0xC0 | 0xC1 | 0xF5..);
        let covers_bytes = (0..=u8::MAX).filter(in_utf8).all(|byte| trie.token_id(&[byte]).is_some());
        Self { tokenizer, trie, lead, covers_bytes }
    }

    /// Tokens of exactly the bytes of `text`: as the tokenizer cuts it if that changes no byte, and else the longest
    /// token each time.
    fn exact(&self, text: &str) -> Vec<TokenId> {
        if let Ok(ids) = self.tokenizer.encode(text, PLAIN)
            && self.spells(&ids, text)
        {
            return ids;
        }
        if let Ok(ids) = self.tokenizer.encode(&format!("{LEAD}{text}"), PLAIN)
            && let Some(ids) = ids.strip_prefix(self.lead.as_slice())
            && self.spells(ids, text)
        {
            return ids.to_vec();
        }
        self.trie.greedy_tokenize(text.as_bytes())
    }

    fn spells(&self, ids: &[TokenId], text: &str) -> bool {
        let mut rest = text.as_bytes();
        ids.iter().all(|&id| match rest.strip_prefix(self.trie.token(id)) {
            Some(left) => {
                let is_shorter = left.len() < rest.len();
                rest = left;
                is_shorter
            }
            None => false,
        }) && rest.is_empty()
    }
}

impl TokenizerEnv for Env {
    fn tok_trie(&self) -> &TokTrie {
        &self.trie
    }

    fn tokenize_bytes(&self, bytes: &[u8]) -> Vec<TokenId> {
        let window = &bytes[..bytes.len().min(FORCED_WINDOW)];
        self.trie.tokenize_with_greedy_fallback(window, |text| self.exact(text))
    }

    fn tokenize_is_canonical(&self) -> bool {
        self.covers_bytes
    }
}
