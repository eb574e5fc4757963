//! Jinja2's filters, one table.

use std::cmp::Ordering;

use minijinja::value::Value;

use super::args::Args;
use super::text::{is_space, str_of};
use super::value::{
    Kind, Number, Shape, dict, equal, items, iterate, kind, length, list, number, order, seq, tuple, type_name,
};
use super::{R, Work, fail, json, methods, ops, percent, selecting, strings, undefined};

type Filter = fn(&mut Work, &Args) -> R;

/// Every filter, called with the filtered value as its first argument.
pub(crate) const FILTERS: &[(&str, Filter)] = &[
    ("abs", abs),
    ("attr", |w, a| {
        let (value, name) = (a.need(0, "value")?, a.str(1, "name")?);
        // Attributes only, so an entry of a dict is none.
        match kind(&value) {
            Kind::Undefined => undefined(format!("the value whose `{name}` is read is undefined")),
            Kind::Other => ops::item(w, &value, &Value::from(name)),
            _ => Ok(methods::bound(&value, &name).unwrap_or(Value::UNDEFINED)),
        }
    }),
    ("batch", batch),
    ("capitalize", |w, a| text(w, a, strings::capitalize)),
    ("center", center),
    ("count", len),
    ("d", default),
    ("default", default),
    ("dictsort", dictsort),
    ("e", escape),
    ("escape", escape),
    ("first", |w, a| end_of(w, a, true)),
    ("float", float),
    ("format", format),
    ("groupby", selecting::groupby),
    ("indent", indent),
    ("int", int),
    ("items", |w, a| {
        let value = a.need(0, "value")?;
        match kind(&value) {
            Kind::Undefined => seq(w, Vec::new(), Shape::Generator),
            Kind::Dict => methods::dict_items(w, &value, a),
            _ => fail("can only get item pairs from a mapping"),
        }
    }),
    ("join", join),
    ("last", |w, a| end_of(w, a, false)),
    ("length", len),
    ("list", |w, a| {
        let items = iterate(w, &a.need(0, "value")?)?;
        list(w, items)
    }),
    ("lower", |w, a| text(w, a, str::to_lowercase)),
    ("map", selecting::map),
    ("max", |w, a| extreme(w, a, Ordering::Greater)),
    ("min", |w, a| extreme(w, a, Ordering::Less)),
    ("reject", |w, a| selecting::select(w, a, false, false)),
    ("rejectattr", |w, a| selecting::select(w, a, true, false)),
    ("replace", replace),
    ("reverse", reverse),
    ("round", round),
    ("safe", |w, a| {
        let text = str_of(w, &a.need(0, "value")?)?;
        Ok(Value::from_safe_string(text))
    }),
    ("select", |w, a| selecting::select(w, a, false, true)),
    ("selectattr", |w, a| selecting::select(w, a, true, true)),
    ("slice", slice),
    ("sort", sort),
    ("string", |w, a| {
        let value = a.need(0, "value")?;
        match kind(&value) {
            Kind::Str(_) => Ok(value),
            _ => Ok(Value::from(str_of(w, &value)?)),
        }
    }),
    ("sum", sum),
    ("title", title),
    ("tojson", json::tojson),
    ("trim", |w, a| {
        let text = str_of(w, &a.need(0, "value")?)?;
        let set = a.opt_str(1, "chars")?;
        if let Some(set) = &set {
            w.charge(text.len().saturating_mul(set.len() / 16))?;
        }
        w.string(strings::trimmed(&text, set.as_deref(), true, true))
    }),
    ("truncate", truncate),
    ("unique", unique),
    ("upper", |w, a| text(w, a, str::to_uppercase)),
    ("wordcount", |w, a| {
        let text = str_of(w, &a.need(0, "value")?)?;
        let words = text.split(|c: char| !(c.is_alphanumeric() || c == '_'));
        Ok(Value::from(words.filter(|part| !part.is_empty()).count()))
    }),
];

pub(crate) fn exists(name: &str) -> bool {
    find(name).is_some()
}

pub(crate) fn find(name: &str) -> Option<Filter> {
    FILTERS.iter().find(|(n, _)| *n == name).map(|(_, f)| *f)
}

/// The filtered value where it must be a string already.
fn string_only(args: &Args) -> R<String> {
    let value = args.need(0, "value")?;
    match kind(&value) {
        Kind::Str(text) => Ok(text.to_owned()),
        _ => fail(format!("expected str, found {}", type_name(&value))),
    }
}

