//! Why a device cannot be used, and what callers of the `Backend` trait see of it.

use hip_sys::LoadError;
use rocmforge_program::backend::BackendError;

use crate::driver::HipError;
use crate::library::KernelError;

/// Why no device could be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// There is no HIP library, or none that can be used.
    #[error(transparent)]
    Library(#[from] LoadError),
    /// The library works, and reports no device.
    #[error(
        "the HIP runtime sees no GPU: is the kernel driver (amdgpu) loaded, and is the user in the groups `render` and \
         `video`?"
    )]
    NoDevice,
    /// There is no device with this number.
    #[error("there is no HIP device {ordinal}; there is {devices}")]
    NoSuchDevice {
        /// The number asked for.
        ordinal: u32,
        /// The devices, in words.
        devices: String,
    },
    /// The device cannot be opened.
    #[error(transparent)]
    Device(#[from] HipError),
    /// There is no way to run our kernels on it.
    #[error(transparent)]
    Kernels(#[from] KernelError),
    /// A kernel gave a wrong result at the start.
    #[error(
        "the self-test of kernel `{kernel}` on {device} failed: {found}; it would give wrong answers (--device cpu works)"
    )]
    SelfTest {
        /// Name of the kernel.
        kernel: &'static str,
        /// The device.
        device: String,
        /// What was found instead.
        found: String,
    },
}

impl OpenError {
    /// Whether there simply is no GPU to use: no HIP library, or none that sees a device. Anything else is a GPU that
    /// ought to work and does not.
    pub fn is_absence(&self) -> bool {
        matches!(self, Self::Library(LoadError::NotFound { .. }) | Self::NoDevice)
    }
}

/// What goes wrong inside the backend, on its way to a [`BackendError`].
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Hip(#[from] HipError),
    #[error(transparent)]
    Kernel(#[from] KernelError),
    #[error(transparent)]
    Backend(#[from] BackendError),
}

impl From<Failure> for BackendError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Backend(error) => error,
            Failure::Hip(error) => of_hip(error),
            Failure::Kernel(KernelError::Load { source: error @ HipError::OutOfMemory { .. }, .. }) => of_hip(error),
            Failure::Kernel(error) => BackendError::Device(error.to_string()),
        }
    }
}

fn of_hip(error: HipError) -> BackendError {
    match error {
        HipError::OutOfMemory { what, requested, free, .. } => {
            BackendError::OutOfMemory { what: what.into(), needed: requested, available: free }
        }
        HipError::OverBudget { what, requested, in_use, budget } => {
            BackendError::OutOfMemory { what: what.into(), needed: requested, available: budget.saturating_sub(in_use) }
        }
        error => BackendError::Device(error.to_string()),
    }
}
