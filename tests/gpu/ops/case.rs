//! What one case of the oracle consists of, and how it is built.

use std::collections::HashMap;
use std::sync::Arc;

use rocmforge_program::backend::{
    BlockMove, CacheSpec, KvType, StepInput, StepLimits, StepSequence, Tensor, WeightSource,
};
use rocmforge_program::{Program, ProgramBuilder, ValueId, WeightId};
use rocmforge_quant::{GgmlType, quantize};

use super::random::{Rng, Size, stored};

/// Rows of every table of inputs, and so the ids that tokens have.
pub const IDS: usize = 64;

/// Columns below which a row says little about the size of its numbers.
const NARROW: usize = 24;

/// The largest errors allowed.
#[derive(Debug, Clone, Copy)]
pub struct Bound {
    /// Mean square, numbers being divided by the size that their row and column lets expect.
    pub nmse: f64,
    /// Largest.
    pub worst: f64,
}

/// Bounds of a case, by how it is computed.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Steps of up to eight rows.
    pub few: Bound,
    /// Larger ones.
    pub many: Bound,
    /// In f32.
    pub exact: Bound,
}

impl Bounds {
    /// The same, however it is computed.
    pub const fn all(nmse: f64, worst: f64) -> Self {
        let bound = Bound { nmse, worst };
        Self { few: bound, many: bound, exact: bound }
    }

    /// What either allows.
    pub fn max(self, other: Self) -> Self {
        let max = |a: Bound, b: Bound| Bound { nmse: a.nmse.max(b.nmse), worst: a.worst.max(b.worst) };
        Self { few: max(self.few, other.few), many: max(self.many, other.many), exact: max(self.exact, other.exact) }
    }

    /// Bounds for what multiplies errors by `factor`.
    pub fn times(self, factor: f64) -> Self {
        let times = |b: Bound| Bound { nmse: b.nmse * factor * factor, worst: b.worst * factor };
        Self { few: times(self.few), many: times(self.many), exact: times(self.exact) }
    }
}

/// A Program with weights and the steps it is to run.
pub struct Case {
    pub program: Program,
    pub weights: Arc<Stored>,
    pub cache: CacheSpec,
    pub steps: Vec<Step>,
    pub bounds: Bounds,
    /// Whether all rows let expect the same size. So it is taken where rows are made of too few numbers to tell: a
    /// product with three rows may well be nearly zero.
    pub is_narrow: bool,
}

/// One step, and how it is called where it fails.
pub struct Step {
    pub label: String,
    /// Cache blocks to copy before it.
    pub copies: Vec<BlockMove>,
    pub input: StepInput,
}

impl Case {
    /// Limits that fit the steps.
    pub fn limits(&self) -> StepLimits {
        let most = |of: fn(&StepInput) -> usize| self.steps.iter().map(|s| of(&s.input)).max().unwrap_or(1).max(1);
        StepLimits {
            max_tokens: most(|s| s.tokens.len()),
            max_wanted: most(|s| s.wanted.len()),
            max_hidden: 0,
            max_sequences: most(|s| s.sequences.len()),
        }
    }
}

/// A case that is built when its turn comes.
pub struct Entry {
    /// Op, type and shape.
    pub name: String,
    /// Whether it is part of a quick run.
    pub quick: bool,
    pub make: Box<dyn Fn(&mut Rng) -> Case + Send + Sync>,
}

impl Entry {
    pub fn new(name: String, make: impl Fn(&mut Rng) -> Case + Send + Sync + 'static) -> Self {
        Self { name, quick: false, make: Box::new(make) }
    }

    pub fn quick(mut self, quick: bool) -> Self {
        self.quick = quick;
        self
    }
}

/// Tensors in memory.
#[derive(Default)]
pub struct Stored(HashMap<String, (GgmlType, usize, Vec<u8>)>);

impl WeightSource for Stored {
    fn tensor(&self, name: &str) -> Option<Tensor<'_>> {
        self.0.get(name).map(|(ty, elements, bytes)| Tensor { ty: *ty, elements: *elements, bytes })
    }
}

/// Builds the Program of a case with its random weights.
pub struct Bench<'a> {
    pub b: ProgramBuilder,
    pub rng: &'a mut Rng,
    weights: Stored,
}

impl<'a> Bench<'a> {
    pub fn new(rng: &'a mut Rng) -> Self {
        Self { b: ProgramBuilder::new(), rng, weights: Stored::default() }
    }

    fn store(&mut self, ty: GgmlType, elements: usize, bytes: Vec<u8>) -> String {
        let name = format!("w{}", self.weights.0.len());
        self.weights.0.insert(name.clone(), (ty, elements, bytes));
        name
    }

