//! A whole model on a HIP device that fails: every call from opening to the last release, one after the other.
//!
//! The scenario opens a device, loads a model, makes a cache, computes a prompt and some tokens, and drops everything.
//! Each run ends in the right answer or in a typed error that names the status; nothing panics and nothing leaks.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use fake_hip::Fault;
use hip_sys::hipError_t;
use rocmforge_engine::{
    EndTokens, Engine, EngineError, EngineOptions, Event, FailureKind, FinishReason, ModelFile, Request, RequestId,
};
use rocmforge_hip_backend::HipBackend;
use rocmforge_hip_backend::driver::Device;
use rocmforge_program::backend::{BackendError, BlockMove, KvType, RowSampling, StepLimits};
use rocmforge_sampler::{SamplingParams, greedy};
use rocmforge_tests::{Loaded, data};

use crate::private_fake::PrivateFake;

/// What a call answers: a status, or success without a handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Status(u32),
    Null,
}

/// Bad arguments, no memory, a kernel that is not there, no code for the device, not ready, an illegal address, a
/// device that is gone, a launch that failed, something unknown, and success without anything.
const ANSWERS: [Answer; 10] = [
    Answer::Status(1),
    Answer::Status(2),
    Answer::Status(98),
    Answer::Status(209),
    Answer::Status(600),
    Answer::Status(700),
    Answer::Status(101),
    Answer::Status(719),
    Answer::Status(999),
    Answer::Null,
];

/// What the scenario computes.
#[derive(Debug, Default, PartialEq)]
struct Computed {
    logits: Vec<u32>,
    tokens: Vec<u32>,
}

/// Opens, loads, computes, and drops everything but the device's handle, for its counts.
fn scenario(fake: &PrivateFake, seen: &mut Option<Device>) -> Result<Computed, BackendError> {
    let backend = HipBackend::open_with(fake.api.clone(), fake.options())?;
    *seen = Some(backend.hip_device().clone());
    let file = Arc::new(ModelFile::open(data("golden/llama/model.gguf")).expect("the file opens"));
    let limits = StepLimits { max_tokens: 12, max_wanted: 2, max_hidden: 2, max_sequences: 2 };
    let mut model = Loaded::of_file(backend, file, KvType::F16, 32, limits)?;
    let mut computed = Computed::default();
    // More rows than kernels for few take.
    let prompt: Vec<u32> = (1..=10).collect();
    let output = model.run(&[(0, 0, &prompt)], vec![9], Vec::new())?;
    computed.take(&output.logits);
    // The first is as it is, the second is recorded, the third is replayed.
    for context in 10..13 {
        let token = *computed.tokens.last().expect("there is one");
        let output = model.run(&[(0, context, &[token])], vec![0], Vec::new())?;
        computed.take(&output.logits);
    }
    model.move_blocks(&[
        BlockMove::Save { block: 0, slot: 1 },
        BlockMove::Copy { from: 1, to: 0 },
        BlockMove::Load { slot: 1, block: 0 },
        BlockMove::Copy { from: 0, to: 1 },
    ])?;
    let token = *computed.tokens.last().expect("there is one");
    let output = model.run(&[(0, 13, &[token])], vec![0], vec![Some(RowSampling::default())])?;
    computed.tokens.extend(output.sampled.iter().flatten().filter_map(|sampled| sampled.token));
    Ok(computed)
}

impl Computed {
    fn take(&mut self, logits: &[f32]) {
        self.tokens.push(greedy(logits).expect("finite logits"));
        self.logits.extend(logits.iter().map(|x| x.to_bits()));
    }
}

/// How many runs ended how.
#[derive(Debug, Default)]
struct Walked {
    harmless: u64,
    errors: u64,
    lost: u64,
}

/// One run with a fault.
#[derive(Debug, Clone, Copy)]
struct Run {
    /// The call, from 1.
    call: u64,
    answer: Answer,
    /// Whether all later calls answer the same.
    sticky: bool,
}

