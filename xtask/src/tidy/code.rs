//! Rust source without its comments and texts, for rules that look for words in code.

/// The code of a Rust file: comments and the insides of string and character literals become spaces, lines stay.
pub fn code_only(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let (length, is_code) = match hidden(rest) {
            Some(length) => (length, false),
            None => (word_or_char(rest, first), true),
        };
        let (piece, after) = rest.split_at(length);
        if is_code {
            out.push_str(piece);
        } else {
            out.extend(piece.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        }
        rest = after;
    }
    out
}

/// Length of a whole word, so that the `r` of `for"` is not taken for the start of a raw string, or of one character.
fn word_or_char(rest: &str, first: char) -> usize {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    if is_word(first) { rest.find(|c| !is_word(c)).unwrap_or(rest.len()) } else { first.len_utf8() }
}

/// Length of the comment or literal that begins here.
fn hidden(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(block_comment(rest));
    }
    let prefix = ["", "b", "c"].into_iter().find(|p| rest.strip_prefix(p).is_some_and(|r| r.starts_with('"')));
    if let Some(prefix) = prefix {
        return Some(prefix.len() + quoted(&rest[prefix.len()..], '"'));
    }
    if let Some(length) = ["r", "br", "cr"].into_iter().find_map(|p| raw_string(rest, p)) {
        return Some(length);
    }
    character(rest)
}

/// Block comments nest.
fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest[at..].starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

/// Length of a literal from its opening to its closing mark.
fn quoted(rest: &str, mark: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == mark => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

fn raw_string(rest: &str, prefix: &str) -> Option<usize> {
    let after = rest.strip_prefix(prefix)?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    let text = after[hashes..].strip_prefix('"')?;
    let close = format!("\"{}", "#".repeat(hashes));
    let start = prefix.len() + hashes + 1;
    Some(text.find(&close).map_or(rest.len(), |end| start + end + close.len()))
}

/// A character literal, and not a lifetime or a label.
fn character(rest: &str) -> Option<usize> {
    let prefix = if rest.starts_with("b'") { 1 } else { 0 };
    let mut chars = rest[prefix..].strip_prefix('\'')?.chars();
    match (chars.next()?, chars.next()?) {
        ('\\', _) | (_, '\'') => Some(prefix + quoted(&rest[prefix..], '\'')),
        _ => None,
    }
}

/// The words of code with their line numbers.
pub fn words(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    code.lines().enumerate().flat_map(move |(line, text)| {
        text.split(move |c| !is_word(c)).filter(|word| !word.is_empty()).map(move |word| (line + 1, word))
    })
}

/// Lines on which a macro of this name is called.
pub fn macro_calls<'a>(code: &'a str, name: &'a str) -> impl Iterator<Item = usize> + 'a {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    code.lines().enumerate().filter_map(move |(line, text)| {
        let call = text.match_indices(name).any(|(at, _)| {
            let after = text[at + name.len()..].trim_start();
            !text[..at].ends_with(is_word) && after.starts_with('!') && !after.starts_with("!=")
        });
        call.then_some(line + 1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(source: &str, expected: &str) {
        let code = code_only(source);
        assert_eq!(code.split_whitespace().collect::<Vec<_>>().join(" "), expected, "{source}");
        assert_eq!(code.lines().count(), source.lines().count(), "{source}");
    }

    #[test]
    fn comments_and_texts_are_blank() {
        check("a // unsafe\nb", "a b");
        check("a /* x /* y */ unsafe */ b", "a b");
        check("f(\"unsafe \\\" unsafe\") + g", "f( ) + g");
        check("r#\"unsafe \" unsafe\"# + b\"x\" + br\"\\\" + d", "+ + + d");
        check("'\"' + 'a' + '\\'' + b'x' + c", "+ + + + c");
        check("fn f<'a>(x: &'a str) -> &'static str { x }", "fn f<'a>(x: &'a str) -> &'static str { x }");
        check("'outer: loop { break 'outer }", "'outer: loop { break 'outer }");
        check("\"ä\" ö /* ü", "ö");
        check("\"a\nb\" c", "c");
    }

    #[test]
    fn words_have_lines() {
        let found: Vec<_> = words("unsafe_code\n  unsafe { x }").collect();
        assert_eq!(found, [(1, "unsafe_code"), (2, "unsafe"), (2, "x")]);
    }

    #[test]
    fn macro_calls_are_whole_words() {
        let code = "println!()\neprintln!()\nprintln != 1\nstd::println !(1)";
        assert_eq!(macro_calls(code, "println").collect::<Vec<_>>(), [1, 4]);
    }
}
