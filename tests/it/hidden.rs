//! Final hidden states instead of logits: what the projection to the vocabulary reads, of any rows of any step.

use std::path::{Path, PathBuf};

use rocmforge_cpu_backend::{CpuBackend, ReferenceBackend};
use rocmforge_engine::ModelFile;
use rocmforge_hip_backend::{HipBackend, HipOptions, Precision};
use rocmforge_program::backend::{Backend, KvType, RowSampling, StepInput, StepOutput};
use rocmforge_program::{Op, Program, weights};
use rocmforge_sampler::greedy;
use rocmforge_tests::{Loaded, data, nmse};

use crate::private_fake::PrivateFake;

/// Plain, tied embeddings with scaled rows and bounded logits, scaled logits, experts, a layer norm with biases.
const MODELS: [&str; 6] = ["llama", "gemma2", "granite", "cohere2", "qwen3moe", "phi2"];
const CONTEXT: usize = 64;

fn golden(name: &str) -> PathBuf {
    data("golden").join(name).join("model.gguf")
}

/// What follows the hidden states, in f64: the projection, a scale and a bound.
struct Head {
    matrix: Vec<f32>,
    bias: Option<Vec<f32>>,
    tail: Vec<Op>,
}

impl Head {
    fn of(program: &Program, path: &Path) -> Self {
        let file = ModelFile::open(path).expect("the file opens");
        let values = |id| weights::as_f32(&file, program.weight(id)).expect("the weight is there");
        let at = program.ops.iter().position(|op| matches!(op, Op::Linear { x, .. } if *x == program.hidden));
        let at = at.expect("a projection reads the hidden states");
        let Op::Linear { weight, bias, .. } = &program.ops[at] else { unreachable!("found as such") };
        Self { matrix: values(*weight), bias: bias.map(values), tail: program.ops[at + 1..].to_vec() }
    }

    fn logits(&self, hidden: &[f32], width: usize) -> Vec<f32> {
        let project = |row: &[f32]| -> Vec<f64> {
            let dot = |w: &[f32]| w.iter().zip(row).map(|(&w, &x)| f64::from(w) * f64::from(x)).sum::<f64>();
            let one = |(token, w)| dot(w) + self.bias.as_ref().map_or(0.0, |bias| f64::from(bias[token]));
            self.matrix.chunks_exact(width).enumerate().map(one).collect()
        };
        let bound = |x: f64| {
            self.tail.iter().fold(x, |x, op| match op {
                Op::Scale { factor, .. } => x * f64::from(*factor),
                Op::Softcap { cap, .. } => f64::from(*cap) * (x / f64::from(*cap)).tanh(),
                op => panic!("{} after the projection", op.name()),
            })
        };
        hidden.chunks_exact(width).flat_map(project).map(|x| bound(x) as f32).collect()
    }
}

fn tokens(count: usize, seed: u32) -> Vec<u32> {
    (0..count as u32).map(|i| (i * 37 + seed * 11) % 250).collect()
}

fn asking(wanted: Vec<u32>, hidden: Vec<bool>) -> StepInput {
    StepInput { wanted, hidden, ..StepInput::default() }
}

fn load<B: Backend>(backend: B, path: &Path) -> Loaded<B> {
    Loaded::new(backend, path, KvType::F32, 2, CONTEXT)
}

fn run<B: Backend>(model: &mut Loaded<B>, parts: &[(usize, usize, &[u32])], step: StepInput) -> StepOutput {
    let output = model.run_step(parts, step).expect("the step runs");
    assert_eq!(output.bad_rows, []);
    output
}

