//! What is known of a loaded model without asking the engine's thread.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use rocmforge_grammar::GrammarVocab;
use rocmforge_program::backend::{CacheSpec, DeviceInfo};
use rocmforge_tokenizer::Tokenizer;

use crate::{ChatFormat, Engine, EngineError, ModelFile, Pooling};

/// A loaded model: its names, sizes, tokenizer and chat template.
pub struct ModelInfo {
    /// Name of the file without its ending.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// Its architecture, as the file names it.
    pub architecture: String,
    /// Number of weights.
    pub parameters: u64,
    /// Bytes of the file.
    pub file_bytes: u64,
    /// The type that most of its weights have, such as `Q4_K`.
    pub quantization: String,
    /// Tokens that prompt and answer may have together.
    pub context_length: usize,
    /// Tokens that it knows.
    pub vocab_size: usize,
    /// Width of its hidden states.
    pub hidden_size: usize,
    /// How it makes a vector of a text: what the file says, or the hidden state of the last token.
    pub pooling: Pooling,
    /// Where it runs.
    pub device: DeviceInfo,
    /// The KV cache on the device.
    pub cache: CacheSpec,
    /// Answers that may run at once.
    pub max_sequences: usize,
    /// Its tokenizer.
    pub tokenizer: Arc<Tokenizer>,
    /// Its chat template.
    pub chat: Arc<ChatFormat>,
    /// When it was loaded.
    pub loaded_at: SystemTime,
    file: Arc<ModelFile>,
    grammar_vocab: OnceLock<GrammarVocab>,
}

impl ModelInfo {
    pub(crate) fn of(engine: &Engine) -> Self {
        let (file, program) = (engine.file(), engine.program());
        let tensors = file.gguf().tensors();
        Self {
            name: file.path().file_stem().map_or_else(|| "model".into(), |stem| stem.to_string_lossy().into_owned()),
            path: file.path().to_path_buf(),
            architecture: program.name.clone(),
            parameters: tensors.iter().map(|tensor| tensor.elements()).sum(),
            file_bytes: file.file_bytes(),
            quantization: main_type(file),
            context_length: engine.context_length(),
            vocab_size: program.vocab_size,
            hidden_size: program.hidden_size(),
            pooling: pooling(file, &program.name),
            device: engine.device().clone(),
            cache: engine.cache_spec(),
            max_sequences: engine.limits.max_sequences,
            tokenizer: engine.tokenizer().clone(),
            chat: engine.chat().clone(),
            loaded_at: SystemTime::now(),
            file: file.clone(),
            grammar_vocab: OnceLock::new(),
        }
    }

    /// The file's metadata and tensors.
    pub fn file(&self) -> &ModelFile {
        &self.file
    }

    /// The vocabulary as grammars need it. Made when it is first asked for, which takes a moment.
    ///
    /// # Errors
    /// A vocabulary that grammars cannot work with.
    pub fn grammar_vocab(&self) -> Result<&GrammarVocab, EngineError> {
        if let Some(vocab) = self.grammar_vocab.get() {
            return Ok(vocab);
        }
        let vocab = GrammarVocab::new(&self.tokenizer)?;
        Ok(self.grammar_vocab.get_or_init(|| vocab))
    }
}

/// The type with the most weights.
fn main_type(file: &ModelFile) -> String {
    let mut counts: Vec<(u64, &str)> = Vec::new();
    for tensor in file.gguf().tensors() {
        let name = tensor.ty.name();
        match counts.iter_mut().find(|(_, known)| *known == name) {
            Some((count, _)) => *count += tensor.elements(),
            None => counts.push((tensor.elements(), name)),
        }
    }
    counts.into_iter().max().map_or_else(String::new, |(_, name)| name.to_uppercase())
}

fn pooling(file: &ModelFile, architecture: &str) -> Pooling {
    const MEAN: u32 = 1;
    let key = format!("{architecture}.pooling_type");
    match file.gguf().metadata().get_u32(&key) {
        Ok(Some(MEAN)) => Pooling::Mean,
        _ => Pooling::Last,
    }
}
