//! `mysql_log`: MySQL's general log.
//!
//! ```text
//! 261121 10:00:01    12 Connect     root@localhost   ->  MySQL log: 261121 10:00:01 12 Connect     root@localhost
//! <tab><tab>      13 Query       select 1            ->  MySQL log: 261121 10:00:01 13 Query       select 1
//! ```
//! A line that begins with two tabs and six spaces has the time of the last line that had one. Other lines are no events.

use wire::Kind;

use super::timestamp::has_shape;
use super::{Format, Line, Records};

const TIME: &[u8] = b"000000 _0:00:00";
const SAME_TIME: &[u8] = b"\t\t      ";

/// MySQL's general log.
#[derive(Default)]
pub(super) struct Mysql {
    time: Option<Vec<u8>>,
}

impl Mysql {
    /// The event's text after the time, when the line is an event.
    fn entry<'a>(&mut self, line: &'a [u8]) -> Option<&'a [u8]> {
        if has_shape(line, TIME) {
            let (time, entry) = line.split_at(TIME.len());
            self.time = Some(time.to_vec());
            return Some(entry);
        }
        line.strip_prefix(SAME_TIME).filter(|_| self.time.is_some())
    }
}

impl Format for Mysql {
    fn line(&mut self, line: &Line<'_>, out: &mut Records) {
        let (Some(entry), Some(time)) = (self.entry(line.bytes), self.time.as_ref()) else {
            return out.filter(Some(line.end));
        };
        let text = [b"MySQL log: ", time.as_slice(), b" ", entry.trim_ascii_start()].concat();
        out.emit(Kind::MySql, text, line.end);
    }

    fn recall(&mut self, past: &[u8]) {
        let last = past.rsplit(|&b| b == b'\n').find(|line| has_shape(line, TIME));
        self.time = last.map(|line| line[..TIME.len()].to_vec());
    }
}

#[cfg(test)]
mod tests {
    use super::super::laws::{lines, payloads};
    use super::*;

    const TEXT: &[u8] =
        b"261121 10:00:01    12 Connect     root@localhost on db\n\t\t      13 Query       select 1\ngarbage\n261121  9:00:02 [Note] ready\n";

    #[test]
    fn a_line_without_a_time_has_the_last_one() {
        let expected = [
            "MySQL log: 261121 10:00:01 12 Connect     root@localhost on db",
            "MySQL log: 261121 10:00:01 13 Query       select 1",
            "MySQL log: 261121  9:00:02 [Note] ready",
        ];
        assert_eq!(payloads(&mut Mysql::default(), TEXT), expected);
        assert_eq!(lines(&mut Mysql::default(), TEXT)[0].kind, Kind::MySql);
    }

    #[test]
    fn the_time_is_found_again_after_a_restart() {
        let mut mysql = Mysql::default();
        mysql.recall(b"junk\n261121 10:00:01    12 Connect\n\t\t      13 Query\n");
        assert_eq!(
            payloads(&mut mysql, b"\t\t      14 Quit\n"),
            ["MySQL log: 261121 10:00:01 14 Quit"]
        );
    }
}
