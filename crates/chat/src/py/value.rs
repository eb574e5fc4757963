//! Python's types over the engine's values.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use minijinja::value::{Enumerator, Object, ObjectRepr, Value, ValueKind};

use super::{R, Work, fail, over, undefined};

/// A value seen as Python would see it.
pub(crate) enum Kind<'v> {
    Undefined,
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Str(&'v str),
    List,
    Tuple,
    /// What a generator-like filter returns: can be iterated and is always true.
    Generator,
    Dict,
    Other,
}

pub(crate) fn kind(value: &Value) -> Kind<'_> {
    match value.kind() {
        ValueKind::Undefined => Kind::Undefined,
        ValueKind::None => Kind::None,
        ValueKind::Bool => Kind::Bool(value.is_true()),
        ValueKind::Number => match value.is_integer() {
            true => i128::try_from(value.clone()).map_or(Kind::Other, Kind::Int),
            false => f64::try_from(value.clone()).map_or(Kind::Other, Kind::Float),
        },
        ValueKind::String => value.as_str().map_or(Kind::Other, Kind::Str),
        ValueKind::Seq => match value.downcast_object_ref::<Seq>() {
            Some(seq) => match seq.shape {
                Shape::List => Kind::List,
                Shape::Tuple => Kind::Tuple,
                Shape::Generator => Kind::Generator,
            },
            None => Kind::List,
        },
        // Loops, macros and namespaces look like maps to the engine too.
        ValueKind::Map if value.downcast_object_ref::<Dict>().is_some() => Kind::Dict,
        _ => Kind::Other,
    }
}

/// Python's name of a value's type.
pub(crate) fn type_name(value: &Value) -> &'static str {
    match kind(value) {
        Kind::Undefined => "Undefined",
        Kind::None => "NoneType",
        Kind::Bool(_) => "bool",
        Kind::Int(_) => "int",
        Kind::Float(_) => "float",
        Kind::Str(_) => "str",
        Kind::List => "list",
        Kind::Tuple => "tuple",
        Kind::Generator => "generator",
        Kind::Dict => "dict",
        Kind::Other => match value.downcast_object_ref::<Namespace>() {
            Some(_) => "Namespace",
            None => "object",
        },
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    List,
    Tuple,
    Generator,
}

/// A list that the template built.
#[derive(Debug)]
pub(crate) struct Seq {
    items: Vec<Value>,
    shape: Shape,
    /// Levels of containers below and including this one.
    depth: usize,
}

impl Object for Seq {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.items.get(key.as_usize()?).cloned()
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.items.len())
    }

    fn is_true(self: &Arc<Self>) -> bool {
        self.shape == Shape::Generator || !self.items.is_empty()
    }
}

/// A dict that the template built; keeps the order of insertion.
#[derive(Debug, Default)]
pub(crate) struct Dict {
    entries: Vec<(Value, Value)>,
    by_name: HashMap<Arc<str>, usize>,
    depth: usize,
}

impl Dict {
    fn find(&self, key: &Value) -> Option<usize> {
        match key.as_str() {
            Some(name) => self.by_name.get(name).copied(),
            None => self.entries.iter().position(|(k, _)| scalar_eq(k, key)),
        }
    }
}

impl Object for Dict {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.find(key).map(|at| self.entries[at].1.clone())
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        self.by_name.get(key).map(|&at| self.entries[at].1.clone())
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.entries.iter().map(|(k, _)| k.clone()).collect())
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        Some(self.entries.len())
    }
}

/// Keys other than strings: numbers, booleans and none compare by value.
fn scalar_eq(a: &Value, b: &Value) -> bool {
    match (number(a), number(b)) {
        (Some(a), Some(b)) => a.partial_cmp(&b) == Some(Ordering::Equal),
        _ => a.is_none() && b.is_none(),
    }
}

