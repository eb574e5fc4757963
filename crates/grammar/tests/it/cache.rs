//! The cache.

use std::thread;

use rocmforge_grammar::{GrammarCache, Limits, Spec};
use serde_json::json;

use crate::walk::takes;
use crate::{DEMO, schema};

const MIB: usize = 1 << 20;

fn constant(number: usize) -> Spec {
    Spec::JsonSchema(json!({"const": number}))
}

#[test]
fn h48_any_number_of_schemas_stays_within_its_bytes() {
    let cache = GrammarCache::new(DEMO.clone(), Limits::default(), 4 * MIB);
    for number in 0..600 {
        let grammar = cache.get(&constant(number)).unwrap();
        assert!(takes(&grammar, &number.to_string()));
        assert!(cache.bytes() <= 4 * MIB, "{} after {number}", cache.bytes());
    }
    assert!(!cache.is_empty() && cache.len() < 600);
}

#[test]
fn what_was_used_last_stays() {
    let cache = GrammarCache::new(DEMO.clone(), Limits::default(), 4 * MIB);
    let kept = cache.get(&constant(1)).unwrap();
    for number in 2..300 {
        cache.get(&constant(number)).unwrap();
        let again = cache.get(&constant(1)).unwrap();
        assert!(again.is_same(&kept));
    }
}

#[test]
fn the_order_of_properties_makes_another_constraint() {
    let cache = GrammarCache::new(DEMO.clone(), Limits::default(), 64 * MIB);
    let ab =
        schema(r#"{"type": "object", "properties": {"a": {"const": 1}, "b": {"const": 2}}, "required": ["a", "b"]}"#);
    let ba =
        schema(r#"{"type": "object", "properties": {"b": {"const": 2}, "a": {"const": 1}}, "required": ["a", "b"]}"#);
    assert!(takes(&cache.get(&ab).unwrap(), r#"{"a": 1, "b": 2}"#));
    assert!(takes(&cache.get(&ba).unwrap(), r#"{"b": 2, "a": 1}"#));
    // The same text in another language is another constraint as well.
    assert!(takes(&cache.get(&Spec::Regex("a+".to_owned())).unwrap(), "aa"));
    assert!(takes(&cache.get(&Spec::Choice(vec!["a+".to_owned()])).unwrap(), "a+"));
    assert_eq!(cache.len(), 4);
}

#[test]
fn failures_are_not_kept() {
    let cache = GrammarCache::new(DEMO.clone(), Limits::default(), MIB);
    assert!(cache.get(&Spec::Regex("(".to_owned())).is_err());
    assert!(cache.is_empty());
}

#[test]
fn threads_share_it() {
    let cache = GrammarCache::new(DEMO.clone(), Limits::default(), 8 * MIB);
    thread::scope(|scope| {
        for thread in 0..4 {
            let cache = &cache;
            scope.spawn(move || {
                for round in 0..40 {
                    let number = (round * 7 + thread) % 20;
                    assert!(takes(&cache.get(&constant(number)).unwrap(), &number.to_string()));
                }
            });
        }
    });
    assert!(cache.len() <= 20);
}
