//! JSON from strangers: strict, within limits, on a flat stack.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::error::{ApiError, shown};

/// Levels of lists and objects within each other.
const MOST_LEVELS: usize = 64;
/// Values of a body together; each takes about ten times its bytes on the wire.
const MOST_VALUES: usize = 1 << 19;
/// Keys of one object.
const MOST_KEYS: usize = 1 << 14;

/// The value that `bytes` are the JSON text of.
///
/// Objects with a key given twice, numbers that no 64-bit float holds, text that is no UTF-8, half surrogates, a byte
/// order mark and bytes behind the value are errors, as are more levels, values or keys than any request has.
/// A number so small that it rounds to zero is zero.
///
/// # Errors
/// 400 with the offset of the byte at which reading stopped.
pub fn parse(bytes: &[u8]) -> Result<Value, ApiError> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| malformed(error.valid_up_to(), "the text is not valid UTF-8".to_owned()))?;
    if text.starts_with('\u{feff}') {
        return Err(malformed(0, "a byte order mark is not allowed".to_owned()));
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    let mut values = 0;
    let read = Node { levels: 0, values: &mut values }.deserialize(&mut reader);
    read.and_then(|value| reader.end().map(|()| value)).map_err(|error| {
        let words = error.to_string();
        let message = words.rsplit_once(" at line ").map_or(words.as_str(), |(message, _)| message);
        let at = if error.is_eof() { text.len() } else { offset(text, error.line(), error.column()) };
        malformed(at, message.to_owned())
    })
}

fn malformed(at: usize, message: String) -> ApiError {
    ApiError::invalid(format!("the body is not acceptable JSON: {message} (at byte {at})")).code("invalid_json")
}

/// From a line and a column, both counted from 1, to the offset of a byte.
fn offset(text: &str, line: usize, column: usize) -> usize {
    let lines = text.split_inclusive('\n').take(line.saturating_sub(1));
    let start: usize = lines.map(str::len).sum();
    (start + column.saturating_sub(1)).min(text.len())
}

/// One value of the tree.
struct Node<'a> {
    levels: usize,
    values: &'a mut usize,
}

impl Node<'_> {
    fn inner(&mut self) -> Node<'_> {
        Node { levels: self.levels + 1, values: self.values }
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        *self.values += 1;
        if *self.values > MOST_VALUES {
            return Err(D::Error::custom(format_args!("more than {MOST_VALUES} values")));
        }
        if self.levels > MOST_LEVELS {
            return Err(D::Error::custom(format_args!("nested more than {MOST_LEVELS} levels deep")));
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<Value, A::Error> {
        let mut out = Vec::new();
        while let Some(value) = list.next_element_seed(self.inner())? {
            out.push(value);
        }
        Ok(Value::Array(out))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Value, A::Error> {
        let mut out = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            if out.contains_key(&key) {
                return Err(A::Error::custom(format_args!("the key `{}` is given twice", shown(&key))));
            }
            if out.len() == MOST_KEYS {
                return Err(A::Error::custom(format_args!("an object of more than {MOST_KEYS} keys")));
            }
            let value = map.next_value_seed(self.inner())?;
            out.insert(key, value);
        }
        Ok(Value::Object(out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: impl AsRef<[u8]>) -> String {
        let error = parse(text.as_ref()).expect_err("refused");
        assert_eq!(error.status, 400);
        error.message
    }

    #[test]
    fn malformed_json_is_told_with_its_byte() {
        assert!(refused("{\"a\": 1,\n \"b\" 2}").contains("(at byte 14)"), "{}", refused("{\"a\": 1,\n \"b\" 2}"));
        for text in
            ["", "{", "[1,]", "{'a':1}", "{\"a\":1}}", "nul", "\u{feff}{}", "{}x", "01", "+1", "NaN", "-Infinity"]
        {
            assert!(refused(text).contains("at byte"), "{text}");
        }
    }

    #[test]
    fn depth_costs_no_stack() {
        for levels in [65, 10_000, 1_000_000] {
            refused("[".repeat(levels));
            refused(format!("{{\"ignored\":{}{}}}", "[".repeat(levels), "]".repeat(levels)));
            refused("{\"a\":".repeat(levels));
        }
        assert!(parse(format!("{}{}", "[".repeat(60), "]".repeat(60)).as_bytes()).is_ok());
    }

    #[test]
    fn keys_given_twice_are_refused_at_any_level() {
        assert!(refused(r#"{"a":1,"a":1}"#).contains("`a`"));
        refused(r#"{"x":[{"a":1,"b":2,"a":1}]}"#);
    }

    #[test]
    fn bad_text_is_refused_and_nul_is_text() {
        refused(b"{\"a\":\"\xff\"}");
        refused(r#"{"a":"\ud800"}"#);
        refused(r#"{"a":"\udc00x"}"#);
        refused("{\"a\":\"\n\"}");
        assert_eq!(parse(br#"{"a":"\u0000"}"#).expect("legal")["a"], "\0");
    }

    #[test]
    fn numbers_beyond_a_float_are_refused_and_tiny_ones_are_zero() {
        refused("1e400");
        refused("-1e400");
        assert_eq!(parse(b"1e-400").expect("zero"), 0.0);
    }

    #[test]
    fn counts_are_bounded() {
        let keys: Vec<String> = (0..=MOST_KEYS).map(|i| format!("\"{i}\":0")).collect();
        refused(format!("{{{}}}", keys.join(",")));
        refused(format!("[{}0]", "0,".repeat(MOST_VALUES)));
    }
}
