//! The contract between an engine and an interpreter of Programs: plain data in, plain data out.

use std::fmt;
use std::sync::Arc;

use rocmforge_quant::GgmlType;

use crate::{Program, RowCounts};

/// Runs Programs on one device group. A caller may plan step n+1 between `submit` and `wait` of step n.
pub trait Backend: Send {
    /// What the device is.
    fn device(&self) -> &DeviceInfo;

    /// Takes a Program and its weights; `limits` bounds every later step, so that all memory is allocated here.
    ///
    /// # Errors
    /// A missing weight, an op the backend lacks, not enough memory.
    fn load(
        &mut self,
        program: &Program,
        weights: Arc<dyn WeightSource>,
        limits: StepLimits,
    ) -> Result<ModelId, BackendError>;

    /// Allocates a paged KV cache for a model.
    ///
    /// # Errors
    /// Not enough memory, or a cache type that does not fit the model's head sizes.
    fn make_cache(&mut self, model: ModelId, spec: CacheSpec) -> Result<CacheId, BackendError>;

    /// How many blocks a cache of this kind could have on this device for a model, whatever the number that `spec`
    /// names; `None` where memory is not this backend's concern.
    ///
    /// # Errors
    /// An unknown model, or a device that does not answer.
    fn cache_capacity(&self, _model: ModelId, _spec: CacheSpec) -> Result<Option<usize>, BackendError> {
        Ok(None)
    }

    /// Whether [`StepInput::sampling`] may ask this backend for such a choice of a token.
    fn can_sample(&self, _how: &RowSampling) -> bool {
        false
    }

    /// Begins one step.
    ///
    /// # Errors
    /// A step that does not fit the limits or the cache.
    fn submit(&mut self, model: ModelId, cache: CacheId, step: &StepInput) -> Result<StepTicket, BackendError>;

    /// The result of a step: the one place that blocks.
    ///
    /// # Errors
    /// A device failure, or a ticket that was not handed out.
    fn wait(&mut self, ticket: StepTicket) -> Result<StepOutput, BackendError>;

    /// Moves whole cache blocks, in order, between the steps submitted before and after.
    ///
    /// # Errors
    /// A block or slot outside the cache, before anything was moved; a device failure.
    fn move_blocks(&mut self, cache: CacheId, moves: &[BlockMove]) -> Result<(), BackendError>;
}

/// Where weights come from: a mapped model file, or anything else.
pub trait WeightSource: Send + Sync {
    /// The tensor of that name.
    fn tensor(&self, name: &str) -> Option<Tensor<'_>>;

    /// Says that the bytes of a tensor will not be read soon, so that a mapping may drop its pages.
    fn release(&self, _name: &str) {}
}

/// A stored tensor.
#[derive(Debug, Clone, Copy)]
pub struct Tensor<'a> {
    /// Element type.
    pub ty: GgmlType,
    /// Number of elements.
    pub elements: usize,
    /// The bytes, as stored.
    pub bytes: &'a [u8],
}

/// A device, in words and numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceInfo {
    /// What a person reads, such as "CPU, 2 threads, AVX-512 VNNI".
    pub name: String,
    /// Memory for weights and caches in bytes, where it is known.
    pub memory_bytes: Option<u64>,
}

/// A loaded model of one backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ModelId(pub u32);

/// A cache of one backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CacheId(pub u32);

/// A step under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StepTicket(pub u64);

/// The largest step that will come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepLimits {
    /// Tokens of a step.
    pub max_tokens: usize,
    /// Rows whose logits are wanted in a step.
    pub max_wanted: usize,
    /// Rows whose hidden states are wanted in a step.
    pub max_hidden: usize,
    /// Sequences of a step.
    pub max_sequences: usize,
}

impl StepLimits {
    /// The most rows that a value can have.
    pub fn rows(self) -> RowCounts {
        let wanted = (self.max_wanted + self.max_hidden).min(self.max_tokens);
        RowCounts { tokens: self.max_tokens, wanted, logits: self.max_wanted.min(self.max_tokens) }
    }
}

