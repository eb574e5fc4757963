//! Methods by the type of their value, and what `a.b(…)` calls.

use std::sync::Arc;

use minijinja::value::{Object, ObjectRepr, Value};
use minijinja::{Error, ErrorKind, State};

use super::args::Args;
use super::value::{Kind, dict, entries, equal, items, kind, list, lookup, seq, tuple, type_name};
use super::value::{Namespace, Shape};
use super::{R, Work, fail, strings, undefined, work};

type Method = fn(&mut Work, &Value, &Args) -> R;

const DICT: &[(&str, Method)] = &[
    ("copy", |w, v, _| {
        let entries = entries(w, v)?;
        dict(w, entries)
    }),
    ("get", |_, v, a| {
        let default = a.get(1, "default").unwrap_or(Value::from(()));
        Ok(lookup(v, &a.need(0, "key")?).unwrap_or(default))
    }),
    ("items", dict_items),
    ("keys", |w, v, _| {
        let keys = entries(w, v)?.into_iter().map(|(k, _)| k).collect();
        list(w, keys)
    }),
    ("values", |w, v, _| {
        let values = entries(w, v)?.into_iter().map(|(_, v)| v).collect();
        list(w, values)
    }),
];

const LIST: &[(&str, Method)] = &[
    ("copy", |w, v, _| {
        let items = items(w, v)?;
        list(w, items)
    }),
    ("count", |w, v, a| {
        let wanted = a.need(0, "value")?;
        let mut found = 0;
        for item in items(w, v)? {
            found += u64::from(equal(w, &item, &wanted)?);
        }
        Ok(Value::from(found))
    }),
    ("index", |w, v, a| {
        let wanted = a.need(0, "value")?;
        for (at, item) in items(w, v)?.iter().enumerate() {
            if equal(w, item, &wanted)? {
                return Ok(Value::from(at));
            }
        }
        fail("the value is not in the list")
    }),
];

/// Methods that would change a list or dict. The sandbox that the templates are
/// written for refuses them, so refusing is what the same template does there.
const CHANGING: &[&str] =
    &["append", "clear", "extend", "insert", "pop", "popitem", "remove", "reverse", "setdefault", "sort", "update"];

pub(crate) fn dict_items(work: &mut Work, value: &Value, _: &Args) -> R {
    let mut pairs = Vec::new();
    for (key, item) in entries(work, value)? {
        pairs.push(tuple(work, vec![key, item])?);
    }
    seq(work, pairs, Shape::List)
}

/// Whether any type has a method of this name.
pub(crate) fn is_name(name: &str) -> bool {
    strings::METHODS.iter().any(|(n, _)| *n == name)
        || DICT.iter().chain(LIST).any(|(n, _)| *n == name)
        || CHANGING.contains(&name)
}

fn has_method(value: &Value, name: &str) -> bool {
    match kind(value) {
        Kind::Str(_) => strings::METHODS.iter().any(|(n, _)| *n == name),
        Kind::Dict => DICT.iter().any(|(n, _)| *n == name) || changes(value, name),
        Kind::List | Kind::Tuple => LIST.iter().any(|(n, _)| *n == name) || changes(value, name),
        _ => false,
    }
}

fn changes(value: &Value, name: &str) -> bool {
    let of_dict = matches!(name, "clear" | "pop" | "popitem" | "setdefault" | "update");
    let of_list = !matches!(name, "popitem" | "setdefault" | "update");
    CHANGING.contains(&name)
        && match kind(value) {
            Kind::Dict => of_dict,
            Kind::List => of_list,
            _ => false,
        }
}

/// A method that was read and not called yet.
#[derive(Debug)]
struct Bound {
    of: Value,
    name: String,
}

impl Object for Bound {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn call(self: &Arc<Self>, state: &mut State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
        call(state, &self.of, &self.name, args)
    }
}

/// The method `name` of `value` as a value of its own.
pub(crate) fn bound(value: &Value, name: &str) -> Option<Value> {
    has_method(value, name).then(|| Value::from_object(Bound { of: value.clone(), name: name.to_owned() }))
}

/// `value.name(args)`.
pub(crate) fn call(state: &mut State, value: &Value, name: &str, values: &[Value]) -> R {
    let args = Args::new(name, values)?;
    if changes(value, name) {
        return fail(format!("`{name}` would change a {}, which templates may not", type_name(value)));
    }
    let found = match kind(value) {
        Kind::Undefined => {
            return undefined(format!("the value whose `{name}()` is called is undefined"));
        }
        Kind::Str(text) => {
            if let Some((_, method)) = strings::METHODS.iter().find(|(n, _)| *n == name) {
                let work = work(state);
                work.charge(text.len() / 8)?;
                return method(work, text, &args);
            }
            None
        }
        Kind::Dict => DICT.iter().find(|(n, _)| *n == name),
        Kind::List | Kind::Tuple => LIST.iter().find(|(n, _)| *n == name),
        _ => None,
    };
    match found {
        Some((_, method)) => method(work(state), value, &args),
        None => call_stored(state, value, name, values),
    }
}

/// Calls what is stored under a name, or a method of the engine's own objects.
fn call_stored(state: &mut State, value: &Value, name: &str, values: &[Value]) -> R {
    let stored = match kind(value) {
        Kind::Dict => lookup(value, &Value::from(name)),
        Kind::Other if value.downcast_object_ref::<Namespace>().is_some() => {
            value.get_attr(name).ok().filter(|v| !v.is_undefined())
        }
        Kind::Other if values.is_empty() && name == "cycle" => {
            return fail("no items for cycling given");
        }
        Kind::Other => match value.as_object() {
            Some(object) => match object.call_method(state, name, values) {
                Err(e) if e.kind() == ErrorKind::UnknownMethod => None,
                done => return done,
            },
            None => None,
        },
        _ => None,
    };
    match stored {
        Some(stored) => stored.call(state, values),
        None => undefined(format!("'{}' object has no method `{name}`", type_name(value))),
    }
}
