//! Pre-tokenization: cutting text into the pieces that merges may not cross.
//!
//! Every pattern runs as an automaton (`regex-automata`), so the time is linear in the text and the stack stays flat
//! whatever the text is. The one thing an automaton cannot do, looking ahead with `\s+(?!\S)`, is an arithmetic step:
//! a run of white space that a word follows gives its last character back.

pub(crate) mod table;

use std::ops::Range;

use regex_automata::meta::Regex;
use regex_automata::{Anchored, Input};

use crate::error::TokenizerError;
use table::Rule;

/// A byte range of the text.
pub(crate) type Span = Range<usize>;

/// Compiled steps of one pre-tokenizer.
#[derive(Debug)]
pub(crate) struct PreTokenizer {
    steps: Vec<Step>,
}

#[derive(Debug)]
enum Step {
    Split { pattern: Regex, spaces: Spaces },
    Threes { runs: Regex, alone: Option<Regex> },
}

/// What becomes of white space that the pattern's own alternatives do not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spaces {
    /// The pattern says nothing about it: it lies between two matches.
    Between,
    /// `\s+(?!\S)|\s+`.
    LeaveOne,
    /// Runs of powers of two.
    Powers,
}

/// Number of the pattern for white space, when there is one.
const SPACE_PATTERN: usize = 1;

const LEAVE_ONE: &str = r"|\s+(?!\S)|\s+";

/// The longest run that [`Spaces::Powers`] takes at once.
const LONGEST_RUN: usize = 512;

impl PreTokenizer {
    /// Compiles the steps of a row.
    pub(crate) fn new(rules: &[Rule]) -> Result<Self, TokenizerError> {
        let steps = rules.iter().map(|rule| Step::new(*rule)).collect::<Result<_, _>>()?;
        Ok(Self { steps })
    }

    /// Compiles patterns in which white space, if named at all, is named as in the table.
    pub(crate) fn from_patterns(patterns: &[String]) -> Result<Self, TokenizerError> {
        let steps = patterns.iter().map(|pattern| Step::split(pattern)).collect::<Result<_, _>>()?;
        Ok(Self { steps })
    }

    /// Calls `emit` with the pieces of `text`, in order. Together they are the whole text; none is empty.
    pub(crate) fn split(&self, text: &str, mut emit: impl FnMut(&str)) {
        let Some((last, first)) = self.steps.split_last() else {
            if !text.is_empty() {
                emit(text);
            }
            return;
        };
        if first.is_empty() {
            last.cut(text, 0, &mut |span| emit(&text[span]));
            return;
        }
        // One step after the other, as the order matters: a later pattern never sees across an earlier cut.
        let mut spans: Vec<Span> = std::iter::once(0..text.len()).collect();
        for step in first {
            let mut next = Vec::with_capacity(spans.len());
            for span in spans {
                step.cut(&text[span.clone()], span.start, &mut |cut| next.push(cut));
            }
            spans = next;
        }
        for span in spans {
            last.cut(&text[span.clone()], span.start, &mut |cut| emit(&text[cut]));
        }
    }
}

impl Step {
    fn new(rule: Rule) -> Result<Self, TokenizerError> {
        match rule {
            Rule::Split(pattern) => Self::split(pattern),
            Rule::SplitSpaceRuns(pattern) => Ok(Step::Split {
                pattern: compile(&[pattern, &format!(r"\s{{1,{}}}", LONGEST_RUN + 1)])?,
                spaces: Spaces::Powers,
            }),
            Rule::Threes { class, alone } => Ok(Step::Threes {
                runs: compile(&[&format!("{class}+")])?,
                alone: if alone { Some(compile(&[r"[\w\x{B2}\x{B3}\x{B9}\x{BC}-\x{BE}]"])?) } else { None },
            }),
        }
    }

    fn split(pattern: &str) -> Result<Self, TokenizerError> {
        Ok(match pattern.strip_suffix(LEAVE_ONE) {
            Some(body) => Step::Split { pattern: compile(&[body, r"\s+"])?, spaces: Spaces::LeaveOne },
            None => Step::Split { pattern: compile(&[pattern])?, spaces: Spaces::Between },
        })
    }

