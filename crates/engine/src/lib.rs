#![doc = include_str!("../README.md")]

mod admission;
mod answer;
mod bench;
mod device;
mod engine;
mod error;
mod failure;
mod handle;
mod intake;
mod load;
mod metrics;
mod model_file;
mod model_info;
mod pace;
mod prompt;
mod recovery;
mod request;
mod score;
mod step;
mod stop;
mod stream;
mod worker;

pub use device::{DeviceChoice, DeviceOptions, Fallback};
pub use engine::Engine;
pub use error::EngineError;
pub use failure::{Failure, FailureKind};
pub use handle::{Embedding, EngineHandle, Health, Load, ServiceOptions, Status, SubmitError};
pub use load::{EngineOptions, default_threads};
pub use metrics::Metrics;
pub use model_file::ModelFile;
pub use model_info::ModelInfo;
pub use prompt::{ChatFormat, ChatPrompt};
pub use request::{
    CancelToken, Completion, EndTokens, Event, FinishReason, Pooling, PromptLogprob, Request, StopMatch, Timings, Usage,
};
pub use rocmforge_kv_cache::{CacheEvent, Space};
pub use rocmforge_scheduler::{ClientId, RequestId};
pub use score::{Perplexity, PerplexityOptions};
pub use stream::EventStream;
