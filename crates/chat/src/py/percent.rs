//! Formatting of strings: `"%s" % x` and `"{}".format(x)`.

use minijinja::value::Value;

use super::args::Args;
use super::strings::{Side, padded};
use super::text::{float, repr, str_of};
use super::value::{Kind, Number, items, kind, lookup, number, type_name};
use super::{R, Work, fail};

/// Flags, width and precision of one conversion.
#[derive(Default)]
struct Spec {
    left: bool,
    zero: bool,
    plus: bool,
    space: bool,
    alternate: bool,
    fill: Option<char>,
    align: Option<char>,
    comma: bool,
    width: i128,
    precision: Option<usize>,
    kind: char,
}

/// A precision beyond this prints nothing but zeros.
const MOST_DIGITS: usize = 1000;

/// `template % values`.
pub(crate) fn format(work: &mut Work, template: &str, values: &Value) -> R {
    let all = match kind(values) {
        Kind::Tuple => items(work, values)?,
        _ => vec![values.clone()],
    };
    let by_name = matches!(kind(values), Kind::Dict);
    let mut next = all.iter();
    let mut out = String::new();
    let mut rest = template;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let mut named = None;
        if let Some(inner) = rest.strip_prefix('(') {
            let Some((name, after)) = inner.split_once(')') else {
                return fail("incomplete format key");
            };
            if !by_name {
                return fail("format requires a mapping");
            }
            named = lookup(values, &Value::from(name));
            rest = after;
        }
        let (spec, after) = percent_spec(rest)?;
        rest = after;
        if spec.kind == '%' {
            out.push('%');
            continue;
        }
        let value = match named.as_ref().or_else(|| next.next()) {
            Some(value) => value,
            None => return fail("not enough arguments for format string"),
        };
        let text = convert(work, &spec, value)?;
        out.push_str(&text);
        work.charge_string(out.len() / 64)?;
    }
    // Python asks only of what cannot be subscripted whether all of it was used.
    let must_use = !matches!(kind(values), Kind::Dict | Kind::List | Kind::Undefined);
    if must_use && next.next().is_some() {
        return fail("not all arguments converted during string formatting");
    }
    out.push_str(rest);
    work.string(out)
}

fn percent_spec(text: &str) -> R<(Spec, &str)> {
    let mut spec = Spec::default();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        match c {
            '-' => spec.left = true,
            '0' => spec.zero = true,
            '+' => spec.plus = true,
            ' ' => spec.space = true,
            '#' => spec.alternate = true,
            _ => break,
        }
        rest = &rest[1..];
    }
    let (width, after) = digits(rest)?;
    spec.width = width.unwrap_or(0);
    rest = after;
    if let Some(after) = rest.strip_prefix('.') {
        let (precision, after) = digits(after)?;
        spec.precision = Some(precision.unwrap_or(0).min(MOST_DIGITS as i128) as usize);
        rest = after;
    }
    let mut chars = rest.chars();
    match chars.next() {
        Some(c) => spec.kind = c,
        None => return fail("incomplete format"),
    }
    Ok((spec, chars.as_str()))
}

fn digits(text: &str) -> R<(Option<i128>, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    if end == 0 {
        return Ok((None, text));
    }
    match text[..end].parse() {
        Ok(value) => Ok((Some(value), &text[end..])),
        Err(_) => fail("width or precision of a format is too large"),
    }
}

/// One value by one conversion of `%`.
fn convert(work: &mut Work, spec: &Spec, value: &Value) -> R<String> {
    let body = match spec.kind {
        's' | 'r' | 'a' => {
            let text = match spec.kind {
                's' => str_of(work, value)?,
                _ => repr(work, value)?,
            };
            match spec.precision {
                Some(count) => text.chars().take(count).collect(),
                None => text,
            }
        }
        'c' => match kind(value) {
            Kind::Str(text) => text.to_owned(),
            Kind::Int(code) => u32::try_from(code).ok().and_then(char::from_u32).map_or(String::new(), String::from),
            _ => return fail("%c requires an int or a character"),
        },
        'd' | 'i' | 'u' | 'x' | 'X' | 'o' | 'e' | 'E' | 'f' | 'F' | 'g' | 'G' => {
            return numeric(work, spec, value);
        }
        other => return fail(format!("unsupported format character {other:?}")),
    };
    let side = if spec.left { Side::Right } else { Side::Left };
    finish(work, &body, spec.width, ' ', side)
}

fn finish(work: &mut Work, body: &str, width: i128, fill: char, side: Side) -> R<String> {
    let padded = padded(work, body, width, fill, side)?;
    Ok(padded.as_str().unwrap_or_default().to_owned())
}

