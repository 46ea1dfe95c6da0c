//! `djb-multilog`: the file `current` of daemontools' multilog, in the folder that bears the program's name.
//!
//! ```text
//! @40000000463246020c2ca16c tcpserver: ok      ->  Nov 21 00:22:13 myhost smtpd: tcpserver: ok
//! @4000...16c Apr 27 14:50:32 mailhost qmail: x  ->  mailhost qmail: x
//! ```
//! The header that we write has the current time; a payload that has a syslog header of its own loses the timestamp only.

use wire::Kind;

use super::timestamp::has_shape;
use super::{About, BadFile, Format, Line, Records};

const LABEL_LEN: usize = 26;
const SYSLOG_TIME: &[u8] = b"aaa _0 00:00:00 ";

/// A line of multilog's `current`.
pub(super) struct Djb {
    host: Vec<u8>,
    program: Vec<u8>,
}

impl Djb {
    /// # Errors
    /// When the path does not end in `/<program>/current`.
    pub(super) fn new(about: About<'_>) -> Result<Self, BadFile> {
        let program = about
            .path
            .strip_suffix(b"/current")
            .and_then(|folder| folder.rsplit(|&b| b == b'/').next())
            .filter(|program| !program.is_empty());
        let Some(program) = program else {
            let path = String::from_utf8_lossy(about.path);
            return Err(BadFile(format!("(1953) Invalid DJB multilog file: '{path}'.")));
        };
        Ok(Self { host: about.host.to_vec(), program: program.to_vec() })
    }
}

impl Format for Djb {
    fn line(&mut self, line: &Line<'_>, out: &mut Records) {
        let Some(payload) = after_label(line.bytes) else {
            return out.filter(Some(line.end));
        };
        let text = if has_shape(payload, SYSLOG_TIME) {
            payload[SYSLOG_TIME.len()..].to_vec()
        } else {
            [out.stamp.as_bytes(), b" ", &self.host, b" ", &self.program, b": ", payload].concat()
        };
        // `a` is also MySQL's tag: the original sends it for this format too.
        out.emit(Kind::MySql, text, line.end);
    }
}

/// What follows the TAI64N label: `@`, 24 hexadecimal digits, a space.
fn after_label(line: &[u8]) -> Option<&[u8]> {
    let (label, payload) = line.split_at_checked(LABEL_LEN)?;
    let [b'@', digits @ .., b' '] = label else { return None };
    digits.iter().all(u8::is_ascii_hexdigit).then_some(payload)
}

#[cfg(test)]
mod tests {
    use super::super::laws::payloads;
    use super::*;

    fn about(path: &str) -> About<'_> {
        About { path: path.as_bytes(), host: b"goldenhost" }
    }

    #[test]
    fn a_header_is_written_where_there_is_none() {
        let mut djb = Djb::new(about("/var/log/smtpd/current")).unwrap();
        let text = b"@40000000463246020c2ca16c tcpserver: ok 1 2\n@40000000463246020c2ca16c Apr 27 14:50:32 mailhost qmail: something\nnot one\n";
        let expected =
            ["Nov 21 00:22:13 goldenhost smtpd: tcpserver: ok 1 2", "mailhost qmail: something"];
        assert_eq!(payloads(&mut djb, text), expected);
    }

    #[test]
    fn a_path_that_names_no_program_is_refused() {
        for bad in ["/var/log/x.log", "/current", "current"] {
            let error = Djb::new(about(bad)).err().unwrap();
            assert_eq!(error.0, format!("(1953) Invalid DJB multilog file: '{bad}'."));
        }
    }
}
