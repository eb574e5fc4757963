//! Where the time of steps goes, op by op.

use std::collections::BTreeMap;

use rocmforge_program::{LinearPart, Op};

use super::run::Run;
use super::weights::Matrix;
use crate::driver::{Device, Event, HipError, Stream, elapsed_ms};

/// What one kind of op took, over all steps since profiling began.
#[derive(Debug, Clone, PartialEq)]
pub struct ProfileRow {
    /// Name of the op, rows of its input, and for products the types and shapes of their matrices.
    pub op: String,
    /// How often it ran.
    pub count: u64,
    /// Seconds on the device, the gaps between launches included.
    pub seconds: f64,
    /// Bytes of weights that it read.
    pub weight_bytes: u64,
    /// Multiplications and additions of its products.
    pub flops: u64,
}

/// Times ops by events between them.
#[derive(Default)]
pub(super) struct Profile {
    marks: Vec<(Mark, Event)>,
    rows: BTreeMap<String, ProfileRow>,
}

/// What ran before an event.
struct Mark {
    op: String,
    weight_bytes: u64,
    flops: u64,
}

impl Profile {
    /// Notes that what was enqueued since the last mark is `op`.
    fn mark(&mut self, device: &Device, stream: &Stream, mark: Mark) -> Result<(), HipError> {
        let event = device.timing_event()?;
        stream.record(&event)?;
        self.marks.push((mark, event));
        Ok(())
    }

    /// Adds up a step that has ended.
    pub fn collect(&mut self) -> Result<(), HipError> {
        let marks = std::mem::take(&mut self.marks);
        if let Some((_, last)) = marks.last() {
            last.synchronize()?;
        }
        for pair in marks.windows(2) {
            let (mark, event) = &pair[1];
            let seconds = f64::from(elapsed_ms(&pair[0].1, event)?) / 1e3;
            let row = self.rows.entry(mark.op.clone()).or_insert_with(|| ProfileRow {
                op: mark.op.clone(),
                count: 0,
                seconds: 0.0,
                weight_bytes: 0,
                flops: 0,
            });
            row.count += 1;
            row.seconds += seconds;
            row.weight_bytes += mark.weight_bytes;
            row.flops += mark.flops;
        }
        Ok(())
    }

    /// What took longest first; begins anew.
    pub fn take(&mut self) -> Vec<ProfileRow> {
        let mut rows: Vec<_> = std::mem::take(&mut self.rows).into_values().collect();
        rows.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
        rows
    }
}

impl Run<'_> {
    /// Marks the beginning of a step.
    pub(super) fn mark_start(&self) -> Result<(), HipError> {
        self.mark(|| Mark { op: String::new(), weight_bytes: 0, flops: 0 })
    }

    /// Marks the end of something that is no op.
    pub(super) fn mark_named(&self, name: &str) -> Result<(), HipError> {
        self.mark(|| Mark { op: name.to_string(), weight_bytes: 0, flops: 0 })
    }

    /// Marks the end of an op.
    pub(super) fn mark_op(&self, op: &Op) -> Result<(), HipError> {
        self.mark(|| self.describe(op))
    }

    fn mark(&self, mark: impl FnOnce() -> Mark) -> Result<(), HipError> {
        let Some(profile) = &self.model.profile else { return Ok(()) };
        profile.borrow_mut().mark(self.stream.device(), self.stream, mark())
    }

    fn describe(&self, op: &Op) -> Mark {
        let rows = op.inputs().first().map_or(self.kind.shape.tokens, |&x| self.rows(x));
        let matrices = match op {
            Op::Linear { weight, .. } => vec![*weight],
            Op::Linears { parts, .. } => parts.iter().map(|part: &LinearPart| part.weight).collect(),
            Op::ExpertLinear { weight, .. } => vec![*weight],
            _ => vec![],
        };
        let matrices: Vec<&Matrix> = matrices.iter().filter_map(|&id| self.model.weights.matrix(id).ok()).collect();
        let shapes: Vec<_> = matrices.iter().map(|m| format!("{} {}x{}", m.ty, m.rows, m.cols)).collect();
        let name = format!("{} [{rows}] {}", op.name(), shapes.join(", "));
        let outs = op.outputs().first().map_or(rows, |&out| self.rows(out)) as u64;
        let elements: u64 = matrices.iter().map(|m| (m.rows * m.cols) as u64).sum();
        let bytes = |m: &&Matrix| {
            (m.rows * m.cols / m.ty.block_elems() * m.ty.block_bytes()) as u64 * (m.experts as u64).min(outs)
        };
        Mark {
            op: name.trim_end().to_string(),
            weight_bytes: matrices.iter().map(bytes).sum(),
            flops: 2 * elements * outs,
        }
    }
}
