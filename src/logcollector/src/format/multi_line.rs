//! `multi-line:N`: N lines make one event, joined by single spaces. An incomplete group waits for its other lines.

use wire::Kind;

use super::joiner::Joiner;
use super::{Format, Line, Records};

/// N lines an event.
pub(super) struct MultiLine {
    lines: u32,
    group: Joiner,
}

impl MultiLine {
    /// Groups of this many lines; 0 counts as 1.
    pub(super) fn new(lines: u32) -> Self {
        Self { lines: lines.max(1), group: Joiner::default() }
    }
}

impl Format for MultiLine {
    fn line(&mut self, line: &Line<'_>, out: &mut Records) {
        self.group.add(Kind::Log, line, line.bytes, out);
        if self.group.lines() >= self.lines {
            self.group.flush(Kind::Log, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::laws::{lines, payloads};
    use super::*;

    #[test]
    fn every_group_is_joined_and_an_incomplete_one_waits() {
        let text = b"first\nsecond\nthird\nfourth\nfifth\nsixth\nseventh\n";
        assert_eq!(
            payloads(&mut MultiLine::new(3), text),
            ["first second third", "fourth fifth sixth"]
        );
    }

    #[test]
    fn an_empty_line_is_a_line() {
        assert_eq!(payloads(&mut MultiLine::new(2), b"\nb\n"), [" b"]);
    }

    #[test]
    fn a_huge_group_comes_in_parts_that_resume_at_its_start() {
        let text = [vec![b'a'; 40_000], vec![b'b'; 40_000]].join(&b"\n"[..]);
        let text = [&b"x\ny\n"[..], &text, b"\n"].concat();
        let records = lines(&mut MultiLine::new(2), &text);
        assert_eq!(records.len(), 3);
        assert_eq!(records[1].resume, 4);
        assert_eq!(records[2].resume, text.len() as u64);
    }
}
