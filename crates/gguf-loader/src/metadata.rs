//! The key-value section: insertion order, constant-time lookup, typed reads.

use std::borrow::Cow;
use std::num::NonZeroU64;

use indexmap::IndexMap;

use crate::error::GgufError;
use crate::value::{Array, Value};

#[derive(Debug, Clone)]
struct Entry {
    value: Value,
    /// Where the key begins in the file, which is never its start; `None` for a value inserted by hand.
    offset: Option<NonZeroU64>,
}

/// The keys and values of a file, in file order.
///
/// Typed reads answer `Ok(None)` for an absent key and [`GgufError::WrongType`] for a value of
/// another type; they never guess. Integer reads accept every integer type whose value
/// fits (a negative `i32` is no `u32`), because writers differ in the width they choose.
///
/// ```
/// use rocmforge_gguf_loader::{GgufError, Metadata};
///
/// let mut metadata = Metadata::default();
/// metadata.insert("llama.block_count", 22_i32);
/// assert_eq!(metadata.require_u32("llama.block_count")?, 22);
/// assert_eq!(metadata.get_f32("llama.rope.freq_base")?, None);
/// assert!(matches!(metadata.get_str("llama.block_count"), Err(GgufError::WrongType { .. })));
/// # Ok::<(), GgufError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Metadata {
    entries: IndexMap<Box<str>, Entry>,
}

/// Equal when the same keys have equal values, in whatever order.
impl PartialEq for Metadata {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().all(|(key, value)| other.get(key) == Some(value))
    }
}

impl Metadata {
    /// No keys.
    pub fn new() -> Self {
        Self::default()
    }

