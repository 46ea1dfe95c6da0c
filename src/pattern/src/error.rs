//! Why a pattern is not one.

use std::fmt;

/// What is wrong with a pattern; the words are for the person who wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PatternError {
    /// The pattern has nothing in it.
    Empty,
    /// The pattern is longer than the language allows.
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// A backslash before a character that has no such form in the language.
    UnknownEscape {
        /// The byte behind the backslash.
        escape: u8,
        /// Offset of the backslash in the pattern.
        at: usize,
    },
    /// The pattern ends with a backslash.
    TrailingBackslash,
    /// A form of PCRE2 that this program does not have.
    Unsupported {
        /// What it is called.
        what: &'static str,
        /// Offset in the pattern.
        at: usize,
    },
    /// Anything else that makes it no pattern.
    Syntax {
        /// What is wrong.
        reason: String,
    },
}

impl PatternError {
    /// The error number of OSSEC's pattern compilers: 3 for too long, 6 for everything else.
    pub fn code(&self) -> u8 {
        match self {
            Self::TooLong { .. } => 3,
            _ => 6,
        }
    }

    pub(crate) fn syntax(reason: impl Into<String>) -> Self {
        Self::Syntax { reason: reason.into() }
    }
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the pattern is empty"),
            Self::TooLong { len } => {
                write!(
                    f,
                    "the pattern has {len} bytes, the limit is {}",
                    crate::os_regex::MAX_PATTERN
                )
            }
            Self::UnknownEscape { escape, at } => {
                write!(f, "unknown escape '\\{}' at offset {at}", escape.escape_ascii())
            }
            Self::TrailingBackslash => f.write_str("the pattern ends with a backslash"),
            Self::Unsupported { what, at } => write!(f, "{what} at offset {at} is not supported"),
            Self::Syntax { reason } => f.write_str(reason),
        }
    }
}

impl std::error::Error for PatternError {}
