//! GBNF, with the constructs that published grammars use.

use rocmforge_grammar::Spec;

use crate::walk::{takes, text};
use crate::{DEMO, GPT2, compile, refusal};

fn gbnf(text: &str) -> Spec {
    Spec::Gbnf(text.to_owned())
}

/// JSON, recursive, with white space at the end of each part.
const JSON: &str = r##"
# A value.
root   ::= object
value  ::= object | array | string | number | ("true" | "false" | "null") ws

object ::=
  "{" ws (
            string ":" ws value
    ("," ws string ":" ws value)*
  )? "}" ws

array  ::=
  "[" ws (
            value
    ("," ws value)*
  )? "]" ws

string ::=
  "\"" (
    [^"\\\x7F\x00-\x1F] |
    "\\" (["\\bfnrt] | "u" [0-9a-fA-F]{4}) # escapes
  )* "\"" ws

number ::= ("-"? ([0-9] | [1-9] [0-9]{0,15})) ("." [0-9]+)? ([eE] [-+]? [0-9] [1-9]{0,15})? ws

# At most one line and some indentation.
ws ::= | " " | "\n" [ \t]{0,20}
"##;

/// Sums with brackets, one per line.
const SUMS: &str = r#"
root  ::= (expr "=" ws term "\n")+
expr  ::= term ([-+*/] ws term)*
term  ::= ident | num | "(" ws expr ")" ws
ident ::= [a-z] [a-z0-9_]* ws
num   ::= [0-9]+ ws
ws    ::= [ \t\n]*
"#;

/// Chess moves: not recursive.
const CHESS: &str = r#"
root    ::= "1. " move " " move "\n" ([1-9] [0-9]? ". " move " " move "\n")+
move    ::= (pawn | nonpawn | castle) [+#]?
nonpawn ::= [NBKQR] [a-h]? [1-8]? "x"? [a-h] [1-8]
pawn    ::= ([a-h] "x")? [a-h] [1-8] ("=" [NBKQR])?
castle  ::= "O-O" "-O"?
"#;

#[test]
fn json_in_gbnf_is_json() {
    for vocab in [&*DEMO, &*GPT2] {
        let grammar = compile(vocab, &gbnf(JSON)).unwrap();
        for seed in 0..12 {
            let text = text(&grammar, seed);
            let value: serde_json::Value =
                serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
            assert!(value.is_object());
        }
        assert!(takes(&grammar, "{\"a\": [1, -2.5e3, {\"b\": null}],\n  \"c\": \"\\u00e9 \\\" \"}"));
        assert!(!takes(&grammar, "[1]") && !takes(&grammar, "{\"a\": 01}") && !takes(&grammar, "{\"a\" 1}"));
    }
}

#[test]
fn sums_nest() {
    let grammar = compile(&DEMO, &gbnf(SUMS)).unwrap();
    assert!(takes(&grammar, "(a1 + 2)*3 = x_y\n7=7\n"));
    // The line feed could be white space, which takes all it can, but then nothing would end the line.
    assert!(takes(&grammar, "a=b \n\n \n"));
    assert!(!takes(&grammar, "(a+2 = x\n") && !takes(&grammar, "a = \n"));
}

#[test]
fn chess_is_one_regular_expression() {
    let grammar = compile(&DEMO, &gbnf(CHESS)).unwrap();
    assert!(takes(&grammar, "1. e4 e5\n2. Nf3 Nc6\n3. O-O exd6+\n"));
    assert!(!takes(&grammar, "1. e4 e9\n") && !takes(&grammar, "2. e4 e5\n"));
}

#[test]
fn a_grammar_without_recursion_is_exact() {
    // Every part of it must give back characters that a greedy reading would keep.
    let grammar = compile(&DEMO, &gbnf("root ::= word* \"ing\" [a-z]{0,2}\nword ::= [a-z] | \"in\"")).unwrap();
    for good in ["ing", "singing", "ingxx", "sinking"] {
        assert!(takes(&grammar, good), "{good}");
    }
    assert!(!takes(&grammar, "sin") && !takes(&grammar, "ing!"));
}

#[test]
fn characters_and_repetitions_are_as_written() {
    for (grammar, good, bad) in [
        ("root ::= [あ-ん]+ \"。\"", &["こんにちは。"][..], &["カ。", "あ"][..]),
        ("root ::= \"\\x41\\u00e9\\U0001F4A5\\t\"", &["Aé💥\t"], &["A"]),
        ("root ::= [^a-c\\]\\\\]{2}", &["xy", "日本"], &["xa", "x]", "x\\"]),
        ("root ::= . .", &["a\n", "日本"], &["a"]),
        ("root ::= \"a\"{2,3} \"b\"{2} \"c\"{1,}", &["aabbc", "aaabbcc"], &["abbc", "aabc", "aabb"]),
        ("root ::= \"a\"{0} \"b\"?", &["b"], &["a"]),
        (
            "root ::= x-1 | x_2\nx-1 ::= \"1\"\n\n\nx_2 ::=\n  \"2\" |\n  \"3\"\n  | \"4\"",
            &["1", "2", "3", "4"],
            &["5"],
        ),
        ("root ::= [-a] [a-] [\\-b]", &["-a-", "a-b"], &["b"]),
        ("# first\nroot ::= (\"a\" # why\n  \"b\")+ # end", &["ab", "abab"], &["a"]),
        ("root ::= \"(\" root? \")\" | \"x\"{2}", &["()", "((xx))"], &["(", "(x)"]),
        ("root ::= item{2,3}\nitem ::= \"[\" item? \"]\"", &["[][]", "[[]][][]"], &["[]", "[][][][]"]),
        ("root ::= (\"abc\")* \"d\"", &["d", "abcd", "abcabcd"], &["abd"]),
        ("root ::= [a-z]* (\"(\" root \")\")? \"z\"", &["abz", "a(z)z", "zzz", "(z)z"], &["ab", "a(z)"]),
        (
            "root ::= (\"if\" | \"i\") (\"(\" root \")\" | \"f\" \"!\")",
            &["if(if!)", "if!", "iff!", "i(iff!)"],
            &["if", "i!"],
        ),
        ("root ::= \"abc\"+", &["abc", "abcabc"], &["abcc"]),
    ] {
        let compiled = compile(&DEMO, &gbnf(grammar)).unwrap_or_else(|error| panic!("{grammar}: {error}"));
        for text in good {
            assert!(takes(&compiled, text), "{grammar} must take {text:?}");
        }
        for text in bad {
            assert!(!takes(&compiled, text), "{grammar} must not take {text:?}");
        }
    }
}

#[test]
fn what_has_no_meaning_is_refused() {
    assert!(refusal(&gbnf("root ::= root \"a\" | \"b\"")).contains("left recursion"));
    assert!(refusal(&gbnf("root ::= a\na ::= \"\"? b\nb ::= a | \"x\"")).contains("left recursion"));
    assert!(refusal(&gbnf("root ::= \"a\" root")).contains("no text can match"));
    assert!(refusal(&gbnf("")).contains("no rule `root`"));
    assert!(refusal(&gbnf("root ::= missing")).contains("`missing` is not defined"));
}
