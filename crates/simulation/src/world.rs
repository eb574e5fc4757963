//! A run: random operations on everything together.

use std::collections::VecDeque;
use std::fmt::Arguments;

use rocmforge_kv_cache::{BlockPool, Sequence};
use rocmforge_scheduler::{NewRequest, Refused, Scheduler, SchedulerConfig};

use crate::backend::{Backend, Sabotage};
use crate::random::Random;
use crate::request::{Micros, Request};
use crate::setup::{Sizes, config, request, sizes};
use crate::{Failure, Report};

/// How to run a seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Operations; steps count as well. After them, all requests are let run to their ends.
    pub operations: u64,
    /// Whether a failure tells the last operations before it.
    pub trace: bool,
    /// A mistake made on purpose.
    pub sabotage: Option<Sabotage>,
}

/// Operations told with a failure.
const TRACED: usize = 60;
/// Steps within which everything must end once nothing new comes.
const MAX_DRAIN: u64 = 20_000;

/// What goes wrong in a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    OutOfMemory,
    Transient,
    /// The device is lost while it computes.
    Lost,
    /// A request is cancelled while the device computes.
    Cancel,
}

/// Checks return what does not hold.
pub(crate) type Check<T = ()> = Result<T, String>;

pub(crate) struct World {
    pub random: Random,
    pub config: SchedulerConfig,
    pub sizes: Sizes,
    pub pool: BlockPool,
    pub scheduler: Scheduler,
    pub backend: Backend,
    pub requests: Vec<Request>,
    pub now: Micros,
    /// A sequence that is none of the scheduler's, and the step at which it ends.
    pub foreign: Option<(Sequence, u64)>,
    pub report: Report,
    /// Owners of each block, counted anew in each step.
    pub owners: Vec<u32>,
    /// The adapter in use; it changes its number with its contents.
    adapter: u64,
    /// Requests in a hundred operations.
    rate: usize,
    trace: Option<VecDeque<String>>,
}

/// Runs a seed for a number of operations.
///
/// # Errors
/// The first invariant that does not hold.
pub fn run(seed: u64, operations: u64) -> Result<Report, Box<Failure>> {
    run_with(seed, Options { operations, trace: false, sabotage: None })
}

/// Runs a seed.
///
/// # Errors
/// The first invariant that does not hold.
pub fn run_with(seed: u64, options: Options) -> Result<Report, Box<Failure>> {
    let failure = |message, world: Option<&World>| {
        Box::new(Failure {
            seed,
            operation: world.map_or(0, |w| w.report.operations),
            step: world.map_or(0, |w| w.report.steps),
            message,
            trace: world.and_then(|w| w.trace.clone()).into_iter().flatten().collect(),
        })
    };
    let mut world = World::new(seed, options).map_err(|message| failure(message, None))?;
    let result = world.run(options.operations);
    result.map_err(|message| failure(message, Some(&world)))?;
    Ok(world.report)
}

impl World {
    fn new(seed: u64, options: Options) -> Check<Self> {
        let mut random = Random::new(seed);
        let (sizes, config) = (sizes(&mut random), config(&mut random));
        let pool = BlockPool::with_sizes(sizes.block, sizes.blocks, sizes.slots, 0).map_err(|e| e.to_string())?;
        let scheduler = Scheduler::new(config.clone(), &pool).map_err(|e| e.to_string())?;
        let mut world = Self {
            backend: Backend::new(sizes.block, sizes.blocks, sizes.slots, options.sabotage),
            owners: vec![0; sizes.blocks],
            random,
            sizes,
            pool,
            scheduler,
            requests: Vec::new(),
            now: 0,
            foreign: None,
            report: Report::default(),
            adapter: 1,
            rate: 10,
            trace: options.trace.then(VecDeque::new),
            config,
        };
        let (sizes, config) = (world.sizes, world.config.clone());
        world.note(format_args!("{sizes:?} {config:?}"));
        Ok(world)
    }

    /// Remembers an operation, if anybody wants to know.
    pub fn note(&mut self, what: Arguments<'_>) {
        if let Some(trace) = &mut self.trace {
            if trace.len() == TRACED {
                trace.pop_front();
            }
            trace.push_back(what.to_string());
        }
    }

    fn run(&mut self, operations: u64) -> Check {
        for _ in 0..operations {
            self.report.operations += 1;
            self.operate()?;
        }
        self.drain()
    }

    fn operate(&mut self) -> Check {
        if self.random.one_in(150) {
            self.rate = self.random.pick(&[0, 2, 8, 20, 40]);
        }
        if self.random.below(100) < self.rate {
            return self.submit();
        }
        match self.random.below(200) {
            0..=4 => self.cancel(),
            5..=7 => self.step(Fault::Cancel),
            8..=9 => self.stop_reader(),
            10 => self.jump(),
            11..=12 => self.step(Fault::OutOfMemory),
            13 => self.step(Fault::Transient),
            14 => self.step(Fault::Lost),
            15 if self.random.one_in(2) => self.lose(),
            15 => self.clear_cache(),
            16 => self.change_adapter(),
            17 => self.burst(),
            18 => self.begin_foreign(),
            19 => self.bound_steps(),
            _ => self.step(Fault::None),
        }
    }

