//! What the manager has been told about each file, in memory and, so that a restart repeats nothing, on disk.
//!
//! `queue/syscheckd/known` is a text file: a first line `syscheckd 1 <stream>`, then lines that are only ever appended:
//! - `<number> <sum> <path>`: the event of that number told this sum (`-1`: the file is gone);
//! - `= <number>`: all up to this number has reached its end at the manager.
//!
//! A line is written **before** its event is sent. So after a kill the lines beyond the last `=` are those about which only the
//! manager knows: it says how far it came ([`Known::settle`]), lines up to there hold, later ones do not, and the next scan finds
//! and tells them again. The file is rewritten when it has grown to a multiple of what it holds: beside, then renamed over.
//! A line that was cut short by a crash is dropped. Paths are escaped ([`fim::path`]).

use std::collections::BTreeMap;
use std::collections::hash_map::RandomState;
use std::fs::{self, File, OpenOptions};
use std::hash::BuildHasher;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::ops::Bound;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::plan::is_below;

/// Rewritten when there are this many lines more than twice what is known.
const SLACK_LINES: usize = 10_000;

/// Bytes that wait for a full disk at the most.
const MAX_PENDING: usize = 16 << 20;

/// What is known of all files.
#[derive(Debug)]
pub struct Known {
    files: BTreeMap<Vec<u8>, Entry>,
    stream: u64,
    /// Up to here the manager has acknowledged.
    marked: u64,
    /// Highest number given to a line.
    last: u64,
    /// Lines of the file beyond `marked`, until [`Known::settle`].
    unsettled: Vec<(u64, Vec<u8>, Vec<u8>)>,
    journal: Journal,
}

#[derive(Debug)]
struct Entry {
    sum: Box<[u8]>,
    /// The last scan that saw it.
    scan: u64,
}

#[derive(Debug)]
struct Journal {
    path: PathBuf,
    file: Option<File>,
    /// Length of the file up to the last whole write.
    len: u64,
    lines: usize,
    pending: Vec<u8>,
}

impl Known {
    /// Reads the file in `folder`; nothing is known when there is none, or when it is not ours.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let path = folder.join("known");
        let mut known = Self {
            files: BTreeMap::new(),
            stream: random(),
            marked: 0,
            last: 0,
            unsettled: Vec::new(),
            journal: Journal { path, file: None, len: 0, lines: 0, pending: Vec::new() },
        };
        match File::open(&known.journal.path) {
            Ok(file) => known.read(BufReader::with_capacity(1 << 18, file))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(known)
    }

    /// The numbering's id, for [`ipc::Sender::new`].
    pub fn stream(&self) -> u64 {
        self.stream
    }

