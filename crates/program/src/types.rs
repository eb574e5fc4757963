//! Values, weights and the Program that ties them together.

use std::fmt;

use crate::Op;

/// How many rows a value has in one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rows {
    /// One row a token of the step (T), times a factor: `k` rows a token for a mixture of experts.
    Tokens(usize),
    /// One row for each row that is wanted (S), times a factor: first those whose logits are wanted, then those whose
    /// hidden states are.
    Wanted(usize),
    /// One row for each row whose logits are wanted (L), times a factor: the first of the wanted ones.
    Logits(usize),
}

/// What the letters stand for in one step, or at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct RowCounts {
    /// Tokens (T).
    pub tokens: usize,
    /// Wanted rows (S).
    pub wanted: usize,
    /// Rows whose logits are wanted (L).
    pub logits: usize,
}

impl Rows {
    /// The number of rows in such a step.
    pub fn count(self, step: RowCounts) -> usize {
        match self {
            Rows::Tokens(k) => step.tokens * k,
            Rows::Wanted(k) => step.wanted * k,
            Rows::Logits(k) => step.logits * k,
        }
    }

    /// The same base with another factor.
    pub fn times(self, k: usize) -> Self {
        match self {
            Rows::Tokens(_) => Rows::Tokens(k),
            Rows::Wanted(_) => Rows::Wanted(k),
            Rows::Logits(_) => Rows::Logits(k),
        }
    }
}

impl fmt::Display for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, k) = match self {
            Rows::Tokens(k) => ("T", k),
            Rows::Wanted(k) => ("S", k),
            Rows::Logits(k) => ("L", k),
        };
        if *k == 1 { write!(f, "{name}") } else { write!(f, "{name}*{k}") }
    }
}

/// Index of a value in [`Program::values`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub u32);

/// Index of a weight in [`Program::weights`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WeightId(pub u32);

/// An f32 matrix `[rows, cols]` that exists during a step. Written by exactly one op.
#[derive(Debug, Clone, PartialEq)]
pub struct Value {
    /// Symbolic number of rows.
    pub rows: Rows,
    /// Width of a row.
    pub cols: usize,
}

/// Rows of a tensor of the model file: `[experts, rows, cols]` with `experts` 1 for a plain matrix, and `rows` 1 too
/// for a vector.
#[derive(Debug, Clone, PartialEq)]
pub struct WeightRef {
    /// Name in the model file.
    pub tensor: String,
    /// Stacked matrices.
    pub experts: usize,
    /// First row used of the stored matrix: fused tensors (QKV, gate and up) are used in parts.
    pub first_row: usize,
    /// Rows used.
    pub rows: usize,
    /// Rows of the stored matrix.
    pub stored_rows: usize,
    /// Width of a row, the input width of a linear map.
    pub cols: usize,
}

/// What one attention layer keeps in the cache for each token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheLayer {
    /// Key/value heads.
    pub num_kv_heads: usize,
    /// Width of a key head.
    pub head_dim: usize,
    /// Width of a value head.
    pub value_dim: usize,
    /// Positions that stay visible; `None` means all.
    pub window: Option<usize>,
}

impl CacheLayer {
    /// Numbers kept a token: keys and values.
    pub fn elements_per_token(&self) -> usize {
        self.num_kv_heads * (self.head_dim + self.value_dim)
    }
}

/// A model as a flat list of operations, in the order in which they run.
///
/// Built once by a model's architecture file, rewritten by passes, interpreted by backends. `Display` prints it.
#[derive(Debug, Clone, PartialEq)]
pub struct Program {
    /// Name of the architecture, for people.
    pub name: String,
    /// Every value, by [`ValueId`].
    pub values: Vec<Value>,
    /// Every weight, by [`WeightId`].
    pub weights: Vec<WeightRef>,
    /// The operations.
    pub ops: Vec<Op>,
    /// What each attention layer caches, by the layer number that [`Op::Attention`] carries.
    pub cache_layers: Vec<CacheLayer>,
    /// The final hidden states, after the output norm, `[S, hidden]`: what the projection to the vocabulary reads, of
    /// which it takes the first L rows. The output itself where there is no such projection.
    pub hidden: ValueId,
    /// The logits, `[L, vocab_size]`.
    pub output: ValueId,
    /// Rows of the vocabulary.
    pub vocab_size: usize,
    /// Tokens of context the model was made for.
    pub context_length: usize,
}

impl Program {
    /// The value of an id.
    pub fn value(&self, id: ValueId) -> &Value {
        &self.values[id.0 as usize]
    }

    /// The weight of an id.
    pub fn weight(&self, id: WeightId) -> &WeightRef {
        &self.weights[id.0 as usize]
    }

    /// Width of a final hidden state.
    pub fn hidden_size(&self) -> usize {
        self.value(self.hidden).cols
    }

    /// Cache elements (not bytes) a token over all layers.
    pub fn cache_elements_per_token(&self) -> usize {
        self.cache_layers.iter().map(CacheLayer::elements_per_token).sum()
    }
}
