//! Random numbers and stored weights, each from a seed alone.

use rocmforge_quant::{GgmlType, dequantize, quantize};

/// SplitMix64: every seed is a good one.
#[derive(Clone)]
pub struct Rng(u64);

impl Rng {
    /// A generator of its own for a name, whatever ran before it.
    pub fn named(name: &str, seed: u64) -> Self {
        // FNV-1a.
        let hash =
            name.bytes().fold(0xcbf2_9ce4_8422_2325, |h: u64, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
        Self(hash ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// Uniform in `[0, 1)`.
    pub fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 24) as f32
    }

    /// Normally distributed, by Box and Muller.
    pub fn normal(&mut self) -> f32 {
        let (u, v) = (1.0 - self.unit(), self.unit());
        (-2.0 * u.ln()).sqrt() * (std::f32::consts::TAU * v).cos()
    }

    pub fn normals(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.normal()).collect()
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        (1..items.len()).rev().for_each(|i| items.swap(i, self.below(i + 1)));
    }
}

/// How large the numbers of a matrix are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// Normally distributed.
    Even,
    /// Every row times a power of ten: between 1e-6 and 1e6 for inputs, whose range is that of f32.
    Rows,
    /// As `Rows`, and every fourth row all zeros.
    Zeros,
    /// One number of each row two hundred times as large as the others.
    Outlier,
}

impl Size {
    pub fn name(self) -> &'static str {
        match self {
            Size::Even => "even",
            Size::Rows => "rows",
            Size::Zeros => "zeros",
            Size::Outlier => "outlier",
        }
    }

    /// Random rows of an input.
    pub fn inputs(self, rng: &mut Rng, rows: usize, cols: usize) -> Vec<f32> {
        self.matrix(rng, rows, cols, 6.0)
    }

    /// Random rows of weights, about `1 / sqrt(cols)` large. They differ less: weights become 16-bit floats on their way
    /// to the matrix units, and no model has any beyond those.
    pub fn weights(self, rng: &mut Rng, rows: usize, cols: usize) -> Vec<f32> {
        let mut x = self.matrix(rng, rows, cols, 2.0);
        let factor = 1.0 / (cols as f32).sqrt();
        x.iter_mut().for_each(|x| *x *= factor);
        x
    }

    fn matrix(self, rng: &mut Rng, rows: usize, cols: usize, powers: f32) -> Vec<f32> {
        let mut x = rng.normals(rows * cols);
        for (r, row) in x.chunks_exact_mut(cols).enumerate() {
            match self {
                Size::Even => {}
                Size::Zeros if r % 4 == 1 => row.fill(0.0),
                Size::Rows | Size::Zeros => {
                    let factor = 10f32.powf((2.0 * rng.unit() - 1.0) * powers);
                    row.iter_mut().for_each(|x| *x *= factor);
                }
                Size::Outlier => row[rng.below(cols)] *= 200.0,
            }
        }
        x
    }
}

/// The bytes of `rows` rows of weights.
///
/// Where there is a quantizer, rows are quantized in half of the blocks' matrices; otherwise every code is random, and
/// so are scales, within a factor of two of what makes the numbers as large as `like`.
pub fn stored(rng: &mut Rng, ty: GgmlType, like: &[f32], cols: usize) -> Vec<u8> {
    if ty.spec().quantize.is_some() && (!ty.is_quantized() || rng.below(2) == 0) {
        let mut bytes = vec![0; ty.row_bytes(like.len()).expect("whole blocks")];
        // A type's own limits are not what is tested: what a block of small range makes of large numbers is what it is.
        quantize(ty, like, cols, None, &mut bytes).expect("finite numbers are quantized");
        return bytes;
    }
    let blocks = like.chunks_exact(ty.block_elems());
    blocks.flat_map(|values| random_block(rng, ty, rms(values))).collect()
}

fn rms(values: &[f32]) -> f32 {
    let sum: f64 = values.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
    (sum / values.len().max(1) as f64).sqrt() as f32
}

/// Where a block's scale is.
enum Scale {
    /// binary16 numbers at these bytes; the second one is the scale of the minimum.
    F16(&'static [usize]),
    /// The top bits of the last four words.
    Iq1M,
    /// A power of two in the first byte.
    E8m0,
    /// Small unsigned floats in the first four bytes.
    Ue4m3,
}

#[rustfmt::skip]
fn scale_of(ty: GgmlType) -> Scale {
    match ty {
        GgmlType::Q4_1 | GgmlType::Q5_1 | GgmlType::Q4_K | GgmlType::Q5_K => Scale::F16(&[0, 2]),
        GgmlType::Q2_K => Scale::F16(&[80, 82]),
        GgmlType::Q3_K => Scale::F16(&[108]),
        GgmlType::Q6_K => Scale::F16(&[208]),
        GgmlType::TQ1_0 => Scale::F16(&[52]),
        GgmlType::TQ2_0 => Scale::F16(&[64]),
        GgmlType::IQ1_M => Scale::Iq1M,
        GgmlType::MXFP4 => Scale::E8m0,
        GgmlType::NVFP4 => Scale::Ue4m3,
        _ => Scale::F16(&[0]),
    }
}

/// A block of random codes whose values have about this root mean square.
fn random_block(rng: &mut Rng, ty: GgmlType, size: f32) -> Vec<u8> {
    let mut block: Vec<u8> = (0..ty.block_bytes()).map(|_| rng.next() as u8).collect();
    let sign = if rng.below(2) == 0 { 1.0 } else { -1.0 };
    let scale = scale_of(ty);
    set_scale(&mut block, &scale, 1.0);
    let mut values = vec![0.0; ty.block_elems()];
    dequantize(ty, &block, &mut values).expect("a whole block");
    let wanted = size / rms(&values).max(1e-6) * (0.7 + 0.6 * rng.unit());
    set_scale(&mut block, &scale, wanted * sign);
    block
}

fn set_scale(block: &mut [u8], scale: &Scale, value: f32) {
    match scale {
        Scale::F16(places) => {
            for &at in *places {
                let mut half = [0; 2];
                quantize(GgmlType::F16, &[value.clamp(-6e4, 6e4)], 1, None, &mut half).expect("one number");
                block[at..at + 2].copy_from_slice(&half);
            }
        }
        Scale::Iq1M => {
            let mut half = [0; 2];
            quantize(GgmlType::F16, &[value.clamp(-6e4, 6e4)], 1, None, &mut half).expect("one number");
            let bits = u16::from_le_bytes(half);
            for i in 0..4 {
                let at = 48 + 2 * i + 1;
                block[at] = block[at] & 0x0f | ((bits >> (4 * i) & 15) as u8) << 4;
            }
        }
        Scale::E8m0 => block[0] = (127.0 + value.abs().log2().clamp(-126.0, 120.0)).round() as u8,
        // Bytes that stand for about 2^-3 to 2^3, whatever is asked for: such blocks have no scale beyond their own.
        Scale::Ue4m3 => block[..4].iter_mut().for_each(|b| *b = 0x20 + (*b & 0x1f)),
    }
}