/// Element type of cached keys and values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KvType {
    /// 32-bit floats: 4 bytes.
    F32,
    /// 16-bit floats: 2 bytes.
    #[default]
    F16,
    /// bfloat16: 2 bytes, the range of f32 with 8 bits of precision.
    Bf16,
    /// Blocks of 32 signed bytes with one f16 scale: 34/32 bytes. Needs head sizes divisible by 32.
    Q8_0,
    /// 8-bit floats E4M3 without a scale, saturating at ±448: 1 byte.
    F8E4M3,
}

impl KvType {
    /// Every type, the most precise first.
    pub const ALL: [KvType; 5] = [KvType::F32, KvType::F16, KvType::Bf16, KvType::Q8_0, KvType::F8E4M3];

    /// Bytes of `elements` numbers (a multiple of 32 for [`KvType::Q8_0`]).
    pub fn bytes(self, elements: usize) -> usize {
        match self {
            KvType::F32 => elements * 4,
            KvType::F16 | KvType::Bf16 => elements * 2,
            KvType::Q8_0 => elements / 32 * 34,
            KvType::F8E4M3 => elements,
        }
    }

    /// Name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            KvType::F32 => "f32",
            KvType::F16 => "f16",
            KvType::Bf16 => "bf16",
            KvType::Q8_0 => "q8_0",
            KvType::F8E4M3 => "f8",
        }
    }
}

impl fmt::Display for KvType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Size of a paged cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheSpec {
    /// Tokens a block.
    pub block_size: usize,
    /// Blocks.
    pub num_blocks: usize,
    /// Element type.
    pub kv_type: KvType,
    /// Blocks that memory of the host keeps beside them, for [`BlockMove::Save`].
    pub host_slots: usize,
}

impl CacheSpec {
    /// Bytes of the cache of a Program, without host slots; `None` if that does not fit in `usize`.
    pub fn bytes(&self, program: &Program) -> Option<usize> {
        let token = self.kv_type.bytes(program.cache_elements_per_token());
        token.checked_mul(self.block_size)?.checked_mul(self.num_blocks)
    }
}

/// One block to move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockMove {
    /// Copy a block over another (copy-on-write).
    Copy {
        /// Block read.
        from: u32,
        /// Block written.
        to: u32,
    },
    /// Save a block to memory of the host.
    Save {
        /// Block read.
        block: u32,
        /// Slot written.
        slot: u32,
    },
    /// Bring a block back from there.
    Load {
        /// Slot read.
        slot: u32,
        /// Block written.
        block: u32,
    },
}

impl BlockMove {
    /// Checks that a cache has every block and slot.
    ///
    /// # Errors
    /// The first that it has not.
    pub fn check(moves: &[Self], cache: CacheSpec) -> Result<(), BackendError> {
        let within = |what: &str, index: u32, count: usize| {
            if (index as usize) < count {
                return Ok(());
            }
            Err(BackendError::BadCache(format!("no {what} {index} of {count}")))
        };
        let block = |index| within("block", index, cache.num_blocks);
        let slot = |index| within("host slot", index, cache.host_slots);
        moves.iter().try_for_each(|moved| match *moved {
            Self::Copy { from, to } => block(from).and(block(to)),
            Self::Save { block: from, slot: to } => block(from).and(slot(to)),
            Self::Load { slot: from, block: to } => slot(from).and(block(to)),
        })
    }
}