fn text(work: &mut Work, args: &Args, change: impl Fn(&str) -> String) -> R {
    args.accept(1, &[])?;
    let text = str_of(work, &args.need(0, "value")?)?;
    work.string(change(&text))
}

fn abs(_: &mut Work, args: &Args) -> R {
    let value = args.need(0, "value")?;
    match number(&value) {
        Some(Number::Int(i)) if i < 0 => ops::negate(&value),
        Some(Number::Float(f)) => Ok(Value::from(f.abs())),
        Some(_) => ops::plus(&value),
        None => fail(format!("bad operand type for abs(): '{}'", type_name(&value))),
    }
}

fn len(work: &mut Work, args: &Args) -> R {
    Ok(Value::from(length(work, &args.need(0, "value")?)?))
}

fn default(_: &mut Work, args: &Args) -> R {
    args.accept(3, &["default_value", "boolean"])?;
    let value = args.need(0, "value")?;
    let replaces = value.is_undefined() || (args.bool_or(2, "boolean", false) && !value.is_true());
    match replaces {
        true => Ok(args.get(1, "default_value").unwrap_or(Value::from(""))),
        false => Ok(value),
    }
}

fn end_of(work: &mut Work, args: &Args, first: bool) -> R {
    let value = args.need(0, "value")?;
    // Python reverses a sequence for its last item, which a generator cannot.
    if let (Kind::Str(text), true) = (kind(&value), first) {
        return Ok(text.chars().next().map_or(Value::UNDEFINED, Value::from));
    }
    if let (Kind::List | Kind::Tuple, Some(n)) = (kind(&value), value.len()) {
        return Ok(match n.checked_sub(1) {
            Some(last) => value.get_item_by_index(if first { 0 } else { last })?,
            None => Value::UNDEFINED,
        });
    }
    let mut all = iterate(work, &value)?;
    Ok(match first {
        true if !all.is_empty() => all.swap_remove(0),
        _ => all.pop().unwrap_or(Value::UNDEFINED),
    })
}

fn int(work: &mut Work, args: &Args) -> R {
    let default = args.get(1, "default").unwrap_or(Value::from(0));
    let base = args.int_or(2, "base", 10)?;
    let value = args.need(0, "value")?;
    match kind(&value) {
        Kind::Int(i) => Ok(Value::from(i)),
        Kind::Bool(b) => Ok(Value::from(i64::from(b))),
        Kind::Float(f) if f.is_finite() && f.abs() < 1e38 => Ok(Value::from(f as i128)),
        Kind::Undefined => undefined("`int` of an undefined value"),
        Kind::Str(text) => {
            work.charge(text.len())?;
            Ok(parse_int(text, base)
                .or_else(|| parse_float(text).filter(|f| f.abs() < 1e38).map(|f| f as i128))
                .map_or(default, Value::from))
        }
        _ => Ok(default),
    }
}

/// `int(text, base)` of Python: spaces around, underscores between, a sign, a prefix.
fn parse_int(text: &str, base: i128) -> Option<i128> {
    let text = text.trim_matches(is_space);
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let prefix = [(16, "0x"), (8, "0o"), (2, "0b")].into_iter().find(|(b, p)| *b == base && lower.starts_with(p));
    let digits = prefix.map_or(digits, |(_, p)| &digits[p.len()..]);
    if digits.is_empty() || !digits.ends_with(|c: char| c.is_ascii_alphanumeric()) {
        return None;
    }
    if digits.starts_with(['_', '+', '-']) || digits.contains("__") {
        return None;
    }
    let base = u32::try_from(base).ok().filter(|b| (2..=36).contains(b))?;
    let value = i128::from_str_radix(&digits.replace('_', ""), base).ok()?;
    Some(if negative { -value } else { value })
}

fn parse_float(text: &str) -> Option<f64> {
    text.trim_matches(is_space).replace('_', "").parse().ok()
}

fn float(work: &mut Work, args: &Args) -> R {
    let default = args.get(1, "default").unwrap_or(Value::from(0.0));
    let value = args.need(0, "value")?;
    match (kind(&value), number(&value)) {
        (_, Some(number)) => Ok(Value::from(number.float())),
        (Kind::Undefined, _) => undefined("`float` of an undefined value"),
        (Kind::Str(text), _) => {
            work.charge(text.len())?;
            Ok(parse_float(text).map_or(default, Value::from))
        }
        _ => Ok(default),
    }
}

