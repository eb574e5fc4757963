//! Activations as the integer kernels read them: 8 bits with a scale for every 32 columns.

use super::error::{MatmulError, check};
use super::format::BLOCK;
use super::isa::Isa;
use crate::pool::{Parts, Pool};

/// One block of 32 activations, exactly a cache line.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Line {
    /// In -127..=127; the activation is `scale * q`.
    q: [i8; BLOCK],
    scale: f32,
    /// Minus the sum of `q`: of all, of the first half, of the second.
    nsum: [i32; 3],
    /// `scale` times the sums.
    xsum: [f32; 3],
    unused: u32,
}

const _: () = assert!(size_of::<Line>() == 64);

/// Which entry of the sums belongs to sub-block `i` of `subs`.
const fn entry(i: usize, subs: usize) -> usize {
    if subs == 1 { 0 } else { 1 + i }
}

impl Line {
    const ZERO: Self = Self { q: [0; BLOCK], scale: 0.0, nsum: [0; 3], xsum: [0.0; 3], unused: 0 };

    /// # Safety
    /// `line` points to a line, here and below.
    #[inline(always)]
    pub unsafe fn values(line: *const Self) -> *const i8 {
        // SAFETY: the field lies within the line.
        unsafe { (&raw const (*line).q).cast() }
    }

    /// # Safety
    /// As [`Line::values`].
    #[inline(always)]
    pub unsafe fn scale(line: *const Self) -> *const f32 {
        // SAFETY: the field lies within the line.
        unsafe { &raw const (*line).scale }
    }

    /// Minus the sum over sub-block `i` of `subs`.
    ///
    /// # Safety
    /// As [`Line::values`].
    #[inline(always)]
    pub unsafe fn nsum(line: *const Self, i: usize, subs: usize) -> *const i32 {
        // SAFETY: the field lies within the line, and `i` < `subs` <= 2.
        unsafe { (&raw const (*line).nsum).cast::<i32>().add(entry(i, subs)) }
    }

    /// The scaled sum over sub-block `i` of `subs`.
    ///
    /// # Safety
    /// As [`Line::values`].
    #[inline(always)]
    pub unsafe fn xsum(line: *const Self, i: usize, subs: usize) -> *const f32 {
        // SAFETY: as above.
        unsafe { (&raw const (*line).xsum).cast::<f32>().add(entry(i, subs)) }
    }

    /// Rounds 32 activations to the nearest multiple of 1/127 of the largest magnitude among
    /// them. If one of them is NaN or infinite the scale is NaN, so that the fault shows in
    /// every output it would have reached. Magnitudes below 2^-121 count as zero.
    #[inline(always)]
    fn quantize(x: &[f32; BLOCK]) -> Self {
        // For floats without sign the order of the bits is the order of the numbers, with NaN on top.
        let largest = x.iter().fold(0, |m: u32, v| m.max(v.to_bits() & 0x7fff_ffff));
        let largest = f32::from_bits(largest);
        if !largest.is_finite() {
            return Self { scale: f32::NAN, xsum: [f32::NAN; 3], ..Self::ZERO };
        }
        if largest < SMALLEST {
            return Self::ZERO;
        }
        let (scale, inverse) = (largest / 127.0, 127.0 / largest);
        let mut q = [0; BLOCK];
        for (q, v) in q.iter_mut().zip(x) {
            *q = round(v * inverse) as i8;
        }
        let sum = |part: &[i8]| part.iter().map(|&q| i32::from(q)).sum::<i32>();
        let (first, second) = (sum(&q[..BLOCK / 2]), sum(&q[BLOCK / 2..]));
        let sums = [first + second, first, second];
        Self { q, scale, nsum: sums.map(|s| -s), xsum: sums.map(|s| scale * s as f32), unused: 0 }
    }
}

/// What rounding to `line` left of 32 activations.
#[inline(always)]
fn rest(x: &[f32; BLOCK], line: &Line) -> [f32; BLOCK] {
    std::array::from_fn(|i| (-line.scale).mul_add(f32::from(line.q[i]), x[i]))
}

/// Smallest magnitude whose inverse, times 127, is finite.
const SMALLEST: f32 = f32::from_bits(6 << 23);

/// Nearest integer, ties to even, of a number below 2^22 in magnitude: adding 1.5 * 2^23 leaves
/// the integer in the low bits of the sum. Vectorises where a library call would not.
#[inline(always)]
fn round(v: f32) -> i32 {
    const MAGIC: f32 = 12_582_912.0;
    (v + MAGIC).to_bits().cast_signed() - MAGIC.to_bits().cast_signed()
}

/// Quantizes one row of whole blocks.
#[inline(always)]
pub(super) fn quantize_row(x: &[f32], lines: &mut [Line]) {
    for (x, line) in x.as_chunks::<BLOCK>().0.iter().zip(lines) {
        *line = Line::quantize(x);
    }
}

