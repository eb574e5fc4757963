#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod candidates;
mod error;
mod history;
mod logprobs;
mod mask;
mod math;
mod params;
mod philox;
mod sampler;
mod select;
mod stages;

pub use error::SamplerError;
pub use logprobs::{TokenLogprob, greedy, log_softmax_top, token_logprob};
pub use mask::TokenMask;
pub use params::{Dry, Mirostat, PARAMS, ParamSpec, SamplingParams};
pub use philox::{Stream, philox4x32_10, uniform};
pub use sampler::{Sampled, Sampler, Snapshot, TokenProb};
pub use stages::{STAGES, Stage, StageKind};

/// The id of a token: its row in the vocabulary and its index in a row of logits.
pub type TokenId = u32;
