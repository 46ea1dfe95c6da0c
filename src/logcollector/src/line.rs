//! Cuts a stream of bytes into lines, and remembers where in the file each one lay.
//!
//! A last line without its newline stays inside until it is complete; a line longer than the format wants comes out in
//! pieces, so that no more than one such piece is ever held.

use crate::format::{Format, Line, Records};

/// The bytes of a file between the last complete line and the point up to which it was read.
#[derive(Debug)]
pub struct LineBuffer {
    held: Vec<u8>,
    /// Where `held` starts in the file.
    start: u64,
}

impl LineBuffer {
    /// For a file that is read from this offset on.
    pub fn at(start: u64) -> Self {
        Self { held: Vec::new(), start }
    }

    /// Where in the file the next byte is wanted from.
    pub fn wanted(&self) -> u64 {
        self.start + self.held.len() as u64
    }

    /// Passes what is complete with these `bytes` to `format`.
    pub fn feed(&mut self, bytes: &[u8], format: &mut dyn Format, out: &mut Records) {
        let limit = format.longest_line().max(1);
        let mut rest = bytes;
        while let Some((bytes, newline)) = self.next(rest, limit) {
            let end = self.start + (self.held.len() + bytes + newline) as u64;
            let (piece, after) = (&rest[..bytes], &rest[bytes + newline..]);
            let complete = newline == 1;
            if self.held.is_empty() {
                format.line(&Line { bytes: piece, start: self.start, end, complete }, out);
            } else {
                self.held.extend_from_slice(piece);
                format.line(&Line { bytes: &self.held, start: self.start, end, complete }, out);
                self.held.clear();
            }
            self.start = end;
            rest = after;
        }
        self.held.extend_from_slice(rest);
    }

    /// How many bytes of `rest` end the line under construction, and whether a newline follows them (0 or 1).
    fn next(&self, rest: &[u8], limit: usize) -> Option<(usize, usize)> {
        let room = limit.saturating_sub(self.held.len());
        match memchr::memchr(b'\n', &rest[..rest.len().min(room + 1)]) {
            Some(at) => Some((at, 1)),
            None if rest.len() > room => Some((room, 0)),
            None => None,
        }
    }

    /// Passes a last line that will never get its newline.
    pub fn finish(&mut self, format: &mut dyn Format, out: &mut Records) {
        if self.held.is_empty() {
            return;
        }
        let end = self.wanted();
        format.line(&Line { bytes: &self.held, start: self.start, end, complete: true }, out);
        self.held.clear();
        self.start = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::for_file;

    fn fed(chunks: &[&[u8]]) -> (Vec<Vec<u8>>, LineBuffer) {
        let about = crate::format::About { path: b"/x", host: b"h" };
        let mut plain = for_file(settings::LogFormat::Syslog, about).unwrap().unwrap();
        let mut out = Records::default();
        let mut buffer = LineBuffer::at(100);
        for chunk in chunks {
            buffer.feed(chunk, plain.as_mut(), &mut out);
        }
        (out.ready.into_iter().map(|r| r.payload).collect(), buffer)
    }

    #[test]
    fn a_line_may_arrive_in_pieces() {
        let (lines, buffer) = fed(&[b"PARTIAL-first", b"-half ", b"-second\nnext", b""]);
        assert_eq!(lines, [b"PARTIAL-first-half -second"]);
        assert_eq!(buffer.wanted(), 100 + 31);
    }

    #[test]
    fn a_megabyte_without_newline_is_held_in_one_piece_at_most() {
        let (lines, buffer) = fed(&[&vec![b'x'; 1 << 20]]);
        assert_eq!(lines.len(), (1 << 20) / 5887);
        assert!(buffer.held.len() <= 5887);
    }

    #[test]
    fn what_never_gets_its_newline_comes_out_at_the_end() {
        let (_, mut buffer) = fed(&[b"a\nhalf"]);
        let about = crate::format::About { path: b"/x", host: b"h" };
        let mut plain = for_file(settings::LogFormat::Syslog, about).unwrap().unwrap();
        let mut out = Records::default();
        buffer.finish(plain.as_mut(), &mut out);
        assert_eq!((out.ready[0].payload.as_slice(), out.ready[0].resume), (&b"half"[..], 106));
    }
}
