//! What a line of a replayed file holds: a line of `archives.log` or `archives.json`, or a plain log line.

use alerts::Moment;
use rules::{Builtin, FileChange};
use serde_json::Value;

use super::super::script::DecodedBy;
use super::time::Times;

/// One event of a file, ready to decode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    /// When.
    pub(super) moment: Moment,
    /// Where it was seen.
    pub(super) location: Vec<u8>,
    /// The line itself.
    pub(super) payload: Vec<u8>,
    /// Who decodes it.
    pub(super) by: DecodedBy,
}

/// What kind of file it is, by its first line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `archives.log`
    Archive,
    /// `archives.json`
    JsonArchive,
    /// Log lines as their program wrote them.
    Plain,
}

impl Kind {
    /// The kind of a file that begins with this line.
    pub(super) fn of(line: &[u8], times: &mut Times) -> Self {
        if json_archive(line, times).is_some() {
            Self::JsonArchive
        } else if archive(line, times).is_some() {
            Self::Archive
        } else {
            Self::Plain
        }
    }

    /// The event of a line; `None`: the line goes on with the event before.
    pub(super) fn record(self, line: &[u8], file: &[u8], times: &mut Times) -> Option<Record> {
        match self {
            Self::Archive => archive(line, times),
            Self::JsonArchive => {
                Some(json_archive(line, times).unwrap_or_else(|| plain(line, file, times)))
            }
            Self::Plain => Some(plain(line, file, times)),
        }
    }
}

fn plain(line: &[u8], file: &[u8], times: &mut Times) -> Record {
    let moment = times.of(line);
    Record { moment, location: file.to_vec(), payload: line.to_vec(), by: DecodedBy::Decoders }
}

/// `2023 Nov 14 22:13:20 web1->/var/log/auth.log Nov 14 ...` or `2023 ... (agent) 10.0.0.5->/var/log/secure Nov ...`
fn archive(line: &[u8], times: &mut Times) -> Option<Record> {
    let rest = line.get(20..)?.strip_prefix(b" ")?;
    let (location, payload) = split_place(rest)?;
    let moment = times.of_archive(line)?;
    Some(Record {
        moment,
        by: decoded_by(location, payload),
        location: location.to_vec(),
        payload: payload.to_vec(),
    })
}

fn split_place(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let is_agent = rest.starts_with(b"(");
    let arrow = rest.windows(2).take(400).position(|pair| pair == b"->")?;
    let host = rest.get(..arrow)?;
    if !is_agent && host.contains(&b' ') {
        return None;
    }
    let file = rest.get(arrow + 2..)?;
    // The output of a command names the command, blanks and all, and begins with these words.
    let marks = file.windows(15).take(1000).position(|window| window == b" ossec: output:");
    let end = marks.or_else(|| file.iter().position(|&byte| byte == b' ')).unwrap_or(file.len());
    let payload = file.get(end + 1..).unwrap_or_default();
    let location = if is_agent { rest.get(..arrow + 2 + end)? } else { file.get(..end)? };
    (!location.is_empty()).then_some((location, payload))
}

/// A line of `archives.json`; other JSON is a log line.
fn json_archive(line: &[u8], times: &mut Times) -> Option<Record> {
    if !line.starts_with(b"{") {
        return None;
    }
    let value: Value = serde_json::from_str(&String::from_utf8_lossy(line)).ok()?;
    let text = |key: &str| value.get(key).and_then(Value::as_str);
    let (payload, file) = (text("full_log")?, text("logfile")?);
    let moment = times.of_archive(text("timestamp")?.as_bytes())?;
    let location = match (text("agent_name"), text("agentip")) {
        (Some(name), Some(address)) => format!("({name}) {address}->{file}"),
        _ => file.to_owned(),
    };
    let by = decoded_by(location.as_bytes(), payload.as_bytes());
    Some(Record { moment, location: location.into(), payload: payload.into(), by })
}