fn round(_: &mut Work, args: &Args) -> R {
    let value = args.need(0, "value")?;
    let precision = args.int_or(1, "precision", 0)?.clamp(-300, 300) as i32;
    let Some(number) = number(&value) else {
        return fail(format!("cannot round a {}", type_name(&value)));
    };
    let method = args.str_or(2, "method", "common")?;
    if let (Number::Int(_), "common", 0..) = (number, method.as_str(), precision) {
        return ops::plus(&value);
    }
    let scale = 10f64.powi(precision);
    let scaled = number.float() * scale;
    let rounded = match method.as_str() {
        "common" if precision >= 0 => {
            // Python rounds the exact decimal value, halves to even.
            let text = format!("{:.*}", precision as usize, number.float());
            return Ok(Value::from(text.parse::<f64>().unwrap_or(f64::NAN)));
        }
        "common" => scaled.round_ties_even(),
        "ceil" => scaled.ceil(),
        "floor" => scaled.floor(),
        _ => return fail("method must be common, ceil or floor"),
    };
    Ok(Value::from(rounded / scale))
}

fn center(work: &mut Work, args: &Args) -> R {
    let text = str_of(work, &args.need(0, "value")?)?;
    let width = args.int_or(1, "width", 80)?;
    strings::padded(work, &text, width, ' ', strings::Side::Both)
}

fn escape(work: &mut Work, args: &Args) -> R {
    let value = args.need(0, "value")?;
    if value.is_safe() {
        return Ok(value);
    }
    let escaped = strings::escape_html(&str_of(work, &value)?);
    work.charge_string(escaped.len())?;
    Ok(Value::from_safe_string(escaped))
}

fn format(work: &mut Work, args: &Args) -> R {
    let template = str_of(work, &args.need(0, "value")?)?;
    let named = args.all_named();
    let values = match named.is_empty() {
        true => tuple(work, args.positional[1..].to_vec())?,
        false => {
            let pairs = named.into_iter().map(|(k, v)| (Value::from(k), v)).collect();
            dict(work, pairs)?
        }
    };
    percent::format(work, &template, &values)
}

fn indent(work: &mut Work, args: &Args) -> R {
    args.accept(4, &["width", "first", "blank"])?;
    let text = string_only(args)?;
    let width = args.get(1, "width").unwrap_or(Value::from(4));
    let by = match kind(&width) {
        Kind::Str(text) => text.to_owned(),
        _ => {
            let width = usize::try_from(args.int_or(1, "width", 4)?.max(0)).unwrap_or(usize::MAX);
            work.charge_string(width)?;
            " ".repeat(width)
        }
    };
    let (first, blank) = (args.bool_or(2, "first", false), args.bool_or(3, "blank", false));
    let lines = text.matches('\n').count() + 1;
    work.charge_string(text.len().saturating_add(by.len().saturating_mul(lines)))?;
    let mut out = String::new();
    // A newline is added and so a trailing one gives no further line, as Jinja2 does it.
    let source = text.clone() + "\n";
    for (i, line) in source.split_terminator('\n').enumerate() {
        if i > 0 {
            out.push('\n');
        }
        let indents = if i == 0 { first } else { blank || !line.is_empty() };
        if indents {
            out.push_str(&by);
        }
        out.push_str(line);
    }
    Ok(Value::from(out))
}

fn join(work: &mut Work, args: &Args) -> R {
    args.accept(3, &["d", "attribute"])?;
    let value = args.need(0, "value")?;
    let mut parts = iterate(work, &value)?;
    if let Some(attribute) = args.get(2, "attribute").filter(|v| !v.is_none()) {
        parts = selecting::attributes(work, &parts, &attribute, None)?;
    }
    let separator = match args.get(1, "d") {
        Some(separator) => str_of(work, &separator)?,
        None => String::new(),
    };
    strings::join(work, &parts, &separator)
}

fn replace(work: &mut Work, args: &Args) -> R {
    args.accept(4, &["old", "new", "count"])?;
    let text = str_of(work, &args.need(0, "value")?)?;
    let old = str_of(work, &args.need(1, "old")?)?;
    let new = str_of(work, &args.need(2, "new")?)?;
    strings::replace(work, &text, &old, &new, args.int_or(3, "count", -1)?)
}

fn reverse(work: &mut Work, args: &Args) -> R {
    let value = args.need(0, "value")?;
    if let Kind::Str(text) = kind(&value) {
        return work.string(text.chars().rev().collect::<String>());
    }
    let mut all = iterate(work, &value)?;
    all.reverse();
    seq(work, all, Shape::Generator)
}