    fn submit(&mut self) -> Check {
        let request = request(&mut self.random, self.adapter, &self.config);
        match self.scheduler.submit(request.clone()) {
            Ok(id) => {
                self.note(format_args!("submit {}: {request:?}", id.0));
                self.check_taken(&request)?;
                self.report.requests += 1;
                self.requests.push(Request::new(id, request, self.report.steps, &mut self.random));
                Ok(())
            }
            Err(refused) => {
                self.report.refused += 1;
                self.check_refused(&request, refused)
            }
        }
    }

    fn blocks_of(&self, request: &NewRequest) -> usize {
        (request.prompt.len() + request.max_tokens.saturating_sub(1)).div_ceil(self.sizes.block)
    }

    fn check_taken(&self, request: &NewRequest) -> Check {
        let fits = request.prompt.len() + request.max_tokens <= self.config.max_sequence_length
            && self.blocks_of(request) <= self.sizes.blocks;
        if fits { Ok(()) } else { Err(format!("taken, though it never fits: {request:?}")) }
    }

    fn check_refused(&self, request: &NewRequest, refused: Refused) -> Check {
        let is_right = match refused {
            Refused::QueueFull { waiting, .. } => waiting > 0 && waiting == self.scheduler.usage().waiting,
            Refused::TooLong { tokens, limit } => tokens > limit,
            Refused::NeverFits { .. } => self.blocks_of(request) > self.sizes.blocks,
            Refused::EmptyPrompt => request.prompt.is_empty(),
            Refused::BadSequences { found, max } => found == 0 || found as usize > max,
            _ => false,
        };
        if is_right { Ok(()) } else { Err(format!("refused ({refused}): {request:?}")) }
    }

    fn burst(&mut self) -> Check {
        (0..self.random.between(10, 40)).try_for_each(|_| self.submit())
    }

    /// A client leaves, or asks for the end.
    pub fn cancel(&mut self) -> Check {
        if self.requests.is_empty() {
            return Ok(());
        }
        let at = self.random.below(self.requests.len());
        self.cancel_at(at)
    }

    pub fn cancel_at(&mut self, at: usize) -> Check {
        let id = self.requests[at].id;
        self.note(format_args!("cancel {}", id.0));
        self.requests[at].cancelled.get_or_insert(self.report.steps);
        if !self.scheduler.cancel(id) {
            return Err(format!("request {} has ended and nobody was told", id.0));
        }
        self.take_ended()
    }

    fn stop_reader(&mut self) -> Check {
        if !self.requests.is_empty() {
            let at = self.random.below(self.requests.len());
            self.requests[at].stop_reading();
        }
        Ok(())
    }

    fn jump(&mut self) -> Check {
        self.now += self.random.between(1_000_000, 60_000_000) as Micros;
        self.pool.set_time(std::time::Duration::from_micros(self.now));
        Ok(())
    }

    /// The device is lost while nothing is computed.
    pub fn lose(&mut self) -> Check {
        self.note(format_args!("device lost"));
        self.report.losses += 1;
        self.scheduler.device_lost(&mut self.pool).map_err(|e| e.to_string())?;
        self.backend.lose();
        self.requests.iter_mut().flat_map(|r| &mut r.streams).for_each(|s| s.restarts = 0);
        self.take_ended()?;
        self.recount()
    }

    fn bound_steps(&mut self) -> Check {
        let tokens = self.random.pick(&[0, 4, 16, 64, usize::MAX]);
        self.note(format_args!("bound mixed steps to {tokens} tokens"));
        self.scheduler.bound_mixed_steps(tokens);
        Ok(())
    }

    fn clear_cache(&mut self) -> Check {
        self.note(format_args!("clear the cache"));
        self.pool.clear_cached();
        let usage = self.pool.usage();
        if usage.cached + usage.host_used > 0 { Err(format!("cleared: {usage:?}")) } else { Ok(()) }
    }

    fn change_adapter(&mut self) -> Check {
        self.adapter += 1;
        Ok(())
    }

    /// Somebody else uses blocks of the same pool for a while.
    fn begin_foreign(&mut self) -> Check {
        if self.foreign.is_none() {
            let mut sequence = Sequence::default();
            let blocks = self.random.below(self.pool.usage().available() + 1);
            self.note(format_args!("{blocks} blocks for others"));
            if !self.pool.reserve(&mut sequence, blocks * self.sizes.block) {
                return Err(format!("{blocks} blocks are available and cannot be had"));
            }
            self.foreign = Some((sequence, self.report.steps + self.random.between(1, 30) as u64));
        }
        Ok(())
    }

    pub fn end_foreign(&mut self, step: u64) -> Check {
        match self.foreign.take() {
            Some((sequence, until)) if until <= step => self.pool.end(sequence).map_err(|e| e.to_string()),
            other => {
                self.foreign = other;
                Ok(())
            }
        }
    }

    /// Nothing new comes: everything must end, and nothing be left.
    fn drain(&mut self) -> Check {
        self.note(format_args!("drain"));
        self.end_foreign(u64::MAX)?;
        self.requests.iter_mut().for_each(Request::read_all);
        let end = self.report.steps + MAX_DRAIN;
        while !self.scheduler.is_idle() {
            self.step(Fault::None)?;
            if self.report.steps > end {
                return Err(format!("{MAX_DRAIN} steps were not enough for {:?}", self.scheduler.usage()));
            }
        }
        self.check_drained()
    }
}
