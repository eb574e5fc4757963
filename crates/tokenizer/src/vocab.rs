//! The token list: texts, types, and the bytes each token stands for.

use std::borrow::Cow;

use crate::TokenId;
use crate::byte_level;
use crate::error::TokenizerError;
use crate::hash::Map;

/// The mark that SentencePiece writes for a space, U+2581.
pub(crate) const MARK: &str = "\u{2581}";

/// The longest text of a token, in bytes. Real vocabularies stay below one kilobyte.
const MAX_TOKEN_BYTES: usize = 16 << 10;

/// What a token is for: the numbers of `tokenizer.ggml.token_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenType {
    /// The file gives no type.
    Undefined,
    /// Ordinary text.
    Normal,
    /// Stands for text that no other token covers.
    Unknown,
    /// Steers the model and stands for no text, such as a turn marker.
    Control,
    /// Text that is always one token, wherever it stands.
    UserDefined,
    /// A reserved place.
    Unused,
    /// One byte, for characters that have no token.
    Byte,
}

impl TokenType {
    /// The type of a number of the format.
    pub fn from_number(number: i64) -> Option<Self> {
        Some(match number {
            0 => Self::Undefined,
            1 => Self::Normal,
            2 => Self::Unknown,
            3 => Self::Control,
            4 => Self::UserDefined,
            5 => Self::Unused,
            6 => Self::Byte,
            _ => return None,
        })
    }

    /// Whether ordinary text may become this token through merging or matching.
    pub(crate) fn is_text(self) -> bool {
        matches!(self, Self::Normal | Self::UserDefined | Self::Unused | Self::Undefined)
    }
}

/// How the text of an ordinary token is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Writing {
    /// In GPT-2's byte alphabet.
    ByteLevel,
    /// With U+2581 for each space.
    Marked,
    /// As words, of which those that continue one begin with `##`.
    Continued,
    /// As words.
    Words,
}

/// Many byte strings in one allocation.
#[derive(Debug, Default)]
struct Arena {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Arena {
    fn push(&mut self, item: &[u8]) {
        self.bytes.extend_from_slice(item);
        self.ends.push(self.bytes.len());
    }

    fn get(&self, index: usize) -> Option<&[u8]> {
        let end = *self.ends.get(index)?;
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        self.bytes.get(start..end)
    }
}

/// The token list.
#[derive(Debug)]
pub(crate) struct Vocab {
    texts: Arena,
    spelled: Arena,
    types: Vec<TokenType>,
    ids: Map<Box<[u8]>, TokenId>,
}

impl Vocab {
    /// Checks the list and spells out each token.
    pub(crate) fn new(texts: &[Box<[u8]>], types: Vec<TokenType>, writing: Writing) -> Result<Self, TokenizerError> {
        let mut vocab = Self {
            texts: Arena::default(),
            spelled: Arena::default(),
            types,
            ids: Map::with_capacity_and_hasher(texts.len(), Default::default()),
        };
        let mut twice = 0_usize;
        for (id, text) in texts.iter().enumerate() {
            if text.len() > MAX_TOKEN_BYTES {
                return Err(TokenizerError::TokenTooLong { id, bytes: text.len(), max: MAX_TOKEN_BYTES });
            }
            // The first of two equal texts is the one that text becomes; the other still has its text.
            if vocab.ids.contains_key(text) {
                twice += 1;
            } else {
                vocab.ids.insert(text.clone(), id as TokenId);
            }
            vocab.texts.push(text);
            vocab.spelled.push(&spell(id, text, vocab.types[id], writing)?);
        }
        if twice > 0 {
            tracing::warn!(twice, "the vocabulary lists token texts more than once; the first of each is used");
        }
        Ok(vocab)
    }

    pub(crate) fn len(&self) -> usize {
        self.types.len()
    }

    pub(crate) fn text(&self, id: TokenId) -> Option<&[u8]> {
        self.texts.get(id as usize)
    }

    /// The text for messages and listings.
    pub(crate) fn shown(&self, id: TokenId) -> Option<Cow<'_, str>> {
        self.text(id).map(String::from_utf8_lossy)
    }

    /// The bytes that the token stands for; none for an id outside the vocabulary.
    pub(crate) fn bytes(&self, id: TokenId) -> &[u8] {
        self.spelled.get(id as usize).unwrap_or_default()
    }

    pub(crate) fn token_type(&self, id: TokenId) -> Option<TokenType> {
        self.types.get(id as usize).copied()
    }

    pub(crate) fn set_type(&mut self, id: TokenId, to: TokenType) {
        if let Some(slot) = self.types.get_mut(id as usize) {
            *slot = to;
        }
    }

