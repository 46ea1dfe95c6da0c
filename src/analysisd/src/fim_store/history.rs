//! What happened to each host's files: `queue/fim-history/<location>`, lines of [`fim::history`], bounded in size and age.
//!
//! A host has two files: the one that is appended to, and `.<location>.old` before it. When the first has half of the bytes that a host may
//! have, or its first line half of the age, it takes the other's place; so the newest half of the limits is always kept, and never more
//! than the whole. Lines come again after a kill, never twice with another in between: readers pass over a line that repeats the last one of its file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

use fim::history::Record;
use rustix::fs::{AtFlags, Mode, OFlags};

use super::files::open_in;

/// Seen from `queue/syscheck`: opened from there, so that it is found after a change of root too.
const FOLDER: &str = "../fim-history";

/// How much of it is kept of each host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Both files together; 0: no history.
    pub bytes: u64,
    /// Seconds.
    pub age: i64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 16 << 20, age: 90 * 86_400 }
    }
}

/// All hosts' histories.
#[derive(Debug)]
pub(super) struct History {
    folder: Option<OwnedFd>,
    /// Lines that are not yet written, by the name of the host's baseline.
    waiting: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl History {
    /// Beside the baselines; without its folder nothing is kept.
    pub(super) fn open(baselines: &OwnedFd) -> Self {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::openat(baselines, FOLDER, flags, Mode::empty());
        if let Err(errno) = &folder {
            log::info!(
                "queue/fim-history cannot be opened ({errno}): changes of files leave no history."
            );
        }
        Self { folder: folder.ok(), waiting: BTreeMap::new() }
    }

    /// Remembers a change until the next [`flush`](Self::flush).
    pub(super) fn add(&mut self, name: &[u8], record: &Record, limits: Limits) {
        if self.folder.is_some() && limits.bytes > 0 {
            record.write(self.waiting.entry(name.to_vec()).or_default());
        }
    }

    /// Writes what waits.
    ///
    /// # Errors
    /// Call it again: what could not be written waits on.
    pub(super) fn flush(&mut self, limits: Limits, now: i64) -> io::Result<()> {
        let Some(folder) = &self.folder else { return Ok(()) };
        while let Some((name, lines)) = self.waiting.first_key_value() {
            match append(folder, name, lines, limits, now) {
                // A full disk is waited for; a folder of somebody else's would be waited for in vain.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    log::error!(
                        "queue/fim-history: {error}: changes of files leave no history. Make it this daemon's user's, and restart it."
                    );
                    self.waiting.clear();
                    self.folder = None;
                    return Ok(());
                }
                other => other?,
            }
            self.waiting.pop_first();
        }
        Ok(())
    }
}

fn append(folder: &OwnedFd, name: &[u8], lines: &[u8], limits: Limits, now: i64) -> io::Result<()> {
    let mut file = open_in(folder, name)?;
    let mut len = file.metadata()?.len();
    let old = [b".", name, b".old"].concat();
    let is_full = len + lines.len() as u64 > limits.bytes / 2;
    if len > 0 && (is_full || first_time(&file)?.saturating_add(limits.age / 2) < now) {
        rustix::fs::renameat(folder, name, folder, old.as_slice())?;
        file = open_in(folder, name)?;
        len = 0;
    } else if let Ok(of_old) = rustix::fs::statat(folder, old.as_slice(), AtFlags::SYMLINK_NOFOLLOW)
        && of_old.st_mtime.saturating_add(limits.age) < now
    {
        rustix::fs::unlinkat(folder, old.as_slice(), AtFlags::empty())?;
    }
    // A line that a crash or a full disk cut off stays by itself; it is none to readers.
    let mut last = [b'\n'];
    if len > 0 {
        file.read_exact_at(&mut last, len - 1)?;
    }
    let begin: &[u8] = if last == *b"\n" { b"" } else { b"\n" };
    file.write_all_at(&[begin, lines].concat(), len)?;
    file.flush()
}

/// The time of the first line; that of a file without one is long ago.
fn first_time(file: &File) -> io::Result<i64> {
    let mut begin = [0; 24];
    let len = file.read_at(&mut begin, 0)?;
    let digits = begin.get(..len).unwrap_or_default().split(|&b| b == b' ').next();
    let text = std::str::from_utf8(digits.unwrap_or_default()).unwrap_or_default();
    Ok(text.parse().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use fim::history::Told;
    use std::fs;

    struct Bench {
        root: tempfile::TempDir,
        history: History,
        limits: Limits,
    }

    impl Bench {
        fn new(limits: Limits) -> Self {
            let root = tempfile::tempdir().unwrap();
            for folder in ["queue/syscheck", "queue/fim-history"] {
                fs::create_dir_all(root.path().join(folder)).unwrap();
            }
            let folder = OwnedFd::from(File::open(root.path().join("queue/syscheck")).unwrap());
            Self { history: History::open(&folder), root, limits }
        }

        fn add(&mut self, at: i64) {
            let record = Record {
                at,
                told: Told::Alert,
                before: None,
                after: b"-1".to_vec(),
                path: b"/x".to_vec(),
                data: Vec::new(),
            };
            self.history.add(b"web", &record, self.limits);
            self.history.flush(self.limits, at).unwrap();
        }

        fn times(&self, name: &str) -> Vec<i64> {
            let path = self.root.path().join("queue/fim-history").join(name);
            let text = fs::read(path).unwrap_or_default();
            let lines = text.split(|&b| b == b'\n').filter_map(Record::parse);
            lines.map(|record| record.at).collect()
        }
    }

    #[test]
    fn a_full_file_takes_the_place_of_the_old_one() {
        // A line has 17 bytes: `100 alert - -1 /x`, with its newline 18.
        let mut bench = Bench::new(Limits { bytes: 72, age: 1000 });
        (100..105).for_each(|at| bench.add(at));
        assert_eq!((bench.times(".web.old"), bench.times("web")), (vec![102, 103], vec![104]));
    }

    #[test]
    fn lines_grow_too_old() {
        let mut bench = Bench::new(Limits { bytes: 10_000, age: 100 });
        bench.add(1000);
        bench.add(1050);
        assert_eq!(bench.times("web"), [1000, 1050]);
        bench.add(1051);
        assert_eq!((bench.times(".web.old"), bench.times("web")), (vec![1000, 1050], vec![1051]));
    }

    #[test]
    fn a_torn_line_is_left_alone_and_the_next_one_is_whole() {
        let mut bench = Bench::new(Limits::default());
        fs::write(bench.root.path().join("queue/fim-history/web"), "1000 alert - ").unwrap();
        bench.add(1000);
        assert_eq!(bench.times("web"), [1000]);
    }
}
