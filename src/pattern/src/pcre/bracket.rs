//! Bracket classes of PCRE2.

use super::class::ByteSet;
use super::translate::Translator;
use crate::error::PatternError;

impl Translator<'_> {
    /// Behind `[`.
    pub(super) fn class(&mut self) -> Result<(), PatternError> {
        let at = self.at - 1;
        let negated = self.take(b'^');
        let mut set = ByteSet::empty();
        let mut first = true;
        loop {
            let byte = self.next().ok_or_else(|| {
                PatternError::syntax(format!("the class at offset {at} is not closed"))
            })?;
            if byte == b']' && !first {
                break;
            }
            first = false;
            match self.class_item(byte)? {
                Some(ClassItem::Set(other)) => set.add(other),
                Some(ClassItem::Byte(low)) => set.add(self.class_range(low)?),
                None => {}
            }
        }
        if self.options.ignore_case {
            set.fold();
        }
        self.set(if negated { set.inverse() } else { set })
    }

    /// One member of a class, whose first byte has been read; `None` for `\Q`, `\E`, which stand for nothing.
    fn class_item(&mut self, byte: u8) -> Result<Option<ClassItem>, PatternError> {
        if byte == b'['
            && let Some(set) = self.posix_class()?
        {
            return Ok(Some(ClassItem::Set(set)));
        }
        if byte != b'\\' {
            return Ok(Some(ClassItem::Byte(byte)));
        }
        let at = self.at - 1;
        let letter = self.next().ok_or(PatternError::TrailingBackslash)?;
        if let Some(set) = ByteSet::of_escape(letter) {
            return Ok(Some(ClassItem::Set(set)));
        }
        Ok(Some(match letter {
            b'b' => ClassItem::Byte(0x08),
            b'E' => return Ok(None),
            b'Q' => {
                let mut set = ByteSet::empty();
                while let Some(byte) = self.next() {
                    if byte == b'\\' && self.take(b'E') {
                        break;
                    }
                    set.add(ByteSet::one(byte));
                }
                ClassItem::Set(set)
            }
            b'p' | b'P' => {
                return Err(PatternError::Unsupported { what: "a Unicode property", at });
            }
            other => ClassItem::Byte(self.character_escape(other, at)?),
        }))
    }

    /// `low`, or `low-high` when that follows.
    fn class_range(&mut self, low: u8) -> Result<ByteSet, PatternError> {
        let begin = self.at;
        if !self.take(b'-') {
            return Ok(ByteSet::one(low));
        }
        let next = self.next();
        let high = match next {
            Some(b']') | None => None,
            Some(byte) => match self.class_item(byte)? {
                Some(ClassItem::Byte(high)) => Some(high),
                _ => None,
            },
        };
        match high {
            Some(high) if high < low => Err(PatternError::syntax(format!(
                "the range '{}-{}' counts downwards",
                low.escape_ascii(),
                high.escape_ascii()
            ))),
            Some(high) => Ok(ByteSet::of(|byte| (low..=high).contains(&byte))),
            // `[a-]` and `[a-\d]`: the hyphen stands for itself, and what follows is read again.
            None => {
                self.at = begin + 1;
                Ok(ByteSet::of(|byte| byte == low || byte == b'-'))
            }
        }
    }

    /// Behind the inner bracket of `[[:alpha:]]`; `None`, and nothing read, if it is only a bracket.
    fn posix_class(&mut self) -> Result<Option<ByteSet>, PatternError> {
        let Some(rest) = self.rest().strip_prefix(b":") else { return Ok(None) };
        let Some(len) = rest.windows(2).position(|pair| pair == b":]") else { return Ok(None) };
        let name = rest.get(..len).unwrap_or_default();
        if !name.iter().all(|byte| byte.is_ascii_alphabetic() || *byte == b'^') {
            return Ok(None);
        }
        let set = ByteSet::of_posix(name).ok_or_else(|| {
            PatternError::syntax(format!("unknown class '[:{}:]'", name.escape_ascii()))
        })?;
        self.at += len + 3;
        Ok(Some(set))
    }
}

enum ClassItem {
    Byte(u8),
    Set(ByteSet),
}
