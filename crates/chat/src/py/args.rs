//! Arguments of a call, positional and named.

use minijinja::value::{Kwargs, Value};

use super::value::{Kind, Number, kind, number, type_name};
use super::{R, fail};

/// What a function, filter, test or method was called with.
pub(crate) struct Args<'a> {
    pub positional: &'a [Value],
    named: Option<Kwargs>,
    /// What is called, for messages.
    name: &'a str,
}

impl<'a> Args<'a> {
    pub fn new(name: &'a str, values: &'a [Value]) -> R<Self> {
        let (positional, named) = match values.split_last() {
            Some((last, rest)) if last.is_kwargs() => (rest, Some(Kwargs::try_from(last.clone())?)),
            _ => (values, None),
        };
        Ok(Args { positional, named, name })
    }

    /// The same named arguments with other positional ones, for a filter that calls another.
    pub fn forward<'b>(&self, name: &'b str, positional: &'b [Value]) -> Args<'b> {
        Args { positional, named: self.named.clone(), name }
    }

    /// Rejects more arguments than `positional` many or named other than `names`.
    pub fn accept(&self, positional: usize, names: &[&str]) -> R<()> {
        if self.positional.len() > positional {
            return fail(format!(
                "{}() takes at most {positional} arguments, {} were given",
                self.name,
                self.positional.len()
            ));
        }
        for name in self.named.iter().flat_map(|n| n.args()) {
            if !names.contains(&name) {
                return fail(format!("{}() has no argument `{name}`", self.name));
            }
        }
        Ok(())
    }

    pub fn get(&self, position: usize, name: &str) -> Option<Value> {
        match self.positional.get(position) {
            Some(value) => Some(value.clone()),
            None => self.named(name),
        }
    }

    pub fn named(&self, name: &str) -> Option<Value> {
        self.named.as_ref()?.peek::<Value>(name).ok()
    }

    /// All named arguments, in order.
    pub fn all_named(&self) -> Vec<(String, Value)> {
        let Some(named) = &self.named else {
            return Vec::new();
        };
        named.args().filter_map(|name| Some((name.to_owned(), named.peek::<Value>(name).ok()?))).collect()
    }

    pub fn need(&self, position: usize, name: &str) -> R {
        match self.get(position, name) {
            Some(value) => Ok(value),
            None => fail(format!("{}() needs the argument `{name}`", self.name)),
        }
    }

    pub fn str_or(&self, position: usize, name: &str, default: &str) -> R<String> {
        match self.get(position, name) {
            Some(value) => self.as_str(&value, name),
            None => Ok(default.to_owned()),
        }
    }

    pub fn str(&self, position: usize, name: &str) -> R<String> {
        let value = self.need(position, name)?;
        self.as_str(&value, name)
    }

    fn as_str(&self, value: &Value, name: &str) -> R<String> {
        match kind(value) {
            Kind::Str(text) => Ok(text.to_owned()),
            _ => fail(format!("{}() argument `{name}` must be str, not {}", self.name, type_name(value))),
        }
    }

    /// A string, or `None` where the argument is missing or none.
    pub fn opt_str(&self, position: usize, name: &str) -> R<Option<String>> {
        match self.get(position, name) {
            Some(value) if !value.is_none() => self.as_str(&value, name).map(Some),
            _ => Ok(None),
        }
    }

    /// A whole number, or `None` where the argument is missing or none.
    pub fn opt_int(&self, position: usize, name: &str) -> R<Option<i128>> {
        match self.get(position, name) {
            Some(value) if !value.is_none() => match number(&value) {
                Some(Number::Int(int)) => Ok(Some(int)),
                _ => fail(format!("{}() argument `{name}` must be an integer, not {}", self.name, type_name(&value))),
            },
            _ => Ok(None),
        }
    }

    pub fn int_or(&self, position: usize, name: &str, default: i128) -> R<i128> {
        Ok(self.opt_int(position, name)?.unwrap_or(default))
    }

    pub fn bool_or(&self, position: usize, name: &str, default: bool) -> bool {
        self.get(position, name).map_or(default, |value| value.is_true())
    }
}
