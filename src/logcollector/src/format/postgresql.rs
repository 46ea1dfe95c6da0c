//! `postgresql_log`: an entry begins with `[YYYY-MM-DD HH:MM:SS`; lines that begin with a tab belong to it.
//!
//! Joined by single spaces, the tab is kept. Other lines are no events. A file at rest ends the entry.

use wire::Kind;

use super::joiner::Joiner;
use super::timestamp::has_shape;
use super::{Format, Line, Records};

/// PostgreSQL's log with a bracketed time first.
#[derive(Default)]
pub(super) struct Postgresql {
    entry: Joiner,
}

impl Format for Postgresql {
    fn line(&mut self, line: &Line<'_>, out: &mut Records) {
        if has_shape(line.bytes, b"[0000-00-00 00:00:00") {
            self.entry.flush(Kind::PostgreSql, out);
            self.entry.add(Kind::PostgreSql, line, line.bytes, out);
        } else if self.entry.is_empty() {
            out.filter(Some(line.end));
        } else if line.bytes.first() == Some(&b'\t') {
            self.entry.add(Kind::PostgreSql, line, line.bytes, out);
        } else {
            self.entry.extend_over(line);
            out.filter(None);
        }
    }

    fn rest(&mut self, out: &mut Records) {
        self.entry.flush(Kind::PostgreSql, out);
    }
}

#[cfg(test)]
mod tests {
    use super::super::laws::payloads_at_rest;
    use super::*;

    #[test]
    fn lines_with_a_tab_belong_to_the_entry() {
        let text = b"[2026-11-21 10:00:00.186 UTC] LOG: one\n\tmore of one\n\t  and more\nstray\n[2026-11-21 10:00:01.186 UTC] LOG: two\n";
        let expected = [
            "[2026-11-21 10:00:00.186 UTC] LOG: one \tmore of one \t  and more",
            "[2026-11-21 10:00:01.186 UTC] LOG: two",
        ];
        assert_eq!(payloads_at_rest(&mut Postgresql::default(), text), expected);
    }
}
