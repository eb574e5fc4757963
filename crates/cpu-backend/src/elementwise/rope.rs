//! Rotary embeddings from a table of sines and cosines that is made once a step.

use std::sync::Arc;

use rocmforge_attention::{RopePairing, RopeSpec};

use super::lanes::{Isa, Kernel, LANES, Lanes};

/// Sines and cosines of the positions of a step, for every layer that rotates alike.
///
/// Angles are formed and reduced in f64, so that position 100 000 is as exact as position 1.
#[derive(Debug, Clone)]
pub struct RopeTable {
    pairing: RopePairing,
    frequencies: Arc<[f32]>,
    magnitude: f32,
    /// Numbers of sines, and of cosines, a row.
    width: usize,
    /// For each row `width` cosines, then `width` sines, both times the magnitude. Halves: one a pair. Adjacent: one a
    /// dimension, the sine negative in even ones, which is what the kernel multiplies with.
    rows: Vec<f32>,
    count: usize,
}

impl RopeTable {
    /// A table for rotations by `spec` that holds at most `max_tokens` rows.
    pub fn new(spec: &RopeSpec, max_tokens: usize) -> Self {
        let width = match spec.pairing {
            RopePairing::Halves => spec.frequencies.len(),
            RopePairing::Adjacent => spec.rotary_dims(),
        };
        Self {
            pairing: spec.pairing,
            frequencies: Arc::clone(&spec.frequencies),
            magnitude: spec.magnitude,
            width,
            rows: vec![0.0; 2 * width * max_tokens],
            count: 0,
        }
    }

    /// Whether the table was made for this rotation.
    pub fn serves(&self, spec: &RopeSpec) -> bool {
        self.pairing == spec.pairing && self.magnitude == spec.magnitude && self.frequencies == spec.frequencies
    }

    /// Dimensions of a head that are rotated.
    pub fn rotary_dims(&self) -> usize {
        self.frequencies.len() * 2
    }

    /// Computes the rows of a step: row `i` for the `i`-th position.
    ///
    /// # Panics
    /// If there are more positions than the table was made for.
    pub fn fill(&mut self, positions: impl IntoIterator<Item = usize>) {
        self.count = 0;
        for position in positions {
            let at = 2 * self.width * self.count;
            let (cos, sin) = self.rows[at..at + 2 * self.width].split_at_mut(self.width);
            for (i, &frequency) in self.frequencies.iter().enumerate() {
                let (s, c) = (position as f64 * f64::from(frequency)).sin_cos();
                let magnitude = f64::from(self.magnitude);
                let (s, c) = ((s * magnitude) as f32, (c * magnitude) as f32);
                match self.pairing {
                    RopePairing::Halves => (cos[i], sin[i]) = (c, s),
                    RopePairing::Adjacent => {
                        (cos[2 * i], cos[2 * i + 1]) = (c, c);
                        (sin[2 * i], sin[2 * i + 1]) = (-s, s);
                    }
                }
            }
            self.count += 1;
        }
    }
}

/// Rotates every head of rows `[rows, cols]`; row 0 stands at row `first` of the table. Without `x`, `out` in place.
///
/// # Panics
/// If the sizes do not fit together or the table was not filled that far.
pub fn rope(
    isa: Isa,
    table: &RopeTable,
    first: usize,
    head_dim: usize,
    cols: usize,
    x: Option<&[f32]>,
    out: &mut [f32],
) {
    assert!(head_dim >= table.rotary_dims() && head_dim > 0, "heads of {head_dim} are wider than what is rotated");
    assert!(cols > 0 && cols.is_multiple_of(head_dim) && out.len().is_multiple_of(cols), "rows of whole heads");
    assert!(first + out.len() / cols <= table.count, "the table has a row for each token");
    if let Some(x) = x {
        out.copy_from_slice(x);
    }
    isa.run(Rope { table, first, head_dim, cols, out });
}

struct Rope<'a> {
    table: &'a RopeTable,
    first: usize,
    head_dim: usize,
    cols: usize,
    out: &'a mut [f32],
}

