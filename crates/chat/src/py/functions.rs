//! What a template can call by name: Jinja2's globals, those that chat templates
//! are promised, and the operators that the front end lowers to calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use minijinja::value::{Object, ObjectRepr, Rest, Value, ValueOrKwargs};
use minijinja::{Environment, Error, ErrorKind, State};

use super::args::Args;
use super::value::{Kind, Namespace, depth_of, dict, entries, iterate, kind, list, tuple, type_name};
use super::{Fault, R, clock, fail, fault, filters, methods, ops, over, tests, undefined, work};
use crate::front::PREFIX;

/// Puts every operator, function, filter and test into an environment.
pub(crate) fn install(env: &mut Environment<'static>) {
    for (name, op) in ops::BINARY {
        env.add_function(format!("{PREFIX}{name}"), move |state: &mut State, args: Given| {
            fold(state, &values(args), *op)
        });
    }
    for (name, function) in OPERATORS.iter().copied() {
        env.add_function(format!("{PREFIX}{name}"), move |state: &mut State, args: Given| {
            function(state, &values(args))
        });
    }
    for (name, function) in GLOBALS.iter().copied() {
        env.add_function(name, move |state: &mut State, args: Given| function(state, &values(args)));
    }
    for (name, filter) in filters::FILTERS {
        env.add_filter(*name, move |state: &mut State, args: Given| {
            filter(work(state), &Args::new(name, &values(args))?)
        });
    }
}

/// Arguments as the engine gives them, the named ones last.
type Given = Rest<ValueOrKwargs>;

fn values(args: Given) -> Vec<Value> {
    args.0.into_iter().map(ValueOrKwargs::into_value).collect()
}

type Function = fn(&mut State, &[Value]) -> R;

/// Left-associative operators take a whole run of operands at once.
fn fold(state: &mut State, args: &[Value], op: fn(&mut super::Work, &Value, &Value) -> R) -> R {
    let work = work(state);
    let Some((first, rest)) = args.split_first() else {
        return fail("operator without operands");
    };
    let mut result = first.clone();
    for operand in rest {
        result = op(work, &result, operand)?;
    }
    Ok(result)
}

const OPERATORS: &[(&str, Function)] = &[
    ("concat", |s, a| ops::concat(work(s), a)),
    ("compare", |s, a| ops::compare(work(s), a)),
    ("neg", |_, a| ops::negate(first(a)?)),
    ("pos", |_, a| ops::plus(first(a)?)),
    ("list", |s, a| list(work(s), a.to_vec())),
    ("tuple", |s, a| tuple(work(s), a.to_vec())),
    ("dict", |s, a| {
        let pairs = a.chunks_exact(2).map(|p| (p[0].clone(), p[1].clone()));
        dict(work(s), pairs.collect())
    }),
    ("item", |s, a| match a {
        [value, key] => ops::item(work(s), value, key),
        _ => fail("a subscript has a value and a key"),
    }),
    ("attr", |s, a| match a {
        [value, name] => ops::attribute(work(s), value, name),
        _ => fail("an attribute has a value and a name"),
    }),
    ("slice", |s, a| ops::slice(work(s), a)),
    ("iter", |s, a| {
        let items = iterate(work(s), first(a)?)?;
        // Lives as long as the loop and is stored nowhere, so it may hold anything.
        Ok(Value::from(items))
    }),
    ("test", test),
    ("set", |s, a| match a {
        [space, name, value] => set_attribute(s, space, name, value),
        _ => fail("an assignment has a namespace, a name and a value"),
    }),
    ("call", |s, a| match a {
        [value, name, args @ ..] => methods::call(s, value, name.as_str().unwrap_or_default(), args),
        _ => fail("a call has a value and a name"),
    }),
    ("invoke", |s, a| match a {
        [value, args @ ..] if value.as_object().is_some() => value.call(s, args),
        [value, ..] if value.is_undefined() => undefined("the value that is called is undefined"),
        [value, ..] => fail(format!("'{}' object is not callable", type_name(value))),
        [] => fail("a call has a value"),
    }),
];

const GLOBALS: &[(&str, Function)] = &[
    ("range", range),
    ("namespace", |s, a| {
        let space = Namespace::default();
        fill(s, a, |work, name, value| space.set(work, &name, value))?;
        Ok(Value::from_object(space))
    }),
    ("dict", |s, a| {
        let mut pairs = Vec::new();
        fill(s, a, |_, name, value| {
            pairs.push((Value::from(name), value));
            Ok(())
        })?;
        dict(work(s), pairs)
    }),
    ("raise_exception", |s, a| {
        let message = super::text::str_of(work(s), first(a)?)?;
        Err(fault(Fault::Raised(message)))
    }),
    ("strftime_now", |s, a| {
        let args = Args::new("strftime_now", a)?;
        let format = args.str(0, "format")?;
        let work = work(s);
        work.charge_string(format.len().saturating_mul(32))?;
        let text = clock::strftime(work.now, &format)?;
        work.string(text)
    }),
    ("cycler", |_, a| {
        if a.is_empty() {
            return fail("cycler() needs at least one item");
        }
        for item in a {
            depth_of(item)?;
        }
        Ok(Value::from_object(Cycler { items: a.to_vec(), at: AtomicUsize::new(0) }))
    }),
    ("joiner", |s, a| {
        let args = Args::new("joiner", a)?;
        let separator = args.str_or(0, "sep", ", ")?;
        work(s).charge_string(separator.len())?;
        Ok(Value::from_object(Joiner { separator, used: AtomicUsize::new(0) }))
    }),
];