/// Hidden states times the output matrix are the logits; they are the same alone, in mixed steps and in chunks.
fn check<B: Backend>(make: impl Fn() -> B, path: &Path, bound: f64) {
    let prompt = tokens(20, 1);
    let mut model = load(make(), path);
    let (vocab, width) = (model.program.vocab_size, model.program.hidden_size());
    let near = |found: &[f32], truth: &[f32], what: &str| {
        let error = nmse(found, truth);
        assert!(error <= bound, "{} {what}: {error:.2e}", path.display());
    };
    let logits = run(&mut model, &[(0, 0, &prompt)], asking((0..20).collect(), vec![])).logits;
    let all = run(&mut model, &[(0, 0, &prompt)], asking((0..20).collect(), vec![true; 20]));
    assert_eq!((all.hidden.len(), all.logits.len(), all.sampled.len()), (20 * width, 0, 0));
    near(&Head::of(&model.program, path).logits(&all.hidden, width), &logits, "projected");

    // Two sequences, logits and hidden states of rows of both by turns.
    let other = tokens(9, 2);
    let wanted = vec![0, 5, 18, 19, 20, 28];
    let step = asking(wanted, vec![true, false, false, true, false, true]);
    let mixed = run(&mut model, &[(0, 0, &prompt), (1, 0, &other)], step);
    let row = |of: &[f32], width: usize, row: usize| of[row * width..][..width].to_vec();
    near(&mixed.logits[..2 * vocab], &[row(&logits, vocab, 5), row(&logits, vocab, 18)].concat(), "mixed logits");
    near(&mixed.hidden[..2 * width], &[row(&all.hidden, width, 0), row(&all.hidden, width, 19)].concat(), "mixed");
    assert_eq!((mixed.logits.len(), mixed.hidden.len()), (3 * vocab, 3 * width));

    // In chunks, the last of which only decodes beside a sequence that wants a token.
    let mut found = Vec::new();
    for (first, end) in [(0, 7), (7, 19)] {
        let rows = end - first;
        let step = asking((0..rows as u32).collect(), vec![true; rows]);
        found.extend(run(&mut model, &[(0, first, &prompt[first..end])], step).hidden);
    }
    let step = asking(vec![0, 1], vec![true, false]);
    let last = run(&mut model, &[(0, 19, &prompt[19..]), (1, 9, &[3])], step);
    found.extend(&last.hidden);
    near(&found, &all.hidden, "in chunks");
    assert_eq!(last.logits.len(), vocab);
}

#[test]
fn hidden_states_lead_to_the_logits_in_the_reference_interpreter() {
    MODELS.iter().for_each(|name| check(ReferenceBackend::new, &golden(name), 1e-12));
}

#[test]
fn hidden_states_lead_to_the_logits_in_the_fast_interpreter() {
    MODELS.iter().for_each(|name| check(|| CpuBackend::new(2).expect("threads start"), &golden(name), 1e-9));
}

fn open(fake: &PrivateFake, options: HipOptions) -> HipBackend {
    HipBackend::open_with(fake.api.clone(), options).expect("the fake opens")
}

#[test]
fn hidden_states_lead_to_the_logits_on_a_device() {
    let Some(fake) = PrivateFake::new() else { return };
    let exact = || open(&fake, HipOptions { precision: Precision::Exact, ..fake.options() });
    ["gemma2", "granite"].iter().for_each(|name| check(exact, &golden(name), 1e-9));
    check(|| open(&fake, fake.options()), &golden("llama"), 1e-4);
    // Nothing reads what this step has not written.
    check(|| open(&fake, HipOptions { poison: true, ..fake.options() }), &golden("llama"), 1e-4);
}

/// As it is, recorded, and replayed.
#[test]
fn a_decode_graph_returns_hidden_states_beside_chosen_tokens() {
    let Some(fake) = PrivateFake::new() else { return };
    let mut model = load(open(&fake, fake.options()), &golden("llama"));
    let parts: [(usize, usize, &[u32]); 2] = [(0, 0, &tokens(9, 1)), (1, 0, &tokens(5, 2))];
    run(&mut model, &parts, StepInput::default());
    let parts: [(usize, usize, &[u32]); 2] = [(0, 9, &[3]), (1, 5, &[4])];
    let logits = run(&mut model, &parts, asking(vec![0, 1], vec![])).logits;
    let likeliest = greedy(&logits[model.program.vocab_size..]).expect("finite");
    let sampling = vec![None, Some(RowSampling { temperature: 0.0, ..RowSampling::default() })];
    let step = StepInput { sampling, ..asking(vec![0, 1], vec![true, false]) };
    let first = run(&mut model, &parts, step.clone());
    assert_eq!((first.hidden.len(), first.logits.len()), (model.program.hidden_size(), 0));
    assert_eq!(first.sampled[0], None);
    assert_eq!(first.sampled[1].expect("a choice").token, Some(likeliest));
    for _ in 0..3 {
        assert_eq!(run(&mut model, &parts, step.clone()), first);
    }
    let hidden = run(&mut model, &parts, asking(vec![0, 1], vec![true, true])).hidden;
    assert_eq!(hidden[..model.program.hidden_size()], first.hidden);
}
