//! The lines of a baseline: `FFF<sum> !<epoch> <path>\n`, for instance `!++12:33188:0:0:07a8...:2e6b...:f4e8... !1795220196 /etc/motd`.
//!
//! `FFF` counts the changes ([`Counter`]); `#` in its first place says that a later line holds. Old lines have no `!<epoch>`.
//! The format is OSSEC's (host-daemons specification 6.7).

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};

/// Longest line that is read; the longest that is written is an event's payload and its time.
const MAX_LINE: u64 = 128 * 1024;

/// How often a path changed, as the first three bytes of its line say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counter(u8);

impl Counter {
    /// Not yet changed.
    pub(super) const NEVER: Self = Self(0);

    /// Number of earlier changes, 0 to 4, where 4 is "more than three".
    pub(super) fn earlier_changes(self) -> u8 {
        self.0
    }

    /// The counter of the line after one more change.
    pub(super) fn after_change(self) -> Self {
        Self((self.0 + 1).min(4))
    }

    fn flags(self) -> &'static [u8; 3] {
        match self.0 {
            0 => b"+++",
            1 => b"!++",
            2 => b"!!+",
            3 => b"!!!",
            _ => b"!!?",
        }
    }

    fn parse(flags: &[u8]) -> Option<Self> {
        match flags {
            [b'+', b'+' | b'!', b'+' | b'!' | b'?'] => Some(Self(0)),
            [b'!', b'+', b'+' | b'!' | b'?'] => Some(Self(1)),
            b"!!+" => Some(Self(2)),
            b"!!!" => Some(Self(3)),
            b"!!?" => Some(Self(4)),
            _ => None,
        }
    }
}

/// What a line that holds says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line<'a> {
    pub(super) counter: Counter,
    pub(super) sum: &'a [u8],
    /// When it was written, epoch seconds; 0 where it does not say.
    pub(super) at: i64,
    pub(super) path: &'a [u8],
}

impl<'a> Line<'a> {
    /// Reads a line without its newline; `None` for struck-out and malformed ones.
    pub(super) fn parse(line: &'a [u8]) -> Option<Self> {
        let counter = Counter::parse(line.get(..3)?)?;
        let (sum, rest) = split_blank(line.get(3..)?)?;
        let (at, path) = match rest.strip_prefix(b"!").and_then(split_blank) {
            Some((epoch, path)) if epoch.iter().all(u8::is_ascii_digit) => {
                (std::str::from_utf8(epoch).ok().and_then(|epoch| epoch.parse().ok()), path)
            }
            _ => (None, rest),
        };
        let at = at.unwrap_or(0);
        (!sum.is_empty() && !path.is_empty()).then_some(Self { counter, sum, at, path })
    }

    /// The line, without its newline.
    pub(super) fn write(&self) -> Vec<u8> {
        let time = format!(" !{} ", self.at);
        [self.counter.flags(), self.sum, time.as_bytes(), self.path].concat()
    }
}

/// Goes through a file, line by line, from its begin.
pub(super) struct Lines<'a> {
    reader: BufReader<&'a File>,
    line: Vec<u8>,
    offset: u64,
}

/// A line and where it begins.
pub(super) struct Placed<'a> {
    pub(super) offset: u64,
    /// Without its newline; `None` when it is longer than [`MAX_LINE`].
    pub(super) text: Option<&'a [u8]>,
}

impl<'a> Lines<'a> {
    pub(super) fn of(file: &'a File) -> io::Result<Self> {
        let mut reader = BufReader::with_capacity(256 * 1024, file);
        reader.seek(SeekFrom::Start(0))?;
        Ok(Self { reader, line: Vec::new(), offset: 0 })
    }

    /// The next line that has its newline; `None` at the end, or at a torn last line.
    pub(super) fn next(&mut self) -> io::Result<Option<Placed<'_>>> {
        self.line.clear();
        let offset = self.offset;
        let len = (&mut self.reader).take(MAX_LINE).read_until(b'\n', &mut self.line)? as u64;
        let Some(text) = self.line.strip_suffix(b"\n") else {
            let skipped = skip_line(&mut self.reader)?;
            if !skipped.ended {
                return Ok(None);
            }
            self.offset += len + skipped.bytes;
            return Ok(Some(Placed { offset, text: None }));
        };
        self.offset += len;
        Ok(Some(Placed { offset, text: Some(text) }))
    }

    /// Where the next line begins.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }
}

fn split_blank(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|&b| b == b' ')?;
    Some((bytes.get(..at)?, bytes.get(at + 1..)?))
}

/// How much was skipped, and whether a newline ended it.
struct Skipped {
    bytes: u64,
    ended: bool,
}

/// Reads on to the end of a line that is too long.
fn skip_line(reader: &mut impl BufRead) -> io::Result<Skipped> {
    let mut skipped = Skipped { bytes: 0, ended: false };
    while !skipped.ended {
        let chunk = reader.fill_buf()?;
        if chunk.is_empty() {
            break;
        }
        let newline = chunk.iter().position(|&b| b == b'\n');
        let len = newline.map_or(chunk.len(), |at| at + 1);
        reader.consume(len);
        skipped.bytes += len as u64;
        skipped.ended = newline.is_some();
    }
    Ok(skipped)
}
