//! The manager's memory of rootcheck: which texts a host has reported, so that only a new one is news.
//!
//! One text file a host, `queue/rootcheck/<location>`, in OSSEC's format, a line each: `!<last>!<first> <text>`, both times
//! ten digits. A known text gets its last time rewritten in place; a new one is appended. A text that a whole search did not say is resolved,
//! and news when it comes back. As in the file-integrity store, [`FindingStore::process`] remembers and [`FindingStore::flush`] writes.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::fim_store::{MAX_LOCATIONS, file_name};
use crate::output::daily::WriteError;

/// Texts remembered for one host; further ones are reported each time.
const MAX_TEXTS: usize = 100_000;
/// Largest file read at the first report of a host.
const MAX_FILE: u64 = 64 << 20;

/// All hosts' findings.
#[derive(Debug)]
pub(crate) struct FindingStore {
    folder: PathBuf,
    hosts: HashMap<Vec<u8>, Host>,
}

/// A text that a host has reported.
#[derive(Debug, Clone, Copy)]
struct Known {
    /// Where its line begins.
    at: u64,
    /// When it was said last, epoch seconds; 0 when the line does not say.
    last: i64,
}

/// The texts between which a search says what it finds.
const BEGINS: &[u8] = b"Starting rootcheck scan.";
const ENDS: &[u8] = b"Ending rootcheck scan.";

#[derive(Debug, Default)]
struct Host {
    known: HashMap<Vec<u8>, Known>,
    /// When the last search began that came to its end, if another one has begun since; else 0.
    searched: i64,
    len: u64,
    pending: Vec<(u64, Vec<u8>)>,
}

impl FindingStore {
    /// Below `folder`, usually `queue/rootcheck`.
    pub(crate) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), hosts: HashMap::new() }
    }

    /// Takes one text; `Some(true)` when it is new, `None` when the location cannot name a file.
    pub(crate) fn process(&mut self, location: &[u8], text: &[u8], now: i64) -> Option<bool> {
        let name = file_name(location)?;
        let path = self.folder.join(std::ffi::OsStr::from_bytes(&name));
        if self.hosts.get(&name).is_some_and(|host| host.was_emptied(&path)) {
            self.hosts.remove(&name);
        }
        if !self.hosts.contains_key(&name) {
            if self.hosts.len() >= MAX_LOCATIONS {
                return None;
            }
            let host = Host::load(&path);
            self.hosts.insert(name.clone(), host);
        }
        let text: Vec<u8> = text.iter().copied().filter(|b| !b.is_ascii_control()).collect();
        self.hosts.get_mut(&name).map(|host| host.note(text, now))
    }

    /// Writes what was remembered.
    ///
    /// # Errors
    /// Names the file; what could not be written waits on.
    pub(crate) fn flush(&mut self) -> Result<(), WriteError> {
        for (name, host) in self.hosts.iter_mut().filter(|(_, host)| !host.pending.is_empty()) {
            let path = self.folder.join(std::ffi::OsStr::from_bytes(name));
            host.flush(&path).map_err(|source| WriteError { path: path.clone(), source })?;
        }
        Ok(())
    }
}

impl Host {
    fn load(path: &Path) -> Self {
        let mut host = Self::default();
        let Ok(file) = File::open(path) else { return host };
        let size = file.metadata().map_or(0, |meta| meta.len());
        let content =
            if size > MAX_FILE { Err(io::ErrorKind::FileTooLarge.into()) } else { fs::read(path) };
        let content = content.unwrap_or_else(|error| {
            log::warn!(
                "'{}' could not be read: {error}; its findings count as new",
                path.display()
            );
            host.len = size;
            Vec::new()
        });
        for line in content.split_inclusive(|&b| b == b'\n') {
            let body = line.strip_suffix(b"\n").unwrap_or(line);
            // Lines of old versions have no times.
            let (last, text) = match body.strip_prefix(b"!") {
                Some(rest) => {
                    let time = rest.get(..10).and_then(|time| std::str::from_utf8(time).ok());
                    let text = body.splitn(2, |&b| b == b' ').nth(1).unwrap_or_default();
                    (time.and_then(|time| time.parse().ok()).unwrap_or(0), text)
                }
                None => (0, body),
            };
            host.known.insert(text.to_vec(), Known { at: host.len, last });
            host.len += line.len() as u64;
        }
        if content.last().is_some_and(|&b| b != b'\n') {
            host.append(b"\n".to_vec());
        }
        host
    }