    /// Cuts `piece`, which begins at `base` in the text.
    fn cut(&self, piece: &str, base: usize, emit: &mut impl FnMut(Span)) {
        let mut done = 0;
        let mut out = |start: usize, end: usize| {
            if start < end {
                emit(base + start..base + end);
            }
        };
        match self {
            Step::Split { pattern, spaces } => {
                let mut at = 0;
                while let Some((start, end)) = next_match(pattern, *spaces, piece, at) {
                    out(done, start);
                    out(start, end);
                    done = end;
                    at = end;
                }
            }
            Step::Threes { runs, alone } => {
                for run in runs.find_iter(piece) {
                    let letter_follows = |word: &Regex| word.is_match(anchored(piece, run.end()));
                    if alone.as_ref().is_some_and(letter_follows) {
                        continue;
                    }
                    out(done, run.start());
                    done = threes(&piece[run.range()], run.start(), &mut out);
                }
            }
        }
        out(done, piece.len());
    }
}

/// Cuts a run of digits into threes from the right; answers where the run ends.
fn threes(run: &str, base: usize, out: &mut impl FnMut(usize, usize)) -> usize {
    let mut left = run.chars().count();
    let mut start = base;
    for (at, c) in run.char_indices() {
        left -= 1;
        if left.is_multiple_of(3) {
            let end = base + at + c.len_utf8();
            out(start, end);
            start = end;
        }
    }
    start
}

fn anchored(piece: &str, at: usize) -> Input<'_> {
    Input::new(piece).range(at..).anchored(Anchored::Yes)
}

/// The next match at or after `at`, never empty.
fn next_match(pattern: &Regex, spaces: Spaces, piece: &str, at: usize) -> Option<(usize, usize)> {
    if at >= piece.len() {
        return None;
    }
    // Most pieces touch, and an anchored search does not have to find its own beginning again.
    let found = pattern.search(&anchored(piece, at)).or_else(|| pattern.search(&Input::new(piece).range(at..)))?;
    let (start, mut end) = (found.start(), found.end());
    if found.pattern().as_usize() == SPACE_PATTERN {
        end = match spaces {
            Spaces::Between => end,
            Spaces::LeaveOne => leave_one(piece, start, end),
            Spaces::Powers => take_power(piece, start, end),
        };
    }
    // A pattern of the table matches no empty text; one of a file might, and must not stop the walk.
    if end == start {
        end = start + piece[start..].chars().next().map_or(1, char::len_utf8);
    }
    Some((start, end))
}

/// `\s+(?!\S)|\s+`: the whole run at the end of the piece, else the run less its last character unless that is all.
fn leave_one(piece: &str, start: usize, end: usize) -> usize {
    if end == piece.len() {
        return end;
    }
    match piece[start..end].char_indices().next_back() {
        Some((last, _)) if last > 0 => start + last,
        _ => end,
    }
}

/// `\s{512}(?!\S)|\s{256}(?!\S)|…|\s{4}(?!\S)|\s{1,2}(?!\S)|\s`, for a run of at most 513 white-space characters.
fn take_power(piece: &str, start: usize, end: usize) -> usize {
    let run = piece[start..end].chars().count();
    let at_end = end == piece.len();
    // A run of 513 may go on: what follows its 512th character is white space in any case.
    let usable = if at_end || run > LONGEST_RUN { run } else { run - 1 };
    let take = [512, 256, 128, 64, 32, 16, 8, 4, 2, 1].into_iter().find(|&n| n <= usable).unwrap_or(1);
    piece[start..end].char_indices().nth(take).map_or(end, |(at, _)| start + at)
}

