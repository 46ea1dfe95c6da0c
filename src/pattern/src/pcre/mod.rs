//! PCRE2 as rules use it: byte mode, case ignored, nothing else switched on.
//!
//! A pattern is translated into the syntax of the `regex` crate and runs in linear time. One that needs more (look-around,
//! back-references, atomic groups) runs on a backtracking matcher with a step limit.

mod bracket;
mod class;
mod escape;
mod group;
mod translate;

use std::sync::OnceLock;

use crate::anchored::Anchored;
use crate::captures::Captures;
use crate::error::PatternError;
use crate::program::{Automaton, Characters};
use crate::required;
use translate::{Dollar, Translation, translate};

/// Steps that a backtracking match may take; beyond them the pattern does not match, as with PCRE2's own limit.
const MAX_STEPS: usize = 250_000;

/// Instructions that a backtracking pattern may have.
const MAX_PROGRAM: usize = 1 << 20;

/// A compiled PCRE2 pattern.
#[derive(Debug)]
pub struct Pcre {
    matcher: Matcher,
    literals: Option<Vec<Vec<u8>>>,
}

#[derive(Debug)]
enum Matcher {
    Anchored(Anchored),
    Linear(Box<Linear>),
    Backtracking(Box<fancy_regex::Regex>),
}

/// `$` is also before a newline that ends the text, which an automaton cannot say without taking the newline. Few texts end
/// so; for them, and for patterns that care, there is a second form.
#[derive(Debug)]
struct Linear {
    automaton: Automaton,
    exact_text: Option<Box<str>>,
    exact: OnceLock<Option<fancy_regex::Regex>>,
}

impl Pcre {
    /// Compiles `pattern`.
    pub fn new(pattern: &[u8]) -> Result<Self, PatternError> {
        if pattern.is_empty() {
            return Err(PatternError::Empty);
        }
        if let Some(anchored) = Anchored::of_regex(pattern) {
            let literals = required::of_literal(anchored.literal());
            return Ok(Self { matcher: Matcher::Anchored(anchored), literals });
        }
        let fast: Translation = translate(pattern, Dollar::EndOnly)?;
        if fast.needs_backtracking {
            let exact = translate(pattern, Dollar::BeforeFinalNewline)?;
            let regex = backtracking(&exact.text)?;
            return Ok(Self { matcher: Matcher::Backtracking(Box::new(regex)), literals: None });
        }
        let exact_text = match fast.minds_final_newline {
            true => Some(translate(pattern, Dollar::BeforeFinalNewline)?.text.into()),
            false => None,
        };
        let automaton = Automaton::new(&fast.text, Characters::Bytes)?;
        let linear = Linear { automaton, exact_text, exact: OnceLock::new() };
        let literals = required::of_bytes(&fast.text);
        Ok(Self { matcher: Matcher::Linear(Box::new(linear)), literals })
    }

    /// Whether the pattern matches somewhere in `text`.
    pub fn is_match(&self, text: &[u8]) -> bool {
        match &self.matcher {
            Matcher::Anchored(anchored) => anchored.find_end(text).is_some(),
            Matcher::Linear(linear) => match linear.exact_for(text) {
                Some(exact) => exact.is_match(text).unwrap_or(false),
                None => linear.automaton.is_match(text),
            },
            Matcher::Backtracking(regex) => regex.is_match(text).unwrap_or(false),
        }
    }

    /// The leftmost match: fills `captures`, gives the offset just behind the match.
    pub fn find_captures(&self, text: &[u8], captures: &mut Captures) -> Option<usize> {
        captures.clear();
        match &self.matcher {
            Matcher::Anchored(anchored) => anchored.find_end(text),
            Matcher::Linear(linear) => match linear.exact_for(text) {
                Some(exact) => find_backtracking(exact, text, captures),
                None => linear.automaton.find_captures(text, captures),
            },
            Matcher::Backtracking(regex) => find_backtracking(regex, text, captures),
        }
    }

    /// How many groups the pattern has; 0 for one that is compared as a literal.
    pub fn groups(&self) -> usize {
        match &self.matcher {
            Matcher::Anchored(_) => 0,
            Matcher::Linear(linear) => linear.automaton.groups(),
            Matcher::Backtracking(regex) => regex.captures_len().saturating_sub(1),
        }
    }

    /// Whether the pattern is compared as an anchored literal, and so delivers no captures.
    pub fn is_literal(&self) -> bool {
        matches!(self.matcher, Matcher::Anchored(_))
    }

    /// Whether the pattern needs the backtracking matcher: worth a warning to the author of the rule.
    pub fn needs_backtracking(&self) -> bool {
        matches!(self.matcher, Matcher::Backtracking(_))
    }

    /// Lower-case ASCII literals of which at least one is, ASCII case ignored, in every text that matches; `None` when
    /// there are no useful ones.
    pub fn required_literals(&self) -> Option<&[Vec<u8>]> {
        self.literals.as_deref()
    }
}

impl Linear {
    fn exact_for(&self, text: &[u8]) -> Option<&fancy_regex::Regex> {
        if text.last() != Some(&b'\n') {
            return None;
        }
        let exact_text = self.exact_text.as_deref()?;
        self.exact.get_or_init(|| backtracking(exact_text).ok()).as_ref()
    }
}

fn backtracking(text: &str) -> Result<fancy_regex::Regex, PatternError> {
    fancy_regex::RegexBuilder::new(text)
        .bytes_mode(fancy_regex::BytesMode::Ascii)
        .backtrack_limit(MAX_STEPS)
        .max_prog_size(MAX_PROGRAM)
        .build()
        .map_err(|err| PatternError::syntax(err.to_string()))
}

fn find_backtracking(
    regex: &fancy_regex::Regex,
    text: &[u8],
    captures: &mut Captures,
) -> Option<usize> {
    let found = regex.captures(text).ok()??;
    for index in 1..found.len() {
        if let Some(group) = found.get(index) {
            captures.push(group.start(), group.end());
        }
    }
    found.get(0).map(|whole| whole.end())
}
