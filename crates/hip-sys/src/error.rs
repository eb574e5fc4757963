//! What can be wrong with a library.

use std::fmt;
use std::path::PathBuf;

use crate::Version;

/// One attempt to open a library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// The file or name.
    pub path: PathBuf,
    /// What the loader said.
    pub reason: String,
}

/// Why a library cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// No file of any known name opened.
    #[error("no {what} found: {}; install it ({packages}), or name the file in {variable}", Attempts(tried))]
    NotFound {
        /// The library in words.
        what: &'static str,
        /// Every attempt in its order.
        tried: Vec<Tried>,
        /// Which packages bring the library.
        packages: &'static str,
        /// Environment variable that names another file.
        variable: &'static str,
    },
    /// The file that was asked for does not open.
    #[error("{what} {} does not open: {reason}; name another file in {variable}, or unset it", path.display())]
    Open {
        /// The library in words.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Environment variable that names the file.
        variable: &'static str,
        /// What the loader said.
        reason: String,
    },
    /// The library is too old, or another library altogether.
    #[error(
        "{what} {} ({}) has no `{symbol}`; it needs {needs}, or name another file in {variable}",
        path.display(), KnownVersion(*version)
    )]
    MissingSymbol {
        /// The library in words.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The first symbol that is missing.
        symbol: &'static str,
        /// The library's own version, where it could say it.
        version: Option<Version>,
        /// The versions that have all symbols.
        needs: &'static str,
        /// Environment variable that names another file.
        variable: &'static str,
    },
}

/// The names, then the reason where all attempts failed alike, or each with its own.
struct Attempts<'a>(&'a [Tried]);

impl fmt::Display for Attempts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, Tried { path, reason }) in self.0.iter().enumerate() {
            let name = path.display().to_string();
            // The loader starts with the name itself where the file does not exist.
            let reason = reason.strip_prefix(&format!("{name}: ")).unwrap_or(reason);
            let comma = if i == 0 { "" } else { ", " };
            match reason.starts_with("cannot open shared object file: No such file") {
                true => write!(f, "{comma}{name} (no such file)")?,
                false => write!(f, "{comma}{name} ({reason})")?,
            }
        }
        Ok(())
    }
}

struct KnownVersion(Option<Version>);

impl fmt::Display for KnownVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(version) => write!(f, "version {version}"),
            None => f.write_str("version unknown"),
        }
    }
}
