//! The one log of the suite, `logs/ossec.log`: who said what, when.
//!
//! `2026/11/21 00:21:55 ossec-execd: INFO: Started (pid: 7).`, and with a message number
//! `2026/11/21 00:21:52 ossec-execd(1203): ERROR: Invalid user 'ossec' or group 'ossec' given.`
//! (observed from OSSEC 4.2). Call sites write the number as the beginning of the text: `(1203) Invalid ...`.
//!
//! Every line is appended whole. The file is opened again when it was rotated or removed, and never through a
//! symbolic link: daemons that stay root write into a folder that belongs to another user. Text of several
//! lines becomes several log lines, each with the head, and control bytes are escaped, so that nobody forges a line.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use env_logger::{Builder, Target};
use log::{Level, LevelFilter, Record};
use rustix::fs::OFlags;

use crate::clock::{self, Local};
use crate::failure::plain;
use crate::notify;

/// Starts the log of this process: `name` is what its lines begin with, `terminal` whether they also go to
/// stderr, `debug` 0, 1 (debug) or 2 (trace). Only the first call of a process counts.
pub fn start(name: &str, root: &Path, terminal: bool, debug: u8) {
    clock::learn_zone();
    let log = Log {
        name: name.to_owned(),
        terminal: AtomicBool::new(terminal),
        file: Mutex::new(LogFile::new(root)),
    };
    if LOG.set(log).is_err() {
        return;
    }
    let started = Builder::new()
        // The level is decided by `set_debug`; the libraries below stay quiet at any level.
        .filter_level(LevelFilter::Trace)
        .filter_module("mio", LevelFilter::Warn)
        .format(|line, record| line.write_all(render(record).as_bytes()))
        .target(Target::Pipe(Box::new(Outlet)))
        .try_init();
    if started.is_ok() {
        set_debug(debug);
    }
}

/// Changes how much is logged from now on: 0, 1 (debug) or 2 and more (trace).
pub fn set_debug(debug: u8) {
    log::set_max_level(match debug {
        0 => LevelFilter::Info,
        1 => LevelFilter::Debug,
        _ => LevelFilter::Trace,
    });
}

/// Whether lines go to stderr too.
pub(crate) fn set_terminal(terminal: bool) {
    if let Some(log) = LOG.get() {
        log.terminal.store(terminal, Ordering::Relaxed);
    }
}

/// Tells whom a new log file is to belong to, when this process is root and may give it away.
pub(crate) fn set_owner(uid: Option<u32>, gid: u32) {
    with_file(|file| file.owner = Some((uid, gid)));
}

/// Opens the log while this process still can: one that gives up root may append later, but not create.
pub(crate) fn open_now() {
    with_file(|file| file.append_or_complain(b""));
}

/// Follows a change of the root folder of this process.
pub(crate) fn set_root(root: &Path) {
    with_file(|file| file.path = root.join(FILE));
}

