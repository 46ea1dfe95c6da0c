//! `modsec-audit`: ModSecurity's serial audit log. From `--ID-A--` to the `--ID-Z--` of the same id, all lines (the
//! boundaries too) are one event, joined by single spaces. An unfinished entry waits for its end.
//!
//! An entry has at most 96 lines. The original throws a longer one away; here the first 96 lines are the event, and what
//! follows up to the end of the entry is left out, counted and complained about.

use wire::Kind;

use super::joiner::Joiner;
use super::{Format, Line, Records};

const MAX_LINES: u32 = 96;
const TOO_LONG: &str =
    "WARN: ModSecurity audit entry exceeded 96 lines; discarding the rest of the event";

/// ModSecurity's serial audit log.
#[derive(Default)]
pub(super) struct Modsec {
    id: Vec<u8>,
    entry: Joiner,
}

impl Format for Modsec {
    fn line(&mut self, line: &Line<'_>, out: &mut Records) {
        match boundary(line.bytes) {
            Some((id, b'A')) => {
                // The server died inside the entry before: what there is of it counts.
                self.entry.flush(Kind::Log, out);
                self.id = id.to_vec();
                self.entry.add(Kind::Log, line, line.bytes, out);
            }
            Some((id, b'Z')) if !self.entry.is_empty() && id == self.id => {
                self.entry.add(Kind::Log, line, line.bytes, out);
                self.entry.flush(Kind::Log, out);
            }
            _ if self.entry.is_empty() => out.filter(Some(line.end)),
            _ if self.entry.lines() >= MAX_LINES => {
                self.entry.flush(Kind::Log, out);
                out.malformed(TOO_LONG, Some(line.end));
            }
            _ => self.entry.add(Kind::Log, line, line.bytes, out),
        }
    }
}

/// `(ID, letter)` of `--ID-letter--`.
fn boundary(line: &[u8]) -> Option<(&[u8], u8)> {
    match line.trim_ascii_end().strip_prefix(b"--")?.strip_suffix(b"--")? {
        [id @ .., b'-', letter] if !id.is_empty() => Some((id, *letter)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::laws::{payloads, run};
    use super::*;

    #[test]
    fn an_entry_reaches_to_the_end_of_its_own_id() {
        let text = b"noise before\n--abcd1234-A--\n[21/Nov] id\n--abcd1234-B--\nGET /\n--evil0000-Z--\n\n--abcd1234-Z--\n\n";
        let expected =
            ["--abcd1234-A-- [21/Nov] id --abcd1234-B-- GET / --evil0000-Z--  --abcd1234-Z--"];
        assert_eq!(payloads(&mut Modsec::default(), text), expected);
    }

    #[test]
    fn an_unfinished_entry_waits() {
        assert!(payloads(&mut Modsec::default(), b"--abcd1234-A--\nGET /\n").is_empty());
    }

    #[test]
    fn an_endless_entry_is_cut_at_96_lines() {
        let text = format!("--a-A--\n{}--a-Z--\n--b-A--\n--b-Z--\n", "x\n".repeat(200));
        let out = run(&mut Modsec::default(), text.as_bytes(), false);
        assert_eq!(out.ready.len(), 2);
        assert_eq!(out.ready[1].payload, b"--b-A-- --b-Z--");
        assert_eq!(out.complaint, Some(TOO_LONG));
        assert_eq!((out.malformed, out.filtered), (1, 105), "95 lines and a boundary were kept");
    }
}
