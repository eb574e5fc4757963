#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod error;
mod pool;
mod sequence;

pub use error::KvCacheError;
pub use pool::{BlockId, BlockPool, PoolUsage, TokenId};
pub use sequence::Sequence;