fn compile(patterns: &[&str]) -> Result<Regex, TokenizerError> {
    let config = Regex::config().nfa_size_limit(Some(16 << 20)).hybrid_cache_capacity(8 << 20);
    Regex::builder()
        .configure(config)
        .build_many(patterns)
        .map_err(|error| TokenizerError::BadPattern { pattern: patterns.join("|"), reason: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cuts<'a>(name: &str, text: &'a str) -> Vec<&'a str> {
        let steps = PreTokenizer::new(table::find(name).unwrap().steps).unwrap();
        let mut spans = Vec::new();
        let origin = text.as_ptr() as usize;
        steps.split(text, |piece| {
            let start = piece.as_ptr() as usize - origin;
            spans.push(start..start + piece.len());
        });
        assert_eq!(spans.first().map_or(0, |s| s.start), 0);
        assert!(spans.windows(2).all(|pair| pair[0].end == pair[1].start), "{name}: {spans:?}");
        assert_eq!(spans.last().map_or(0, |s| s.end), text.len());
        spans.into_iter().map(|span| &text[span]).collect()
    }

    #[test]
    fn every_row_compiles_and_no_name_is_listed_twice() {
        let mut names = table::names();
        for spec in table::PRE_TOKENIZERS {
            PreTokenizer::new(spec.steps).unwrap_or_else(|error| panic!("{:?}: {error}", spec.names));
        }
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all);
    }

    #[test]
    fn white_space_before_a_word_keeps_one_character_for_it() {
        assert_eq!(cuts("gpt-2", "a   b \n c  "), ["a", "  ", " b", " \n", " c", "  "]);
        assert_eq!(cuts("llama-bpe", "a   b \n\n c\t1"), ["a", "  ", " b", " \n\n", " c", "\t", "1"]);
        assert_eq!(cuts("gpt-2", "\u{3000}\u{3000}y"), ["\u{3000}", "\u{3000}", "y"]);
    }

    #[test]
    fn contractions_and_digits() {
        assert_eq!(cuts("gpt-2", "I'll We'LL 2024"), ["I", "'ll", " We", "'", "LL", " 2024"]);
        assert_eq!(cuts("llama-bpe", "We'LL 20245"), ["We", "'LL", " ", "202", "45"]);
        assert_eq!(cuts("qwen2", "it'ſ 20"), ["it", "'ſ", " ", "2", "0"]);
        assert_eq!(cuts("gpt-4o", "HelloWorld's 20245"), ["Hello", "World's", " ", "202", "45"]);
        assert_eq!(cuts("deepseek-v3", "20245漢字kana"), ["202", "45", "漢字", "kana"]);
        assert_eq!(cuts("starcoder", "x 12"), ["x", " ", "1", "2"]);
    }

    #[test]
    fn digits_in_threes_from_the_right() {
        assert_eq!(cuts("superbpe", "a b 1234567 c"), ["a b ", "1", "234", "567", " c"]);
        assert_eq!(cuts("afmoe", "12345"), ["12", "345"]);
        assert_eq!(cuts("tiny_aya", "1234 56"), ["1", "234", " ", "56"]);
        // No boundary behind the digits: the second pattern cuts them from the left.
        assert_eq!(cuts("tiny_aya", "1234x"), ["123", "4", "x"]);
    }

    #[test]
    fn runs_of_white_space_by_powers_of_two() {
        let lengths = |text: &str| cuts("jais-2", text).iter().map(|p| p.chars().count()).collect::<Vec<_>>();
        assert_eq!(lengths(&" ".repeat(7)), [4, 2, 1]);
        assert_eq!(lengths(&format!("{}x", " ".repeat(8))), [4, 2, 1, 2]);
        assert_eq!(lengths(&" ".repeat(1030)), [512, 512, 4, 2]);
        assert_eq!(lengths(&format!("{}x", " ".repeat(514))), [512, 1, 2]);
    }

    #[test]
    fn scripts_of_the_older_deepseek_models() {
        assert_eq!(cuts("deepseek-llm", "Hi, 世界 12\n  "), ["Hi", ",", " ", "世界", " ", "12", "\n", "  "]);
        assert_eq!(cuts("kimi-k2", "中文abc中 I'm"), ["中文", "abc", "中", " I'm"]);
    }
}
