//! Ids and names of agents, checked once.
//!
//! Both become parts of file names (`queue/rids/001`, `queue/agent-info/web01-any`), so nothing else than what is checked
//! here ever reaches a path.

use std::fmt;

/// Most digits of an id; more don't fit the datagram's header.
pub const MAX_ID_DIGITS: usize = 8;
/// Longest name in bytes.
pub const MAX_NAME: usize = 128;
/// Shortest name that is given out.
pub const MIN_NAME: usize = 2;
/// What peers keep of a field of client.keys.
pub const KEPT: usize = 127;

/// An agent's id, digits as they are in client.keys: `001` and `1` are two ids on the wire.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AgentId(Box<str>);

impl AgentId {
    /// Takes an id as it is: one to eight digits.
    ///
    /// # Errors
    /// [`IdError`] on anything else.
    pub fn parse(text: &[u8]) -> Result<Self, IdError> {
        let is_id =
            (1..=MAX_ID_DIGITS).contains(&text.len()) && text.iter().all(u8::is_ascii_digit);
        match std::str::from_utf8(text) {
            Ok(digits) if is_id => Ok(Self(digits.into())),
            _ => Err(IdError),
        }
    }

    /// The id with this number, at least three digits: `7` is `007`. `None` above eight digits.
    pub fn from_number(number: u32) -> Option<Self> {
        (number <= 99_999_999).then(|| Self(format!("{number:03}").into()))
    }

    /// The id that a person means: `7` is `007`.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn typed(text: &str) -> Result<Self, IdError> {
        let id = Self::parse(text.as_bytes())?;
        Ok(if text.len() < 3 { Self(format!("{text:0>3}").into()) } else { id })
    }

    /// Its digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its number.
    pub fn number(&self) -> u32 {
        self.0.bytes().fold(0, |sum, b| sum * 10 + u32::from(b - b'0'))
    }
}

impl fmt::Display for AgentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An agent's name: letters, digits, `-`, `_`, `.`; not `.` or `..`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AgentName(Box<str>);

impl AgentName {
    /// Takes the name of a new agent: 2 to 128 characters.
    ///
    /// # Errors
    /// [`NameError`].
    pub fn new(text: &str) -> Result<Self, NameError> {
        if text.len() < MIN_NAME { Err(NameError) } else { Self::parse(text.as_bytes()) }
    }

    /// Takes a name that somebody gave out before, be it of one character.
    ///
    /// # Errors
    /// [`NameError`].
    pub fn parse(text: &[u8]) -> Result<Self, NameError> {
        let is_name = (1..=MAX_NAME).contains(&text.len())
            && text.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b))
            && !matches!(text, b"." | b"..");
        match std::str::from_utf8(text) {
            Ok(name) if is_name => Ok(Self(name.into())),
            _ => Err(NameError),
        }
    }

    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What peers keep of it, 127 bytes: the name in file names, locations and key derivation.
    pub fn kept(&self) -> &str {
        self.0.get(..KEPT).unwrap_or(&self.0)
    }
}

impl fmt::Display for AgentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Not an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdError;

impl fmt::Display for IdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an agent's id is one to eight digits")
    }
}

impl std::error::Error for IdError {}

/// Not a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NameError;

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an agent's name is 2 to 128 letters, digits, '-', '_' and '.'")
    }
}

impl std::error::Error for NameError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_keep_their_digits_and_typed_ones_are_padded() {
        assert_eq!(AgentId::parse(b"7").unwrap().as_str(), "7");
        assert_eq!(AgentId::typed("7").unwrap().as_str(), "007");
        assert_eq!(AgentId::from_number(7).unwrap().as_str(), "007");
        assert_eq!(AgentId::parse(b"99999999").unwrap().number(), 99_999_999);
        for bad in [&b""[..], b"123456789", b"-1", b"1a", b"../1", b"#1", b" 1"] {
            assert_eq!(AgentId::parse(bad), Err(IdError), "{bad:?}");
        }
    }

    #[test]
    fn a_name_never_leaves_its_folder() {
        for bad in ["", "a", "..", "a/b", "a b", "a\n", "naïve", &"x".repeat(129)] {
            assert!(AgentName::new(bad).is_err(), "{bad:?}");
        }
        let longest = AgentName::new(&"x".repeat(128)).unwrap();
        assert_eq!(longest.kept().len(), 127);
        assert_eq!(AgentName::parse(b"a").unwrap().as_str(), "a");
    }
}
