//! The reference interpreter: one op at a time, naive loops, values in f32 and sums in f64.
//!
//! It is for reading and for testing: slow, with every weight expanded to f32, and the oracle of the fast one.

use std::sync::Arc;

use half::f16;
use rocmforge_attention::{AttentionSpec, RopeSpec};
use rocmforge_program::backend::{
    Backend, BackendError, BlockMove, CacheId, CacheSpec, DeviceInfo, KvType, ModelId, StepInput, StepLimits,
    StepOutput, StepSequence, StepTicket, WeightSource,
};
use rocmforge_program::{
    Activation, CacheLayer, ExpertSelection, NormKind, Op, Program, RouteSpec, Scoring, ValueId, WeightId,
};

use crate::kv;
use crate::registry::Registry;
use rocmforge_program::weights;

/// Naive f32 interpreter of Programs.
pub struct ReferenceBackend {
    info: DeviceInfo,
    registry: Registry<Model, Cache>,
}

struct Model {
    program: Program,
    limits: StepLimits,
    weights: Vec<Vec<f32>>,
}

/// Keys and values of each layer, `[slots, width]`, one slot a token of the blocks and of the host's slots behind them.
struct Cache {
    spec: CacheSpec,
    layers: Vec<(CacheLayer, Vec<f32>, Vec<f32>)>,
}

impl Default for ReferenceBackend {
    fn default() -> Self {
        Self::new()
    }
}

impl ReferenceBackend {
    /// A backend without models.
    pub fn new() -> Self {
        let info = DeviceInfo { name: "CPU, reference interpreter".into(), memory_bytes: None };
        Self { info, registry: Registry::new() }
    }
}

impl Backend for ReferenceBackend {
    fn device(&self) -> &DeviceInfo {
        &self.info
    }

    fn load(
        &mut self,
        program: &Program,
        source: Arc<dyn WeightSource>,
        limits: StepLimits,
    ) -> Result<ModelId, BackendError> {
        let mut expanded = vec![Vec::new(); program.weights.len()];
        for id in weights::used_weights(program) {
            expanded[id.0 as usize] = weights::as_f32(&*source, program.weight(id))?;
        }
        Ok(self.registry.add_model(Model { program: program.clone(), limits, weights: expanded }))
    }

    fn make_cache(&mut self, model: ModelId, spec: CacheSpec) -> Result<CacheId, BackendError> {
        let program = &self.registry.model(model)?.program;
        if spec.block_size == 0 {
            return Err(BackendError::BadCache("blocks of 0 tokens".into()));
        }
        let slots = spec.block_size * (spec.num_blocks + spec.host_slots);
        let layer = |l: &CacheLayer| {
            let rows = |width: usize| vec![0.0; slots * l.num_kv_heads * width];
            (l.clone(), rows(l.head_dim), rows(l.value_dim))
        };
        let layers = program.cache_layers.iter().map(layer).collect();
        Ok(self.registry.add_cache(model, Cache { spec, layers }))
    }

    fn submit(&mut self, model: ModelId, cache: CacheId, step: &StepInput) -> Result<StepTicket, BackendError> {
        let (model, cache) = self.registry.pair(model, cache)?;
        step.check(&model.program, model.limits, cache.spec)?;
        let (logits, hidden) = Run { model, step, cache, values: vec![Vec::new(); model.program.values.len()] }.all();
        let output = StepOutput::of_values(step, &model.program, logits, hidden);
        Ok(self.registry.finish(output))
    }

    fn wait(&mut self, ticket: StepTicket) -> Result<StepOutput, BackendError> {
        self.registry.fetch(ticket)
    }

    fn move_blocks(&mut self, cache: CacheId, moves: &[BlockMove]) -> Result<(), BackendError> {
        let cache = self.registry.cache(cache)?;
        BlockMove::check(moves, cache.spec)?;
        let num_blocks = cache.spec.num_blocks;
        for (_, k, v) in &mut cache.layers {
            for rows in [k, v] {
                // Host slots lie behind the blocks.
                let block = rows.len() / (num_blocks + cache.spec.host_slots).max(1);
                let slot = |slot: u32| num_blocks + slot as usize;
                for moved in moves {
                    let (from, to) = match *moved {
                        BlockMove::Copy { from, to } => (from as usize, to as usize),
                        BlockMove::Save { block, slot: to } => (block as usize, slot(to)),
                        BlockMove::Load { slot: from, block } => (slot(from), block as usize),
                    };
                    rows.copy_within(from * block..(from + 1) * block, to * block);
                }
            }
        }
        Ok(())
    }
}

