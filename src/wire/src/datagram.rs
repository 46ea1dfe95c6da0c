//! What is in clear around a sealed message, and every reason to refuse a datagram.
//!
//! ```text
//! datagram = [ "!" id "!" ] token body        token = ":" (Blowfish) | "#AES:" iv(16)
//! ```
//! The id prefix comes from agents whose address is not a single one; a manager never sends it.
//! Reading takes two steps, because between them the manager looks up the agent: [`Addressed::parse`], [`Sealed::parse`].

use std::fmt;

use crate::counter::Stale;
use crate::key::{IV_LEN, Method};

/// Largest datagram, and largest inner text.
pub const MAX_DATAGRAM: usize = 6144;
/// Largest message that is put into a datagram.
pub const MAX_MESSAGE: usize = MAX_DATAGRAM - 128;
/// Largest datagram that a running agent of the original reads; a manager's datagrams stay within it.
pub const MAX_TO_AGENT: usize = 1024;

/// A datagram whose sender is known by name or only by address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addressed<'a> {
    /// The digits between `!` and `!`, maybe none; `None` when the source address is to tell.
    pub id: Option<&'a [u8]>,
    /// Token and body.
    pub rest: &'a [u8],
}

impl<'a> Addressed<'a> {
    /// Splits off the id prefix.
    ///
    /// # Errors
    /// [`Rejection::UnclosedId`] when `!` and digits are not followed by `!`.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, Rejection> {
        let Some(inside) = datagram.strip_prefix(b"!") else {
            return Ok(Self { id: None, rest: datagram });
        };
        let digits = inside.iter().take_while(|b| b.is_ascii_digit()).count();
        let (id, rest) = inside.split_at(digits);
        let rest = rest.strip_prefix(b"!").ok_or(Rejection::UnclosedId)?;
        Ok(Self { id: Some(id), rest })
    }
}

/// A sealed message, borrowed from its datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sealed<'a> {
    /// As the token says.
    pub method: Method,
    /// The AES vector; zeros and unused with Blowfish.
    pub iv: [u8; IV_LEN],
    /// What the cipher made.
    pub body: &'a [u8],
}

impl<'a> Sealed<'a> {
    /// Reads the token (and the vector behind it).
    ///
    /// # Errors
    /// [`Rejection::NoToken`]; [`Rejection::Undecipherable`] when the vector is cut short.
    pub fn parse(rest: &'a [u8]) -> Result<Self, Rejection> {
        if let Some(body) = rest.strip_prefix(b":") {
            return Ok(Self { method: Method::Blowfish, iv: [0; IV_LEN], body });
        }
        let rest = rest.strip_prefix(b"#AES:").ok_or(Rejection::NoToken)?;
        let (iv, body) = rest.split_first_chunk().ok_or(Rejection::Undecipherable)?;
        Ok(Self { method: Method::Aes, iv: *iv, body })
    }
}

/// Which methods a manager takes (`<crypto_accept>`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Accept {
    /// Only AES.
    Aes,
    /// Only Blowfish.
    Blowfish,
    /// `both`, `any`.
    #[default]
    Both,
}

impl Accept {
    /// Whether a message of this method is taken.
    pub fn takes(self, method: Method) -> bool {
        match self {
            Self::Both => true,
            Self::Aes => method == Method::Aes,
            Self::Blowfish => method == Method::Blowfish,
        }
    }
}

impl std::str::FromStr for Accept {
    type Err = ();

    /// Reads `aes`, `blowfish`, `both` or `any`.
    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "aes" => Ok(Self::Aes),
            "blowfish" => Ok(Self::Blowfish),
            "both" | "any" => Ok(Self::Both),
            _ => Err(()),
        }
    }
}

/// Why a datagram is refused, in the order of the checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rejection {
    /// `!` and digits without the closing `!`.
    UnclosedId,
    /// No agent has this id and an address form that fits the source (found by who knows the agents).
    UnknownId,
    /// No agent has the source address (found by who knows the agents).
    UnknownAddress,
    /// Neither `:` nor `#AES:`.
    NoToken,
    /// The length or the padding says that this was not encrypted with this agent's key.
    Undecipherable,
    /// The plain text does not begin with the mark of a message: another key.
    Unmarked,
    /// The plain text has the form that was given up long ago; never accepted.
    Obsolete,
    /// Not a compressed text, or one larger than [`MAX_DATAGRAM`].
    Uncompressible,
    /// Too short for a checksum.
    NoChecksum,
    /// The checksum is of another text.
    Checksum,
    /// Right checksum, but the numbers behind it are cut short or not numbers.
    Header,
    /// Counter seen before.
    Repeated,
    /// Counter of an earlier time.
    Backwards,
}

impl From<Stale> for Rejection {
    fn from(stale: Stale) -> Self {
        match stale {
            Stale::Repeated => Self::Repeated,
            Stale::Backwards => Self::Backwards,
        }
    }
}

