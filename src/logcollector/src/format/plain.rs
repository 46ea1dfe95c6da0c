//! The line reader: `syslog` and every format that is nothing but lines. One event a line, as it stands.
//!
//! A carriage return stays, empty lines and comments are events too. Lines longer than [`MAX_LINE`] become consecutive
//! events. (host-daemons 8.2.)

use wire::Kind;

use super::{Format, Line, MAX_LINE, Records};

/// One event a line.
pub(super) struct Plain;

impl Format for Plain {
    fn longest_line(&self) -> usize {
        MAX_LINE
    }

    fn line(&mut self, line: &Line<'_>, out: &mut Records) {
        out.emit(Kind::Log, line.bytes.to_vec(), line.end);
    }
}

#[cfg(test)]
mod tests {
    use super::super::laws::{lines, payloads};
    use super::*;

    #[test]
    fn every_line_is_an_event_as_it_stands() {
        assert_eq!(payloads(&mut Plain, b"a\r\n\n#c \n"), ["a\r", "", "#c "]);
    }

    #[test]
    fn a_long_line_becomes_consecutive_events() {
        let mut text = vec![b'L'; 7000];
        text.push(b'\n');
        let records = lines(&mut Plain, &text);
        let sizes: Vec<_> = records.iter().map(|r| r.payload.len()).collect();
        assert_eq!(sizes, [5887, 1113]);
        assert_eq!(records[0].resume, 5887);
        assert_eq!(records[1].resume, 7001);
    }

    #[test]
    fn a_line_of_exactly_the_limit_is_one_event() {
        let mut text = vec![b'L'; MAX_LINE];
        text.extend_from_slice(b"\nnext\n");
        let records = lines(&mut Plain, &text);
        assert_eq!(records.len(), 2);
        assert_eq!(records[1].payload, b"next");
    }

    #[test]
    fn a_nul_hides_nothing_that_follows_it() {
        assert_eq!(
            payloads(&mut Plain, b"\0\0\0after a hole\na\0\0b\0\n\0\0\n"),
            ["after a hole", "a b"]
        );
    }

    #[test]
    fn invalid_utf8_passes() {
        assert_eq!(lines(&mut Plain, b"\xff\xfe\n")[0].payload, b"\xff\xfe");
    }
}
