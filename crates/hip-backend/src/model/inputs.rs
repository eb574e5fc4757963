//! What a step brings to the device: one block of 32-bit words, copied at once.

use rocmforge_program::RowCounts;
use rocmforge_program::backend::StepInput;

/// Slot of a token that is only padding: nothing is written to the cache for it.
pub(crate) const NO_SLOT: u32 = u32::MAX;

/// The sizes that decide where each array lies. Steps of equal shape can replay one graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Shape {
    /// Tokens, padding included.
    pub tokens: usize,
    /// Sequences, padding included.
    pub sequences: usize,
    /// Wanted rows, padding included.
    pub wanted: usize,
    /// Those of them whose logits are wanted, padding included.
    pub logits: usize,
    /// Entries of a block table.
    pub table_stride: usize,
    /// Query tiles of prefill attention.
    pub tiles: usize,
    /// Rows that attend one by one beside them.
    pub lone_rows: usize,
}

impl Shape {
    /// How many rows values have.
    pub fn rows(self) -> RowCounts {
        RowCounts { tokens: self.tokens, wanted: self.wanted, logits: self.logits }
    }
}

/// Word offsets of the arrays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Token ids `[T]`.
    pub tokens: usize,
    /// Positions `[T]`.
    pub positions: usize,
    /// Cache slots `[T]`: block * block_size + offset, or [`NO_SLOT`].
    pub slots: usize,
    /// Index of each token's sequence `[T]`.
    pub token_sequence: usize,
    /// How many positions each token sees, its own included `[T]`; 0 for padding.
    pub query_context: usize,
    /// Tokens of each sequence after the step `[N]`.
    pub context_len: usize,
    /// First token of each sequence in the step `[N + 1]`.
    pub query_start: usize,
    /// Wanted rows `[S]`: those of logits, then those of hidden states.
    pub wanted: usize,
    /// Block tables `[N, table_stride]`.
    pub block_tables: usize,
    /// Sequence of each query tile.
    pub tile_sequence: usize,
    /// First token of each query tile, counted from its sequence's first in this step.
    pub tile_first: usize,
    /// Rows that attend one by one.
    pub lone_rows: usize,
    /// Words in all.
    pub words: usize,
}

impl Layout {
    /// Packs the arrays of a shape one after the other, each at a multiple of 16 bytes.
    pub fn of(shape: Shape) -> Self {
        let mut end = 0;
        let mut next = |words: usize| {
            let at = end;
            end += words.next_multiple_of(4);
            at
        };
        Self {
            tokens: next(shape.tokens),
            positions: next(shape.tokens),
            slots: next(shape.tokens),
            token_sequence: next(shape.tokens),
            query_context: next(shape.tokens),
            context_len: next(shape.sequences),
            query_start: next(shape.sequences + 1),
            wanted: next(shape.wanted),
            block_tables: next(shape.sequences * shape.table_stride),
            tile_sequence: next(shape.tiles),
            tile_first: next(shape.tiles),
            lone_rows: next(shape.lone_rows),
            words: end,
        }
    }
}

/// One tile of queries of one sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tile {
    /// Index of the sequence.
    pub sequence: u32,
    /// First token of the tile, counted from the sequence's first in this step.
    pub first: u32,
}

/// How the tokens of a step attend, if not all of them one by one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Attending {
    pub tiles: Vec<Tile>,
    /// The rows that are in no tile.
    pub lone_rows: Vec<u32>,
}

/// Cuts the tokens of each sequence into tiles of `size` queries, but for sequences of up to `few` tokens.
pub(crate) fn attending(step: &StepInput, size: usize, few: usize) -> Attending {
    let mut attending = Attending::default();
    let mut row = 0;
    for (i, sequence) in step.sequences.iter().enumerate() {
        let end = row + sequence.num_tokens as u32;
        if sequence.num_tokens <= few {
            attending.lone_rows.extend(row..end);
        } else {
            let first = (0..sequence.num_tokens).step_by(size);
            attending.tiles.extend(first.map(|first| Tile { sequence: i as u32, first: first as u32 }));
        }
        row = end;
    }
    attending
}

