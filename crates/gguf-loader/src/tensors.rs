//! The tensor table: entries, sizes, and where their bytes lie.

use rocmforge_quant::GgmlType;

use crate::cursor::{Cursor, Subject};
use crate::error::{GgufError, GgufWarning};
use crate::limits::Limits;

/// Sizes stay within what a signed 64-bit number holds, as in every other reader of the format.
pub(crate) const SIZE_MAX: u64 = i64::MAX as u64;

/// Smallest entry: name length, dimension count, type, offset. A sound one also has a name and a
/// dimension; the lower bound leaves it to the entry's own checks to say that they are missing.
pub(crate) const ENTRY_BYTES_MIN: u64 = 8 + 4 + 4 + 8;

/// Numbers that were assigned to layouts no longer written, or never stored in files.
const KNOWN_UNSUPPORTED: [(u32, &str); 8] = [
    (9, "Q8_1"),
    (15, "Q8_K"),
    (31, "Q4_0_4_4"),
    (32, "Q4_0_4_8"),
    (33, "Q4_0_8_8"),
    (36, "IQ4_NL_4_4"),
    (37, "IQ4_NL_4_8"),
    (38, "IQ4_NL_8_8"),
];

/// One row of the tensor table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// Unique in the model; printable UTF-8.
    pub name: String,
    /// Sizes, the fastest-varying first, as stored; one to four, none of them 0.
    pub dims: Vec<u64>,
    /// Element type; `dims[0]` is a multiple of its block.
    pub ty: GgmlType,
    /// Index of the file that holds the bytes: 0 unless the model is split.
    pub part: usize,
    /// Where the bytes begin in that part, from its start.
    pub offset: u64,
    /// Number of bytes.
    pub size: u64,
}

impl TensorInfo {
    /// Number of elements; below 2^63 for every parsed tensor.
    pub fn elements(&self) -> u64 {
        self.dims.iter().fold(1, |product, dim| product.saturating_mul(*dim))
    }

    /// Sizes in row-major order, the slowest-varying first: `[out, in]` for a matrix.
    pub fn shape(&self) -> Vec<usize> {
        self.dims.iter().rev().map(|dim| usize::try_from(*dim).unwrap_or(usize::MAX)).collect()
    }

    /// One past the last byte, in its part.
    pub(crate) fn end(&self) -> u64 {
        self.offset.saturating_add(self.size)
    }
}

/// The table of one part while its entries are read.
pub(crate) struct TableReader<'l> {
    limits: &'l Limits,
    alignment: u64,
    /// Padded bytes of all entries so far.
    total: u64,
    unsupported: Vec<(String, &'static str)>,
}

impl<'l> TableReader<'l> {
    pub(crate) fn new(limits: &'l Limits, alignment: u64) -> Self {
        Self { limits, alignment, total: 0, unsupported: Vec::new() }
    }

    /// Reads `count` entries. Offsets are still those of the data section: [`place`] resolves them.
    pub(crate) fn read(mut self, cursor: &mut Cursor<'_>, count: u64) -> Result<Vec<TensorInfo>, GgufError> {
        // An entry in memory is little larger than the smallest in a file, so this is bounded by the file.
        let most = count.min(cursor.remaining() / ENTRY_BYTES_MIN);
        let mut tensors = Vec::with_capacity(usize::try_from(most).unwrap_or(0));
        for index in 0..count {
            tensors.extend(self.entry(cursor, index)?);
        }
        if !self.unsupported.is_empty() {
            return Err(GgufError::UnsupportedType { tensors: self.unsupported });
        }
        Ok(tensors)
    }