    /// Takes what the manager says has reached its end, drops what has not, and rewrites the file. Returns the number after
    /// which to go on; 0 with a new [`Self::stream`] when the manager no longer knows the old one.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn settle(&mut self, ended: u64) -> io::Result<u64> {
        for (number, sum, path) in std::mem::take(&mut self.unsettled) {
            if number <= ended {
                self.apply(path, &sum);
            }
        }
        if ended < self.marked {
            self.stream = random();
        }
        self.marked = if ended < self.marked { 0 } else { ended };
        self.last = self.marked;
        self.rewrite()?;
        Ok(self.marked)
    }

    /// How many files are known.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// The last sum told about a file that is there.
    pub fn sum(&self, path: &[u8]) -> Option<&[u8]> {
        self.files.get(path).map(|entry| &*entry.sum)
    }

    /// Notes that the event of this number tells this sum; `-1` for a file that is gone.
    pub fn tell(&mut self, number: u64, path: &[u8], sum: &[u8], scan: u64) {
        self.last = number;
        self.journal.line(number, sum, path);
        if sum == b"-1" {
            self.files.remove(path);
        } else {
            self.files.insert(path.to_vec(), Entry { sum: sum.into(), scan });
        }
    }

    /// Forgets a file that is no longer watched, without telling anyone.
    pub fn forget(&mut self, path: &[u8]) {
        if self.files.remove(path).is_some() {
            self.journal.line(self.last, b"-1", path);
        }
    }

    /// Notes that a scan saw a file.
    pub fn saw(&mut self, path: &[u8], scan: u64) {
        if let Some(entry) = self.files.get_mut(path) {
            entry.scan = scan;
        }
    }

    /// The files that this scan did not see.
    pub fn unseen(&self, scan: u64) -> Vec<Vec<u8>> {
        let unseen = self.files.iter().filter(|(_, entry)| entry.scan != scan);
        unseen.map(|(path, _)| path.clone()).collect()
    }

    /// The files below a folder.
    pub fn below(&self, folder: &[u8]) -> Vec<Vec<u8>> {
        let from = (Bound::Excluded(folder), Bound::Unbounded);
        let near = self.files.range::<[u8], _>(from).map(|(path, _)| path);
        // `/a.txt` and `/a/b` both begin with `/a`; neighbours end where the beginning does.
        near.take_while(|path| path.starts_with(folder))
            .filter(|path| is_below(folder, path))
            .cloned()
            .collect()
    }

    /// Notes what has reached its end, and rewrites the file when it has grown too long.
    ///
    /// # Errors
    /// When rewriting fails; the file is as it was.
    pub fn acknowledged(&mut self, upto: u64) -> io::Result<()> {
        if upto > self.marked {
            self.marked = upto;
            self.journal.pending.extend_from_slice(format!("= {upto}\n").as_bytes());
            self.journal.lines += 1;
        }
        let settled = self.marked >= self.last;
        if !settled || self.journal.lines <= 2 * self.files.len() + SLACK_LINES {
            return Ok(());
        }
        // If it fails, the next try is due when the file has grown as much again.
        self.journal.lines = self.files.len();
        self.rewrite()
    }

    /// Writes what was noted; to be called before the events are sent.
    ///
    /// # Errors
    /// When writing fails; nothing is forgotten, call again.
    pub fn flush(&mut self) -> io::Result<()> {
        let journal = &mut self.journal;
        if journal.pending.is_empty() {
            return Ok(());
        }
        let file = match &mut journal.file {
            Some(file) => file,
            None => return Err(io::Error::other("the file of known sums was never opened")),
        };
        if let Err(error) = file.write_all_at(&journal.pending, journal.len) {
            if journal.pending.len() > MAX_PENDING {
                // What is lost is told again after a restart. The next rewrite makes the file whole.
                journal.pending.clear();
                journal.lines = usize::MAX / 2;
            }
            return Err(error);
        }
        journal.len += journal.pending.len() as u64;
        journal.pending.clear();
        Ok(())
    }

    /// Writes the file anew, with nothing in it but what is known.
    fn rewrite(&mut self) -> io::Result<()> {
        let beside = self.journal.path.with_extension("new");
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o640).open(&beside)?;
        let mut out = BufWriter::with_capacity(1 << 18, file);
        writeln!(out, "syscheckd 1 {:016x}", self.stream)?;
        writeln!(out, "= {}", self.marked)?;
        for (path, entry) in &self.files {
            let path = fim::path::escape(path);
            out.write_all(&line_text(self.marked, &entry.sum, &path))?;
        }
        let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        fs::rename(&beside, &self.journal.path)?;
        self.journal.len = file.metadata()?.len();
        self.journal.file = Some(file);
        self.journal.lines = self.files.len();
        self.journal.pending.clear();
        Ok(())
    }

    fn read(&mut self, mut reader: impl BufRead) -> io::Result<()> {
        let mut line = Vec::new();
        reader.read_until(b'\n', &mut line)?;
        let Some(stream) = header(&line) else {
            log::warn!(
                "'{}' does not begin as a file of known sums: starting without, every file is told again.",
                self.journal.path.display()
            );
            return Ok(());
        };
        self.stream = stream;
        let mut unreadable = 0_u64;
        loop {
            line.clear();
            reader.read_until(b'\n', &mut line)?;
            // A line without newline was cut short by a crash, and its event never sent.
            let Some(text) = line.strip_suffix(b"\n") else { break };
            match Line::parse(text) {
                Some(Line::Mark(number)) => self.mark(number),
                Some(Line::File { number, sum, path }) => {
                    let path = fim::path::unescape(path).into_owned();
                    if number <= self.marked {
                        self.apply(path, sum);
                    } else {
                        self.unsettled.push((number, sum.to_vec(), path));
                    }
                }
                None => unreadable += 1,
            }
        }
        if unreadable > 0 {
            log::warn!("'{}': {unreadable} unreadable lines skipped.", self.journal.path.display());
        }
        Ok(())
    }

    /// All unsettled lines up to this number hold.
    fn mark(&mut self, number: u64) {
        self.marked = self.marked.max(number);
        let holds = self.unsettled.iter().take_while(|(line, ..)| *line <= number).count();
        let settled: Vec<_> = self.unsettled.drain(..holds).collect();
        for (_, sum, path) in settled {
            self.apply(path, &sum);
        }
    }

    fn apply(&mut self, path: Vec<u8>, sum: &[u8]) {
        if sum == b"-1" {
            self.files.remove(&path);
        } else {
            self.files.insert(path, Entry { sum: sum.into(), scan: 0 });
        }
    }
}

