//! Tokenizers of `tokenizer.json`.
//!
//! Byte-level BPE, which nearly every present model uses, runs on our own algorithms when its parts are ones they have;
//! everything else runs on the `tokenizers` crate. The vocabulary, special tokens and decoding are ours in both cases.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::TokenId;
use crate::added::{AddedTokens, Strip};
use crate::bpe::{Bpe, Shortcut, Words, parse_merges};
use crate::error::TokenizerError;
use crate::library::Library;
use crate::pretoken::PreTokenizer;
use crate::special::SpecialTokens;
use crate::tokenizer::{Model, Tokenizer, TokenizerKind};
use crate::vocab::{TokenType, Vocab, Writing, parse_byte};

/// The most ids that a file may claim; the largest vocabularies have about 260 thousand.
const MAX_TOKENS: usize = 1 << 24;

/// The pattern of the byte-level pre-tokenizer.
const BYTE_LEVEL_PATTERN: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

fn bad(reason: impl Into<String>) -> TokenizerError {
    TokenizerError::Json { reason: reason.into() }
}

/// Builds the tokenizer of a file.
pub(crate) fn build(bytes: &[u8]) -> Result<Tokenizer, TokenizerError> {
    let file: Value = serde_json::from_slice(bytes).map_err(|error| bad(error.to_string()))?;
    let kind = kind_of(&file)?;
    let added = read_added(&file)?;
    let mut vocab = read_vocab(&file, kind, &added)?;
    let mut special = SpecialTokens { unk: text_at(&file["model"]["unk_token"], &vocab), ..SpecialTokens::default() };
    special.look_for_texts(&mut vocab);
    let stops = special.stops(&mut vocab);
    let (before, behind) = ends(&file, &vocab)?;
    special.bos = before.first().copied();
    special.eos = behind.last().copied();
    let model = match native(&file, &vocab)? {
        Some(model) => model,
        None => Model::Library(Box::new(Library::from_bytes(bytes)?)),
    };
    let strip = |id| added.get(&id).map_or(Strip::default(), |token| token.strip);
    let matcher = AddedTokens::new(&vocab, strip)?;
    let space_prefix = drops_first_space(&file["decoder"]) || kind == TokenizerKind::WordPiece;
    Ok(Tokenizer { kind, vocab, special, stops, added: matcher, model, before, behind, space_prefix })
}

/// Takes the tokens that `tokenizer_config.json` names.
pub(crate) fn configure(mut tokenizer: Tokenizer, config: &[u8]) -> Result<Tokenizer, TokenizerError> {
    let config: Value =
        serde_json::from_slice(config).map_err(|error| bad(format!("tokenizer_config.json: {error}")))?;
    let Tokenizer { special, vocab, .. } = &mut tokenizer;
    for (key, slot) in [
        ("bos_token", &mut special.bos),
        ("eos_token", &mut special.eos),
        ("unk_token", &mut special.unk),
        ("pad_token", &mut special.pad),
        ("sep_token", &mut special.sep),
        ("mask_token", &mut special.mask),
    ] {
        let token = &config[key];
        if let Some(text) = token.as_str().or_else(|| token["content"].as_str()) {
            let id = vocab.id(text.as_bytes());
            *slot = Some(id.ok_or_else(|| bad(format!("{key} `{text}` is not in the vocabulary")))?);
        }
    }
    tokenizer.stops = special.stops(vocab);
    Ok(tokenizer)
}

fn kind_of(file: &Value) -> Result<TokenizerKind, TokenizerError> {
    const KINDS: &[(&str, TokenizerKind)] = &[
        ("BPE", TokenizerKind::Bpe),
        ("Unigram", TokenizerKind::Unigram),
        ("WordPiece", TokenizerKind::WordPiece),
        ("WordLevel", TokenizerKind::WordLevel),
    ];
    let model = &file["model"];
    // Old files leave the type out; the members tell.
    let name = model["type"].as_str().or_else(|| model.get("merges").map(|_| "BPE")).unwrap_or_default();
    let known = || KINDS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    KINDS.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind).ok_or_else(|| {
        TokenizerError::UnsupportedTokenizer { key: "model.type".into(), found: name.into(), known: known() }
    })
}

/// One entry of `added_tokens`.
struct Added {
    text: String,
    special: bool,
    strip: Strip,
    /// Asks for more than plain matching: whole words, or matching behind the normalizer.
    fancy: bool,
}

