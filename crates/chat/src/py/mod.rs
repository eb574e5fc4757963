//! Python's half of Jinja2: values, operators, methods, filters and tests as
//! templates written for Python expect them, each counted against the limits.

pub(crate) mod args;
pub(crate) mod clock;
pub(crate) mod filters;
pub(crate) mod functions;
pub(crate) mod json;
pub(crate) mod methods;
pub(crate) mod ops;
pub(crate) mod percent;
mod selecting;
pub(crate) mod strings;
pub(crate) mod tests;
pub(crate) mod text;
pub(crate) mod value;

use minijinja::value::Value;
use minijinja::{Error, ErrorKind, State};

use crate::limits::Limits;

pub(crate) type R<T = Value> = Result<T, Error>;

/// Reasons that the engine's own error kinds cannot carry; travels as the
/// source of an engine error and is found again in [`crate::template`].
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("{what} exceeds the limit of {limit}")]
    Limit { what: &'static str, limit: u64 },
    #[error("{0}")]
    Raised(String),
}

pub(crate) fn fail<T>(message: impl Into<String>) -> R<T> {
    Err(Error::new(ErrorKind::InvalidOperation, message.into()))
}

pub(crate) fn undefined<T>(message: impl Into<String>) -> R<T> {
    Err(Error::new(ErrorKind::UndefinedError, message.into()))
}

pub(crate) fn fault(fault: Fault) -> Error {
    Error::new(ErrorKind::InvalidOperation, fault.to_string()).with_source(fault)
}

pub(crate) fn over<T>(what: &'static str, limit: u64) -> R<T> {
    Err(fault(Fault::Limit { what, limit }))
}

/// What one rendering has spent, and its clock.
#[derive(Debug, Clone)]
pub(crate) struct Work {
    pub limits: Limits,
    left: u64,
    /// Seconds since 1970, for `strftime_now`.
    pub now: i64,
}

/// A list element costs what its handle takes in memory.
const ITEM_BYTES: u64 = 24;

impl Work {
    pub fn new(limits: Limits, now: i64) -> Self {
        Work { limits, left: limits.work_bytes, now }
    }

    /// Counts bytes that are about to be made or scanned.
    pub fn charge(&mut self, bytes: usize) -> R<()> {
        match self.left.checked_sub(bytes as u64) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => over("work of the template in bytes", self.limits.work_bytes),
        }
    }

    /// Counts the elements of a list that is about to be made.
    pub fn charge_items(&mut self, items: usize) -> R<()> {
        self.charge((items as u64).saturating_mul(ITEM_BYTES) as usize)
    }

    /// Counts a string that is about to be made, which must also fit the output.
    pub fn charge_string(&mut self, bytes: usize) -> R<()> {
        if bytes > self.limits.output_bytes {
            return over("length of a string in bytes", self.limits.output_bytes as u64);
        }
        self.charge(bytes)
    }

    /// A finished string as a value.
    pub fn string(&mut self, text: impl Into<String>) -> R {
        let text = text.into();
        self.charge_string(text.len())?;
        Ok(Value::from(text))
    }
}

/// The name under which the rendering's [`Work`] enters the template's variables.
pub(crate) const WORK_NAME: &str = "__rf_work";

#[derive(Debug)]
pub(crate) struct WorkSeed(pub Work);

impl minijinja::value::Object for WorkSeed {
    fn repr(self: &std::sync::Arc<Self>) -> minijinja::value::ObjectRepr {
        minijinja::value::ObjectRepr::Plain
    }
}

/// The rendering's account.
pub(crate) fn work<'s>(state: &'s mut State<'_, '_>) -> &'s mut Work {
    if state.get_extension::<Work>().is_none() {
        let seed = state
            .lookup(WORK_NAME)
            .and_then(|v| v.downcast_object_ref::<WorkSeed>().map(|s| s.0.clone()))
            .unwrap_or_else(|| Work::new(Limits::default(), 0));
        state.get_or_insert_extension(seed);
    }
    state.get_or_insert_extension_with(|| Work::new(Limits::default(), 0))
}
