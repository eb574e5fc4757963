//! Operators.

use std::cmp::Ordering;

use minijinja::value::Value;

use super::text::str_of;
use super::value::{Kind, Number, Shape, equal, items, kind, number, order, seq, type_name};
use super::{R, Work, fail, over, percent, undefined};

type Op = fn(&mut Work, &Value, &Value) -> R;

/// Operators of two values, by the name that the front end calls them.
pub(crate) const BINARY: &[(&str, Op)] =
    &[("add", add), ("sub", sub), ("mul", mul), ("div", div), ("floordiv", floordiv), ("mod", modulo), ("pow", pow)];

fn mismatch(op: &str, a: &Value, b: &Value) -> R {
    if a.is_undefined() || b.is_undefined() {
        return undefined(format!("`{op}` on an undefined value"));
    }
    fail(format!("unsupported operand type(s) for {op}: '{}' and '{}'", type_name(a), type_name(b)))
}

/// Whole numbers are 128 bits wide here; Python's have no end.
fn int(value: Option<i128>) -> R {
    match value {
        Some(value) => Ok(Value::from(value)),
        None => over("size of a whole number in bits", 127),
    }
}

fn numbers(a: &Value, b: &Value) -> Option<(Number, Number)> {
    Some((number(a)?, number(b)?))
}

fn add(work: &mut Work, a: &Value, b: &Value) -> R {
    match (kind(a), kind(b)) {
        (Kind::Str(x), Kind::Str(y)) if a.is_safe() || b.is_safe() => {
            let side = |text: &str, safe: bool| match safe {
                true => text.to_owned(),
                false => super::strings::escape_html(text),
            };
            let joined = side(x, a.is_safe()) + &side(y, b.is_safe());
            work.charge_string(joined.len())?;
            Ok(Value::from_safe_string(joined))
        }
        (Kind::Str(x), Kind::Str(y)) => {
            work.charge_string(x.len() + y.len())?;
            Ok(Value::from([x, y].concat()))
        }
        (Kind::List, Kind::List) => concat_lists(work, a, b, Shape::List),
        (Kind::Tuple, Kind::Tuple) => concat_lists(work, a, b, Shape::Tuple),
        _ => match numbers(a, b) {
            Some((Number::Int(x), Number::Int(y))) => int(x.checked_add(y)),
            Some((x, y)) => Ok(Value::from(x.float() + y.float())),
            None => mismatch("+", a, b),
        },
    }
}

fn concat_lists(work: &mut Work, a: &Value, b: &Value, shape: Shape) -> R {
    let mut all = items(work, a)?;
    all.extend(items(work, b)?);
    seq(work, all, shape)
}

fn sub(_: &mut Work, a: &Value, b: &Value) -> R {
    match numbers(a, b) {
        Some((Number::Int(x), Number::Int(y))) => int(x.checked_sub(y)),
        Some((x, y)) => Ok(Value::from(x.float() - y.float())),
        None => mismatch("-", a, b),
    }
}

fn mul(work: &mut Work, a: &Value, b: &Value) -> R {
    if let Some((x, y)) = numbers(a, b) {
        return match (x, y) {
            (Number::Int(x), Number::Int(y)) => int(x.checked_mul(y)),
            (x, y) => Ok(Value::from(x.float() * y.float())),
        };
    }
    match (number(a), number(b)) {
        (None, Some(Number::Int(times))) => repeat(work, a, times, b),
        (Some(Number::Int(times)), None) => repeat(work, b, times, a),
        _ => mismatch("*", a, b),
    }
}

fn repeat(work: &mut Work, what: &Value, times: i128, count: &Value) -> R {
    let times = usize::try_from(times.max(0)).unwrap_or(usize::MAX);
    match kind(what) {
        Kind::Str(text) => {
            work.charge_string(text.len().saturating_mul(times))?;
            Ok(Value::from(text.repeat(times)))
        }
        Kind::List | Kind::Tuple => {
            let once = items(work, what)?;
            work.charge_items(once.len().saturating_mul(times))?;
            let all = once.iter().cycle().take(once.len() * times).cloned();
            let shape = match kind(what) {
                Kind::Tuple => Shape::Tuple,
                _ => Shape::List,
            };
            seq(work, all.collect(), shape)
        }
        _ => mismatch("*", what, count),
    }
}

fn div(_: &mut Work, a: &Value, b: &Value) -> R {
    match numbers(a, b) {
        Some((_, y)) if y.float() == 0.0 => fail("division by zero"),
        Some((x, y)) => Ok(Value::from(x.float() / y.float())),
        None => mismatch("/", a, b),
    }
}

fn floordiv(_: &mut Work, a: &Value, b: &Value) -> R {
    match numbers(a, b) {
        Some((_, y)) if y.float() == 0.0 => fail("integer division or modulo by zero"),
        Some((Number::Int(x), Number::Int(y))) => int(floor_div(x, y)),
        Some((x, y)) => Ok(Value::from((x.float() / y.float()).floor())),
        None => mismatch("//", a, b),
    }
}