/// One step: tokens of one or more sequences, prefill and decode mixed.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StepInput {
    /// Token ids `[T]`, sequence after sequence.
    pub tokens: Vec<u32>,
    /// The sequences, in the order of their tokens.
    pub sequences: Vec<StepSequence>,
    /// Indices into `tokens` of the rows of which something is wanted `[S]`, ascending.
    pub wanted: Vec<u32>,
    /// Of which wanted rows `[S]` the final hidden state is returned and neither logits nor a token. Empty: of none.
    pub hidden: Vec<bool>,
    /// How the device chooses a token from each wanted row `[S]`; `None` returns the row's logits instead, or its hidden
    /// state. Empty: of none.
    pub sampling: Vec<Option<RowSampling>>,
}

/// How a device chooses one token from a row of logits, in the order of the sampler's stages. The defaults are neutral.
#[derive(Debug, Clone, PartialEq)]
pub struct RowSampling {
    /// Divides the logits; 0 takes the largest one.
    pub temperature: f32,
    /// Keep the k most probable tokens; 0: all.
    pub top_k: u32,
    /// Keep the fewest most probable tokens that hold this much probability; 1: all.
    pub top_p: f32,
    /// Keep tokens at least this probable relative to the most probable one; 0: all.
    pub min_p: f32,
    /// Divides positive and multiplies negative logits of `seen` tokens.
    pub repetition_penalty: f32,
    /// Subtracted from the logit of each token of the output.
    pub presence_penalty: f32,
    /// Subtracted once for each time a token is in the output.
    pub frequency_penalty: f32,
    /// Tokens of prompt and output, each once, and how often the output has them.
    pub seen: Vec<(u32, u32)>,
    /// Added to the logits of these tokens.
    pub logit_bias: Vec<(u32, f32)>,
    /// Key of the random numbers.
    pub seed: u64,
    /// Their counter: how many tokens this sampler has chosen before.
    pub position: u64,
}

impl Default for RowSampling {
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            seen: Vec::new(),
            logit_bias: Vec::new(),
            seed: 0,
            position: 0,
        }
    }
}

/// A token that a device chose.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SampledToken {
    /// Its id; `None` where there is no choice: a logit is no number, as [`StepOutput::bad_rows`] tells, or everything is
    /// banned.
    pub token: Option<u32>,
    /// Its log-probability under the untouched logits.
    pub logprob: f32,
}

/// The part of one sequence in a step. Token `i` of it stands at position `context_len - num_tokens + i`, and is
/// cached in block `block_table[position / block_size]` at `position % block_size`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepSequence {
    /// Tokens of this sequence in this step.
    pub num_tokens: usize,
    /// Tokens of the sequence after this step, those cached by earlier steps included.
    pub context_len: usize,
    /// Cache blocks, in order of position; at least enough for `context_len`.
    pub block_table: Vec<u32>,
}

impl StepSequence {
    /// Position of the sequence's first token in this step.
    pub fn first_position(&self) -> usize {
        self.context_len - self.num_tokens
    }
}

impl StepInput {
    /// Whether the hidden state of a wanted row is asked for, and not its logits.
    pub fn is_hidden(&self, row: usize) -> bool {
        self.hidden.get(row).is_some_and(|&is| is)
    }

    /// How many rows its values have.
    pub fn rows(&self) -> RowCounts {
        let wanted = self.wanted.len();
        let hidden = self.hidden.iter().filter(|&&is| is).count();
        RowCounts { tokens: self.tokens.len(), wanted, logits: wanted.saturating_sub(hidden) }
    }

    /// The wanted rows in the order of [`Rows::Wanted`](crate::Rows::Wanted): those of logits, then those of hidden
    /// states.
    pub fn selected_rows(&self) -> impl Iterator<Item = u32> {
        let of = move |hidden: bool| {
            let rows = self.wanted.iter().enumerate().filter(move |(row, _)| self.is_hidden(*row) == hidden);
            rows.map(|(_, &token)| token)
        };
        of(false).chain(of(true))
    }

