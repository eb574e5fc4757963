//! Matrices of every type of weights, on the host as numbers and on a device as planes.

use half::f16;
use rocmforge_hip_backend::driver::Buffer;
use rocmforge_hip_backend::ops::{SplitCall, SplitPlanes};
use rocmforge_hip_backend::weights::{PlaneLayout, PlaneMap, Planes};
use rocmforge_quant::{GgmlType, dequantize, quantize};

use crate::rig::{Noise, Rig};

/// A matrix as a file has it, and the numbers it stands for.
pub struct Matrix {
    pub ty: GgmlType,
    pub rows: usize,
    pub cols: usize,
    pub blocks: Vec<u8>,
    pub values: Vec<f32>,
}

impl Matrix {
    /// Weights of about 1. Rows repeat after some dozens, shifted against the columns of a file's blocks.
    pub fn new(ty: GgmlType, rows: usize, cols: usize, seed: u64) -> Self {
        let row_bytes = ty.row_bytes(cols).expect("whole blocks");
        let different = rows.min(37);
        let some = some_blocks(ty, different, cols, seed);
        let blocks: Vec<u8> =
            (0..rows).flat_map(|r| &some[r % different * row_bytes..][..row_bytes]).copied().collect();
        Self::of_blocks(ty, rows, cols, blocks)
    }

    /// A matrix of these blocks.
    pub fn of_blocks(ty: GgmlType, rows: usize, cols: usize, blocks: Vec<u8>) -> Self {
        let mut values = vec![0.0; rows * cols];
        dequantize(ty, &blocks, &mut values).expect("whole blocks");
        Self { ty, rows, cols, blocks, values }
    }

    /// The numbers of a row.
    pub fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.cols..][..self.cols]
    }

    /// Brings the blocks to the device and splits them there, in two runs from odd addresses.
    pub fn upload(&self, rig: &Rig) -> Uploaded {
        let layout = PlaneLayout::of(self.ty).expect("a type of weights");
        let map = layout.map(self.rows, self.cols).expect("whole blocks");
        if layout.is_plain() {
            return Uploaded { buffer: rig.buffer(&self.blocks), map };
        }
        let buffer = rig.room::<u8>(map.bytes());
        let shifted: Vec<u8> = [0xee; 3].iter().chain(&self.blocks).copied().collect();
        let file = rig.buffer(&shifted);
        let split = SplitPlanes::load(&rig.kernels).expect("the kernel loads");
        let first = map.blocks() / 3;
        for (first_block, blocks) in [(0, first), (first, map.blocks() - first)] {
            let src = file.ptr().add(3 + first_block * self.ty.block_bytes());
            let call = SplitCall { map: &map, planes: buffer.ptr(), src, first_block, blocks };
            split.run(&rig.stream, &call).expect("the kernel starts");
        }
        rig.stream.synchronize().expect("the kernel runs");
        Uploaded { buffer, map }
    }
}

/// A matrix on a device.
pub struct Uploaded {
    buffer: Buffer,
    map: PlaneMap,
}

impl Uploaded {
    /// From its first row on.
    pub fn planes(&self) -> Planes {
        self.planes_of_row(0)
    }

    /// From a row on.
    pub fn planes_of_row(&self, row: usize) -> Planes {
        self.map.planes(self.buffer.ptr(), row)
    }
}

/// Blocks of quantized noise; of types that cannot be written, random ones with a sensible scale.
fn some_blocks(ty: GgmlType, rows: usize, cols: usize, seed: u64) -> Vec<u8> {
    let mut noise = Noise::new(seed + ty.id() as u64 * 1000);
    let mut blocks = vec![0; rows * ty.row_bytes(cols).expect("whole blocks")];
    if ty.spec().quantize.is_some() {
        let values: Vec<f32> = (0..rows * cols).map(|_| noise.normal() as f32).collect();
        quantize(ty, &values, cols, None, &mut blocks).expect("finite numbers");
        return blocks;
    }
    blocks.iter_mut().for_each(|byte| *byte = random_byte(&mut noise));
    blocks.chunks_exact_mut(ty.block_bytes()).for_each(|block| put_scale(ty, block));
    blocks
}

pub fn random_byte(noise: &mut Noise) -> u8 {
    (noise.unit() * 128.0 + 128.0) as u8
}

/// Sets the f16 scale of a codebook type's block.
fn put_scale(ty: GgmlType, block: &mut [u8]) {
    let bits = f16::from_f32(0.0123).to_bits();
    if ty == GgmlType::IQ1_M {
        // A quarter of it on top of each of the four words at 48.
        for k in 0..4 {
            let top = &mut block[49 + 2 * k];
            *top = *top & 0x0f | ((bits >> (4 * k) & 15) as u8) << 4;
        }
    } else {
        block[..2].copy_from_slice(&bits.to_le_bytes());
    }
}

/// All types of weights.
pub fn weight_types() -> Vec<GgmlType> {
    GgmlType::ALL.iter().copied().filter(|ty| PlaneLayout::of(*ty).is_some()).collect()
}

/// Row lengths from `cols` up that the type can have.
pub fn at_least(ty: GgmlType, cols: usize) -> usize {
    cols.next_multiple_of(ty.block_elems())
}
