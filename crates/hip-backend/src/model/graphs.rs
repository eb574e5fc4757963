//! Steps that only decode, recorded once and replayed.

use std::collections::HashMap;

use super::run::{Kind, Run};
use crate::driver::GraphExec;
use crate::error::Failure;

/// Graphs that are kept. Each takes device memory, so when a kind beyond these comes all of them make room.
const MAX_GRAPHS: usize = 96;

/// What is known of one kind of step.
enum Seen {
    /// It came once.
    Once,
    /// It came again and was recorded.
    Recorded(GraphExec),
}

/// The graphs of one cache.
#[derive(Default)]
pub(super) struct Graphs {
    kinds: HashMap<Kind, Seen>,
}

/// The number of rows with which a step of `rows` tokens is recorded. Up to eight each number has kernels of its own,
/// whose results do not depend on it; beyond, a few sizes serve all.
pub(super) fn bucket(rows: usize) -> usize {
    match rows {
        0..=8 => rows,
        9..=64 => rows.next_multiple_of(8),
        _ => rows.next_multiple_of(32),
    }
}

impl Graphs {
    /// Runs a step: as it is when its kind is new, recorded and replayed when it comes again.
    pub(super) fn run(&mut self, run: &Run<'_>) -> Result<(), Failure> {
        match self.kinds.get(&run.kind) {
            Some(Seen::Recorded(graph)) => return Ok(graph.launch(run.stream)?),
            Some(Seen::Once) => {}
            None => {
                if self.kinds.len() >= MAX_GRAPHS {
                    self.kinds.clear();
                }
                self.kinds.insert(run.kind, Seen::Once);
                return run.all();
            }
        }
        // Every address that the graph holds belongs to the model or to the cache that owns this graph.
        let graph = run.stream.capture(|_| run.all())?.instantiate(Vec::new())?;
        graph.launch(run.stream)?;
        self.kinds.insert(run.kind, Seen::Recorded(graph));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_sizes_serve_all_batches() {
        assert!((1..=8).all(|n| bucket(n) == n));
        assert_eq!([9, 16, 17, 64, 65, 96, 97].map(bucket), [16, 16, 24, 64, 96, 96, 128]);
    }
}