struct Run<'a> {
    model: &'a Model,
    step: &'a StepInput,
    cache: &'a mut Cache,
    values: Vec<Vec<f32>>,
}

impl Run<'_> {
    /// Runs every op and returns logits and hidden states.
    fn all(mut self) -> (Vec<f32>, Vec<f32>) {
        let program = &self.model.program;
        for op in &program.ops {
            self.one(op);
        }
        let logits = self.step.rows().logits;
        let hidden = self.value(program.hidden)[logits * program.hidden_size()..].to_vec();
        let mut output = std::mem::take(&mut self.values[program.output.0 as usize]);
        output.truncate(logits * program.vocab_size);
        (output, hidden)
    }

    fn rows(&self, id: ValueId) -> usize {
        self.model.program.value(id).rows.count(self.step.rows())
    }

    fn value(&self, id: ValueId) -> &[f32] {
        &self.values[id.0 as usize]
    }

    fn cols(&self, id: ValueId) -> usize {
        self.model.program.value(id).cols
    }

    fn weight(&self, id: WeightId) -> &[f32] {
        &self.model.weights[id.0 as usize]
    }

    fn put(&mut self, id: ValueId, value: Vec<f32>) {
        self.values[id.0 as usize] = value;
    }

    fn one(&mut self, op: &Op) {
        match op {
            Op::Embed { table, scale, out } => {
                let cols = self.cols(*out);
                let table = self.weight(*table);
                let row = |&id: &u32| table[id as usize * cols..][..cols].iter().map(|x| x * scale);
                let rows = self.step.tokens.iter().flat_map(row).collect();
                self.put(*out, rows);
            }
            Op::Norm { kind, x, group, eps, weight, bias, out } => {
                let cols = self.cols(*x);
                let mut y = self.value(*x).to_vec();
                self.norm(*kind, &mut y, *group, cols, *eps, *weight, *bias);
                self.put(*out, y);
            }
            Op::AddNorm { a, b, sum, kind, eps, weight, bias, out } => {
                let cols = self.cols(*a);
                let total: Vec<f32> = self.value(*a).iter().zip(self.value(*b)).map(|(a, b)| a + b).collect();
                let mut y = total.clone();
                self.norm(*kind, &mut y, cols, cols, *eps, *weight, *bias);
                self.put(*sum, total);
                self.put(*out, y);
            }
            Op::Linear { x, weight, bias, out } => self.linear(*x, *weight, *bias, *out),
            Op::Linears { x, parts } => parts.iter().for_each(|p| self.linear(*x, p.weight, p.bias, p.out)),
            Op::Rope { x, head_dim, spec, out } => {
                let mut y = self.value(*x).to_vec();
                self.rotate_rows(&mut y, self.cols(*x), *head_dim, spec);
                self.put(*out, y);
            }
            Op::RotaryAttention { q, k, v, q_heads, k_heads, layer, spec, sinks, out } => {
                for (id, heads) in [(*q, q_heads), (*k, k_heads)] {
                    let (mut y, cols) = (self.value(id).to_vec(), self.cols(id));
                    if let Some((weight, eps)) = heads.norm {
                        self.norm(NormKind::Rms, &mut y, spec.head_dim, cols, eps, Some(weight), None);
                    }
                    if let Some(rope) = &heads.rope {
                        self.rotate_rows(&mut y, cols, spec.head_dim, rope);
                    }
                    self.put(id, y);
                }
                let y = self.attention(*q, *k, *v, *layer, spec, *sinks);
                self.put(*out, y);
            }
            Op::Attention { q, k, v, layer, spec, sinks, out } => {
                let y = self.attention(*q, *k, *v, *layer, spec, *sinks);
                self.put(*out, y);
            }
            Op::Gate { gate, up, activation, out } => {
                let (cols, gate_cols) = (self.cols(*out), self.cols(*gate));
                let gate = self.value(*gate);
                let up = up.map(|u| self.value(u));
                let rows = gate.len() / gate_cols;
                let one = |i: usize| {
                    let g = if gate_cols == cols { gate[i] } else { gate[i / cols] };
                    activate(*activation, g, up.map(|u| u[i]))
                };
                let y = (0..rows * cols).map(one).collect();
                self.put(*out, y);
            }
            Op::Add { a, b, out } => {
                let y = self.value(*a).iter().zip(self.value(*b)).map(|(a, b)| a + b).collect();
                self.put(*out, y);
            }
            Op::Scale { x, factor, out } => {
                let y = self.value(*x).iter().map(|x| x * factor).collect();
                self.put(*out, y);
            }
            Op::Softcap { x, cap, out } => {
                let y = self.value(*x).iter().map(|x| cap * (x / cap).tanh()).collect();
                self.put(*out, y);
            }
            Op::Route { scores, spec, bias, selection } => {
                let bias = bias.map(|b| self.weight(b));
                let (mut ids, mut weights) = (Vec::new(), Vec::new());
                for row in self.value(*scores).chunks_exact(spec.experts) {
                    for (expert, weight) in route(spec, row, bias) {
                        ids.push(expert as f32);
                        weights.push(weight);
                    }
                }
                self.put(selection.ids, ids);
                self.put(selection.weights, weights);
            }
            Op::ExpertLinear { x, selection, weight, bias, out } => {
                let y = self.expert_linear(*x, *selection, *weight, *bias);
                self.put(*out, y);
            }
            Op::ExpertSum { x, selection, out } => {
                let (cols, chosen) = (self.cols(*x), self.cols(selection.weights));
                let weights = self.value(selection.weights);
                let x = self.value(*x);
                let one = |i: usize| {
                    let (token, col) = (i / cols, i % cols);
                    let pick = |e: usize| {
                        f64::from(weights[token * chosen + e]) * f64::from(x[(token * chosen + e) * cols + col])
                    };
                    (0..chosen).map(pick).sum::<f64>() as f32
                };
                let y = (0..x.len() / chosen).map(one).collect();
                self.put(*out, y);
            }
            Op::SelectRows { x, out } => {
                let cols = self.cols(*x);
                let x = self.value(*x);
                let y = self.step.selected_rows().flat_map(|t| x[t as usize * cols..][..cols].to_vec()).collect();
                self.put(*out, y);
            }
        }
    }

    #[allow(clippy::too_many_arguments, reason = "the fields of the op")]
    fn norm(
        &self,
        kind: NormKind,
        y: &mut [f32],
        group: usize,
        cols: usize,
        eps: f32,
        weight: Option<WeightId>,
        bias: Option<WeightId>,
    ) {
        y.chunks_exact_mut(group).for_each(|row| normalize(kind, row, eps));
        let at = |w: &[f32], i: usize| w[(i % cols) % w.len()];
        if let Some(w) = weight.map(|w| self.weight(w)) {
            y.iter_mut().enumerate().for_each(|(i, y)| *y *= at(w, i));
        }
        if let Some(b) = bias.map(|b| self.weight(b)) {
            y.iter_mut().enumerate().for_each(|(i, y)| *y += at(b, i));
        }
    }

    fn rotate_rows(&self, y: &mut [f32], cols: usize, head_dim: usize, spec: &RopeSpec) {
        for (row, position) in y.chunks_exact_mut(cols).zip(positions(self.step)) {
            row.chunks_exact_mut(head_dim).for_each(|head| rotate(spec, position, head));
        }
    }

    fn linear(&mut self, x: ValueId, weight: WeightId, bias: Option<WeightId>, out: ValueId) {
        let cols = self.cols(x);
        let bias = bias.map(|b| self.weight(b));
        let rows = self.value(x).chunks_exact(cols).take(self.rows(out));
        let y = rows.flat_map(|row| matrix_vector(self.weight(weight), row, bias)).collect();
        self.put(out, y);
    }

    fn expert_linear(
        &self,
        x: ValueId,
        selection: ExpertSelection,
        weight: WeightId,
        bias: Option<WeightId>,
    ) -> Vec<f32> {
        let shape = self.model.program.weight(weight);
        let (rows, cols, chosen) = (shape.rows, shape.cols, self.cols(selection.ids));
        let x = self.value(x);
        let ids = self.value(selection.ids);
        // A row a token serves all its experts; otherwise each expert has its own row.
        let shared = x.len() / cols != ids.len();
        let one = |(i, &expert): (usize, &f32)| {
            let expert = expert as usize;
            let row = if shared { i / chosen } else { i };
            let bias = bias.map(|b| &self.weight(b)[expert * rows..][..rows]);
            matrix_vector(&self.weight(weight)[expert * rows * cols..][..rows * cols], &x[row * cols..][..cols], bias)
        };
        ids.iter().enumerate().flat_map(one).collect()
    }

    fn attention(
        &mut self,
        q: ValueId,
        k: ValueId,
        v: ValueId,
        layer: usize,
        spec: &AttentionSpec,
        sinks: Option<WeightId>,
    ) -> Vec<f32> {
        let (keys, values) =
            (std::mem::take(&mut self.values[k.0 as usize]), std::mem::take(&mut self.values[v.0 as usize]));
        let mut out = Vec::new();
        let mut first = 0;
        for sequence in &self.step.sequences {
            let count = sequence.num_tokens;
            let slot = |p: usize| slot(self.cache.spec, sequence, p);
            let (_, k_cache, v_cache) = &mut self.cache.layers[layer];
            for i in 0..count {
                let at = slot(sequence.first_position() + i);
                store(
                    self.cache.spec.kv_type,
                    k_cache,
                    at,
                    &keys[(first + i) * spec.key_width()..][..spec.key_width()],
                );
                store(
                    self.cache.spec.kv_type,
                    v_cache,
                    at,
                    &values[(first + i) * spec.value_width()..][..spec.value_width()],
                );
            }
            let gather = |cache: &[f32], width: usize| -> Vec<f32> {
                (0..sequence.context_len).flat_map(|p| cache[slot(p) * width..][..width].to_vec()).collect()
            };
            let (k, v) = (gather(k_cache, spec.key_width()), gather(v_cache, spec.value_width()));
            let q = &self.values[q.0 as usize][first * spec.query_width()..][..count * spec.query_width()];
            let sinks = sinks.map(|s| &*self.model.weights[s.0 as usize]);
            out.extend(rocmforge_attention::reference::attention(spec, q, &k, &v, sinks));
            first += count;
        }
        self.values[k.0 as usize] = keys;
        self.values[v.0 as usize] = values;
        out
    }
}

