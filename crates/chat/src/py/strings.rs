//! Methods of `str`.

use minijinja::value::Value;

use super::args::Args;
use super::text::{is_printable, is_space, str_of};
use super::value::{Kind, items, iterate, kind, list, tuple, type_name};
use super::{R, Work, fail, percent};

type Method = fn(&mut Work, &str, &Args) -> R;

/// Every method of a string that templates may call.
pub(crate) const METHODS: &[(&str, Method)] = &[
    ("capitalize", |w, s, _| w.string(capitalize(s))),
    ("casefold", |w, s, _| w.string(s.to_lowercase().replace('ß', "ss"))),
    ("center", |w, s, a| pad(w, s, a, Side::Both)),
    ("count", count),
    ("endswith", |w, s, a| affix(w, s, a, |s, part| s.ends_with(part))),
    ("expandtabs", expandtabs),
    ("find", |w, s, a| find(w, s, a, false)),
    ("format", |w, s, a| percent::format_method(w, s, a)),
    ("index", |w, s, a| index(w, s, a, false)),
    ("isalnum", |_, s, _| all(s, char::is_alphanumeric)),
    ("isalpha", |_, s, _| all(s, char::is_alphabetic)),
    ("isascii", |_, s, _| Ok(Value::from(s.is_ascii()))),
    ("isdecimal", |_, s, _| all(s, |c| c.is_ascii_digit())),
    ("isdigit", |_, s, _| all(s, |c| c.is_ascii_digit() || "²³¹".contains(c))),
    ("isidentifier", |_, s, _| Ok(Value::from(is_identifier(s)))),
    ("islower", |_, s, _| Ok(Value::from(is_lower(s)))),
    ("isnumeric", |_, s, _| all(s, char::is_numeric)),
    ("isprintable", |_, s, _| Ok(Value::from(s.chars().all(is_printable)))),
    ("isspace", |_, s, _| all(s, is_space)),
    ("istitle", |_, s, _| Ok(Value::from(!s.is_empty() && title(s) == s && s.chars().any(char::is_alphabetic)))),
    ("isupper", |_, s, _| Ok(Value::from(is_upper(s)))),
    ("join", |w, s, a| join_method(w, s, a)),
    ("ljust", |w, s, a| pad(w, s, a, Side::Right)),
    ("lower", |w, s, _| w.string(s.to_lowercase())),
    ("lstrip", |w, s, a| strip(w, s, a, true, false)),
    ("partition", |w, s, a| partition(w, s, a, false)),
    ("removeprefix", |w, s, a| {
        let part = a.str(0, "prefix")?;
        w.string(s.strip_prefix(&*part).unwrap_or(s))
    }),
    ("removesuffix", |w, s, a| {
        let part = a.str(0, "suffix")?;
        w.string(s.strip_suffix(&*part).unwrap_or(s))
    }),
    ("replace", |w, s, a| {
        let (old, new) = (a.str(0, "old")?, a.str(1, "new")?);
        replace(w, s, &old, &new, a.int_or(2, "count", -1)?)
    }),
    ("rfind", |w, s, a| find(w, s, a, true)),
    ("rindex", |w, s, a| index(w, s, a, true)),
    ("rjust", |w, s, a| pad(w, s, a, Side::Left)),
    ("rpartition", |w, s, a| partition(w, s, a, true)),
    ("rsplit", |w, s, a| split(w, s, a, true)),
    ("rstrip", |w, s, a| strip(w, s, a, false, true)),
    ("split", |w, s, a| split(w, s, a, false)),
    ("splitlines", splitlines),
    ("startswith", |w, s, a| affix(w, s, a, |s, part| s.starts_with(part))),
    ("strip", |w, s, a| strip(w, s, a, true, true)),
    ("swapcase", |w, s, _| w.string(swapcase(s))),
    ("title", |w, s, _| w.string(title(s))),
    ("upper", |w, s, _| w.string(s.to_uppercase())),
    ("zfill", zfill),
];

fn all(text: &str, what: impl Fn(char) -> bool) -> R {
    Ok(Value::from(!text.is_empty() && text.chars().all(what)))
}

