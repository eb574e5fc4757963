//! Writes files that the reader accepts.

use std::io::Write;

use rocmforge_quant::GgmlType;

use crate::error::GgufError;
use crate::metadata::Metadata;
use crate::reader::Preamble;
use crate::tensors::{TensorInfo, index_by_name, padded, tensor_bytes};
use crate::value::{Array, Value};
use crate::{DEFAULT_ALIGNMENT, Limits, MAGIC};

/// The version that is written.
const VERSION: u32 = 3;

/// A GGUF file in the making: metadata and a list of tensors, whose bytes follow later.
///
/// Sizes follow from types and dimensions, so the header is written first and the bytes of
/// each tensor are streamed behind it; a file of any size is written with the memory
/// of its largest piece.
///
/// ```
/// use rocmforge_gguf_loader::{GgmlType, Gguf, Metadata, Writer};
///
/// let mut metadata = Metadata::new();
/// metadata.insert("general.architecture", "llama");
/// let mut writer = Writer::new(metadata);
/// writer.add("token_embd.weight", [4, 2], GgmlType::F32); // 2 rows of 4
/// let mut sink = writer.begin(Vec::new())?;
/// while let Some(tensor) = sink.next_tensor() {
///     let bytes = vec![0; tensor.size as usize];
///     sink.write_tensor(&bytes)?;
/// }
/// let file = sink.finish()?;
/// assert_eq!(Gguf::parse(file)?.tensors()[0].shape(), [2, 4]);
/// # Ok::<(), rocmforge_gguf_loader::GgufError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Writer {
    metadata: Metadata,
    tensors: Vec<(String, Vec<u64>, GgmlType)>,
}

impl Writer {
    /// A file with this metadata and no tensors. `general.alignment`, a u32, sets the
    /// alignment of tensor data; without it, [`DEFAULT_ALIGNMENT`] holds.
    pub fn new(metadata: Metadata) -> Self {
        Self { metadata, tensors: Vec::new() }
    }

    /// Sets the alignment of tensor data, in bytes; a power of two from 8 to 1 MiB.
    pub fn set_alignment(&mut self, alignment: u32) -> &mut Self {
        self.metadata.insert("general.alignment", alignment);
        self
    }

    /// The metadata, to be changed.
    pub fn metadata_mut(&mut self) -> &mut Metadata {
        &mut self.metadata
    }

    /// Appends a tensor. `dims` has the fastest-varying size first. Mistakes are reported by [`begin`](Self::begin).
    pub fn add(&mut self, name: impl Into<String>, dims: impl Into<Vec<u64>>, ty: GgmlType) -> &mut Self {
        self.tensors.push((name.into(), dims.into(), ty));
        self
    }

    /// Writes the header to `out`, and returns what takes the tensors' bytes.
    ///
    /// `out` receives many small writes if the pieces are small; buffer it then.
    ///
    /// # Errors
    /// Whatever the reader would say of such a header, before anything is written, or [`GgufError::Write`].
    pub fn begin<W: Write>(self, mut out: W) -> Result<TensorSink<W>, GgufError> {
        let (alignment, tensors, header) = self.header()?;
        out.write_all(&header)?;
        let mut sink = TensorSink { out, tensors, alignment, current: 0, written: 0 };
        sink.pad(header.len() as u64)?;
        Ok(sink)
    }

    /// The header's bytes, read back once so that no rule is checked in two places.
    fn header(&self) -> Result<(u64, Vec<TensorInfo>, Vec<u8>), GgufError> {
        let alignment = match self.metadata.get("general.alignment") {
            // A value that is no power of two gets its error when the header is read back.
            Some(Value::U32(alignment)) => u64::from(*alignment).next_power_of_two(),
            _ => DEFAULT_ALIGNMENT,
        };
        let mut header = Vec::new();
        header.extend(MAGIC);
        header.extend(VERSION.to_le_bytes());
        put_len(&mut header, self.tensors.len());
        put_len(&mut header, self.metadata.len());
        for (key, value) in self.metadata.iter() {
            put_bytes(&mut header, key.as_bytes());
            put_value(&mut header, value);
        }
        let mut offset = 0_u64;
        for (name, dims, ty) in &self.tensors {
            put_tensor(&mut header, name, dims, *ty, offset);
            let size = tensor_bytes(name, dims, *ty, offset)?;
            let end = offset.checked_add(size).and_then(|end| padded(end, alignment));
            offset =
                end.ok_or_else(|| GgufError::SizeOverflow { name: name.clone(), dims: dims.clone(), total: offset })?;
        }
        let Preamble { tensors, .. } = Preamble::read(&header, &Limits::default())?;
        index_by_name(&tensors)?;
        Ok((alignment, tensors, header))
    }
}

/// Takes the bytes of each tensor, in the order of [`Writer::add`].
#[derive(Debug)]
#[must_use = "a file is complete only after `finish`"]
pub struct TensorSink<W> {
    out: W,
    /// Offsets are those of the data section.
    tensors: Vec<TensorInfo>,
    alignment: u64,
    /// Index of the tensor whose bytes come next.
    current: usize,
    /// Bytes of it that are out.
    written: u64,
}

impl<W: Write> TensorSink<W> {
    /// The tensor whose bytes come next, `None` when all are written. Its offset counts from the data section.
    pub fn next_tensor(&self) -> Option<&TensorInfo> {
        self.tensors.get(self.current)
    }