fn slot(spec: CacheSpec, sequence: &StepSequence, position: usize) -> usize {
    sequence.block_table[position / spec.block_size] as usize * spec.block_size + position % spec.block_size
}

fn positions(step: &StepInput) -> impl Iterator<Item = usize> {
    step.sequences.iter().flat_map(|s| s.first_position()..s.context_len)
}

/// Stores a row as the cache type would keep it.
fn store(kv_type: KvType, cache: &mut [f32], slot: usize, row: &[f32]) {
    let kept = &mut cache[slot * row.len()..][..row.len()];
    match kv_type {
        KvType::F32 => kept.copy_from_slice(row),
        KvType::F16 => kept.iter_mut().zip(row).for_each(|(k, &x)| *k = f16::from_f32(x).to_f32()),
        KvType::Bf16 => kept.iter_mut().zip(row).for_each(|(k, &x)| *k = kv::from_bf16(kv::to_bf16(x))),
        KvType::F8E4M3 => kept.iter_mut().zip(row).for_each(|(k, &x)| *k = kv::from_e4m3(kv::to_e4m3(x))),
        KvType::Q8_0 => {
            for (kept, row) in kept.chunks_mut(32).zip(row.chunks(32)) {
                let scale = row.iter().fold(0f32, |m, x| m.max(x.abs())) / 127.0;
                let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
                let scale = f16::from_f32(scale).to_f32();
                kept.iter_mut().zip(row).for_each(|(k, &x)| *k = (x * inverse).round() * scale);
            }
        }
    }
}

