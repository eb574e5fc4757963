//! The `tokenizers` crate, for the kinds of `tokenizer.json` that our own algorithms do not cover.

use std::ops::Range;
use std::sync::OnceLock;

use crate::TokenId;
use crate::error::TokenizerError;

/// A tokenizer of the library, in two settings, as it keeps in itself whether special tokens are parsed.
#[derive(Debug)]
pub(crate) struct Library {
    parsing: tokenizers::Tokenizer,
    /// Leaves special tokens as text; made when it is first asked for.
    literal: OnceLock<tokenizers::Tokenizer>,
}

impl Library {
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, TokenizerError> {
        let json = |error: tokenizers::Error| TokenizerError::Json { reason: error.to_string() };
        let mut parsing = tokenizers::Tokenizer::from_bytes(bytes).map_err(json)?;
        // A file may ask for cutting or filling up to a length: that is the business of whoever batches texts.
        parsing.with_truncation(None).map_err(json)?;
        parsing.with_padding(None);
        Ok(Self { parsing, literal: OnceLock::new() })
    }

    /// Appends the tokens of `text`, each of `literals` on its own, so that no special token is found in it.
    pub(crate) fn encode(
        &self,
        text: &str,
        parse_special: bool,
        literals: &[Range<usize>],
        out: &mut Vec<TokenId>,
    ) -> Result<(), TokenizerError> {
        let mut at = 0;
        for range in literals {
            self.append(&text[at..range.start], parse_special, out)?;
            self.append(&text[range.clone()], false, out)?;
            at = range.end;
        }
        self.append(&text[at..], parse_special, out)
    }

    fn append(&self, text: &str, parse_special: bool, out: &mut Vec<TokenId>) -> Result<(), TokenizerError> {
        if text.is_empty() {
            return Ok(());
        }
        let encoding = self
            .inner(parse_special)
            .encode_fast(text, false)
            .map_err(|error| TokenizerError::Encode { bytes: text.len(), reason: error.to_string() })?;
        out.extend_from_slice(encoding.get_ids());
        Ok(())
    }

    fn inner(&self, parse_special: bool) -> &tokenizers::Tokenizer {
        if parse_special {
            return &self.parsing;
        }
        self.literal.get_or_init(|| {
            let mut literal = self.parsing.clone();
            literal.set_encode_special_tokens(true);
            literal
        })
    }
}
