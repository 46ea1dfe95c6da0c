//! An event under construction from several lines.

use wire::Kind;

use super::{Line, MAX_RECORD, Records};

/// Lines that are being joined by single spaces.
#[derive(Debug, Default)]
pub(super) struct Joiner {
    text: Vec<u8>,
    start: u64,
    end: u64,
    lines: u32,
}

impl Joiner {
    /// How many lines are in it.
    pub(super) fn lines(&self) -> u32 {
        self.lines
    }

    /// Nothing is under construction.
    pub(super) fn is_empty(&self) -> bool {
        self.lines == 0
    }

    /// Adds `text`, which is what counts of `line`. An event that grows over [`MAX_RECORD`] is given out in several; all
    /// but the last resume at its start, so that a reader that starts again sees the event from its beginning.
    pub(super) fn add(&mut self, kind: Kind, line: &Line<'_>, text: &[u8], out: &mut Records) {
        if self.text.len() + text.len() >= MAX_RECORD && !self.text.is_empty() {
            out.emit(kind, std::mem::take(&mut self.text), self.start);
        } else if self.lines > 0 {
            self.text.push(b' ');
        }
        if self.lines == 0 {
            self.start = line.start;
        }
        self.text.extend_from_slice(text);
        self.end = line.end;
        self.lines += 1;
    }

    /// Counts a line to the event without adding text.
    pub(super) fn extend_over(&mut self, line: &Line<'_>) {
        self.end = line.end;
    }

    /// Gives the event out, if there is one.
    pub(super) fn flush(&mut self, kind: Kind, out: &mut Records) {
        if self.lines > 0 {
            out.emit(kind, std::mem::take(&mut self.text), self.end);
        }
        self.lines = 0;
    }
}
