//! What a policy asks of a line: `!r:^# && r:Protocol\.+1`.
//!
//! A pattern is one term or several joined by ` && `, all of which hold on the same line. A term is `r:` an OS_Regex, `=:` or nothing
//! a text that is the whole line in any case of letters, `<:` or `>:` a text that sorts before or after the line; `!` before it
//! negates. A pattern of negated terms only holds when no line breaks it.

use std::cmp::Ordering;

use pattern::Regex;

/// Most terms in one pattern.
const MAX_TERMS: usize = 32;

/// What is asked of the lines of a file, or of the processes.
#[derive(Debug)]
pub struct Pattern(Vec<Term>);

#[derive(Debug)]
struct Term {
    negated: bool,
    test: Test,
}

#[derive(Debug)]
enum Test {
    Regex(Box<Regex>),
    Equal(Vec<u8>),
    /// The text sorts before the line (`<:`), or after it (`>:`).
    Sorts(Ordering, Vec<u8>),
}

impl Pattern {
    /// Reads a pattern; `None` for an empty one, and for a bad expression.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let mut terms = Vec::new();
        let mut rest = Some(text);
        while let Some(text) = rest {
            let (term, after) = match super::cut(text, b" && ") {
                Some((term, after)) => (term, Some(after)),
                None => (text, None),
            };
            rest = after;
            terms.push(Term::parse(term.trim_ascii())?);
        }
        (terms.len() <= MAX_TERMS).then_some(Self(terms))
    }

    /// Whether the pattern holds for these lines.
    pub fn holds<'a>(&self, mut lines: impl Iterator<Item = &'a [u8]>) -> bool {
        if self.0.iter().all(|term| term.negated) {
            lines.all(|line| self.holds_on(line))
        } else {
            lines.any(|line| self.holds_on(line))
        }
    }

    /// Whether all terms hold on this line.
    pub fn holds_on(&self, line: &[u8]) -> bool {
        self.0.iter().all(|term| term.test.holds_on(line) != term.negated)
    }
}

impl Term {
    fn parse(text: &[u8]) -> Option<Self> {
        let (negated, text) = match text.strip_prefix(b"!") {
            Some(text) => (true, text),
            None => (false, text),
        };
        let test = match text.split_at_checked(2) {
            Some((b"r:", expression)) => Test::Regex(Box::new(Regex::new(expression).ok()?)),
            Some((b"=:", text)) => Test::Equal(text.to_vec()),
            Some((b"<:", text)) => Test::Sorts(Ordering::Less, text.to_vec()),
            Some((b">:", text)) => Test::Sorts(Ordering::Greater, text.to_vec()),
            _ if text.is_empty() => return None,
            _ => Test::Equal(text.to_vec()),
        };
        Some(Self { negated, test })
    }
}

impl Test {
    fn holds_on(&self, line: &[u8]) -> bool {
        match self {
            Self::Regex(regex) => regex.is_match(line),
            Self::Equal(text) => text.eq_ignore_ascii_case(line),
            Self::Sorts(order, text) => text.as_slice().cmp(line) == *order,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(pattern: &str, lines: &[&str]) -> bool {
        Pattern::parse(pattern.as_bytes()).unwrap().holds(lines.iter().map(|line| line.as_bytes()))
    }

    #[test]
    fn all_terms_hold_on_one_line() {
        assert!(holds("!r:^# && r:Protocol\\.+1", &["# x", "Protocol 2,1"]));
        assert!(!holds("!r:^# && r:Protocol\\.+1", &["#Protocol 1", "Port 1"]));
        assert!(holds("protocol 2", &["Protocol 2"]) && holds("=:protocol 2", &["Protocol 2"]));
        assert!(!holds("protocol", &["Protocol 2"]) && !holds("=:", &["x"]));
    }

    #[test]
    fn negated_terms_alone_hold_when_no_line_breaks_them() {
        assert!(holds("!r:^Allow", &["Port 1", "x"]) && holds("!r:^Allow", &[]));
        assert!(!holds("!r:^Allow", &["Port 1", "AllowUsers x"]));
        assert!(!holds("!r:^a && !r:^b", &["c", "b"]));
    }

    #[test]
    fn texts_are_sorted_by_their_bytes() {
        assert!(holds("<:b", &["c"]) && !holds("<:zzz", &["root", "toor"]));
        assert!(holds(">:b", &["a"]) && !holds(">:b", &["b", "c"]));
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for bad in ["", "!", "a && ", "r:", "r:(", " && a"] {
            assert!(Pattern::parse(bad.as_bytes()).is_none(), "'{bad}'");
        }
    }
}
