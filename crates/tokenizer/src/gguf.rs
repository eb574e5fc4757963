//! Tokenizers of GGUF files: reading and checking `tokenizer.ggml.*`.

use rocmforge_gguf_loader::{Array, Metadata, Value};

use crate::TokenId;
use crate::added::{AddedTokens, Strip};
use crate::bpe::{Bpe, Fallback, Shortcut, Words, merges_by_score, parse_merges};
use crate::charsmap::{self, Charsmap};
use crate::error::TokenizerError;
use crate::pretoken::PreTokenizer;
use crate::pretoken::table::{self, Alphabet, PreSpec};
use crate::special::SpecialTokens;
use crate::tokenizer::{Model, Tokenizer, TokenizerKind};
use crate::unigram::{Normalizer, Unigram};
use crate::vocab::{TokenType, Vocab, Writing};
use crate::wordpiece::{Folding, WordPiece};

const MODEL: &str = "tokenizer.ggml.model";
const PRE: &str = "tokenizer.ggml.pre";
const TOKENS: &str = "tokenizer.ggml.tokens";
const SCORES: &str = "tokenizer.ggml.scores";
const TYPES: &str = "tokenizer.ggml.token_type";
const MERGES: &str = "tokenizer.ggml.merges";
const UNKNOWN: &str = "tokenizer.ggml.unknown_token_id";

type Build = fn(&Metadata) -> Result<Tokenizer, TokenizerError>;

/// Values of `tokenizer.ggml.model`.
const MODELS: &[(&str, Build)] =
    &[("gpt2", bpe), ("llama", sentencepiece), ("t5", unigram), ("bert", wordpiece), ("gemma4", gemma4)];

/// Builds the tokenizer of a file.
pub(crate) fn build(metadata: &Metadata) -> Result<Tokenizer, TokenizerError> {
    let model = metadata
        .get_str(MODEL)?
        .ok_or_else(|| TokenizerError::MissingKey { key: MODEL.into(), why: "it names the algorithm" })?;
    if matches!(model, "none" | "no_vocab") {
        return Err(TokenizerError::NoVocabulary { model: model.into() });
    }
    match MODELS.iter().find(|(name, _)| *name == model) {
        Some((_, build)) => build(metadata),
        None => Err(TokenizerError::UnsupportedTokenizer {
            key: MODEL.into(),
            found: model.into(),
            known: MODELS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", "),
        }),
    }
}

fn bpe(metadata: &Metadata) -> Result<Tokenizer, TokenizerError> {
    let name = match metadata.get_str(PRE)? {
        Some(name) => name,
        None => {
            tracing::warn!("the file lacks `{PRE}`; the `default` pattern is used, and answers may be worse for it");
            "default"
        }
    };
    let spec = table::find(name).ok_or_else(|| TokenizerError::UnsupportedTokenizer {
        key: PRE.into(),
        found: name.into(),
        known: table::names().join(", "),
    })?;
    bpe_with(metadata, spec, name)
}

fn gemma4(metadata: &Metadata) -> Result<Tokenizer, TokenizerError> {
    let spec = table::find("gemma4").ok_or_else(|| TokenizerError::UnsupportedTokenizer {
        key: PRE.into(),
        found: "gemma4".into(),
        known: table::names().join(", "),
    })?;
    bpe_with(metadata, spec, "gemma4")
}

fn bpe_with(metadata: &Metadata, spec: &PreSpec, name: &str) -> Result<Tokenizer, TokenizerError> {
    let writing = match spec.alphabet {
        Alphabet::Bytes => Writing::ByteLevel,
        Alphabet::Marked => Writing::Marked,
    };
    let mut vocab = read_vocab(metadata, writing)?;
    let special = SpecialTokens::default().read(metadata, &mut vocab)?;
    let stops = special.stops(&mut vocab);
    let list = metadata
        .get_strings(MERGES)?
        .ok_or_else(|| TokenizerError::MissingKey { key: MERGES.into(), why: "byte-pair encoding follows it" })?;
    let merges = parse_merges(&vocab, list)?;
    let words = Words::Pattern(PreTokenizer::new(spec.steps)?);
    let shortcut = if spec.ignore_merges {
        Shortcut::Always
    } else {
        Shortcut::IfMergesAgree { lines_always: spec.lines_are_words }
    };
    let model = match spec.alphabet {
        Alphabet::Bytes => Model::Bpe { bpe: Bpe::byte_level(&vocab, merges, words, shortcut), nfc: false },
        Alphabet::Marked => {
            let fallback = match (vocab.byte_tokens()?, special.unk) {
                (Some(bytes), _) => Fallback::Bytes(bytes),
                (None, Some(unknown)) => Fallback::Unknown(unknown),
                (None, None) => Fallback::Drop,
            };
            Model::Marked(Bpe::marked(&vocab, merges, words, shortcut, fallback))
        }
    };
    // Files of this family were written with `add_bos_token = false` though the models need the token.
    let always_bos = name == "gemma4";
    let ends = ends(metadata, &special, Ends { bos: spec.add_bos, eos: false }, always_bos)?;
    finish(metadata, Built { kind: TokenizerKind::Bpe, vocab, special, stops, model, ends, space_prefix: false })
}

