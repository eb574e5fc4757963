//! Tokens with a role: where a text begins and ends, and where generation stops.

use rocmforge_gguf_loader::Metadata;

use crate::TokenId;
use crate::error::TokenizerError;
use crate::vocab::{TokenType, Vocab};

/// The ids of tokens with a role; `None` where the model has none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SpecialTokens {
    /// Beginning of text (BERT: `[CLS]`).
    pub bos: Option<TokenId>,
    /// End of text.
    pub eos: Option<TokenId>,
    /// End of a turn.
    pub eot: Option<TokenId>,
    /// End of a message that is not the end of a turn.
    pub eom: Option<TokenId>,
    /// Unknown text.
    pub unk: Option<TokenId>,
    /// Separator (BERT: `[SEP]`).
    pub sep: Option<TokenId>,
    /// Padding.
    pub pad: Option<TokenId>,
    /// The masked place of a masked language model.
    pub mask: Option<TokenId>,
    /// Fill in the middle: what stands before.
    pub fim_prefix: Option<TokenId>,
    /// Fill in the middle: what stands behind.
    pub fim_suffix: Option<TokenId>,
    /// Fill in the middle: here the model begins.
    pub fim_middle: Option<TokenId>,
    /// Fill in the middle: padding.
    pub fim_pad: Option<TokenId>,
    /// Fill in the middle: the name of a repository follows.
    pub fim_repo: Option<TokenId>,
    /// Fill in the middle: another file follows.
    pub fim_separator: Option<TokenId>,
}

/// One role: how a file names it, and texts by which it is known when the file does not.
struct Role {
    slot: fn(&mut SpecialTokens) -> &mut Option<TokenId>,
    keys: &'static [&'static str],
    texts: &'static [&'static str],
}

const fn role(
    slot: fn(&mut SpecialTokens) -> &mut Option<TokenId>,
    keys: &'static [&'static str],
    texts: &'static [&'static str],
) -> Role {
    Role { slot, keys, texts }
}

/// Keys follow `tokenizer.ggml.`; the later ones are older names.
const ROLES: &[Role] = &[
    role(|s| &mut s.bos, &["bos_token_id", "cls_token_id"], &[]),
    role(|s| &mut s.eos, &["eos_token_id"], &[]),
    role(
        |s| &mut s.eot,
        &["eot_token_id"],
        &[
            "<|eot_id|>",
            "<|im_end|>",
            "<|end|>",
            "<end_of_turn>",
            "<|endoftext|>",
            "<|end_of_text|>",
            "<EOT>",
            "_<EOT>",
            "[EOT]",
            "<｜end▁of▁sentence｜>",
            "<end_of_utterance>",
        ],
    ),
    role(|s| &mut s.eom, &["eom_token_id"], &["<|eom_id|>"]),
    role(|s| &mut s.unk, &["unknown_token_id"], &[]),
    role(|s| &mut s.sep, &["seperator_token_id", "separator_token_id"], &[]),
    role(|s| &mut s.pad, &["padding_token_id"], &[]),
    role(|s| &mut s.mask, &["mask_token_id"], &[]),
    role(
        |s| &mut s.fim_prefix,
        &["fim_pre_token_id", "prefix_token_id"],
        &[
            "<|fim_prefix|>",
            "<fim-prefix>",
            "<fim_prefix>",
            "<｜fim▁begin｜>",
            "<PRE>",
            "▁<PRE>",
            "<|code_prefix|>",
            "<|prefix|>",
        ],
    ),
    role(
        |s| &mut s.fim_suffix,
        &["fim_suf_token_id", "suffix_token_id"],
        &[
            "<|fim_suffix|>",
            "<fim-suffix>",
            "<fim_suffix>",
            "<｜fim▁hole｜>",
            "<SUF>",
            "▁<SUF>",
            "<|code_suffix|>",
            "<|suffix|>",
        ],
    ),
    role(
        |s| &mut s.fim_middle,
        &["fim_mid_token_id", "middle_token_id"],
        &[
            "<|fim_middle|>",
            "<fim-middle>",
            "<fim_middle>",
            "<｜fim▁end｜>",
            "<MID>",
            "▁<MID>",
            "<|code_middle|>",
            "<|middle|>",
        ],
    ),
    role(|s| &mut s.fim_pad, &["fim_pad_token_id"], &["<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"]),
    role(
        |s| &mut s.fim_repo,
        &["fim_rep_token_id"],
        &["<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"],
    ),
    role(|s| &mut s.fim_separator, &["fim_sep_token_id"], &["<|file_sep|>"]),
];

