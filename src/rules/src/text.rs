//! One pattern of any of the three languages, as conditions and decoders use it.

use std::sync::Arc;

use pattern::{Captures, Match, PatternError, Pcre, Regex};

/// Which language a tag's content is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    Match,
    Regex,
    Pcre,
}

/// A compiled pattern; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) enum Text {
    Match(Arc<Match>),
    Regex(Arc<Regex>),
    Pcre(Arc<Pcre>),
}

impl Text {
    pub(crate) fn new(language: Language, pattern: &[u8]) -> Result<Self, PatternError> {
        Ok(match language {
            Language::Match => Self::Match(Arc::new(Match::new(pattern)?)),
            Language::Regex => Self::Regex(Arc::new(Regex::new(pattern)?)),
            Language::Pcre => Self::Pcre(Arc::new(Pcre::new(pattern)?)),
        })
    }

    pub(crate) fn is_match(&self, text: &[u8]) -> bool {
        match self {
            Self::Match(pattern) => pattern.is_match(text),
            Self::Regex(pattern) => pattern.is_match(text),
            Self::Pcre(pattern) => pattern.is_match(text),
        }
    }

    /// Where the match ends, with what its groups took; an OS_Match has neither.
    pub(crate) fn find(&self, text: &[u8], captures: &mut Captures) -> Option<usize> {
        match self {
            Self::Match(pattern) => pattern.is_match(text).then_some(0),
            Self::Regex(pattern) => pattern.find_captures(text, captures),
            Self::Pcre(pattern) => pattern.find_captures(text, captures),
        }
    }

    /// Literals of which a matching text contains at least one.
    pub(crate) fn required_literals(&self) -> Option<&[Vec<u8>]> {
        match self {
            Self::Match(pattern) => pattern.required_literals(),
            Self::Regex(pattern) => pattern.required_literals(),
            Self::Pcre(pattern) => pattern.required_literals(),
        }
    }

    /// Rank among conditions: the cheap ones are asked first.
    pub(crate) fn cost(&self) -> u8 {
        match self {
            Self::Match(_) => 4,
            Self::Regex(_) => 5,
            Self::Pcre(pattern) if pattern.needs_backtracking() => 9,
            Self::Pcre(_) => 5,
        }
    }
}
