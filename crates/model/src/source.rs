//! What an architecture file reads: checked metadata, and the table of tensors.

use std::collections::HashMap;
use std::fmt;

use rocmforge_gguf_loader::{Array, Gguf, Metadata, TensorInfo, Value};
use rocmforge_quant::GgmlType;

use crate::keys::{Number, Size};
use crate::{BuildOptions, ModelError};

/// Tensors of divisors of rotary frequencies: their values become part of the Program.
pub(crate) const ROPE_TABLES: [&str; 3] =
    ["rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight"];

/// A parsed model file as its architecture sees it.
pub struct Source<'a> {
    metadata: &'a Metadata,
    architecture: &'a str,
    tensors: &'a [TensorInfo],
    by_name: HashMap<&'a str, &'a TensorInfo>,
    /// The only tensors whose data is read while building.
    rope_tables: HashMap<&'a str, &'a [u8]>,
    options: BuildOptions,
}

impl fmt::Debug for Source<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Source({}, {} tensors)", self.architecture, self.tensors.len())
    }
}

impl<'a> Source<'a> {
    pub(crate) fn new<B: AsRef<[u8]>>(gguf: &'a Gguf<B>, options: &BuildOptions) -> Result<Self, ModelError> {
        Ok(Self {
            metadata: gguf.metadata(),
            architecture: gguf.architecture()?,
            tensors: gguf.tensors(),
            by_name: gguf.tensors().iter().map(|t| (t.name.as_str(), t)).collect(),
            rope_tables: ROPE_TABLES.iter().filter_map(|&name| Some((name, gguf.data(gguf.tensor(name)?)))).collect(),
            options: options.clone(),
        })
    }

    /// `general.architecture`.
    pub fn architecture(&self) -> &str {
        self.architecture
    }

    pub(crate) fn options(&self) -> &BuildOptions {
        &self.options
    }

    pub(crate) fn metadata(&self) -> &Metadata {
        self.metadata
    }

    pub(crate) fn tensors(&self) -> &'a [TensorInfo] {
        self.tensors
    }

    pub(crate) fn tensor(&self, name: &str) -> Option<&'a TensorInfo> {
        self.by_name.get(name).copied()
    }

    /// The key in full.
    pub(crate) fn key(&self, suffix: &str) -> String {
        format!("{}.{suffix}", self.architecture)
    }

    pub(crate) fn bad(&self, suffix: &str, found: impl fmt::Display, range: impl Into<String>) -> ModelError {
        ModelError::BadHyperparam { key: self.key(suffix), found: found.to_string(), range: range.into() }
    }

    /// A whole number in its range; `None` when absent.
    pub(crate) fn size(&self, size: &Size) -> Result<Option<usize>, ModelError> {
        let key = self.key(size.key);
        match self.metadata.get(&key).map(|value| (value, value.as_integer())) {
            None => Ok(None),
            Some((_, Some(found))) => self.in_range(size, found, &key).map(Some),
            Some(_) => Ok(self.metadata.get_u32(&key)?.map(|n| n as usize)),
        }
    }

    fn in_range(&self, size: &Size, found: i128, key: &str) -> Result<usize, ModelError> {
        let range = i128::from(size.min)..=i128::from(size.max);
        usize::try_from(found).ok().filter(|_| range.contains(&found)).ok_or_else(|| ModelError::BadHyperparam {
            key: key.to_string(),
            found: found.to_string(),
            range: format!("{} to {}", size.min, size.max),
        })
    }

    /// As [`size`](Self::size), for a key that must be there.
    pub(crate) fn need(&self, size: &Size) -> Result<usize, ModelError> {
        self.size(size)?.ok_or_else(|| self.missing_key(size.key))
    }

    pub(crate) fn missing_key(&self, suffix: &str) -> ModelError {
        rocmforge_gguf_loader::GgufError::MissingKey { key: self.key(suffix) }.into()
    }

    /// One number for each layer, from an array of that length or one scalar for all.
    pub(crate) fn size_each(&self, size: &Size, layers: usize) -> Result<Option<Vec<usize>>, ModelError> {
        let key = self.key(size.key);
        if !matches!(self.metadata.get(&key), Some(Value::Array(_))) {
            return Ok(self.size(size)?.map(|n| vec![n; layers]));
        }
        self.metadata.check_len(&key, layers)?;
        let Some(found) = integers(self.metadata, &key)? else { return Ok(None) };
        let checked = found.iter().enumerate().map(|(i, &n)| self.in_range(size, n, &format!("{key}[{i}]")));
        checked.collect::<Result<_, _>>().map(Some)
    }

    /// A real number in its range; `None` when absent.
    pub(crate) fn number(&self, number: &Number) -> Result<Option<f32>, ModelError> {
        let Some(found) = self.metadata.get_f32(&self.key(number.key))? else { return Ok(None) };
        if found.is_finite() && found > number.above && found <= number.max {
            return Ok(Some(found));
        }
        let range = format!("a number from {:e} (excluded) to {:e}", number.above, number.max);
        Err(self.bad(number.key, found, range))
    }

    /// As [`number`](Self::number), for a key that must be there.
    pub(crate) fn need_number(&self, number: &Number) -> Result<f32, ModelError> {
        self.number(number)?.ok_or_else(|| self.missing_key(number.key))
    }

    /// A truth value; `None` when absent.
    pub(crate) fn truth(&self, suffix: &str) -> Result<Option<bool>, ModelError> {
        Ok(self.metadata.get_bool(&self.key(suffix))?)
    }

    /// The values of one of [`ROPE_TABLES`]; `None` when absent.
    pub(crate) fn rope_table(&self, name: &str, expected: usize, keys: &str) -> Result<Option<Vec<f32>>, ModelError> {
        let Some(info) = self.tensor(name) else { return Ok(None) };
        if info.ty != GgmlType::F32 {
            return Err(ModelError::WrongTensorType { tensor: name.into(), expected: "F32", found: info.ty.name() });
        }
        if info.elements() != expected as u64 {
            return Err(ModelError::ShapeMismatch {
                tensor: name.into(),
                expected: vec![expected],
                found: info.shape(),
                keys: keys.into(),
            });
        }
        let (numbers, _) = self.rope_tables.get(name).copied().unwrap_or_default().as_chunks::<4>();
        Ok(Some(numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()))
    }
}

/// All elements of an integer array; the loader's error for anything else.
fn integers(metadata: &Metadata, key: &str) -> Result<Option<Vec<i128>>, ModelError> {
    // Signed arrays are read as such, so that a negative element gets the message about its range.
    if let Some(Value::Array(Array::I32(numbers))) = metadata.get(key) {
        return Ok(Some(numbers.iter().map(|&n| n.into()).collect()));
    }
    Ok(metadata.get_u32s(key)?.map(|numbers| numbers.iter().map(|&n| n.into()).collect()))
}