fn floor_div(x: i128, y: i128) -> Option<i128> {
    let quotient = x.checked_div(y)?;
    let inexact = x.checked_rem(y)? != 0;
    Some(quotient - i128::from(inexact && (x < 0) != (y < 0)))
}

/// The remainder has the sign of the divisor; a string is formatted instead.
fn modulo(work: &mut Work, a: &Value, b: &Value) -> R {
    if let Kind::Str(template) = kind(a) {
        return percent::format(work, template, b);
    }
    match numbers(a, b) {
        Some((_, y)) if y.float() == 0.0 => fail("integer modulo by zero"),
        Some((Number::Int(x), Number::Int(y))) => {
            let floor = floor_div(x, y).and_then(|q| q.checked_mul(y));
            int(floor.and_then(|f| x.checked_sub(f)))
        }
        Some((x, y)) => {
            let (x, y) = (x.float(), y.float());
            let rest = x % y;
            let crossed = rest != 0.0 && (rest < 0.0) != (y < 0.0);
            Ok(Value::from(if crossed { rest + y } else { rest }))
        }
        None => mismatch("%", a, b),
    }
}

fn pow(_: &mut Work, a: &Value, b: &Value) -> R {
    match numbers(a, b) {
        Some((Number::Int(x), Number::Int(y))) if y >= 0 => {
            int(u32::try_from(y).ok().and_then(|y| x.checked_pow(y)).or(
                // The only bases whose powers never grow.
                match x {
                    0 | 1 => Some(x),
                    -1 => Some(if y % 2 == 0 { 1 } else { -1 }),
                    _ => None,
                },
            ))
        }
        Some((x, y)) if x.float() == 0.0 && y.float() < 0.0 => fail("0.0 cannot be raised to a negative power"),
        Some((x, y)) => {
            let power = x.float().powf(y.float());
            match power.is_nan() && !x.float().is_nan() {
                true => fail("complex numbers are not supported"),
                false => Ok(Value::from(power)),
            }
        }
        None => mismatch("**", a, b),
    }
}

/// `~`: the parts as text, one after the other.
pub(crate) fn concat(work: &mut Work, parts: &[Value]) -> R {
    let mut out = String::new();
    for part in parts {
        out.push_str(&str_of(work, part)?);
        work.charge_string(out.len() / 64)?;
    }
    work.string(out)
}

pub(crate) fn negate(value: &Value) -> R {
    match number(value) {
        Some(Number::Int(i)) => int(i.checked_neg()),
        Some(Number::Float(f)) => Ok(Value::from(-f)),
        None => mismatch("unary -", value, value),
    }
}

pub(crate) fn plus(value: &Value) -> R {
    match number(value) {
        Some(Number::Int(i)) => int(Some(i)),
        Some(Number::Float(f)) => Ok(Value::from(f)),
        None => mismatch("unary +", value, value),
    }
}

/// A chain `a < b == c …`: operands with the operators between them, as text.
pub(crate) fn compare(work: &mut Work, parts: &[Value]) -> R {
    for three in parts.windows(3).step_by(2) {
        let [left, op, right] = three else { continue };
        if !compare_two(work, left, op.as_str().unwrap_or_default(), right)? {
            return Ok(Value::from(false));
        }
    }
    Ok(Value::from(true))
}

pub(crate) fn compare_two(work: &mut Work, a: &Value, op: &str, b: &Value) -> R<bool> {
    let nan = |v: &Value| matches!(number(v), Some(Number::Float(f)) if f.is_nan());
    Ok(match op {
        "==" => equal(work, a, b)?,
        "!=" => !equal(work, a, b)?,
        "in" => contains(work, b, a)?,
        "not in" => !contains(work, b, a)?,
        _ => {
            let ordering = order(work, a, b)?;
            if nan(a) || nan(b) {
                return Ok(false);
            }
            match op {
                "<" => ordering == Ordering::Less,
                "<=" => ordering != Ordering::Greater,
                ">" => ordering == Ordering::Greater,
                ">=" => ordering != Ordering::Less,
                _ => return fail(format!("unknown comparison `{op}`")),
            }
        }
    })
}

