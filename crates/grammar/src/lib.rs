#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod cache;
mod error;
mod gbnf;
mod grammar;
mod lark;
mod limits;
mod matcher;
mod repeats;
mod schema;
mod source;
mod spec;
mod tools;
mod vocab;

pub use cache::GrammarCache;
pub use error::GrammarError;
pub use grammar::Grammar;
pub use limits::Limits;
pub use matcher::Matcher;
pub use spec::{Spec, Tool, ToolChoice, Tools};
pub use vocab::GrammarVocab;

// Grammars are compiled on one thread and used on others.
const _: () = {
    const fn shared<T: Send + Sync + Clone>() {}
    const fn sent<T: Send + Clone>() {}
    shared::<Grammar>();
    shared::<GrammarVocab>();
    sent::<Matcher>();
};