/// Jinja's `namespace`: the one thing a template can change.
#[derive(Debug, Default)]
pub(crate) struct Namespace(Mutex<BTreeMap<String, Value>>);

impl Object for Namespace {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        map.get(key.as_str()?).cloned()
    }
}

impl Namespace {
    pub fn set(&self, work: &mut Work, name: &str, value: Value) -> R<()> {
        depth_of(&value)?;
        work.charge_items(1)?;
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        map.insert(name.to_owned(), value);
        Ok(())
    }
}

/// Levels of containers in a value that is about to be stored in a container.
///
/// Containers hold plain values only. Without namespaces, loops and macros inside
/// them nothing can refer to itself, and depth is known when a container is
/// made: no chain can grow so long that walking or dropping it ends the stack.
pub(crate) fn depth_of(value: &Value) -> R<usize> {
    match kind(value) {
        Kind::List | Kind::Tuple | Kind::Generator => Ok(value.downcast_object_ref::<Seq>().map_or(1, |s| s.depth)),
        Kind::Dict => Ok(value.downcast_object_ref::<Dict>().map_or(1, |d| d.depth)),
        Kind::Other => fail(format!("a list, dict or namespace cannot hold a {}", type_name(value))),
        _ => Ok(0),
    }
}

fn depth_over<'v>(work: &Work, values: impl Iterator<Item = &'v Value>) -> R<usize> {
    let mut depth = 0;
    for value in values {
        depth = depth.max(depth_of(value)?);
    }
    match depth + 1 > work.limits.nesting {
        true => over("nesting of lists and dicts", work.limits.nesting as u64),
        false => Ok(depth + 1),
    }
}

/// The one way to make a list, tuple or generator.
pub(crate) fn seq(work: &mut Work, items: Vec<Value>, shape: Shape) -> R {
    work.charge_items(items.len() + 2)?;
    let depth = depth_over(work, items.iter())?;
    Ok(Value::from_object(Seq { items, shape, depth }))
}

pub(crate) fn list(work: &mut Work, items: Vec<Value>) -> R {
    seq(work, items, Shape::List)
}

pub(crate) fn tuple(work: &mut Work, items: Vec<Value>) -> R {
    seq(work, items, Shape::Tuple)
}

/// The one way to make a dict; a later entry replaces an earlier one of its key.
pub(crate) fn dict(work: &mut Work, pairs: Vec<(Value, Value)>) -> R {
    work.charge_items(4 * pairs.len() + 4)?;
    let mut dict = Dict { depth: depth_over(work, pairs.iter().map(|(_, v)| v))?, ..Dict::default() };
    for (key, value) in pairs {
        if !matches!(kind(&key), Kind::Str(_) | Kind::None | Kind::Bool(_) | Kind::Int(_) | Kind::Float(_)) {
            return fail(format!("a {} cannot be the key of a dict", type_name(&key)));
        }
        match dict.find(&key) {
            Some(at) => dict.entries[at].1 = value,
            None => {
                if let Some(name) = key.to_str() {
                    dict.by_name.insert(name, dict.entries.len());
                } else {
                    // Keys that are no strings are found by looking at all entries.
                    work.charge_items(dict.entries.len())?;
                }
                dict.entries.push((key, value));
            }
        }
    }
    Ok(Value::from_object(dict))
}

/// Levels of lists and objects in the caller's JSON; as many as its readers allow.
const JSON_DEPTH: usize = 128;

/// JSON that is borrowed in one of its two forms.
#[derive(Clone, Copy)]
pub(crate) enum Json<'j> {
    Value(&'j serde_json::Value),
    Map(&'j serde_json::Map<String, serde_json::Value>),
}

/// The caller's JSON as Python's `json.loads` would give it, or `None` where it is
/// nested too deeply. Not counted: the caller made it, and it is as large as it is.
pub(crate) fn from_json(json: &serde_json::Value) -> Option<Value> {
    from_json_at(Json::Value(json), JSON_DEPTH)
}

/// As [`from_json`], of a list whose items are at hand.
pub(crate) fn from_json_list<'j>(list: impl Iterator<Item = Json<'j>>) -> Option<Value> {
    json_list(list, JSON_DEPTH)
}

