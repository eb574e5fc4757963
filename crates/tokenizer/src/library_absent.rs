//! Stands for the `tokenizers` crate in builds without it.

use std::ops::Range;

use crate::TokenId;
use crate::error::TokenizerError;

/// No tokenizer is of this kind here.
#[derive(Debug)]
pub(crate) enum Library {}

impl Library {
    pub(crate) fn from_bytes(_bytes: &[u8]) -> Result<Self, TokenizerError> {
        let reason = "only byte-level BPE can be read in a build without the feature `tokenizers`".to_string();
        Err(TokenizerError::Json { reason })
    }

    pub(crate) fn encode(
        &self,
        _text: &str,
        _parse_special: bool,
        _literals: &[Range<usize>],
        _out: &mut Vec<TokenId>,
    ) -> Result<(), TokenizerError> {
        match *self {}
    }
}
