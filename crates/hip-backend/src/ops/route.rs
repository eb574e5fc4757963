//! The choice of experts.

use bytemuck::{Pod, Zeroable};
use rocmforge_program::{RouteSpec, Scoring};

use super::forms::{blocks, wave_of};
use crate::driver::{DevicePtr, Dims, Function, HipError, Stream};
use crate::library::{KernelError, Kernels};

const MODULE: &str = "route/route";
const BLOCK: usize = 128;
/// Most experts of a router.
pub const MAX_EXPERTS: usize = 512;
/// Most experts that a token may choose.
pub const MAX_CHOSEN: usize = 32;
/// Most groups of experts.
pub const MAX_GROUPS: usize = 64;

/// The kernels of `route/route.hip`.
#[derive(Debug, Clone)]
pub struct Route {
    /// For up to 2, 8 and 16 experts a lane.
    kernels: [(usize, Function); 3],
    wave: usize,
}

/// One choice for each row of scores; see [`RouteSpec`].
#[derive(Debug, Clone, Copy)]
pub struct RouteCall {
    /// How experts are chosen and weighed.
    pub spec: RouteSpec,
    /// f32 `[rows, experts]`.
    pub scores: DevicePtr,
    /// f32 `[experts]`, added for the choice alone; null: none.
    pub bias: DevicePtr,
    /// Ids as f32 `[rows, chosen]`, best first.
    pub ids: DevicePtr,
    /// f32 `[rows, chosen]`.
    pub weights: DevicePtr,
    /// Rows.
    pub rows: usize,
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
struct RouteArgs {
    scores: DevicePtr,
    bias: DevicePtr,
    ids: DevicePtr,
    weights: DevicePtr,
    rows: u32,
    experts: u32,
    chosen: u32,
    scoring: u32,
    normalize: u32,
    groups: u32,
    groups_chosen: u32,
    scale: f32,
}

impl Route {
    /// Loads the kernels.
    ///
    /// # Errors
    /// As [`Kernels::function`].
    pub fn load(kernels: &Kernels) -> Result<Self, KernelError> {
        let named = |per: usize| Ok((per, kernels.function(MODULE, &format!("route_{per}"))?));
        Ok(Self { kernels: [named(2)?, named(8)?, named(16)?], wave: wave_of(kernels.device().properties()) })
    }

    /// Whether the kernels take such a router.
    pub fn supports(spec: &RouteSpec) -> bool {
        (1..=MAX_EXPERTS).contains(&spec.experts)
            && (1..=MAX_CHOSEN).contains(&spec.chosen)
            && (1..=MAX_GROUPS).contains(&spec.groups)
            && spec.experts.is_multiple_of(spec.groups)
    }

    /// Enqueues a choice. Ties go to the lower id; a token for which too few experts take part gets expert 0 with
    /// weight 0 for the rest.
    ///
    /// # Errors
    /// [`HipError::BadLaunch`]: a router that is not [supported](Self::supports); else as [`Stream::launch`].
    pub fn run(&self, stream: &Stream, call: &RouteCall) -> Result<(), HipError> {
        if call.rows == 0 {
            return Ok(());
        }
        let spec = &call.spec;
        let found = self.kernels.iter().find(|(per, _)| spec.experts <= per * self.wave);
        let Some((_, function)) = found.filter(|_| Self::supports(spec)) else {
            return Err(HipError::BadLaunch {
                kernel: MODULE.into(),
                what: "the number of experts (or what is chosen of them, or their groups)",
                found: spec.experts as u64,
                least: 1,
                most: MAX_EXPERTS as u64,
            });
        };
        let args = RouteArgs {
            scores: call.scores,
            bias: call.bias,
            ids: call.ids,
            weights: call.weights,
            rows: call.rows as u32,
            experts: spec.experts as u32,
            chosen: spec.chosen as u32,
            scoring: match spec.scoring {
                Scoring::Softmax => 0,
                Scoring::Sigmoid => 1,
                Scoring::SoftmaxChosen => 2,
            },
            normalize: spec.normalize.into(),
            groups: spec.groups as u32,
            groups_chosen: spec.groups_chosen as u32,
            scale: spec.scale,
        };
        let dims = Dims::line(blocks(call.rows, BLOCK / self.wave), BLOCK as u32);
        // SAFETY: the struct is the kernel's; the caller's addresses hold the sizes of the call.
        unsafe { stream.launch(function, dims, &args) }
    }
}