    /// Whether an administrator's tool has emptied or deleted the file: then all counts as new again.
    fn was_emptied(&self, path: &Path) -> bool {
        self.pending.is_empty() && fs::metadata(path).map_or(0, |data| data.len()) < self.len
    }

    fn note(&mut self, text: Vec<u8>, now: i64) -> bool {
        if text == BEGINS {
            let last = |text: &[u8]| self.known.get(text).map_or(0, |known| known.last);
            self.searched = if last(BEGINS) <= last(ENDS) { last(BEGINS) } else { 0 };
        }
        let is_mark = text.ends_with(b" scan.");
        if let Some(known) = self.known.get_mut(&text) {
            self.pending.push((known.at, format!("!{now:010}").into_bytes()));
            let last = std::mem::replace(&mut known.last, now);
            return last < self.searched && !is_mark;
        }
        if self.known.len() >= MAX_TEXTS {
            return true;
        }
        let line = [format!("!{now:010}!{now:010} ").as_bytes(), &text, b"\n"].concat();
        self.known.insert(text, Known { at: self.len, last: now });
        self.append(line);
        true
    }

    fn append(&mut self, bytes: Vec<u8>) {
        let at = self.len;
        self.len += bytes.len() as u64;
        self.pending.push((at, bytes));
    }

    fn flush(&mut self, path: &Path) -> io::Result<()> {
        let file =
            OpenOptions::new().write(true).create(true).truncate(false).mode(0o640).open(path)?;
        for (at, bytes) in &self.pending {
            file.write_all_at(bytes, *at)?;
        }
        self.pending.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_tool_has_cleared_is_new_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = FindingStore::new(dir.path());
        assert_eq!(store.process(b"rootcheck", b"odd", 1_700_000_000), Some(true));
        store.flush().unwrap();
        fs::remove_file(dir.path().join("rootcheck")).unwrap();
        assert_eq!(store.process(b"rootcheck", b"odd", 1_700_000_001), Some(true));
        store.flush().unwrap();
        assert_eq!(
            fs::read(dir.path().join("rootcheck")).unwrap(),
            b"!1700000001!1700000001 odd\n"
        );
    }