/// What is known about the sender when a datagram is refused; empty where unknown.
#[derive(Debug, Clone, Copy, Default)]
pub struct Peer<'a> {
    /// Where the datagram came from, an IPv4-mapped address as plain IPv4.
    pub source: &'a str,
    /// The agent's id.
    pub id: &'a str,
    /// The agent's name.
    pub name: &'a str,
    /// The address of the agent's entry (`any`, `10.9.2.0`).
    pub ip: &'a str,
}

impl Rejection {
    /// The number that tools look for in the log.
    pub fn number(self) -> u16 {
        match self {
            Self::UnclosedId | Self::NoToken | Self::Header => 1403,
            Self::UnknownId => 1408,
            Self::UnknownAddress => 1213,
            Self::Undecipherable | Self::Unmarked | Self::Obsolete | Self::Backwards => 1404,
            Self::Uncompressible => 2202,
            Self::NoChecksum | Self::Checksum => 1406,
            Self::Repeated => 1407,
        }
    }

    /// A word for counters: `received = forwarded + dropped_<word> + ...`.
    pub fn word(self) -> &'static str {
        match self {
            Self::UnclosedId | Self::NoToken | Self::Header => "malformed",
            Self::UnknownId | Self::UnknownAddress => "unknown_sender",
            Self::Undecipherable | Self::Unmarked | Self::Obsolete => "wrong_key",
            Self::Uncompressible => "compression",
            Self::NoChecksum | Self::Checksum => "checksum",
            Self::Repeated | Self::Backwards => "counter",
        }
    }

    /// The line for the log, `(1404) Authentication error. ...`, without level; each step of the original names the peer in
    /// its own way. [`UnknownAddress`](Self::UnknownAddress) is a warning, the others are errors.
    pub fn describe<'a>(self, peer: &Peer<'a>) -> Described<'a> {
        Described { rejection: self, peer: *peer }
    }
}

/// A rejection with its peer, ready for the log.
#[derive(Debug, Clone, Copy)]
pub struct Described<'a> {
    rejection: Rejection,
    peer: Peer<'a>,
}

impl fmt::Display for Described<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Peer { source, id, name, ip } = self.peer;
        write!(f, "({}) ", self.rejection.number())?;
        match self.rejection {
            Rejection::UnclosedId => write!(f, "Incorrectly formatted message from '{source}'."),
            Rejection::UnknownId => write!(f, "Invalid ID {id} for the source ip: '{source}'."),
            Rejection::UnknownAddress => write!(f, "Message from '{source}' not allowed."),
            Rejection::NoToken | Rejection::Header => {
                write!(f, "Incorrectly formatted message from '{id}'.")
            }
            Rejection::Undecipherable => {
                write!(f, "Authentication error. Wrong key from '{ip}'.")
            }
            Rejection::Unmarked | Rejection::Obsolete | Rejection::Backwards => {
                write!(f, "Authentication error. Wrong key from '{source}'.")
            }
            Rejection::Uncompressible => f.write_str("Error uncompressing string."),
            Rejection::NoChecksum | Rejection::Checksum => {
                write!(f, "Checksum mismatch on message from '{ip}'.")
            }
            Rejection::Repeated => write!(f, "Duplicated counter for '{name}'."),
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnclosedId => "id prefix without its closing '!'",
            Self::UnknownId => "no agent with this id at this address",
            Self::UnknownAddress => "no agent at this address",
            Self::NoToken => "neither ':' nor '#AES:' before the message",
            Self::Undecipherable => "not encrypted with the agent's key (length or padding)",
            Self::Unmarked => "not encrypted with the agent's key (no mark)",
            Self::Obsolete => "message of the obsolete uncompressed form",
            Self::Uncompressible => "not compressed, or too large once uncompressed",
            Self::NoChecksum => "too short for a checksum",
            Self::Checksum => "checksum of another text",
            Self::Header => "random part or counters garbled",
            Self::Repeated => "counter seen before",
            Self::Backwards => "counter below one seen before",
        })
    }
}

impl std::error::Error for Rejection {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_split_off_and_may_be_empty() {
        let whole = Addressed::parse(b"!001!:x").unwrap();
        assert_eq!(whole, Addressed { id: Some(b"001"), rest: b":x" });
        assert_eq!(Addressed::parse(b"!!:x").unwrap().id, Some(&b""[..]));
        assert_eq!(Addressed::parse(b":x").unwrap().id, None);
        for bad in [&b"!"[..], b"!001", b"!001:x", b"!a!:x", b"!-1!:"] {
            assert_eq!(Addressed::parse(bad), Err(Rejection::UnclosedId), "{bad:?}");
        }
    }

    #[test]
    fn tokens_are_exact() {
        assert_eq!(Sealed::parse(b":x").unwrap().method, Method::Blowfish);
        assert_eq!(Sealed::parse(b"#AES:0123456789abcdefX").unwrap().body, b"X");
        assert_eq!(Sealed::parse(b"#AES:0123"), Err(Rejection::Undecipherable));
        for bad in [&b""[..], b"x", b"#AES", b"#aes:", b"#AES0:"] {
            assert_eq!(Sealed::parse(bad), Err(Rejection::NoToken), "{bad:?}");
        }
    }
}
