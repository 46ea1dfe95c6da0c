//! One open file that is read to its end, and then as it grows.
//!
//! It keeps its descriptor: a file that was renamed or deleted is read on. Before bytes are believed it looks whether the
//! file is still the one that it began to read: a size below the offset, or other bytes at the head, mean that it was
//! truncated and written anew (copytruncate).

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use crate::format::{Format, Record, Records};
use crate::journal::{Fingerprint, Identity, Key};
use crate::line::LineBuffer;

/// Bytes read at a time, so that a huge file gives way to the others.
pub(crate) const CHUNK: usize = 64 << 10;
/// How long a file must be quiet before what waits for a successor is given out.
const REST: Duration = Duration::from_secs(1);
/// How many bytes before its position a format may look at.
const PAST: u64 = 4 << 10;

/// A file under watch.
pub(crate) struct Tail {
    /// Its positions' key.
    pub key: Key,
    /// Which file it is.
    pub identity: Identity,
    /// Its first bytes, up to [`Fingerprint::MAX`].
    pub head: Vec<u8>,
    /// When it had been written last as it was taken up, in nanoseconds since 1970.
    pub since: u64,
    /// Whether it was found beside the watched path, not under it: it may be a copy.
    pub found_beside: bool,
    /// An event to hand over before its first line: how it came to be read.
    pub announcement: Option<String>,
    /// Records that are not handed over yet.
    pub ready: VecDeque<Record>,
    /// Where reading may go on once `ready` is handed over, when later than its last record says.
    pub resume: Option<u64>,
    /// When it last had something new.
    pub last_growth: Instant,
    file: File,
    lines: LineBuffer,
    format: Box<dyn Format>,
    rest_due: Option<Instant>,
    finished: bool,
}

/// What one step of reading came to.
#[derive(Debug)]
pub(crate) enum Step {
    /// There may be more.
    More,
    /// Nothing new for now.
    AtEnd,
    /// It is not the file any more that it was: start from 0, and look for what was left unread.
    Truncated,
    /// It could not be read.
    Failed(io::Error),
}

/// An opened file, before it is known from where to read it.
#[derive(Debug)]
pub(crate) struct Opened {
    /// The descriptor.
    pub file: File,
    /// Which file it is.
    pub identity: Identity,
    /// Its first bytes.
    pub head: Vec<u8>,
    /// Its size.
    pub size: u64,
    /// When it was written last.
    pub modified: SystemTime,
}

impl Opened {
    /// Opens a regular file.
    ///
    /// # Errors
    /// The system's, and one of our own for what is not a regular file.
    pub(crate) fn at(path: &Path) -> io::Result<Self> {
        // Not blocking: a pipe of that name must not stop the collector.
        let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
        Self::of(OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)?)
    }

    fn of(file: File) -> io::Result<Self> {
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Err(io::Error::other("not a regular file"));
        }
        let head = read_head(&file)?;
        Ok(Self {
            identity: identity(&meta),
            head,
            size: meta.len(),
            modified: meta.modified()?,
            file,
        })
    }

    /// Its first bytes, read again.
    pub(crate) fn head_now(&self) -> Vec<u8> {
        read_head(&self.file).unwrap_or_default()
    }

    /// The start of the last line that is not complete: where a file is taken up when only what is new counts.
    pub(crate) fn end_of_last_line(&self) -> u64 {
        let look = crate::format::MAX_LINE as u64;
        let from = self.size.saturating_sub(look);
        let bytes = read_range(&self.file, from, self.size - from);
        match memchr::memrchr(b'\n', &bytes) {
            Some(at) => from + at as u64 + 1,
            None if from == 0 => 0,
            None => self.size,
        }
    }
}

/// Since 1970; 0 for what is before.
pub(crate) fn nanoseconds(at: SystemTime) -> u64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Device and inode of a file.
pub(crate) fn identity(meta: &std::fs::Metadata) -> Identity {
    Identity { device: meta.dev(), inode: meta.ino() }
}

impl Tail {
    /// Reads `opened` from this offset on.
    pub(crate) fn new(
        opened: Opened,
        key: Key,
        offset: u64,
        mut format: Box<dyn Format>,
        now: Instant,
    ) -> Self {
        if offset > 0 {
            let from = offset.saturating_sub(PAST);
            format.recall(&read_range(&opened.file, from, offset - from));
        }
        Self {
            key,
            identity: opened.identity,
            since: nanoseconds(opened.modified),
            head: opened.head,
            found_beside: false,
            announcement: None,
            ready: VecDeque::new(),
            resume: None,
            last_growth: now,
            file: opened.file,
            lines: LineBuffer::at(offset),
            format,
            rest_due: None,
            finished: false,
        }
    }