fn numeric(work: &mut Work, spec: &Spec, value: &Value) -> R<String> {
    let Some(number) = number(value) else {
        return fail(format!("%{} format: a real number is required, not {}", spec.kind, type_name(value)));
    };
    let (negative, magnitude) = magnitude(spec, number)?;
    let sign = match (negative, spec.plus, spec.space) {
        (true, _, _) => "-",
        (_, true, _) => "+",
        (_, _, true) => " ",
        _ => "",
    };
    let prefix = match (spec.alternate, spec.kind) {
        (true, 'x') => "0x",
        (true, 'X') => "0X",
        (true, 'o') => "0o",
        (true, 'b') => "0b",
        _ => "",
    };
    let magnitude = if spec.comma { grouped(&magnitude) } else { magnitude };
    let head = format!("{sign}{prefix}");
    if spec.zero && !spec.left && spec.align.is_none() {
        let width = spec.width - head.len() as i128;
        return Ok(head + &finish(work, &magnitude, width, '0', Side::Left)?);
    }
    let side = match (spec.left, spec.align) {
        (true, _) | (_, Some('<')) => Side::Right,
        (_, Some('^')) => Side::Both,
        _ => Side::Left,
    };
    let fill = spec.fill.unwrap_or(' ');
    finish(work, &(head + &magnitude), spec.width, fill, side)
}

fn magnitude(spec: &Spec, number: Number) -> R<(bool, String)> {
    let whole = match number {
        Number::Int(i) => i,
        Number::Float(f) if f.is_finite() => f.trunc() as i128,
        Number::Float(_) if "dixXou".contains(spec.kind) => {
            return fail("cannot convert float infinity or NaN to integer");
        }
        Number::Float(_) => 0,
    };
    let (value, precision) = (number.float(), spec.precision.unwrap_or(6));
    let size = value.abs();
    let text = match spec.kind {
        'x' => format!("{:x}", whole.unsigned_abs()),
        'X' => format!("{:X}", whole.unsigned_abs()),
        'o' => format!("{:o}", whole.unsigned_abs()),
        'b' => format!("{:b}", whole.unsigned_abs()),
        'd' | 'i' | 'u' => {
            let digits = whole.unsigned_abs().to_string();
            format!("{digits:0>width$}", width = spec.precision.unwrap_or(0))
        }
        _ if !value.is_finite() => float(size),
        'f' | 'F' => format!("{size:.precision$}"),
        '%' => format!("{:.precision$}%", size * 100.0),
        'e' | 'E' => exponent(size, precision, spec.kind),
        _ => general(size, precision.max(1), spec),
    };
    let negative = match spec.kind {
        'x' | 'X' | 'o' | 'b' | 'd' | 'i' | 'u' => whole < 0,
        _ => value.is_sign_negative() && !value.is_nan(),
    };
    Ok((negative, text))
}

fn exponent(size: f64, precision: usize, letter: char) -> String {
    let text = format!("{size:.precision$e}");
    let (digits, power) = text.split_once('e').unwrap_or((&text, "0"));
    let power: i32 = power.parse().unwrap_or(0);
    let sign = if power < 0 { '-' } else { '+' };
    format!("{digits}{letter}{sign}{:02}", power.abs())
}