impl Run {
    fn go(self, fake: &PrivateFake, right: &Computed, walked: &mut Walked) {
        let live = fake.live();
        let mut device = None;
        self.arm(fake);
        let result = catch_unwind(AssertUnwindSafe(|| scenario(fake, &mut device))).unwrap_or_else(|panic| {
            eprintln!("{self:?}: the scenario panics");
            resume_unwind(panic)
        });
        fake.fake.clear_faults();
        match &result {
            Ok(computed) => assert_eq!(computed, right, "{self:?}: a wrong answer"),
            Err(error) => self.check_error(error),
        }
        walked.harmless += u64::from(result.is_ok());
        walked.errors += u64::from(result.is_err());
        self.check_counts(fake, live, device, walked);
    }

    fn arm(self, fake: &PrivateFake) {
        let fault = match self.answer {
            Answer::Status(code) => Fault::fail(hipError_t(code)),
            Answer::Null => Fault::null(),
        };
        let fault = fault.at(self.call);
        fake.fake.add_fault(&if self.sticky { fault.sticky() } else { fault }).expect("the fake knows the fault");
    }

    /// The error is the type for its cause, or names call and status.
    fn check_error(self, error: &BackendError) {
        let text = error.to_string();
        let is_told = match (self.answer, error) {
            (Answer::Status(2), BackendError::OutOfMemory { .. }) => true,
            // Without a device in the list there is none.
            (Answer::Status(100 | 101), BackendError::Device(_)) if text.contains("no GPU") => true,
            (Answer::Status(code), BackendError::Device(_)) => text.contains(&format!("({code})")),
            (Answer::Null, BackendError::Device(_)) => text.contains("without giving a handle"),
            _ => false,
        };
        assert!(is_told, "{self:?}: the error is {error:?}");
    }

    /// Everything was released but what the driver refused to, and what nobody asks a lost device for.
    fn check_counts(self, fake: &PrivateFake, before: u64, device: Option<Device>, walked: &mut Walked) {
        let leaked = fake.live() - before;
        let Some(device) = device else {
            // The device was not handed out; what may be left is that one release which failed, or all of them.
            assert!(self.sticky || self.is_lost() || leaked <= 1, "{self:?}: {leaked} leaked");
            fake.reset_device();
            return;
        };
        let counts = device.memory_use();
        assert_eq!((counts.buffers, counts.bytes, counts.pinned, counts.pinned_bytes), (0, 0, 0, 0), "{self:?}");
        assert_eq!(counts.allocations, counts.releases, "{self:?}");
        if device.lost().is_some() {
            walked.lost += 1;
        } else {
            assert!(leaked <= counts.failed_releases, "{self:?}: {leaked} leaked, {counts:?}");
            assert!(self.sticky || counts.failed_releases <= 1, "{self:?}: {counts:?}");
        }
        drop(device);
        fake.reset_device();
    }

    fn is_lost(self) -> bool {
        matches!(self.answer, Answer::Status(101 | 700 | 719))
    }
}

/// Walks `runs` of those that the calls of the scenario allow.
fn walk(runs: impl Fn(u64) -> Vec<Run>) {
    let Some(fake) = PrivateFake::new() else { return };
    // The first time compiles kernels.
    scenario(&fake, &mut None).expect("no fault");
    let calls = fake.fake.calls();
    let right = scenario(&fake, &mut None).expect("no fault");
    let calls = fake.fake.calls() - calls;
    assert_eq!(fake.live(), 0, "nothing is left without a fault");
    let runs = runs(calls);
    let mut walked = Walked::default();
    let start = std::time::Instant::now();
    runs.iter().for_each(|run| run.go(&fake, &right, &mut walked));
    println!("{calls} calls, {} runs in {:.1?}: {walked:?}", runs.len(), start.elapsed());
    assert_eq!(scenario(&fake, &mut None).expect("no fault any more"), right);
    assert!(walked.errors > 0 && walked.harmless > 0 && walked.lost > 0, "{walked:?}");
}

/// Calls from `first` on, every second one: each fails in one way, its neighbours in others.
fn walk_half(first: u64) {
    walk(|calls| {
        let answers = ANSWERS.len() as u64;
        // Both halves come by all answers.
        let answer = |call: u64| ANSWERS[(call / 2 * 7 % answers) as usize];
        let of = |call: u64| Run { call, answer: answer(call), sticky: (call / 2 / answers) % 2 == 1 };
        (first..=calls).step_by(2).map(of).collect()
    });
}

#[test]
fn a_fault_in_an_odd_call_is_an_error_or_harmless() {
    walk_half(1);
}

