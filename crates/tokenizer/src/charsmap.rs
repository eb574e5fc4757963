//! SentencePiece's compiled normalization table: a double-array trie from text to its replacement.
//!
//! Layout: a little-endian u32 with the trie's size in bytes, the trie's units (u32), then the replacements, each ended
//! by a zero byte. A unit holds the character of its edge (bits 0-7), whether a value hangs below (bit 8), and the
//! offset to its children (bits 10-30, eight times as far when bit 9 is set); a value unit has bit 31 set. This is the
//! unit format of the Darts-clone library.

use crate::error::TokenizerError;

/// The metadata key of the table.
pub(crate) const KEY: &str = "tokenizer.ggml.precompiled_charsmap";

/// A checked table: every unit that a text can lead to is inside, and every replacement is text.
#[derive(Debug, Default)]
pub(crate) struct Charsmap {
    units: Vec<u32>,
    replacements: String,
}

fn bad(why: &'static str) -> TokenizerError {
    TokenizerError::BadCharsmap { key: KEY, why }
}

fn offset(unit: u32) -> u32 {
    (unit >> 10) << ((unit & (1 << 9)) >> 6)
}

fn label(unit: u32) -> u32 {
    unit & (1 << 31 | 0xFF)
}

fn has_value(unit: u32) -> bool {
    unit & (1 << 8) != 0
}

fn value(unit: u32) -> usize {
    (unit & !(1 << 31)) as usize
}

impl Charsmap {
    /// Checks and takes a table. No bytes at all mean no normalization.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, TokenizerError> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        let (size, rest) = bytes.split_first_chunk::<4>().ok_or_else(|| bad("too short for its header of 4 bytes"))?;
        let size = u32::from_le_bytes(*size) as usize;
        if !size.is_multiple_of(4) {
            return Err(bad("the trie's size is not a multiple of 4"));
        }
        let (trie, replacements) =
            rest.split_at_checked(size).ok_or_else(|| bad("the trie is said to be longer than the table"))?;
        let replacements = std::str::from_utf8(replacements).map_err(|_| bad("the replacements are not UTF-8"))?;
        if !replacements.is_empty() && !replacements.ends_with('\0') {
            return Err(bad("the last replacement has no end"));
        }
        let map = Self {
            units: trie.chunks_exact(4).map(|c| u32::from_le_bytes([c[0], c[1], c[2], c[3]])).collect(),
            replacements: replacements.to_owned(),
        };
        map.check()?;
        Ok(map)
    }

    /// Visits each unit once, so that damaged links, loops included, cost no more than the table is long.
    fn check(&self) -> Result<(), TokenizerError> {
        let Some(&root) = self.units.first() else { return Ok(()) };
        let mut seen = vec![false; self.units.len()];
        let mut open = vec![offset(root)];
        while let Some(base) = open.pop() {
            for byte in 1..=255 {
                let at = base ^ byte;
                let unit = *self.units.get(at as usize).ok_or_else(|| bad("the trie leads outside itself"))?;
                if label(unit) != byte || std::mem::replace(&mut seen[at as usize], true) {
                    continue;
                }
                let below = at ^ offset(unit);
                if has_value(unit) {
                    let leaf = *self.units.get(below as usize).ok_or_else(|| bad("the trie leads outside itself"))?;
                    if !self.replacements.is_char_boundary(value(leaf)) || value(leaf) >= self.replacements.len() {
                        return Err(bad("a replacement lies outside the table"));
                    }
                }
                open.push(below);
            }
        }
        Ok(())
    }

    /// The replacement of the longest prefix of `text` that has one, and the prefix's length in bytes.
    pub(crate) fn longest(&self, text: &str) -> Option<(&str, usize)> {
        let mut at = offset(*self.units.first()?);
        let mut found = None;
        for (index, byte) in text.bytes().enumerate() {
            at ^= u32::from(byte);
            let unit = *self.units.get(at as usize)?;
            if byte == 0 || label(unit) != u32::from(byte) {
                break;
            }
            at ^= offset(unit);
            if has_value(unit) && text.is_char_boundary(index + 1) {
                found = Some((value(*self.units.get(at as usize)?), index + 1));
            }
        }
        let (start, length) = found?;
        let replacement = self.replacements.get(start..)?;
        Some((replacement.split('\0').next().unwrap_or_default(), length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table that turns `A` into `a` and `AB` into `xy`.
    pub(crate) fn table() -> Vec<u8> {
        let mut units = vec![0_u32; 1024];
        units[0] = 256 << 10;
        // `A`: children at 512, value at 512.
        units[256 ^ 0x41] = 0x41 | 1 << 8 | (((256 ^ 0x41) as u32 ^ 512) << 10);
        units[512] = 1 << 31;
        units[512 ^ 0x42] = 0x42 | 1 << 8 | (((512 ^ 0x42) as u32 ^ 768) << 10);
        units[768] = 1 << 31 | 2;
        let mut bytes = (units.len() as u32 * 4).to_le_bytes().to_vec();
        bytes.extend(units.iter().flat_map(|u| u.to_le_bytes()));
        bytes.extend_from_slice(b"a\0xy\0");
        bytes
    }

    #[test]
    fn the_longest_prefix_wins() {
        let map = Charsmap::parse(&table()).unwrap();
        assert_eq!(map.longest("AB"), Some(("xy", 2)));
        assert_eq!(map.longest("AC"), Some(("a", 1)));
        assert_eq!(map.longest("B"), None);
        assert_eq!(map.longest(""), None);
        assert_eq!(Charsmap::parse(&[]).unwrap().longest("A"), None);
    }

    #[test]
    fn damaged_tables_are_refused() {
        let reject = |bytes: &[u8]| match Charsmap::parse(bytes) {
            Err(TokenizerError::BadCharsmap { .. }) => {}
            other => panic!("{other:?}"),
        };
        reject(&[7]);
        reject(&[255; 4]);
        reject(&[3, 0, 0, 0, 1, 1, 1]);
        let good = table();
        reject(&good[..good.len() - 1]);
        reject(&good[..100]);
        let mut outside = good.clone();
        outside[4..8].copy_from_slice(&(0x1F_FFFF_u32 << 10).to_le_bytes());
        reject(&outside);
        let mut far = good.clone();
        far[4 + 768 * 4..8 + 768 * 4].copy_from_slice(&(1_u32 << 31 | 99).to_le_bytes());
        reject(&far);
    }
}
