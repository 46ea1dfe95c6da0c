//! The accounts of a daemon: counters whose sums balance, in `var/run/<name>.state` as lines `key=value`.
//!
//! `received = forwarded + filtered + dropped_<reason> ... + pending`. The daemon writes the file whole (a
//! temporary one, then renamed); ossec-control and the tests read it.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use rustix::fs::OFlags;

use crate::instance::RUN;

/// One account, to be a `static` that any thread adds to.
#[derive(Debug)]
pub struct Counter {
    name: &'static str,
    value: AtomicU64,
}

impl Counter {
    /// A counter at 0.
    pub const fn new(name: &'static str) -> Self {
        Self { name, value: AtomicU64::new(0) }
    }

    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.value.fetch_add(n, Ordering::Relaxed);
    }

    /// Sets it, for what is a level and no sum (pending).
    pub fn set(&self, value: u64) {
        self.value.store(value, Ordering::Relaxed);
    }

    /// The count now.
    pub fn value(&self) -> u64 {
        self.value.load(Ordering::Relaxed)
    }

    /// As a line for `Daemon::write_state`.
    pub fn line(&self) -> (&'static str, u64) {
        (self.name, self.value())
    }
}

/// When a daemon last wrote its accounts.
///
/// # Errors
/// It never did.
pub fn written_at(root: &Path, name: &str) -> io::Result<SystemTime> {
    fs::metadata(root.join(RUN).join(format!("{name}.state")))?.modified()
}

/// Reads the accounts that daemon `name` wrote last.
///
/// # Errors
/// The file cannot be read; `NotFound` if the daemon has never written any.
pub fn read(root: &Path, name: &str) -> io::Result<Vec<(String, u64)>> {
    let text = fs::read_to_string(root.join(RUN).join(format!("{name}.state")))?;
    Ok(text.lines().filter_map(parse).collect())
}

fn parse(line: &str) -> Option<(String, u64)> {
    let (key, value) = line.split_once('=')?;
    Some((key.to_owned(), value.parse().ok()?))
}

/// Writes the file so that readers see the old accounts or the new ones, never half.
pub(crate) fn write(root: &Path, name: &str, accounts: &[(&str, u64)]) -> io::Result<()> {
    let run = root.join(RUN);
    let temporary = run.join(format!(".{name}.state"));
    let text: String = accounts.iter().map(|(key, value)| format!("{key}={value}\n")).collect();
    // A left-over of a crash, or a trap that someone else has put there.
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o640)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(&temporary)?;
    file.write_all(text.as_bytes())?;
    drop(file);
    fs::rename(&temporary, run.join(format!("{name}.state")))
}

#[cfg(test)]
mod tests {
    use super::*;

    static RECEIVED: Counter = Counter::new("received");

    #[test]
    fn what_was_written_is_read() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join(RUN)).unwrap();
        RECEIVED.add(7);
        write(root.path(), "ossec-x", &[RECEIVED.line(), ("pending", 0)]).unwrap();
        write(root.path(), "ossec-x", &[RECEIVED.line(), ("pending", u64::MAX)]).unwrap();
        let accounts = read(root.path(), "ossec-x").unwrap();
        assert_eq!(accounts, [("received".to_owned(), 7), ("pending".to_owned(), u64::MAX)]);
        assert_eq!(fs::read_dir(root.path().join(RUN)).unwrap().count(), 1);
    }

    #[test]
    fn lines_that_are_no_accounts_are_passed_over() {
        for line in ["", "=", "a", "a=", "a=-1", "a=99999999999999999999999"] {
            assert_eq!(parse(line), None, "{line}");
        }
    }
}
