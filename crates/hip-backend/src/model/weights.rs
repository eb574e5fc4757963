//! Weights on the device: matrices as planes of what the file stores, vectors as f32.

use std::collections::HashMap;

use rocmforge_attention::RopeSpec;
use rocmforge_program::backend::{BackendError, Tensor, WeightSource};
use rocmforge_program::weights::{as_f32, stored_tensor};
use rocmforge_program::{HeadTransform, Op, Program, WeightId, WeightRef};
use rocmforge_quant::GgmlType;

use crate::driver::{Buffer, Device, DevicePtr, Event, PinnedBuffer, Stream};
use crate::error::Failure;
use crate::library::Kernels;
use crate::ops::{SplitCall, SplitPlanes};
use crate::weights::{PlaneLayout, PlaneMap, Planes};

/// Bytes that are on their way to the device at a time, in each of two buffers.
const STAGING_BYTES: usize = 16 << 20;

/// What vectors begin at a multiple of.
const ALIGN: usize = 256;

/// A weight that products and tables read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Matrix {
    pub ty: GgmlType,
    /// From the first row of the weight on.
    pub planes: Planes,
    pub rows: usize,
    pub cols: usize,
    pub experts: usize,
}

/// f32 on the device.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Vector {
    pub ptr: DevicePtr,
    pub len: usize,
}

/// A rotation on the device.
#[derive(Debug, Clone)]
pub(crate) struct Rotation {
    pub spec: RopeSpec,
    /// f32, one a pair.
    pub frequencies: DevicePtr,
}

/// The weights of one model.
pub(crate) struct Weights {
    matrices: Vec<Option<Matrix>>,
    vectors: Vec<Option<Vector>>,
    rotations: Vec<Rotation>,
    _buffers: Vec<Buffer>,
}

/// What will be uploaded, before anything is allocated.
pub(crate) struct WeightPlan {
    /// Tensors that are used as matrices or tables, each once, with where its planes lie.
    tensors: Vec<(String, PlaneMap)>,
    /// Which tensor a weight is a part of.
    matrix_of: Vec<Option<usize>>,
    is_vector: Vec<bool>,
    rotations: Vec<RopeSpec>,
    /// Bytes of the whole.
    pub bytes: u64,
}

impl WeightPlan {
    /// Checks every weight and says how much memory all of them take.
    pub fn new(program: &Program, source: &dyn WeightSource) -> Result<Self, BackendError> {
        let count = program.weights.len();
        let mut plan = Self {
            tensors: Vec::new(),
            matrix_of: vec![None; count],
            is_vector: vec![false; count],
            rotations: Vec::new(),
            bytes: 0,
        };
        let mut by_name: HashMap<&str, usize> = HashMap::new();
        for op in &program.ops {
            for id in matrices_of(op) {
                let weight = program.weight(id);
                let index = match by_name.get(weight.tensor.as_str()) {
                    Some(&index) => index,
                    None => {
                        let map = plane_map(program, id, source)?;
                        plan.bytes += map.bytes() as u64;
                        plan.tensors.push((weight.tensor.clone(), map));
                        by_name.insert(&weight.tensor, plan.tensors.len() - 1);
                        plan.tensors.len() - 1
                    }
                };
                plan.matrix_of[id.0 as usize] = Some(index);
            }
            for id in vectors_of(op) {
                if !std::mem::replace(&mut plan.is_vector[id.0 as usize], true) {
                    let weight = program.weight(id);
                    plan.bytes += vector_bytes(weight.experts * weight.rows * weight.cols) as u64;
                }
            }
            for spec in rotations_of(op) {
                if !plan.rotations.contains(spec) {
                    plan.bytes += vector_bytes(spec.frequencies.len()) as u64;
                    plan.rotations.push(spec.clone());
                }
            }
        }
        Ok(plan)
    }

    /// Type and length of rows of each tensor that is used as a matrix or table.
    pub fn matrices(&self, program: &Program) -> Vec<(GgmlType, usize)> {
        let of = |(weight, tensor): (&WeightRef, &Option<usize>)| {
            tensor.map(|index| (self.tensors[index].1.layout().ty, weight.cols))
        };
        program.weights.iter().zip(&self.matrix_of).filter_map(of).collect()
    }