fn title(work: &mut Work, args: &Args) -> R {
    let source = str_of(work, &args.need(0, "value")?)?;
    let mut out = String::with_capacity(source.len());
    let mut inside = false;
    for c in source.chars() {
        match inside {
            true => out.extend(c.to_lowercase()),
            false => out.extend(c.to_uppercase()),
        }
        // Unlike `str.title`, the filter knows apostrophes.
        inside = !(is_space(c) || "-({[<".contains(c));
    }
    work.string(out)
}

fn truncate(work: &mut Work, args: &Args) -> R {
    let value = args.need(0, "value")?;
    if value.is_undefined() {
        return Ok(value);
    }
    let text = string_only(args)?;
    let length = args.int_or(1, "length", 255)?;
    let kill_words = args.bool_or(2, "killwords", false);
    let end = args.str_or(3, "end", "...")?;
    let leeway = args.int_or(4, "leeway", 5)?;
    let (size, end_size) = (text.chars().count() as i128, end.chars().count() as i128);
    if length < end_size || leeway < 0 {
        return fail(format!("truncate: expected a length of at least {end_size}, found {length}"));
    }
    if size <= length.saturating_add(leeway) {
        return work.string(text);
    }
    let kept: String = text.chars().take((length - end_size) as usize).collect();
    let kept = match kill_words {
        true => kept.as_str(),
        false => kept.rsplit_once(' ').map_or(kept.as_str(), |(before, _)| before),
    };
    work.string(kept.to_owned() + &end)
}

fn batch(work: &mut Work, args: &Args) -> R {
    let all = iterate(work, &args.need(0, "value")?)?;
    let count = args.int_or(1, "linecount", 0)?;
    let Some(count) = usize::try_from(count).ok().filter(|c| *c > 0) else {
        return fail("batch() needs a positive number of items");
    };
    let fill = args.get(2, "fill_with").filter(|v| !v.is_none());
    let mut rows = Vec::new();
    for chunk in all.chunks(count) {
        let mut row = chunk.to_vec();
        if let Some(fill) = &fill {
            work.charge_items(count - row.len())?;
            row.resize(count, fill.clone());
        }
        rows.push(list(work, row)?);
    }
    seq(work, rows, Shape::Generator)
}

fn slice(work: &mut Work, args: &Args) -> R {
    let all = iterate(work, &args.need(0, "value")?)?;
    let slices = args.int_or(1, "slices", 0)?;
    let Some(slices) = usize::try_from(slices).ok().filter(|c| *c > 0) else {
        return fail("slice() needs a positive number of slices");
    };
    work.charge_items(slices.saturating_mul(4))?;
    let fill = args.get(2, "fill_with").filter(|v| !v.is_none());
    let (each, extra) = (all.len() / slices, all.len() % slices);
    let mut rows = Vec::new();
    let mut at = 0;
    for i in 0..slices {
        let size = each + usize::from(i < extra);
        let mut row = all[at..at + size].to_vec();
        at += size;
        if let (Some(fill), true) = (&fill, i >= extra) {
            row.push(fill.clone());
        }
        rows.push(list(work, row)?);
    }
    seq(work, rows, Shape::Generator)
}

/// Keys by which things are sorted or compared: lower case unless told otherwise.
pub(super) fn fold_case(work: &mut Work, value: &Value, case_sensitive: bool) -> R {
    match kind(value) {
        Kind::Str(text) if !case_sensitive => work.string(text.to_lowercase()),
        _ => Ok(value.clone()),
    }
}

/// Sorts by keys made beforehand; stable, and `reverse` keeps equal ones in order, as in Python.
pub(super) fn sort_by_keys(work: &mut Work, mut keyed: Vec<(Vec<Value>, Value)>, reverse: bool) -> R<Vec<Value>> {
    work.charge_items(4 * keyed.len())?;
    let mut failed = None;
    keyed.sort_by(|(a, _), (b, _)| {
        for (a, b) in a.iter().zip(b) {
            match order(work, a, b) {
                Ok(Ordering::Equal) => {}
                Ok(found) => return if reverse { found.reverse() } else { found },
                Err(error) => {
                    failed.get_or_insert(error);
                    return Ordering::Equal;
                }
            }
        }
        Ordering::Equal
    });
    match failed {
        Some(error) => Err(error),
        None => Ok(keyed.into_iter().map(|(_, value)| value).collect()),
    }
}

