#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod cursor;
mod error;
mod limits;
mod metadata;
mod reader;
mod split;
mod tensors;
mod value;
mod writer;

pub use error::{GgufError, GgufWarning};
pub use limits::Limits;
pub use metadata::Metadata;
pub use reader::Gguf;
pub use split::{split_names, split_paths};
pub use tensors::TensorInfo;
pub use value::{Array, Value, ValueKind};
pub use writer::{TensorSink, Writer};

pub use rocmforge_quant::GgmlType;

/// The first four bytes of every GGUF file.
pub const MAGIC: [u8; 4] = *b"GGUF";

/// Alignment of the data section when `general.alignment` is absent, in bytes.
pub const DEFAULT_ALIGNMENT: u64 = 32;
