//! Jinja2's tests (`x is …`), one table.

use minijinja::value::Value;

use super::args::Args;
use super::text::str_of;
use super::value::{Kind, Number, kind, number};
use super::{R, Work, fail, filters, ops, strings};

type Test = fn(&mut Work, &Args) -> R<bool>;

/// Every test, called with the tested value as its first argument.
pub(crate) const TESTS: &[(&str, Test)] = &[
    ("boolean", |_, a| Ok(matches!(kind(&a.need(0, "value")?), Kind::Bool(_)))),
    ("callable", |_, a| {
        let value = a.need(0, "value")?;
        // Everything of the engine's own but namespaces, and Python's object for what
        // is undefined; none of the plain types.
        Ok(matches!(kind(&value), Kind::Other | Kind::Undefined)
            && value.downcast_object_ref::<super::value::Namespace>().is_none())
    }),
    ("defined", |_, a| Ok(!a.need(0, "value")?.is_undefined())),
    ("divisibleby", |w, a| {
        let rest = ops::BINARY[5].1(w, &a.need(0, "value")?, &a.need(1, "num")?)?;
        Ok(matches!(number(&rest), Some(n) if n.float() == 0.0))
    }),
    ("eq", |w, a| compare(w, a, "==")),
    ("equalto", |w, a| compare(w, a, "==")),
    ("==", |w, a| compare(w, a, "==")),
    ("escaped", |_, a| Ok(a.need(0, "value")?.is_safe())),
    ("even", |w, a| parity(w, a, 0)),
    ("false", |_, a| Ok(matches!(kind(&a.need(0, "value")?), Kind::Bool(false)))),
    ("filter", |_, a| {
        let name = a.need(0, "value")?;
        Ok(name.as_str().is_some_and(filters::exists))
    }),
    ("float", |_, a| Ok(matches!(kind(&a.need(0, "value")?), Kind::Float(_)))),
    ("ge", |w, a| compare(w, a, ">=")),
    (">=", |w, a| compare(w, a, ">=")),
    ("gt", |w, a| compare(w, a, ">")),
    ("greaterthan", |w, a| compare(w, a, ">")),
    (">", |w, a| compare(w, a, ">")),
    ("in", |w, a| compare(w, a, "in")),
    ("integer", |_, a| Ok(matches!(kind(&a.need(0, "value")?), Kind::Int(_)))),
    ("iterable", |_, a| {
        Ok(matches!(
            kind(&a.need(0, "value")?),
            Kind::Undefined | Kind::Str(_) | Kind::List | Kind::Tuple | Kind::Generator | Kind::Dict
        ))
    }),
    ("le", |w, a| compare(w, a, "<=")),
    ("<=", |w, a| compare(w, a, "<=")),
    ("lower", |w, a| Ok(strings::is_lower(&str_of(w, &a.need(0, "value")?)?))),
    ("lt", |w, a| compare(w, a, "<")),
    ("lessthan", |w, a| compare(w, a, "<")),
    ("<", |w, a| compare(w, a, "<")),
    ("mapping", |_, a| Ok(matches!(kind(&a.need(0, "value")?), Kind::Dict))),
    ("ne", |w, a| compare(w, a, "!=")),
    ("!=", |w, a| compare(w, a, "!=")),
    ("none", |_, a| Ok(a.need(0, "value")?.is_none())),
    ("number", |_, a| Ok(number(&a.need(0, "value")?).is_some())),
    ("odd", |w, a| parity(w, a, 1)),
    ("sameas", same_as),
    ("sequence", |_, a| {
        Ok(matches!(kind(&a.need(0, "value")?), Kind::Undefined | Kind::Str(_) | Kind::List | Kind::Tuple | Kind::Dict))
    }),
    ("string", |_, a| Ok(matches!(kind(&a.need(0, "value")?), Kind::Str(_)))),
    ("test", |_, a| {
        let name = a.need(0, "value")?;
        Ok(name.as_str().is_some_and(exists))
    }),
    ("true", |_, a| Ok(matches!(kind(&a.need(0, "value")?), Kind::Bool(true)))),
    ("undefined", |_, a| Ok(a.need(0, "value")?.is_undefined())),
    ("upper", |w, a| Ok(strings::is_upper(&str_of(w, &a.need(0, "value")?)?))),
];

pub(crate) fn exists(name: &str) -> bool {
    find(name).is_some()
}

pub(crate) fn find(name: &str) -> Option<Test> {
    TESTS.iter().find(|(n, _)| *n == name).map(|(_, t)| *t)
}

fn compare(work: &mut Work, args: &Args, op: &str) -> R<bool> {
    ops::compare_two(work, &args.need(0, "value")?, op, &args.need(1, "other")?)
}

fn parity(work: &mut Work, args: &Args, wanted: i32) -> R<bool> {
    let rest = ops::BINARY[5].1(work, &args.need(0, "value")?, &Value::from(2))?;
    match number(&rest) {
        Some(Number::Int(i)) => Ok(i == i128::from(wanted)),
        Some(Number::Float(f)) => Ok(f == f64::from(wanted)),
        None => fail("parity of something that is no number"),
    }
}

/// Identity. Plain values have none here; equal ones of one type count as the same.
fn same_as(work: &mut Work, args: &Args) -> R<bool> {
    let (a, b) = (args.need(0, "value")?, args.need(1, "other")?);
    let same_type = super::value::type_name(&a) == super::value::type_name(&b);
    Ok(same_type && ops::compare_two(work, &a, "==", &b)?)
}
