//! Kernels with their arguments: one file a family. Nothing here allocates or waits.
//!
//! Addresses in a call are the caller's word: they point into live buffers that hold what the fields say. Calls check
//! what can come from a model (sizes, widths), and launch.

mod attention;
mod elementwise;
mod embed;
mod forms;
mod gemm;
mod kv;
mod matvec;
mod mma_check;
mod norm;
mod prefill;
pub mod route;
pub mod sample;
mod weights;

pub use attention::{Attention, AttentionCall, Queries, SPLIT, Tiles};
pub use elementwise::{ExpertSumCall, Gate, GateCall, Maps};
pub use embed::{Embed, EmbedCall};
pub use forms::FormPtrs;
pub use gemm::{ExpertGemmCall, Gemm, GemmCall, GemmForm, GemmInput, GemmPart, GroupLayout, GroupPairs, MAX_EXPERTS};
pub use kv::{
    BlockPlace, CachePlane, CopyBlocks, CopyBlocksCall, HeadPrep, KvLayer, KvLayout, KvLayoutError, RopeWrite,
    RopeWriteCall, from_and_to, independent_runs,
};
pub use matvec::{ActivationForm, Activations, ExpertCall, MAX_COLUMNS, MAX_PARTS, Matvec, MatvecCall, MatvecPart};
pub use mma_check::{MMA_TILE, MmaCheck, MmaCheckCall};
pub use norm::{Norm, NormCall};
pub use route::{Route, RouteCall};
pub use sample::{Sample, SampleBatch, SampleCall, SampleEdit, SampleResult, SampleRow, SampleStatus};
pub use weights::{SplitCall, SplitPlanes};
