//! A matrix in the form the kernels read, made once from the form a file stores.

use super::activations::Form;
use super::codes::{Codes, reader};
use super::error::{MatmulError, check};
use super::format::{BLOCK, ROWS, Scale, Spec, spec_of};
use crate::pool::{Parts, Pool};
use bytemuck::{Pod, Zeroable};
use rocmforge_quant::GgmlType;

/// A cache line of packed data, for its alignment.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line64([u8; 64]);

/// How the bytes of a packed matrix are ordered.
#[derive(Debug, Clone, Copy)]
pub(super) enum Layout {
    /// Panels of bit planes.
    Ints(&'static Spec),
    /// Panels of 16 floats for each column, of the matrix's own type.
    Floats,
    /// Rows as stored, decoded when used.
    Rows,
}

/// The weights of a linear map, `[rows, cols]`, ready to be multiplied.
///
/// Quantized types and plain floats of up to 32 bits become panels of 16 rows (see `format.rs`):
/// of the size they had in the file or up to 6 % more, or up to about twice that size for types
/// below 4 bits that are codebooks. Integers and F64 are kept as stored and decoded while they
/// are used.
pub struct PackedMatrix {
    ty: GgmlType,
    rows: usize,
    cols: usize,
    layout: Layout,
    /// From one panel to the next, or from one row to the next in [`Layout::Rows`].
    stride: usize,
    lines: Vec<Line64>,
}

impl std::fmt::Debug for PackedMatrix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PackedMatrix({} [{}, {}])", self.ty, self.rows, self.cols)
    }
}

impl PackedMatrix {
    /// Packs `bytes`, the blocks of `rows` rows of `cols` values of type `ty` as a GGUF file
    /// stores them. Any content is accepted.
    ///
    /// # Errors
    /// [`MatmulError::PartialBlock`] if a row is not a whole number of blocks, at least one,
    /// [`MatmulError::Length`] if `bytes` is not what that many rows take,
    /// [`MatmulError::TooLarge`] if no address space could hold them.
    pub fn pack(ty: GgmlType, rows: usize, cols: usize, bytes: &[u8]) -> Result<Self, MatmulError> {
        Self::build(None, ty, rows, cols, bytes)
    }

    /// The same on all threads of `pool`.
    ///
    /// # Errors
    /// As [`PackedMatrix::pack`].
    pub fn pack_with(pool: &Pool, ty: GgmlType, rows: usize, cols: usize, bytes: &[u8]) -> Result<Self, MatmulError> {
        Self::build(Some(pool), ty, rows, cols, bytes)
    }

    fn build(pool: Option<&Pool>, ty: GgmlType, rows: usize, cols: usize, bytes: &[u8]) -> Result<Self, MatmulError> {
        let block = ty.block_elems();
        if cols == 0 || !cols.is_multiple_of(block) {
            return Err(MatmulError::PartialBlock { ty, cols, block });
        }
        let too_large = MatmulError::TooLarge { ty, rows, cols };
        let row_bytes = ty.row_bytes(cols).ok_or(too_large.clone())?;
        check("weights", rows.checked_mul(row_bytes).ok_or(too_large.clone())?, bytes.len())?;
        let (layout, stride) = match (spec_of(ty), ty) {
            (Some(spec), _) => {
                let records = cols / (BLOCK * spec.blocks());
                (Layout::Ints(spec), records * spec.record_bytes())
            }
            (None, GgmlType::F32 | GgmlType::F16 | GgmlType::BF16) => (Layout::Floats, row_bytes * ROWS),
            _ => (Layout::Rows, row_bytes),
        };
        let units = if matches!(layout, Layout::Rows) { rows } else { rows.div_ceil(ROWS) };
        let size = units.checked_mul(stride).ok_or(too_large.clone())?;
        if isize::try_from(size).is_err() {
            return Err(too_large);
        }
        let mut packed = Self { ty, rows, cols, layout, stride, lines: vec![Line64([0; 64]); size.div_ceil(64)] };
        packed.fill(pool, bytes, row_bytes);
        Ok(packed)
    }

    fn fill(&mut self, pool: Option<&Pool>, bytes: &[u8], row_bytes: usize) {
        let (stride, layout, ty) = (self.stride, self.layout, self.ty);
        let data: &mut [u8] = bytemuck::cast_slice_mut(&mut self.lines);
        if matches!(layout, Layout::Rows) {
            data[..bytes.len()].copy_from_slice(bytes);
            return;
        }
        if stride == 0 {
            return;
        }
        let panels = self.rows.div_ceil(ROWS);
        let panel = |i: usize, to: &mut [u8]| {
            let rows = &bytes[i * ROWS * row_bytes..bytes.len().min((i + 1) * ROWS * row_bytes)];
            match layout {
                Layout::Ints(spec) => pack_ints(ty, spec, rows, row_bytes, to),
                _ => pack_floats(ty.block_bytes(), rows, row_bytes, to),
            }
        };
        let Some(pool) = pool else {
            return data.chunks_exact_mut(stride).take(panels).enumerate().for_each(|(i, to)| panel(i, to));
        };
        let parts = Parts::new(data);
        pool.for_each_chunk(panels, 1 + panels / (8 * pool.threads()), |range| {
            for i in range {
                // SAFETY: each panel is filled by one thread.
                panel(i, unsafe { parts.get(i * stride..(i + 1) * stride) });
            }
        });
    }