impl Journal {
    fn line(&mut self, number: u64, sum: &[u8], path: &[u8]) {
        self.pending.extend_from_slice(&line_text(number, sum, &fim::path::escape(path)));
        self.lines += 1;
    }
}

/// A line of the file.
enum Line<'a> {
    Mark(u64),
    File { number: u64, sum: &'a [u8], path: &'a [u8] },
}

impl<'a> Line<'a> {
    fn parse(text: &'a [u8]) -> Option<Self> {
        let (first, rest) = split_blank(text)?;
        if first == b"=" {
            return Some(Self::Mark(decimal(rest)?));
        }
        let (sum, path) = split_blank(rest)?;
        fim::Sum::parse(sum).ok()?;
        (!path.is_empty()).then_some(Self::File { number: decimal(first)?, sum, path })
    }
}

fn line_text(number: u64, sum: &[u8], escaped_path: &[u8]) -> Vec<u8> {
    [number.to_string().as_bytes(), b" ", sum, b" ", escaped_path, b"\n"].concat()
}

fn header(line: &[u8]) -> Option<u64> {
    let stream = line.strip_prefix(b"syscheckd 1 ")?.strip_suffix(b"\n")?;
    u64::from_str_radix(std::str::from_utf8(stream).ok()?, 16).ok()
}

fn split_blank(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|&byte| byte == b' ')?;
    Some((bytes.get(..at)?, bytes.get(at + 1..)?))
}

