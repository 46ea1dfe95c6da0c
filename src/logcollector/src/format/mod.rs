//! Log formats: how the lines of a file become events. One file each, pure: lines in, records out.
//!
//! | `<log_format>` | module | an event is |
//! |---|---|---|
//! | `syslog` and every plain alias (`apache`, `iis`, `squid`, `snort-fast`, `nginx` ...) | [`plain`] | a line |
//! | `json` | [`json`] | a line, long ones whole |
//! | `multi-line:N` | [`multi_line`] | N lines |
//! | `multi-line_indented` | [`indented`] | a line with the indented ones below it |
//! | `snort-full` | [`snort_full`] | a block of Snort's full alert file |
//! | `mysql_log`, `mssql_log`, `postgresql_log` | [`mysql`], [`mssql`], [`postgresql`] | an entry of that server's log |
//! | `djb-multilog` | [`djb`] | a line of multilog's `current` |
//! | `nmapg` | [`nmap`] | a host's open ports |
//! | `audit` | [`audit`] | the lines of one kernel audit event |
//! | `modsec-audit` | [`modsec`] | a ModSecurity audit entry |
//! | `ossecalert` | [`ossec_alert`] | an alert of another suite's alert log |
//!
//! To add one: a file here with a type that implements [`Format`], and a line in [`for_file`].
//!
//! Each record says from where in the file reading would have to go on if it was the last one that arrived. So a format
//! may hold back as much as it likes: what it holds is read again after a crash.

use settings::LogFormat;
use wire::Kind;

mod audit;
mod djb;
mod indented;
mod joiner;
mod json;
mod modsec;
mod mssql;
mod multi_line;
mod mysql;
mod nmap;
mod ossec_alert;
mod plain;
mod postgresql;
mod snort_full;
mod timestamp;

#[cfg(test)]
mod laws;

/// Longest event of the line reader, in bytes; a longer line becomes several events.
pub const MAX_LINE: usize = 5887;
/// Longest event that is put together from several lines, and longest JSON object, in bytes.
pub const MAX_RECORD: usize = 60_000;

/// Turns the lines of one file into records.
pub trait Format {
    /// Longest line that it wants in one piece, in bytes. A longer one arrives in several pieces.
    fn longest_line(&self) -> usize {
        MAX_RECORD
    }

    /// Takes the next line.
    fn line(&mut self, line: &Line<'_>, out: &mut Records);

    /// The file has been quiet for a while: gives out what only waited for its successor.
    fn rest(&mut self, _out: &mut Records) {}

    /// Before the first line of a file that is read from its middle: the bytes that lie before, for formats in which a
    /// line leans on an earlier one.
    fn recall(&mut self, _past: &[u8]) {}
}

/// One line of a file, or a piece of a line that is longer than the format wants.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    /// Its bytes, without the newline.
    pub bytes: &'a [u8],
    /// Where it starts in the file.
    pub start: u64,
    /// Where the next one starts.
    pub end: u64,
    /// False for a piece that the next line continues.
    pub complete: bool,
}

/// One event, and where reading goes on after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Which decoder takes it.
    pub kind: Kind,
    /// The event's text.
    pub payload: Vec<u8>,
    /// The offset from which a fresh reader gets exactly what follows this record.
    pub resume: u64,
}

/// What a format gave out.
#[derive(Debug, Default)]
pub struct Records {
    /// Complete records, in order.
    pub ready: Vec<Record>,
    /// Lines that are no event by the format's definition, such as comments.
    pub filtered: u64,
    /// Lines that are malformed, and so dropped.
    pub malformed: u64,
    /// Where reading may go on, when that is later than the last record says.
    pub resume: Option<u64>,
    /// What to tell the operator about the file.
    pub complaint: Option<&'static str>,
    /// The local time as `Nov 21 00:22:13`, for formats that write a header of their own.
    pub stamp: String,
}

impl Records {
    /// Gives out an event. A run of NULs becomes one space, and none at the start of the event: a file that was truncated
    /// under its writer begins with a hole, which reads as NULs, and what follows it must not be lost.
    pub fn emit(&mut self, kind: Kind, payload: Vec<u8>, resume: u64) {
        let had_bytes = !payload.is_empty();
        let payload = without_nuls(payload);
        if payload.is_empty() && had_bytes {
            return self.filter(Some(resume));
        }
        self.resume = None;
        self.ready.push(Record { kind, payload, resume });
    }

    /// Lets a line go that is no event. `resume` is `None` while an unfinished record lies before it.
    pub fn filter(&mut self, resume: Option<u64>) {
        self.filtered += 1;
        self.resume = resume.or(self.resume);
    }

    /// Drops a malformed line.
    pub fn malformed(&mut self, complaint: &'static str, resume: Option<u64>) {
        self.malformed += 1;
        self.complaint = Some(complaint);
        self.resume = resume.or(self.resume);
    }
}

fn without_nuls(payload: Vec<u8>) -> Vec<u8> {
    if memchr::memchr(0, &payload).is_none() {
        return payload;
    }
    let mut clean = Vec::with_capacity(payload.len());
    for part in payload.split(|&b| b == 0).filter(|part| !part.is_empty()) {
        if !clean.is_empty() {
            clean.push(b' ');
        }
        clean.extend_from_slice(part);
    }
    clean
}

/// What formats know about the file besides its lines.
#[derive(Debug, Clone, Copy)]
pub struct About<'a> {
    /// The file's path.
    pub path: &'a [u8],
    /// This host's name.
    pub host: &'a [u8],
}

/// The format of a file; `None` for those whose events do not come from a file.
///
/// # Errors
/// [`BadFile`] when the format does not fit the path.
pub fn for_file(format: LogFormat, about: About<'_>) -> Result<Option<Box<dyn Format>>, BadFile> {
    Ok(Some(match format {
        LogFormat::Command | LogFormat::FullCommand | LogFormat::Journald => return Ok(None),
        LogFormat::EventLog | LogFormat::EventChannel => return Ok(None),
        LogFormat::Json => Box::new(json::Json),
        LogFormat::MultiLine(lines) => Box::new(multi_line::MultiLine::new(lines)),
        LogFormat::MultiLineIndented => Box::<indented::Indented>::default(),
        LogFormat::SnortFull => Box::<snort_full::SnortFull>::default(),
        LogFormat::MySql => Box::<mysql::Mysql>::default(),
        LogFormat::MsSql => Box::<mssql::Mssql>::default(),
        LogFormat::PostgreSql => Box::<postgresql::Postgresql>::default(),
        LogFormat::DjbMultilog => Box::new(djb::Djb::new(about)?),
        LogFormat::NmapGrepable => Box::new(nmap::Nmap),
        LogFormat::Audit => Box::<audit::Audit>::default(),
        LogFormat::ModSecurity => Box::<modsec::Modsec>::default(),
        LogFormat::OssecAlert => Box::<ossec_alert::OssecAlert>::default(),
        _ => Box::new(plain::Plain),
    }))
}

/// The path is not one that the format can read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadFile(pub String);