impl Kernel for Rope<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let width = self.table.width;
        let out = self.out.as_mut_ptr();
        for start in (0..self.out.len()).step_by(self.head_dim) {
            let row = self.first + start / self.cols;
            let cos = self.table.rows[2 * width * row..][..2 * width].as_ptr();
            // SAFETY: a head of at least twice the frequencies starts at `start`; the table row has `width` numbers of
            // each kind, and `width` is the number of pairs (halves) or rotated dimensions (adjacent).
            unsafe {
                let (x, sin) = (out.add(start), cos.add(width));
                match self.table.pairing {
                    RopePairing::Halves => halves::<L>(width, x, cos, sin),
                    RopePairing::Adjacent => adjacent::<L>(width, x, cos, sin),
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn halves<L: Lanes>(pairs: usize, x: *mut f32, cos: *const f32, sin: *const f32) {
    // SAFETY: the caller gives `pairs` sines and cosines and twice as many numbers at `x`.
    unsafe {
        let mut i = 0;
        while i < pairs {
            let here = (pairs - i).min(LANES);
            let get = |from: *const f32| if here == LANES { L::load(from) } else { L::load_part(from, here) };
            let (a, b, c, s) = (get(x.add(i)), get(x.add(pairs + i)), get(cos.add(i)), get(sin.add(i)));
            let first = L::fma(a, c, L::sub(L::splat(0.0), L::mul(b, s)));
            let second = L::fma(a, s, L::mul(b, c));
            if here == LANES {
                L::store(x.add(i), first);
                L::store(x.add(pairs + i), second);
            } else {
                L::store_part(x.add(i), here, first);
                L::store_part(x.add(pairs + i), here, second);
            }
            i += LANES;
        }
    }
}

#[inline(always)]
unsafe fn adjacent<L: Lanes>(dims: usize, x: *mut f32, cos: *const f32, sin: *const f32) {
    // SAFETY: the caller gives `dims` numbers at every pointer.
    unsafe {
        let mut i = 0;
        while i < dims {
            let here = (dims - i).min(LANES);
            let get = |from: *const f32| {
                if here == LANES { L::load(from.add(i)) } else { L::load_part(from.add(i), here) }
            };
            let a = get(x);
            let y = L::fma(a, get(cos), L::mul(L::swap_pairs(a), get(sin)));
            if here == LANES {
                L::store(x.add(i), y)
            } else {
                L::store_part(x.add(i), here, y)
            }
            i += LANES;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rocmforge_attention::RopeScaling;

    #[test]
    fn matches_the_reference_at_any_position() {
        let positions = [0usize, 1, 50, 4096, 99_999, 1_000_003];
        for isa in Isa::available() {
            for pairing in [RopePairing::Halves, RopePairing::Adjacent] {
                for (head_dim, rotary) in [(128, 128), (64, 64), (80, 20), (96, 48), (2, 2), (256, 34)] {
                    let mut spec = RopeSpec::new(pairing, head_dim, rotary, 1e4, &RopeScaling::None).unwrap();
                    spec.magnitude = 1.25;
                    let cols = 3 * head_dim;
                    let x: Vec<f32> = (0..positions.len() * cols).map(|i| (i % 37) as f32 / 18.0 - 1.0).collect();
                    let mut expected = x.clone();
                    rocmforge_attention::reference::rope(&spec, head_dim, &positions, &mut expected);
                    let mut table = RopeTable::new(&spec, positions.len());
                    assert!(table.serves(&spec));
                    table.fill(positions);
                    let mut out = vec![0.0; x.len()];
                    rope(isa, &table, 0, head_dim, cols, Some(&x), &mut out);
                    for (i, (y, e)) in out.iter().zip(&expected).enumerate() {
                        assert!((y - e).abs() < 4e-7, "{isa} {pairing:?} {head_dim}/{rotary} at {i}: {y} {e}");
                    }
                    let mut rows = x[2 * cols..4 * cols].to_vec();
                    rope(isa, &table, 2, head_dim, cols, None, &mut rows);
                    assert_eq!(rows, out[2 * cols..4 * cols]);
                }
            }
        }
    }
}