/// Texts of tokens that end a generation wherever a model has them.
const STOP_TEXTS: &[&str] = &[
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|flush|>",
    "<|calls|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "</s>",
    "<|eom_id|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<|end_of_text|>",
    "<end_of_utterance>",
    "<eos>",
    "<turn|>",
    "<|tool_response>",
    "<｜end▁of▁sentence｜>",
    "[e~[",
];

/// Those of [`STOP_TEXTS`] that end a whole text and not a turn.
const DOCUMENT_ENDS: &[&str] = &["<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "[EOS]", "<｜end▁of▁sentence｜>"];

/// Whether a token's text is known to end a whole text and not a turn.
pub(crate) fn is_document_end(text: &[u8]) -> bool {
    DOCUMENT_ENDS.iter().any(|end| end.as_bytes() == text)
}

/// A vocabulary with all of `with` uses `text` in the middle of a message.
struct NoStop {
    text: &'static str,
    with: &'static [&'static str],
}

const NO_STOPS: &[NoStop] = &[
    // Harmony: `<|end|>` ends one channel's message, and the next one follows.
    NoStop { text: "<|end|>", with: &["<|return|>", "<|call|>"] },
    NoStop { text: "<|end|>", with: &["<|calls|>", "<|flush|>"] },
    NoStop { text: "</s>", with: &["<|tool_response>"] },
    NoStop { text: "</s>", with: &["<|plamo:eos|>"] },
];

impl SpecialTokens {
    /// Overrides the defaults in `self` by what the file says, then looks for well-known texts.
    pub(crate) fn read(mut self, metadata: &Metadata, vocab: &mut Vocab) -> Result<Self, TokenizerError> {
        for role in ROLES {
            let slot = (role.slot)(&mut self);
            // A default of another size of vocabulary does not count.
            *slot = slot.filter(|&id| (id as usize) < vocab.len());
            for key in role.keys.iter().rev() {
                if let Some(id) = read_id(metadata, &format!("tokenizer.ggml.{key}"), vocab.len())? {
                    *slot = Some(id);
                }
            }
        }
        self.look_for_texts(vocab);
        Ok(self)
    }

    /// Fills roles that are open from the well-known texts that this vocabulary has as added tokens.
    pub(crate) fn look_for_texts(&mut self, vocab: &mut Vocab) {
        for role in ROLES {
            let slot = (role.slot)(self);
            if slot.is_none() {
                *slot = role.texts.iter().find_map(|text| claim(vocab, text));
            }
        }
    }

    /// Every token that ends a generation, in order of id.
    pub(crate) fn stops(&self, vocab: &mut Vocab) -> Vec<TokenId> {
        let roles = [self.eos, self.eot, self.eom, self.fim_pad, self.fim_repo, self.fim_separator];
        let mut stops: Vec<_> = roles.into_iter().flatten().collect();
        stops.extend(STOP_TEXTS.iter().filter_map(|text| claim(vocab, text)));
        for rule in NO_STOPS {
            if rule.with.iter().all(|text| added(vocab, text).is_some()) {
                stops.retain(|&id| vocab.text(id) != Some(rule.text.as_bytes()) || self.eos == Some(id));
            }
        }
        stops.sort_unstable();
        stops.dedup();
        stops
    }
}

/// The token of a text, if it is not an ordinary piece of text.
fn added(vocab: &Vocab, text: &str) -> Option<TokenId> {
    let id = vocab.id(text.as_bytes())?;
    matches!(vocab.token_type(id)?, TokenType::Control | TokenType::UserDefined | TokenType::Unknown).then_some(id)
}

/// As [`added`]; a marker that the file calls user-defined is made a control token, so that it is neither shown nor
/// found in text that is not to be parsed.
fn claim(vocab: &mut Vocab, text: &str) -> Option<TokenId> {
    let id = added(vocab, text)?;
    if vocab.token_type(id) == Some(TokenType::UserDefined) {
        tracing::debug!(id, text, "treated as a control token, though the file calls it user-defined");
        vocab.set_type(id, TokenType::Control);
    }
    Some(id)
}

/// An id of the file, which must be of the vocabulary.
fn read_id(metadata: &Metadata, key: &str, vocab: usize) -> Result<Option<TokenId>, TokenizerError> {
    let Some(value) = metadata.get(key) else { return Ok(None) };
    let Some(id) = value.as_integer() else {
        return Err(TokenizerError::WrongType { key: key.to_owned(), want: "an integer", found: value.describe() });
    };
    match usize::try_from(id) {
        Ok(at) if at < vocab => Ok(Some(at as TokenId)),
        _ => {
            // No integer of a file has more than 64 bits; the largest is shown as such.
            let id = i64::try_from(id).unwrap_or(i64::MAX);
            Err(TokenizerError::TokenIdOutOfRange { key: key.to_owned(), id, vocab })
        }
    }
}
