//! Weights and activations to time kernels with: noise, repeated until memory is full.

use rocmforge_hip_backend::driver::{Buffer, HipError, write};
use rocmforge_hip_backend::ops::{FormPtrs, Gate, GateCall};
use rocmforge_hip_backend::weights::{PlaneLayout, PlaneMap, Planes};
use rocmforge_quant::{GgmlType, quantize};

use super::bench::{Bench, Outcome};

/// Weights that are quantized; the others repeat them.
const NOISE: usize = 64 << 10;

/// Noise in -1..1 that repeats.
pub fn noise(count: usize) -> Vec<f32> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// Several matrices of one shape, each with memory of its own.
pub struct Weights {
    buffer: Buffer,
    map: PlaneMap,
    pub copies: usize,
}

impl Weights {
    /// So many that `rotate` bytes lie between two uses of one.
    pub fn new(bench: &Bench, ty: GgmlType, [rows, cols]: [usize; 2], rotate: usize) -> Outcome<Self> {
        let layout = PlaneLayout::of(ty).ok_or_else(|| format!("{ty} is no type of weights"))?;
        let map = layout.map(rows, cols).ok_or_else(|| format!("{cols} columns are no whole blocks of {ty}"))?;
        let copies = rotate.div_ceil(map.bytes()).max(1);
        let buffer = bench.room(copies * map.bytes())?;
        let blocks = some_blocks(ty, rows * cols)?;
        for (i, field) in layout.fields.iter().enumerate() {
            let bytes = field.bytes as usize;
            let of_block = |block: &[u8]| block[field.offset as usize..][..bytes].to_vec();
            let plane: Vec<u8> = blocks.chunks_exact(ty.block_bytes()).flat_map(of_block).collect();
            // Elements of plain types are blocks of one.
            write(&buffer, map.offset(i), &plane)?;
            let whole = map.blocks() * bytes;
            spread(bench, &buffer, map.offset(i), plane.len(), whole)?;
        }
        spread(bench, &buffer, 0, map.bytes(), copies * map.bytes())?;
        Ok(Self { buffer, map, copies })
    }

    /// Bytes of one.
    pub fn bytes(&self) -> usize {
        self.map.bytes()
    }

    /// One of them.
    pub fn planes(&self, copy: usize) -> Planes {
        self.map.planes(self.buffer.ptr().add(copy * self.map.bytes()), 0)
    }
}

/// Blocks of noise, at most as many as are needed.
fn some_blocks(ty: GgmlType, elements: usize) -> Outcome<Vec<u8>> {
    let values = noise(NOISE.min(elements).next_multiple_of(ty.block_elems()));
    let bytes = ty.row_bytes(values.len()).ok_or("noise is no whole blocks")?;
    let mut blocks = vec![0; bytes];
    quantize(ty, &values, values.len(), None, &mut blocks)?;
    Ok(blocks)
}

/// Repeats the first `filled` bytes from `first` on until `whole` bytes are filled.
pub fn spread(bench: &Bench, buffer: &Buffer, first: usize, filled: usize, whole: usize) -> Result<(), HipError> {
    let at = |byte: usize| buffer.ptr().add(first + byte);
    let mut done = filled;
    while done < whole {
        let now = done.min(whole - done);
        bench.stream.copy(at(done), at(0), now)?;
        done += now;
    }
    bench.stream.synchronize()
}

/// Rows of noise in every form that products read.
pub struct Activations {
    f32: Buffer,
    q8: Buffer,
    q8_scales: Buffer,
    half: Buffer,
    half_scales: Buffer,
    bhalf: Buffer,
}

impl Activations {
    pub fn new(bench: &Bench, rows: usize, cols: usize) -> Outcome<Self> {
        let count = rows * cols;
        let new = Self {
            f32: bench.room(count * 4)?,
            q8: bench.room(count)?,
            q8_scales: bench.room(count / 4)?,
            half: bench.room(count * 2)?,
            half_scales: bench.room(rows * 4)?,
            bhalf: bench.room(count * 2)?,
        };
        let some = noise(count.min(NOISE));
        write(&new.f32, 0, &some)?;
        spread(bench, &new.f32, 0, some.len() * 4, count * 4)?;
        let out = FormPtrs { f32: Default::default(), bhalf_scales: Default::default(), ..new.forms() };
        Gate::load(&bench.kernels)?.run(&bench.stream, &GateCall::forms(new.f32.ptr(), out, rows, cols))?;
        bench.stream.synchronize()?;
        Ok(new)
    }

    /// Their addresses.
    pub fn forms(&self) -> FormPtrs {
        FormPtrs {
            f32: self.f32.ptr(),
            q8: self.q8.ptr(),
            q8_scales: self.q8_scales.ptr(),
            half: self.half.ptr(),
            half_scales: self.half_scales.ptr(),
            bhalf: self.bhalf.ptr(),
            bhalf_scales: Default::default(),
        }
    }
}
