//! POSIX extended regular expressions, as an automaton: time is linear in the text, whatever the pattern.
//!
//! Matched against many lines at once: `^` and `$` are the ends of a line, nothing matches a newline. Case counts.

use std::fmt;

use regex_automata::meta::{BuildError, Regex};
use regex_automata::util::syntax;

/// Longest pattern, in bytes.
const MAX_PATTERN: usize = 2048;
/// Bounds the memory of one pattern's automaton.
const MAX_AUTOMATON: usize = 1 << 20;

/// A compiled expression.
#[derive(Debug, Clone)]
pub struct Ere(Regex);

/// Why it is none.
#[derive(Debug)]
pub enum EreError {
    /// Empty, or longer than 2,048 bytes.
    Length,
    /// Not UTF-8: write other bytes as `.`.
    Encoding,
    /// A bracket or a parenthesis without its other half, a repetition of nothing, or too large an automaton.
    Syntax(Box<BuildError>),
}

impl fmt::Display for EreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length => write!(f, "a pattern has 1 to {MAX_PATTERN} bytes"),
            Self::Encoding => f.write_str("a pattern is UTF-8 text"),
            Self::Syntax(_) => f.write_str("not a POSIX extended regular expression"),
        }
    }
}

impl std::error::Error for EreError {}

impl Ere {
    /// Compiles `pattern`.
    ///
    /// # Errors
    /// See [`EreError`].
    pub fn new(pattern: &[u8]) -> Result<Self, EreError> {
        if pattern.is_empty() || pattern.len() > MAX_PATTERN {
            return Err(EreError::Length);
        }
        let pattern = std::str::from_utf8(pattern).map_err(|_| EreError::Encoding)?;
        let syntax = syntax::Config::new().unicode(false).utf8(false).multi_line(true);
        let config = Regex::config().utf8_empty(false).nfa_size_limit(Some(MAX_AUTOMATON));
        let regex = Regex::builder().syntax(syntax).configure(config).build(&translated(pattern));
        regex.map(Self).map_err(|error| EreError::Syntax(Box::new(error)))
    }

    /// Whether a line of `text` holds a match.
    pub fn is_match(&self, text: &[u8]) -> bool {
        self.0.is_match(text)
    }
}

/// POSIX's syntax in that of the automaton's builder.
fn translated(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut rest = pattern.chars().peekable();
    let mut starts = true;
    while let Some(c) = rest.next() {
        let started = std::mem::replace(&mut starts, matches!(c, '(' | '|' | '^'));
        match c {
            '[' => bracket(&mut rest, &mut out),
            '\\' => push_literal(rest.next().unwrap_or('\\'), &mut out),
            // Where there is nothing to repeat, it stands for itself.
            '*' if started => push_literal(c, &mut out),
            '{' if !rest.peek().is_some_and(char::is_ascii_digit) => push_literal(c, &mut out),
            '{' => {
                out.push('{');
                while let Some(c) = rest.next_if(|c| c.is_ascii_digit() || *c == ',') {
                    out.push(c);
                }
            }
            // `(?` would open a group with flags.
            '?' | '+' if started => push_literal(c, &mut out),
            '.' | '^' | '$' | '(' | ')' | '|' | '?' | '+' | '*' | '}' => out.push(c),
            other => push_literal(other, &mut out),
        }
    }
    out
}

/// A set in brackets: there `\` stands for itself, and `]` does where it comes first.
fn bracket(rest: &mut std::iter::Peekable<std::str::Chars<'_>>, out: &mut String) {
    out.push('[');
    if rest.next_if_eq(&'^').is_some() {
        // No set reaches over the end of a line.
        out.push_str("^\\n");
    }
    let mut first = true;
    while let Some(c) = rest.next() {
        match c {
            ']' if !first => return out.push(']'),
            '[' if rest.peek() == Some(&':') => {
                out.push('[');
                for c in rest.by_ref() {
                    out.push(c);
                    if out.ends_with(":]") {
                        break;
                    }
                }
            }
            '-' if !first && rest.peek() != Some(&']') => out.push('-'),
            '\n' => {}
            other => push_literal(other, out),
        }
        first = false;
    }
}

/// One character that means itself, in or out of brackets.
fn push_literal(c: char, out: &mut String) {
    if c.is_ascii_punctuation() {
        out.push('\\');
    }
    out.push(c);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_match(pattern: &str, text: &str) -> bool {
        Ere::new(pattern.as_bytes())
            .unwrap_or_else(|e| panic!("{pattern}: {e}"))
            .is_match(text.as_bytes())
    }

    #[test]
    fn an_expression_means_what_grep_makes_of_it() {
        for (pattern, yes, no) in [
            ("xmx|bash|/dev/xmx", "a /dev/xmx b", "BASH"),
            ("^strings E", "x\nstrings EVIL", "my strings EVIL"),
            ("end$", "the end\nx", "ends"),
            ("a{2,3}b", "aab", "ab"),
            ("a\\.c", "a.c", "abc"),
            ("[]x]y", "]y", "y"),
            ("[\\/]tmp", "\\tmp", "tmp"),
            ("[^a]b", "cb", "a\nb"),
            ("[a-c-]z", "-z", "dz"),
            ("[[:digit:]]+x", "12x", "abx"),
            ("a{b", "a{b", "ab"),
            ("*a", "*a", "b"),
            ("(x|y)+=\"", "xy=\"", "xy="),
            ("[&&~~]q", "~q", "xq"),
            ("a.c", "abc", "a\nc"),
            ("\u{e9}", "caf\u{e9}", "cafe"),
            ("#&~ -x", "#&~ -x", "x"),
        ] {
            assert!(is_match(pattern, yes), "'{pattern}' should match '{yes}'");
            assert!(!is_match(pattern, no), "'{pattern}' should not match '{no}'");
        }
    }

    #[test]
    fn what_is_no_expression_is_refused() {
        let long = "x".repeat(MAX_PATTERN + 1);
        for bad in ["", "[a", "(a", "a)", "a{1", "a{9999}{9999}", long.as_str()] {
            assert!(Ere::new(bad.as_bytes()).is_err(), "'{bad}'");
        }
        assert!(matches!(Ere::new(b"\xff"), Err(EreError::Encoding)));
    }
}
