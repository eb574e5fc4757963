//! Modules, kernels, and launches of them: in host mode or emulated.

use std::ops::Range;
use std::sync::Arc;

use hip_sys::hipError_t;

use crate::image::{self, Image};
use crate::settings::{Mode, Settings};
use crate::state::{State, Status};
use crate::{emulate, host};

/// A loaded module.
#[derive(Debug, Clone)]
pub(crate) enum Module {
    Host(host::Object),
    Emulated(Arc<emulate::Object>),
}

/// Why an image is no module for the device: the status, and what there is to say beyond it.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub status: hipError_t,
    pub reason: Option<String>,
}

impl From<hipError_t> for Refusal {
    fn from(status: hipError_t) -> Self {
        Self { status, reason: None }
    }
}

/// A kernel of a module.
#[derive(Debug, Clone)]
pub(crate) struct Function {
    /// Handle of its module.
    pub module: usize,
    pub name: String,
    /// Most lanes a workgroup.
    pub lanes_max: u32,
    /// Where each parameter lies among the bytes of all.
    pub params: Vec<Range<usize>>,
    code: Code,
}

#[derive(Debug, Clone)]
enum Code {
    Host(host::Kernel),
    Emulated(emulate::Kernel),
}

impl Module {
    /// Loads an image for the device that the settings describe.
    ///
    /// # Safety
    /// As of HIP's function: `image` points to an image.
    pub(crate) unsafe fn load(image: *const u8, settings: &Settings) -> Result<Self, Refusal> {
        // SAFETY: as the caller says.
        match (unsafe { image::read(image) }?, settings.mode) {
            (Image::Host(object), Mode::Host) => Ok(Self::Host(host::Object::load(object, settings)?)),
            (Image::Gpu(object), Mode::Emulate) => {
                Ok(Self::Emulated(Arc::new(emulate::Object::load(object, settings)?)))
            }
            (Image::Gpu(_), Mode::Host) => Err(hipError_t::hipErrorNoBinaryForGpu.into()),
            (Image::Host(_), Mode::Emulate) => Err(hipError_t::hipErrorInvalidImage.into()),
        }
    }

    pub(crate) fn function(&self, module: usize, name: &str) -> Result<Function, hipError_t> {
        let (code, lanes_max, params) = match self {
            Self::Host(object) => {
                let kernel = object.kernel(name)?;
                (Code::Host(kernel), kernel.lanes_max, std::iter::once(0..kernel.args_bytes).collect())
            }
            Self::Emulated(object) => {
                let kernel = emulate::Kernel::find(object, name).ok_or(hipError_t::hipErrorNotFound)?;
                let (lanes_max, params) = (kernel.about().max_workgroup_size, kernel.params());
                (Code::Emulated(kernel), lanes_max, params)
            }
        };
        Ok(Function { module, name: name.into(), lanes_max, params, code })
    }
}

impl Function {
    /// Bytes of all parameters.
    pub(crate) fn args_bytes(&self) -> usize {
        self.params.iter().map(|param| param.end).max().unwrap_or(0)
    }

    /// What a code object says of the kernel; `None` in host mode.
    pub(crate) fn about(&self) -> Option<&gfx_emu::object::Kernel> {
        match &self.code {
            Code::Host(_) => None,
            Code::Emulated(kernel) => Some(kernel.about()),
        }
    }
}

/// One launch of a kernel, with its arguments copied as HIP copies them.
#[derive(Debug, Clone)]
pub(crate) struct LaunchCall {
    /// Handle of the function.
    pub function: usize,
    pub grid: [u32; 3],
    pub block: [u32; 3],
    pub lds_bytes: u32,
    /// In units of 16 bytes for their alignment.
    pub args: Vec<u128>,
}

impl LaunchCall {
    /// Copies parameters to their places: each from where it lies.
    ///
    /// # Safety
    /// Each pointer is to as many bytes as the range beside it has.
    pub(crate) unsafe fn copy_args(params: &[(Range<usize>, *const u8)], bytes: usize) -> Vec<u128> {
        let mut copy = vec![0u128; bytes.div_ceil(16)];
        for (place, from) in params {
            // SAFETY: the caller vouches for the source, and the copy has room for every parameter.
            unsafe {
                std::ptr::copy_nonoverlapping(*from, copy.as_mut_ptr().cast::<u8>().add(place.start), place.len())
            };
        }
        copy
    }

    /// Runs the kernel.
    pub(crate) fn run(&self, state: &mut State) -> Status {
        let function = state.functions.get(self.function)?.clone();
        match &function.code {
            Code::Host(kernel) => kernel.run(&function.name, self, state),
            Code::Emulated(kernel) => {
                let args = self.args.iter().flat_map(|unit| unit.to_ne_bytes()).take(function.args_bytes());
                kernel.run(&args.collect::<Vec<u8>>(), self, state)
            }
        }
    }
}
