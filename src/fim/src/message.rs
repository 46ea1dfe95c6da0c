//! The message on queue kind `8`: `<sum> <path>`, then, if there is more to say, a newline and the data: notes, then a text diff.
//!
//! Example: `12:33188:0:0:07a8...:2e6b...:f4e8... /etc/motd\n1c1\n< one\n---\n> two\n`. A deleted file is `-1 <path>`; the bare word
//! `syscheck-db-completed` ends each scan. A path never holds a newline here: senders escape it ([`crate::path`]).
//! Notes are told in [`crate::note`]; what an agent answers to a manager of its own kind in [`crate::digest`].

use std::fmt;

use crate::digest::Answer;
use crate::sum::{Sum, SumError};

/// What a finished scan sends.
pub const COMPLETED: &[u8] = b"syscheck-db-completed";

/// One message, borrowed from the event's payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message<'a> {
    /// A scan is through.
    Completed,
    /// The manager had asked.
    Answer(Answer),
    /// A file looks like this now.
    File {
        /// What it looks like.
        sum: Sum<'a>,
        /// The same, as text.
        sum_text: &'a [u8],
        /// Its path as sent; may hold control bytes when the sender is not ours.
        path: &'a [u8],
        /// Notes and diff, never empty; [`Notes::split`](crate::note::Notes::split) takes them apart.
        data: Option<&'a [u8]>,
    },
}

impl<'a> Message<'a> {
    /// Reads a payload; one NUL at its end, which old senders leave there, is not part of it.
    pub fn parse(payload: &'a [u8]) -> Result<Self, MessageError> {
        let payload = payload.strip_suffix(b"\0").unwrap_or(payload);
        if payload == COMPLETED {
            return Ok(Self::Completed);
        }
        if let Some(answer) = Answer::parse(payload) {
            return Ok(Self::Answer(answer));
        }
        let (sum_text, rest) = split_at(payload, b' ').ok_or(MessageError::NoPath)?;
        let (path, data) = match split_at(rest, b'\n') {
            Some((path, data)) => (path, Some(data).filter(|data| !data.is_empty())),
            None => (rest, None),
        };
        if path.is_empty() {
            return Err(MessageError::NoPath);
        }
        let sum = Sum::parse(sum_text).map_err(MessageError::Sum)?;
        Ok(Self::File { sum, sum_text, path, data })
    }
}

/// Writes a file's message; `path` must be escaped.
pub fn write(sum: &[u8], path: &[u8], data: Option<&[u8]>) -> Vec<u8> {
    let mut payload = [sum, b" ", path].concat();
    if let Some(data) = data {
        payload.push(b'\n');
        payload.extend_from_slice(data);
    }
    payload
}

fn split_at(bytes: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|&b| b == separator)?;
    Some((bytes.get(..at)?, bytes.get(at + 1..)?))
}

/// Why a payload is not a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageError {
    /// One word, or nothing after the blank.
    NoPath,
    /// The first word is not a sum.
    Sum(SumError),
}

impl fmt::Display for MessageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPath => f.write_str("integrity message has no path"),
            Self::Sum(_) => f.write_str("integrity message does not begin with a sum"),
        }
    }
}

impl std::error::Error for MessageError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NoPath => None,
            Self::Sum(source) => Some(source),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_survives_the_round_trip() {
        let payload = write(b"1:2:3:4:a:b:c", b"/a b", Some(b"1c1\n< x\n"));

        let Ok(Message::File { sum_text, path, data, .. }) = Message::parse(&payload) else {
            panic!("not a file")
        };

        assert_eq!((sum_text, path), (&b"1:2:3:4:a:b:c"[..], &b"/a b"[..]));
        assert_eq!(data, Some(&b"1c1\n< x\n"[..]));
    }

    #[test]
    fn the_nul_of_old_senders_is_dropped() {
        assert_eq!(Message::parse(b"syscheck-db-completed\0"), Ok(Message::Completed));
        let Ok(Message::File { path, sum, .. }) = Message::parse(b"-1 /gone\0") else { panic!() };
        assert_eq!((path, sum), (&b"/gone"[..], Sum::Deleted));
    }

    #[test]
    fn an_answer_is_told_apart_from_a_file() {
        let begin = Message::parse(b"syscheck-resend 7 begin");
        assert_eq!(begin, Ok(Message::Answer(Answer::Begin(7))));
        assert!(Message::parse(b"syscheck-resend x begin").is_err());
    }

    #[test]
    fn what_has_no_path_is_refused() {
        for payload in [&b""[..], b"hello", b"-1", b"-1 ", b"-1 \ndiff", b"\0"] {
            assert_eq!(Message::parse(payload), Err(MessageError::NoPath));
        }
        assert_eq!(Message::parse(b"hello world"), Err(MessageError::Sum(SumError::FieldCount)));
    }

    #[test]
    fn every_truncation_is_told_apart_or_refused() {
        let whole = write(b"1:2:3:4:a:b:c", b"/etc/x", Some(b"diff"));
        let path_from = b"1:2:3:4:a:b:c ".len();
        for len in 0..whole.len() {
            assert_eq!(Message::parse(&whole[..len]).is_ok(), len > path_from, "{len}");
        }
    }
}
