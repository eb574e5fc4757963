#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod backend;
mod builder;
mod error;
mod memory;
mod op;
pub mod passes;
mod print;
mod types;
pub mod weights;

pub use builder::ProgramBuilder;
pub use error::ProgramError;
pub use memory::{MemoryPlan, plan_memory};
pub use op::{Activation, ExpertSelection, HeadTransform, LinearPart, NormKind, Op, RouteSpec, Scoring};
pub use types::{CacheLayer, Program, RowCounts, Rows, Value, ValueId, WeightId, WeightRef};
