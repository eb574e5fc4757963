//! Code objects for GPUs, executed instruction by instruction.

use std::ops::Range;
use std::sync::Arc;

use gfx_emu::abi::Dispatch;
use gfx_emu::fault::{Fault, FaultKind};
use gfx_emu::launch::{LaunchError, Options, launch};
use gfx_emu::object::ObjectError;
use gfx_emu::program::{Program, ProgramError};
use hip_sys::hipError_t;

use crate::module::{LaunchCall, Refusal};
use crate::settings::Settings;
use crate::state::{State, Status};
use crate::{figures, objects};

/// A loaded code object.
#[derive(Debug)]
pub(crate) struct Object {
    program: Program,
    /// The module's name in the archive it came from, if that is wanted and known.
    name: Option<String>,
}

/// A kernel of a code object.
#[derive(Debug, Clone)]
pub(crate) struct Kernel {
    object: Arc<Object>,
    /// Its place among the object's kernels.
    index: usize,
}

impl Object {
    /// Loads a code object or a bundle for the device that the settings describe.
    pub(crate) fn load(bytes: &[u8], settings: &Settings) -> Result<Self, Refusal> {
        let program = Program::load(bytes, &settings.arch).map_err(|error| Refusal {
            status: match error {
                ProgramError::Object(ObjectError::MissingTarget { .. }) | ProgramError::Target { .. } => {
                    hipError_t::hipErrorNoBinaryForGpu
                }
                _ => hipError_t::hipErrorInvalidImage,
            },
            reason: Some(error.to_string()),
        })?;
        let name = settings.counts.as_ref().and_then(|_| objects::name_of(bytes, settings));
        Ok(Self { program, name })
    }
}

impl Kernel {
    pub(crate) fn find(object: &Arc<Object>, name: &str) -> Option<Self> {
        let index = object.program.object().kernels().iter().position(|kernel| kernel.name == name)?;
        Some(Self { object: Arc::clone(object), index })
    }

    /// What the code object says of it.
    pub(crate) fn about(&self) -> &gfx_emu::object::Kernel {
        &self.object.program.object().kernels()[self.index]
    }

    /// Where each parameter lies in the segment of arguments.
    pub(crate) fn params(&self) -> Vec<Range<usize>> {
        self.about().explicit_args().map(|arg| arg.offset as usize..arg.end() as usize).collect()
    }

    /// Runs the kernel to its end.
    pub(crate) fn run(&self, args: &[u8], call: &LaunchCall, state: &mut State) -> Status {
        let dispatch = Dispatch { grid: call.grid, block: call.block, dynamic_lds: call.lds_bytes };
        let settings = &state.settings;
        let mut options = Options {
            order: settings.order.into(),
            counts_lines: settings.counts.is_some(),
            wave_size: Some(settings.wave()),
            ..Options::default()
        };
        if settings.threads > 0 {
            options.threads = settings.threads as usize;
        }
        // A module that was loaded before the mode was changed.
        let Some(memory) = state.memory.emulated() else { return Err(hipError_t::hipErrorNoBinaryForGpu) };
        match launch(&self.object.program, self.about(), &dispatch, args, memory, &options) {
            Ok(counts) => {
                let Some(path) = &state.settings.counts else { return Ok(()) };
                figures::append(path, self.object.name.as_deref(), &self.about().name, call, &counts);
                Ok(())
            }
            Err(error) => {
                let status = status_of(&error);
                Err(state.explain(error.to_string(), status))
            }
        }
    }
}

fn status_of(error: &LaunchError) -> hipError_t {
    match error {
        LaunchError::Lds { .. } => hipError_t::hipErrorLaunchOutOfResources,
        LaunchError::Abi(_) => hipError_t::hipErrorInvalidConfiguration,
        LaunchError::Fault(fault) => status_of_fault(fault),
        _ => hipError_t::hipErrorLaunchFailure,
    }
}

fn status_of_fault(fault: &Fault) -> hipError_t {
    match fault.kind {
        FaultKind::OutOfBounds { .. } | FaultKind::Misaligned { .. } | FaultKind::UndefinedMemory { .. } => {
            hipError_t::hipErrorIllegalAddress
        }
        FaultKind::Endless { .. } => hipError_t::hipErrorLaunchTimeOut,
        FaultKind::Trap { .. } => hipError_t::hipErrorAssert,
        _ => hipError_t::hipErrorLaunchFailure,
    }
}