    /// One entry; `None` if its type is known and unsupported, which is reported for all together.
    fn entry(&mut self, cursor: &mut Cursor<'_>, index: u64) -> Result<Option<TensorInfo>, GgufError> {
        let name = self.name(cursor, index)?;
        let subject = Subject::Tensor(&name);
        let dims = self.dims(cursor, &name)?;
        let type_offset = cursor.offset();
        let type_id = cursor.u32(subject)?;
        let offset = cursor.u64(subject)?;
        if let Some((_, ty)) = KNOWN_UNSUPPORTED.iter().find(|(id, _)| *id == type_id) {
            self.unsupported.push((name, ty));
            return Ok(None);
        }
        let Some(ty) = GgmlType::from_id(type_id) else {
            return Err(GgufError::UnknownTensorType { name, offset: type_offset, found: type_id });
        };
        let size = tensor_bytes(&name, &dims, ty, self.total)?;
        self.total = padded(size, self.alignment)
            .and_then(|padded| self.total.checked_add(padded))
            .filter(|total| *total <= SIZE_MAX)
            .ok_or_else(|| overflow(&name, &dims, self.total))?;
        Ok(Some(TensorInfo { name, dims, ty, part: 0, offset, size }))
    }

    fn name(&self, cursor: &mut Cursor<'_>, index: u64) -> Result<String, GgufError> {
        let offset = cursor.offset();
        let bytes = cursor.string(Subject::TensorName(index), u64::MAX)?;
        checked_text(bytes, self.limits.name_bytes).map(String::from).map_err(|problem| GgufError::BadName {
            index,
            name: bytes.into(),
            offset,
            problem,
        })
    }

    fn dims(&self, cursor: &mut Cursor<'_>, name: &str) -> Result<Vec<u64>, GgufError> {
        let subject = Subject::Tensor(name);
        let bad = |offset, problem, found| GgufError::BadDims { name: name.into(), offset, problem, found };
        let offset = cursor.offset();
        let count = cursor.u32(subject)?;
        if count == 0 || count > self.limits.dims {
            return Err(bad(offset, "expected one to four dimensions", count.into()));
        }
        let mut dims = Vec::with_capacity(count as usize);
        for _ in 0..count {
            let offset = cursor.offset();
            let dim = cursor.u64(subject)?;
            if dim == 0 || dim > SIZE_MAX {
                return Err(bad(offset, "a dimension must be from 1 to 2^63 - 1", dim));
            }
            dims.push(dim);
        }
        Ok(dims)
    }
}

/// A key or name: UTF-8, not empty, at most `limit` bytes, no control characters.
pub(crate) fn checked_text(bytes: &[u8], limit: u64) -> Result<&str, &'static str> {
    if bytes.is_empty() {
        return Err("it is empty");
    }
    if bytes.len() as u64 > limit {
        return Err("it is longer than the limit");
    }
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8")?;
    if text.chars().any(char::is_control) {
        return Err("it holds control characters");
    }
    Ok(text)
}

fn overflow(name: &str, dims: &[u64], total: u64) -> GgufError {
    GgufError::SizeOverflow { name: name.into(), dims: dims.into(), total }
}

/// `size` rounded up to `alignment`, a power of two.
pub(crate) fn padded(size: u64, alignment: u64) -> Option<u64> {
    Some(size.checked_add(alignment - 1)? & !(alignment - 1))
}

/// Bytes of a tensor. `total` only goes into the error.
pub(crate) fn tensor_bytes(name: &str, dims: &[u64], ty: GgmlType, total: u64) -> Result<u64, GgufError> {
    let block = ty.block_elems() as u64;
    let row = dims.first().copied().unwrap_or(0);
    let elements = dims
        .iter()
        .try_fold(1_u64, |product, dim| product.checked_mul(*dim))
        .filter(|elements| *elements <= SIZE_MAX)
        .ok_or_else(|| overflow(name, dims, total))?;
    if row % block != 0 {
        return Err(GgufError::NotBlockMultiple { name: name.into(), ty: ty.name(), found: row, block });
    }
    (elements / block)
        .checked_mul(ty.block_bytes() as u64)
        .filter(|bytes| *bytes <= SIZE_MAX)
        .ok_or_else(|| overflow(name, dims, total))
}

