//! Models in several files: how the parts are named, and whether they belong together.

use std::path::{Path, PathBuf};

use crate::GgufWarning;
use crate::error::{GgufError, show};
use crate::limits::Limits;
use crate::metadata::Metadata;
use crate::reader::Part;

const NO: &str = "split.no";
const COUNT: &str = "split.count";
const TENSORS: &str = "split.tensors.count";

/// Digits of a part number in a file name.
const DIGITS: usize = 5;

fn bad(subject: impl Into<String>, expected: impl ToString, found: impl ToString) -> GgufError {
    GgufError::BadSplit { subject: subject.into(), expected: expected.to_string(), found: found.to_string() }
}

pub(crate) fn no_parts() -> GgufError {
    bad("list of parts", "at least one", 0)
}

/// The file names of all parts, given that of one: `x-00001-of-00003.gguf` and its siblings, in order.
///
/// `None` if the name does not have that form. The names have no directory in them, so that a
/// caller who joins them with the directory of the given file cannot be led out of it.
///
/// # Errors
/// [`GgufError::BadSplit`] for a number of 0 or above the count, for more parts than
/// [`Limits`] allows, and for a name that holds path separators, control characters or `..` alone.
pub fn split_names(file_name: &str) -> Result<Option<Vec<String>>, GgufError> {
    let Some((prefix, no, count)) = dissect(file_name) else { return Ok(None) };
    if prefix.chars().any(|c| c.is_control() || matches!(c, '/' | '\\')) || prefix.starts_with("..") {
        return Err(bad("file name", "a plain name without directories", format!("`{}`", show(file_name))));
    }
    let most = Limits::default().parts;
    if count == 0 || count > most {
        return Err(bad("count in the file name", format!("1 to {most}"), count));
    }
    if no == 0 || no > count {
        return Err(bad("part number in the file name", format!("1 to {count}"), no));
    }
    Ok(Some((1..=count).map(|no| format!("{prefix}-{no:0DIGITS$}-of-{count:0DIGITS$}.gguf")).collect()))
}

/// The paths of all parts, given that of one, in its directory. As [`split_names`], which see.
///
/// # Errors
/// As there.
pub fn split_paths(path: impl AsRef<Path>) -> Result<Option<Vec<PathBuf>>, GgufError> {
    let path = path.as_ref();
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return Ok(None) };
    let names = split_names(name)?;
    Ok(names.map(|names| names.iter().map(|name| path.with_file_name(name)).collect()))
}

/// `prefix`, part number and count of `prefix-NNNNN-of-NNNNN.gguf`.
fn dissect(file_name: &str) -> Option<(&str, u32, u32)> {
    let stem = file_name.strip_suffix(".gguf")?;
    let (stem, count) = stem.rsplit_once("-of-")?;
    let (prefix, no) = stem.rsplit_once('-')?;
    let number = |digits: &str| {
        let plain = digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| digits.parse().ok()).flatten()
    };
    Some((prefix, number(no)?, number(count)?))
}

/// `split.no` and `split.count`, in range, if the part has them.
fn position(metadata: &Metadata, limits: &Limits) -> Result<Option<(u32, u32)>, GgufError> {
    let Some(count) = metadata.get_u32(COUNT)? else { return Ok(None) };
    if count > limits.parts {
        return Err(bad(format!("key `{COUNT}`"), format!("1 to {}", limits.parts), count));
    }
    let no = metadata.require_u32(NO)?;
    Ok(Some((no, count)))
}

/// A file opened alone must not be one of several. A count of 0 is what the usual merging
/// tool leaves in the file that it makes, so it means "whole".
pub(crate) fn check_whole(metadata: &Metadata, limits: &Limits) -> Result<(), GgufError> {
    match position(metadata, limits)? {
        None | Some((_, 0)) => Ok(()),
        Some((no, count)) if no >= count => Err(bad(format!("key `{NO}`"), format!("less than {count}"), no)),
        Some((_, 1)) => Ok(()),
        Some((no, count)) => Err(GgufError::PartOfSplit { no, count }),
    }
}

/// Parts given together must be all parts of one model, in order.
pub(crate) fn check_set(parts: &[Part], limits: &Limits) -> Result<(), GgufError> {
    let Some(first) = parts.first() else { return Err(no_parts()) };
    for (index, part) in parts.iter().enumerate() {
        check_position(&part.metadata, index, parts.len(), limits).map_err(|error| error.in_part(index))?;
        for key in ["general.architecture", "general.alignment", TENSORS] {
            check_same(key, first, part).map_err(|error| error.in_part(index))?;
        }
    }
    let found: usize = parts.iter().map(|part| part.tensors.len()).sum();
    match first.metadata.get_u64(TENSORS).map_err(|error| error.in_part(0))? {
        Some(expected) if expected != found as u64 => {
            Err(bad("tensors of all parts", format!("{expected} (key `{TENSORS}`)"), found))
        }
        _ => Ok(()),
    }
}

fn check_position(metadata: &Metadata, index: usize, parts: usize, limits: &Limits) -> Result<(), GgufError> {
    let Some((no, count)) = position(metadata, limits)? else {
        return Err(GgufError::MissingKey { key: COUNT.into() });
    };
    if count == 0 || count as usize != parts {
        return Err(bad(format!("key `{COUNT}`"), format!("{parts}, the number of files given"), count));
    }
    if no as usize != index {
        return Err(bad(format!("key `{NO}`"), index, no));
    }
    Ok(())
}

/// Later parts usually repeat none of the first one's keys; those that they do repeat must agree.
fn check_same(key: &str, first: &Part, part: &Part) -> Result<(), GgufError> {
    match (first.metadata.get(key), part.metadata.get(key)) {
        (_, None) => Ok(()),
        (expected, Some(found)) if expected == Some(found) => Ok(()),
        (expected, Some(found)) => {
            let text = |value: Option<&crate::Value>| match value {
                Some(crate::Value::String(text)) => format!("`{}`", show(text)),
                Some(other) => other.as_integer().map_or_else(|| other.describe(), |number| number.to_string()),
                None => "no such key, as in the first part".into(),
            };
            Err(bad(format!("key `{key}`"), text(expected), text(Some(found))))
        }
    }
}

/// Says how many keys of a later part nobody will read.
pub(crate) fn ignored_keys(part: usize, metadata: &Metadata) -> Option<GgufWarning> {
    let count = metadata.iter().filter(|(key, _)| !key.starts_with("split.")).count() as u64;
    (count > 0).then_some(GgufWarning::IgnoredKeys { part, count })
}