fn with_file(change: impl FnOnce(&mut LogFile)) {
    if let Some(log) = LOG.get() {
        change(&mut log.file.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

static LOG: OnceLock<Log> = OnceLock::new();

struct Log {
    name: String,
    terminal: AtomicBool,
    file: Mutex<LogFile>,
}

/// Where env_logger hands over finished lines; each `write` is one whole record.
struct Outlet;

impl Write for Outlet {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        let Some(log) = LOG.get() else { return Ok(lines.len()) };
        log.file.lock().unwrap_or_else(PoisonError::into_inner).append_or_complain(lines);
        if log.terminal.load(Ordering::Relaxed) {
            let _ = io::stderr().write_all(lines);
        }
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The log file, opened when first needed.
struct LogFile {
    path: PathBuf,
    open: Option<File>,
    owner: Option<(Option<u32>, u32)>,
    complained: bool,
}

impl LogFile {
    fn new(root: &Path) -> Self {
        Self { path: root.join(FILE), open: None, owner: None, complained: false }
    }

    /// What cannot be logged is said on stderr and to the supervisor, once until it works again; a daemon does
    /// not stop watching because its log is broken.
    fn append_or_complain(&mut self, lines: &[u8]) {
        match self.append(lines) {
            Ok(()) => self.complained = false,
            Err(_) if self.complained => {}
            Err(error) => {
                self.complained = true;
                let complaint = format!(
                    "cannot write the log '{path}' ({why}): give it and its folder to the suite's user, \
                     for instance: chown ossec:ossec {folder} {path}",
                    path = self.path.display(),
                    why = plain(&error),
                    folder = self.path.parent().unwrap_or(Path::new("/")).display()
                );
                let _ = writeln!(io::stderr(), "{complaint}");
                notify::status(&complaint);
            }
        }
    }

    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        if !self.is_current() {
            // A daemon that may append, but not create, goes on with the rotated file until there is a new one.
            match self.reopen() {
                Ok(file) => self.open = Some(file),
                Err(_) if self.open.is_some() && !self.path.exists() => {}
                Err(error) => return Err(error),
            }
        }
        match &mut self.open {
            Some(file) => file.write_all(lines),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn is_current(&self) -> bool {
        let Some(Ok(open)) = self.open.as_ref().map(File::metadata) else { return false };
        let Ok(named) = std::fs::symlink_metadata(&self.path) else { return false };
        (open.dev(), open.ino()) == (named.dev(), named.ino())
    }

    fn reopen(&self) -> io::Result<File> {
        // NONBLOCK: a pipe that someone put there must not stop the daemon.
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
        let open = |options: &mut OpenOptions| {
            options.append(true).mode(MODE).custom_flags(flags).open(&self.path)
        };
        let file = match open(OpenOptions::new().create_new(true)) {
            Ok(file) => {
                // The mask of the process does not apply to the log, which several users append to.
                file.set_permissions(Permissions::from_mode(MODE))?;
                if let Some((uid, gid)) = self.owner {
                    // Refused after the privileges are gone; then the file is ours already.
                    let _ = fchown(&file, uid, Some(gid));
                }
                file
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                open(&mut OpenOptions::new())?
            }
            Err(error) => return Err(error),
        };
        if file.metadata()?.is_file() {
            Ok(file)
        } else {
            Err(io::Error::other("it is not a regular file"))
        }
    }
}

/// Below the install root.
const FILE: &str = "logs/ossec.log";

/// All users of the suite append, through the common group.
const MODE: u32 = 0o660;

fn render(record: &Record<'_>) -> String {
    let target = record.target();
    let own = LOG.get().map_or("oxsec", |log| log.name.as_str());
    // Rootcheck lives inside syscheckd but speaks under its own name.
    let speaks_for_itself = target.starts_with("rootcheck") || target.starts_with("ossec-");
    let name = if speaks_for_itself { target } else { own };
    let text = record.args().to_string();
    let (number, text) = split_number(&text);
    let Local { year, month, day, hour, minute, second, .. } = clock::local(clock::now());
    let level = match record.level() {
        Level::Error => "ERROR",
        Level::Warn => "WARN",
        Level::Info => "INFO",
        Level::Debug | Level::Trace => "DEBUG",
    };
    let mut lines = String::new();
    for line in text.split('\n') {
        // Writing to a String cannot fail.
        let _ = write!(
            lines,
            "{year}/{month:02}/{day:02} {hour:02}:{minute:02}:{second:02} {name}{number}: {level}: "
        );
        push_escaped(&mut lines, line);
        lines.push('\n');
    }
    lines
}

/// `("(1203)", "Invalid ...")` for `(1203) Invalid ...`.
fn split_number(text: &str) -> (&str, &str) {
    let Some(end) = text.find(") ").filter(|&end| (4..=6).contains(&end)) else {
        return ("", text);
    };
    let (number, rest) = text.split_at(end + 1);
    let is_number = number.strip_prefix('(').and_then(|digits| digits.strip_suffix(')'));
    if is_number.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit())) {
        (number, rest.trim_start_matches(' '))
    } else {
        ("", text)
    }
}

/// Log lines are read at terminals: what would move the cursor or end the line is shown, not sent.
fn push_escaped(lines: &mut String, text: &str) {
    for character in text.chars() {
        if character.is_control() && character != '\t' {
            lines.extend(character.escape_default());
        } else {
            lines.push(character);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn rendered(target: &str, level: Level, text: &str) -> String {
        let arguments = format_args!("{text}");
        let record = Record::builder().target(target).level(level).args(arguments).build();
        render(&record)
    }

    /// The line without its 20 bytes of date and time.
    fn after_the_date(line: &str) -> &str {
        &line[20..]
    }

    #[test]
    fn a_line_has_date_name_level_and_text() {
        let line = rendered("syscheckd::scan", Level::Info, "Started (pid: 7).");
        let date = line.as_bytes();
        assert_eq!(
            (date[4], date[7], date[10], date[13], date[16]),
            (b'/', b'/', b' ', b':', b':')
        );
        assert_eq!(after_the_date(&line), "oxsec: INFO: Started (pid: 7).\n");
    }

    #[test]
    fn golden_lines_of_the_original_are_rendered_as_recorded() {
        let folder = std::env::var("GOLDEN_DIR").unwrap_or_else(|_| {
            concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/golden").to_owned()
        });
        let Ok(log) = fs::read_to_string(Path::new(&folder).join("host/control/ossec.log")) else {
            println!("skipped: no golden data in {folder}");
            return;
        };
        let mut wrong = Vec::new();
        for line in log.lines() {
            let after = line.get(20..).unwrap_or_default();
            let Some((head, level, text)) = split_golden(after) else { continue };
            let (name, text) = match head.split_once('(') {
                Some((name, number)) => (name, format!("({number} {text}")),
                None => (head, text.to_owned()),
            };
            if rendered(name, level, &text).get(20..) != Some(&format!("{after}\n")) {
                wrong.push(line.to_owned());
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    fn split_golden(line: &str) -> Option<(&str, Level, &str)> {
        let (head, rest) = line.split_once(": ")?;
        let (level, text) = rest.split_once(": ")?;
        let level = match level {
            "ERROR" => Level::Error,
            "WARN" => Level::Warn,
            "INFO" => Level::Info,
            _ => return None,
        };
        head.starts_with("ossec-").then_some((head, level, text))
    }

    #[test]
    fn the_number_moves_behind_the_name() {
        for (text, expected) in [
            ("(1203) Invalid", "oxsec(1203): ERROR: Invalid\n"),
            ("(pid) 7", "oxsec: ERROR: (pid) 7\n"),
            ("(1203)", "oxsec: ERROR: (1203)\n"),
            ("(12034567) x", "oxsec: ERROR: (12034567) x\n"),
            ("", "oxsec: ERROR: \n"),
        ] {
            assert_eq!(after_the_date(&rendered("x", Level::Error, text)), expected);
        }
    }

    #[test]
    fn nobody_forges_a_line() {
        let lines =
            rendered("x", Level::Warn, "a\r\u{1b}[2J\n2026/01/01 00:00:00 ossec-x: INFO: b");
        assert_eq!(lines.lines().count(), 2);
        for line in lines.lines() {
            assert!(after_the_date(line).starts_with("oxsec: WARN: "), "{line}");
            assert!(!line.contains(['\r', '\u{1b}']), "{line}");
        }
    }

    fn log_file(root: &Path) -> LogFile {
        fs::create_dir(root.join("logs")).unwrap();
        LogFile::new(root)
    }

    #[test]
    fn a_rotated_log_is_opened_again() {
        let temp = tempfile::tempdir().unwrap();
        let mut file = log_file(temp.path());
        let path = temp.path().join(FILE);
        file.append(b"one\n").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, MODE);
        fs::rename(&path, temp.path().join("logs/old")).unwrap();
        file.append(b"two\n").unwrap();
        fs::remove_file(&path).unwrap();
        file.append(b"three\n").unwrap();
        file.append(b"four\n").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"three\nfour\n");
    }

    #[test]
    fn a_log_that_is_a_link_or_a_pipe_is_refused() {
        let temp = tempfile::tempdir().unwrap();
        let mut file = log_file(temp.path());
        let path = temp.path().join(FILE);
        let secret = temp.path().join("secret");
        fs::write(&secret, "").unwrap();
        std::os::unix::fs::symlink(&secret, &path).unwrap();
        assert!(file.append(b"x\n").is_err());
        assert_eq!(fs::read(&secret).unwrap(), b"");
        fs::remove_file(&path).unwrap();
        let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(made.success());
        assert!(file.append(b"x\n").is_err());
    }

    #[test]
    fn a_broken_log_is_said_once_until_it_works_again() {
        let temp = tempfile::tempdir().unwrap();
        let mut file = LogFile::new(temp.path());
        file.append_or_complain(b"lost\n");
        assert!(file.complained);
        fs::create_dir(temp.path().join("logs")).unwrap();
        file.append_or_complain(b"kept\n");
        assert!(!file.complained);
    }
}
