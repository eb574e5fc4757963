//! Numbers that are none: from a model's weights, and from memory that nothing has written.

use std::sync::Arc;

use fake_hip::Fault;
use rocmforge_cpu_backend::CpuBackend;
use rocmforge_engine::ModelFile;
use rocmforge_hip_backend::{HipBackend, HipOptions};
use rocmforge_model::BuildOptions;
use rocmforge_program::backend::{
    Backend, BackendError, BadNumber, BadRow, CacheId, CacheSpec, KvType, ModelId, RowSampling, StepInput, StepLimits,
    StepOutput, StepSequence, Tensor, WeightSource,
};
use rocmforge_tests::{BLOCK, data};

use crate::private_fake::PrivateFake;

/// Whose row of the embedding is NaN.
const BAD_TOKEN: u32 = 7;
const TABLE: &str = "token_embd.weight";
const VOCAB: usize = 512;

/// A model file with other bytes for one tensor.
struct Damaged {
    file: ModelFile,
    table: Vec<u8>,
}

impl Damaged {
    fn new() -> Self {
        let file = golden();
        let mut table = file.tensor(TABLE).expect("it is there").bytes.to_vec();
        let row = table.len() / VOCAB;
        table[BAD_TOKEN as usize * row..][..2].copy_from_slice(&0x7e00u16.to_le_bytes());
        Self { file, table }
    }
}

impl WeightSource for Damaged {
    fn tensor(&self, name: &str) -> Option<Tensor<'_>> {
        let tensor = self.file.tensor(name)?;
        Some(if name == TABLE { Tensor { bytes: &self.table, ..tensor } } else { tensor })
    }
}

fn golden() -> ModelFile {
    ModelFile::open(data("golden/llama/model.gguf")).expect("the file opens")
}

/// The golden model with these weights and a small cache.
struct Model<B> {
    backend: B,
    model: ModelId,
    cache: CacheId,
}

impl<B: Backend> Model<B> {
    fn load(mut backend: B, weights: Arc<dyn WeightSource>) -> Result<Self, BackendError> {
        let program = rocmforge_model::build(golden().gguf(), &BuildOptions::default()).expect("the model builds");
        let limits = StepLimits { max_tokens: 32, max_wanted: 4, max_hidden: 4, max_sequences: 4 };
        let model = backend.load(&program, weights, limits)?;
        let cache = backend
            .make_cache(model, CacheSpec { block_size: BLOCK, num_blocks: 4, kv_type: KvType::F16, host_slots: 0 })?;
        Ok(Self { backend, model, cache })
    }

    /// One step of several prompts, of which each's last row is wanted as `step` says.
    fn step(&mut self, prompts: &[&[u32]], mut step: StepInput) -> Result<StepOutput, BackendError> {
        for (i, prompt) in prompts.iter().enumerate() {
            step.tokens.extend_from_slice(prompt);
            step.wanted.push(step.tokens.len() as u32 - 1);
            let (num_tokens, context_len) = (prompt.len(), prompt.len());
            step.sequences.push(StepSequence { num_tokens, context_len, block_table: vec![i as u32] });
        }
        let ticket = self.backend.submit(self.model, self.cache, &step)?;
        self.backend.wait(ticket)
    }
}

/// One step by a model of its own.
fn step(
    backend: impl Backend,
    weights: Arc<dyn WeightSource>,
    prompts: &[&[u32]],
    sampling: Option<RowSampling>,
) -> Result<StepOutput, BackendError> {
    let sampling = sampling.map(|how| vec![Some(how); prompts.len()]).unwrap_or_default();
    Model::load(backend, weights)?.step(prompts, StepInput { sampling, ..StepInput::default() })
}

fn bits(logits: &[f32]) -> Vec<u32> {
    logits.iter().map(|x| x.to_bits()).collect()
}

/// Three sequences, the second with the bad token: it alone is told of.
fn one_row_is_bad(backend: impl Backend, again: impl Backend) {
    let prompts: [&[u32]; 3] = [&[1, 2, 3], &[4, BAD_TOKEN, 5], &[6, 8]];
    let mut model = Model::load(backend, Arc::new(Damaged::new())).expect("the model loads");
    let damaged = model.step(&prompts, StepInput::default()).expect("the step runs");
    assert_eq!(damaged.bad_rows, [BadRow { row: 1, what: BadNumber::Logit(0) }]);
    let hidden = StepInput { hidden: vec![false, true, true], ..StepInput::default() };
    let hidden = model.step(&prompts, hidden).expect("the step runs");
    assert_eq!(hidden.bad_rows, [BadRow { row: 1, what: BadNumber::Hidden(0) }]);
    let whole = step(again, Arc::new(golden()), &prompts, None).expect("the step runs");
    assert_eq!(whole.bad_rows, []);
    for row in [0, 2] {
        let of = |output: &StepOutput| bits(&output.logits[row * VOCAB..][..VOCAB]);
        assert_eq!(of(&damaged), of(&whole), "row {row}");
    }
}