/// `needle in haystack`.
pub(crate) fn contains(work: &mut Work, haystack: &Value, needle: &Value) -> R<bool> {
    match kind(haystack) {
        Kind::Str(text) => match kind(needle) {
            Kind::Str(part) => {
                work.charge(text.len())?;
                Ok(text.contains(part))
            }
            _ => fail(format!("'in <string>' requires string as left operand, not {}", type_name(needle))),
        },
        Kind::Dict => match kind(needle) {
            Kind::List | Kind::Dict => fail(format!("unhashable type: '{}'", type_name(needle))),
            _ => {
                if needle.as_str().is_none() {
                    work.charge_items(haystack.len().unwrap_or(0))?;
                }
                Ok(super::value::lookup(haystack, needle).is_some())
            }
        },
        Kind::List | Kind::Tuple | Kind::Generator => {
            for item in items(work, haystack)? {
                if equal(work, &item, needle)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        Kind::Undefined => Ok(false),
        _ => fail(format!("argument of type '{}' is not iterable", type_name(haystack))),
    }
}

/// Where an index counted from either end falls in `length` items.
fn index_in(index: i128, length: usize) -> Option<usize> {
    let index = if index < 0 { index + length as i128 } else { index };
    usize::try_from(index).ok().filter(|&i| i < length)
}

/// `value[key]`; what is not there is undefined.
pub(crate) fn item(work: &mut Work, value: &Value, key: &Value) -> R {
    let index = match number(key) {
        Some(Number::Int(i)) => Some(i),
        _ => None,
    };
    match (kind(value), index) {
        (Kind::Undefined, _) => undefined("the value that is subscripted is undefined"),
        (Kind::Dict, _) => {
            if key.as_str().is_none() {
                work.charge_items(value.len().unwrap_or(0))?;
            }
            match super::value::lookup(value, key) {
                Some(found) => Ok(found),
                None => Ok(method_or_undefined(value, key)),
            }
        }
        (Kind::List | Kind::Tuple, Some(index)) => {
            let found = index_in(index, value.len().unwrap_or(0));
            Ok(match found {
                Some(at) => value.get_item_by_index(at)?,
                None => Value::UNDEFINED,
            })
        }
        (Kind::Str(text), Some(index)) => {
            work.charge(text.len() / 8)?;
            let length = text.chars().count();
            Ok(match index_in(index, length) {
                Some(at) => text.chars().nth(at).map_or(Value::UNDEFINED, Value::from),
                None => Value::UNDEFINED,
            })
        }
        (Kind::Other, _) if key.as_str().is_some() => Ok(value.get_item(key).unwrap_or(Value::UNDEFINED)),
        _ => Ok(method_or_undefined(value, key)),
    }
}

/// Jinja2 takes an attribute where there is no item, so `"a"["upper"]` is a method.
fn method_or_undefined(value: &Value, key: &Value) -> Value {
    key.as_str().and_then(|name| super::methods::bound(value, name)).unwrap_or(Value::UNDEFINED)
}

/// `value.name`, where the name is also that of a method: the method comes first.
pub(crate) fn attribute(work: &mut Work, value: &Value, name: &Value) -> R {
    let text = name.as_str().unwrap_or_default();
    if value.is_undefined() {
        return undefined(format!("the value whose attribute `{text}` is read is undefined"));
    }
    match super::methods::bound(value, text) {
        Some(method) => Ok(method),
        None => item(work, value, name),
    }
}

/// `value[start:stop:step]` of a string, list or tuple.
pub(crate) fn slice(work: &mut Work, args: &[Value]) -> R {
    let [value, start, stop, step] = args else {
        return fail("a slice has three bounds");
    };
    let bound = |v: &Value| match number(v) {
        _ if v.is_none() => Ok(None),
        Some(Number::Int(i)) => Ok(Some(i)),
        _ => fail("slice indices must be integers or None"),
    };
    let (start, stop, step) = (bound(start)?, bound(stop)?, bound(step)?.unwrap_or(1));
    if step == 0 {
        return fail("slice step cannot be zero");
    }
    match kind(value) {
        Kind::Str(text) => {
            work.charge_string(text.len())?;
            if step == 1 && start.unwrap_or(0) >= 0 && stop.is_none() {
                let from = usize::try_from(start.unwrap_or(0)).unwrap_or(usize::MAX);
                let tail = text.char_indices().nth(from).map_or("", |(at, _)| &text[at..]);
                return Ok(Value::from(tail));
            }
            work.charge(text.len() * 4)?;
            let chars: Vec<char> = text.chars().collect();
            let picked = picks(chars.len(), start, stop, step);
            Ok(Value::from(picked.map(|i| chars[i]).collect::<String>()))
        }
        Kind::List | Kind::Tuple => {
            let all = items(work, value)?;
            let shape = match kind(value) {
                Kind::Tuple => Shape::Tuple,
                _ => Shape::List,
            };
            let picked = picks(all.len(), start, stop, step);
            let picked = picked.map(|i| all[i].clone()).collect();
            seq(work, picked, shape)
        }
        Kind::Undefined => undefined("the value that is sliced is undefined"),
        _ => fail(format!("'{}' object cannot be sliced", type_name(value))),
    }
}

/// The indices that a slice takes.
fn picks(length: usize, start: Option<i128>, stop: Option<i128>, step: i128) -> impl Iterator<Item = usize> {
    let length = length as i128;
    let (low, high) = if step > 0 { (0, length) } else { (-1, length - 1) };
    let clamp = |index: i128| match index < 0 {
        true => index.saturating_add(length).clamp(low, high),
        false => index.clamp(low, high),
    };
    let (first, last) = if step > 0 { (low, high) } else { (high, low) };
    let stop = stop.map_or(last, clamp);
    let mut at = start.map_or(first, clamp);
    std::iter::from_fn(move || {
        let inside = if step > 0 { at < stop } else { at > stop };
        let found = inside.then_some(at as usize);
        at = at.saturating_add(step);
        found
    })
}