/// Writes a step into its block of words. Padding tokens are token 0 at position 0, see nothing and write nothing;
/// padding rows repeat row 0.
pub(crate) fn write(step: &StepInput, shape: Shape, block_size: usize, attending: &Attending, words: &mut [u32]) {
    let layout = Layout::of(shape);
    words[..layout.words].fill(0);
    words[layout.slots..][..shape.tokens].fill(NO_SLOT);
    words[layout.tokens..][..step.tokens.len()].copy_from_slice(&step.tokens);
    words[layout.wanted..].iter_mut().zip(step.selected_rows()).for_each(|(word, row)| *word = row);
    let mut at = 0;
    for (i, sequence) in step.sequences.iter().enumerate() {
        words[layout.context_len + i] = sequence.context_len as u32;
        words[layout.query_start + i] = at as u32;
        let used = sequence.context_len.div_ceil(block_size);
        words[layout.block_tables + i * shape.table_stride..][..used].copy_from_slice(&sequence.block_table[..used]);
        for position in sequence.first_position()..sequence.context_len {
            let block = sequence.block_table[position / block_size];
            words[layout.positions + at] = position as u32;
            words[layout.slots + at] = block * block_size as u32 + (position % block_size) as u32;
            words[layout.token_sequence + at] = i as u32;
            words[layout.query_context + at] = position as u32 + 1;
            at += 1;
        }
    }
    words[layout.query_start + step.sequences.len()..][..shape.sequences + 1 - step.sequences.len()].fill(at as u32);
    for (i, tile) in attending.tiles.iter().enumerate() {
        words[layout.tile_sequence + i] = tile.sequence;
        words[layout.tile_first + i] = tile.first;
    }
    words[layout.lone_rows..][..attending.lone_rows.len()].copy_from_slice(&attending.lone_rows);
}

#[cfg(test)]
mod tests {
    use super::*;
    use rocmforge_program::backend::StepSequence;

    #[test]
    fn a_padded_step_is_laid_out_in_words() {
        let step = StepInput {
            tokens: vec![7, 8, 9],
            sequences: vec![
                StepSequence { num_tokens: 2, context_len: 18, block_table: vec![5, 3, 9] },
                StepSequence { num_tokens: 1, context_len: 1, block_table: vec![4] },
            ],
            wanted: vec![1, 2],
            hidden: vec![true, false],
            sampling: vec![],
        };
        let shape = Shape { tokens: 4, sequences: 3, wanted: 2, logits: 1, table_stride: 3, tiles: 1, lone_rows: 1 };
        let layout = Layout::of(shape);
        let mut words = vec![u32::MAX; layout.words];
        write(&step, shape, 16, &attending(&step, 16, 1), &mut words);
        let at = |offset: usize, n: usize| &words[offset..][..n];
        assert_eq!(at(layout.tokens, 4), [7, 8, 9, 0]);
        assert_eq!(at(layout.positions, 4), [16, 17, 0, 0]);
        assert_eq!(at(layout.slots, 4), [48, 49, 64, NO_SLOT]);
        assert_eq!(at(layout.token_sequence, 4), [0, 0, 1, 0]);
        assert_eq!(at(layout.query_context, 4), [17, 18, 1, 0]);
        assert_eq!(at(layout.context_len, 3), [18, 1, 0]);
        assert_eq!(at(layout.query_start, 4), [0, 2, 3, 3]);
        assert_eq!(at(layout.wanted, 2), [2, 1]);
        assert_eq!(at(layout.block_tables, 9), [5, 3, 0, 4, 0, 0, 0, 0, 0]);
        assert_eq!((at(layout.tile_sequence, 1), at(layout.tile_first, 1)), (&[0][..], &[0][..]));
        assert_eq!(at(layout.lone_rows, 1), [2]);
    }

    #[test]
    fn long_sequences_have_several_tiles_and_short_ones_none() {
        let sequence = |n| StepSequence { num_tokens: n, context_len: n, block_table: vec![] };
        let sequences = [33, 2, 16, 1].map(sequence).to_vec();
        let attending = attending(&StepInput { sequences, ..StepInput::default() }, 16, 2);
        let found: Vec<_> = attending.tiles.iter().map(|t| (t.sequence, t.first)).collect();
        assert_eq!(found, [(0, 0), (0, 16), (0, 32), (2, 0)]);
        assert_eq!(attending.lone_rows, [33, 34, 51]);
    }
}