/// Quantizes what [`quantize_row`] left of a row.
#[inline(always)]
pub(super) fn quantize_rest(x: &[f32], lines: &[Line], fine: &mut [Line]) {
    for ((x, line), fine) in x.as_chunks::<BLOCK>().0.iter().zip(lines).zip(fine) {
        *fine = Line::quantize(&rest(x, line));
    }
}

/// What a product reads of its input, the least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// The floats alone.
    Floats,
    /// The floats rounded to 8 bits.
    Bytes,
    /// These, and what rounding left, rounded to 8 bits in turn: nearly 16 bits together.
    Fine,
}

/// A reusable buffer for quantized rows.
#[derive(Debug, Default)]
pub struct Activations {
    lines: Vec<Line>,
    fine: Vec<Line>,
}

/// Fewer values than this are quantized by the caller alone: a dispatch takes as long.
const SERIAL: usize = 1 << 14;

impl Activations {
    /// An empty buffer.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes room for `tokens` rows of `cols` columns, so that no later call of
    /// [`Activations::prepare`] up to that size and form allocates.
    pub fn reserve(&mut self, form: Form, tokens: usize, cols: usize) {
        let need = tokens.saturating_mul(stride(cols));
        for (lines, least) in [(&mut self.lines, Form::Bytes), (&mut self.fine, Form::Fine)] {
            if form >= least && lines.len() < need {
                lines.resize(need, Line::ZERO);
            }
        }
    }

    /// Quantizes `x`, `[tokens, cols]`, and returns it together with its quantized form as the
    /// input of any product. Rows of a length that is no multiple of 32 stay floats only; they
    /// meet only weights that are floats.
    ///
    /// Each 32 columns share the scale `max|x| / 127` and are rounded to nearest, ties to even,
    /// in the same way on every processor. A NaN or infinity makes its 32 columns NaN.
    ///
    /// # Errors
    /// [`MatmulError::Length`] if `x` is not `tokens * cols` long.
    pub fn quantize<'a>(
        &'a mut self,
        pool: &Pool,
        x: &'a [f32],
        tokens: usize,
        cols: usize,
    ) -> Result<Input<'a>, MatmulError> {
        self.quantize_with(pool, Isa::best(), x, tokens, cols)
    }

    /// The same with chosen instructions, for this and for the products that follow.
    ///
    /// # Errors
    /// As [`Activations::quantize`].
    pub fn quantize_with<'a>(
        &'a mut self,
        pool: &Pool,
        isa: Isa,
        x: &'a [f32],
        tokens: usize,
        cols: usize,
    ) -> Result<Input<'a>, MatmulError> {
        self.make(pool, isa, Form::Fine, x, tokens, cols)
    }

    /// As [`Activations::quantize`], but only what products of this form need.
    ///
    /// # Errors
    /// As [`Activations::quantize`].
    pub fn prepare<'a>(
        &'a mut self,
        pool: &Pool,
        form: Form,
        x: &'a [f32],
        tokens: usize,
        cols: usize,
    ) -> Result<Input<'a>, MatmulError> {
        self.make(pool, Isa::best(), form, x, tokens, cols)
    }

    /// The input that the last call of [`Activations::prepare`] made, without quantizing again: `form` and `x` must be
    /// the same.
    ///
    /// # Errors
    /// As [`Activations::quantize`].
    pub fn held<'a>(&'a self, form: Form, x: &'a [f32], tokens: usize, cols: usize) -> Result<Input<'a>, MatmulError> {
        let input = Input::floats(x, tokens, cols)?;
        if !cols.is_multiple_of(BLOCK) || x.is_empty() {
            return Ok(input);
        }
        let count = tokens * stride(cols);
        let of = |lines: &'a [Line], least| lines.get(..count).filter(|_| form >= least);
        Ok(Input { lines: of(&self.lines, Form::Bytes), fine: of(&self.fine, Form::Fine), ..input })
    }

    fn make<'a>(
        &'a mut self,
        pool: &Pool,
        isa: Isa,
        form: Form,
        x: &'a [f32],
        tokens: usize,
        cols: usize,
    ) -> Result<Input<'a>, MatmulError> {
        check("input", tokens.saturating_mul(cols), x.len())?;
        if form > Form::Floats && cols.is_multiple_of(BLOCK) && !x.is_empty() {
            self.reserve(form, tokens, cols);
            self.fill(pool, isa, form, x, tokens, cols);
        }
        Ok(self.held(form, x, tokens, cols)?.with_isa(isa))
    }

    fn fill(&mut self, pool: &Pool, isa: Isa, form: Form, x: &[f32], tokens: usize, cols: usize) {
        let (stride, kernels) = (stride(cols), isa.kernels());
        let fine_rows = if form == Form::Fine { tokens } else { 0 };
        let lines = Parts::new(&mut self.lines[..tokens * stride]);
        let fine = Parts::new(&mut self.fine[..fine_rows * stride]);
        let share = |rows: std::ops::Range<usize>| {
            for row in rows {
                let x = &x[row * cols..(row + 1) * cols];
                let place = row * stride..(row + 1) * stride;
                // SAFETY: the ranges of one dispatch do not overlap, and an `Isa` exists only if the
                // processor has its instructions.
                unsafe {
                    let lines = lines.get(place.clone());
                    (kernels.quantize_row)(x, lines);
                    if row < fine_rows {
                        (kernels.quantize_rest)(x, lines, fine.get(place));
                    }
                }
            }
        };
        if x.len() < SERIAL {
            share(0..tokens);
        } else {
            pool.for_each_chunk(tokens, tokens.div_ceil(4 * pool.threads()), share);
        }
    }
}