fn from_json_at(json: Json<'_>, levels: usize) -> Option<Value> {
    use serde_json::Value as V;
    Some(match json {
        Json::Map(map) => json_dict(map, levels)?,
        Json::Value(V::Object(map)) => json_dict(map, levels)?,
        Json::Value(V::Array(array)) => json_list(array.iter().map(Json::Value), levels)?,
        Json::Value(V::Null) => Value::from(()),
        Json::Value(V::Bool(b)) => Value::from(*b),
        Json::Value(V::Number(n)) => match (n.as_i64(), n.as_u64(), n.as_f64()) {
            (Some(i), _, _) => Value::from(i),
            (_, Some(u), _) => Value::from(u),
            (_, _, f) => Value::from(f.unwrap_or(f64::NAN)),
        },
        Json::Value(V::String(s)) => Value::from(s.as_str()),
    })
}

fn json_list<'j>(list: impl Iterator<Item = Json<'j>>, levels: usize) -> Option<Value> {
    let inner = levels.checked_sub(1)?;
    let items: Option<Vec<Value>> = list.map(|v| from_json_at(v, inner)).collect();
    Some(Value::from_object(Seq { items: items?, shape: Shape::List, depth: 1 }))
}

fn json_dict(map: &serde_json::Map<String, serde_json::Value>, levels: usize) -> Option<Value> {
    let inner = levels.checked_sub(1)?;
    let mut dict = Dict { depth: 1, ..Dict::default() };
    for (key, value) in map {
        let key: Arc<str> = Arc::from(key.as_str());
        let value = from_json_at(Json::Value(value), inner)?;
        dict.by_name.insert(key.clone(), dict.entries.len());
        dict.entries.push((Value::from(key), value));
    }
    Some(Value::from_object(dict))
}

/// Entries of a dict, in order.
pub(crate) fn entries(work: &mut Work, value: &Value) -> R<Vec<(Value, Value)>> {
    let Some(dict) = value.downcast_object_ref::<Dict>() else {
        return fail(format!("expected a dict, found a {}", type_name(value)));
    };
    work.charge_items(2 * dict.entries.len())?;
    Ok(dict.entries.clone())
}

/// Items of a list, tuple or generator.
pub(crate) fn items(work: &mut Work, value: &Value) -> R<Vec<Value>> {
    if let Some(seq) = value.downcast_object_ref::<Seq>() {
        work.charge_items(seq.items.len())?;
        return Ok(seq.items.clone());
    }
    work.charge_items(value.len().unwrap_or(0))?;
    Ok(value.try_iter()?.collect())
}

/// What Python's `iter()` would give, as a list.
pub(crate) fn iterate(work: &mut Work, value: &Value) -> R<Vec<Value>> {
    match kind(value) {
        Kind::Undefined => Ok(Vec::new()),
        Kind::List | Kind::Tuple | Kind::Generator => items(work, value),
        Kind::Dict => Ok(entries(work, value)?.into_iter().map(|(k, _)| k).collect()),
        Kind::Str(text) => {
            work.charge_items(text.len())?;
            Ok(text.chars().map(Value::from).collect())
        }
        _ => fail(format!("'{}' object is not iterable", type_name(value))),
    }
}

/// Python's `len()`.
pub(crate) fn length(work: &mut Work, value: &Value) -> R<usize> {
    match kind(value) {
        Kind::Undefined => Ok(0),
        Kind::Str(text) => {
            work.charge(text.len() / 8)?;
            Ok(text.chars().count())
        }
        Kind::List | Kind::Tuple | Kind::Dict => Ok(value.len().unwrap_or(0)),
        _ => fail(format!("object of type '{}' has no len()", type_name(value))),
    }
}

