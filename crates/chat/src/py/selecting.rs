//! Filters that look into the items of a list: `map`, `select` and their kin.

use minijinja::value::Value;

use super::args::Args;
use super::filters::{self, fold_case, sort_by_keys};
use super::value::{Shape, equal, iterate, list, seq, tuple};
use super::{R, Work, fail, ops, tests};

/// `a.b.0`: attributes and indices, one after the other.
pub(super) fn attribute(work: &mut Work, value: &Value, path: &Value, default: Option<&Value>) -> R {
    let steps: Vec<Value> = match path.as_str() {
        Some(path) => path
            .split('.')
            .map(|step| match step.parse::<u32>() {
                Ok(index) => Value::from(index),
                Err(_) => Value::from(step),
            })
            .collect(),
        None => vec![path.clone()],
    };
    let mut found = value.clone();
    for step in &steps {
        found = ops::item(work, &found, step)?;
        if let (true, Some(default)) = (found.is_undefined(), default) {
            return Ok(default.clone());
        }
    }
    Ok(found)
}

pub(super) fn attributes(work: &mut Work, values: &[Value], path: &Value, default: Option<&Value>) -> R<Vec<Value>> {
    values.iter().map(|value| attribute(work, value, path, default)).collect()
}

/// What is filtered. These filters take whatever is false for an empty list.
fn items_if_any(work: &mut Work, args: &Args) -> R<Vec<Value>> {
    let value = args.need(0, "value")?;
    match value.is_true() {
        true => iterate(work, &value),
        false => Ok(Vec::new()),
    }
}

/// `map(attribute=…)` or `map("filter", …)`.
pub(super) fn map(work: &mut Work, args: &Args) -> R {
    let all = items_if_any(work, args)?;
    if let Some(path) = args.named("attribute") {
        args.accept(1, &["attribute", "default"])?;
        let default = args.named("default");
        let found = attributes(work, &all, &path, default.as_ref())?;
        return seq(work, found, Shape::Generator);
    }
    let name = args.str(1, "filter")?;
    let Some(filter) = filters::find(&name) else {
        return fail(format!("no filter named `{name}`"));
    };
    let mut call = vec![Value::UNDEFINED];
    call.extend_from_slice(&args.positional[2..]);
    let mut out = Vec::with_capacity(all.len());
    for value in all {
        work.charge_items(call.len())?;
        call[0] = value;
        out.push(filter(work, &args.forward(&name, &call))?);
    }
    seq(work, out, Shape::Generator)
}

/// `select`, `reject`, and with `by_attribute` also `selectattr` and `rejectattr`.
pub(super) fn select(work: &mut Work, args: &Args, by_attribute: bool, wanted: bool) -> R {
    let all = items_if_any(work, args)?;
    let skip = 1 + usize::from(by_attribute);
    let path = match by_attribute {
        true => Some(args.need(1, "attribute")?),
        false => None,
    };
    let test = match args.positional.get(skip) {
        Some(name) => {
            let name = name.as_str().unwrap_or_default();
            match tests::find(name) {
                Some(test) => Some((name, test)),
                None => return fail(format!("no test named `{name}`")),
            }
        }
        None => None,
    };
    let mut call = vec![Value::UNDEFINED];
    call.extend_from_slice(args.positional.get(skip + 1..).unwrap_or_default());
    let mut out = Vec::new();
    for value in all {
        work.charge_items(call.len())?;
        let tested = match &path {
            Some(path) => attribute(work, &value, path, None)?,
            None => value.clone(),
        };
        let passes = match test {
            Some((name, test)) => {
                call[0] = tested;
                test(work, &args.forward(name, &call))?
            }
            None => tested.is_true(),
        };
        if passes == wanted {
            out.push(value);
        }
    }
    seq(work, out, Shape::Generator)
}

/// `groupby(attribute)`: pairs of the common value and the items that have it.
pub(super) fn groupby(work: &mut Work, args: &Args) -> R {
    args.accept(4, &["attribute", "default", "case_sensitive"])?;
    let all = iterate(work, &args.need(0, "value")?)?;
    let path = args.need(1, "attribute")?;
    let default = args.get(2, "default");
    let case_sensitive = args.bool_or(3, "case_sensitive", false);
    let mut keyed = Vec::new();
    for value in all {
        let key = attribute(work, &value, &path, default.as_ref())?;
        keyed.push((vec![fold_case(work, &key, case_sensitive)?], value));
    }
    let sorted = sort_by_keys(work, keyed, false)?;
    let mut groups: Vec<(Value, Value, Vec<Value>)> = Vec::new();
    for value in sorted {
        let key = attribute(work, &value, &path, default.as_ref())?;
        let folded = fold_case(work, &key, case_sensitive)?;
        match groups.last_mut() {
            Some((last, _, members)) if equal(work, last, &folded)? => members.push(value),
            _ => groups.push((folded, key, vec![value])),
        }
    }
    let mut out = Vec::new();
    for (_, key, members) in groups {
        let members = list(work, members)?;
        out.push(tuple(work, vec![key, members])?);
    }
    list(work, out)
}