pub(crate) fn is_lower(text: &str) -> bool {
    text.chars().any(char::is_lowercase) && !text.chars().any(char::is_uppercase)
}

pub(crate) fn is_upper(text: &str) -> bool {
    text.chars().any(char::is_uppercase) && !text.chars().any(char::is_lowercase)
}

fn is_identifier(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|c| c == '_' || c.is_alphabetic()) && chars.all(|c| c == '_' || c.is_alphanumeric())
}

pub(crate) fn capitalize(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_uppercase().chain(chars.as_str().to_lowercase().chars()).collect(),
        None => String::new(),
    }
}

/// `str.title`: upper case after anything that is no letter.
pub(crate) fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut inside = false;
    for c in text.chars() {
        match inside {
            true => out.extend(c.to_lowercase()),
            false => out.extend(c.to_uppercase()),
        }
        inside = c.is_alphabetic();
    }
    out
}

fn swapcase(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c.is_uppercase() {
            true => out.extend(c.to_lowercase()),
            false => out.extend(c.to_uppercase()),
        }
    }
    out
}

/// Jinja's `escape`.
pub(crate) fn escape_html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

pub(crate) fn trimmed<'s>(text: &'s str, set: Option<&str>, left: bool, right: bool) -> &'s str {
    let strips = |c: char| set.map_or(is_space(c), |set| set.contains(c));
    let text = if left { text.trim_start_matches(strips) } else { text };
    if right { text.trim_end_matches(strips) } else { text }
}

fn strip(work: &mut Work, text: &str, args: &Args, left: bool, right: bool) -> R {
    args.accept(1, &[])?;
    let set = args.opt_str(0, "chars")?;
    if let Some(set) = &set {
        // Each character that is stripped looks through the whole set.
        work.charge(text.len().saturating_mul(set.len() / 16))?;
    }
    work.string(trimmed(text, set.as_deref(), left, right))
}

/// `startswith` and `endswith`, with one affix or a tuple of them.
fn affix(work: &mut Work, text: &str, args: &Args, has: fn(&str, &str) -> bool) -> R {
    args.accept(3, &[])?;
    let text = window(work, text, args)?;
    let parts = args.need(0, "prefix")?;
    let parts = match kind(&parts) {
        Kind::Tuple => items(work, &parts)?,
        _ => vec![parts],
    };
    for part in &parts {
        match kind(part) {
            Kind::Str(part) if has(&text, part) => return Ok(Value::from(true)),
            Kind::Str(_) => {}
            _ => {
                return fail(format!("the first argument must be str or a tuple of str, not {}", type_name(part)));
            }
        }
    }
    Ok(Value::from(false))
}

/// The part of a string that optional `start` and `end` arguments select.
fn window(work: &mut Work, text: &str, args: &Args) -> R<String> {
    Ok(bounds(work, text, args)?.1)
}

/// As [`window`], with the index of its first character; an impossible window is `None`.
fn bounds(work: &mut Work, text: &str, args: &Args) -> R<(Option<usize>, String)> {
    work.charge_string(text.len())?;
    let (start, end) = (args.opt_int(1, "start")?, args.opt_int(2, "end")?);
    if start.is_none() && end.is_none() {
        return Ok((Some(0), text.to_owned()));
    }
    let length = text.chars().count() as i128;
    let clamp = |i: i128| (if i < 0 { i.saturating_add(length) } else { i }).max(0);
    let (from, to) = (clamp(start.unwrap_or(0)), clamp(end.unwrap_or(length)).min(length));
    if from > to {
        return Ok((None, String::new()));
    }
    let (from, to) = (from as usize, to as usize);
    let part = text.chars().skip(from).take(to - from).collect();
    Ok((Some(from), part))
}

fn locate(work: &mut Work, text: &str, args: &Args, last: bool) -> R<Option<usize>> {
    args.accept(3, &[])?;
    let part = args.str(0, "sub")?;
    let (Some(from), text) = bounds(work, text, args)? else {
        return Ok(None);
    };
    let found = if last { text.rfind(&*part) } else { text.find(&*part) };
    Ok(found.map(|at| from + text[..at].chars().count()))
}