fn matrix_vector(matrix: &[f32], x: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
    let dot = |row: &[f32]| row.iter().zip(x).map(|(&w, &x)| f64::from(w) * f64::from(x)).sum::<f64>();
    let row = |(r, row): (usize, &[f32])| (dot(row) + bias.map_or(0.0, |b| f64::from(b[r]))) as f32;
    matrix.chunks_exact(x.len()).enumerate().map(row).collect()
}

fn normalize(kind: NormKind, row: &mut [f32], eps: f32) {
    let n = row.len() as f64;
    let mean = match kind {
        NormKind::Rms => 0.0,
        NormKind::Layer => row.iter().map(|&x| f64::from(x)).sum::<f64>() / n,
    };
    let variance = row.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / n;
    let inverse = 1.0 / (variance + f64::from(eps)).sqrt();
    row.iter_mut().for_each(|x| *x = ((f64::from(*x) - mean) * inverse) as f32);
}

fn rotate(spec: &RopeSpec, position: usize, head: &mut [f32]) {
    let dims = head.len();
    rocmforge_attention::reference::rope(spec, dims, &[position], head);
}

fn activate(activation: Activation, gate: f32, up: Option<f32>) -> f32 {
    let x = f64::from(gate);
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let y = match activation {
        Activation::Silu => x * sigmoid(x),
        Activation::Gelu => {
            0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3))).tanh())
        }
        Activation::GeluErf => 0.5 * x * (1.0 + erf(x / std::f64::consts::SQRT_2)),
        Activation::Relu => x.max(0.0),
        Activation::ReluSquared => x.max(0.0).powi(2),
        Activation::Sigmoid => sigmoid(x),
        Activation::SwigluClamped { alpha, limit } => {
            let g = x.min(f64::from(limit));
            let up = up.map_or(0.0, |u| f64::from(u.clamp(-limit, limit)));
            return (g * sigmoid(f64::from(alpha) * g) * (up + 1.0)) as f32;
        }
    };
    (y * up.map_or(1.0, f64::from)) as f32
}