fn read_added(file: &Value) -> Result<BTreeMap<TokenId, Added>, TokenizerError> {
    let flag = |token: &Value, name: &str| token[name].as_bool().unwrap_or(false);
    let list = file["added_tokens"].as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter()
        .map(|token| {
            let id = read_id(&token["id"])?;
            let text = token["content"].as_str().ok_or_else(|| bad("an added token has no content"))?.to_owned();
            let strip = Strip { left: flag(token, "lstrip"), right: flag(token, "rstrip") };
            Ok((id, Added { text, special: flag(token, "special"), strip, fancy: flag(token, "single_word") }))
        })
        .collect()
}

fn read_id(value: &Value) -> Result<TokenId, TokenizerError> {
    match value.as_u64() {
        Some(id) if (id as usize) < MAX_TOKENS => Ok(id as TokenId),
        _ => Err(bad(format!("token id {value} is not below {MAX_TOKENS}"))),
    }
}

fn read_vocab(file: &Value, kind: TokenizerKind, added: &BTreeMap<TokenId, Added>) -> Result<Vocab, TokenizerError> {
    let model = &file["model"];
    let mut texts: Vec<(TokenId, &str)> = match &model["vocab"] {
        Value::Object(ids) => {
            ids.iter().map(|(text, id)| Ok((read_id(id)?, text.as_str()))).collect::<Result<_, TokenizerError>>()?
        }
        Value::Array(pieces) => {
            let find = pieces.iter().enumerate().map(|(id, value)| match value.get(0).and_then(Value::as_str) {
                Some(text) if id < MAX_TOKENS => Ok((id as TokenId, text)),
                _ => Err(bad(format!("entry {id} of the vocabulary has no text"))),
            });
            find.collect::<Result<_, _>>()?
        }
        _ => return Err(bad("model.vocab is missing")),
    };
    texts.extend(added.iter().map(|(&id, token)| (id, token.text.as_str())));
    let count = texts.iter().map(|&(id, _)| id as usize + 1).max().unwrap_or(0);
    if count == 0 {
        return Err(TokenizerError::EmptyVocabulary { key: "model.vocab".into() });
    }
    let byte_fallback = model["byte_fallback"].as_bool().unwrap_or(false);
    let unknown = model["unk_token"].as_str();
    let mut list: Vec<Box<[u8]>> = vec![Box::default(); count];
    // A hole in the numbering is a token without a text.
    let mut types = vec![TokenType::Unused; count];
    for (id, text) in texts {
        list[id as usize] = text.as_bytes().into();
        types[id as usize] = match added.get(&id) {
            _ if unknown == Some(text) => TokenType::Unknown,
            Some(token) if token.special => TokenType::Control,
            Some(_) => TokenType::UserDefined,
            None if byte_fallback && parse_byte(text.as_bytes()).is_some() => TokenType::Byte,
            None => TokenType::Normal,
        };
    }
    Vocab::new(&list, types, writing(&file["decoder"], kind, &model["continuing_subword_prefix"]))
}

/// How tokens are written, which the decoder tells.
fn writing(decoder: &Value, kind: TokenizerKind, prefix: &Value) -> Writing {
    if kind == TokenizerKind::WordPiece && prefix.as_str().is_none_or(|prefix| prefix == "##") {
        return Writing::Continued;
    }
    match kind {
        TokenizerKind::WordLevel => Writing::Words,
        _ if each_part(decoder, "decoders").iter().any(|part| part["type"] == "ByteLevel") => Writing::ByteLevel,
        _ => Writing::Marked,
    }
}

/// The members of a sequence, or the thing itself.
fn each_part<'a>(value: &'a Value, members: &str) -> Vec<&'a Value> {
    match value[members].as_array() {
        Some(list) if value["type"] == "Sequence" => list.iter().flat_map(|part| each_part(part, members)).collect(),
        _ if value.is_null() => Vec::new(),
        _ => vec![value],
    }
}

fn drops_first_space(decoder: &Value) -> bool {
    each_part(decoder, "decoders").iter().any(|part| match part["type"].as_str() {
        Some("Strip") => part["content"] == " " && part["start"].as_u64().is_some_and(|n| n > 0),
        Some("Metaspace") => {
            part["prepend_scheme"].as_str().map_or(part["add_prefix_space"] != false, |scheme| scheme != "never")
        }
        _ => false,
    })
}

fn text_at(value: &Value, vocab: &Vocab) -> Option<TokenId> {
    vocab.id(value.as_str()?.as_bytes())
}