    /// Writes all bytes of the next tensor.
    ///
    /// # Errors
    /// [`GgufError::DataLength`] unless there are exactly as many as the tensor has left; [`GgufError::Write`].
    pub fn write_tensor(&mut self, bytes: &[u8]) -> Result<(), GgufError> {
        let left = self.next_tensor().map_or(0, |tensor| tensor.size - self.written);
        if left != bytes.len() as u64 || self.next_tensor().is_none() {
            return Err(self.wrong_length(bytes.len()));
        }
        self.write_piece(bytes)
    }

    /// Writes some bytes of the next tensor; the piece that completes it moves on to the one after.
    ///
    /// # Errors
    /// [`GgufError::DataLength`] if the tensor has less left; [`GgufError::Write`].
    pub fn write_piece(&mut self, bytes: &[u8]) -> Result<(), GgufError> {
        let Some(size) = self.next_tensor().map(|tensor| tensor.size) else {
            return Err(self.wrong_length(bytes.len()));
        };
        if bytes.len() as u64 > size - self.written {
            return Err(self.wrong_length(bytes.len()));
        }
        self.out.write_all(bytes)?;
        self.written += bytes.len() as u64;
        if self.written == size {
            self.pad(size)?;
            self.current += 1;
            self.written = 0;
        }
        Ok(())
    }

    /// Flushes, and gives the output back.
    ///
    /// # Errors
    /// [`GgufError::DataLength`] if a tensor is not complete; [`GgufError::Write`].
    pub fn finish(mut self) -> Result<W, GgufError> {
        if self.next_tensor().is_some() {
            return Err(self.wrong_length(0));
        }
        self.out.flush()?;
        Ok(self.out)
    }

    fn wrong_length(&self, more: usize) -> GgufError {
        let (name, expected) =
            self.next_tensor().map_or_else(|| ("(none left)".into(), 0), |tensor| (tensor.name.clone(), tensor.size));
        GgufError::DataLength { name, expected, found: self.written + more as u64 }
    }

    /// Zeros after `len` bytes, up to the alignment; the last tensor gets them too, as readers expect.
    fn pad(&mut self, len: u64) -> Result<(), GgufError> {
        const ZEROS: [u8; 4096] = [0; 4096];
        let mut left = padded(len, self.alignment).unwrap_or(len) - len;
        while left > 0 {
            let piece = left.min(ZEROS.len() as u64);
            self.out.write_all(&ZEROS[..piece as usize])?;
            left -= piece;
        }
        Ok(())
    }
}

fn put_len(out: &mut Vec<u8>, len: usize) {
    out.extend((len as u64).to_le_bytes());
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_len(out, bytes.len());
    out.extend(bytes);
}

fn put_tensor(out: &mut Vec<u8>, name: &str, dims: &[u64], ty: GgmlType, offset: u64) {
    put_bytes(out, name.as_bytes());
    // More dimensions than u32 counts cannot be held in memory.
    out.extend((dims.len() as u32).to_le_bytes());
    out.extend(dims.iter().flat_map(|dim| dim.to_le_bytes()));
    out.extend(ty.id().to_le_bytes());
    out.extend(offset.to_le_bytes());
}

fn put_value(out: &mut Vec<u8>, value: &Value) {
    out.extend(value.kind().id().to_le_bytes());
    match value {
        Value::U8(v) => out.extend(v.to_le_bytes()),
        Value::I8(v) => out.extend(v.to_le_bytes()),
        Value::U16(v) => out.extend(v.to_le_bytes()),
        Value::I16(v) => out.extend(v.to_le_bytes()),
        Value::U32(v) => out.extend(v.to_le_bytes()),
        Value::I32(v) => out.extend(v.to_le_bytes()),
        Value::U64(v) => out.extend(v.to_le_bytes()),
        Value::I64(v) => out.extend(v.to_le_bytes()),
        Value::F32(v) => out.extend(v.to_le_bytes()),
        Value::F64(v) => out.extend(v.to_le_bytes()),
        Value::Bool(v) => out.push(u8::from(*v)),
        Value::String(v) => put_bytes(out, v.as_bytes()),
        Value::Array(v) => put_array(out, v),
    }
}

fn put_array(out: &mut Vec<u8>, array: &Array) {
    out.extend(array.kind().id().to_le_bytes());
    put_len(out, array.len());
    match array {
        Array::U8(v) => out.extend(v),
        Array::I8(v) => out.extend(v.iter().flat_map(|v| v.to_le_bytes())),
        Array::U16(v) => out.extend(v.iter().flat_map(|v| v.to_le_bytes())),
        Array::I16(v) => out.extend(v.iter().flat_map(|v| v.to_le_bytes())),
        Array::U32(v) => out.extend(v.iter().flat_map(|v| v.to_le_bytes())),
        Array::I32(v) => out.extend(v.iter().flat_map(|v| v.to_le_bytes())),
        Array::U64(v) => out.extend(v.iter().flat_map(|v| v.to_le_bytes())),
        Array::I64(v) => out.extend(v.iter().flat_map(|v| v.to_le_bytes())),
        Array::F32(v) => out.extend(v.iter().flat_map(|v| v.to_le_bytes())),
        Array::F64(v) => out.extend(v.iter().flat_map(|v| v.to_le_bytes())),
        Array::Bool(v) => out.extend(v.iter().map(|v| u8::from(*v))),
        Array::String(v) => v.iter().for_each(|v| put_bytes(out, v)),
    }
}
