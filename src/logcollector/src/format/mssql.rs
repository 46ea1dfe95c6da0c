//! `mssql_log`: an entry begins with `YYYY-MM-DD HH:MM:SS`; the other lines up to the next entry belong to it.
//!
//! Joined by single spaces; lines of up to two bytes are left out. A file at rest ends the entry.

use wire::Kind;

use super::joiner::Joiner;
use super::timestamp::has_shape;
use super::{Format, Line, Records};

/// Microsoft SQL Server's error log.
#[derive(Default)]
pub(super) struct Mssql {
    entry: Joiner,
}

impl Format for Mssql {
    fn line(&mut self, line: &Line<'_>, out: &mut Records) {
        if has_shape(line.bytes, b"0000-00-00 00:00:00") {
            self.entry.flush(Kind::Log, out);
            self.entry.add(Kind::Log, line, line.bytes, out);
        } else if self.entry.is_empty() {
            out.filter(Some(line.end));
        } else if line.bytes.len() > 2 {
            self.entry.add(Kind::Log, line, line.bytes, out);
        } else {
            self.entry.extend_over(line);
        }
    }

    fn rest(&mut self, out: &mut Records) {
        self.entry.flush(Kind::Log, out);
    }
}

#[cfg(test)]
mod tests {
    use super::super::laws::payloads_at_rest;
    use super::*;

    #[test]
    fn an_entry_reaches_to_the_next_timestamp() {
        let text = b"stray\n2026-11-21 10:00:00.01 Server  line one\n   continued here\n\r\n2026-11-21 10:00:02.02 spid5 two\n";
        let expected = [
            "2026-11-21 10:00:00.01 Server  line one    continued here",
            "2026-11-21 10:00:02.02 spid5 two",
        ];
        assert_eq!(payloads_at_rest(&mut Mssql::default(), text), expected);
    }
}
