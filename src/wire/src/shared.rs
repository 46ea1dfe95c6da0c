//! One pushed file: the manager's messages, and how the agent puts them together.
//!
//! `#!-up file <md5> <name>\n`, pieces of 900 bytes without mark or number, `#!-close file `. There is no acknowledgement: a
//! lost piece shows in the sum, and the next keepalive brings the file again. Nothing is written before the sum is right.

use std::fmt;

use crate::control::ToAgent;
use crate::digest::Md5Hex;

/// Bytes of one piece.
pub const PIECE: usize = 900;
/// Pieces after which the sender rests a second, so that the agent's socket buffer keeps up.
pub const PIECES_PER_SECOND: usize = 31;
/// Longest name.
pub const MAX_NAME: usize = 255;

/// The messages that push `content` under `name`. Agents of the original cut a piece at a zero byte: text only for them.
pub fn push<'a>(
    name: &'a [u8],
    sum: &'a Md5Hex,
    content: &'a [u8],
) -> impl Iterator<Item = ToAgent<'a>> {
    let begin = ToAgent::FileBegin { sum: sum.as_bytes(), name };
    std::iter::once(begin)
        .chain(content.chunks(PIECE).map(ToAgent::FilePiece))
        .chain(std::iter::once(ToAgent::FileEnd))
}

/// A pushed file that arrived whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedFile {
    /// A plain file name: no folder, no leading dot.
    pub name: String,
    /// Its bytes; their sum was as announced.
    pub content: Vec<u8>,
}

/// The agent's end of one transfer at a time.
#[derive(Debug)]
pub struct Assembler {
    limit: usize,
    open: Option<Transfer>,
}

#[derive(Debug)]
struct Transfer {
    sum: Md5Hex,
    name: String,
    content: Vec<u8>,
}

impl Assembler {
    /// Files above `limit` bytes are refused.
    pub fn new(limit: usize) -> Self {
        Self { limit, open: None }
    }

    /// Whether pieces are expected.
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Gives up an open transfer (an unknown control message came); `true` if there was one.
    pub fn abort(&mut self) -> bool {
        self.open.take().is_some()
    }

    /// A file begins; an open transfer is given up.
    ///
    /// # Errors
    /// [`TransferError::Sum`] and [`TransferError::Name`]; its pieces will then be [`TransferError::NotOpen`].
    pub fn begin(&mut self, sum: &[u8], name: &[u8]) -> Result<(), TransferError> {
        self.open = None;
        let sum = Md5Hex::parse(sum).ok_or(TransferError::Sum)?;
        let name = safe_name(name).ok_or(TransferError::Name)?;
        self.open = Some(Transfer { sum, name, content: Vec::new() });
        Ok(())
    }

    /// A piece of it.
    ///
    /// # Errors
    /// [`TransferError::NotOpen`]; [`TransferError::TooLarge`], which gives the transfer up.
    pub fn piece(&mut self, bytes: &[u8]) -> Result<(), TransferError> {
        let open = self.open.as_mut().ok_or(TransferError::NotOpen)?;
        if open.content.len() + bytes.len() > self.limit {
            self.open = None;
            return Err(TransferError::TooLarge { limit: self.limit });
        }
        open.content.extend_from_slice(bytes);
        Ok(())
    }

    /// The end: the file, when all of it came.
    ///
    /// # Errors
    /// [`TransferError::NotOpen`], [`TransferError::Damaged`].
    pub fn end(&mut self) -> Result<SharedFile, TransferError> {
        let Transfer { sum, name, content } = self.open.take().ok_or(TransferError::NotOpen)?;
        let found = Md5Hex::of(&content);
        if found != sum {
            return Err(TransferError::Damaged { name, announced: sum, found });
        }
        Ok(SharedFile { name, content })
    }
}

/// As the original makes names harmless (`/` and a leading dot become `-`); `None` for what no file should be called.
fn safe_name(name: &[u8]) -> Option<String> {
    let mut name = std::str::from_utf8(name).ok()?.replace('/', "-");
    if name.starts_with('.') {
        name.replace_range(..1, "-");
    }
    is_plain(&name).then_some(name)
}

/// Whether a name is one plain visible file: no folder, no leading dot, no control character, not too long.
pub fn is_plain(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len())
        && !name.starts_with('.')
        && !name.contains(|c: char| c == '/' || c == '\\' || c.is_control())
}

/// Why a transfer came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransferError {
    /// A piece or an end without a begin.
    NotOpen,
    /// What was announced is not an MD5 sum.
    Sum,
    /// What was announced is not a file name.
    Name,
    /// More bytes than the agent takes.
    TooLarge {
        /// The agent's limit in bytes.
        limit: usize,
    },
    /// Pieces were lost or changed.
    Damaged {
        /// The file.
        name: String,
        /// Its sum at the manager.
        announced: Md5Hex,
        /// The sum of what came.
        found: Md5Hex,
    },
}

impl fmt::Display for TransferError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOpen => f.write_str("piece of a file that was not announced"),
            Self::Sum => f.write_str("shared file announced without its MD5 sum"),
            Self::Name => f.write_str("shared file announced under an impossible name"),
            Self::TooLarge { limit } => write!(f, "shared file above the limit of {limit} bytes"),
            Self::Damaged { name, announced, found } => write!(
                f,
                "shared file {name} arrived with sum {found} instead of {announced}; the next keepalive asks again"
            ),
        }
    }
}

impl std::error::Error for TransferError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn deliver(
        assembler: &mut Assembler,
        messages: &[ToAgent<'_>],
    ) -> Result<SharedFile, TransferError> {
        for message in messages {
            match message {
                ToAgent::FileBegin { sum, name } => assembler.begin(sum, name)?,
                ToAgent::FilePiece(bytes) => assembler.piece(bytes)?,
                ToAgent::FileEnd => return assembler.end(),
                other => panic!("{other:?} in a push"),
            }
        }
        Err(TransferError::NotOpen)
    }

    #[test]
    fn a_pushed_file_arrives_and_a_lost_piece_is_noticed() {
        let content = vec![b'x'; 2000];
        let sum = Md5Hex::of(&content);
        let mut messages: Vec<_> = push(b"merged.mg", &sum, &content).collect();
        let mut assembler = Assembler::new(10_000);
        let file = deliver(&mut assembler, &messages).unwrap();
        assert_eq!((file.name.as_str(), &file.content), ("merged.mg", &content));
        messages.remove(2);
        assert!(matches!(deliver(&mut assembler, &messages), Err(TransferError::Damaged { .. })));
        assert!(!assembler.is_open());
    }

    #[test]
    fn a_file_above_the_limit_is_given_up() {
        let content = vec![b'x'; 2000];
        let sum = Md5Hex::of(&content);
        let mut assembler = Assembler::new(1999);
        let messages: Vec<_> = push(b"a", &sum, &content).collect();
        assert_eq!(
            deliver(&mut assembler, &messages),
            Err(TransferError::TooLarge { limit: 1999 })
        );
        assert_eq!(assembler.end(), Err(TransferError::NotOpen));
    }

    #[test]
    fn names_never_leave_the_folder() {
        assert_eq!(safe_name(b"../../etc/passwd").as_deref(), Some("-.-..-etc-passwd"));
        assert_eq!(safe_name(b"..").as_deref(), Some("-."));
        assert_eq!(safe_name(b".hidden").as_deref(), Some("-hidden"));
        for bad in [&b""[..], b"a\0b", b"a\rb", b"\xff", b"a\\b", &[b'x'; 256]] {
            assert_eq!(safe_name(bad), None, "{bad:?}");
        }
    }
}
