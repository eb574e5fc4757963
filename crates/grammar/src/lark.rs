//! Texts in the library's grammar language.

use std::fmt::Write as _;

use rocmforge_tokenizer::TokenId;

use crate::limits::within;
use crate::{GrammarError, GrammarVocab, Limits, repeats};

/// The grammar of texts that a regular expression matches as a whole.
pub(crate) fn regex(regex: &str, limits: &Limits) -> Result<String, GrammarError> {
    if regex.is_empty() {
        return choice(&[String::new()]);
    }
    // The library's own reading is lenient at some ends; what is no regular expression shall not pass.
    regex_syntax::parse(regex)
        .map_err(|error| GrammarError::Invalid { kind: "regular expression", message: syntax_message(&error) })?;
    repeats::check_regex(regex, "", limits)?;
    Ok(format!("start: /{}/\n", llguidance::regex_to_lark(regex, "")))
}

/// The last line of a syntax error names it; those before draw the place.
fn syntax_message(error: &regex_syntax::Error) -> String {
    let text = error.to_string();
    let last = text.lines().next_back().unwrap_or("it does not parse");
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}

/// The grammar of one of some texts.
pub(crate) fn choice(choices: &[String]) -> Result<String, GrammarError> {
    if choices.is_empty() {
        return Err(GrammarError::Empty { kind: "choice" });
    }
    let options: Vec<String> = choices.iter().map(|text| literal(text)).collect();
    Ok(format!("start: {}\n", options.join("\n  | ")))
}

/// A grammar that came in this language. Every bracket could be a recursion, so they are counted.
pub(crate) fn checked(text: &str, limits: &Limits) -> Result<String, GrammarError> {
    let brackets = text.bytes().filter(|byte| matches!(byte, b'(' | b'[' | b'{' | b'~')).count();
    within("brackets of the grammar", brackets, MOST_BRACKETS)?;
    within("lines of the grammar", text.lines().count(), limits.rules * 8)?;
    repeats::check_lark(text, limits)?;
    Ok(text.to_owned())
}

const MOST_BRACKETS: usize = 4000;

/// A text as a terminal that matches it and nothing else.
pub(crate) fn literal(text: &str) -> String {
    if text.is_empty() {
        return "\"\"".to_owned();
    }
    let mut regex = String::with_capacity(text.len() + 2);
    regex.push('/');
    for character in text.chars() {
        escape(character, &mut regex);
    }
    regex.push('/');
    regex
}

/// Writes a character for use in a regular expression, inside of brackets as well.
pub(crate) fn escape(character: char, regex: &mut String) {
    if character.is_ascii_alphanumeric() {
        regex.push(character);
    } else {
        // Writing to a string does not fail.
        let _ = write!(regex, "\\x{{{:X}}}", u32::from(character));
    }
}

/// A text that marks something: a control token where the vocabulary has it as one, and else characters.
pub(crate) struct Mark {
    text: String,
    token: Option<TokenId>,
}

impl Mark {
    pub(crate) fn new(vocab: &GrammarVocab, text: &str) -> Self {
        let tokenizer = vocab.tokenizer();
        let token = tokenizer.token_to_id(text).filter(|id| tokenizer.is_special(*id));
        Self { text: text.to_owned(), token }
    }

    /// Whether it is a control token.
    pub(crate) fn is_token(&self) -> bool {
        self.token.is_some()
    }

    /// The mark as a symbol of a rule.
    pub(crate) fn symbol(&self) -> String {
        match self.token {
            Some(id) => format!("<[{id}]>"),
            None => literal(&self.text),
        }
    }
}

/// Two symbols: `before`, any text up to the first mark and the mark, and `TAIL`, any text without the mark.
pub(crate) fn free_text(mark: &Mark) -> String {
    let symbol = mark.symbol();
    match mark.token {
        Some(_) => format!("before: TAIL? {symbol}\nTAIL: /(?s:.+)/\n"),
        None => {
            let any = "/(?s:.*)/";
            format!("before[suffix={symbol}]: {any}\nTAIL: /(?s:.+)/ & ~({any} {symbol} {any})\n")
        }
    }
}
