//! Where each value lives during a step: one arena, reused by liveness.

use crate::{Program, RowCounts, ValueId};

/// Offsets into one arena of f32 elements, for steps of at most so many rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryPlan {
    /// First element of each value, by [`ValueId`].
    pub offsets: Vec<usize>,
    /// Elements of the arena.
    pub elements: usize,
}

/// Every offset is a multiple of this many elements (64 bytes).
const ALIGN: usize = 16;

/// Assigns storage to every value. Two values share elements only if no op needs both, except that an op may write
/// over the input that [`Op::in_place_input`](crate::Op::in_place_input) names when nothing reads it later; then both
/// have the same offset.
pub fn plan_memory(program: &Program, most: RowCounts) -> MemoryPlan {
    let sizes: Vec<usize> =
        program.values.iter().map(|v| (v.rows.count(most) * v.cols).next_multiple_of(ALIGN)).collect();
    let last_use = last_uses(program);
    let mut arena = Arena::default();
    let mut offsets = vec![0; program.values.len()];
    for (at, op) in program.ops.iter().enumerate() {
        let taken_over = op.in_place_input().filter(|x| {
            let out = op.outputs()[0];
            // The other operand may be the same value, which must then survive until it is read.
            let read_once = op.inputs().iter().filter(|i| *i == x).count() == 1;
            last_use[x.0 as usize] == at && sizes[x.0 as usize] == sizes[out.0 as usize] && read_once
        });
        for (i, out) in op.outputs().into_iter().enumerate() {
            offsets[out.0 as usize] = match taken_over.filter(|_| i == 0) {
                Some(x) => offsets[x.0 as usize],
                None => arena.take(sizes[out.0 as usize]),
            };
        }
        let dead = op.inputs().into_iter().chain(op.outputs()).filter(|v| last_use[v.0 as usize] == at);
        for value in dedup(dead).into_iter().filter(|v| Some(*v) != taken_over) {
            arena.give_back(offsets[value.0 as usize], sizes[value.0 as usize]);
        }
    }
    MemoryPlan { offsets, elements: arena.end }
}

fn dedup(values: impl Iterator<Item = ValueId>) -> Vec<ValueId> {
    let mut values: Vec<_> = values.collect();
    values.sort_unstable();
    values.dedup();
    values
}

/// The last op that touches each value; the output and the hidden states outlive the Program.
fn last_uses(program: &Program) -> Vec<usize> {
    let mut last = vec![0; program.values.len()];
    for (at, op) in program.ops.iter().enumerate() {
        for value in op.inputs().into_iter().chain(op.outputs()) {
            last[value.0 as usize] = at;
        }
    }
    last[program.output.0 as usize] = usize::MAX;
    last[program.hidden.0 as usize] = usize::MAX;
    last
}

/// First fit over a sorted list of free ranges.
#[derive(Default)]
struct Arena {
    free: Vec<(usize, usize)>,
    end: usize,
}

impl Arena {
    fn take(&mut self, size: usize) -> usize {
        if let Some(at) = self.free.iter().position(|&(_, len)| len >= size) {
            let (offset, len) = self.free[at];
            if len == size {
                self.free.remove(at);
            } else {
                self.free[at] = (offset + size, len - size);
            }
            return offset;
        }
        // The last free range may reach to the end: grow it instead of leaving a hole.
        let offset = match self.free.last() {
            Some(&(offset, len)) if offset + len == self.end => {
                self.free.pop();
                offset
            }
            _ => self.end,
        };
        self.end = offset + size;
        offset
    }

    fn give_back(&mut self, offset: usize, size: usize) {
        if size == 0 {
            return;
        }
        let at = self.free.partition_point(|&(o, _)| o < offset);
        self.free.insert(at, (offset, size));
        if at + 1 < self.free.len() && offset + size == self.free[at + 1].0 {
            self.free[at].1 += self.free.remove(at + 1).1;
        }
        if at > 0 && self.free[at - 1].0 + self.free[at - 1].1 == offset {
            self.free[at - 1].1 += self.free.remove(at).1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ProgramBuilder;

    fn chain() -> Program {
        let mut b = ProgramBuilder::new();
        let table = b.matrix("embd", 10, 32);
        let (w, norm) = (b.matrix("w", 32, 32), b.vector("n", 32));
        let mut x = b.embed(table, 1.0);
        for _ in 0..4 {
            let h = b.rms_norm(x, norm, 1e-5).unwrap();
            let h = b.linear(h, w, None).unwrap();
            x = b.add(x, h).unwrap();
        }
        let x = b.select_rows(x).unwrap();
        let out = b.linear(x, table, None).unwrap();
        b.finish("chain", out, 64).unwrap()
    }

    #[test]
    fn no_two_live_values_overlap() {
        let mut fused = chain();
        crate::passes::fuse_residual_norms(&mut fused);
        assert!(fused.ops.iter().any(|op| op.outputs().len() == 2));
        check_liveness(&chain());
        check_liveness(&fused);
    }

    const MOST: RowCounts = RowCounts { tokens: 7, wanted: 3, logits: 2 };

    fn check_liveness(program: &Program) {
        let plan = plan_memory(program, MOST);
        let last = last_uses(program);
        let size = |v: usize| program.values[v].rows.count(MOST) * program.values[v].cols;
        for (at, op) in program.ops.iter().enumerate() {
            let live: Vec<usize> = (0..program.values.len())
                .filter(|&v| last[v] > at || op.inputs().iter().chain(&op.outputs()).any(|i| i.0 as usize == v))
                .filter(|&v| program.ops[..=at].iter().any(|o| o.outputs().contains(&ValueId(v as u32))))
                .collect();
            for (i, &a) in live.iter().enumerate() {
                for &b in &live[i + 1..] {
                    let (oa, ob) = (plan.offsets[a], plan.offsets[b]);
                    let in_place = oa == ob
                        && op.outputs().contains(&ValueId(b as u32))
                        && op.in_place_input() == Some(ValueId(a as u32));
                    assert!(oa + size(a) <= ob || ob + size(b) <= oa || in_place, "op {at}: {a} and {b}");
                }
            }
        }
    }

    #[test]
    fn storage_does_not_grow_with_depth() {
        let plan = plan_memory(&chain(), MOST);
        assert!(plan.elements <= 4 * (7 * 32 + ALIGN), "{}", plan.elements);
    }
}
