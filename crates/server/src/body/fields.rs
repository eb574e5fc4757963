//! Reading the fields of a request one by one, each with its limits and its words of documentation.

use std::fmt::Display;
use std::ops::RangeInclusive;

use rocmforge_sampler::TokenId;
use serde_json::{Map, Value, json};

use crate::error::{ApiError, shown};

/// A request that is read field by field.
pub trait Read: Sized {
    /// Its name in the OpenAPI document.
    const NAME: &'static str;

    /// Takes its fields. The same lines describe them: see [`schema`]. Conditions over several fields come later, as a
    /// description has no values.
    ///
    /// # Errors
    /// 400 that names the field.
    fn read(fields: &mut Fields) -> Result<Self, ApiError>;
}

/// The fields of one JSON object.
///
/// `null` is the same as absent. What no line asked for is remembered as ignored.
#[derive(Debug, Default)]
pub struct Fields {
    /// Where the object stands in the body, empty for the body itself.
    path: String,
    values: Map<String, Value>,
    ignored: Vec<String>,
    schema: Option<Description>,
}

#[derive(Debug, Default)]
struct Description {
    properties: Map<String, Value>,
    required: Vec<String>,
}

/// Names that are reported as ignored; a body of noise is not repeated in full.
const MOST_IGNORED: usize = 32;

/// The JSON schema of a request.
pub fn schema<T: Read>() -> Value {
    Fields::described(|fields| T::read(fields).map(drop))
}

impl Fields {
    /// The fields of a whole body.
    pub fn new(values: Map<String, Value>) -> Self {
        Self { values, ..Self::default() }
    }

    fn described(read: impl FnOnce(&mut Fields) -> Result<(), ApiError>) -> Value {
        let mut fields = Fields { schema: Some(Description::default()), ..Self::default() };
        // A refusal would only mean that a required field has no value here.
        let _ = read(&mut fields);
        let Description { properties, required } = fields.schema.unwrap_or_default();
        json!({"type": "object", "properties": properties, "required": required})
    }

    /// The names of the fields that nothing asked for.
    pub fn into_ignored(mut self) -> Vec<String> {
        let rest: Vec<String> = self.values.keys().map(|name| self.path_of(&shown(name))).collect();
        self.ignored.extend(rest);
        self.ignored.truncate(MOST_IGNORED);
        self.ignored
    }

    /// A field's name with the path of the object before it.
    pub fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// 400: this field must be something else than what was found.
    pub fn wrong(&self, name: &str, expected: &str, found: &Value) -> ApiError {
        wrong(&self.path_of(name), expected, found)
    }

    fn take(&mut self, name: &str, schema: impl FnOnce() -> Value, doc: &str) -> Option<Value> {
        if let Some(description) = &mut self.schema {
            let mut schema = schema();
            if !doc.is_empty() {
                schema["description"] = doc.into();
            }
            description.properties.insert(name.to_owned(), schema);
        }
        self.values.swap_remove(name).filter(|value| !value.is_null())
    }

    /// The value of a field that must be there.
    ///
    /// # Errors
    /// 400 where it is absent.
    pub fn require<T: Default>(&mut self, name: &str, value: Option<T>) -> Result<T, ApiError> {
        if let Some(description) = &mut self.schema {
            description.required.push(name.to_owned());
            return Ok(T::default());
        }
        value.ok_or_else(|| {
            let path = self.path_of(name);
            let message = format!("`{path}` is required");
            ApiError::field(path, message).code("missing_required_parameter")
        })
    }

    /// Any value, of this schema.
    pub fn any(&mut self, name: &str, schema: Value, doc: &str) -> Option<Value> {
        self.take(name, || schema, doc)
    }