    /// Number of outputs.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of inputs.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Type of the weights in the file.
    pub fn ty(&self) -> GgmlType {
        self.ty
    }

    /// Bytes of memory held.
    pub fn bytes(&self) -> usize {
        self.lines.len() * 64
    }

    /// What products with this matrix need of their input.
    pub fn input_form(&self) -> Form {
        match self.layout {
            Layout::Ints(spec) if spec.fine => Form::Fine,
            Layout::Ints(_) => Form::Bytes,
            Layout::Floats | Layout::Rows => Form::Floats,
        }
    }

    pub(super) fn layout(&self) -> Layout {
        self.layout
    }

    pub(super) fn stride(&self) -> usize {
        self.stride
    }

    pub(super) fn data(&self) -> &[u8] {
        bytemuck::cast_slice(&self.lines)
    }
}

/// Columns become outermost, so that one vector load reads a column of 16 rows.
fn pack_floats(size: usize, rows: &[u8], row_bytes: usize, to: &mut [u8]) {
    fn transpose<const N: usize>(rows: &[u8], row_bytes: usize, to: &mut [u8]) {
        let to = to.as_chunks_mut::<N>().0;
        for (r, row) in rows.chunks_exact(row_bytes).enumerate() {
            for (k, value) in row.as_chunks::<N>().0.iter().enumerate() {
                to[k * ROWS + r] = *value;
            }
        }
    }
    match size {
        2 => transpose::<2>(rows, row_bytes, to),
        _ => transpose::<4>(rows, row_bytes, to),
    }
}

/// One panel: up to 16 rows of stored blocks, each row `row_bytes` long. Rows that do not exist
/// stay zero.
fn pack_ints(ty: GgmlType, spec: &Spec, rows: &[u8], row_bytes: usize, to: &mut [u8]) {
    let Some(read) = reader(ty) else { return };
    let (elems, size) = (ty.block_elems(), ty.block_bytes());
    let columns = spec.blocks() * BLOCK;
    let mut codes = Codes::ZERO;
    // The weights of a stored block as bytes, in groups of four columns of 16 rows.
    let mut groups = [[0u8; 4]; 256 / 4 * ROWS];
    // A stored block may fill several records.
    for (k, records) in to.chunks_exact_mut(spec.record_bytes() * (elems / columns)).enumerate() {
        for (r, row) in rows.chunks_exact(row_bytes).enumerate() {
            read(&row[k * size..(k + 1) * size], &mut codes);
            for (i, record) in records.chunks_exact_mut(spec.record_bytes()).enumerate() {
                put_factors(spec, &codes, i * columns, r, record);
            }
            for (g, quad) in codes.weights[..elems].as_chunks::<4>().0.iter().enumerate() {
                groups[g * ROWS + r] = *quad;
            }
        }
        let records = records.chunks_exact_mut(spec.record_bytes());
        let planes = records.flat_map(|r| r[spec.planes_at()..].chunks_exact_mut(spec.block_bytes()));
        for (planes, groups) in planes.zip(groups.as_chunks::<{ BLOCK / 4 * ROWS }>().0) {
            let groups = groups.as_flattened();
            let (low, high) = planes.split_at_mut(spec.low_bytes());
            put_plane(groups, 0, spec.low, low);
            put_plane(groups, spec.low, spec.high, high);
        }
    }
}

/// Scales and minima of row `r`, for a record that begins at column `part` of the stored block.
fn put_factors(spec: &Spec, codes: &Codes, part: usize, r: usize, record: &mut [u8]) {
    let halves = matches!(spec.scale, Scale::Half) && spec.subs() > 1;
    for i in 0..if halves { spec.subs() } else { 1 } {
        let scale = if halves { codes.halves[part / spec.sub_block + i] } else { codes.scale };
        record[2 * (i * ROWS + r)..2 * (i * ROWS + r) + 2].copy_from_slice(&scale.to_le_bytes());
    }
    if spec.min {
        record[2 * (ROWS + r)..2 * (ROWS + r) + 2].copy_from_slice(&codes.min.to_le_bytes());
    }
    let subs = spec.blocks() * spec.subs();
    let (scales, mins, planes) = (spec.sub_scales_at(), spec.sub_mins_at(), spec.planes_at());
    if mins > scales {
        for i in 0..subs {
            record[scales + i * ROWS + r] = codes.sub_scales[i];
        }
    }
    if planes > mins {
        for i in 0..subs {
            record[mins + i * ROWS + r] = codes.sub_mins[i];
        }
    }
}

/// Bits `from..from + bits` of each of the 512 weights of a block, see `format.rs`.
fn put_plane(groups: &[u8], from: usize, bits: usize, plane: &mut [u8]) {
    if bits == 0 {
        return;
    }
    let mask = ((1u16 << bits) - 1) as u8;
    for (u, unit) in plane.as_chunks_mut::<64>().0.iter_mut().enumerate() {
        *unit = [0; 64];
        for shift in (0..8).step_by(bits) {
            let g = u + shift;
            for (to, w) in unit.iter_mut().zip(&groups[64 * g..64 * g + 64]) {
                *to |= (w >> from & mask) << shift;
            }
        }
    }
}