fn sentencepiece(metadata: &Metadata) -> Result<Tokenizer, TokenizerError> {
    let mut vocab = read_vocab(metadata, Writing::Marked)?;
    let defaults = SpecialTokens { bos: Some(1), eos: Some(2), unk: Some(0), ..SpecialTokens::default() };
    let special = defaults.read(metadata, &mut vocab)?;
    let stops = special.stops(&mut vocab);
    let scores = read_scores(metadata, vocab.len())?;
    let fallback = match vocab.byte_tokens()? {
        Some(bytes) => Fallback::Bytes(bytes),
        None => Fallback::Unknown(unknown(&special)?),
    };
    let (merges, words) = merges_by_score(&vocab, &scores)?;
    let shortcut = Shortcut::IfMergesAgree { lines_always: false };
    let model = Model::Marked(Bpe::marked(&vocab, merges, words, shortcut, fallback));
    let space_prefix = metadata.get_bool("tokenizer.ggml.add_space_prefix")?.unwrap_or(true);
    let ends = ends(metadata, &special, Ends { bos: true, eos: false }, false)?;
    finish(metadata, Built { kind: TokenizerKind::SentencePiece, vocab, special, stops, model, ends, space_prefix })
}

fn unigram(metadata: &Metadata) -> Result<Tokenizer, TokenizerError> {
    let mut vocab = read_vocab(metadata, Writing::Marked)?;
    let defaults = SpecialTokens { eos: Some(1), unk: Some(2), pad: Some(0), ..SpecialTokens::default() };
    let special = defaults.read(metadata, &mut vocab)?;
    let stops = special.stops(&mut vocab);
    let scores = read_scores(metadata, vocab.len())?;
    let space_prefix = metadata.get_bool("tokenizer.ggml.add_space_prefix")?.unwrap_or(false);
    let normalizer = Normalizer {
        charsmap: Charsmap::parse(&metadata.get_bytes(charsmap::KEY)?.unwrap_or_default())?,
        add_prefix: space_prefix,
        merge_spaces: metadata.get_bool("tokenizer.ggml.remove_extra_whitespaces")?.unwrap_or(false),
    };
    let model = Model::Unigram(Unigram::new(&vocab, &scores, unknown(&special)?, normalizer));
    let ends = ends(metadata, &special, Ends { bos: false, eos: true }, false)?;
    finish(metadata, Built { kind: TokenizerKind::Unigram, vocab, special, stops, model, ends, space_prefix })
}

fn wordpiece(metadata: &Metadata) -> Result<Tokenizer, TokenizerError> {
    let mut vocab = read_vocab(metadata, Writing::Marked)?;
    let defaults = SpecialTokens {
        bos: Some(101),
        unk: Some(100),
        sep: Some(102),
        pad: Some(0),
        mask: Some(103),
        ..SpecialTokens::default()
    };
    let special = defaults.read(metadata, &mut vocab)?;
    let stops = special.stops(&mut vocab);
    let lowercase = metadata.get_bool("tokenizer.ggml.normalizer.lowercase")?.unwrap_or(true);
    let strip_accents = metadata.get_bool("tokenizer.ggml.normalizer.strip_accents")?.unwrap_or(lowercase);
    let folding = Folding { lowercase, strip_accents };
    let model = Model::WordPiece(WordPiece::new(&vocab, folding, unknown(&special)?));
    // BERT's texts stand between `[CLS]` and `[SEP]`, whatever the flags say.
    let need = |id: Option<TokenId>, key: &str| {
        id.ok_or_else(|| TokenizerError::MissingKey { key: key.into(), why: "a text stands between two such tokens" })
    };
    let ends = (
        vec![need(special.bos, "tokenizer.ggml.cls_token_id")?],
        vec![need(special.sep, "tokenizer.ggml.seperator_token_id")?],
    );
    finish(metadata, Built { kind: TokenizerKind::WordPiece, vocab, special, stops, model, ends, space_prefix: true })
}

/// What the algorithms leave to [`finish`].
struct Built {
    kind: TokenizerKind,
    vocab: Vocab,
    special: SpecialTokens,
    stops: Vec<TokenId>,
    model: Model,
    ends: (Vec<TokenId>, Vec<TokenId>),
    space_prefix: bool,
}

fn finish(metadata: &Metadata, built: Built) -> Result<Tokenizer, TokenizerError> {
    let Built { kind, vocab, special, stops, model, ends: (before, behind), space_prefix } = built;
    let strip = strips(metadata, &vocab)?;
    let added = AddedTokens::new(&vocab, strip)?;
    Ok(Tokenizer { kind, vocab, special, stops, added, model, before, behind, space_prefix })
}

fn unknown(special: &SpecialTokens) -> Result<TokenId, TokenizerError> {
    special.unk.ok_or_else(|| TokenizerError::MissingKey {
        key: UNKNOWN.into(),
        why: "there are no byte tokens to fall back to",
    })
}

