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
    /// Holds where the pattern does not match.
    negated: bool,
}

impl<P> std::ops::Deref for Written<P> {
    type Target = P;

    fn deref(&self) -> &P {
        &self.pattern
    }
}

impl Text {
    pub(crate) fn new(language: Language, pattern: &[u8]) -> Result<Self, PatternError> {
        Self::with_negation(language, pattern, false)
    }

    /// A pattern that holds where it does not match, if `negated`.
    pub(crate) fn with_negation(
        language: Language,
        pattern: &[u8],
        negated: bool,
    ) -> Result<Self, PatternError> {
        let text = if negated { [b"not ", pattern].concat().into() } else { pattern.into() };
        Ok(match language {
            Language::Match => {
                Self::Match(Arc::new(Written { pattern: Match::new(pattern)?, text, negated }))
            }
            Language::Regex => {
                Self::Regex(Arc::new(Written { pattern: Regex::new(pattern)?, text, negated }))
            }
            Language::Pcre => {
                Self::Pcre(Arc::new(Written { pattern: Pcre::new(pattern)?, text, negated }))
            }
        })
    }

    /// As it stands in the file, equal tags joined; `not ` in front if it is negated.
    pub(crate) fn as_written(&self) -> &[u8] {
        match self {
            Self::Match(pattern) => &pattern.text,
            Self::Regex(pattern) => &pattern.text,
            Self::Pcre(pattern) => &pattern.text,
        }
    }

    fn is_negated(&self) -> bool {
        match self {
            Self::Match(pattern) => pattern.negated,
            Self::Regex(pattern) => pattern.negated,
            Self::Pcre(pattern) => pattern.negated,
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
            Self::Match(pattern) => pattern.is_match(text) != pattern.negated,
            Self::Regex(pattern) => pattern.is_match(text) != pattern.negated,
            Self::Pcre(pattern) => pattern.is_match(text) != pattern.negated,
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
            _ if self.is_negated() => None,
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
