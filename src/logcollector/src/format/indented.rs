//! `multi-line_indented`: a line and the indented lines below it make one event.
//!
//! ```text
//! Error: top
//!     at line 1        ->   "Error: top     at line 1"
//! Next event
//! ```
//! Joined by single spaces, the indent is kept. An empty line ends an event, and so does a file at rest.

use wire::Kind;

use super::joiner::Joiner;
use super::{Format, Line, Records};

/// A line and what is indented below it.
#[derive(Default)]
pub(super) struct Indented {
    event: Joiner,
}

impl Format for Indented {
    fn line(&mut self, line: &Line<'_>, out: &mut Records) {
        match line.bytes.first() {
            None => {
                self.event.flush(Kind::Log, out);
                out.filter(Some(line.end));
            }
            Some(b' ' | b'\t') => self.event.add(Kind::Log, line, line.bytes, out),
            Some(_) => {
                self.event.flush(Kind::Log, out);
                self.event.add(Kind::Log, line, line.bytes, out);
            }
        }
    }

    fn rest(&mut self, out: &mut Records) {
        self.event.flush(Kind::Log, out);
    }
}

#[cfg(test)]
mod tests {
    use super::super::laws::payloads_at_rest;
    use super::*;

    #[test]
    fn indented_lines_belong_to_the_line_above() {
        let text = b"Error: top\n    at line 1\n\tat line 2\nNext event\n\nAfter blank\n";
        let expected = ["Error: top     at line 1 \tat line 2", "Next event", "After blank"];
        assert_eq!(payloads_at_rest(&mut Indented::default(), text), expected);
    }

    #[test]
    fn an_indented_line_without_a_head_is_an_event_of_its_own() {
        assert_eq!(
            payloads_at_rest(&mut Indented::default(), b"  lost\nhead\n"),
            ["  lost", "head"]
        );
    }
}