fn read_vocab(metadata: &Metadata, writing: Writing) -> Result<Vocab, TokenizerError> {
    let texts = metadata
        .get_strings(TOKENS)?
        .ok_or_else(|| TokenizerError::MissingKey { key: TOKENS.into(), why: "it is the vocabulary" })?;
    if texts.is_empty() {
        return Err(TokenizerError::EmptyVocabulary { key: TOKENS.into() });
    }
    Vocab::new(texts, read_types(metadata, texts.len())?, writing)
}

fn read_types(metadata: &Metadata, count: usize) -> Result<Vec<TokenType>, TokenizerError> {
    let numbers: Vec<i64> = match metadata.get(TYPES) {
        None => return Ok(vec![TokenType::Normal; count]),
        Some(Value::Array(Array::I32(types))) => types.iter().map(|&n| n.into()).collect(),
        Some(Value::Array(Array::U32(types))) => types.iter().map(|&n| n.into()).collect(),
        Some(other) => return Err(wrong_type(TYPES, "an array of i32", other)),
    };
    check_length(TYPES, count, numbers.len())?;
    let parse =
        |(id, &value): (usize, &i64)| TokenType::from_number(value).ok_or(TokenizerError::BadTokenType { id, value });
    numbers.iter().enumerate().map(parse).collect()
}

fn read_scores(metadata: &Metadata, count: usize) -> Result<Vec<f32>, TokenizerError> {
    let scores: Vec<f32> = match metadata.get(SCORES) {
        Some(Value::Array(Array::F32(scores))) => scores.clone(),
        Some(Value::Array(Array::I32(scores))) => scores.iter().map(|&n| n as f32).collect(),
        Some(other) => return Err(wrong_type(SCORES, "an array of f32", other)),
        None => {
            return Err(TokenizerError::MissingKey {
                key: SCORES.into(),
                why: "the scores decide which tokens are taken",
            });
        }
    };
    check_length(SCORES, count, scores.len())?;
    match scores.iter().position(|score| score.is_nan()) {
        Some(id) => Err(TokenizerError::BadScore { id, value: scores[id] }),
        None => Ok(scores),
    }
}

fn wrong_type(key: &str, want: &'static str, found: &Value) -> TokenizerError {
    TokenizerError::WrongType { key: key.into(), want, found: found.describe() }
}

fn check_length(key: &str, expected: usize, found: usize) -> Result<(), TokenizerError> {
    if expected == found {
        return Ok(());
    }
    Err(TokenizerError::LengthMismatch { key: key.into(), expected, found })
}

/// Which tokens go around a text when the file does not say.
struct Ends {
    bos: bool,
    eos: bool,
}

/// The tokens around a text. A file that asks for one must name it; a default that has no token is dropped.
fn ends(
    metadata: &Metadata,
    special: &SpecialTokens,
    defaults: Ends,
    always_bos: bool,
) -> Result<(Vec<TokenId>, Vec<TokenId>), TokenizerError> {
    let end = |flag: &str, default: bool, id: Option<TokenId>, id_key: &str, always: bool| {
        let said = metadata.get_bool(flag)?;
        match (always || said.unwrap_or(default), id, said) {
            (false, _, _) | (true, None, None) => Ok(Vec::new()),
            (true, Some(id), _) => Ok(vec![id]),
            (true, None, Some(_)) => {
                Err(TokenizerError::MissingKey { key: id_key.into(), why: "the file asks for this token around texts" })
            }
        }
    };
    Ok((
        end("tokenizer.ggml.add_bos_token", defaults.bos, special.bos, "tokenizer.ggml.bos_token_id", always_bos)?,
        end("tokenizer.ggml.add_eos_token", defaults.eos, special.eos, "tokenizer.ggml.eos_token_id", false)?,
    ))
}

/// Which added tokens take white space along. The format has no key for it; these models are known to need it.
fn strips<'a>(metadata: &Metadata, vocab: &'a Vocab) -> Result<impl Fn(TokenId) -> Strip + 'a, TokenizerError> {
    let pre = metadata.get_str(PRE)?.unwrap_or_default();
    let name = metadata.get_str("general.name")?.unwrap_or_default().to_lowercase();
    let architecture = metadata.get_str("general.architecture")?.unwrap_or_default();
    let has = |text: &str, any: &[&str]| any.iter().any(|part| text.contains(part));
    let jina = has(pre, &["jina-v2-de", "jina-v2-es", "jina-v2-code"])
        || has(architecture, &["nomic-bert-moe", "jina-bert-v3"]);
    let phi3 = !jina && has(&name, &["phi-3", "phi3"]);
    let modern_bert = !jina && !phi3 && name.contains("modern-bert");
    Ok(move |id| {
        let text = vocab.text(id).unwrap_or_default();
        Strip {
            left: (jina && text == b"<mask>") || (modern_bert && text == b"[MASK]"),
            right: phi3 && ![b"<unk>".as_slice(), b"<s>", b"<|endoftext|>"].contains(&text),
        }
    })
}