    /// Its head as a fingerprint.
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.head)
    }

    /// Its head; that of a file that was empty when it was last read is looked up.
    pub(crate) fn head_now(&self) -> Vec<u8> {
        if self.head.is_empty() {
            read_head(&self.file).unwrap_or_default()
        } else {
            self.head.clone()
        }
    }

    /// Where in the file the next byte is wanted from.
    pub(crate) fn offset(&self) -> u64 {
        self.lines.wanted()
    }

    /// Whether no name leads to it any more.
    pub(crate) fn is_deleted(&self) -> bool {
        self.file.metadata().is_ok_and(|meta| meta.nlink() == 0)
    }

    /// Reads the next chunk. Returns whether the head has grown, too.
    pub(crate) fn step(
        &mut self,
        buffer: &mut [u8],
        now: Instant,
        out: &mut Records,
    ) -> (Step, bool) {
        match self.read(buffer) {
            Ok(None) => (Step::Truncated, false),
            Ok(Some(0)) => (Step::AtEnd, false),
            Ok(Some(count)) => {
                let bytes = buffer.get(..count).unwrap_or_default();
                let head_grew = self.extend_head(bytes);
                self.lines.feed(bytes, self.format.as_mut(), out);
                self.take(out);
                self.last_growth = now;
                self.rest_due = Some(now + REST);
                (Step::More, head_grew)
            }
            Err(error) => (Step::Failed(error), false),
        }
    }

    /// `None` when the file was truncated. Looks after reading: what is read before a truncation is good, what is read
    /// after it is noticed.
    fn read(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let offset = self.offset();
        let count = self.file.read_at(buffer, offset)?;
        if self.file.metadata()?.len() < offset + count as u64 {
            return Ok(None);
        }
        let mut head = [0; Fingerprint::MAX];
        let len = self.file.read_at(&mut head, 0)?;
        let same = head.get(..len).is_some_and(|head| head.starts_with(&self.head));
        Ok(same.then_some(count))
    }

    /// Whether it was truncated since it was read last.
    pub(crate) fn is_truncated(&self) -> bool {
        !self.finished && matches!(self.read(&mut []), Ok(None))
    }

    fn extend_head(&mut self, bytes: &[u8]) -> bool {
        let known = self.head.len() as u64;
        let offset = self.offset();
        let room = Fingerprint::MAX.saturating_sub(self.head.len());
        if room == 0 || offset > known {
            return false;
        }
        // `known` may be ahead of `offset`: the head was read when the file was opened.
        let skip = usize::try_from(known - offset).unwrap_or(usize::MAX);
        let fresh = bytes.get(skip..).unwrap_or_default();
        self.head.extend_from_slice(&fresh[..fresh.len().min(room)]);
        !fresh.is_empty()
    }

    fn take(&mut self, out: &mut Records) {
        self.ready.extend(out.ready.drain(..));
        self.resume = out.resume.take();
    }

    /// When [`rest`](Self::rest) is due.
    pub(crate) fn rest_due(&self) -> Option<Instant> {
        self.rest_due
    }

    /// Gives out what only waited for a successor, when the file has been quiet for long enough.
    pub(crate) fn rest(&mut self, now: Instant, out: &mut Records) {
        if self.rest_due.is_some_and(|due| due <= now) {
            self.rest_due = None;
            self.format.rest(out);
            self.take_more(out);
        }
    }

    /// Gives out all that is left, a last line without newline included: the file will not grow any more.
    pub(crate) fn finish(&mut self, out: &mut Records) {
        if !self.finished {
            self.finished = true;
            self.lines.finish(self.format.as_mut(), out);
            self.format.rest(out);
            self.take_more(out);
        }
    }

    /// Reads on in another format; what the old one held back comes out first.
    pub(crate) fn change_format(&mut self, format: Box<dyn Format>, out: &mut Records) {
        self.format.rest(out);
        self.take_more(out);
        self.format = format;
    }

    /// Whether [`finish`](Self::finish) was called and everything is handed over.
    pub(crate) fn is_spent(&self) -> bool {
        self.finished && self.ready.is_empty() && self.resume.is_none()
    }

    /// Whether no more will be read from it.
    pub(crate) fn is_finished(&self) -> bool {
        self.finished
    }

    fn take_more(&mut self, out: &mut Records) {
        let earlier = self.resume;
        self.take(out);
        if self.ready.is_empty() {
            self.resume = self.resume.or(earlier);
        }
    }

    /// The same file once more, as it is now: after a truncation it is read anew.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn reopened(&self) -> io::Result<Opened> {
        Opened::of(self.file.try_clone()?)
    }

    /// Whether it was found beside the watched path, and all that is in it is also what `other` begins with.
    pub(crate) fn is_copy_of(&self, other: &Opened) -> bool {
        if !self.found_beside || self.finished || !other.head.starts_with(&self.head) {
            return false;
        }
        let mine = read_range(&self.file, 0, CHUNK as u64);
        !mine.is_empty() && read_range(&other.file, 0, CHUNK as u64).starts_with(&mine)
    }

    /// When it was written last; now, if that cannot be told.
    pub(crate) fn modified(&self) -> SystemTime {
        self.file.metadata().and_then(|meta| meta.modified()).unwrap_or_else(|_| SystemTime::now())
    }

    /// Goes on reading in a copy of the file, from the same offset: what was there when the file was truncated.
    pub(crate) fn move_to(&mut self, copy: Opened) {
        self.identity = copy.identity;
        self.since = nanoseconds(copy.modified);
        self.found_beside = false;
        self.file = copy.file;
    }
}