    /// True or false.
    ///
    /// # Errors
    /// 400 for another type.
    pub fn flag(&mut self, name: &str, doc: &str) -> Result<Option<bool>, ApiError> {
        match self.take(name, || json!({"type": "boolean"}), doc) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(value)),
            Some(other) => Err(self.wrong(name, "true or false", &other)),
        }
    }

    /// A whole number written as one: `1`, and not `1.0`, `1e0` or `"1"`.
    ///
    /// # Errors
    /// 400 for another type and for a number outside of the range.
    pub fn integer<T>(&mut self, name: &str, range: RangeInclusive<T>, doc: &str) -> Result<Option<T>, ApiError>
    where
        T: Copy + PartialOrd + Display + TryFrom<i64> + TryInto<i64>,
    {
        let (low, high) = (*range.start(), *range.end());
        let schema = || {
            let bound = |value: T| value.try_into().unwrap_or(i64::MAX);
            json!({"type": "integer", "minimum": bound(low), "maximum": bound(high)})
        };
        let Some(value) = self.take(name, schema, doc) else { return Ok(None) };
        let whole = value.as_i64().and_then(|value| T::try_from(value).ok()).filter(|value| range.contains(value));
        whole.map(Some).ok_or_else(|| self.wrong(name, &format!("a whole number from {low} to {high}"), &value))
    }

    /// A number; its range is for the caller to check.
    ///
    /// # Errors
    /// 400 for another type.
    pub fn number(&mut self, name: &str, doc: &str) -> Result<Option<f32>, ApiError> {
        match self.take(name, || json!({"type": "number"}), doc) {
            None => Ok(None),
            Some(Value::Number(value)) => Ok(value.as_f64().map(|value| value as f32)),
            Some(other) => Err(self.wrong(name, "a number", &other)),
        }
    }

    /// Text.
    ///
    /// # Errors
    /// 400 for another type.
    pub fn text(&mut self, name: &str, doc: &str) -> Result<Option<String>, ApiError> {
        match self.take(name, || json!({"type": "string"}), doc) {
            None => Ok(None),
            Some(Value::String(value)) => Ok(Some(value)),
            Some(other) => Err(self.wrong(name, "a string", &other)),
        }
    }

    /// One of a few words.
    ///
    /// # Errors
    /// 400 for anything else.
    pub fn word<T: Copy>(&mut self, name: &str, words: &[(&str, T)], doc: &str) -> Result<Option<T>, ApiError> {
        let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let Some(value) = self.take(name, || json!({"type": "string", "enum": names}), doc) else { return Ok(None) };
        let found = words.iter().find(|(word, _)| value == *word).map(|(_, meaning)| *meaning);
        found.map(Some).ok_or_else(|| self.wrong(name, &format!("one of {}", names.join(", ")), &value))
    }

    /// A text or a list of them.
    ///
    /// # Errors
    /// 400 for another type, and for fewer or more texts than `count`.
    pub fn texts(
        &mut self,
        name: &str,
        count: RangeInclusive<usize>,
        doc: &str,
    ) -> Result<Option<Vec<String>>, ApiError> {
        let list =
            json!({"type": "array", "items": {"type": "string"}, "minItems": count.start(), "maxItems": count.end()});
        let Some(value) = self.take(name, || json!({"oneOf": [{"type": "string"}, list]}), doc) else {
            return Ok(None);
        };
        let list = match value {
            Value::String(text) => vec![Value::String(text)],
            Value::Array(list) => list,
            other => return Err(self.wrong(name, "a string or a list of strings", &other)),
        };
        self.check_count(name, list.len(), &count)?;
        let text = |(i, value)| match value {
            Value::String(text) => Ok(text),
            other => Err(self.wrong(&format!("{name}[{i}]"), "a string", &other)),
        };
        list.into_iter().enumerate().map(text).collect::<Result<_, _>>().map(Some)
    }

    /// A list of token ids.
    ///
    /// # Errors
    /// 400 for another type, an id outside of 32 bits, and for fewer or more ids than `count`.
    pub fn tokens(
        &mut self,
        name: &str,
        count: RangeInclusive<usize>,
        doc: &str,
    ) -> Result<Option<Vec<TokenId>>, ApiError> {
        let schema = || json!({"type": "array", "items": {"type": "integer", "minimum": 0}, "maxItems": count.end()});
        match self.take(name, schema, doc) {
            None => Ok(None),
            Some(Value::Array(list)) => {
                self.check_count(name, list.len(), &count)?;
                token_ids(&self.path_of(name), &list).map(Some)
            }
            Some(other) => Err(self.wrong(name, "a list of token ids", &other)),
        }
    }

    /// A list of any values.
    ///
    /// # Errors
    /// 400 for another type, and for fewer or more values than `count`.
    pub fn list(
        &mut self,
        name: &str,
        count: RangeInclusive<usize>,
        item: Value,
        doc: &str,
    ) -> Result<Option<Vec<Value>>, ApiError> {
        let schema = || json!({"type": "array", "items": item, "minItems": count.start(), "maxItems": count.end()});
        match self.take(name, schema, doc) {
            None => Ok(None),
            Some(Value::Array(list)) => {
                self.check_count(name, list.len(), &count)?;
                Ok(Some(list))
            }
            Some(other) => Err(self.wrong(name, "a list", &other)),
        }
    }

    /// An object whose fields nobody here knows.
    ///
    /// # Errors
    /// 400 for another type.
    pub fn map(&mut self, name: &str, doc: &str) -> Result<Option<Map<String, Value>>, ApiError> {
        match self.take(name, || json!({"type": "object"}), doc) {
            None => Ok(None),
            Some(Value::Object(map)) => Ok(Some(map)),
            Some(other) => Err(self.wrong(name, "an object", &other)),
        }
    }

    /// An object with fields of its own.
    ///
    /// # Errors
    /// 400 for another type, and what `read` refuses.
    pub fn object<T>(
        &mut self,
        name: &str,
        doc: &str,
        read: impl Fn(&mut Fields) -> Result<T, ApiError>,
    ) -> Result<Option<T>, ApiError> {
        let value = self.take(name, || Self::described(|fields| read(fields).map(drop)), doc);
        value.map(|value| self.inner(name, value, &read)).transpose()
    }

    /// A list of objects with fields of their own.
    ///
    /// # Errors
    /// 400 for another type, for fewer or more objects than `count`, and what `read` refuses.
    pub fn objects<T>(
        &mut self,
        name: &str,
        count: RangeInclusive<usize>,
        doc: &str,
        read: impl Fn(&mut Fields) -> Result<T, ApiError>,
    ) -> Result<Option<Vec<T>>, ApiError> {
        let item = match self.schema {
            Some(_) => Self::described(|fields| read(fields).map(drop)),
            None => Value::Null,
        };
        let Some(list) = self.list(name, count, item, doc)? else { return Ok(None) };
        let each = list.into_iter().enumerate();
        each.map(|(i, value)| self.inner(&format!("{name}[{i}]"), value, &read)).collect::<Result<_, _>>().map(Some)
    }

    fn inner<T>(
        &mut self,
        name: &str,
        value: Value,
        read: impl Fn(&mut Fields) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        let Value::Object(values) = value else { return Err(self.wrong(name, "an object", &value)) };
        let mut fields = Fields { path: self.path_of(name), values, ..Self::default() };
        let out = read(&mut fields)?;
        self.ignored.extend(fields.into_ignored());
        self.ignored.truncate(MOST_IGNORED);
        Ok(out)
    }

    /// Takes everything that is left, for readers that pass an object on as it is.
    pub fn rest(&mut self) -> Map<String, Value> {
        std::mem::take(&mut self.values)
    }

    /// Fields that are known and that change nothing in the answer.
    pub fn without_effect(&mut self, names: &[&str]) {
        for name in names {
            self.take(name, || json!({}), "Accepted, without effect.");
        }
    }

    /// A field that is known and not supported: only the value that asks for nothing is accepted.
    ///
    /// # Errors
    /// 400 for any other value.
    pub fn unsupported(&mut self, name: &str, nothing: Value) -> Result<(), ApiError> {
        let doc = "Not supported: only the value that changes nothing is accepted.";
        match self.take(name, || json!({"enum": [nothing, null]}), doc) {
            Some(value) if value != nothing && !is_empty(&value) => {
                let path = self.path_of(name);
                let message = format!("`{path}` is not supported by this server");
                Err(ApiError::unsupported(path, message))
            }
            _ => Ok(()),
        }
    }

    fn check_count(&self, name: &str, found: usize, count: &RangeInclusive<usize>) -> Result<(), ApiError> {
        if count.contains(&found) {
            return Ok(());
        }
        let path = self.path_of(name);
        let message = format!("`{path}` must have {} to {} entries, found {found}", count.start(), count.end());
        Err(ApiError::field(path, message))
    }
}