/// Events of the suite's own decoders are recognised by where they come from and how they begin.
fn decoded_by(location: &[u8], payload: &[u8]) -> DecodedBy {
    if location.ends_with(b"rootcheck") {
        return DecodedBy::Rootcheck;
    }
    if !location.ends_with(b"syscheck") && !location.ends_with(b"syscheck-registry") {
        return DecodedBy::Decoders;
    }
    let kinds = [
        (&b"Integrity checksum changed"[..], Builtin::FileChanged(FileChange::First)),
        (b"New file '", Builtin::FileNew),
        (b"File '", Builtin::FileDeleted),
    ];
    let known = kinds.into_iter().find(|(start, _)| payload.starts_with(start));
    known.map_or(DecodedBy::Decoders, |(_, builtin)| DecodedBy::Builtin(builtin))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::TimeZone;

    fn read(line: &str) -> (Kind, Option<Record>) {
        let mut times = Times::new(TimeZone::UTC, 1_700_003_600);
        let kind = Kind::of(line.as_bytes(), &mut times);
        let record = kind.record(line.as_bytes(), b"/tmp/x", &mut times);
        (kind, record)
    }

    fn place(line: &str) -> (Kind, String, String) {
        let (kind, record) = read(line);
        let record = record.unwrap();
        assert_eq!(record.moment.epoch, 1_700_000_000, "{line}");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (kind, text(record.location), text(record.payload))
    }

    #[test]
    fn lines_of_archives_say_where_they_come_from() {
        let date = "2023 Nov 14 22:13:20";
        for (line, location, payload) in [
            (format!("{date} web1->/var/log/auth.log Nov 14 1"), "/var/log/auth.log", "Nov 14 1"),
            (
                format!("{date} (db 1) 10.0.0.5->/var/log/secure x y"),
                "(db 1) 10.0.0.5->/var/log/secure",
                "x y",
            ),
            (
                format!("{date} web1->df -P ossec: output: 'df -P': /dev/sda1"),
                "df -P",
                "ossec: output: 'df -P': /dev/sda1",
            ),
        ] {
            assert_eq!(place(&line), (Kind::Archive, location.to_owned(), payload.to_owned()));
        }
        let json = "{\"full_log\":\"a \\u00e9\",\"timestamp\":\"2023 Nov 14 22:13:20\",\"agent_name\":\"db\",\"agentip\":\"10.0.0.5\",\"logfile\":\"/l\"}";
        assert_eq!(
            place(json),
            (Kind::JsonArchive, "(db) 10.0.0.5->/l".to_owned(), "a é".to_owned())
        );
    }

    #[test]
    fn other_lines_are_plain() {
        for line in ["Nov 14 22:13:20 web1 sshd[1]: a->b", "2023 Nov 14 22:13:20 web1 sshd: a->b"] {
            assert_eq!(place(line), (Kind::Plain, "/tmp/x".to_owned(), line.to_owned()));
        }
        assert_eq!(read("{\"full_log\":1}").0, Kind::Plain);
        assert_eq!(read("").0, Kind::Plain);
    }

    #[test]
    fn events_of_the_suite_go_to_its_own_decoders() {
        let date = "2023 Nov 14 22:13:20";
        let by = |rest: &str| read(&format!("{date} {rest}")).1.unwrap().by;
        assert_eq!(
            by("web1->syscheck New file '/x' added to the file system."),
            DecodedBy::Builtin(Builtin::FileNew)
        );
        assert_eq!(by("(a) any->rootcheck File '/x' is odd"), DecodedBy::Rootcheck);
        assert_eq!(by("web1->/var/log/syscheck2 File '/x'"), DecodedBy::Decoders);
    }

    #[test]
    fn a_line_cut_anywhere_does_not_panic() {
        let json = "{\"full_log\":\"a\",\"timestamp\":\"2023 Nov 14 22:13:20\",\"logfile\":\"/l\"}";
        for line in ["2023 Nov 14 22:13:20 (db 1) 10.0.0.5->/var/log/secure x y", json] {
            for end in 0..=line.len() {
                read(&line[..end]);
            }
        }
    }
}
