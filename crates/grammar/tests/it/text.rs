//! Regular expressions, choices, Lark.

use regex_automata::meta::Regex;
use rocmforge_grammar::{GrammarError, Spec};

use crate::walk::{takes, text};
use crate::{DEMO, GPT2, QWEN2, SPM, UNIGRAM, compile, refusal};

#[test]
fn random_texts_match_the_expression_in_every_vocabulary() {
    for expression in [r"[a-c]{2,5}(x|yz)?", r"\d{3}-\d{4}", r"(foo|bar)+ ?\.", "(日本|語){1,3}", "[^a]{3}", r"a/b\\c"]
    {
        let whole = Regex::new(&format!("^(?:{expression})$")).unwrap();
        for vocab in [&*DEMO, &*GPT2, &*QWEN2, &*SPM] {
            let grammar = compile(vocab, &Spec::Regex(expression.to_owned())).unwrap();
            for seed in 0..3 {
                let text = text(&grammar, seed);
                assert!(whole.is_match(&text), "{expression}: {text:?}");
            }
        }
    }
}

#[test]
fn an_expression_is_matched_as_a_whole() {
    let grammar = compile(&DEMO, &Spec::Regex("(a+)+b?".to_owned())).unwrap();
    assert!(takes(&grammar, "aaab") && takes(&grammar, "a"));
    assert!(!takes(&grammar, "aabb") && !takes(&grammar, "") && !takes(&grammar, "xa"));
    let empty = compile(&DEMO, &Spec::Regex(String::new())).unwrap();
    assert!(takes(&empty, "") && !takes(&empty, "a"));
}

#[test]
fn choices_are_taken_literally() {
    let choices = ["a", "ab", "a.c", "/*\"\\ \n", "日本語", "💥", "", "(", "#x //"];
    for vocab in [&*DEMO, &*GPT2, &*QWEN2, &*SPM] {
        let grammar = compile(vocab, &Spec::Choice(choices.map(str::to_owned).to_vec())).unwrap();
        for seed in 0..20 {
            let text = text(&grammar, seed);
            assert!(choices.contains(&text.as_str()), "{text:?}");
        }
    }
    let grammar = compile(&DEMO, &Spec::Choice(choices.map(str::to_owned).to_vec())).unwrap();
    for choice in choices.into_iter().filter(|choice| !choice.is_empty()) {
        assert!(takes(&grammar, choice), "{choice:?}");
    }
    assert!(!takes(&grammar, "abc"));
    assert_eq!(compile(&DEMO, &Spec::Choice(Vec::new())).unwrap_err(), GrammarError::Empty { kind: "choice" });
}

#[test]
fn a_lark_grammar_can_recur_and_embed_json() {
    let lark = r#"
        start: "<" item+ ">"
        item: WORD | "(" item* ")" | %json {"type": "integer", "minimum": 10, "maximum": 12}
        WORD: /[a-z]{1,4};/
    "#;
    let grammar = compile(&DEMO, &Spec::Lark(lark.to_owned())).unwrap();
    assert!(takes(&grammar, "<ab;(c;(11))>"));
    assert!(!takes(&grammar, "<9>") && !takes(&grammar, "<(>"));
    for seed in 0..10 {
        let text = text(&grammar, seed);
        let depth = text.bytes().fold(0_i32, |depth, byte| depth + i32::from(byte == b'(') - i32::from(byte == b')'));
        assert!(text.starts_with('<') && text.ends_with('>') && depth == 0, "{text}");
    }
}

#[test]
fn a_grammar_that_does_not_parse_is_refused_with_its_place() {
    let error = refusal(&Spec::Lark("start: \"a\" nothing".to_owned()));
    assert!(error.starts_with("Lark grammar: ") && error.contains("nothing"), "{error}");
    let error = refusal(&Spec::Regex("a{2".to_owned()));
    assert!(error.starts_with("regular expression: ") && error.contains("unclosed"), "{error}");
    refusal(&Spec::Regex("a(?=b)".to_owned()));
    refusal(&Spec::Regex("a\\".to_owned()));
}

#[test]
fn without_tokens_for_all_bytes_texts_are_still_right() {
    let grammar = compile(&UNIGRAM, &Spec::Choice(vec!["the cat".to_owned(), "the dog".to_owned()])).unwrap();
    for seed in 0..6 {
        let text = text(&grammar, seed);
        assert!(text == "the cat" || text == "the dog", "{text:?}");
    }
}

#[test]
fn reasoning_comes_before_the_constraint() {
    let spec =
        Spec::After { mark: "</think>".to_owned(), then: Box::new(Spec::Choice(vec!["yes".into(), "no".into()])) };
    let grammar = compile(&QWEN2, &spec).unwrap();
    assert!(takes(&grammar, "Well, <x> \"maybe\".\n</think>\n\nyes"));
    assert!(takes(&grammar, "</think>no"));
    assert!(!takes(&grammar, "yes") && !takes(&grammar, "a</think>maybe") && !takes(&grammar, "a</think>\n"));
}