fn first(args: &[Value]) -> R<&Value> {
    match args.first() {
        Some(value) => Ok(value),
        None => fail("expected one argument, found none"),
    }
}

/// `x is name(…)`, with the name as second argument.
fn test(state: &mut State, args: &[Value]) -> R {
    let [value, name, rest @ ..] = args else {
        return fail("a test has a value and a name");
    };
    let name = name.as_str().unwrap_or_default();
    let Some(test) = tests::find(name) else {
        return fail(format!("no test named `{name}`"));
    };
    let mut all = Vec::with_capacity(rest.len() + 1);
    all.push(value.clone());
    all.extend_from_slice(rest);
    Ok(Value::from(test(work(state), &Args::new(name, &all)?)?))
}

/// Entries from one dict (or list of pairs) and from named arguments.
fn fill(state: &mut State, values: &[Value], mut put: impl FnMut(&mut super::Work, String, Value) -> R<()>) -> R<()> {
    let args = Args::new("namespace", values)?;
    let work = work(state);
    if let Some(source) = args.positional.first() {
        let pairs = match kind(source) {
            Kind::Dict => entries(work, source)?,
            _ => {
                let mut pairs = Vec::new();
                for pair in iterate(work, source)? {
                    match iterate(work, &pair)?.as_slice() {
                        [key, value] => pairs.push((key.clone(), value.clone())),
                        _ => return fail("expected pairs of a name and a value"),
                    }
                }
                pairs
            }
        };
        for (key, value) in pairs {
            let name = super::text::str_of(work, &key)?;
            put(work, name, value)?;
        }
    }
    for (name, value) in args.all_named() {
        put(work, name, value)?;
    }
    Ok(())
}

fn set_attribute(state: &mut State, space: &Value, name: &Value, value: &Value) -> R {
    let Some(namespace) = space.downcast_object_ref::<Namespace>() else {
        return fail(format!(
            "cannot assign an attribute of a {}: only a namespace has assignable ones",
            type_name(space)
        ));
    };
    let name = name.as_str().unwrap_or_default();
    namespace.set(work(state), name, value.clone())?;
    Ok(Value::UNDEFINED)
}

fn range(state: &mut State, values: &[Value]) -> R {
    let args = Args::new("range", values)?;
    args.accept(3, &[])?;
    let bound = |at: usize| args.opt_int(at, "bound");
    let (start, stop, step) = match args.positional.len() {
        1 => (0, bound(0)?, 1),
        _ => (bound(0)?.unwrap_or(0), bound(1)?, bound(2)?.unwrap_or(1)),
    };
    let Some(stop) = stop else {
        return fail("range() needs whole numbers as its bounds");
    };
    if step == 0 {
        return fail("range() arg 3 must not be zero");
    }
    let span = if step > 0 { stop.saturating_sub(start) } else { start.saturating_sub(stop) };
    let stride = step.unsigned_abs();
    let count = (span.max(0) as u128).div_ceil(stride);
    let work = work(state);
    let limit = work.limits.range_items;
    if count > limit as u128 {
        return over("length of a range", limit as u64);
    }
    let numbers = (0..count as i128).map(|i| start + i * step);
    let items = numbers.map(Value::from).collect();
    list(work, items)
}

/// `cycler(a, b, …)`: one after the other with each `next()`.
#[derive(Debug)]
struct Cycler {
    items: Vec<Value>,
    at: AtomicUsize,
}

impl Object for Cycler {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let at = self.at.load(Ordering::Relaxed) % self.items.len().max(1);
        (key.as_str()? == "current").then(|| self.items.get(at).cloned())?
    }

    fn call_method(self: &Arc<Self>, _: &mut State<'_, '_>, method: &str, _: &[Value]) -> Result<Value, Error> {
        let count = self.items.len().max(1);
        match method {
            "next" => {
                let at = self.at.fetch_add(1, Ordering::Relaxed) % count;
                Ok(self.items.get(at).cloned().unwrap_or_default())
            }
            "reset" => {
                self.at.store(0, Ordering::Relaxed);
                Ok(Value::from(()))
            }
            _ => Err(Error::from(ErrorKind::UnknownMethod)),
        }
    }
}

/// `joiner(sep)`: nothing on its first call, the separator afterwards.
#[derive(Debug)]
struct Joiner {
    separator: String,
    used: AtomicUsize,
}

impl Object for Joiner {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn call(self: &Arc<Self>, state: &mut State<'_, '_>, _: &[Value]) -> Result<Value, Error> {
        match self.used.swap(1, Ordering::Relaxed) {
            0 => Ok(Value::from("")),
            _ => work(state).string(self.separator.clone()),
        }
    }
}
