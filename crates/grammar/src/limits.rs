//! How much a constraint may ask for.

use crate::GrammarError;

/// Limits on constraints that come from outside.
///
/// With the defaults a constraint compiles in at most about a second and 100 MB, whatever it is;
/// those of real applications stay far below.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a JSON schema, or of all tools together.
    pub schema_bytes: usize,
    /// Bytes of a regular expression or a grammar, and of all choices together.
    pub text_bytes: usize,
    /// How deep values, groups and brackets may nest.
    pub depth: usize,
    /// JSON values in a schema.
    pub schema_values: usize,
    /// Properties of one object, and options of one `anyOf`, `oneOf` or `allOf`.
    pub properties: usize,
    /// Items of one `enum`, and choices.
    pub enum_items: usize,
    /// The largest count of a repetition: `minItems`, `maxLength`, `{m,n}`.
    pub repeats: u64,
    /// Tools of one request.
    pub tools: usize,
    /// Rules of a grammar.
    pub rules: usize,
    /// Symbols of a grammar, with every rule that is not recursive written out in full.
    pub grammar_symbols: usize,
    /// Work on the first lexer; one million is about 20 ms.
    pub compile_fuel: u64,
    /// Work on the lexer for one mask; 200,000 is about 15 ms.
    pub step_fuel: u64,
    /// Parser items of one mask; 200,000 is about 10 ms. Each place of a text may have a tenth of it.
    pub step_items: usize,
    /// States that the lexer may grow to, at one to two kilobytes each.
    pub lexer_states: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            schema_bytes: 512 << 10,
            text_bytes: 64 << 10,
            depth: 128,
            schema_values: 50_000,
            properties: 1_000,
            enum_items: 10_000,
            repeats: 100_000,
            tools: 512,
            rules: 1_000,
            grammar_symbols: 100_000,
            compile_fuel: 1_000_000,
            step_fuel: 200_000,
            step_items: 200_000,
            lexer_states: 30_000,
        }
    }
}

/// Checks a count against its limit.
pub(crate) fn within(what: &'static str, found: usize, limit: usize) -> Result<(), GrammarError> {
    if found <= limit {
        return Ok(());
    }
    Err(GrammarError::TooLarge { what, limit: limit as u64, found: found as u64 })
}