    pub(crate) fn id(&self, text: &[u8]) -> Option<TokenId> {
        self.ids.get(text).copied()
    }

    /// All ids with their texts and types.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (TokenId, &[u8], TokenType)> {
        self.types.iter().enumerate().map(|(id, &ty)| (id as TokenId, self.texts.get(id).unwrap_or_default(), ty))
    }

    /// The token of each byte, if the vocabulary has byte tokens; it must then have all of them.
    pub(crate) fn byte_tokens(&self) -> Result<Option<Box<[TokenId; 256]>>, TokenizerError> {
        let mut found = [None; 256];
        for (id, text, ty) in self.iter() {
            if ty == TokenType::Byte
                && let Some(byte) = parse_byte(text)
            {
                found[usize::from(byte)].get_or_insert(id);
            }
        }
        if found.iter().all(Option::is_none) {
            return Ok(None);
        }
        let mut tokens = Box::new([0; 256]);
        for (byte, id) in found.iter().enumerate() {
            tokens[byte] = id.ok_or_else(|| TokenizerError::BadByteToken {
                id: byte,
                text: format!("<0x{byte:02X}>"),
                why: "the vocabulary has tokens for other bytes, but not for this one",
            })?;
        }
        Ok(Some(tokens))
    }
}

/// The bytes that a token stands for.
fn spell<'a>(id: usize, text: &'a [u8], ty: TokenType, writing: Writing) -> Result<Cow<'a, [u8]>, TokenizerError> {
    Ok(match (ty, writing) {
        (TokenType::Byte, _) => match parse_byte(text) {
            Some(byte) => Cow::Owned(vec![byte]),
            None => {
                return Err(TokenizerError::BadByteToken {
                    id,
                    text: String::from_utf8_lossy(text).into_owned(),
                    why: "expected `<0x` and two hexadecimal digits and `>`",
                });
            }
        },
        (TokenType::Control | TokenType::Unknown | TokenType::UserDefined, _) => Cow::Borrowed(text),
        (_, Writing::ByteLevel) => match std::str::from_utf8(text) {
            Ok(text) => Cow::Owned(byte_level::decode_lossy(text)),
            Err(_) => Cow::Borrowed(text),
        },
        (_, Writing::Continued) => match text.strip_prefix(b"##") {
            Some(rest) => Cow::Borrowed(rest),
            None => Cow::Owned([b" ", text].concat()),
        },
        (_, Writing::Words) => Cow::Owned([b" ", text].concat()),
        (_, Writing::Marked) => match std::str::from_utf8(text) {
            Ok(text) if text.contains(MARK) => Cow::Owned(text.replace(MARK, " ").into_bytes()),
            _ => Cow::Borrowed(text),
        },
    })
}

/// The byte of a text such as `<0x0A>`.
pub(crate) fn parse_byte(text: &[u8]) -> Option<u8> {
    let [b'<', b'0', b'x', high, low, b'>'] = text else { return None };
    let digit = |c: &u8| char::from(*c).to_digit(16);
    u8::try_from(digit(high)? << 4 | digit(low)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_spelled_by_type_and_writing() {
        let texts: Vec<Box<[u8]>> = ["Ġhi", "<|end|>", "▁hi", "<0x0A>"].iter().map(|t| t.as_bytes().into()).collect();
        let types = vec![TokenType::Normal, TokenType::Control, TokenType::Normal, TokenType::Byte];
        let byte_level = Vocab::new(&texts, types.clone(), Writing::ByteLevel).unwrap();
        assert_eq!(byte_level.bytes(0), b" hi");
        assert_eq!(byte_level.bytes(1), b"<|end|>");
        assert_eq!(byte_level.bytes(2), "▁hi".as_bytes());
        assert_eq!(byte_level.bytes(3), b"\n");
        assert_eq!(byte_level.bytes(9), b"");
        let marked = Vocab::new(&texts, types, Writing::Marked).unwrap();
        assert_eq!(marked.bytes(2), b" hi");
        assert_eq!(marked.id(b"<|end|>"), Some(1));
    }

    #[test]
    fn byte_texts() {
        assert_eq!(parse_byte(b"<0x0a>"), Some(10));
        assert_eq!(parse_byte(b"<0xFF>"), Some(255));
        for bad in ["<0x-1>", "<0xZZ>", "<0x1>", "<0x001>", "0x01", "<0x+1>"] {
            assert_eq!(parse_byte(bad.as_bytes()), None, "{bad}");
        }
    }
}
