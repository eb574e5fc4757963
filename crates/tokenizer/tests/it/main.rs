//! Real vocabularies against the ids that their own tokenizers give, hostile files, and hostile texts.

#![allow(clippy::single_range_in_vec_init, reason = "a list of one range is meant")]
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod hostile;
mod json;
mod parity;

use std::path::{Path, PathBuf};

use rocmforge_gguf_loader::{Gguf, Metadata};
use rocmforge_tokenizer::{EncodeOptions, Tokenizer};

const PLAIN: EncodeOptions = EncodeOptions { add_special: false, parse_special: false };

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn metadata(path: &Path) -> Metadata {
    Gguf::parse(read(path)).unwrap_or_else(|error| panic!("{}: {error}", path.display())).metadata().clone()
}

fn load(path: &Path) -> Tokenizer {
    Tokenizer::from_gguf(&metadata(path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
