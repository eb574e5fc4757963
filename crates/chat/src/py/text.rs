//! How Python prints values.

use minijinja::value::Value;

use super::value::{Kind, entries, items, kind, type_name};
use super::{R, Work};

/// `str.isspace` of one character, which knows four separators more than Unicode's property.
pub(crate) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

/// Python's `str(value)`; an undefined value prints as nothing.
pub(crate) fn str_of(work: &mut Work, value: &Value) -> R<String> {
    let mut out = String::new();
    match kind(value) {
        Kind::Str(text) => {
            work.charge_string(text.len())?;
            out.push_str(text);
        }
        Kind::Undefined => {}
        _ => repr_into(work, value, &mut out)?,
    }
    Ok(out)
}

/// Python's `repr(value)`.
pub(crate) fn repr(work: &mut Work, value: &Value) -> R<String> {
    let mut out = String::new();
    repr_into(work, value, &mut out)?;
    Ok(out)
}

/// Containers are at most as deep as the limits allow, so recursion is bounded.
fn repr_into(work: &mut Work, value: &Value, out: &mut String) -> R<()> {
    let before = out.len();
    match kind(value) {
        Kind::Undefined => out.push_str("Undefined"),
        Kind::None => out.push_str("None"),
        Kind::Bool(b) => out.push_str(if b { "True" } else { "False" }),
        Kind::Int(i) => out.push_str(&i.to_string()),
        Kind::Float(f) => out.push_str(&float(f)),
        Kind::Str(text) => quote_into(text, out),
        Kind::List => sequence(work, value, out, "[", "]")?,
        Kind::Tuple => {
            let close = if value.len() == Some(1) { ",)" } else { ")" };
            sequence(work, value, out, "(", close)?;
        }
        Kind::Dict => {
            out.push('{');
            for (i, (key, item)) in entries(work, value)?.iter().enumerate() {
                out.push_str(if i > 0 { ", " } else { "" });
                repr_into(work, key, out)?;
                out.push_str(": ");
                repr_into(work, item, out)?;
            }
            out.push('}');
        }
        Kind::Generator | Kind::Other => {
            out.push_str(&format!("<{} object>", type_name(value)));
        }
    }
    match kind(value) {
        // Their parts were counted; the total must still fit.
        Kind::List | Kind::Tuple | Kind::Dict => work.charge_string(out.len() / 64),
        _ => work.charge_string(out.len() - before),
    }
}

fn sequence(work: &mut Work, value: &Value, out: &mut String, open: &str, close: &str) -> R<()> {
    out.push_str(open);
    for (i, item) in items(work, value)?.iter().enumerate() {
        out.push_str(if i > 0 { ", " } else { "" });
        repr_into(work, item, out)?;
    }
    out.push_str(close);
    Ok(())
}

/// `repr` of a string: single quotes unless only those occur in it.
fn quote_into(text: &str, out: &mut String) {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => out.extend(['\\', c]),
            c if is_printable(c) => out.push(c),
            c => {
                let code = c as u32;
                out.push_str(&match code {
                    0..=0xff => format!("\\x{code:02x}"),
                    0x100..=0xffff => format!("\\u{code:04x}"),
                    _ => format!("\\U{code:08x}"),
                });
            }
        }
    }
    out.push(quote);
}

/// Code points that `repr` escapes: controls, separators other than the space, format
/// characters and private use. Unassigned code points print as they are here, which
/// differs between Python versions anyway.
const NOT_PRINTABLE: &[(u32, u32)] = &[
    (0x00, 0x1f),
    (0x7f, 0xa0),
    (0xad, 0xad),
    (0x600, 0x605),
    (0x61c, 0x61c),
    (0x6dd, 0x6dd),
    (0x70f, 0x70f),
    (0x1680, 0x1680),
    (0x180e, 0x180e),
    (0x2000, 0x200f),
    (0x2028, 0x202f),
    (0x205f, 0x206f),
    (0x3000, 0x3000),
    (0xd800, 0xf8ff),
    (0xfeff, 0xfeff),
    (0xfff0, 0xfffb),
    (0xfffe, 0xffff),
    (0xe0000, 0x10ffff),
];

pub(crate) fn is_printable(c: char) -> bool {
    let code = c as u32;
    !NOT_PRINTABLE.iter().any(|(from, to)| (*from..=*to).contains(&code))
}

/// Python's `repr` of a float: the shortest digits that read back as the same
/// float, with an exponent below 1e-4 and from 1e16 on.
pub(crate) fn float(value: f64) -> String {
    if value.is_nan() {
        return "nan".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.into();
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if value != 0.0 && !(-4..16).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.abs());
    }
    let plain = format!("{value}");
    match plain.contains('.') {
        true => plain,
        false => plain + ".0",
    }
}
