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
    Match(Arc<Written<Match>>),
    Regex(Arc<Written<Regex>>),
    Pcre(Arc<Written<Pcre>>),
}

/// A pattern with the text that it was compiled from, for explanations.
#[derive(Debug)]
pub(crate) struct Written<P> {
    pattern: P,
    text: Box<[u8]>,
}

impl<P> std::ops::Deref for Written<P> {
    type Target = P;

    fn deref(&self) -> &P {
        &self.pattern
    }
}

impl Text {
    pub(crate) fn new(language: Language, pattern: &[u8]) -> Result<Self, PatternError> {
        let text = pattern.into();
        Ok(match language {
            Language::Match => {
                Self::Match(Arc::new(Written { pattern: Match::new(pattern)?, text }))
            }
            Language::Regex => {
                Self::Regex(Arc::new(Written { pattern: Regex::new(pattern)?, text }))
            }
            Language::Pcre => Self::Pcre(Arc::new(Written { pattern: Pcre::new(pattern)?, text })),
        })
    }

    /// As it stands in the file, equal tags joined.
    pub(crate) fn as_written(&self) -> &[u8] {
        match self {
            Self::Match(pattern) => &pattern.text,
            Self::Regex(pattern) => &pattern.text,
            Self::Pcre(pattern) => &pattern.text,
        }
    }

    pub(crate) fn language(&self) -> Language {
        match self {
            Self::Match(_) => Language::Match,
            Self::Regex(_) => Language::Regex,
            Self::Pcre(_) => Language::Pcre,
        }
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