    /// The number of keys.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.entries.get(key).map(|entry| &entry.value)
    }

    /// Whether `key` is present, with whatever type.
    pub fn contains(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// All pairs, in file (or insertion) order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> {
        self.entries.iter().map(|(key, entry)| (&**key, &entry.value))
    }

    /// Sets `key`, in its old place if it was there. The [`Writer`](crate::Writer) checks keys when it writes.
    pub fn insert(&mut self, key: impl Into<String>, value: impl Into<Value>) {
        self.entries.insert(key.into().into(), Entry { value: value.into(), offset: None });
    }

    /// Takes `key` out; the order of the others stays.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        self.entries.shift_remove(key).map(|entry| entry.value)
    }

    /// Where `key` begins in the file, if it came from one.
    pub fn offset(&self, key: &str) -> Option<u64> {
        self.entries.get(key)?.offset.map(NonZeroU64::get)
    }

    /// Adds a pair read at `offset`, and refuses a key that is there already.
    pub(crate) fn insert_new(&mut self, key: &str, value: Value, offset: u64) -> Result<(), GgufError> {
        match self.entries.entry(key.into()) {
            indexmap::map::Entry::Vacant(slot) => {
                slot.insert(Entry { value, offset: NonZeroU64::new(offset) });
                Ok(())
            }
            indexmap::map::Entry::Occupied(slot) => Err(GgufError::DuplicateKey {
                key: key.into(),
                first: slot.get().offset.map_or(0, NonZeroU64::get),
                second: offset,
            }),
        }
    }

    pub(crate) fn with_capacity(keys: usize) -> Self {
        Self { entries: IndexMap::with_capacity(keys) }
    }

    fn wrong_type(&self, key: &str, expected: &'static str, found: String) -> GgufError {
        GgufError::WrongType { key: key.into(), offset: self.offset(key), expected, found }
    }

    /// A scalar or borrowed array: `pick` answers `None` for a value of another type.
    fn read<'a, T>(
        &'a self,
        key: &str,
        expected: &'static str,
        pick: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, GgufError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        pick(value).map(Some).ok_or_else(|| {
            let range = value.as_integer().map_or_else(String::new, |number| format!(" {number}"));
            self.wrong_type(key, expected, value.describe() + &range)
        })
    }

    fn read_integer<T: TryFrom<i128>>(&self, key: &str, expected: &'static str) -> Result<Option<T>, GgufError> {
        self.read(key, expected, |value| T::try_from(value.as_integer()?).ok())
    }

    /// An unsigned integer of at most 32 bits.
    ///
    /// # Errors
    /// [`GgufError::WrongType`] if it is no integer, or out of range.
    pub fn get_u32(&self, key: &str) -> Result<Option<u32>, GgufError> {
        self.read_integer(key, "u32")
    }

    /// An unsigned integer of at most 64 bits.
    ///
    /// # Errors
    /// [`GgufError::WrongType`] if it is no integer, or negative.
    pub fn get_u64(&self, key: &str) -> Result<Option<u64>, GgufError> {
        self.read_integer(key, "u64")
    }

    /// A signed integer of at most 32 bits.
    ///
    /// # Errors
    /// [`GgufError::WrongType`] if it is no integer, or out of range.
    pub fn get_i32(&self, key: &str) -> Result<Option<i32>, GgufError> {
        self.read_integer(key, "i32")
    }

    /// A number stored as f32, or as f64 and rounded.
    ///
    /// # Errors
    /// [`GgufError::WrongType`] for anything else, integers included. NaN and infinities pass.
    pub fn get_f32(&self, key: &str) -> Result<Option<f32>, GgufError> {
        self.read(key, "f32", |value| match *value {
            Value::F32(number) => Some(number),
            Value::F64(number) => Some(number as f32),
            _ => None,
        })
    }

    /// A truth value.
    ///
    /// # Errors
    /// [`GgufError::WrongType`] for anything else.
    pub fn get_bool(&self, key: &str) -> Result<Option<bool>, GgufError> {
        self.read(key, "bool", |value| if let Value::Bool(truth) = *value { Some(truth) } else { None })
    }

    /// A text.
    ///
    /// # Errors
    /// [`GgufError::WrongType`] for anything else.
    pub fn get_str(&self, key: &str) -> Result<Option<&str>, GgufError> {
        self.read(key, "string", |value| if let Value::String(text) = value { Some(text.as_str()) } else { None })
    }

    /// An array of any integer type, all of whose elements fit u32.
    ///
    /// # Errors
    /// [`GgufError::WrongType`] for anything else.
    pub fn get_u32s(&self, key: &str) -> Result<Option<Cow<'_, [u32]>>, GgufError> {
        self.read(key, "array of u32", |value| match value {
            Value::Array(Array::U32(numbers)) => Some(Cow::Borrowed(numbers.as_slice())),
            Value::Array(Array::U8(numbers)) => convert(numbers),
            Value::Array(Array::I8(numbers)) => convert(numbers),
            Value::Array(Array::U16(numbers)) => convert(numbers),
            Value::Array(Array::I16(numbers)) => convert(numbers),
            Value::Array(Array::I32(numbers)) => convert(numbers),
            Value::Array(Array::U64(numbers)) => convert(numbers),
            Value::Array(Array::I64(numbers)) => convert(numbers),
            _ => None,
        })
    }

    /// An array of i32, or of u32 that all fit. Narrower types are refused: where the format
    /// asks for i32 (token types, suppressed tokens), bytes mean a broken converter.
    ///
    /// # Errors
    /// [`GgufError::WrongType`] for anything else.
    pub fn get_i32s(&self, key: &str) -> Result<Option<Cow<'_, [i32]>>, GgufError> {
        self.read(key, "array of i32", |value| match value {
            Value::Array(Array::I32(numbers)) => Some(Cow::Borrowed(numbers.as_slice())),
            Value::Array(Array::U32(numbers)) => convert(numbers),
            _ => None,
        })
    }

    /// An array of f32. NaN and infinities pass.
    ///
    /// # Errors
    /// [`GgufError::WrongType`] for anything else.
    pub fn get_f32s(&self, key: &str) -> Result<Option<&[f32]>, GgufError> {
        self.read(key, "array of f32", |value| match value {
            Value::Array(Array::F32(numbers)) => Some(numbers.as_slice()),
            _ => None,
        })
    }

    /// An array of truth values.
    ///
    /// # Errors
    /// [`GgufError::WrongType`] for anything else.
    pub fn get_bools(&self, key: &str) -> Result<Option<&[bool]>, GgufError> {
        self.read(key, "array of bool", |value| match value {
            Value::Array(Array::Bool(truths)) => Some(truths.as_slice()),
            _ => None,
        })
    }

    /// An array of bytes, such as `tokenizer.ggml.precompiled_charsmap`, stored as u8 or i8.
    ///
    /// # Errors
    /// [`GgufError::WrongType`] for anything else.
    pub fn get_bytes(&self, key: &str) -> Result<Option<Cow<'_, [u8]>>, GgufError> {
        self.read(key, "array of u8", |value| match value {
            Value::Array(Array::U8(bytes)) => Some(Cow::Borrowed(bytes.as_slice())),
            Value::Array(Array::I8(bytes)) => Some(bytes.iter().map(|byte| byte.cast_unsigned()).collect()),
            _ => None,
        })
    }

    /// An array of strings, as bytes: token texts need not be UTF-8.
    ///
    /// # Errors
    /// [`GgufError::WrongType`] for anything else.
    pub fn get_strings(&self, key: &str) -> Result<Option<&[Box<[u8]>]>, GgufError> {
        self.read(key, "array of string", |value| match value {
            Value::Array(Array::String(strings)) => Some(strings.as_slice()),
            _ => None,
        })
    }

    /// A number for each of `count` layers: an array of that length, or one scalar for all.
    ///
    /// # Errors
    /// [`GgufError::LengthMismatch`] for an array of another length,
    /// [`GgufError::WrongType`] for anything that is not integers.
    pub fn get_u32_each(&self, key: &str, count: usize) -> Result<Option<Vec<u32>>, GgufError> {
        if !matches!(self.get(key), Some(Value::Array(_))) {
            return Ok(self.get_u32(key)?.map(|number| vec![number; count]));
        }
        self.check_len(key, count)?;
        Ok(self.get_u32s(key)?.map(Cow::into_owned))
    }

    /// Checks that the array at `key`, if there is one, has `expected` elements.
    ///
    /// # Errors
    /// [`GgufError::LengthMismatch`] if not, [`GgufError::WrongType`] for a scalar.
    pub fn check_len(&self, key: &str, expected: usize) -> Result<(), GgufError> {
        let len = |value: &Value| if let Value::Array(array) = value { Some(array.len()) } else { None };
        match self.read(key, "array", len)? {
            Some(found) if found != expected => Err(GgufError::LengthMismatch {
                key: key.into(),
                offset: self.offset(key),
                expected: expected as u64,
                found: found as u64,
            }),
            _ => Ok(()),
        }
    }
}