/// The tokens around a text: those of the post-processor's template.
fn ends(file: &Value, vocab: &Vocab) -> Result<(Vec<TokenId>, Vec<TokenId>), TokenizerError> {
    let (mut before, mut behind) = (Vec::new(), Vec::new());
    for part in each_part(&file["post_processor"], "processors") {
        let side = |pair: &Value| read_id(&pair[1]);
        match part["type"].as_str() {
            Some("TemplateProcessing") => {
                let mut seen_text = false;
                for item in part["single"].as_array().map(Vec::as_slice).unwrap_or_default() {
                    seen_text |= item.get("Sequence").is_some();
                    let Some(name) = item["SpecialToken"]["id"].as_str() else { continue };
                    let ids = part["special_tokens"][name]["ids"].as_array().map(Vec::as_slice).unwrap_or_default();
                    let ids = ids.iter().map(read_id).collect::<Result<Vec<_>, _>>()?;
                    if seen_text { behind.extend(ids) } else { before.extend(ids) }
                }
            }
            Some("BertProcessing" | "RobertaProcessing") => {
                before.push(side(&part["cls"])?);
                behind.push(side(&part["sep"])?);
            }
            _ => {}
        }
    }
    match before.iter().chain(&behind).find(|&&id| id as usize >= vocab.len()) {
        Some(&id) => {
            Err(TokenizerError::TokenIdOutOfRange { key: "post_processor".into(), id: id.into(), vocab: vocab.len() })
        }
        None => Ok((before, behind)),
    }
}

/// Our own byte-level BPE, if the file describes nothing that it lacks.
fn native(file: &Value, vocab: &Vocab) -> Result<Option<Model>, TokenizerError> {
    let model = &file["model"];
    let unset = |key: &str| matches!(&model[key], Value::Null | Value::Bool(false)) || model[key] == "";
    let plain_model = kind_of(file)? == TokenizerKind::Bpe
        && ["dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback"]
            .iter()
            .all(|key| unset(key));
    let nfc = match file["normalizer"]["type"].as_str() {
        None if file["normalizer"].is_null() => false,
        Some("NFC") => true,
        _ => return Ok(None),
    };
    // Behind a normalizer, a token that asks to be matched in normalized text is the library's business.
    let plain_tokens = read_added(file)?.values().all(|token| !token.fancy);
    let Some(patterns) = byte_level_patterns(&file["pre_tokenizer"]) else { return Ok(None) };
    let Some(merges) = merge_list(&model["merges"]) else { return Ok(None) };
    if !plain_model || !plain_tokens {
        return Ok(None);
    }
    let Ok(cutter) = PreTokenizer::from_patterns(&patterns) else { return Ok(None) };
    let shortcut = match model["ignore_merges"].as_bool() {
        Some(true) => Shortcut::Always,
        _ => Shortcut::IfMergesAgree { lines_always: false },
    };
    let merges = parse_merges(vocab, &merges)?;
    Ok(Some(Model::Bpe { bpe: Bpe::byte_level(vocab, merges, Words::Pattern(cutter), shortcut), nfc }))
}

/// The patterns of a pre-tokenizer that ends in bytes, if all of its parts isolate matches of patterns.
fn byte_level_patterns(pre: &Value) -> Option<Vec<String>> {
    let parts = each_part(pre, "pretokenizers");
    let (last, first) = parts.split_last()?;
    if last["type"] != "ByteLevel" || last["add_prefix_space"] != false {
        return None;
    }
    let mut patterns = first.iter().map(|part| isolating_pattern(part)).collect::<Option<Vec<_>>>()?;
    if last["use_regex"].as_bool().unwrap_or(true) {
        patterns.push(BYTE_LEVEL_PATTERN.to_owned());
    }
    Some(patterns)
}

fn isolating_pattern(part: &Value) -> Option<String> {
    match part["type"].as_str()? {
        "Split" if part["behavior"] == "Isolated" && part["invert"] != true => {
            let pattern = &part["pattern"];
            let text = pattern["String"].as_str().map(regex_syntax::escape);
            text.or_else(|| pattern["Regex"].as_str().map(str::to_owned))
        }
        "Digits" if part["individual_digits"] == true => Some(r"\p{N}".to_owned()),
        "Digits" => Some(r"\p{N}+".to_owned()),
        _ => None,
    }
}

/// The merges as lines; `None` if one of their parts holds a space, which lines cannot say.
fn merge_list(merges: &Value) -> Option<Vec<Box<[u8]>>> {
    let line = |merge: &Value| match merge {
        Value::String(line) => Some(line.as_bytes().into()),
        Value::Array(pair) => match pair.as_slice() {
            [Value::String(left), Value::String(right)] if !left.contains(' ') && !right.contains(' ') => {
                Some(format!("{left} {right}").into_bytes().into())
            }
            _ => None,
        },
        _ => None,
    };
    merges.as_array()?.iter().map(line).collect()
}
