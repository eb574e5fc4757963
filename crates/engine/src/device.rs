//! Which device a model runs on: the one place where that is decided.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use rocmforge_hip_backend::{HipBackend, HipOptions, LoadError, OpenError};
use rocmforge_program::backend::BackendError;

use crate::{Engine, EngineError, EngineOptions, ModelFile};

/// Where to compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceChoice {
    /// A GPU if there is one that works and holds the model, otherwise the processor.
    #[default]
    Auto,
    /// The processor.
    Cpu,
    /// A HIP device: the one with this number, or the best one.
    Hip(Option<u32>),
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "hip" => Ok(Self::Hip(None)),
            _ => {
                let number = text.strip_prefix("hip:").and_then(|number| number.parse().ok());
                let number = number.ok_or("expected auto, cpu, hip, or hip:N with the number of a device")?;
                Ok(Self::Hip(Some(number)))
            }
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Hip(None) => f.write_str("hip"),
            Self::Hip(Some(ordinal)) => write!(f, "hip:{ordinal}"),
        }
    }
}

/// A choice of a device, and how it is used.
#[derive(Debug, Clone, Default)]
pub struct DeviceOptions {
    /// Where to compute.
    pub choice: DeviceChoice,
    /// Whether [`DeviceChoice::Auto`] fails instead of taking the processor.
    pub strict: bool,
    /// How a HIP device is used; the choice's number replaces its own.
    pub hip: HipOptions,
}

/// Why [`DeviceChoice::Auto`] has taken the processor.
#[derive(Debug)]
pub struct Fallback(pub EngineError);

impl Fallback {
    /// Whether there simply is no GPU. Otherwise there is one that could not be used for this model, which its owner
    /// will want to know.
    pub fn is_absence(&self) -> bool {
        matches!(&self.0, EngineError::Device(error) if error.is_absence())
    }
}

/// One line without the remedies, for which there is [`EngineError`].
impl fmt::Display for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let EngineError::Device(of_device) = &self.0 else { return self.0.fmt(f) };
        match &**of_device {
            OpenError::Library(LoadError::NotFound { what, .. }) => write!(f, "there is no {what} on this machine"),
            OpenError::NoDevice => f.write_str("the HIP runtime sees no GPU"),
            error => error.fmt(f),
        }
    }
}

impl Engine {
    /// Loads a model onto the device of choice. With [`DeviceChoice::Auto`] that may be the processor, for the reason
    /// that comes with the engine.
    ///
    /// # Errors
    /// As [`load`](Self::load); [`EngineError::Device`] where the device that was asked for cannot be opened, and
    /// whatever keeps the model from it.
    pub fn load_on(
        file: Arc<ModelFile>,
        device: &DeviceOptions,
        options: EngineOptions,
    ) -> Result<(Self, Option<Fallback>), EngineError> {
        let on_gpu = |ordinal| {
            let hip = HipOptions { ordinal, ..device.hip.clone() };
            Self::load_on_hip(file.clone(), hip, options.clone())
        };
        match device.choice {
            DeviceChoice::Cpu => Ok((Self::load(file, options)?, None)),
            DeviceChoice::Hip(ordinal) => Ok((on_gpu(ordinal)?, None)),
            DeviceChoice::Auto => match on_gpu(None) {
                Err(error) if !device.strict && is_of_device(&error) => {
                    Ok((Self::load(file, options)?, Some(Fallback(error))))
                }
                engine => Ok((engine?, None)),
            },
        }
    }

    /// Where a step of the usual size leaves too little memory for the weights, a smaller one is tried.
    fn load_on_hip(file: Arc<ModelFile>, hip: HipOptions, options: EngineOptions) -> Result<Self, EngineError> {
        let open = |hip: HipOptions| HipBackend::open(hip).map(Box::new);
        match Self::with_backend(file.clone(), open(hip.clone())?, options.clone()) {
            Err(error) if options.tokens_per_step.is_none() && is_lack_of_memory(&error) => {
                let smaller = EngineOptions { tokens_per_step: Some(EngineOptions::FEW_TOKENS_PER_STEP), ..options };
                Self::with_backend(file, open(hip)?, smaller)
            }
            engine => engine,
        }
    }
}

fn is_lack_of_memory(error: &EngineError) -> bool {
    matches!(error, EngineError::Backend(BackendError::OutOfMemory { .. }) | EngineError::ContextTooLong { .. })
}

/// Whether another device may do what this one could not. A fault of the file or of the options is none of the device.
fn is_of_device(error: &EngineError) -> bool {
    let of_backend = |error: &BackendError| {
        matches!(
            error,
            BackendError::OutOfMemory { .. }
                | BackendError::UnsupportedOp(_)
                | BackendError::UnsupportedTensor { .. }
                | BackendError::BadCache(_)
                | BackendError::Device(_)
        )
    };
    match error {
        EngineError::Device(_) | EngineError::ContextTooLong { .. } => true,
        EngineError::Backend(error) => of_backend(error),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_read_and_written() {
        for (text, choice) in [
            ("auto", DeviceChoice::Auto),
            ("cpu", DeviceChoice::Cpu),
            ("hip", DeviceChoice::Hip(None)),
            ("hip:3", DeviceChoice::Hip(Some(3))),
        ] {
            assert_eq!(text.parse(), Ok(choice));
            assert_eq!(choice.to_string(), text);
        }
        for text in ["", "gpu", "hip:", "hip:x", "hip:-1", "HIP", "hip:99999999999"] {
            assert!(text.parse::<DeviceChoice>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_reason_is_short_where_there_is_no_gpu() {
        let absent = Fallback(OpenError::NoDevice.into());
        assert!(absent.is_absence());
        assert_eq!(absent.to_string(), "the HIP runtime sees no GPU");
        let lacks = BackendError::OutOfMemory { what: "weights".into(), needed: 2, available: 1 };
        let full = Fallback(lacks.into());
        assert!(!full.is_absence());
        assert_eq!(full.to_string(), "out of memory: 2 bytes needed for weights, 1 available");
    }

    #[test]
    fn only_a_device_that_lacks_something_is_replaced() {
        let lacks = BackendError::OutOfMemory { what: "weights".into(), needed: 2, available: 1 };
        assert!(is_of_device(&EngineError::Backend(lacks)));
        assert!(is_of_device(&EngineError::ContextTooLong { context: 2, fits: 1 }));
        assert!(!is_of_device(&EngineError::Backend(BackendError::MissingTensor("x".into()))));
        assert!(!is_of_device(&EngineError::EmptyPrompt));
    }
}