fn convert<T: Copy, U: TryFrom<T> + Clone>(numbers: &[T]) -> Option<Cow<'_, [U]>> {
    numbers.iter().map(|number| U::try_from(*number).ok()).collect::<Option<Vec<U>>>().map(Cow::Owned)
}

macro_rules! require {
    ($($require:ident, $get:ident, $of:ty);* $(;)?) => {
        /// Reads of keys that must be there.
        impl Metadata {$(
            #[doc = concat!("As [`", stringify!($get), "`](Self::", stringify!($get), "), for a key that must be there.")]
            ///
            /// # Errors
            /// [`GgufError::MissingKey`] when absent, [`GgufError::WrongType`] as there.
            pub fn $require(&self, key: &str) -> Result<$of, GgufError> {
                self.$get(key)?.ok_or_else(|| GgufError::MissingKey { key: key.into() })
            }
        )*}
    };
}
require! {
    require_u32, get_u32, u32;
    require_u64, get_u64, u64;
    require_i32, get_i32, i32;
    require_f32, get_f32, f32;
    require_bool, get_bool, bool;
    require_str, get_str, &str;
    require_u32s, get_u32s, Cow<'_, [u32]>;
    require_i32s, get_i32s, Cow<'_, [i32]>;
    require_f32s, get_f32s, &[f32];
    require_bools, get_bools, &[bool];
    require_strings, get_strings, &[Box<[u8]>];
}
