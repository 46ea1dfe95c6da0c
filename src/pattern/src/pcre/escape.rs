//! Escapes and back-references of PCRE2.

use super::class::ByteSet;
use super::translate::{Translator, parse_number};
use crate::error::PatternError;

impl Translator<'_> {
    /// Behind a backslash outside a class.
    pub(super) fn escape(&mut self) -> Result<(), PatternError> {
        let at = self.at - 1;
        let letter = self.next().ok_or(PatternError::TrailingBackslash)?;
        if let Some(set) = ByteSet::of_escape(letter) {
            return self.set(set);
        }
        match letter {
            b'N' if self.peek() == Some(b'{') => {
                Err(PatternError::Unsupported { what: "a named character", at })
            }
            b'N' => self.set(ByteSet::one(b'\n').inverse()),
            b'C' => self.set(ByteSet::empty().inverse()),
            b'b' => self.anchor(r"\b"),
            b'B' => self.anchor(r"\B"),
            // The search begins at the start of the text, so \G is there, too.
            b'A' | b'G' => self.anchor(r"\A"),
            b'z' => self.anchor(r"\z"),
            b'Z' => self.end_of_text(),
            b'R' => {
                self.needs_backtracking = true;
                self.atom(r"(?>\r\n|[\n\x0B\x0C\r\x85])");
                Ok(())
            }
            b'K' => {
                self.needs_backtracking = true;
                self.anchor(r"\K")
            }
            b'Q' => self.quoted(),
            b'E' => Ok(()),
            b'1'..=b'9' => self.back_reference_or_octal(letter),
            b'k' | b'g' => self.named_reference(letter, at),
            b'p' | b'P' => Err(PatternError::Unsupported { what: "a Unicode property", at }),
            b'X' => Err(PatternError::Unsupported { what: "a grapheme (\\X)", at }),
            other => {
                let byte = self.character_escape(other, at)?;
                self.literal(byte)
            }
        }
    }

    /// The byte of an escape that stands for one, inside a class and outside.
    pub(super) fn character_escape(&mut self, letter: u8, at: usize) -> Result<u8, PatternError> {
        Ok(match letter {
            b'a' => 0x07,
            b'e' => 0x1B,
            b'f' => 0x0C,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'x' => return self.hexadecimal(at),
            b'o' => return self.braced_octal(at),
            b'c' => self.next().ok_or(PatternError::TrailingBackslash)?.to_ascii_uppercase() ^ 0x40,
            b'0'..=b'7' => {
                self.at -= 1;
                return Ok(self.octal(3));
            }
            other if other.is_ascii_alphanumeric() => {
                return Err(PatternError::UnknownEscape { escape: other, at });
            }
            other => other,
        })
    }

    /// Behind `\x`: `{hh}`, or up to two digits.
    fn hexadecimal(&mut self, at: usize) -> Result<u8, PatternError> {
        let bad = || PatternError::syntax(format!("the number of '\\x' at offset {at} is no byte"));
        if self.take(b'{') {
            let digits = self.until(b'}').ok_or_else(bad)?;
            return parse_number(digits, 16)
                .and_then(|value| u8::try_from(value).ok())
                .ok_or_else(bad);
        }
        let len = self.rest().iter().take(2).take_while(|byte| byte.is_ascii_hexdigit()).count();
        let digits = self.rest().get(..len).unwrap_or_default();
        self.at += len;
        Ok(parse_number(digits, 16).and_then(|value| u8::try_from(value).ok()).unwrap_or(0))
    }

    fn braced_octal(&mut self, at: usize) -> Result<u8, PatternError> {
        let bad = || PatternError::syntax(format!("the number of '\\o' at offset {at} is no byte"));
        let digits = self.take(b'{').then(|| self.until(b'}')).flatten().ok_or_else(bad)?;
        parse_number(digits, 8).and_then(|value| u8::try_from(value).ok()).ok_or_else(bad)
    }

    /// Up to `len` octal digits; of a number beyond a byte, its low byte.
    fn octal(&mut self, len: usize) -> u8 {
        let len =
            self.rest().iter().take(len).take_while(|byte| (b'0'..=b'7').contains(byte)).count();
        let digits = self.rest().get(..len).unwrap_or_default();
        self.at += len;
        parse_number(digits, 8).map_or(0, |value| (value & 0xFF) as u8)
    }

    /// `\1` to `\9` are always references; longer numbers are when there are so many groups, else octal.
    fn back_reference_or_octal(&mut self, first: u8) -> Result<(), PatternError> {
        let len = self.rest().iter().take(4).take_while(|byte| byte.is_ascii_digit()).count();
        let digits = self.pattern.get(self.at - 1..self.at + len).unwrap_or_default();
        match parse_number(digits, 10) {
            Some(number) if len == 0 || number <= self.groups => {
                self.at += len;
                self.reference(number)
            }
            _ if first <= b'7' => {
                self.at -= 1;
                let byte = self.octal(3);
                self.literal(byte)
            }
            _ => self.literal(first),
        }
    }

    /// Behind `\k` or `\g`: a name or number in brackets, or a bare number.
    fn named_reference(&mut self, letter: u8, at: usize) -> Result<(), PatternError> {
        let bad = || PatternError::syntax(format!("the reference at offset {at} is incomplete"));
        let close = match self.peek() {
            Some(b'{') => b'}',
            Some(b'<') if letter == b'g' => {
                return Err(PatternError::Unsupported { what: "a call of a group", at });
            }
            Some(b'\'') if letter == b'g' => {
                return Err(PatternError::Unsupported { what: "a call of a group", at });
            }
            Some(b'<') => b'>',
            Some(b'\'') => b'\'',
            _ if letter == b'g' => {
                let len = self
                    .rest()
                    .iter()
                    .enumerate()
                    .take_while(|(at, byte)| byte.is_ascii_digit() || *at == 0 && **byte == b'-')
                    .count();
                let number = self.rest().get(..len).unwrap_or_default();
                self.at += len;
                let number = self.group_number(number).ok_or_else(bad)?;
                return self.reference(number);
            }
            _ => return Err(bad()),
        };
        self.at += 1;
        let name = self.until(close).ok_or_else(bad)?;
        let number = self.group_number(name).ok_or_else(bad)?;
        self.reference(number)
    }

    /// The group that a name, a number or a relative number (`-1` is the last one) means.
    pub(super) fn group_number(&self, text: &[u8]) -> Option<u32> {
        if let Some(back) = text.strip_prefix(b"-") {
            return (self.groups + 1).checked_sub(parse_number(back, 10)?);
        }
        if text.iter().all(u8::is_ascii_digit) {
            return parse_number(text, 10);
        }
        self.names.iter().find(|(name, _)| *name == text).map(|&(_, number)| number)
    }

    pub(super) fn reference(&mut self, number: u32) -> Result<(), PatternError> {
        self.needs_backtracking = true;
        let text = if self.options.ignore_case {
            format!("(?i:\\{number})")
        } else {
            format!("(?:\\{number})")
        };
        self.atom(&text);
        Ok(())
    }

    /// Behind `\Q`: everything up to `\E` stands for itself.
    fn quoted(&mut self) -> Result<(), PatternError> {
        while let Some(byte) = self.next() {
            if byte == b'\\' && self.take(b'E') {
                break;
            }
            self.literal(byte)?;
        }
        Ok(())
    }
}
