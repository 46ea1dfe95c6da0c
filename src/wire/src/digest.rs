//! MD5 sums as they travel: 32 lowercase hex digits. The protocol fixes this sum; nothing here trusts it as a signature.

use std::fmt;

use md5::{Digest as _, Md5};

/// An MD5 sum as text.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Md5Hex([u8; 32]);

impl Md5Hex {
    /// The sum of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self::of_parts(&[bytes])
    }

    /// The sum of all `parts`, one behind the other.
    pub fn of_parts(parts: &[&[u8]]) -> Self {
        let mut hash = Md5::new();
        for part in parts {
            hash.update(part);
        }
        let mut text = [0; 32];
        for (pair, byte) in text.chunks_exact_mut(2).zip(hash.finalize()) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        Self(text)
    }

    /// Reads 32 lowercase hex digits.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text: [u8; 32] = text.try_into().ok()?;
        text.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')).then_some(Self(text))
    }

    /// The 32 digits.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The 32 digits as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("hex digits are ASCII")
    }
}

impl fmt::Debug for Md5Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Md5Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_of_nothing_is_the_known_one() {
        assert_eq!(Md5Hex::of(b"").as_str(), "d41d8cd98f00b204e9800998ecf8427e");
    }

    #[test]
    fn only_32_lowercase_digits_are_a_sum() {
        let sum = Md5Hex::of(b"a");
        assert_eq!(Md5Hex::parse(sum.as_bytes()), Some(sum));
        assert_eq!(Md5Hex::parse(b"x"), None);
        assert_eq!(Md5Hex::parse(&sum.as_bytes()[1..]), None);
        assert_eq!(Md5Hex::parse(b"D41d8cd98f00b204e9800998ecf8427e"), None);
    }
}
