//! Chat templates: the file's own Jinja template, rendered with limits.
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod builtin;
mod error;
mod front;
mod limits;
mod message;
mod output;
mod py;
mod template;

pub use builtin::families;
pub use error::ChatError;
pub use limits::Limits;
pub use message::{Message, RenderInput, SpecialTokens};
pub use output::{CALL_FORMATS, CallFormat, OutputEvent, OutputFormat, OutputParser, ToolCall};
pub use template::ChatTemplate;