/// Lines of a row: one more than its blocks, so that rows whose length is a power of two do not
/// compete for the same sets of the cache.
pub(super) const fn stride(cols: usize) -> usize {
    cols / BLOCK + 1
}

/// The input of products: rows of floats, and usually the same rows quantized.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    pub(super) x: &'a [f32],
    pub(super) lines: Option<&'a [Line]>,
    /// What `lines` left over.
    pub(super) fine: Option<&'a [Line]>,
    pub(super) tokens: usize,
    pub(super) cols: usize,
    pub(super) isa: Isa,
}

impl<'a> Input<'a> {
    /// `x` is `[tokens, cols]`; without a quantized form it meets only weights that are floats.
    ///
    /// # Errors
    /// [`MatmulError::Length`] if `x` is not `tokens * cols` long.
    pub fn floats(x: &'a [f32], tokens: usize, cols: usize) -> Result<Self, MatmulError> {
        check("input", tokens.saturating_mul(cols), x.len())?;
        Ok(Self { x, lines: None, fine: None, tokens, cols, isa: Isa::best() })
    }

    /// The same input, multiplied with chosen instructions.
    pub fn with_isa(self, isa: Isa) -> Self {
        Self { isa, ..self }
    }

    /// What it holds.
    pub fn form(&self) -> Form {
        match (self.lines, self.fine) {
            (Some(_), Some(_)) => Form::Fine,
            (Some(_), None) => Form::Bytes,
            (None, _) => Form::Floats,
        }
    }

    /// Number of rows.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// Values in a row.
    pub fn cols(&self) -> usize {
        self.cols
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Line {
        /// What the kernels see.
        pub(in super::super) fn dequantized(&self) -> [f64; BLOCK] {
            self.q.map(|q| f64::from(self.scale) * f64::from(q))
        }
    }

    fn dequantized(x: &[f32; BLOCK]) -> [f32; BLOCK] {
        Line::quantize(x).dequantized().map(|v| v as f32)
    }

    #[test]
    fn rounds_to_the_nearest_step() {
        let x: [f32; BLOCK] = std::array::from_fn(|i| ((i * 37 % 64) as f32 - 31.5) * 0.013);
        let largest = x.iter().fold(0f32, |m, v| m.max(v.abs()));
        for (y, x) in dequantized(&x).iter().zip(x) {
            assert!((y - x).abs() <= largest / 254.0 * 1.00001, "{x} became {y}");
        }
        let line = Line::quantize(&x);
        let sum = |r: std::ops::Range<usize>| line.q[r].iter().map(|&q| i32::from(q)).sum::<i32>();
        assert_eq!(line.nsum, [-sum(0..32), -sum(0..16), -sum(16..32)]);
        assert_eq!(line.xsum, line.nsum.map(|s| line.scale * -s as f32));
    }

    #[test]
    fn ties_go_to_even_and_the_ends_are_reached() {
        let mut x = [0.0; BLOCK];
        x[..6].copy_from_slice(&[127.0, -127.0, 0.5, 1.5, -2.5, 126.5]);
        assert_eq!(Line::quantize(&x).q[..6], [127, -127, 0, 2, -2, 126]);
    }

    #[test]
    fn extremes_are_finite_zero_or_nan_as_they_should_be() {
        let mut x = [0.0; BLOCK];
        assert_eq!(dequantized(&x), x);
        x[3] = f32::from_bits(1);
        assert_eq!(dequantized(&x), [0.0; BLOCK]);
        x[3] = SMALLEST;
        assert!((dequantized(&x)[3] - SMALLEST).abs() < SMALLEST * 1e-5);
        x[3] = f32::MAX;
        assert!(dequantized(&x)[3] > f32::MAX * 0.99999);
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            x[7] = bad;
            assert!(dequantized(&x).iter().all(|v| v.is_nan()));
        }
    }
}