    /// The type of a weight that is used as a matrix.
    pub fn type_of(&self, id: WeightId) -> Option<GgmlType> {
        self.matrix_of[id.0 as usize].map(|index| self.tensors[index].1.layout().ty)
    }

    /// Uploads everything.
    pub fn upload(
        self,
        device: &Device,
        stream: &Stream,
        kernels: &Kernels,
        program: &Program,
        source: &dyn WeightSource,
    ) -> Result<Weights, Failure> {
        let mut uploader = Uploader::new(device, stream, kernels)?;
        let mut buffers = Vec::new();
        for (name, map) in &self.tensors {
            let buffer = device.alloc(map.bytes(), "weights")?;
            let bytes = source.tensor(name).ok_or_else(|| BackendError::MissingTensor(name.clone()))?.bytes;
            uploader.matrix(map, buffer.ptr(), bytes)?;
            source.release(name);
            buffers.push(buffer);
        }
        let matrices = (0..program.weights.len()).map(|i| {
            let index = self.matrix_of[i]?;
            let (weight, map) = (&program.weights[i], &self.tensors[index].1);
            Some(Matrix {
                ty: map.layout().ty,
                planes: map.planes(buffers[index].ptr(), weight.first_row),
                rows: weight.rows,
                cols: weight.cols,
                experts: weight.experts,
            })
        });
        let matrices = matrices.collect();
        let mut packed = Packed::default();
        let mut offsets = vec![None; program.weights.len()];
        for (i, _) in self.is_vector.iter().enumerate().filter(|(_, is)| **is) {
            let values = as_f32(source, &program.weights[i])?;
            offsets[i] = Some((packed.push(&values), values.len()));
        }
        let rotations: Vec<_> = self.rotations.into_iter().map(|spec| (packed.push(&spec.frequencies), spec)).collect();
        let buffer = device.alloc(packed.bytes.len(), "norms and biases")?;
        uploader.plain(buffer.ptr(), &packed.bytes)?;
        let at = |offset: usize| buffer.ptr().add(offset);
        let vectors = offsets.iter().map(|found| found.map(|(offset, len)| Vector { ptr: at(offset), len })).collect();
        let rotations =
            rotations.into_iter().map(|(offset, spec)| Rotation { frequencies: at(offset), spec }).collect();
        stream.synchronize()?;
        buffers.push(buffer);
        Ok(Weights { matrices, vectors, rotations, _buffers: buffers })
    }
}

impl Weights {
    pub fn matrix(&self, id: WeightId) -> Result<&Matrix, BackendError> {
        self.matrices[id.0 as usize].as_ref().ok_or_else(|| unplanned(id))
    }

    pub fn vector(&self, id: WeightId) -> Result<Vector, BackendError> {
        self.vectors[id.0 as usize].ok_or_else(|| unplanned(id))
    }

    /// A vector, or a null address.
    pub fn optional(&self, id: Option<WeightId>) -> Result<Vector, BackendError> {
        id.map_or(Ok(Vector { ptr: DevicePtr::NULL, len: 0 }), |id| self.vector(id))
    }

    /// The frequencies of a rotation.
    pub fn rotation(&self, spec: &RopeSpec) -> Result<&Rotation, BackendError> {
        let found = self.rotations.iter().find(|r| r.spec == *spec);
        found.ok_or_else(|| BackendError::Device("a rotation that was not planned".into()))
    }
}

fn unplanned(id: WeightId) -> BackendError {
    BackendError::UnknownId(format!("weight {}", id.0))
}

fn plane_map(program: &Program, id: WeightId, source: &dyn WeightSource) -> Result<PlaneMap, BackendError> {
    let weight = program.weight(id);
    let unsupported = |reason: String| BackendError::UnsupportedTensor { tensor: weight.tensor.clone(), reason };
    let Tensor { ty, .. } = stored_tensor(source, weight)?;
    if weight.experts > 1 && weight.rows != weight.stored_rows {
        return Err(unsupported("a part of stacked experts is not supported".into()));
    }
    let layout = PlaneLayout::of(ty).ok_or_else(|| unsupported(format!("{} is no type of weights", ty.name())))?;
    let rows = weight.experts * weight.stored_rows;
    layout.map(rows, weight.cols).ok_or_else(|| unsupported(format!("{rows} rows of {}", weight.cols)))
}

