//! Sliding windows, and which layers have one.

use rocmforge_gguf_loader::Value;

use crate::net::Net;
use crate::{ModelError, keys};

impl Net<'_> {
    /// The window of an architecture that cannot do without, `1..=context_length` tokens.
    pub(crate) fn window(&self) -> Result<usize, ModelError> {
        let window = self.source.need(&keys::SLIDING_WINDOW)?;
        if window == 0 || window > self.hp.context_length {
            let range = format!("1 to the context length {}", self.hp.context_length);
            return Err(self.source.bad(keys::SLIDING_WINDOW.key, window, range));
        }
        Ok(window)
    }

    /// The window of an architecture whose models may have one: 0 is how a file says none, and one as long as the
    /// context hides nothing.
    pub(crate) fn optional_window(&self) -> Result<Option<usize>, ModelError> {
        let window = self.source.size(&keys::SLIDING_WINDOW)?;
        Ok(window.filter(|&w| w > 0 && w < self.hp.context_length))
    }

    /// Refuses a window where it would mean a variant of the architecture that is not supported.
    pub(crate) fn refuse_window(&self, variant: &str) -> Result<(), ModelError> {
        match self.optional_window()? {
            None => Ok(()),
            Some(_) => Err(ModelError::Unsupported {
                key: self.source.key(keys::SLIDING_WINDOW.key),
                reason: format!("{variant} is not supported"),
            }),
        }
    }

    /// Which layers are local, that is, see only the window. `period` is the architecture's: the last layer of each
    /// `period` is global. A file may name another period, or say it layer by layer.
    pub(crate) fn local_layers(&self, period: usize) -> Result<Vec<bool>, ModelError> {
        let layers = self.hp.layers.len();
        let key = self.source.key(keys::SLIDING_WINDOW_PATTERN.key);
        if let Some(Value::Array(_)) = self.source.metadata().get(&key) {
            self.source.metadata().check_len(&key, layers)?;
            return Ok(self.source.metadata().require_bools(&key)?.to_vec());
        }
        let period = self.source.size(&keys::SLIDING_WINDOW_PATTERN)?.unwrap_or(period);
        Ok((0..layers).map(|layer| layer % period < period - 1).collect())
    }
}
