//! Token ids to text, one at a time, never with half a character.

use std::sync::Arc;

use crate::TokenId;
use crate::tokenizer::Tokenizer;

/// The state of decoding, without the tokenizer.
#[derive(Debug, Clone)]
pub(crate) struct Decoder {
    skip_special: bool,
    /// The next text may begin with a space that encoding put there.
    drop_space: bool,
    /// The beginning of a character, at most three bytes.
    held: Vec<u8>,
}

impl Decoder {
    pub(crate) fn new(tokenizer: &Tokenizer, skip_special: bool) -> Self {
        Self { skip_special, drop_space: tokenizer.space_prefix, held: Vec::new() }
    }

    /// Appends to `out` what `id` makes complete.
    pub(crate) fn push(&mut self, tokenizer: &Tokenizer, id: TokenId, out: &mut String) {
        if self.skip_special && tokenizer.is_special(id) {
            return;
        }
        let mut bytes = tokenizer.token_bytes(id);
        if self.drop_space && !bytes.is_empty() {
            self.drop_space = false;
            bytes = bytes.strip_prefix(b" ").unwrap_or(bytes);
        }
        if self.held.is_empty() {
            let rest = complete(bytes, out);
            self.held.extend_from_slice(rest);
        } else {
            let mut joined = std::mem::take(&mut self.held);
            joined.extend_from_slice(bytes);
            let kept = complete(&joined, out).len();
            joined.drain(..joined.len() - kept);
            self.held = joined;
        }
    }

    /// Ends the text: what is held will not become a character any more.
    pub(crate) fn flush(&mut self, out: &mut String) {
        if !std::mem::take(&mut self.held).is_empty() {
            out.push(char::REPLACEMENT_CHARACTER);
        }
    }
}

/// Appends the characters of `bytes`, with U+FFFD for what cannot be part of one, and answers the last bytes if they are
/// the beginning of a character.
fn complete<'a>(mut bytes: &'a [u8], out: &mut String) -> &'a [u8] {
    loop {
        match std::str::from_utf8(bytes) {
            Ok(text) => {
                out.push_str(text);
                return &[];
            }
            Err(error) => {
                let (sound, rest) = bytes.split_at(error.valid_up_to());
                // The prefix is UTF-8 as the error says so.
                out.push_str(std::str::from_utf8(sound).unwrap_or_default());
                let Some(bad) = error.error_len() else { return rest };
                out.push(char::REPLACEMENT_CHARACTER);
                bytes = &rest[bad..];
            }
        }
    }
}

/// Turns a stream of token ids into a stream of text.
///
/// Bytes are held back only while they are the beginning of a character; bytes that can no longer become one are given
/// out as U+FFFD at once. The pieces given out, [`Detokenizer::flush`] included, are together what
/// [`Tokenizer::decode`] makes of the ids.
///
/// ```
/// # use std::sync::Arc;
/// # use rocmforge_tokenizer::{Detokenizer, Tokenizer};
/// # fn show(tokenizer: Arc<Tokenizer>, ids: &[u32]) {
/// let mut detokenizer = Detokenizer::new(tokenizer, true).continuing();
/// for &id in ids {
///     print!("{}", detokenizer.push(id));
/// }
/// println!("{}", detokenizer.flush());
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Detokenizer {
    tokenizer: Arc<Tokenizer>,
    decoder: Decoder,
    out: String,
}

impl Detokenizer {
    /// Begins a text. With `skip_special`, control and unknown tokens give no text.
    pub fn new(tokenizer: Arc<Tokenizer>, skip_special: bool) -> Self {
        let decoder = Decoder::new(&tokenizer, skip_special);
        Self { tokenizer, decoder, out: String::new() }
    }

    /// For ids that follow others, such as an answer that follows its prompt: a space at the beginning is the model's own
    /// then, and stays, where at the beginning of a text SentencePiece's encoding has put it there.
    #[must_use]
    pub fn continuing(mut self) -> Self {
        self.decoder.drop_space = false;
        self
    }

    /// Takes the next id and gives the text that became complete with it, which may be empty.
    pub fn push(&mut self, id: TokenId) -> &str {
        self.out.clear();
        self.decoder.push(&self.tokenizer, id, &mut self.out);
        &self.out
    }

    /// Ends the text: U+FFFD if a character was left incomplete, else nothing.
    pub fn flush(&mut self) -> &str {
        self.out.clear();
        self.decoder.flush(&mut self.out);
        &self.out
    }

    /// The number of bytes held back; at most three.
    pub fn held(&self) -> usize {
        self.decoder.held.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_beginning_of_a_character_is_kept() {
        let check = |bytes: &[u8], text: &str, kept: &[u8]| {
            let mut out = String::new();
            assert_eq!(complete(bytes, &mut out), kept, "{bytes:?}");
            assert_eq!(out, text, "{bytes:?}");
        };
        check("aé".as_bytes(), "aé", b"");
        check(b"a\xF0\x9F\x98", "a", b"\xF0\x9F\x98");
        check(b"\xFFa\xE2\x82", "\u{FFFD}a", b"\xE2\x82");
        check(b"\xE2\x82a", "\u{FFFD}a", b"");
        check(b"\x80\x80", "\u{FFFD}\u{FFFD}", b"");
        check(b"\xED\xA0\x80", "\u{FFFD}\u{FFFD}\u{FFFD}", b"");
    }
}