fn matrices_of(op: &Op) -> Vec<WeightId> {
    match op {
        Op::Embed { table, .. } => vec![*table],
        Op::Linear { weight, .. } | Op::ExpertLinear { weight, .. } => vec![*weight],
        Op::Linears { parts, .. } => parts.iter().map(|p| p.weight).collect(),
        _ => vec![],
    }
}

fn vectors_of(op: &Op) -> Vec<WeightId> {
    let matrices = matrices_of(op);
    op.weights().into_iter().filter(|id| !matrices.contains(id)).collect()
}

fn rotations_of(op: &Op) -> Vec<&RopeSpec> {
    match op {
        Op::Rope { spec, .. } => vec![spec],
        Op::RotaryAttention { q_heads, k_heads, .. } => {
            [q_heads, k_heads].into_iter().filter_map(|h: &HeadTransform| h.rope.as_ref()).collect()
        }
        _ => vec![],
    }
}

fn vector_bytes(values: usize) -> usize {
    (values * size_of::<f32>()).next_multiple_of(ALIGN)
}

/// Short vectors one after the other.
#[derive(Default)]
struct Packed {
    bytes: Vec<u8>,
}

impl Packed {
    /// Where the values begin, in bytes.
    fn push(&mut self, values: &[f32]) -> usize {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(bytemuck::cast_slice(values));
        self.bytes.resize(at + vector_bytes(values.len()), 0);
        at
    }
}

/// Brings bytes to the device through two pinned buffers: one is filled while the other is copied.
struct Uploader<'a> {
    stream: &'a Stream,
    split: SplitPlanes,
    host: [(PinnedBuffer, Event); 2],
    next: usize,
    /// Blocks as the file has them, before they are split.
    raw: Buffer,
}

impl<'a> Uploader<'a> {
    fn new(device: &Device, stream: &'a Stream, kernels: &Kernels) -> Result<Self, Failure> {
        let half = || -> Result<_, Failure> {
            let free = device.event()?;
            stream.record(&free)?;
            Ok((device.alloc_pinned(STAGING_BYTES)?, free))
        };
        Ok(Self {
            stream,
            split: SplitPlanes::load(kernels)?,
            host: [half()?, half()?],
            next: 0,
            raw: device.alloc(STAGING_BYTES, "staging of weights")?,
        })
    }

    /// A matrix into its planes.
    fn matrix(&mut self, map: &PlaneMap, to: DevicePtr, bytes: &[u8]) -> Result<(), Failure> {
        if map.layout().is_plain() {
            return self.plain(to, bytes);
        }
        let block_bytes = map.layout().ty.block_bytes();
        let blocks = STAGING_BYTES / block_bytes;
        let raw = self.raw.ptr();
        for (i, part) in bytes.chunks(blocks * block_bytes).enumerate() {
            self.copy(raw, part)?;
            let call =
                SplitCall { map, planes: to, src: raw, first_block: i * blocks, blocks: part.len() / block_bytes };
            self.split.run(self.stream, &call)?;
        }
        Ok(())
    }

    /// Bytes as they are.
    fn plain(&mut self, to: DevicePtr, bytes: &[u8]) -> Result<(), Failure> {
        for (i, part) in bytes.chunks(STAGING_BYTES).enumerate() {
            self.copy(to.add(i * STAGING_BYTES), part)?;
        }
        Ok(())
    }

    fn copy(&mut self, to: DevicePtr, part: &[u8]) -> Result<(), Failure> {
        let (host, free) = &mut self.host[self.next];
        self.next ^= 1;
        free.synchronize()?;
        host.as_mut_slice()?[..part.len()].copy_from_slice(part);
        self.stream.copy_in(to, host, 0..part.len())?;
        self.stream.record(free)?;
        Ok(())
    }
}