fn sort(work: &mut Work, args: &Args) -> R {
    args.accept(4, &["reverse", "case_sensitive", "attribute"])?;
    let all = iterate(work, &args.need(0, "value")?)?;
    let reverse = args.bool_or(1, "reverse", false);
    let case_sensitive = args.bool_or(2, "case_sensitive", false);
    let attribute = args.opt_str(3, "attribute")?;
    let paths: Vec<Value> = match &attribute {
        Some(list) => list.split(',').map(Value::from).collect(),
        None => Vec::new(),
    };
    let mut keyed = Vec::new();
    for value in all {
        let mut key = Vec::new();
        for path in &paths {
            let found = selecting::attribute(work, &value, path, None)?;
            key.push(fold_case(work, &found, case_sensitive)?);
        }
        if paths.is_empty() {
            key.push(fold_case(work, &value, case_sensitive)?);
        }
        keyed.push((key, value));
    }
    let sorted = sort_by_keys(work, keyed, reverse)?;
    list(work, sorted)
}

fn dictsort(work: &mut Work, args: &Args) -> R {
    args.accept(4, &["case_sensitive", "by", "reverse"])?;
    let value = args.need(0, "value")?;
    let pairs = methods::dict_items(work, &value, args)?;
    let case_sensitive = args.bool_or(1, "case_sensitive", false);
    let by = match args.str_or(2, "by", "key")?.as_str() {
        "key" => 0,
        "value" => 1,
        other => return fail(format!("can only sort by key or value, not by `{other}`")),
    };
    let mut keyed = Vec::new();
    for pair in items(work, &pairs)? {
        let key = pair.get_item_by_index(by)?;
        keyed.push((vec![fold_case(work, &key, case_sensitive)?], pair));
    }
    let sorted = sort_by_keys(work, keyed, args.bool_or(3, "reverse", false))?;
    list(work, sorted)
}

fn extreme(work: &mut Work, args: &Args, wanted: Ordering) -> R {
    args.accept(3, &["case_sensitive", "attribute"])?;
    let all = iterate(work, &args.need(0, "value")?)?;
    let case_sensitive = args.bool_or(1, "case_sensitive", false);
    let path = args.get(2, "attribute").filter(|v| !v.is_none());
    let mut best: Option<(Value, Value)> = None;
    for value in all {
        let key = match &path {
            Some(path) => selecting::attribute(work, &value, path, None)?,
            None => value.clone(),
        };
        let key = fold_case(work, &key, case_sensitive)?;
        let better = match &best {
            Some((found, _)) => order(work, &key, found)? == wanted,
            None => true,
        };
        if better {
            best = Some((key, value));
        }
    }
    Ok(best.map_or(Value::UNDEFINED, |(_, value)| value))
}

fn sum(work: &mut Work, args: &Args) -> R {
    args.accept(3, &["attribute", "start"])?;
    let all = iterate(work, &args.need(0, "value")?)?;
    let mut total = args.get(2, "start").unwrap_or(Value::from(0));
    let all = match args.get(1, "attribute").filter(|v| !v.is_none()) {
        Some(path) => selecting::attributes(work, &all, &path, None)?,
        None => all,
    };
    if matches!(kind(&total), Kind::Str(_)) {
        return fail("sum() can't sum strings");
    }
    for value in &all {
        total = ops::BINARY[0].1(work, &total, value)?;
    }
    Ok(total)
}

fn unique(work: &mut Work, args: &Args) -> R {
    args.accept(3, &["case_sensitive", "attribute"])?;
    let all = iterate(work, &args.need(0, "value")?)?;
    let case_sensitive = args.bool_or(1, "case_sensitive", false);
    let path = args.get(2, "attribute").filter(|v| !v.is_none());
    let (mut seen, mut kept): (Vec<Value>, Vec<Value>) = (Vec::new(), Vec::new());
    'values: for value in all {
        let key = match &path {
            Some(path) => selecting::attribute(work, &value, path, None)?,
            None => value.clone(),
        };
        let key = fold_case(work, &key, case_sensitive)?;
        if matches!(kind(&key), Kind::List | Kind::Dict) {
            return fail(format!("unhashable type: '{}'", type_name(&key)));
        }
        work.charge_items(seen.len())?;
        for other in &seen {
            if equal(work, other, &key)? {
                continue 'values;
            }
        }
        seen.push(key);
        kept.push(value);
    }
    seq(work, kept, Shape::Generator)
}