#[test]
fn a_fault_in_an_even_call_is_an_error_or_harmless() {
    walk_half(2);
}

#[test]
#[ignore = "takes ten minutes"]
fn every_fault_in_every_call_is_an_error_or_harmless() {
    walk(|calls| {
        let ways = ANSWERS.into_iter().flat_map(|answer| [(answer, false), (answer, true)]);
        ways.flat_map(|(answer, sticky)| (1..=calls).map(move |call| Run { call, answer, sticky })).collect()
    });
}

/// An engine with the bundled model, for two requests at once.
fn engine(fake: &PrivateFake) -> Engine {
    let backend = HipBackend::open_with(fake.api.clone(), fake.options()).expect("the fake opens");
    let file = ModelFile::from_static(rocmforge_demo_model::NAME, rocmforge_demo_model::GGUF).expect("it is valid");
    let options = EngineOptions { context_length: Some(64), max_sequences: 2, ..EngineOptions::default() };
    Engine::with_backend(Arc::new(file), Box::new(backend), options).expect("the model loads")
}

fn request(tokens: [u32; 3]) -> Request {
    let sampling = SamplingParams { temperature: 0.0, ..SamplingParams::default() };
    let end_tokens = EndTokens::Ignored;
    Request { sampling, max_tokens: Some(5), end_tokens, ..Request::new(tokens.to_vec()) }
}

/// Runs a step; its error, and how requests ended.
fn step(engine: &mut Engine) -> (Option<EngineError>, Vec<(RequestId, FinishReason)>) {
    let mut ended = Vec::new();
    let result = engine.step(&mut |event| {
        if let Event::Finished { request, reason, .. } = event {
            ended.push((request, reason));
        }
    });
    (result.err(), ended)
}

/// Steps until one fails; everybody that ran has ended with its error.
fn step_until_error(engine: &mut Engine, code: &str) -> Vec<RequestId> {
    for _ in 0..10 {
        let (error, ended) = step(engine);
        let Some(error) = error else { continue };
        assert!(matches!(&error, EngineError::Backend(BackendError::Device(text)) if text.contains(code)), "{error}");
        for (_, reason) in &ended {
            assert!(
                matches!(reason, FinishReason::Error(why) if why.kind == FailureKind::Device && why.message.contains(code)),
                "{reason:?}"
            );
        }
        assert_eq!(engine.cache_usage().used, 0);
        return ended.into_iter().map(|(id, _)| id).collect();
    }
    panic!("no step fails");
}

#[test]
fn a_lost_device_ends_every_request_with_an_error_and_later_ones_too() {
    let Some(fake) = PrivateFake::new() else { return };
    let mut engine = engine(&fake);
    let ids: Vec<_> =
        [[5, 6, 7], [8, 9, 10], [11, 12, 13]].map(|tokens| engine.submit(request(tokens)).expect("accepted")).into();
    assert!(step(&mut engine).0.is_none());
    fake.fake.add_fault(&Fault::fail(hipError_t(700)).sticky()).expect("a fault");
    assert_eq!(step_until_error(&mut engine, "(700)"), ids[..2]);
    // The driver would work again; the device is lost for this process all the same.
    fake.fake.clear_faults();
    assert_eq!(step_until_error(&mut engine, "(700)"), ids[2..]);
    let id = engine.submit(request([1, 2, 3])).expect("accepted");
    assert_eq!(step_until_error(&mut engine, "(700)"), [id]);
    assert!(engine.is_idle());
}

#[test]
fn after_a_failed_step_the_next_requests_are_answered() {
    let Some(fake) = PrivateFake::new() else { return };
    let mut engine = engine(&fake);
    let expected = engine.generate(request([11, 12, 13]), |_| {}).expect("it runs").tokens;
    let first: Vec<_> = [[5, 6, 7], [8, 9, 10]].map(|tokens| engine.submit(request(tokens)).expect("accepted")).into();
    assert!(step(&mut engine).0.is_none());
    fake.fake.add_fault(&Fault::fail(hipError_t(1)).call("hipMemcpyAsync")).expect("a fault");
    assert_eq!(step_until_error(&mut engine, "(1)"), first);
    assert_eq!(engine.generate(request([11, 12, 13]), |_| {}).expect("it runs").tokens, expected);
    drop(engine);
    assert_eq!(fake.live(), 0);
}
