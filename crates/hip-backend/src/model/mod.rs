//! One loaded model: its weights on the device, what a step computes, and in which kernels.

mod attention;
mod buffers;
mod cache;
mod forms;
mod gemm;
mod graphs;
mod inputs;
mod linear;
mod modules;
mod moves;
mod poison;
mod profile;
mod run;
mod step;
mod tools;
mod weights;

use std::cell::RefCell;

use rocmforge_program::backend::{BackendError, CacheSpec, StepLimits, WeightSource};
use rocmforge_program::{MemoryPlan, Op, Program, WeightId, passes, plan_memory};

use crate::driver::{Device, Stream};
use crate::error::Failure;
use crate::library::Kernels;
use crate::ops::{Route, Sample};
use crate::options::{HipOptions, Precision};
use buffers::{BufferPlan, Buffers};
use forms::{FormPlan, Regime, plan_forms};
use gemm::GemmPlan;
use poison::Poison;
use profile::Profile;
use step::Outputs;
use tools::Tools;
use weights::{WeightPlan, Weights};

pub(crate) use cache::Cache;
pub use profile::ProfileRow;
pub(crate) use step::InFlight;

/// Memory that stays free beside what is planned: the driver's own needs, and graphs.
const RESERVE: u64 = 192 << 20;

/// A model on the device.
pub(crate) struct Model {
    program: Program,
    limits: StepLimits,
    is_exact: bool,
    use_graphs: bool,
    memory: MemoryPlan,
    plans: Plans,
    weights: Weights,
    tools: Tools,
    gemm: GemmPlan,
    buffers: Buffers,
    outputs: Outputs,
    profile: Option<RefCell<Profile>>,
    poison: Option<Poison>,
}

/// The forms of each regime that a model uses.
struct Plans {
    vector: FormPlan,
    matrix: FormPlan,
    exact: FormPlan,
}

impl Plans {
    fn new(program: &Program, types: &WeightPlan) -> Self {
        let type_of = |op: &Op| linear_weights(op).into_iter().filter_map(|id| types.type_of(id)).collect();
        let of = |regime| plan_forms(program, regime, type_of);
        Self { vector: of(Regime::Vector), matrix: of(Regime::Matrix), exact: of(Regime::Exact) }
    }

    fn of(&self, regime: Regime) -> &FormPlan {
        match regime {
            Regime::Vector => &self.vector,
            Regime::Matrix => &self.matrix,
            Regime::Exact => &self.exact,
        }
    }
}

fn linear_weights(op: &Op) -> Vec<WeightId> {
    match op {
        Op::Linear { weight, .. } | Op::ExpertLinear { weight, .. } => vec![*weight],
        Op::Linears { parts, .. } => parts.iter().map(|p| p.weight).collect(),
        _ => vec![],
    }
}

impl Model {
    /// Plans the memory of a model, and only then allocates and uploads.
    #[allow(clippy::too_many_arguments, reason = "what the backend has, and what it was asked")]
    pub fn load(
        device: &Device,
        stream: &Stream,
        kernels: &Kernels,
        options: &HipOptions,
        program: &Program,
        source: &dyn WeightSource,
        limits: StepLimits,
    ) -> Result<Self, Failure> {
        let is_exact = options.precision == Precision::Exact;
        let program = lower(program);
        check_ops(&program)?;
        let weight_plan = WeightPlan::new(&program, source)?;
        let memory = plan_memory(&program, limits.rows());
        let plans = Plans::new(&program, &weight_plan);
        let used = match is_exact {
            true => vec![(Regime::Exact, &plans.exact)],
            false => vec![(Regime::Vector, &plans.vector), (Regime::Matrix, &plans.matrix)],
        };
        let tools = Tools::load(kernels, &weight_plan.matrices(&program), is_exact)?;
        let gemm = GemmPlan::new(&program, &weight_plan, &tools, limits, is_exact);
        let scratch = gemm.scratch_bytes().max(Sample::scratch_bytes(limits.max_wanted, program.vocab_size));
        let buffer_plan = BufferPlan::new(&program, limits, &memory, &used, scratch);
        expect_room(device, weight_plan.bytes + buffer_plan.bytes())?;
        let buffers = Buffers::new(device, &buffer_plan)?;
        let outputs = Outputs::new(device, &program, limits)?;
        let poison = if options.poison { Some(Poison::new(device, &program, limits)?) } else { None };
        let weights = weight_plan.upload(device, stream, kernels, &program, source)?;
        Ok(Self {
            program,
            limits,
            is_exact,
            use_graphs: options.graphs && !options.profile && !options.poison,
            memory,
            plans,
            weights,
            tools,
            gemm,
            buffers,
            outputs,
            profile: options.profile.then(RefCell::default),
            poison,
        })
    }

    /// What the ops of the steps since the last call took, the longest first; nothing unless profiling was asked for.
    pub fn take_profile(&self) -> Vec<ProfileRow> {
        self.profile.as_ref().map(|profile| profile.borrow_mut().take()).unwrap_or_default()
    }

    /// Rows of the vocabulary.
    pub fn vocab_size(&self) -> usize {
        self.program.vocab_size
    }

    /// Allocates a cache.
    pub fn make_cache(
        &self,
        device: &Device,
        stream: &Stream,
        kernels: &Kernels,
        spec: CacheSpec,
    ) -> Result<Cache, Failure> {
        Cache::new(
            device,
            stream,
            kernels,
            &self.program,
            self.limits,
            spec,
            self.attends_by_token(self.limits.max_tokens),
        )
    }

    /// How many blocks of a cache still fit.
    pub fn cache_capacity(&self, device: &Device, spec: CacheSpec) -> Result<usize, Failure> {
        let left = available(device)?.saturating_sub(Cache::fixed_bytes(&self.program, self.limits, spec));
        let block = spec.bytes(&self.program).unwrap_or(usize::MAX).max(1);
        Ok(usize::try_from(left / block as u64).unwrap_or(usize::MAX))
    }
}

/// The Program in the ops that this backend is best at.
fn lower(program: &Program) -> Program {
    let mut program = program.clone();
    passes::select_rows_early(&mut program);
    passes::share_inputs(&mut program);
    passes::fuse_residual_norms(&mut program);
    passes::fuse_rotary_attention(&mut program);
    program
}

/// Refuses what kernels have limits for, before anything is allocated.
fn check_ops(program: &Program) -> Result<(), BackendError> {
    for op in &program.ops {
        if let Op::Route { spec, .. } = op
            && !Route::supports(spec)
        {
            return Err(BackendError::UnsupportedOp("route with so many experts"));
        }
    }
    Ok(())
}

/// Bytes that may still be allocated.
fn available(device: &Device) -> Result<u64, Failure> {
    let free = device.memory()?.free;
    let used = device.memory_use();
    Ok(free.min(device.budget().saturating_sub(used.bytes)).saturating_sub(RESERVE))
}

fn expect_room(device: &Device, needed: u64) -> Result<(), Failure> {
    let available = available(device)?;
    if needed > available {
        let what = "the model's weights and the values of a step".into();
        return Err(BackendError::OutOfMemory { what, needed, available }.into());
    }
    Ok(())
}
