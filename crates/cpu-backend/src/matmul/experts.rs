//! Mixtures of experts: each token meets a few of many matrices.

use super::activations::Input;
use super::error::{MatmulError, check};
use super::pack::PackedMatrix;
use super::schedule::{Work, run};
use super::{fits, length};
use crate::pool::{Parts, Pool};

/// Which tokens go to which expert. Slot `t * k + j` is the `j`-th expert of token `t`; slots are
/// kept sorted by expert, so that each expert's weights are read once for all its tokens.
///
/// Reusable: building it again allocates only if it grows.
#[derive(Debug, Default, Clone)]
pub struct Routing {
    per_token: usize,
    /// By expert.
    slots: Vec<u32>,
    /// The tokens of `slots`.
    tokens: Vec<u32>,
    /// Where each expert's slots begin, and after the last, where they end.
    starts: Vec<u32>,
}

/// Which row of the input belongs to a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rows {
    /// The slot's token: the input is `[tokens, cols]`.
    Tokens,
    /// The slot itself: the input is `[tokens * k, cols]`.
    Slots,
}

impl Routing {
    /// Nothing routed yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes room for `slots` slots (tokens times experts of each) and `experts` experts.
    pub fn reserve(&mut self, slots: usize, experts: usize) {
        self.slots.reserve(slots.saturating_sub(self.slots.len()));
        self.tokens.reserve(slots.saturating_sub(self.tokens.len()));
        self.starts.reserve((experts + 2).saturating_sub(self.starts.len()));
    }

    /// Sorts slots by expert. `chosen` is `[tokens, per_token]`: the experts of each token.
    ///
    /// # Errors
    /// [`MatmulError::OutOfRange`] for an expert that is not below `experts`,
    /// [`MatmulError::Length`] if `chosen` is not whole tokens, or more than 2^32.
    pub fn route(&mut self, chosen: &[u32], per_token: usize, experts: usize) -> Result<(), MatmulError> {
        let whole = chosen.len() / per_token.max(1) * per_token;
        check("chosen experts", whole.min(u32::MAX as usize), chosen.len())?;
        if let Some(&e) = chosen.iter().find(|&&e| e as usize >= experts) {
            return Err(MatmulError::OutOfRange { what: "expert", index: e as usize, len: experts });
        }
        self.per_token = per_token;
        // Counting sort. The counts stand one place further on, so that filling the slots turns
        // them into the starts.
        self.starts.clear();
        self.starts.resize(experts + 2, 0);
        for &e in chosen {
            self.starts[e as usize + 2] += 1;
        }
        for e in 2..self.starts.len() {
            self.starts[e] += self.starts[e - 1];
        }
        for list in [&mut self.slots, &mut self.tokens] {
            list.clear();
            list.resize(chosen.len(), 0);
        }
        for (slot, &e) in chosen.iter().enumerate() {
            let place = &mut self.starts[e as usize + 1];
            self.slots[*place as usize] = slot as u32;
            self.tokens[*place as usize] = (slot / per_token) as u32;
            *place += 1;
        }
        self.starts.truncate(experts + 1);
        Ok(())
    }

    /// Number of experts.
    pub fn experts(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    /// Number of slots: tokens times experts of each.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether no token was routed.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The slots of an expert, in increasing order; none for one that does not exist.
    pub fn slots_of(&self, expert: usize) -> &[u32] {
        &self.slots[self.range(expert)]
    }

    fn range(&self, expert: usize) -> std::ops::Range<usize> {
        match self.starts.get(expert..expert + 2) {
            Some(&[from, to]) => from as usize..to as usize,
            _ => 0..0,
        }
    }
}

/// Each slot's row of the input times its expert, in one dispatch: `out`, `[slots, rows]`, gets
/// in row `s` what [`super::matmul`] computes with the expert of slot `s`.
///
/// `biases` is `[experts, rows]`. All experts have one shape. Allocates nothing.
///
/// # Errors
/// As [`super::matmul`]; [`MatmulError::Length`] also if `experts` are not as many as routed,
/// [`MatmulError::OutOfRange`] if the input has too few rows.
pub fn matmul_experts(
    pool: &Pool,
    experts: &[PackedMatrix],
    biases: Option<&[f32]>,
    routing: &Routing,
    rows: Rows,
    x: &Input<'_>,
    out: &mut [f32],
) -> Result<(), MatmulError> {
    check("experts", routing.experts(), experts.len())?;
    let width = experts.first().map_or(0, PackedMatrix::rows);
    for w in experts {
        fits(w, None, x)?;
        check("rows of an expert", width, w.rows())?;
    }
    if let Some(biases) = biases {
        check("biases", length(experts.len(), width), biases.len())?;
    }
    let needed = match rows {
        Rows::Tokens => routing.len() / routing.per_token.max(1),
        Rows::Slots => routing.len(),
    };
    if x.tokens() < needed {
        return Err(MatmulError::OutOfRange { what: "input row", index: needed - 1, len: x.tokens() });
    }
    check("output", length(routing.len(), width), out.len())?;
    let out = Parts::new(out);
    run(pool, x, experts.len(), |e| {
        let range = routing.range(e);
        let slots = &routing.slots[range.clone()];
        let tokens = &routing.tokens[range];
        Work {
            w: &experts[e],
            bias: biases.map(|b| &b[e * width..(e + 1) * width]),
            out: out.base(),
            tokens: slots.len(),
            from: Some(if rows == Rows::Tokens { tokens } else { slots }),
            to: Some(slots),
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_grouped_by_expert_in_order() {
        let mut routing = Routing::new();
        for _ in 0..2 {
            routing.route(&[2, 0, 0, 3, 2, 0], 2, 5).unwrap();
            let groups: Vec<&[u32]> = (0..5).map(|e| routing.slots_of(e)).collect();
            assert_eq!(groups, [&[1, 2, 5][..], &[], &[0, 4], &[3], &[]]);
            assert_eq!(routing.tokens, [0, 1, 2, 0, 2, 1]);
            assert_eq!(routing.slots_of(9), []);
        }
        assert!(matches!(routing.route(&[5], 1, 5), Err(MatmulError::OutOfRange { index: 5, len: 5, .. })));
        assert!(matches!(routing.route(&[1, 2, 3], 2, 5), Err(MatmulError::Length { .. })));
        routing.route(&[], 2, 5).unwrap();
        assert!(routing.is_empty());
    }
}
