//! What one daemon has written to `logs/ossec.log` since a moment: the reason why it did not start.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Lines that are shown.
const MAX_LINES: usize = 5;
/// No start writes more than this.
const MAX_BYTES: u64 = 256 * 1024;

/// A place in the log.
#[derive(Debug)]
pub(crate) struct LogTail {
    path: PathBuf,
    from: u64,
}

impl LogTail {
    /// The end of the log as it is now.
    pub(crate) fn from_now(root: &Path) -> Self {
        let path = root.join("logs/ossec.log");
        let from = fs::metadata(&path).map_or(0, |facts| facts.len());
        Self { path, from }
    }

    /// What `name` has written since then: its errors, or if there are none its last lines.
    pub(crate) fn last_lines_of(&self, name: &str) -> Vec<String> {
        last_lines(&self.text().unwrap_or_default(), name)
    }

    fn text(&self) -> Option<String> {
        let mut file = File::open(&self.path).ok()?;
        file.seek(SeekFrom::Start(self.from)).ok()?;
        let mut bytes = Vec::new();
        file.take(MAX_BYTES).read_to_end(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }
}

fn last_lines(text: &str, name: &str) -> Vec<String> {
    let own: Vec<&str> = text.lines().filter(|line| is_by(line, name)).collect();
    let errors: Vec<&str> = own.iter().copied().filter(|line| line.contains(": ERROR: ")).collect();
    let chosen = if errors.is_empty() { own } else { errors };
    chosen.iter().rev().take(MAX_LINES).rev().map(|line| (*line).to_owned()).collect()
}

/// `2026/11/21 00:21:52 ossec-execd(1226): ERROR: ...` is by `ossec-execd`.
fn is_by(line: &str, name: &str) -> bool {
    let rest = line.splitn(3, ' ').nth(2).and_then(|text| text.strip_prefix(name));
    rest.is_some_and(|rest| rest.starts_with(['(', ':']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_daemon_are_preferred_to_its_other_lines() {
        let text = "2026/11/21 00:21:52 ossec-execd: INFO: a\n2026/11/21 00:21:52 ossec-execd(1226): ERROR: b\n\
                    2026/11/21 00:21:52 ossec-execdx: ERROR: c\nhalf a li";
        assert_eq!(
            last_lines(text, "ossec-execd"),
            ["2026/11/21 00:21:52 ossec-execd(1226): ERROR: b"]
        );
        assert_eq!(last_lines(text, "ossec-maild"), [""; 0]);
        assert_eq!(last_lines(&text.replace("ERROR", "INFO"), "ossec-execd").len(), 2);
    }

    #[test]
    fn only_what_was_written_since_counts() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("logs")).unwrap();
        let log = root.path().join("logs/ossec.log");
        fs::write(&log, "d t ossec-x: ERROR: old\n").unwrap();
        let tail = LogTail::from_now(root.path());
        fs::write(&log, "d t ossec-x: ERROR: old\nd t ossec-x: ERROR: new\n").unwrap();
        assert_eq!(tail.last_lines_of("ossec-x"), ["d t ossec-x: ERROR: new"]);
    }
}
