//! Literals with an anchor: compared byte by byte, no automaton.

/// A literal that must lie at one or both ends of the text, ASCII case ignored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Anchored {
    /// `^x`
    Prefix(Box<[u8]>),
    /// `x$`
    Suffix(Box<[u8]>),
    /// `^x$`
    Whole(Box<[u8]>),
}

impl Anchored {
    /// Reads `^x`, `x$`, `^x$`; `None` without an anchor. What `x` may be is the caller's business.
    pub(crate) fn split(pattern: &[u8]) -> Option<(Self, &[u8])> {
        let (start, rest) = match pattern.strip_prefix(b"^") {
            Some(rest) => (true, rest),
            None => (false, pattern),
        };
        let (end, literal) = match rest.strip_suffix(b"$") {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        let anchored = match (start, end) {
            (true, true) => Self::Whole(literal.into()),
            (true, false) => Self::Prefix(literal.into()),
            (false, true) => Self::Suffix(literal.into()),
            (false, false) => return None,
        };
        Some((anchored, literal))
    }

    /// The form that OS_Regex and PCRE2 patterns are compared in when only harmless characters lie between the anchors.
    pub(crate) fn of_regex(pattern: &[u8]) -> Option<Self> {
        let (anchored, literal) = Self::split(pattern)?;
        literal.iter().all(|&byte| is_harmless(byte)).then_some(anchored)
    }

    /// Offset behind the match.
    pub(crate) fn find_end(&self, text: &[u8]) -> Option<usize> {
        match self {
            Self::Prefix(literal) => {
                starts_with_ignoring_case(text, literal).then_some(literal.len())
            }
            Self::Suffix(literal) => {
                let tail = text.len().checked_sub(literal.len()).and_then(|at| text.get(at..))?;
                tail.eq_ignore_ascii_case(literal).then_some(text.len())
            }
            Self::Whole(literal) => text.eq_ignore_ascii_case(literal).then_some(literal.len()),
        }
    }

    pub(crate) fn literal(&self) -> &[u8] {
        match self {
            Self::Prefix(literal) | Self::Suffix(literal) | Self::Whole(literal) => literal,
        }
    }
}

/// Whether `text` begins with `prefix`, ASCII case ignored.
pub(crate) fn starts_with_ignoring_case(text: &[u8], prefix: &[u8]) -> bool {
    text.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix))
}

fn is_harmless(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b" !\"#%&',/:;<=>@_`~-".contains(&byte)
}
