//! Compiled constraints.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use llguidance::api::{GrammarInit, ParserLimits, TopLevelGrammar};
use llguidance::{Logger, TokenParser};

use crate::source::source;
use crate::{GrammarError, GrammarVocab, Limits, Matcher, Spec};

/// A compiled constraint, for any number of sequences. A clone is a reference.
#[derive(Clone)]
pub struct Grammar {
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    vocab: GrammarVocab,
    kind: &'static str,
    /// What the rules take, which the library does not tell.
    rules_bytes: usize,
    /// As compiled; never matched with, only copied.
    pristine: Mutex<TokenParser>,
    /// At the start of a text. Sequences share its lexer, whose states grow while they match.
    fresh: Mutex<TokenParser>,
}

impl fmt::Debug for Grammar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grammar").field("kind", &self.shared.kind).finish_non_exhaustive()
    }
}

/// Address space of a compilation's stack; pages are taken as they are touched. The limits bound every recursion to
/// a fraction of it.
const STACK_BYTES: usize = 256 << 20;

impl Grammar {
    /// Compiles a constraint, in time and memory that `limits` bound. It may still take a good part of a second:
    /// call it where nothing else waits.
    ///
    /// # Errors
    /// [`GrammarError`], for everything that does not become a mask exactly as it was meant.
    pub fn compile(vocab: &GrammarVocab, spec: &Spec, limits: &Limits) -> Result<Self, GrammarError> {
        spec.check_size(limits)?;
        thread::scope(|scope| {
            let compilation = thread::Builder::new()
                .name("grammar".to_owned())
                .stack_size(STACK_BYTES)
                .spawn_scoped(scope, || compile(vocab, spec, limits))
                .map_err(|error| GrammarError::Internal(format!("no thread to compile on: {error}")))?;
            compilation.join().unwrap_or_else(|_| Err(GrammarError::Internal("panic in a compilation".to_owned())))
        })
    }

    /// A matcher for a sequence at its start.
    ///
    /// The sequences of a grammar share its lexer, so that each finds what others have worked out. Should it grow
    /// beyond its limit, those that are running fail; later ones get a new lexer.
    #[must_use]
    pub fn start(&self) -> Matcher {
        let parser = catch_unwind(AssertUnwindSafe(|| lock(&self.shared.fresh).clone()));
        Matcher::new(parser.map_err(|_| GrammarError::Internal("panic in a copy".to_owned())), self.clone())
    }

    /// Whether both are the same compilation.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// The vocabulary that it is compiled for.
    #[must_use]
    pub fn vocab(&self) -> &GrammarVocab {
        &self.shared.vocab
    }

    /// The kind of the constraint, as [`Spec::kind`] names it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.shared.kind
    }

    /// About how many bytes it occupies; it grows while sequences match.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let lexer = |parser: &Mutex<TokenParser>| lock(parser).parser.lexer_stats().num_bytes;
        let lexers = catch_unwind(AssertUnwindSafe(|| lexer(&self.shared.pristine) + lexer(&self.shared.fresh)));
        size_of::<Shared>() + self.shared.rules_bytes + lexers.unwrap_or(0)
    }

    /// Gives later sequences a new lexer, since the shared one has failed.
    pub(crate) fn renew(&self) {
        if let Ok(parser) = catch_unwind(AssertUnwindSafe(|| lock(&self.shared.pristine).deep_clone())) {
            *lock(&self.shared.fresh) = parser;
        }
    }
}

/// Bytes of compiled rules for each byte of their source, roughly.
const RULES_BYTES: usize = 40;

/// Every state that is behind one of these locks is whole at all times.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn compile(vocab: &GrammarVocab, spec: &Spec, limits: &Limits) -> Result<Grammar, GrammarError> {
    let kind = spec.kind();
    let source = source(vocab, spec, limits)?;
    let rules_bytes = RULES_BYTES * spec.key().len();
    let mut parser = parser(vocab, source, limits).map_err(|message| GrammarError::from_library(kind, &message))?;
    parser.start_without_prompt();
    let grammar = Grammar {
        shared: Arc::new(Shared {
            vocab: vocab.clone(),
            kind,
            rules_bytes,
            pristine: Mutex::new(parser.deep_clone()),
            fresh: Mutex::new(parser),
        }),
    };
    // The first mask shows whether there is any text at all, and prepares the lexer for the sequences.
    let mut mask = vec![0; vocab.mask_words()];
    grammar.start().mask(&mut mask)?;
    match mask.iter().all(|word| *word == 0) {
        true => Err(GrammarError::Empty { kind }),
        false => Ok(grammar),
    }
}

fn parser(vocab: &GrammarVocab, source: TopLevelGrammar, limits: &Limits) -> Result<TokenParser, String> {
    let factory = vocab.factory();
    let limits = ParserLimits {
        initial_lexer_fuel: limits.compile_fuel,
        step_lexer_fuel: limits.step_fuel,
        step_max_items: limits.step_items,
        max_items_in_row: limits.step_items / 10,
        max_lexer_states: limits.lexer_states,
        max_grammar_size: limits.grammar_symbols,
        verbose_errors: false,
        ..ParserLimits::default()
    };
    factory
        .create_parser_from_init_ext(
            GrammarInit::Serialized(source),
            Logger::new(0, 0),
            llguidance::toktrie::InferenceCapabilities::default(),
            limits,
        )
        .map_err(|error| error.to_string())
}