    /// Checks everything an interpreter relies on; after this it may index without looking.
    ///
    /// # Errors
    /// The first thing that does not fit.
    pub fn check(&self, program: &Program, limits: StepLimits, cache: CacheSpec) -> Result<(), BackendError> {
        let bad = |message: String| Err(BackendError::BadStep(message));
        let count = self.tokens.len();
        if count == 0 || count > limits.max_tokens {
            return bad(format!("{count} tokens, expected 1 to {}", limits.max_tokens));
        }
        self.check_wanted(limits)?;
        if let Some(id) = self.tokens.iter().find(|&&id| id as usize >= program.vocab_size) {
            return bad(format!("token {id} in a vocabulary of {}", program.vocab_size));
        }
        if self.sequences.len() > limits.max_sequences {
            return bad(format!("{} sequences, at most {}", self.sequences.len(), limits.max_sequences));
        }
        let sum = self.sequences.iter().try_fold(0usize, |sum, s| sum.checked_add(s.num_tokens));
        if sum != Some(count) {
            return bad(format!("{count} tokens, but the sequences say {sum:?}"));
        }
        for (i, s) in self.sequences.iter().enumerate() {
            if s.num_tokens == 0 || s.context_len < s.num_tokens {
                return bad(format!("sequence {i}: {} tokens of a context of {}", s.num_tokens, s.context_len));
            }
            if s.context_len.div_ceil(cache.block_size) > s.block_table.len() {
                return bad(format!("sequence {i}: {} blocks for a context of {}", s.block_table.len(), s.context_len));
            }
            if let Some(block) = s.block_table.iter().find(|&&b| b as usize >= cache.num_blocks) {
                return bad(format!("sequence {i}: block {block} of {}", cache.num_blocks));
            }
        }
        Ok(())
    }

    /// Checks what is asked for of which rows.
    fn check_wanted(&self, limits: StepLimits) -> Result<(), BackendError> {
        let bad = |message: String| Err(BackendError::BadStep(message));
        let (count, wanted) = (self.tokens.len(), self.wanted.len());
        if !self.wanted.is_sorted_by(|a, b| a < b) || self.wanted.last().is_some_and(|&w| w as usize >= count) {
            return bad(format!("wanted rows must ascend below {count}"));
        }
        if !self.sampling.is_empty() && self.sampling.len() != wanted {
            return bad(format!("{} ways to sample {wanted} wanted rows", self.sampling.len()));
        }
        if !self.hidden.is_empty() && self.hidden.len() != wanted {
            return bad(format!("{} marks of hidden states for {wanted} wanted rows", self.hidden.len()));
        }
        let rows = self.rows();
        if rows.logits > limits.max_wanted {
            return bad(format!("{} rows wanted, at most {}", rows.logits, limits.max_wanted));
        }
        if wanted - rows.logits > limits.max_hidden {
            return bad(format!("{} hidden states wanted, at most {}", wanted - rows.logits, limits.max_hidden));
        }
        let both = self.sampling.iter().enumerate().find(|(row, how)| how.is_some() && self.is_hidden(*row));
        if let Some((row, _)) = both {
            return bad(format!("row {row}: a token cannot be chosen from a hidden state"));
        }
        Ok(())
    }
}

/// What a step computed.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StepOutput {
    /// Logits `[rows, vocab]` of the wanted rows of which nothing else was asked for, in their order.
    pub logits: Vec<f32>,
    /// Final hidden states `[rows, hidden]` of the wanted rows marked so, in their order: after the output norm, before
    /// the projection to the vocabulary.
    pub hidden: Vec<f32>,
    /// The tokens chosen on the device `[S]`; `None` where logits or a hidden state were returned. Empty: none was asked
    /// for.
    pub sampled: Vec<Option<SampledToken>>,
    /// The wanted rows whose results hold what is no number, ascending.
    pub bad_rows: Vec<BadRow>,
}

impl StepOutput {
    /// The output of a step that returns the logits of all wanted rows.
    pub fn of_logits(logits: Vec<f32>, vocab_size: usize) -> Self {
        let rows = logits.chunks_exact(vocab_size.max(1)).enumerate();
        let bad_rows = rows.filter_map(|(row, logits)| BadRow::find(row, logits)).collect();
        Self { logits, bad_rows, ..Self::default() }
    }

