//! From options to a loaded engine.

use std::sync::Arc;

use crate::terminal::bytes;
use crate::{CommonArgs, device};
use rocmforge_engine::{Engine, EngineError, EngineOptions, ModelFile};

impl CommonArgs {
    /// The model that was asked for, or the bundled one.
    ///
    /// # Errors
    /// A path that cannot be opened, or bytes that are not a valid GGUF file.
    pub fn open_model(&self) -> Result<Arc<ModelFile>, EngineError> {
        let file = match &self.model {
            Some(path) => ModelFile::open(path)?,
            None => ModelFile::from_static(rocmforge_demo_model::NAME, rocmforge_demo_model::GGUF)?,
        };
        for warning in file.gguf().warnings() {
            tracing::warn!("{}: {warning}", file.path().display());
        }
        Ok(Arc::new(file))
    }

    /// Loads the model onto the device of choice, and says on stderr what runs where; `quiet` leaves that out.
    ///
    /// # Errors
    /// A file that cannot be used, a device that cannot be opened, or too little memory.
    pub fn load_engine(&self, options: EngineOptions, quiet: bool) -> Result<Engine, EngineError> {
        let (engine, fallback) = Engine::load_on(self.open_model()?, &self.device_options(), options)?;
        if let Some(fallback) = fallback {
            device::announce(&fallback, quiet);
        }
        if !quiet {
            eprintln!("{}", self.describe(&engine));
        }
        Ok(engine)
    }

    /// What runs where, in one line.
    fn describe(&self, engine: &Engine) -> String {
        let program = engine.program();
        let cache = engine.cache_spec();
        let (context, wanted) = (engine.context_length(), engine.wanted_context_length());
        let cut =
            if wanted > context { format!(" of {wanted}, which is what fits on the device") } else { String::new() };
        let together = match engine.max_sequences() {
            1 => String::new(),
            count => format!(", up to {count} answers at once"),
        };
        format!(
            "{} ({}, {}) on {}; context {context} tokens{cut}{together}, KV cache {} ({})",
            engine.file().path().display(),
            program.name,
            bytes(engine.file().file_bytes()),
            engine.device().name,
            bytes(cache.bytes(program).unwrap_or(usize::MAX) as u64),
            self.kv_type_name(),
        )
    }
}
