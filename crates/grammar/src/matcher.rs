//! One sequence under a constraint.

use std::fmt;

use llguidance::TokenParser;
use rocmforge_tokenizer::TokenId;

use crate::error::first_line;
use crate::{Grammar, GrammarError};

/// Where a sequence stands in its constraint.
///
/// A clone goes its own way from there, for sequences that fork.
#[derive(Clone)]
pub struct Matcher {
    grammar: Grammar,
    state: State,
}

#[derive(Clone)]
enum State {
    Running(Box<llguidance::Matcher>),
    /// An end token has been accepted.
    Ended,
    /// What went wrong; it does not go away.
    Failed(GrammarError),
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Matcher").field("grammar", &self.grammar).field("finished", &self.is_finished()).finish()
    }
}

impl Matcher {
    pub(crate) fn new(parser: Result<TokenParser, GrammarError>, grammar: Grammar) -> Self {
        let state = match parser {
            Ok(parser) => State::Running(Box::new(llguidance::Matcher::new(Ok(parser)))),
            Err(error) => State::Failed(error),
        };
        Self { grammar, state }
    }

    /// Writes which tokens may come next: token `t` is bit `t % 32` of word `t / 32`.
    ///
    /// Where the constraint leaves one text only, this is the one token with which the tokenizer itself would write
    /// it. Words past the vocabulary become zero. After an accepted end token nothing is allowed.
    ///
    /// # Errors
    /// [`GrammarError::MaskLength`] for fewer words than the vocabulary needs. [`GrammarError::TooComplex`] and
    /// [`GrammarError::Empty`] when the sequence cannot go on; they stay.
    pub fn mask(&mut self, words: &mut [u32]) -> Result<(), GrammarError> {
        let expected = self.grammar.vocab().mask_words();
        if words.len() < expected {
            return Err(GrammarError::MaskLength { expected, found: words.len() });
        }
        let computed = match &mut self.state {
            State::Failed(error) => return Err(error.clone()),
            State::Ended => {
                words.fill(0);
                return Ok(());
            }
            State::Running(matcher) => matcher.compute_mask_or_eos().map_err(|error| error.to_string()),
        };
        let mask = computed.map_err(|message| self.fail(&message))?;
        let bits = mask.as_slice();
        let count = bits.len().min(expected);
        words[..count].copy_from_slice(&bits[..count]);
        words[count..].fill(0);
        clear_past(words, self.grammar.vocab().vocab_size());
        Ok(())
    }

    /// Moves on by a token.
    ///
    /// # Errors
    /// [`GrammarError::Refused`] for a token that is not allowed, which changes nothing. Other errors end the
    /// sequence.
    pub fn accept(&mut self, token: TokenId) -> Result<(), GrammarError> {
        if self.is_end(token) {
            return self.accept_end(token);
        }
        let consumed = match &mut self.state {
            State::Failed(error) => return Err(error.clone()),
            State::Ended => return Err(GrammarError::Refused { token }),
            State::Running(matcher) => match matcher.is_stopped() && !matcher.is_error() {
                true => Ok(0),
                false if token as usize >= self.grammar.vocab().vocab_size() => Ok(0),
                false => matcher.try_consume_tokens(&[token]).map_err(|error| error.to_string()),
            },
        };
        match consumed.map_err(|message| self.fail(&message))? {
            0 => Err(GrammarError::Refused { token }),
            _ => Ok(()),
        }
    }

    /// Whether only the end may follow.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        match &self.state {
            State::Running(matcher) => matcher.is_stopped() && !matcher.is_error(),
            State::Ended => true,
            State::Failed(_) => false,
        }
    }

    /// Whether the text may end here.
    pub fn may_end(&mut self) -> bool {
        match &mut self.state {
            State::Running(matcher) => {
                matcher.stop_reason().is_ok() && (matcher.is_stopped() || matcher.is_accepting().unwrap_or(false))
            }
            State::Ended => true,
            State::Failed(_) => false,
        }
    }

    /// The constraint.
    #[must_use]
    pub fn grammar(&self) -> &Grammar {
        &self.grammar
    }

    fn is_end(&self, token: TokenId) -> bool {
        self.grammar.vocab().tokenizer().stop_tokens().binary_search(&token).is_ok()
    }

    fn accept_end(&mut self, token: TokenId) -> Result<(), GrammarError> {
        if let State::Failed(error) = &self.state {
            return Err(error.clone());
        }
        if matches!(self.state, State::Ended) || !self.may_end() {
            return Err(GrammarError::Refused { token });
        }
        self.state = State::Ended;
        Ok(())
    }

    /// The sequence is over. Its lexer may be worn out or damaged, so that later ones get a new one.
    fn fail(&mut self, message: &str) -> GrammarError {
        let line = first_line(message);
        let error = match line.strip_prefix("panic: ") {
            Some(panic) => GrammarError::Internal(panic.to_owned()),
            None if line.starts_with("NoExtension") => GrammarError::Empty { kind: self.grammar.kind() },
            None => GrammarError::TooComplex(line),
        };
        self.grammar.renew();
        self.state = State::Failed(error.clone());
        error
    }
}

/// Clears the bits of ids from `vocab_size` on in its last word.
fn clear_past(words: &mut [u32], vocab_size: usize) {
    let used = vocab_size % 32;
    if used != 0
        && let Some(word) = words.get_mut(vocab_size / 32)
    {
        *word &= (1 << used) - 1;
    }
}
