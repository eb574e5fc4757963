//! API keys, kept and compared as digests.

use std::io;
use std::path::Path;

use rocmforge_scheduler::ClientId;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

/// The keys that are let in. Their texts are not kept.
#[derive(Clone, Default)]
pub struct Keys(Vec<[u8; 32]>);

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} keys", self.0.len())
    }
}

/// Why keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The file cannot be read.
    #[error("cannot read the keys in {path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// An empty key would let everybody in.
    #[error("an API key is empty")]
    Empty,
    /// A file without keys would let everybody in.
    #[error("{0} holds no keys: expected one a line")]
    NoKeys(String),
}

/// A key that was recognized.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Whose requests these are.
    pub client: ClientId,
    /// What keeps this key's cached prompts apart from others'.
    pub salt: [u8; 16],
}

impl Keys {
    /// Keys from the command line, and one a line from a file, in which lines that begin with `#` are comments.
    ///
    /// # Errors
    /// A file that cannot be read or has no keys, or an empty key.
    pub fn new(keys: &[String], file: Option<&Path>) -> Result<Self, KeysError> {
        let mut digests: Vec<[u8; 32]> = Vec::new();
        for key in keys {
            if key.trim().is_empty() {
                return Err(KeysError::Empty);
            }
            digests.push(digest(key.trim()));
        }
        if let Some(path) = file {
            let name = path.display().to_string();
            let text =
                std::fs::read_to_string(path).map_err(|source| KeysError::Read { path: name.clone(), source })?;
            let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
            let before = digests.len();
            digests.extend(lines.map(digest));
            if digests.len() == before {
                return Err(KeysError::NoKeys(name));
            }
        }
        Ok(Self(digests))
    }

    /// Whether everybody is let in.
    pub fn is_open(&self) -> bool {
        self.0.is_empty()
    }

    /// The key that was presented, if it is one of these. Every key is compared, and each to its end.
    pub fn find(&self, presented: &[u8]) -> Option<Known> {
        let presented: [u8; 32] = Sha256::digest(presented).into();
        let (mut found, mut index) = (Choice::from(0), 0u32);
        for (at, known) in (0u32..).zip(&self.0) {
            let is_equal = known.ct_eq(&presented);
            index.conditional_assign(&at, is_equal);
            found |= is_equal;
        }
        bool::from(found).then(|| known(&self.0[index as usize]))
    }
}

fn digest(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

/// Client and salt of a key. Both follow from its digest, so that they survive a restart, and neither tells it.
fn known(digest: &[u8; 32]) -> Known {
    let derived: [u8; 32] = Sha256::new().chain_update(b"rocmforge caller").chain_update(digest).finalize().into();
    let (mut client, mut salt) = ([0; 8], [0; 16]);
    client.copy_from_slice(&derived[..8]);
    salt.copy_from_slice(&derived[8..24]);
    Known { client: ClientId(u64::from_le_bytes(client)), salt }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_keys_are_found_and_no_others() {
        let keys = Keys::new(&["first".into(), " second ".into()], None).expect("good keys");
        let (first, second) = (keys.find(b"first").expect("a key"), keys.find(b"second").expect("a key"));
        assert_ne!(first.client, second.client);
        assert_ne!(first.salt, second.salt);
        assert_eq!(Some(first), keys.find(b"first"));
        for wrong in [&b""[..], b"firs", b"first ", b"First", b"third", &[0xff; 10_000]] {
            assert_eq!(keys.find(wrong), None);
        }
        assert!(!keys.is_open() && Keys::default().is_open());
        assert!(!format!("{keys:?}").contains("first"));
    }

    #[test]
    fn keys_come_from_files_and_an_empty_one_is_refused() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "# ours\n\n alpha \nbeta\r\n").expect("it is written");
        let keys = Keys::new(&[], Some(file.path())).expect("good keys");
        assert!(keys.find(b"alpha").is_some() && keys.find(b"beta").is_some() && keys.find(b"# ours").is_none());
        std::fs::write(file.path(), "# none\n").expect("it is written");
        assert!(matches!(Keys::new(&[], Some(file.path())), Err(KeysError::NoKeys(_))));
        assert!(matches!(Keys::new(&[" ".into()], None), Err(KeysError::Empty)));
    }
}
