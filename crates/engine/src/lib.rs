#![doc = include_str!("../README.md")]

mod bench;
mod device;
mod engine;
mod error;
mod load;
mod model_file;
mod prompt;
mod request;
mod score;
mod stop;

pub use device::{DeviceChoice, DeviceOptions, Fallback};
pub use engine::Engine;
pub use error::EngineError;
pub use load::{EngineOptions, default_threads};
pub use model_file::ModelFile;
pub use prompt::{ChatFormat, ChatPrompt};
pub use request::{CancelToken, Completion, EndTokens, Event, FinishReason, Request, RequestId, Timings, Usage};
pub use score::{Perplexity, PerplexityOptions};
