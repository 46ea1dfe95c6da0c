//! What rootcheck found on one host: `queue/rootcheck/rootcheck`, or `queue/rootcheck/(web01) any->rootcheck`.
//!
//! Line: `!<last>!<first> <text>`, both times ten digits; lines of old versions are the text alone. The begins and ends of scans,
//! also of syscheck's, are among them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::agent_tools::World;
use crate::agent_tools::client::{Client, printable};
use crate::agent_tools::times;

/// The text that marks the begin of a scan.
pub(crate) const STARTING: &str = "Starting rootcheck scan.";
const ENDING: &str = "Ending rootcheck scan.";
/// Largest file that is read.
const MAX_FILE: u64 = 256 << 20;

/// One host's findings.
#[derive(Debug, Default)]
pub(crate) struct Database {
    lines: Vec<Finding>,
}

/// One text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    /// When it was last found, epoch seconds; 0 when not known.
    pub(crate) last: i64,
    /// When it was first found.
    pub(crate) first: i64,
    /// What.
    pub(crate) text: String,
}

impl Finding {
    /// Both times for a person.
    pub(crate) fn stamps(&self) -> (String, String) {
        (times::stamp(self.last), times::stamp(self.first))
    }

    fn parse(line: &[u8]) -> Self {
        let times = line.strip_prefix(b"!").and_then(|rest| {
            let (last, rest) = rest.split_at_checked(10)?;
            let (first, text) = rest.strip_prefix(b"!")?.split_at_checked(10)?;
            let number = |digits: &[u8]| std::str::from_utf8(digits).ok()?.parse().ok();
            Some((number(last)?, number(first)?, text.strip_prefix(b" ")?))
        });
        let (last, first, text) = times.unwrap_or((0, 0, line));
        Self { last, first, text: printable(text) }
    }
}

impl Database {
    /// Reads a host's database; a missing one is empty.
    pub(crate) fn read(world: &World, client: &Client) -> io::Result<Self> {
        let path = path(world, client);
        match fs::metadata(&path) {
            Ok(data) if data.len() > MAX_FILE => return Err(io::ErrorKind::FileTooLarge.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            _ => (),
        }
        Ok(Self::parse(&fs::read(path)?))
    }

    /// Reads a file's bytes.
    pub(crate) fn parse(file: &[u8]) -> Self {
        let lines = file.split(|&b| b == b'\n').filter(|line| !line.is_empty());
        Self { lines: lines.map(Finding::parse).collect() }
    }

    /// When a text was last reported.
    pub(crate) fn last(&self, text: &str) -> Option<i64> {
        self.lines.iter().find(|line| line.text == text).map(|line| line.last)
    }

    /// All but the begins and ends of scans.
    pub(crate) fn findings(&self) -> impl Iterator<Item = &Finding> {
        let is_mark = |text: &str| {
            (text.starts_with("Starting ") || text.starts_with("Ending "))
                && text.ends_with(" scan.")
        };
        self.lines.iter().filter(move |line| !is_mark(&line.text))
    }

    /// Whether the last complete scan still found it. While the first scan after a begin goes on, nothing counts as resolved.
    pub(crate) fn is_outstanding(&self, finding: &Finding) -> bool {
        let Some(start) = self.lines.iter().find(|line| line.text == STARTING) else { return true };
        let is_complete = self.last(ENDING).is_some_and(|end| end >= start.last);
        finding.last >= if is_complete { start.last } else { start.first }
    }
}

/// Where a host's database is.
pub(crate) fn path(world: &World, client: &Client) -> PathBuf {
    world.root.join("queue/rootcheck").join(client.database("rootcheck"))
}

/// All databases of a folder, in the order of their names.
pub(crate) fn all(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_file() && !entry.file_name().as_encoded_bytes().starts_with(b".") {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &[u8] =
        b"!1795220523!1795220513 Starting rootcheck scan.\n!1795220513!1795220513 gone\n\
        !1795220525!1795220513 still\nold line\n!1795220530!1795220519 Ending rootcheck scan.\n";

    #[test]
    fn what_the_last_whole_scan_did_not_find_is_resolved() {
        let database = Database::parse(FILE);
        let outstanding: Vec<&str> = database
            .findings()
            .filter(|f| database.is_outstanding(f))
            .map(|f| f.text.as_str())
            .collect();
        assert_eq!(outstanding, ["still"]);
        assert_eq!(database.findings().count(), 3);
    }

    #[test]
    fn while_a_scan_goes_on_nothing_is_resolved() {
        let file = [&FILE[..FILE.len() - 58], b"\n"].concat();
        let database = Database::parse(&file);
        assert!(database.findings().filter(|f| f.last > 0).all(|f| database.is_outstanding(f)));
    }

    #[test]
    fn a_file_cut_anywhere_is_read() {
        for cut in 0..FILE.len() {
            let database = Database::parse(&FILE[..cut]);
            assert!(database.findings().count() <= 4, "cut at {cut}");
        }
        assert_eq!(Finding::parse(b"!x!y \xff\x1b").text, "!x!y \u{fffd}?");
    }
}
