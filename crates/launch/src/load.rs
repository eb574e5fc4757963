//! From options to a loaded engine.

use std::sync::Arc;

use rocmforge_engine::{Engine, EngineError, EngineOptions, ModelFile};
use rocmforge_program::backend::KvType;

use crate::terminal::bytes;
use crate::{CommonArgs, device};

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
        let token_bytes = KvType::from(self.kv_type).bytes(program.cache_elements_per_token());
        let (context, wanted) = (engine.context_length(), engine.wanted_context_length());
        let cut =
            if wanted > context { format!(" of {wanted}, which is what fits on the device") } else { String::new() };
        format!(
            "{} ({}, {}) on {}; context {context} tokens{cut}, KV cache {} ({})",
            engine.file().path().display(),
            program.name,
            bytes(engine.file().file_bytes()),
            engine.device().name,
            bytes((token_bytes * context) as u64),
            self.kv_type_name(),
        )
    }
}
