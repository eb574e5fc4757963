//! The time of a whole step: which launch reads which weights, and the sum of all.

use std::collections::BTreeMap;

use rocmforge_kernels::type_slug;

use super::card::Card;
use super::estimate::{Assumptions, Bound, Time, launch_time};
use super::recording::{Part, Row, Step, StepKind};
use super::shape::{Model, Tensor};

/// A step on a card.
#[derive(Debug, Clone)]
pub struct Estimate {
    pub kind: StepKind,
    pub seconds: f64,
    /// The longest first.
    pub lines: Vec<Line>,
    /// Seconds that memory takes at its full bandwidth, and nothing else.
    pub least_seconds: f64,
}

/// All launches of a kernel in a step.
#[derive(Debug, Clone)]
pub struct Line {
    pub module: String,
    pub kernel: String,
    pub launches: f64,
    /// Of all launches.
    pub time: Time,
    /// Of all launches.
    pub seconds: f64,
    /// Of those launches that take most of the time.
    pub bound: Bound,
}

impl Estimate {
    /// Tokens that the step computes in a second.
    pub fn tokens_per_second(&self) -> f64 {
        self.tokens() / self.seconds
    }

    /// The same at the memory's full bandwidth.
    pub fn most_tokens_per_second(&self) -> f64 {
        self.tokens() / self.least_seconds
    }

    fn tokens(&self) -> f64 {
        (self.kind.tokens * self.kind.sequences) as f64
    }
}

/// Estimates a step.
pub fn estimate(card: &Card, assumed: &Assumptions, model: &Model, step: &Step) -> Estimate {
    let mut lines = BTreeMap::new();
    let mut all_bytes = 0.0;
    for (part, tensors) in step.parts.iter().zip(tensors_of_parts(model)) {
        let times = part.times as f64;
        for (row, bytes) in part.rows.iter().zip(memory_bytes(model, step.kind, part, &tensors)) {
            all_bytes += times * bytes;
            let launches = row.sum.launches.max(1) as f64;
            let time = launch_time(card, assumed, row, bytes / launches);
            let line = lines.entry((&row.key.module, &row.key.kernel)).or_insert_with(|| Line::new(row));
            line.add(&time, times * launches);
        }
    }
    let mut lines: Vec<Line> = lines.into_values().collect();
    lines.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    let seconds = lines.iter().map(|line| line.seconds).sum();
    Estimate { kind: step.kind, seconds, lines, least_seconds: all_bytes / (card.memory_gbs * 1e9) }
}

impl Line {
    fn new(row: &Row) -> Self {
        let Row { key, .. } = row;
        Self {
            module: key.module.clone(),
            kernel: key.kernel.clone(),
            launches: 0.0,
            time: Time::default(),
            seconds: 0.0,
            bound: Bound::Launch,
        }
    }

    fn add(&mut self, time: &Time, launches: f64) {
        let seconds = launches * time.seconds();
        if seconds > self.seconds {
            self.bound = time.bound();
        }
        self.seconds += seconds;
        self.launches += launches;
        self.time.add(time, launches);
    }
}

/// Matrices that each part of a step reads: a layer of each kind, and the last one with the head.
fn tensors_of_parts(model: &Model) -> Vec<Vec<Tensor>> {
    let mut parts: Vec<Vec<Tensor>> = model.layer_kinds().into_iter().map(|kind| model.layer(0, kind)).collect();
    let end = parts.last().into_iter().flatten().cloned().chain(model.head()).collect();
    parts.push(end);
    parts.iter_mut().for_each(|tensors| tensors.retain(Tensor::is_matrix));
    parts
}

/// What each row has to get from memory: matrices once in a step, and the keys and values of the context.
fn memory_bytes(model: &Model, kind: StepKind, part: &Part, tensors: &[Tensor]) -> Vec<f64> {
    let mut bytes = vec![0.0; part.rows.len()];
    let mut types: Vec<_> = tensors.iter().map(|tensor| tensor.ty).collect();
    types.sort_unstable();
    types.dedup();
    for ty in types {
        let of_type: u64 = tensors.iter().filter(|tensor| tensor.ty == ty).map(Tensor::bytes).sum();
        let slug = type_slug(ty);
        share(&mut bytes, &part.rows, of_type as f64, |module| {
            module.strip_prefix("matvec/").or_else(|| module.strip_prefix("gemm/")) == Some(&slug)
        });
    }
    let tokens = kind.sequences * (kind.context + kind.tokens);
    share(&mut bytes, &part.rows, (model.kv_bytes() * tokens) as f64, |module| module.starts_with("attention/"));
    bytes
}

/// Spreads bytes over some rows, by what their lanes ask for.
fn share(bytes: &mut [f64], rows: &[Row], all: f64, is_meant: impl Fn(&str) -> bool) {
    let asked = |row: &Row| if is_meant(&row.key.module) { row.sum.figures.loaded_bytes.max(0) as f64 } else { 0.0 };
    let sum: f64 = rows.iter().map(asked).sum();
    if sum > 0.0 {
        bytes.iter_mut().zip(rows).for_each(|(bytes, row)| *bytes += all * asked(row) / sum);
    }
}

#[cfg(test)]
mod tests {
    use super::super::estimate::tests::row;
    use super::super::launches::Figures;
    use super::*;

    fn matvec(module: &str, loaded_bytes: i64) -> Row {
        let mut row = row(96, Figures { load: 100, loaded_bytes, ..Figures::default() });
        row.key.module = module.into();
        row
    }

    fn step(context: u64) -> Step {
        let rows = vec![matvec("matvec/q4_0", 3000), matvec("matvec/q4_0", 1000), matvec("attention/decode_f16", 10)];
        let parts = [31, 1].map(|times| Part { times, rows: rows.clone() });
        Step { kind: StepKind { sequences: 1, tokens: 1, context }, parts: parts.into() }
    }

    #[test]
    fn a_step_reads_each_weight_once_and_the_context() {
        let model = Model::named("llama-8b:q4_0").unwrap();
        let card = Card::named("rx7900xtx").unwrap();
        let bytes = |context| estimate(card, &Assumptions::USUAL, &model, &step(context)).least_seconds * 960e9;
        let expected = (model.weight_bytes() + 32 * model.kv_bytes()) as f64;
        assert!((bytes(0) - expected).abs() < 1.0, "{} and not {expected}", bytes(0));
        let of_context = (32 * 4096 * 4096) as f64;
        assert!((bytes(4096) - bytes(0) - of_context).abs() < 1.0);
    }

    #[test]
    fn kernels_of_a_type_share_its_weights_by_what_they_load() {
        let model = Model::named("llama-8b:q4_0").unwrap();
        let step = step(0);
        let bytes = memory_bytes(&model, step.kind, &step.parts[0], &tensors_of_parts(&model)[0]);
        assert_eq!(bytes[0], 3.0 * bytes[1]);
        assert_eq!(bytes[2], 4096.0);
    }

    #[test]
    fn nothing_is_faster_than_the_memory() {
        let model = Model::named("llama-8b:q4_0").unwrap();
        for card in super::super::card::CARDS {
            let estimate = estimate(card, &Assumptions::USUAL, &model, &step(4096));
            assert!(estimate.tokens_per_second() < estimate.most_tokens_per_second(), "{}", card.name);
            let sum: f64 = estimate.lines.iter().map(|line| line.seconds).sum();
            assert!((sum / estimate.seconds - 1.0).abs() < 1e-12);
            assert!(estimate.lines.windows(2).all(|pair| pair[0].seconds >= pair[1].seconds));
        }
    }
}