    /// Random weights `[experts, rows, cols]`, about `1 / sqrt(cols)` large so that products are about as large as
    /// their input.
    pub fn weight(&mut self, ty: GgmlType, experts: usize, rows: usize, cols: usize, size: Size) -> WeightId {
        let like = size.weights(self.rng, experts * rows, cols);
        let bytes = stored(self.rng, ty, &like, cols);
        let name = self.store(ty, like.len(), bytes);
        if experts == 1 { self.b.matrix(name, rows, cols) } else { self.b.stacked(name, experts, rows, cols) }
    }

    /// Part of a stored matrix that has rows before and behind it.
    pub fn weight_part(&mut self, ty: GgmlType, before: usize, rows: usize, cols: usize) -> WeightId {
        let all = before + rows + 3;
        let like = Size::Even.weights(self.rng, all, cols);
        let bytes = stored(self.rng, ty, &like, cols);
        let name = self.store(ty, like.len(), bytes);
        self.b.matrix_rows(name, all, before..before + rows, cols).expect("rows of the matrix")
    }

    /// f32 numbers as a matrix.
    pub fn matrix(&mut self, values: &[f32], rows: usize, cols: usize) -> WeightId {
        let name = self.floats(values);
        self.b.matrix(name, rows, cols)
    }

    /// f32 numbers as a vector.
    pub fn vector(&mut self, values: &[f32]) -> WeightId {
        let name = self.floats(values);
        self.b.vector(name, values.len())
    }

    fn floats(&mut self, values: &[f32]) -> String {
        let mut bytes = vec![0; values.len() * 4];
        quantize(GgmlType::F32, values, values.len(), None, &mut bytes).expect("f32 is stored as it is");
        self.store(GgmlType::F32, values.len(), bytes)
    }

    /// A vector of normally distributed numbers around a mean.
    pub fn random_vector(&mut self, n: usize, mean: f32) -> WeightId {
        let values: Vec<f32> = self.rng.normals(n).iter().map(|x| x + mean).collect();
        self.vector(&values)
    }

    /// An input `[T, cols]`: each token's row of a random table.
    pub fn input(&mut self, cols: usize, size: Size) -> ValueId {
        let values = size.inputs(self.rng, IDS, cols);
        self.input_of(&values, cols)
    }

    /// An input whose table is given.
    pub fn input_of(&mut self, values: &[f32], cols: usize) -> ValueId {
        let table = self.matrix(values, IDS, cols);
        self.b.embed(table, 1.0)
    }

    /// The case that compares `out`, `[T, any]`.
    pub fn finish(self, out: ValueId, cache: CacheSpec, context: usize, steps: Vec<Step>, bounds: Bounds) -> Case {
        let mut bench = self;
        let mut out = bench.b.select_rows(out).expect("one row a token");
        // A token's id must be below the width of the output.
        let cols = bench.b.shape(out).cols;
        let is_narrow = cols < NARROW;
        if cols < IDS {
            let spread = bench.weight(GgmlType::F32, 1, IDS, cols, Size::Even);
            out = bench.b.linear(out, spread, None).expect("widths fit");
        }
        let program = bench.b.finish("oracle", out, context).expect("a whole Program");
        Case { program, weights: Arc::new(bench.weights), cache, steps, bounds, is_narrow }
    }

    /// A case without attention: one step of each number of tokens.
    pub fn finish_rows(self, out: ValueId, tokens: &[usize], bounds: Bounds) -> Case {
        let steps = tokens.iter().map(|&n| rows_step(self.rng, n)).collect();
        self.finish(out, small_cache(), 4096, steps, bounds)
    }
}

/// A cache for Programs that have none.
pub fn small_cache() -> CacheSpec {
    CacheSpec { block_size: 16, num_blocks: 256, kv_type: KvType::F32, host_slots: 0 }
}

fn rows_step(rng: &mut Rng, tokens: usize) -> Step {
    let sequence = StepSequence {
        num_tokens: tokens,
        context_len: tokens,
        block_table: (0..tokens.div_ceil(16) as u32).collect(),
    };
    // Every fifth step wants some of the rows only.
    let all = rng.below(5) != 0;
    let wanted = (0..tokens as u32).filter(|&t| all || t % 3 != 1).collect();
    let input = StepInput { tokens: ids(rng, tokens), sequences: vec![sequence], wanted, ..StepInput::default() };
    Step { copies: vec![], label: format!("{tokens} tokens{}", if all { "" } else { ", some wanted" }), input }
}

/// Random ids of tokens.
pub fn ids(rng: &mut Rng, n: usize) -> Vec<u32> {
    (0..n).map(|_| rng.below(IDS) as u32).collect()
}