fn read_head(file: &File) -> io::Result<Vec<u8>> {
    let mut head = vec![0; Fingerprint::MAX];
    let len = file.read_at(&mut head, 0)?;
    head.truncate(len);
    Ok(head)
}

/// What can be read of this range; nothing when it can't be.
fn read_range(file: &File, from: u64, len: u64) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
    let got = file.read_at(&mut bytes, from).unwrap_or(0);
    bytes.truncate(got);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{About, for_file};
    use std::fs;
    use std::io::Write;
    use std::path::PathBuf;

    struct Fixture {
        _dir: tempfile::TempDir,
        path: PathBuf,
        tail: Tail,
        lines: Vec<String>,
    }

    impl Fixture {
        fn new(text: &str) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("log");
            fs::write(&path, text).unwrap();
            let format = for_file(settings::LogFormat::Syslog, About { path: b"/log", host: b"h" });
            let tail = Tail::new(
                Opened::at(&path).unwrap(),
                Key(1),
                0,
                format.unwrap().unwrap(),
                Instant::now(),
            );
            Self { _dir: dir, path, tail, lines: Vec::new() }
        }

        fn append(&self, text: &str) {
            fs::OpenOptions::new()
                .append(true)
                .open(&self.path)
                .unwrap()
                .write_all(text.as_bytes())
                .unwrap();
        }

        /// Reads to the end, or to whatever else stops it.
        fn read(&mut self) -> Step {
            let mut buffer = [0; 64];
            loop {
                let mut out = Records::default();
                let (step, _) = self.tail.step(&mut buffer, Instant::now(), &mut out);
                let lines =
                    self.tail.ready.drain(..).map(|r| String::from_utf8(r.payload).unwrap());
                self.lines.extend(lines);
                if !matches!(step, Step::More) {
                    return step;
                }
            }
        }
    }

    #[test]
    fn it_follows_a_file_as_it_grows() {
        let mut f = Fixture::new("one\ntw");
        assert!(matches!(f.read(), Step::AtEnd));
        f.append("o\nthree\n");
        assert!(matches!(f.read(), Step::AtEnd));
        assert_eq!(f.lines, ["one", "two", "three"]);
        assert_eq!(f.tail.offset(), 14);
    }

    #[test]
    fn a_smaller_file_is_a_truncated_one() {
        let mut f = Fixture::new("one\ntwo\n");
        f.read();
        fs::write(&f.path, "on").unwrap();
        assert!(matches!(f.read(), Step::Truncated));
    }

    #[test]
    fn a_larger_file_with_another_head_is_a_truncated_one() {
        let mut f = Fixture::new("one\ntwo\n");
        f.read();
        fs::write(&f.path, "another and longer content\n").unwrap();
        assert!(matches!(f.read(), Step::Truncated));
        assert_eq!(f.lines, ["one", "two"]);
    }

    #[test]
    fn a_truncation_is_noticed_by_the_head_that_grew_after_the_start() {
        let mut f = Fixture::new("");
        f.read();
        f.append("line 1\nline 2\n");
        f.read();
        fs::write(&f.path, "other lines of the same kind, and more of them\n").unwrap();
        assert!(matches!(f.read(), Step::Truncated));
    }

    #[test]
    fn only_new_lines_begin_after_the_last_complete_one() {
        let f = Fixture::new("one\ntwo\nhal");
        assert_eq!(Opened::at(&f.path).unwrap().end_of_last_line(), 8);
        let f = Fixture::new("hal");
        assert_eq!(Opened::at(&f.path).unwrap().end_of_last_line(), 0);
        let f = Fixture::new("");
        assert_eq!(Opened::at(&f.path).unwrap().end_of_last_line(), 0);
    }

    #[test]
    fn a_pipe_or_folder_is_not_opened_as_a_file() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Opened::at(dir.path()).is_err());
    }

    #[test]
    fn the_end_gives_out_a_line_without_newline() {
        let mut f = Fixture::new("one\nhalf");
        f.read();
        let mut out = Records::default();
        f.tail.finish(&mut out);
        assert_eq!(f.tail.ready[0].payload, b"half");
        assert!(!f.tail.is_spent());
        f.tail.ready.clear();
        assert!(f.tail.is_spent());
    }
}