/// One number of Python's tower, booleans included.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Number {
    Int(i128),
    Float(f64),
}

impl Number {
    pub fn float(self) -> f64 {
        match self {
            Number::Int(i) => i as f64,
            Number::Float(f) => f,
        }
    }

    fn partial_cmp(&self, other: &Number) -> Option<Ordering> {
        match (self, other) {
            (Number::Int(a), Number::Int(b)) => Some(a.cmp(b)),
            _ => self.float().partial_cmp(&other.float()),
        }
    }
}

pub(crate) fn number(value: &Value) -> Option<Number> {
    match kind(value) {
        Kind::Bool(b) => Some(Number::Int(i128::from(b))),
        Kind::Int(i) => Some(Number::Int(i)),
        Kind::Float(f) => Some(Number::Float(f)),
        _ => None,
    }
}

/// Python's `==`.
pub(crate) fn equal(work: &mut Work, a: &Value, b: &Value) -> R<bool> {
    if let (Some(a), Some(b)) = (number(a), number(b)) {
        return Ok(a.partial_cmp(&b) == Some(Ordering::Equal));
    }
    match (kind(a), kind(b)) {
        (Kind::Undefined, Kind::Undefined) | (Kind::None, Kind::None) => Ok(true),
        (Kind::Str(a), Kind::Str(b)) => {
            if a.len() == b.len() {
                work.charge(a.len())?;
            }
            Ok(a == b)
        }
        (Kind::List, Kind::List) | (Kind::Tuple, Kind::Tuple) => {
            if a.len() != b.len() {
                return Ok(false);
            }
            let (a, b) = (items(work, a)?, items(work, b)?);
            for (a, b) in a.iter().zip(&b) {
                if !equal(work, a, b)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        (Kind::Dict, Kind::Dict) => {
            if a.len() != b.len() {
                return Ok(false);
            }
            for (key, value) in entries(work, a)? {
                match lookup(b, &key) {
                    Some(other) if equal(work, &value, &other)? => {}
                    _ => return Ok(false),
                }
            }
            Ok(true)
        }
        (Kind::Other, Kind::Other) => Ok(match (a.downcast_object::<Namespace>(), b.downcast_object::<Namespace>()) {
            (Some(a), Some(b)) => Arc::ptr_eq(&a, &b),
            _ => false,
        }),
        _ => Ok(false),
    }
}

/// The entry of a dict, if there is one.
pub(crate) fn lookup(dict: &Value, key: &Value) -> Option<Value> {
    let object = dict.as_object()?;
    match key.as_str() {
        Some(name) => object.get_value_by_str(name),
        None => object.get_value(key),
    }
}

/// Python's ordering, where there is one.
pub(crate) fn order(work: &mut Work, a: &Value, b: &Value) -> R<Ordering> {
    if let (Some(x), Some(y)) = (number(a), number(b)) {
        // Not-a-number compares false with everything; `Greater` on neither
        // side cannot say so, and no template sorts by it.
        return Ok(x.partial_cmp(&y).unwrap_or(Ordering::Greater));
    }
    match (kind(a), kind(b)) {
        (Kind::Undefined, _) | (_, Kind::Undefined) => undefined("an undefined value has no order"),
        (Kind::Str(a), Kind::Str(b)) => {
            work.charge(a.len().min(b.len()))?;
            // UTF-8 orders as code points do, which is Python's order.
            Ok(a.cmp(b))
        }
        (Kind::List, Kind::List) | (Kind::Tuple, Kind::Tuple) => {
            let (a, b) = (items(work, a)?, items(work, b)?);
            for (a, b) in a.iter().zip(&b) {
                if !equal(work, a, b)? {
                    return order(work, a, b);
                }
            }
            Ok(a.len().cmp(&b.len()))
        }
        _ => fail(format!("'<' not supported between '{}' and '{}'", type_name(a), type_name(b))),
    }
}
