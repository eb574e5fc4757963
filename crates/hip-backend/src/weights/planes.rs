//! The fields of a matrix's blocks, each as an array of its own.
//!
//! Blocks of 18 or 210 bytes leave their fields at odd places, and a device loads 16 aligned bytes at a time. So a
//! matrix is stored as *planes*: field `f` of block `b` (blocks counted row by row) lies at `offset[f] + b * bytes[f]`.
//! No bit changes its place within a field; together the planes are as large as the blocks. The decoders in
//! `kernels/include/rf/quant/` read them.

use bytemuck::{Pod, Zeroable};
use rocmforge_quant::GgmlType;

use crate::driver::DevicePtr;

/// The most fields a block has.
pub const MAX_FIELDS: usize = 4;

/// What planes start at a multiple of, so that any load of theirs is aligned.
const PLANE_ALIGN: usize = 256;

/// One field of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Where a file's block has it.
    pub offset: u32,
    /// Bytes it takes there, and in the plane.
    pub bytes: u32,
}

/// The fields of a type's blocks, in the order of the planes. Together they cover the block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlaneLayout {
    /// The type.
    pub ty: GgmlType,
    /// Its fields, at most [`MAX_FIELDS`].
    pub fields: &'static [Field],
}

impl PlaneLayout {
    /// The fields of a type; `None` for integers and f64, which are no weights.
    pub const fn of(ty: GgmlType) -> Option<Self> {
        let fields = fields(ty);
        if fields.is_empty() { None } else { Some(Self { ty, fields }) }
    }

    /// Whether the one plane is what a file has, so that its bytes are copied as they are.
    pub const fn is_plain(&self) -> bool {
        self.fields.len() == 1
    }

    /// Where the planes of a `[rows, cols]` matrix lie; `None` if rows are no whole blocks or the size does not fit.
    pub fn map(&self, rows: usize, cols: usize) -> Option<PlaneMap> {
        if !cols.is_multiple_of(self.ty.block_elems()) {
            return None;
        }
        let row_blocks = cols / self.ty.block_elems();
        let blocks = rows.checked_mul(row_blocks)?;
        let mut offsets = [0; MAX_FIELDS];
        let mut bytes = 0usize;
        for (offset, field) in offsets.iter_mut().zip(self.fields) {
            *offset = bytes;
            let plane = blocks.checked_mul(field.bytes as usize)?;
            bytes = bytes.checked_add(plane)?.checked_next_multiple_of(PLANE_ALIGN)?;
        }
        Some(PlaneMap { layout: *self, blocks, row_blocks, offsets, bytes })
    }
}

/// Where the planes of one matrix lie in its memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlaneMap {
    layout: PlaneLayout,
    blocks: usize,
    row_blocks: usize,
    offsets: [usize; MAX_FIELDS],
    bytes: usize,
}

impl PlaneMap {
    /// The fields.
    pub fn layout(&self) -> &PlaneLayout {
        &self.layout
    }

    /// Bytes of all planes, with the gaps between them.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Blocks of the whole matrix.
    pub fn blocks(&self) -> usize {
        self.blocks
    }

    /// First byte of plane `field`.
    pub fn offset(&self, field: usize) -> usize {
        self.offsets[field]
    }

    /// The planes of a matrix at `base`, from row `first_row` on.
    pub fn planes(&self, base: DevicePtr, first_row: usize) -> Planes {
        let mut planes = Planes::default();
        let skipped = first_row * self.row_blocks;
        for ((plane, field), offset) in planes.p.iter_mut().zip(self.layout.fields).zip(self.offsets) {
            *plane = base.add(offset + skipped * field.bytes as usize);
        }
        planes
    }
}

/// Addresses of a matrix's planes, as kernels take them.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Pod, Zeroable)]
pub struct Planes {
    /// First byte of each plane; null where the type has fewer.
    pub p: [DevicePtr; MAX_FIELDS],
}