fn decimal(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// A stream's id: unlike any earlier one, not secret.
fn random() -> u64 {
    RandomState::new().hash_one(std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &[u8] = b"1:33188:0:0:a:b:c";
    const B: &[u8] = b"2:33188:0:0:d:e:f";

    fn opened(folder: &tempfile::TempDir, ended: u64) -> Known {
        let mut known = Known::open(folder.path()).unwrap();
        known.settle(ended).unwrap();
        known
    }

    #[test]
    fn what_was_acknowledged_is_known_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let mut known = opened(&folder, 0);
        known.tell(1, b"/a", A, 1);
        known.tell(2, b"/b", B, 1);
        known.tell(3, b"/b", b"-1", 1);
        known.acknowledged(3).unwrap();
        known.flush().unwrap();
        let stream = known.stream();

        let known = opened(&folder, 3);

        assert_eq!((known.sum(b"/a"), known.sum(b"/b")), (Some(A), None));
        assert_eq!(known.stream(), stream);
    }

    #[test]
    fn after_a_kill_the_manager_says_how_far_it_came() {
        let folder = tempfile::tempdir().unwrap();
        let mut known = opened(&folder, 0);
        known.tell(1, b"/a", A, 1);
        known.tell(2, b"/b", A, 1);
        known.tell(3, b"/a", B, 1);
        known.flush().unwrap();

        let known = opened(&folder, 2);

        assert_eq!((known.sum(b"/a"), known.sum(b"/b")), (Some(A), Some(A)));
    }

    #[test]
    fn what_was_not_flushed_is_not_known() {
        let folder = tempfile::tempdir().unwrap();
        let mut known = opened(&folder, 0);
        known.tell(1, b"/a", A, 1);
        drop(known);
        assert!(opened(&folder, 0).is_empty());
    }

    #[test]
    fn a_manager_that_forgot_the_stream_gets_a_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let mut known = opened(&folder, 0);
        known.tell(1, b"/a", A, 1);
        known.acknowledged(1).unwrap();
        known.flush().unwrap();
        let stream = known.stream();

        let mut known = Known::open(folder.path()).unwrap();

        assert_eq!(known.settle(0).unwrap(), 0);
        assert_ne!(known.stream(), stream);
        assert_eq!(known.sum(b"/a"), Some(A));
        assert_eq!(Known::open(folder.path()).unwrap().stream(), known.stream());
    }

    #[test]
    fn every_truncation_of_the_file_is_lived_with() {
        let folder = tempfile::tempdir().unwrap();
        let mut known = opened(&folder, 0);
        known.tell(1, b"/a\nb", A, 1);
        known.acknowledged(1).unwrap();
        known.tell(2, b"/c", B, 1);
        known.flush().unwrap();
        let path = folder.path().join("known");
        let whole = fs::read(&path).unwrap();
        for len in 0..=whole.len() {
            fs::write(&path, &whole[..len]).unwrap();
            let known = opened(&folder, 2);
            assert_eq!(known.sum(b"/c").is_some(), len == whole.len(), "{len}");
        }
        assert_eq!(opened(&folder, 2).sum(b"/a\nb"), Some(A));
    }

    #[test]
    fn mutated_files_never_panic() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("known");
        let mut random = 0x1234_5678_9abc_def1_u64;
        for _ in 0..500 {
            let mut bytes = b"syscheckd 1 00ff\n= 7\n7 1:2:3:4:a:b:c /x\n8 -1 /x\n".to_vec();
            for _ in 0..3 {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                let at = usize::try_from(random % bytes.len() as u64).unwrap();
                bytes[at] = random.to_le_bytes()[7];
            }
            fs::write(&path, bytes).unwrap();
            opened(&folder, 8);
        }
    }

    #[test]
    fn the_file_is_rewritten_when_it_has_grown() {
        let folder = tempfile::tempdir().unwrap();
        let mut known = opened(&folder, 0);
        for number in 1..=30_000 {
            known.tell(number, b"/a", if number % 2 == 0 { A } else { B }, 1);
            known.flush().unwrap();
            known.acknowledged(number).unwrap();
        }
        known.flush().unwrap();
        let len = fs::metadata(folder.path().join("known")).unwrap().len();
        assert!(len < 1 << 20, "{len}");
        assert_eq!(opened(&folder, 30_000).sum(b"/a"), Some(A));
    }

    #[test]
    fn files_below_a_folder_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let mut known = opened(&folder, 0);
        for path in [&b"/a"[..], b"/a.txt", b"/a/b", b"/a/c/d", b"/ab", b"/b"] {
            known.tell(1, path, A, 1);
        }
        assert_eq!(known.below(b"/a"), [b"/a/b".to_vec(), b"/a/c/d".to_vec()]);
        known.saw(b"/b", 2);
        assert_eq!(known.unseen(2).len(), 5);
    }

    #[test]
    fn what_is_no_longer_watched_is_forgotten_for_good() {
        let folder = tempfile::tempdir().unwrap();
        let mut known = opened(&folder, 0);
        known.tell(1, b"/a", A, 1);
        known.forget(b"/a");
        known.acknowledged(1).unwrap();
        known.flush().unwrap();
        assert!(opened(&folder, 1).is_empty());
    }
}
