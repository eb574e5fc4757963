//! What every API has in common: a [`Job`] goes in, [`Answers`] come out as [`Piece`]s.
//!
//! An API reads its own wire format, makes a job of it, and writes pieces in its own words. None knows the engine;
//! tokenizing, templates and grammars run here, on threads that may be busy.

mod answers;
mod collect;
mod generator;
mod job;
mod params;
mod piece;
mod prompt;

pub use answers::Answers;
pub use collect::{Answer, Collected};
pub use generator::{Generator, GeneratorOptions};
pub use job::{Chat, Job, Prompt, Tool, ToolChoice};
pub use params::{MOST_TOKENS, Params};
pub use piece::{Finish, Piece, PieceKind, TokenInfo, Usage};
pub use prompt::Encoded;