/// `%g`: so many significant digits, in whichever notation is shorter.
fn general(size: f64, precision: usize, spec: &Spec) -> String {
    let scientific = format!("{size:.digits$e}", digits = precision - 1);
    let power: i32 = scientific.split_once('e').and_then(|(_, p)| p.parse().ok()).unwrap_or(0);
    let trim = |text: &str| match text.contains('.') && !spec.alternate {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    if (-4..precision as i32).contains(&power) {
        let decimals = (precision as i32 - 1 - power).max(0) as usize;
        return trim(&format!("{size:.decimals$}"));
    }
    let letter = if spec.kind == 'G' { 'E' } else { 'e' };
    let text = exponent(size, precision - 1, letter);
    match text.split_once(letter) {
        Some((digits, power)) => format!("{}{letter}{power}", trim(digits)),
        None => text,
    }
}

fn grouped(digits: &str) -> String {
    let whole = digits.find('.').unwrap_or(digits.len());
    let mut out = String::new();
    for (i, c) in digits[..whole].chars().enumerate() {
        if i > 0 && (whole - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out + &digits[whole..]
}

/// `template.format(…)`. Attributes are not reached through the braces: the
/// sandbox exists because they once were.
pub(crate) fn format_method(work: &mut Work, template: &str, args: &Args) -> R {
    let mut out = String::new();
    let mut automatic = 0;
    let mut rest = template;
    while let Some(at) = rest.find(['{', '}']) {
        out.push_str(&rest[..at]);
        let brace = &rest[at..=at];
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix(brace) {
            out.push_str(brace);
            rest = after;
            continue;
        }
        if brace == "}" {
            return fail("single '}' encountered in format string");
        }
        let Some((field, after)) = rest.split_once('}') else {
            return fail("expected '}' before end of string");
        };
        rest = after;
        let text = field_text(work, field, args, &mut automatic)?;
        out.push_str(&text);
        work.charge_string(out.len() / 64)?;
    }
    out.push_str(rest);
    work.string(out)
}

fn field_text(work: &mut Work, field: &str, args: &Args, automatic: &mut usize) -> R<String> {
    let (head, spec) = field.split_once(':').unwrap_or((field, ""));
    let (name, conversion) = head.split_once('!').unwrap_or((head, ""));
    let value = match name.parse::<usize>() {
        Ok(at) => args.positional.get(at).cloned(),
        Err(_) if name.is_empty() => {
            *automatic += 1;
            args.positional.get(*automatic - 1).cloned()
        }
        Err(_) if name.contains(['.', '[']) => {
            return fail("attributes in format strings are not supported");
        }
        Err(_) => args.named(name),
    };
    let Some(value) = value else {
        return fail(format!("format() has no argument for `{{{name}}}`"));
    };
    let value = match conversion {
        "" => value,
        "s" => Value::from(str_of(work, &value)?),
        "r" => Value::from(repr(work, &value)?),
        other => return fail(format!("unknown conversion `!{other}`")),
    };
    if spec.is_empty() {
        return str_of(work, &value);
    }
    by_spec(work, &brace_spec(spec)?, &value)
}

/// `[[fill]align][sign][#][0][width][,][.precision][type]`
fn brace_spec(text: &str) -> R<Spec> {
    let mut spec = Spec::default();
    let mut chars: Vec<char> = text.chars().collect();
    let is_align = |c: Option<&char>| matches!(c, Some('<' | '>' | '^'));
    if is_align(chars.get(1)) {
        (spec.fill, spec.align) = (Some(chars[0]), Some(chars[1]));
        chars.drain(..2);
    } else if is_align(chars.first()) {
        spec.align = Some(chars.remove(0));
    }
    let text: String = chars.into_iter().collect();
    let mut rest = text.as_str();
    let mut flag = |c: char| match rest.strip_prefix(c) {
        Some(after) => {
            rest = after;
            true
        }
        None => false,
    };
    spec.plus = flag('+');
    flag('-');
    spec.space = flag(' ');
    spec.alternate = flag('#');
    spec.zero = flag('0');
    let (width, after) = digits(rest)?;
    spec.width = width.unwrap_or(0);
    rest = after;
    if let Some(after) = rest.strip_prefix(',') {
        spec.comma = true;
        rest = after;
    }
    if let Some(after) = rest.strip_prefix('.') {
        let (precision, after) = digits(after)?;
        spec.precision = Some(precision.unwrap_or(0).min(MOST_DIGITS as i128) as usize);
        rest = after;
    }
    let mut kinds = rest.chars();
    spec.kind = kinds.next().unwrap_or('\0');
    match kinds.next() {
        None => Ok(spec),
        Some(_) => fail(format!("invalid format specifier `{text}`")),
    }
}

fn by_spec(work: &mut Work, spec: &Spec, value: &Value) -> R<String> {
    let numeric_kind = match (kind(value), spec.kind) {
        (Kind::Int(_), '\0') => Some('d'),
        (Kind::Float(_), '\0') if spec.precision.is_some() => Some('g'),
        (_, 'd' | 'x' | 'X' | 'o' | 'b' | 'e' | 'E' | 'f' | 'F' | 'g' | 'G' | '%') => Some(spec.kind),
        (_, '\0' | 's') => None,
        (_, other) => return fail(format!("unknown format code {other:?}")),
    };
    if let Some(kind) = numeric_kind {
        let spec = Spec {
            kind,
            // Whole numbers have no precision in this notation.
            precision: spec.precision,
            ..*spec
        };
        return numeric(work, &spec, value);
    }
    let text = str_of(work, value)?;
    let text: String = match spec.precision {
        Some(count) => text.chars().take(count).collect(),
        None => text,
    };
    let is_number = number(value).is_some();
    let side = match spec.align {
        Some('>') => Side::Left,
        Some('^') => Side::Both,
        None if is_number => Side::Left,
        _ => Side::Right,
    };
    finish(work, &text, spec.width, spec.fill.unwrap_or(' '), side)
}