    /// The output of a step in which nothing was sampled.
    pub fn of_values(step: &StepInput, program: &Program, logits: Vec<f32>, hidden: Vec<f32>) -> Self {
        let mut all_logits = logits.chunks_exact(program.vocab_size.max(1));
        let mut all_hidden = hidden.chunks_exact(program.hidden_size().max(1));
        let bad = |row| match step.is_hidden(row) {
            true => BadRow::find_hidden(row, all_hidden.next()?),
            false => BadRow::find(row, all_logits.next()?),
        };
        let bad_rows = (0..step.wanted.len()).filter_map(bad).collect();
        Self { logits, hidden, sampled: Vec::new(), bad_rows }
    }
}

/// A wanted row whose result holds what is no number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("row {row} of the step: the model computed no number for {what}")]
pub struct BadRow {
    /// Index among the wanted rows.
    pub row: usize,
    /// The first such number.
    pub what: BadNumber,
}

/// What a number would have been.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadNumber {
    /// The logit of this token is NaN or +inf; -inf is a ban and fine.
    Logit(u32),
    /// This element of the hidden state is NaN or infinite.
    Hidden(u32),
}

impl fmt::Display for BadNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Logit(token) => write!(f, "the logit of token {token}"),
            Self::Hidden(element) => write!(f, "element {element} of the hidden state"),
        }
    }
}

impl BadRow {
    /// Looks through the logits of wanted row `row`.
    pub fn find(row: usize, logits: &[f32]) -> Option<Self> {
        let token = first(logits, |x| x.is_nan() || x == f32::INFINITY)?;
        Some(Self { row, what: BadNumber::Logit(token) })
    }

    /// Looks through the hidden state of wanted row `row`.
    pub fn find_hidden(row: usize, hidden: &[f32]) -> Option<Self> {
        let element = first(hidden, |x| !x.is_finite())?;
        Some(Self { row, what: BadNumber::Hidden(element) })
    }
}

/// Where the first bad number is.
fn first(numbers: &[f32], is_bad: impl Fn(f32) -> bool) -> Option<u32> {
    // Counting takes no branch a number, and nearly every row has none.
    let bad: u32 = numbers.iter().map(|&x| u32::from(is_bad(x))).sum();
    if bad == 0 {
        return None;
    }
    numbers.iter().position(|&x| is_bad(x)).map(|at| at as u32)
}