/// The data section of one part.
pub(crate) struct Section {
    pub(crate) start: u64,
    pub(crate) alignment: u64,
    pub(crate) file_end: u64,
    pub(crate) part: usize,
}

/// What the bytes of the data section that no tensor uses look like.
pub(crate) struct Layout {
    /// One past the last tensor's last byte.
    pub(crate) end: Option<u64>,
    pub(crate) warnings: Vec<GgufWarning>,
}

/// Makes offsets absolute, and checks that every tensor lies in the file, aligned and alone.
pub(crate) fn place(tensors: &mut [TensorInfo], section: &Section) -> Result<Layout, GgufError> {
    for tensor in tensors.iter_mut() {
        tensor.offset = absolute(tensor, section)?;
        tensor.part = section.part;
    }
    let mut order: Vec<&TensorInfo> = tensors.iter().collect();
    order.sort_unstable_by_key(|tensor| tensor.offset);
    for pair in order.windows(2) {
        let (first, second) = (pair[0], pair[1]);
        if second.offset < first.end() {
            return Err(GgufError::Overlap {
                first: first.name.clone(),
                second: second.name.clone(),
                start: second.offset,
                end: first.end().min(second.end()),
            });
        }
    }
    Ok(Layout { end: order.last().map(|last| last.end()), warnings: gaps(&order, section).into_iter().collect() })
}

fn absolute(tensor: &TensorInfo, section: &Section) -> Result<u64, GgufError> {
    if !tensor.offset.is_multiple_of(section.alignment) {
        return Err(GgufError::OffsetMisaligned {
            name: tensor.name.clone(),
            found: tensor.offset,
            alignment: section.alignment,
        });
    }
    let start = section.start.checked_add(tensor.offset);
    let inside = |start: &u64| start.checked_add(tensor.size).is_some_and(|end| end <= section.file_end);
    start.filter(inside).ok_or_else(|| GgufError::OffsetOutOfFile {
        name: tensor.name.clone(),
        offset: u128::from(section.start) + u128::from(tensor.offset),
        size: tensor.size,
        end: section.file_end,
    })
}

/// Holes before or between tensors that are sorted by offset.
fn gaps(order: &[&TensorInfo], section: &Section) -> Option<GgufWarning> {
    let (mut count, mut bytes, mut expected) = (0, 0, section.start);
    for tensor in order {
        if tensor.offset > expected {
            count += 1;
            bytes += tensor.offset - expected;
        }
        // Both are at most the file's length, so rounding up cannot wrap; saturate all the same.
        let used = padded(tensor.end() - section.start, section.alignment).unwrap_or(u64::MAX);
        expected = section.start.saturating_add(used);
    }
    (count > 0).then_some(GgufWarning::Gaps { part: section.part, count, bytes })
}

/// Indices of tensors in the order of their names, for look-up; refuses a name that is there twice.
pub(crate) fn index_by_name(tensors: &[TensorInfo]) -> Result<Vec<u32>, GgufError> {
    let name = |index: &u32| tensors.get(*index as usize).map_or("", |tensor| tensor.name.as_str());
    // The limits on tensors and parts keep the number far below 2^32; a caller who lifted them meets this error.
    let count = u32::try_from(tensors.len()).map_err(|_| GgufError::LimitExceeded {
        subject: "tensor count".into(),
        offset: 0,
        found: tensors.len() as u64,
        unit: "tensors",
        limit: u32::MAX.into(),
    })?;
    let mut order: Vec<u32> = (0..count).collect();
    order.sort_unstable_by(|a, b| name(a).cmp(name(b)).then(a.cmp(b)));
    match order.windows(2).find(|pair| name(&pair[0]) == name(&pair[1])) {
        None => Ok(order),
        Some(pair) => Err(GgufError::DuplicateTensor {
            name: name(&pair[0]).into(),
            first: pair[0].into(),
            second: pair[1].into(),
        }),
    }
}
