//! The secret that an agent and its manager share.

use std::fmt;
use std::io;

use rustix::rand::{GetRandomFlags, getrandom};

use crate::identity::KEPT;

/// Key field of client.keys: 64 hex digits when made here, anything without a newline when made elsewhere.
///
/// Never shown by `Debug`; there is no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(Box<[u8]>);

impl Key {
    /// A new key: 256 bits of the system's random source as 64 hex digits.
    ///
    /// # Errors
    /// That of getrandom(2).
    pub fn random() -> io::Result<Self> {
        let mut bits = [0; 32];
        let mut filled = 0;
        while filled < bits.len() {
            filled += getrandom(&mut bits[filled..], GetRandomFlags::empty())?;
        }
        let digit = |nibble: u8| b"0123456789abcdef"[usize::from(nibble & 15)];
        Ok(Self(bits.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()))
    }

    /// A key as it is in a line; `None` when it is empty or has a newline.
    pub fn parse(text: &[u8]) -> Option<Self> {
        (!text.is_empty() && memchr::memchr2(b'\n', 0, text).is_none()).then(|| Self(text.into()))
    }

    /// The whole key.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// What peers keep of it, 127 bytes: the input of key derivation.
    pub fn kept(&self) -> &[u8] {
        self.0.get(..KEPT).unwrap_or(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(not shown)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_keys_are_64_hex_digits_and_never_alike() {
        let (one, other) = (Key::random().unwrap(), Key::random().unwrap());
        assert_eq!(one.as_bytes().len(), 64);
        assert!(one.as_bytes().iter().all(|b| b"0123456789abcdef".contains(b)));
        assert_ne!(one, other);
    }

    #[test]
    fn a_key_is_not_shown() {
        let key = Key::parse(b"5ec4e7").unwrap();
        assert_eq!(format!("{key:?}"), "Key(not shown)");
        assert_eq!(Key::parse(b""), None);
        assert_eq!(Key::parse(b"a\nb"), None);
        assert_eq!(Key::parse(&[b'k'; 200]).unwrap().kept().len(), 127);
    }
}