fn find(work: &mut Work, text: &str, args: &Args, last: bool) -> R {
    Ok(match locate(work, text, args, last)? {
        Some(at) => Value::from(at),
        None => Value::from(-1),
    })
}

fn index(work: &mut Work, text: &str, args: &Args, last: bool) -> R {
    match locate(work, text, args, last)? {
        Some(at) => Ok(Value::from(at)),
        None => fail("substring not found"),
    }
}

fn count(work: &mut Work, text: &str, args: &Args) -> R {
    let part = args.str(0, "sub")?;
    let (from, text) = bounds(work, text, args)?;
    Ok(Value::from(match (from, part.is_empty()) {
        (None, _) => 0,
        (_, true) => text.chars().count() + 1,
        _ => text.matches(&*part).count(),
    }))
}

pub(crate) fn replace(work: &mut Work, text: &str, old: &str, new: &str, count: i128) -> R {
    work.charge(text.len())?;
    let limit = usize::try_from(count).unwrap_or(usize::MAX);
    let found = match old.is_empty() {
        true => text.chars().count() + 1,
        false => text.matches(old).count(),
    };
    let times = found.min(limit);
    let removed = old.len().saturating_mul(times);
    work.charge_string((text.len() - removed).saturating_add(new.len().saturating_mul(times)))?;
    Ok(Value::from(text.replacen(old, new, times)))
}

fn split(work: &mut Work, text: &str, args: &Args, from_right: bool) -> R {
    args.accept(2, &["sep", "maxsplit"])?;
    work.charge(text.len())?;
    let at_most = args.int_or(1, "maxsplit", -1)?;
    let at_most = usize::try_from(at_most).unwrap_or(usize::MAX - 1);
    let parts: Vec<&str> = match args.opt_str(0, "sep")? {
        Some(sep) if sep.is_empty() => return fail("empty separator"),
        Some(sep) if from_right => {
            let mut parts: Vec<&str> = text.rsplitn(at_most + 1, &*sep).collect();
            parts.reverse();
            parts
        }
        Some(sep) => text.splitn(at_most + 1, &*sep).collect(),
        None if from_right => words_from_right(text, at_most),
        None => words(text, at_most),
    };
    strings(work, parts)
}

fn strings(work: &mut Work, parts: Vec<&str>) -> R {
    work.charge_items(2 * parts.len())?;
    list(work, parts.into_iter().map(Value::from).collect())
}

fn words(text: &str, at_most: usize) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text.trim_start_matches(is_space);
    while !rest.is_empty() {
        let end = rest.find(is_space).unwrap_or(rest.len());
        if parts.len() == at_most {
            parts.push(rest);
            break;
        }
        parts.push(&rest[..end]);
        rest = rest[end..].trim_start_matches(is_space);
    }
    parts
}

fn words_from_right(text: &str, at_most: usize) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text.trim_end_matches(is_space);
    while !rest.is_empty() {
        if parts.len() == at_most {
            parts.push(rest);
            break;
        }
        let start = rest.char_indices().rev().find(|(_, c)| is_space(*c)).map_or(0, |(at, c)| at + c.len_utf8());
        parts.push(&rest[start..]);
        rest = rest[..start].trim_end_matches(is_space);
    }
    parts.reverse();
    parts
}

/// The characters at which `str.splitlines` ends a line.
const LINE_ENDS: &[char] = &['\n', '\r', '\x0b', '\x0c', '\x1c', '\x1d', '\x1e', '\u{85}', '\u{2028}', '\u{2029}'];

fn splitlines(work: &mut Work, text: &str, args: &Args) -> R {
    args.accept(1, &["keepends"])?;
    work.charge(text.len())?;
    let keep = args.bool_or(0, "keepends", false);
    let mut parts = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(LINE_ENDS).unwrap_or(rest.len());
        let after = match rest[end..].chars().next() {
            Some('\r') if rest[end + 1..].starts_with('\n') => end + 2,
            Some(c) => end + c.len_utf8(),
            None => end,
        };
        parts.push(&rest[..if keep { after } else { end }]);
        rest = &rest[after..];
    }
    strings(work, parts)
}

