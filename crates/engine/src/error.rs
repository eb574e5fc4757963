//! Why a model cannot be loaded or a request cannot run.

use std::path::PathBuf;

use rocmforge_chat::ChatError;
use rocmforge_gguf_loader::GgufError;
use rocmforge_grammar::GrammarError;
use rocmforge_hip_backend::OpenError;
use rocmforge_kv_cache::KvCacheError;
use rocmforge_model::ModelError;
use rocmforge_program::backend::BackendError;
use rocmforge_sampler::SamplerError;
use rocmforge_scheduler::{Refused, SchedulerError};
use rocmforge_tokenizer::TokenizerError;

/// Every way in which the engine refuses or fails. Messages are one line and say what to do where it can be known.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The model file cannot be read.
    #[error("cannot open {path}: {source}", path = .path.display())]
    Open {
        /// File.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The path is a folder, a pipe or a device.
    #[error("{path} is {found}, not a regular file: give the path of a .gguf file", path = .path.display())]
    NotRegularFile {
        /// Path.
        path: PathBuf,
        /// What it is.
        found: &'static str,
    },
    /// The model file was written to while it was read.
    #[error("{path} changed while it was being loaded: load it again once the copy is complete", path = .path.display())]
    FileChanged {
        /// File.
        path: PathBuf,
    },
    /// The model file is not a valid GGUF file.
    #[error("{path}: {source}", path = .path.display())]
    Gguf {
        /// File.
        path: PathBuf,
        /// What is wrong with it.
        source: GgufError,
    },
    /// The model cannot be built from its file.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The tokenizer cannot be built, or a text cannot be tokenized.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The chat template fails.
    #[error(transparent)]
    Chat(#[from] ChatError),
    /// The file's chat template cannot be parsed; plain completion still works.
    #[error("the model's chat template cannot be used ({0}): give the whole prompt as text (--raw)")]
    BrokenChatTemplate(String),
    /// The file has no chat template and its family is not known.
    #[error("the model has no chat template: give the whole prompt as text (--raw), or a template of your own")]
    NoChatTemplate,
    /// The device cannot be opened.
    #[error(transparent)]
    Device(Box<OpenError>),
    /// The backend fails.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The KV cache of that context is larger than what is left of the device's memory.
    #[error("{}", too_long(*context, *fits))]
    ContextTooLong {
        /// Tokens asked for.
        context: usize,
        /// Tokens that fit.
        fits: usize,
    },
    /// The cache's bookkeeping fails.
    #[error(transparent)]
    KvCache(#[from] KvCacheError),
    /// Bad sampling parameters.
    #[error(transparent)]
    Sampler(#[from] SamplerError),
    /// Grammars cannot work with the model's vocabulary.
    #[error(transparent)]
    Grammar(#[from] GrammarError),
    /// The request cannot be queued.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The scheduler's bookkeeping fails.
    #[error(transparent)]
    Scheduler(#[from] SchedulerError),
    /// Nothing to continue.
    #[error("the prompt is empty: give at least one token of text")]
    EmptyPrompt,
    /// A token id outside the vocabulary.
    #[error("token {token} is outside the vocabulary of {vocab_size}")]
    TokenOutOfRange {
        /// Id.
        token: u32,
        /// Size of the vocabulary.
        vocab_size: usize,
    },
    /// The prompt leaves no room for an answer.
    #[error(
        "the prompt has {tokens} tokens and the context {context}: shorten the prompt or raise the context (--ctx-size)"
    )]
    PromptTooLong {
        /// Tokens of the prompt.
        tokens: usize,
        /// Context in tokens.
        context: usize,
    },
    /// The engine was loaded without room for hidden states.
    #[error("this engine makes no vectors of prompts: load it with `embeddings` on")]
    NoEmbeddings,
    /// A text that is too short to score.
    #[error("{tokens} tokens make no window of {window}: give a longer text or a smaller window")]
    TextTooShort {
        /// Tokens of the text.
        tokens: usize,
        /// Tokens a window.
        window: usize,
    },
    /// An option out of its range.
    #[error("{option}: {found}, expected {expected}")]
    BadOption {
        /// Name.
        option: &'static str,
        /// Value found.
        found: String,
        /// What is allowed.
        expected: String,
    },
}

fn too_long(context: usize, fits: usize) -> String {
    match fits {
        0 => "the model leaves no room on the device for a KV cache: take a smaller model or quantization, or compute on \
              the CPU (--device cpu)"
            .into(),
        _ => format!(
            "a context of {context} tokens does not fit on the device beside the model, {fits} do: ask for less \
             (--ctx-size), or keep the cache in fewer bits (--kv-type q8_0)"
        ),
    }
}

impl From<OpenError> for EngineError {
    fn from(error: OpenError) -> Self {
        Self::Device(Box::new(error))
    }
}

impl EngineError {
    /// Whether the cause is what the caller gave: a file, a prompt or a parameter. Otherwise the run failed.
    pub fn is_bad_input(&self) -> bool {
        match self {
            Self::Device(error) => matches!(**error, OpenError::NoSuchDevice { .. }),
            Self::Backend(_) | Self::KvCache(_) | Self::Scheduler(_) => false,
            _ => true,
        }
    }
}
