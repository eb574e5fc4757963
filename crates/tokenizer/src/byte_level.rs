//! The byte alphabet of GPT-2: each byte is written as one printable character, so that a vocabulary is a list of
//! ordinary words. Bytes that print stand for themselves; the other 68 follow from U+0100 on.

/// Whether `byte` stands for itself.
const fn prints(byte: u8) -> bool {
    matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF)
}

/// Character of each byte.
const CHARS: [char; 256] = {
    let mut table = ['\0'; 256];
    let mut hidden = 0x100;
    let mut byte = 0;
    while byte < 256 {
        table[byte] = if prints(byte as u8) {
            byte as u8 as char
        } else {
            hidden += 1;
            match char::from_u32(hidden - 1) {
                Some(c) => c,
                None => '\0',
            }
        };
        byte += 1;
    }
    table
};

/// Byte of each character below U+0144; 256 where there is none.
const BYTES: [u16; 0x144] = {
    let mut table = [256; 0x144];
    let mut byte = 0;
    while byte < 256 {
        table[CHARS[byte] as usize] = byte as u16;
        byte += 1;
    }
    table
};

/// The character that stands for `byte`.
pub(crate) fn char_of(byte: u8) -> char {
    CHARS[usize::from(byte)]
}

/// The byte that `c` stands for, if it is of the alphabet.
pub(crate) fn byte_of(c: char) -> Option<u8> {
    BYTES.get(c as usize).and_then(|&b| u8::try_from(b).ok())
}

/// The bytes that `text` stands for, or `None` if one of its characters is not of the alphabet.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    text.chars().map(byte_of).collect()
}

/// Like [`decode`], but characters outside the alphabet stand for themselves.
pub(crate) fn decode_lossy(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for c in text.chars() {
        match byte_of(c) {
            Some(byte) => out.push(byte),
            None => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_its_own_character_and_comes_back() {
        for byte in 0..=255 {
            assert_eq!(byte_of(char_of(byte)), Some(byte));
        }
        assert_eq!(char_of(b' '), 'Ġ');
        assert_eq!(char_of(b'\n'), 'Ċ');
        assert_eq!(char_of(0xAD), '\u{143}');
        assert_eq!(byte_of('▁'), None);
        assert_eq!(decode("Ġhi"), Some(b" hi".to_vec()));
        assert_eq!(decode("▁hi"), None);
        assert_eq!(decode_lossy("▁Ġ"), "▁ ".as_bytes());
    }
}