/// Empty lists and objects ask for nothing.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

/// The ids of a list that stands at `path`.
///
/// # Errors
/// 400 that names the entry.
pub fn token_ids(path: &str, list: &[Value]) -> Result<Vec<TokenId>, ApiError> {
    let id = |(i, value): (usize, &Value)| {
        let id = value.as_u64().and_then(|id| TokenId::try_from(id).ok());
        id.ok_or_else(|| wrong(&format!("{path}[{i}]"), "a token id", value))
    };
    list.iter().enumerate().map(id).collect()
}

/// 400: what stands at `path` must be something else.
pub fn wrong(path: &str, expected: &str, found: &Value) -> ApiError {
    let found = match found {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(value) => value.to_string(),
        Value::String(text) => format!("the string \"{}\"", shown(text)),
        Value::Array(list) => format!("a list of {}", list.len()),
        Value::Object(_) => "an object".to_owned(),
    };
    ApiError::field(path, format!("`{path}` must be {expected}, found {found}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(value: Value) -> Fields {
        let Value::Object(map) = value else { panic!("an object") };
        Fields::new(map)
    }

    #[test]
    fn a_whole_number_is_written_as_one() {
        for bad in [json!(1.0), json!(1e3), json!("5"), json!(true), json!(u64::MAX), json!(1e19), json!(-1), json!([])]
        {
            let error = fields(json!({"n": bad})).integer("n", 0..=i64::MAX, "").expect_err("refused");
            assert_eq!(error.param.as_deref(), Some("n"), "{bad}");
        }
        let seed = |value: i64| fields(json!({"seed": value})).integer("seed", i64::MIN..=i64::MAX, "");
        assert_eq!(seed(i64::MIN), Ok(Some(i64::MIN)));
        assert_eq!(seed(i64::MAX), Ok(Some(i64::MAX)));
    }

    #[test]
    fn null_is_absent() {
        let mut fields = fields(json!({"a": null, "b": null, "c": null, "d": null, "e": null}));
        assert_eq!(fields.flag("a", ""), Ok(None));
        assert_eq!(fields.number("b", ""), Ok(None));
        assert_eq!(fields.texts("c", 1..=4, ""), Ok(None));
        assert_eq!(fields.object("d", "", |_| Ok(())), Ok(None));
        assert!(fields.unsupported("e", false.into()).is_ok());
    }

    #[test]
    fn what_nothing_asks_for_is_reported_with_its_path() {
        let mut fields = fields(json!({"x": 1, "options": {"y": 2, "known": true}, "list": [{"z": 0}]}));
        let known = |fields: &mut Fields| fields.flag("known", "");
        assert_eq!(fields.object("options", "", known), Ok(Some(Some(true))));
        assert!(fields.objects("list", 0..=9, "", known).is_ok());
        assert_eq!(fields.into_ignored(), ["options.y", "list[0].z", "x"]);
    }

    #[test]
    fn what_is_not_supported_must_ask_for_nothing() {
        let check = |value: Value| fields(json!({"beam": value})).unsupported("beam", false.into());
        assert!(check(json!(false)).is_ok() && check(json!(null)).is_ok() && check(json!({})).is_ok());
        assert_eq!(check(json!(true)).expect_err("refused").code, Some("unsupported_parameter"));
    }

    #[test]
    fn the_lines_that_read_describe_too() {
        struct Example;
        impl Read for Example {
            const NAME: &'static str = "Example";
            fn read(fields: &mut Fields) -> Result<Self, ApiError> {
                let n = fields.integer("n", 1_u32..=8, "How many.")?;
                fields.require("n", n)?;
                fields.object("inner", "", |inner| inner.flag("on", ""))?;
                Ok(Self)
            }
        }
        let schema = schema::<Example>();
        let n = json!({"type": "integer", "minimum": 1, "maximum": 8, "description": "How many."});
        assert_eq!(schema["properties"]["n"], n);
        assert_eq!(schema["required"], json!(["n"]));
        assert_eq!(schema["properties"]["inner"]["properties"]["on"]["type"], "boolean");
    }
}