#[test]
fn the_processor_names_a_bad_row() {
    let backend = || CpuBackend::new(2).expect("threads start");
    one_row_is_bad(backend(), backend());
}

fn open(fake: &PrivateFake, poison: bool) -> HipBackend {
    let options = HipOptions { poison, ..fake.options() };
    HipBackend::open_with(fake.api.clone(), options).expect("the fake opens")
}

#[test]
fn the_device_names_a_bad_row() {
    let Some(fake) = PrivateFake::new() else { return };
    one_row_is_bad(open(&fake, false), open(&fake, false));
}

#[test]
fn the_device_chooses_no_token_of_a_bad_row() {
    let Some(fake) = PrivateFake::new() else { return };
    for how in [RowSampling { temperature: 0.0, ..RowSampling::default() }, RowSampling::default()] {
        let prompts: [&[u32]; 2] = [&[4, BAD_TOKEN], &[6, 8]];
        let output = step(open(&fake, false), Arc::new(Damaged::new()), &prompts, Some(how));
        let output = output.expect("the step runs");
        assert_eq!(output.bad_rows, [BadRow { row: 0, what: BadNumber::Logit(0) }]);
        let chosen: Vec<_> = output.sampled.iter().flatten().map(|sampled| sampled.token.is_some()).collect();
        assert_eq!(chosen, [false, true]);
    }
}

/// The last row of one prompt.
fn poisoned_step(fake: &PrivateFake, weights: Arc<dyn WeightSource>, prompt: &[u32]) -> Result<Vec<u32>, BackendError> {
    Ok(bits(&step(open(fake, true), weights, &[prompt], None)?.logits))
}

#[test]
fn poisoned_memory_changes_nothing_and_names_the_op_that_writes_no_number() {
    let Some(fake) = PrivateFake::new() else { return };
    for tokens in [3, 12] {
        let prompt: Vec<u32> = (10..10 + tokens).collect();
        let plain = step(open(&fake, false), Arc::new(golden()), &[&prompt], None).expect("the step runs");
        let poisoned = poisoned_step(&fake, Arc::new(golden()), &prompt).expect("nothing is read that was not written");
        assert_eq!(poisoned, bits(&plain.logits), "{tokens} tokens");
    }
    let error = poisoned_step(&fake, Arc::new(Damaged::new()), &[3, BAD_TOKEN]).expect_err("an embedding is NaN");
    let text = error.to_string();
    assert!(text.contains("op 0 (embed) wrote 1 of 64 values of row 1"), "{text}");
}

/// A launch that leaves its output as it was goes unnoticed where an older result lies there, here that of the same
/// step before. What poison cannot find is a launch that works in place, or writes to the cache.
#[test]
fn poison_finds_launches_that_write_nothing() {
    const LAUNCH: &str = "hipModuleLaunchKernel";
    let Some(fake) = PrivateFake::new() else { return };
    let mut loaded = Model::load(open(&fake, true), Arc::new(golden())).expect("it loads");
    let mut run = || loaded.step(&[&[3, 1, 4]], StepInput::default()).map(|output| bits(&output.logits));
    let right = run().expect("no fault");
    let before = fake.fake.call_count(LAUNCH);
    assert_eq!(run().expect("no fault"), right);
    let launches = fake.fake.call_count(LAUNCH) - before;
    let (mut found, mut missed) = (0, Vec::new());
    for launch in 1..=launches {
        fake.fake.add_fault(&Fault::unwritten().call(LAUNCH).at(launch)).expect("a fault");
        match run() {
            Err(error) => {
                let text = error.to_string();
                assert!(text.contains("op ") && text.contains("no numbers"), "launch {launch}: {text}");
                found += 1;
            }
            Ok(_) => missed.push(launch),
        }
        fake.fake.clear_faults();
    }
    println!("{found} of {launches} launches are found, not {missed:?}");
    assert!(launches >= 40 && found >= 4 * missed.len(), "{found} are found, {missed:?} are not");
    assert_eq!(run().expect("no fault any more"), right);
}
