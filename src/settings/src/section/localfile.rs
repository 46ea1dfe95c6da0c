//! `<localfile>`: a log, or a command whose output is one.

use std::time::Duration;

use xml::Element;

use crate::nearest::nearest;
use crate::report::{Report, digits};

const NAMES: &[&str] =
    &["location", "log_format", "command", "alias", "frequency", "only-future-events", "query"];
const DEFAULT_FREQUENCY: Duration = Duration::from_secs(360);

/// One source of log lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalFile {
    /// Path, may have a glob (`*?[`) or strftime conversions (`%`); for journald `all`, an identifier or a folder; for
    /// commands the command itself if nothing is given.
    pub location: String,
    /// How lines become events.
    pub format: LogFormat,
    /// What to run, for the command formats.
    pub command: Option<String>,
    /// Name in place of the command in events.
    pub alias: Option<String>,
    /// Time between two runs of the command; never zero.
    pub frequency: Duration,
    /// Whether to begin with new events where nothing is known of older ones.
    pub only_future: bool,
    /// Filter of a Windows event channel.
    pub query: Option<String>,
    /// Line of the section, for messages.
    pub line: usize,
}

/// How lines become events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// `syslog`: each line is an event.
    Syslog,
    /// `generic`: as syslog.
    Generic,
    /// `apache`: as syslog.
    Apache,
    /// `nginx`: as syslog; ours.
    Nginx,
    /// `iis`: as syslog.
    Iis,
    /// `squid`: as syslog.
    Squid,
    /// `snort-fast`: as syslog.
    SnortFast,
    /// `syslog-pipe`: as syslog, from a named pipe.
    SyslogPipe,
    /// `multi-line:N`: so many lines are an event.
    MultiLine(u32),
    /// `multi-line_indented`: indented lines go on with the event.
    MultiLineIndented,
    /// `json`: each line is an object; ours.
    Json,
    /// `command`: each line of output is an event.
    Command,
    /// `full_command`: the whole output is an event.
    FullCommand,
    /// `journald`.
    Journald,
    /// `snort-full`.
    SnortFull,
    /// `nmapg`.
    NmapGrepable,
    /// `mysql_log`.
    MySql,
    /// `mssql_log`.
    MsSql,
    /// `postgresql_log`.
    PostgreSql,
    /// `ossecalert`.
    OssecAlert,
    /// `djb-multilog`.
    DjbMultilog,
    /// `audit`.
    Audit,
    /// `modsec-audit`.
    ModSecurity,
    /// `eventlog`: Windows only.
    EventLog,
    /// `eventchannel`: Windows only.
    EventChannel,
}

const FORMATS: &[(&str, LogFormat)] = &[
    ("syslog", LogFormat::Syslog),
    ("generic", LogFormat::Generic),
    ("snort-full", LogFormat::SnortFull),
    ("snort-fast", LogFormat::SnortFast),
    ("apache", LogFormat::Apache),
    ("nginx", LogFormat::Nginx),
    ("iis", LogFormat::Iis),
    ("squid", LogFormat::Squid),
    ("nmapg", LogFormat::NmapGrepable),
    ("mysql_log", LogFormat::MySql),
    ("ossecalert", LogFormat::OssecAlert),
    ("mssql_log", LogFormat::MsSql),
    ("postgresql_log", LogFormat::PostgreSql),
    ("djb-multilog", LogFormat::DjbMultilog),
    ("syslog-pipe", LogFormat::SyslogPipe),
    ("command", LogFormat::Command),
    ("full_command", LogFormat::FullCommand),
    ("audit", LogFormat::Audit),
    ("modsec-audit", LogFormat::ModSecurity),
    ("journald", LogFormat::Journald),
    ("multi-line_indented", LogFormat::MultiLineIndented),
    ("json", LogFormat::Json),
    ("eventlog", LogFormat::EventLog),
    ("eventchannel", LogFormat::EventChannel),
];