/// `(offset, bytes)` of each field.
macro_rules! table {
    ($($(|)? $($ty:ident)|+ => $(($offset:literal, $bytes:literal))+;)*) => {
        const fn fields(ty: GgmlType) -> &'static [Field] {
            match ty {
                $($(GgmlType::$ty)|+ => &[$(Field { offset: $offset, bytes: $bytes }),+],)*
                GgmlType::I8 | GgmlType::I16 | GgmlType::I32 | GgmlType::I64 | GgmlType::F64 => &[],
            }
        }
    };
}

#[rustfmt::skip]
table! {
    F32 => (0, 4);
    F16 | BF16 => (0, 2);
    Q4_0 | IQ4_NL | Q1_0 | Q2_0 => (2, 16) (0, 2);
    Q4_1 => (4, 16) (0, 4);
    Q5_0 => (6, 16) (2, 4) (0, 2);
    Q5_1 => (8, 16) (4, 4) (0, 4);
    Q8_0 => (2, 32) (0, 2);
    Q2_K => (16, 64) (0, 16) (80, 4);
    Q3_K => (32, 64) (0, 32) (96, 12) (108, 2);
    Q4_K => (16, 128) (0, 16);
    Q5_K => (48, 128) (16, 32) (0, 16);
    Q6_K => (0, 128) (128, 64) (192, 16) (208, 2);
    IQ2_XXS => (2, 64) (0, 2);
    IQ2_XS => (2, 64) (66, 8) (0, 2);
    IQ2_S => (2, 64) (66, 16) (0, 2);
    IQ3_XXS => (2, 64) (66, 32) (0, 2);
    IQ3_S => (2, 64) (66, 40) (106, 4) (0, 2);
    IQ1_S => (2, 32) (34, 16) (0, 2);
    IQ1_M => (0, 32) (32, 16) (48, 8);
    IQ4_XS => (8, 128) (0, 8);
    TQ1_0 => (0, 32) (32, 16) (48, 4) (52, 2);
    TQ2_0 => (0, 64) (64, 2);
    MXFP4 => (1, 16) (0, 1);
    NVFP4 => (4, 32) (0, 4);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_cover_each_block_once() {
        for &ty in GgmlType::ALL {
            let Some(layout) = PlaneLayout::of(ty) else { continue };
            let mut taken = vec![0; ty.block_bytes()];
            for field in layout.fields {
                let (first, bytes) = (field.offset as usize, field.bytes as usize);
                taken[first..first + bytes].iter_mut().for_each(|count| *count += 1);
            }
            assert_eq!(taken, vec![1; ty.block_bytes()], "{ty}");
            assert!(layout.fields.len() <= MAX_FIELDS);
            assert_eq!(layout.is_plain(), !ty.is_quantized(), "{ty}");
        }
    }

    #[test]
    fn every_kind_of_weights_has_a_layout() {
        let without: Vec<_> = GgmlType::ALL.iter().filter(|ty| PlaneLayout::of(**ty).is_none()).collect();
        assert_eq!(
            without,
            [&GgmlType::I8, &GgmlType::I16, &GgmlType::I32, &GgmlType::I64, &GgmlType::F64],
            "weights of other types must be usable"
        );
    }

    #[test]
    fn planes_are_aligned_and_do_not_overlap() {
        let map = PlaneLayout::of(GgmlType::Q6_K).and_then(|l| l.map(3, 512)).expect("six whole blocks");
        assert_eq!(map.blocks(), 6);
        assert_eq!((0..4).map(|f| map.offset(f)).collect::<Vec<_>>(), [0, 768, 1280, 1536]);
        assert_eq!(map.bytes(), 1792);
    }

    #[test]
    fn a_slice_of_rows_starts_at_its_blocks() {
        let map = PlaneLayout::of(GgmlType::Q4_0).and_then(|l| l.map(4, 64)).expect("whole blocks");
        assert_eq!(map.planes(DevicePtr::new(4096), 3).p.map(DevicePtr::addr), [4096 + 96, 4096 + 256 + 12, 0, 0]);
    }

    #[test]
    fn half_blocks_and_enormous_sizes_have_no_map() {
        let layout = PlaneLayout::of(GgmlType::Q4_K).expect("a quantized type");
        assert_eq!(layout.map(1, 128), None);
        assert_eq!(layout.map(usize::MAX, 512), None);
    }
}
