#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod config;
mod error;
mod events;
mod integrity;
mod lru;
mod pool;
mod sequence;
mod sharing;
mod space;
mod stats;
mod tier;
mod tree;

pub use config::{CacheConfig, CacheShape, ElementSize, Preset};
pub use error::KvCacheError;
pub use events::{BlockHash, CacheEvent, Tier};
pub use pool::{BlockId, BlockPool, Move, PoolUsage, TokenId};
pub use sequence::Sequence;
pub use sharing::PrefixHit;
pub use space::Space;
pub use stats::{BlockTimes, CacheCounters, Histogram};
