//! `tojson` as chat templates mean it: `json.dumps(value, ensure_ascii=False)`.

use minijinja::value::Value;

use super::args::Args;
use super::text::float;
use super::value::{Kind, entries, items, kind, type_name};
use super::{R, Work, fail};

/// How the text is laid out.
struct Layout {
    ascii: bool,
    /// What one level is indented by; `None` keeps everything on one line.
    indent: Option<String>,
    item: String,
    key: String,
    sort: bool,
}

/// The filter `tojson(ensure_ascii, indent, separators, sort_keys)`.
pub(crate) fn tojson(work: &mut Work, args: &Args) -> R {
    args.accept(5, &["ensure_ascii", "indent", "separators", "sort_keys"])?;
    let indent = indent(work, args)?;
    let (item, key) = match args.get(3, "separators") {
        Some(pair) if !pair.is_none() => {
            let pair = items(work, &pair)?;
            match pair.as_slice() {
                [item, key] => (text_of(item)?, text_of(key)?),
                _ => return fail("tojson() argument `separators` must be a pair"),
            }
        }
        _ if indent.is_some() => (",".into(), ": ".into()),
        _ => (", ".into(), ": ".into()),
    };
    let layout = Layout {
        ascii: args.bool_or(1, "ensure_ascii", false),
        indent,
        item,
        key,
        sort: args.bool_or(4, "sort_keys", false),
    };
    let value = args.need(0, "value")?;
    let mut out = String::new();
    write(work, &layout, &value, 0, &mut out)?;
    work.string(out)
}

fn indent(work: &mut Work, args: &Args) -> R<Option<String>> {
    let Some(value) = args.get(2, "indent").filter(|v| !v.is_none()) else {
        return Ok(None);
    };
    if let Kind::Str(text) = kind(&value) {
        return Ok(Some(text.to_owned()));
    }
    let width = args.int_or(2, "indent", 0)?.max(0);
    let width = usize::try_from(width).unwrap_or(usize::MAX);
    work.charge_string(width)?;
    Ok(Some(" ".repeat(width)))
}

fn text_of(value: &Value) -> R<String> {
    match kind(value) {
        Kind::Str(text) => Ok(text.to_owned()),
        _ => fail(format!("a separator must be str, not {}", type_name(value))),
    }
}

fn new_line(work: &mut Work, layout: &Layout, level: usize, out: &mut String) -> R<()> {
    if let Some(indent) = &layout.indent {
        work.charge_string(out.len().saturating_add(indent.len().saturating_mul(level)) / 64)?;
        work.charge_string(indent.len().saturating_mul(level))?;
        out.push('\n');
        for _ in 0..level {
            out.push_str(indent);
        }
    }
    Ok(())
}

fn write(work: &mut Work, layout: &Layout, value: &Value, level: usize, out: &mut String) -> R<()> {
    work.charge(8)?;
    match kind(value) {
        Kind::None => out.push_str("null"),
        Kind::Bool(b) => out.push_str(if b { "true" } else { "false" }),
        Kind::Int(i) => out.push_str(&i.to_string()),
        Kind::Float(f) => out.push_str(&json_float(f)),
        Kind::Str(text) => {
            work.charge_string(text.len())?;
            quote(text, layout.ascii, out);
        }
        Kind::List | Kind::Tuple => {
            out.push('[');
            let all = items(work, value)?;
            for (i, item) in all.iter().enumerate() {
                out.push_str(if i > 0 { &layout.item } else { "" });
                new_line(work, layout, level + 1, out)?;
                write(work, layout, item, level + 1, out)?;
            }
            if !all.is_empty() {
                new_line(work, layout, level, out)?;
            }
            out.push(']');
        }
        Kind::Dict => write_dict(work, layout, value, level, out)?,
        _ => {
            return fail(format!("object of type {} is not JSON serializable", type_name(value)));
        }
    }
    work.charge_string(out.len() / 1024)
}

fn write_dict(work: &mut Work, layout: &Layout, value: &Value, level: usize, out: &mut String) -> R<()> {
    let mut all = Vec::new();
    for (key, item) in entries(work, value)? {
        all.push((key_text(&key)?, item));
    }
    if layout.sort {
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
    }
    out.push('{');
    for (i, (key, item)) in all.iter().enumerate() {
        out.push_str(if i > 0 { &layout.item } else { "" });
        new_line(work, layout, level + 1, out)?;
        work.charge_string(key.len() + layout.key.len())?;
        quote(key, layout.ascii, out);
        out.push_str(&layout.key);
        write(work, layout, item, level + 1, out)?;
    }
    if !all.is_empty() {
        new_line(work, layout, level, out)?;
    }
    out.push('}');
    Ok(())
}

fn key_text(key: &Value) -> R<String> {
    Ok(match kind(key) {
        Kind::Str(text) => text.to_owned(),
        Kind::None => "null".into(),
        Kind::Bool(b) => b.to_string(),
        Kind::Int(i) => i.to_string(),
        Kind::Float(f) => json_float(f),
        _ => return fail(format!("keys must be str, not {}", type_name(key))),
    })
}

fn json_float(value: f64) -> String {
    match value {
        v if v.is_nan() => "NaN".into(),
        f64::INFINITY => "Infinity".into(),
        f64::NEG_INFINITY => "-Infinity".into(),
        v => float(v),
    }
}

fn quote(text: &str, ascii: bool, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            c if c < ' ' => out.push_str(&format!("\\u{:04x}", c as u32)),
            c if ascii && !c.is_ascii() => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
            c => out.push(c),
        }
    }
    out.push('"');
}
