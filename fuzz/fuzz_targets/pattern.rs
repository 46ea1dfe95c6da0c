//! Patterns of the three languages, and texts to try them on: the first line is the pattern.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pattern::{Captures, Match, Pcre, Regex};

fuzz_target!(|bytes: &[u8]| {
    let at = bytes.iter().position(|&byte| byte == b'\n').unwrap_or(bytes.len());
    let (pattern, text) = bytes.split_at(at);
    let text = text.get(1..).unwrap_or_default();
    let mut captures = Captures::new();
    if let Ok(pattern) = Match::new(pattern) {
        let matched = pattern.is_match(text);
        check(matched, pattern.required_literals(), text);
    }
    if let Ok(pattern) = Regex::new(pattern) {
        let found = pattern.find_captures(text, &mut captures);
        assert_eq!(found.is_some(), pattern.is_match(text));
        assert!(captures.iter().all(|range| range.end <= text.len()));
        check(found.is_some(), pattern.required_literals(), text);
    }
    if let Ok(pattern) = Pcre::new(pattern) {
        let found = pattern.find_captures(text, &mut captures);
        assert!(captures.iter().all(|range| range.end <= text.len()));
        check(found.is_some(), pattern.required_literals(), text);
    }
});

/// What matches has one of the literals that it needs.
fn check(matched: bool, literals: Option<&[Vec<u8>]>, text: &[u8]) {
    let Some(literals) = literals.filter(|_| matched && pattern::literals_apply(text)) else { return };
    let text = text.to_ascii_lowercase();
    let has = |literal: &Vec<u8>| text.windows(literal.len()).any(|window| window == literal.to_ascii_lowercase());
    assert!(literals.iter().any(has));
}
