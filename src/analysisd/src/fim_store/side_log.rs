//! Logs beside the alerts: what was taken in without one, a line each. `logs/fim_maintenance.log`, `fim_packages.log`, `fim_storm.log`.
//!
//! `2026-11-21 00:17:48 syscheck modify /etc/motd`: local time, where it was seen, what happened, which file, and what else there is to say.
//! A log that has reached [`MAX_LEN`] becomes `<log>.1`, in the place of the one before it.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags};

/// Longest file, in bytes.
const MAX_LEN: u64 = 16 << 20;

/// One of the logs, and the lines that wait for it.
#[derive(Debug)]
pub(super) struct SideLog {
    name: &'static str,
    lines: Vec<u8>,
}

impl SideLog {
    /// `logs/<name>`.
    pub(super) fn new(name: &'static str) -> Self {
        Self { name, lines: Vec::new() }
    }

    /// Adds a line; `more` may be empty.
    pub(super) fn note(&mut self, now: i64, location: &[u8], word: &str, path: &[u8], more: &[u8]) {
        let time = runtime::clock::local(now);
        let stamp = format!(
            "{}-{:02}-{:02} {:02}:{:02}:{:02} ",
            time.year, time.month, time.day, time.hour, time.minute, time.second
        );
        let location = fim::path::printable(location);
        for part in [stamp.as_bytes(), &location, b" ", word.as_bytes(), b" ", path] {
            self.lines.extend_from_slice(part);
        }
        if !more.is_empty() {
            self.lines.extend([b" ", more].concat());
        }
        self.lines.push(b'\n');
    }

    /// Writes what waits. A log that can't be written is said, and its lines dropped: a baseline is worth more.
    pub(super) fn flush(&mut self, folder: &OwnedFd) {
        if self.lines.is_empty() {
            return;
        }
        if let Err(error) = self.append(folder) {
            log::error!("cannot write logs/{}: {error}; its lines are dropped", self.name);
        }
        self.lines.clear();
    }

    /// Opened from `queue/syscheck`, so that it is found after a change of root too.
    fn append(&self, folder: &OwnedFd) -> io::Result<()> {
        let path = format!("../../logs/{}", self.name);
        let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::CLOEXEC;
        let open = || -> io::Result<File> {
            let file = rustix::fs::openat(folder, &path, flags, Mode::from_raw_mode(0o640))?;
            Ok(file.into())
        };
        let mut file = open()?;
        let len = file.metadata()?.len();
        if len > 0 && len + self.lines.len() as u64 > MAX_LEN {
            rustix::fs::renameat(folder, &path, folder, format!("{path}.1"))?;
            file = open()?;
        }
        file.write_all(&self.lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_full_log_makes_room_for_another() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("queue/syscheck")).unwrap();
        fs::create_dir_all(root.path().join("logs")).unwrap();
        let folder = OwnedFd::from(File::open(root.path().join("queue/syscheck")).unwrap());
        let path = root.path().join("logs/fim_packages.log");
        File::create(&path).unwrap().set_len(MAX_LEN).unwrap();
        let mut log = SideLog::new("fim_packages.log");
        log.note(0, b"syscheck", "modify", b"/x", b"openssl 1 -> 2");
        log.flush(&folder);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.ends_with(" syscheck modify /x openssl 1 -> 2\n"), "{text}");
        assert_eq!(fs::metadata(path.with_extension("log.1")).unwrap().len(), MAX_LEN);
    }
}
