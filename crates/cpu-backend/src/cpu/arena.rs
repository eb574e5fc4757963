//! The storage of a step's values.

use std::ops::Range;

use rocmforge_program::{MemoryPlan, Program, RowCounts, Rows, ValueId, plan_memory};

/// One allocation for all values, laid out by liveness.
pub(crate) struct Arena {
    plan: MemoryPlan,
    shapes: Vec<(Rows, usize)>,
    /// The rows of the current step.
    step: RowCounts,
    elements: Vec<f32>,
}

impl Arena {
    pub fn new(program: &Program, most: RowCounts) -> Self {
        let plan = plan_memory(program, most);
        let shapes = program.values.iter().map(|v| (v.rows, v.cols)).collect();
        let elements = vec![0.0; plan.elements];
        Self { plan, shapes, step: RowCounts::default(), elements }
    }

    /// Begins a step: what was there before counts as unwritten.
    pub fn begin(&mut self, step: RowCounts) {
        self.step = step;
        if cfg!(debug_assertions) {
            // A value read before it is written shows up as NaN in the logits.
            self.elements.fill(f32::NAN);
        }
    }

    pub fn rows(&self, id: ValueId) -> usize {
        self.shapes[id.0 as usize].0.count(self.step)
    }

    pub fn cols(&self, id: ValueId) -> usize {
        self.shapes[id.0 as usize].1
    }

    fn range(&self, id: ValueId) -> Range<usize> {
        let start = self.plan.offsets[id.0 as usize];
        start..start + self.rows(id) * self.cols(id)
    }

    pub fn value(&self, id: ValueId) -> &[f32] {
        &self.elements[self.range(id)]
    }

    /// Several values at once, to read some and write others. The plan keeps values that are in use apart.
    ///
    /// # Panics
    /// If two of them share storage, which would be a mistake in the plan.
    pub fn values<const N: usize>(&mut self, ids: [ValueId; N]) -> [&mut [f32]; N] {
        let ranges = ids.map(|id| self.range(id));
        match self.elements.get_disjoint_mut(ranges) {
            Ok(values) => values,
            Err(error) => unreachable!("values {ids:?}: {error}"),
        }
    }

    /// As [`values`](Self::values), for any number.
    pub fn list(&mut self, ids: impl Iterator<Item = ValueId>) -> Vec<&mut [f32]> {
        let mut ranges: Vec<(usize, Range<usize>)> = ids.map(|id| self.range(id)).enumerate().collect();
        ranges.sort_by_key(|(_, r)| r.start);
        let mut rest = self.elements.as_mut_slice();
        let mut done = 0;
        let mut found: Vec<(usize, &mut [f32])> = Vec::with_capacity(ranges.len());
        for (place, range) in ranges {
            let (_, tail) = rest.split_at_mut(range.start - done);
            let (value, tail) = tail.split_at_mut(range.len());
            found.push((place, value));
            done = range.end;
            rest = tail;
        }
        found.sort_by_key(|(place, _)| *place);
        found.into_iter().map(|(_, value)| value).collect()
    }

    /// Whether an op's output has taken over the storage of its input.
    pub fn is_in_place(&self, x: ValueId, out: ValueId) -> bool {
        self.plan.offsets[x.0 as usize] == self.plan.offsets[out.0 as usize]
    }
}