/// Why a backend cannot do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackendError {
    /// The Program names a tensor that the source lacks.
    #[error("tensor `{0}` is missing")]
    MissingTensor(String),
    /// A tensor has another size than the Program says.
    #[error("tensor `{tensor}`: expected {expected} elements, found {found}")]
    TensorSize {
        /// Name.
        tensor: String,
        /// Elements the Program needs.
        expected: usize,
        /// Elements there are.
        found: usize,
    },
    /// Something this backend cannot do with a tensor.
    #[error("tensor `{tensor}`: {reason}")]
    UnsupportedTensor {
        /// Name.
        tensor: String,
        /// Why.
        reason: String,
    },
    /// The Program has an op that this backend lacks.
    #[error("op `{0}` is not supported by this device")]
    UnsupportedOp(&'static str),
    /// The cache cannot be made.
    #[error("KV cache: {0}")]
    BadCache(String),
    /// The step does not fit the model, the limits or the cache: a mistake of the caller.
    #[error("step: {0}")]
    BadStep(String),
    /// Not enough memory.
    #[error("out of memory: {needed} bytes needed for {what}, {available} available")]
    OutOfMemory {
        /// What for.
        what: String,
        /// Bytes needed.
        needed: u64,
        /// Bytes there are.
        available: u64,
    },
    /// An id or ticket that this backend did not hand out, or that is used up.
    #[error("{0} is not known to this backend")]
    UnknownId(String),
    /// The device or a worker failed.
    #[error("device failure: {0}")]
    Device(String),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ProgramBuilder;

    /// Rows of three numbers, normalised and projected to two tokens.
    fn program() -> Program {
        let mut b = ProgramBuilder::new();
        let (table, norm, head) = (b.matrix("embd", 10, 3), b.vector("norm", 3), b.matrix("head", 2, 3));
        let x = b.embed(table, 1.0);
        let x = b.select_rows(x).unwrap();
        let x = b.rms_norm(x, norm, 1e-5).unwrap();
        let logits = b.linear(x, head, None).unwrap();
        let logits = b.scale(logits, 0.5);
        let logits = b.softcap(logits, 30.0);
        b.finish("test", logits, 64).unwrap()
    }

    fn step(wanted: usize, hidden: &[bool]) -> StepInput {
        let (wanted, hidden) = ((0..wanted as u32).collect(), hidden.to_vec());
        let sequences = vec![StepSequence { num_tokens: 4, context_len: 4, block_table: vec![0] }];
        StepInput { tokens: vec![1, 1, 1, 1], sequences, wanted, hidden, ..StepInput::default() }
    }

    #[test]
    fn rows_that_hold_what_is_no_number_are_found() {
        let (nan, inf) = (f32::NAN, f32::INFINITY);
        let step = step(4, &[false, true, false, true]);
        let output =
            StepOutput::of_values(&step, &program(), vec![-inf, 1.0, 2.0, nan], vec![0.0, 1.0, -inf, 0.0, 0.0, 0.0]);
        let bad = [(1, BadNumber::Hidden(2)), (2, BadNumber::Logit(1))].map(|(row, what)| BadRow { row, what });
        assert_eq!(output.bad_rows, bad);
        let texts = bad.map(|bad| bad.to_string());
        let told = "of the step: the model computed no number for";
        assert_eq!(texts[0], format!("row 1 {told} element 2 of the hidden state"));
        assert_eq!(texts[1], format!("row 2 {told} the logit of token 1"));
    }

    #[test]
    fn only_the_rows_of_logits_are_projected() {
        let program = program();
        assert_eq!((program.hidden_size(), program.vocab_size), (3, 2));
        let step = step(3, &[true, false, true]);
        assert_eq!(step.selected_rows().collect::<Vec<_>>(), [1, 0, 2]);
        assert_eq!(step.rows(), RowCounts { tokens: 4, wanted: 3, logits: 1 });
        let rows = |id| program.value(id).rows.count(step.rows());
        assert_eq!((rows(program.hidden), rows(program.output)), (3, 1));
        assert!(program.ops.iter().rev().take(3).all(|op| rows(op.outputs()[0]) == 1), "{program}");
    }

    #[test]
    fn what_is_asked_of_rows_is_checked() {
        let program = program();
        let limits = StepLimits { max_tokens: 4, max_wanted: 2, max_hidden: 1, max_sequences: 1 };
        let cache = CacheSpec { block_size: 16, num_blocks: 1, kv_type: KvType::F16, host_slots: 0 };
        let check = |step: &StepInput| step.check(&program, limits, cache).map_err(|error| error.to_string());
        assert_eq!(check(&step(3, &[false, true, false])), Ok(()));
        let refused = |step: &StepInput, told: &str| assert!(check(step).is_err_and(|e| e.contains(told)), "{told}");
        refused(&step(3, &[]), "3 rows wanted, at most 2");
        refused(&step(3, &[true, true, false]), "2 hidden states wanted, at most 1");
        refused(&step(2, &[true]), "1 marks of hidden states for 2 wanted rows");
        let sampling = vec![None, Some(RowSampling::default())];
        refused(&StepInput { sampling, ..step(2, &[false, true]) }, "row 1: a token cannot be chosen");
    }
}