/// The error function: its Maclaurin series where that converges quickly, a continued fraction of `erfc` elsewhere
/// (Abramowitz and Stegun 7.1.5 and 7.1.14).
fn erf(x: f64) -> f64 {
    let a = x.abs();
    if a > 6.0 {
        return x.signum();
    }
    if a < 2.5 {
        let (mut term, mut sum) = (a, a);
        for n in 1..60 {
            term *= -a * a / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        return 2.0 / std::f64::consts::PI.sqrt() * sum * x.signum();
    }
    let tail = (1..=60).rev().fold(0.0, |tail, n| f64::from(n) / 2.0 / (a + tail));
    (1.0 - (-a * a).exp() / std::f64::consts::PI.sqrt() / (a + tail)) * x.signum()
}

/// The chosen experts of one token with their weights, best first; ties go to the lower id.
fn route(spec: &RouteSpec, scores: &[f32], bias: Option<&[f32]>) -> Vec<(usize, f32)> {
    let probabilities: Vec<f64> = match spec.scoring {
        Scoring::Softmax => softmax(scores),
        Scoring::Sigmoid => scores.iter().map(|&s| 1.0 / (1.0 + (-f64::from(s)).exp())).collect(),
        Scoring::SoftmaxChosen => scores.iter().map(|&s| f64::from(s)).collect(),
    };
    let rank: Vec<f64> =
        probabilities.iter().enumerate().map(|(e, p)| p + bias.map_or(0.0, |b| f64::from(b[e]))).collect();
    let open = open_groups(spec, &rank);
    let mut order: Vec<usize> = (0..spec.experts).filter(|e| open[e / (spec.experts / spec.groups)]).collect();
    order.sort_by(|&a, &b| rank[b].total_cmp(&rank[a]));
    order.truncate(spec.chosen);
    let mut weights: Vec<f64> = order.iter().map(|&e| probabilities[e]).collect();
    if spec.scoring == Scoring::SoftmaxChosen {
        let chosen: Vec<f32> = order.iter().map(|&e| scores[e]).collect();
        weights = softmax(&chosen);
    }
    let total = if spec.normalize { weights.iter().sum::<f64>() } else { 1.0 };
    order.into_iter().zip(weights.iter().map(|w| (w / total * f64::from(spec.scale)) as f32)).collect()
}

/// Which groups take part: those with the largest sums of their two best experts.
fn open_groups(spec: &RouteSpec, rank: &[f64]) -> Vec<bool> {
    let mut open = vec![spec.groups_chosen == spec.groups; spec.groups];
    if spec.groups_chosen < spec.groups {
        let best_two = |group: &[f64]| {
            let mut sorted = group.to_vec();
            sorted.sort_by(|a, b| b.total_cmp(a));
            sorted.iter().take(2).sum::<f64>()
        };
        let sums: Vec<f64> = rank.chunks_exact(spec.experts / spec.groups).map(best_two).collect();
        let mut order: Vec<usize> = (0..spec.groups).collect();
        order.sort_by(|&a, &b| sums[b].total_cmp(&sums[a]));
        order.into_iter().take(spec.groups_chosen).for_each(|g| open[g] = true);
    }
    open
}

fn softmax(scores: &[f32]) -> Vec<f64> {
    let max = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exps: Vec<f64> = scores.iter().map(|&s| f64::from(s - max).exp()).collect();
    let total: f64 = exps.iter().sum();
    exps.iter().map(|e| e / total).collect()
}
