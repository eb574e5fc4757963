//! The kernels' arguments, field for field.

use bytemuck::{Pod, Zeroable};

use crate::driver::DevicePtr;
use crate::weights::Planes;

use super::MAX_PARTS;

/// `GemmPart` of `rf/gemm/args.h`.
#[repr(C)]
#[derive(Clone, Copy, Default, Pod, Zeroable)]
pub(super) struct PartArgs {
    pub weight: Planes,
    pub bias: DevicePtr,
    pub out: DevicePtr,
    pub partial: DevicePtr,
    pub rows: u32,
    pub out_stride: u32,
    pub first_column: u32,
    pub pad: u32,
}

/// `GemmArgs` of `rf/gemm/args.h`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub(super) struct GemmArgs {
    pub parts: [PartArgs; MAX_PARTS],
    pub x: DevicePtr,
    pub scale: DevicePtr,
    pub tiles: DevicePtr,
    pub order: DevicePtr,
    pub tokens: u32,
    pub k: u32,
    pub k_pad: u32,
    pub part_count: u32,
    pub row_tiles: u32,
    pub columns: u32,
    pub together: u32,
    pub dies: u32,
    pub x_share: u32,
    pub split_chunks: u32,
}

/// `ReducePart` of `gemm/reduce.hip`.
#[repr(C)]
#[derive(Clone, Copy, Default, Pod, Zeroable)]
pub(super) struct ReducePart {
    pub partial: DevicePtr,
    pub bias: DevicePtr,
    pub out: DevicePtr,
    pub rows: u32,
    pub out_stride: u32,
}

/// `ReduceArgs` of `gemm/reduce.hip`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub(super) struct ReduceArgs {
    pub parts: [ReducePart; MAX_PARTS],
    pub splits: u32,
    pub tokens: u32,
}