    #[test]
    fn a_text_is_new_once_even_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = FindingStore::new(dir.path());
        assert_eq!(
            store.process(b"rootcheck", b"Interface 'eth0' in promiscuous mode.", 1_700_000_000),
            Some(true)
        );
        assert_eq!(
            store.process(b"rootcheck", b"Port '1'(tcp) hidden.", 1_700_000_001),
            Some(true)
        );
        store.flush().unwrap();
        let mut store = FindingStore::new(dir.path());
        assert_eq!(
            store.process(b"rootcheck", b"Interface 'eth0' in promiscuous mode.", 1_700_000_009),
            Some(false)
        );
        store.flush().unwrap();
        let text = fs::read_to_string(dir.path().join("rootcheck")).unwrap();
        let expected = "!1700000009!1700000000 Interface 'eth0' in promiscuous mode.\n!1700000001!1700000001 Port '1'(tcp) hidden.\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn what_was_resolved_is_new_when_it_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = FindingStore::new(dir.path());
        let search = |store: &mut FindingStore, at: i64, text: &[u8], ends: bool| {
            store.process(b"rootcheck", BEGINS, at);
            let news = store.process(b"rootcheck", text, at + 1);
            if ends {
                store.process(b"rootcheck", ENDS, at + 2);
            }
            store.flush().unwrap();
            news
        };
        assert_eq!(search(&mut store, 100, b"odd", true), Some(true));
        assert_eq!(search(&mut store, 200, b"odd", true), Some(false));
        assert_eq!(search(&mut store, 300, b"other", false), Some(true));
        assert_eq!(search(&mut store, 400, b"odd", true), Some(false), "the search was cut short");
        assert_eq!(search(&mut store, 500, b"other", true), Some(true), "not said at 400");
        let mut store = FindingStore::new(dir.path());
        assert_eq!(search(&mut store, 600, b"odd", true), Some(true), "not said at 500");
        assert_eq!(search(&mut store, 700, b"odd", true), Some(false));
        assert_eq!(store.process(b"rootcheck", b"Starting syscheck scan.", 701), Some(true));
        let text = fs::read_to_string(dir.path().join("rootcheck")).unwrap();
        assert!(text.contains("!0000000701!0000000101 odd\n"), "{text}");
    }

    #[test]
    fn nothing_is_on_disk_before_the_flush_and_no_location_leaves_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = FindingStore::new(&dir.path().join("rootcheck"));
        fs::create_dir(dir.path().join("rootcheck")).unwrap();
        store.process(b"../../evil", b"x", 1);
        store.process(b"(a) 1.2.3.4->/etc/x", b"x", 1);
        assert_eq!(fs::read_dir(dir.path().join("rootcheck")).unwrap().count(), 0);
        store.flush().unwrap();
        let outside: Vec<_> = fs::read_dir(dir.path()).unwrap().collect();
        assert_eq!(outside.len(), 1);
    }

    /// The recorded messages give the recorded database; only the times of the recording are its own, and the order of the first
    /// scan's lines, which the original's threads shuffle.
    #[test]
    fn golden_messages_give_the_recorded_texts() {
        let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/golden");
        let golden = std::env::var("GOLDEN_DIR").unwrap_or_else(|_| default.to_owned());
        let folder = PathBuf::from(golden).join("host/rootcheck");
        let (Ok(sent), Ok(recorded)) = (
            fs::read_to_string(folder.join("queue_messages.jsonl")),
            fs::read_to_string(folder.join("db_rootcheck.txt")),
        ) else {
            return println!("skipped: no recorded messages in {}", folder.display());
        };
        let dir = tempfile::tempdir().unwrap();
        let mut store = FindingStore::new(dir.path());
        for row in sent.lines() {
            let row: serde_json::Value = serde_json::from_str(row).unwrap();
            let time = if row["step"] == "scan1" { 1_795_220_513 } else { 1_795_220_523 };
            let Some(text) = row["msg"].as_str().unwrap().strip_prefix("9:rootcheck:") else {
                continue;
            };
            store.process(b"rootcheck", text.trim_end_matches('\0').as_bytes(), time);
        }
        store.flush().unwrap();
        let of = |text: &str| {
            let mut texts: Vec<String> =
                text.lines().filter_map(|line| Some(line.split_once(' ')?.1.to_owned())).collect();
            texts.sort();
            texts
        };
        assert_eq!(of(&fs::read_to_string(dir.path().join("rootcheck")).unwrap()), of(&recorded));
    }

    #[test]
    fn many_texts_are_remembered_in_a_time_that_grows_with_their_number_only() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = FindingStore::new(dir.path());
        for round in 0..2 {
            for number in 0..20_000 {
                let text = format!("File '/srv/{number}' present on /dev. Possible hidden file.");
                assert_eq!(store.process(b"rootcheck", text.as_bytes(), round), Some(round == 0));
            }
            store.flush().unwrap();
        }
        let text = fs::read_to_string(dir.path().join("rootcheck")).unwrap();
        assert_eq!(
            text.lines().filter(|line| line.starts_with("!0000000001!0000000000 ")).count(),
            20_000
        );
    }
}