impl LogFormat {
    /// The format of this name; `None` for one that is not known.
    pub fn of(name: &str) -> Option<Self> {
        let known = FORMATS.iter().find(|(known, _)| *known == name);
        known.map(|(_, format)| *format).or_else(|| multi_line(name))
    }

    /// Whether each line is an event of its own, without further treatment.
    pub fn is_plain(self) -> bool {
        use LogFormat::{Apache, Generic, Iis, Nginx, SnortFast, Squid, Syslog, SyslogPipe};
        matches!(self, Syslog | Generic | Apache | Nginx | Iis | Squid | SnortFast | SyslogPipe)
    }

    /// Whether a command is run.
    pub fn is_command(self) -> bool {
        matches!(self, Self::Command | Self::FullCommand)
    }
}

/// `multi-line:3`, with spaces around the colon and behind the number if you like.
fn multi_line(name: &str) -> Option<LogFormat> {
    let rest = name.strip_prefix("multi-line")?.trim_start_matches(' ');
    let count = rest.strip_prefix(':')?.trim_matches(' ');
    let count = u32::try_from(digits(count.as_bytes())?).ok()?;
    (count > 0).then_some(LogFormat::MultiLine(count))
}

pub(crate) fn read(section: &Element, report: &mut Report) -> Option<LocalFile> {
    let errors = report.error_count();
    let (mut location, mut format, mut command, mut alias) = (None, None, None, None);
    let (mut frequency, mut only_future, mut query) = (DEFAULT_FREQUENCY, false, None);
    for child in report.leaves(&lower_names(section), NAMES, &[]) {
        match child.name.as_str() {
            "location" => location = report.filled(child),
            "log_format" => format = log_format(child, report),
            "command" => command = report.filled(child),
            "alias" => alias = report.filled(child),
            "frequency" => read_frequency(child, &mut frequency, report),
            "only-future-events" => report.yes_no(child, &mut only_future),
            _ => query = report.text(child),
        }
    }
    if report.error_count() > errors {
        return None;
    }
    let Some(format) = format else {
        report.error(1901, section, "Missing 'log_format' element.", "expected <log_format>");
        return None;
    };
    if format.is_command() && command.is_none() {
        let text = "Missing 'command' argument. This option will be ignored.";
        report.warning(None, section, text, "expected <command> with this log_format");
        return None;
    }
    let location = location.or_else(|| command.clone().filter(|_| format.is_command()));
    let Some(location) = location else {
        report.error(1902, section, "Missing 'location' element.", "expected <location>");
        return None;
    };
    let line = section.line;
    Some(LocalFile { location, format, command, alias, frequency, only_future, query, line })
}

/// Two of the names may be written in any case.
fn lower_names(section: &Element) -> Element {
    let mut section = section.clone();
    for child in &mut section.children {
        let lower = child.name.to_ascii_lowercase();
        if lower == "log_format" || lower == "alias" {
            child.name = lower;
        }
    }
    section
}

fn log_format(child: &Element, report: &mut Report) -> Option<LogFormat> {
    let name = child.text();
    let format = LogFormat::of(&name);
    if format.is_none() {
        let hint = "a known log format, such as syslog, json, multi-line:N or command";
        match nearest(&name, FORMATS.iter().map(|(known, _)| *known)) {
            Some(near) => report.invalid(child, format!("{hint}; did you mean '{near}'?")),
            None => report.invalid(child, hint),
        }
    }
    format
}

fn read_frequency(child: &Element, slot: &mut Duration, report: &mut Report) {
    let seconds = match child.content.as_slice() {
        b"hourly" => Some(3_600),
        b"daily" => Some(86_400),
        other => digits(other).filter(|seconds| (1..=u64::from(u32::MAX)).contains(seconds)),
    };
    match seconds {
        Some(seconds) => *slot = Duration::from_secs(seconds),
        None => report.invalid(child, "a number of seconds above 0, 'hourly' or 'daily'"),
    }
}