fn partition(work: &mut Work, text: &str, args: &Args, from_right: bool) -> R {
    let sep = args.str(0, "sep")?;
    if sep.is_empty() {
        return fail("empty separator");
    }
    work.charge_string(text.len())?;
    let found = if from_right { text.rsplit_once(&*sep) } else { text.split_once(&*sep) };
    let three = match (found, from_right) {
        (Some((before, after)), _) => [before, &*sep, after],
        (None, false) => [text, "", ""],
        (None, true) => ["", "", text],
    };
    tuple(work, three.into_iter().map(Value::from).collect())
}

fn join_method(work: &mut Work, separator: &str, args: &Args) -> R {
    args.accept(1, &[])?;
    let parts = args.need(0, "iterable")?;
    let mut out = String::new();
    for (i, part) in iterate(work, &parts)?.iter().enumerate() {
        let Kind::Str(part) = kind(part) else {
            return fail(format!("sequence item {i}: expected str instance, {} found", type_name(part)));
        };
        if i > 0 {
            out.push_str(separator);
        }
        out.push_str(part);
        work.charge_string(out.len() / 64)?;
        work.charge(part.len() + separator.len())?;
    }
    work.string(out)
}

/// The `join` filter, which turns each part into text.
pub(crate) fn join(work: &mut Work, parts: &[Value], separator: &str) -> R {
    let mut out = String::new();
    for (i, part) in parts.iter().enumerate() {
        if i > 0 {
            out.push_str(separator);
        }
        out.push_str(&str_of(work, part)?);
        work.charge(separator.len())?;
        if out.len() > work.limits.output_bytes {
            work.charge_string(out.len())?;
        }
    }
    work.string(out)
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Side {
    Left,
    Right,
    Both,
}

fn pad(work: &mut Work, text: &str, args: &Args, side: Side) -> R {
    args.accept(2, &[])?;
    let width = args.int_or(0, "width", 0)?;
    let fill = args.str_or(1, "fillchar", " ")?;
    let mut chars = fill.chars();
    match (chars.next(), chars.next()) {
        (Some(fill), None) => padded(work, text, width, fill, side),
        _ => fail("the fill character must be exactly one character long"),
    }
}

/// `text` with `fill` added on the named side up to `width` characters.
pub(crate) fn padded(work: &mut Work, text: &str, width: i128, fill: char, side: Side) -> R {
    let length = text.chars().count();
    let width = usize::try_from(width.max(0)).unwrap_or(usize::MAX);
    let missing = width.saturating_sub(length);
    work.charge_string(text.len().saturating_add(missing.saturating_mul(fill.len_utf8())))?;
    let left = match side {
        Side::Left => missing,
        Side::Right => 0,
        // CPython's rule for an odd rest.
        Side::Both => missing / 2 + (missing & width & 1),
    };
    let fills = |n: usize| std::iter::repeat_n(fill, n);
    let out: String = fills(left).chain(text.chars()).chain(fills(missing - left)).collect();
    Ok(Value::from(out))
}

fn zfill(work: &mut Work, text: &str, args: &Args) -> R {
    let width = args.int_or(0, "width", 0)?;
    let (sign, digits) = match text.strip_prefix(['+', '-']) {
        Some(digits) => (&text[..1], digits),
        None => ("", text),
    };
    let filled = padded(work, digits, width - sign.len() as i128, '0', Side::Left)?;
    work.string(sign.to_owned() + filled.as_str().unwrap_or_default())
}

fn expandtabs(work: &mut Work, text: &str, args: &Args) -> R {
    let size = usize::try_from(args.int_or(0, "tabsize", 8)?.max(0)).unwrap_or(usize::MAX);
    work.charge_string(text.matches('\t').count().saturating_mul(size).saturating_add(text.len()))?;
    let (mut out, mut column) = (String::new(), 0);
    for c in text.chars() {
        match c {
            '\t' if size == 0 => {}
            '\t' => {
                let spaces = size - column % size;
                out.extend(std::iter::repeat_n(' ', spaces));
                column += spaces;
            }
            c => {
                out.push(c);
                column = if c == '\n' || c == '\r' { 0 } else { column + 1 };
            }
        }
    }
    Ok(Value::from(out))
}
