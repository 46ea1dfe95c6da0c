//! A daily file: `logs/alerts/2026/Nov/ossec-alerts-21.log`, with the fixed name `logs/alerts/alerts.log` as a hard link to it.
//!
//! What is appended waits in memory until [`DailyFile::flush`], which either writes all of it or says why not and keeps the
//! rest: nothing is acknowledged before. A full disk leaves half a record at the worst, which the next flush completes.
//!
//! A file that was renamed under us (monitord does so when it has grown too large: `ossec-alerts-21-1.log`) or removed is
//! left between two flushes, so that no record is torn, and within a second of writing, so that the name means what it says.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use alerts::Moment;

/// Where a daily file lives and what its parts are called.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// Folder below `logs/`: `alerts`.
    pub folder: &'static str,
    /// Middle of the daily name: `alerts` in `ossec-alerts-21.log`.
    pub name: &'static str,
    /// `log` or `json`.
    pub extension: &'static str,
    /// The fixed name, a hard link: `alerts.log`.
    pub link: &'static str,
    /// What completes a record that a killed process left unfinished.
    pub record_end: &'static [u8],
}

/// `logs/alerts/alerts.log`.
pub(crate) const ALERTS_LOG: Place = Place {
    folder: "alerts",
    name: "alerts",
    extension: "log",
    link: "alerts.log",
    record_end: b"\n\n",
};
/// `logs/alerts/alerts.json`.
pub(crate) const ALERTS_JSON: Place = Place {
    folder: "alerts",
    name: "alerts",
    extension: "json",
    link: "alerts.json",
    record_end: b"\n",
};
/// `logs/archives/archives.log`.
pub(crate) const ARCHIVES_LOG: Place = Place {
    folder: "archives",
    name: "archive",
    extension: "log",
    link: "archives.log",
    record_end: b"\n",
};
/// `logs/archives/archives.json`.
pub(crate) const ARCHIVES_JSON: Place = Place {
    folder: "archives",
    name: "archive",
    extension: "json",
    link: "archives.json",
    record_end: b"\n",
};
/// `logs/firewall/firewall.log`.
pub(crate) const FIREWALL_LOG: Place = Place {
    folder: "firewall",
    name: "firewall",
    extension: "log",
    link: "firewall.log",
    record_end: b"\n",
};

/// One daily file, opened when there is something to write.
#[derive(Debug)]
pub(crate) struct DailyFile {
    logs: PathBuf,
    place: Place,
    open: Option<Open>,
    /// What has to be written, and how much of it is.
    waiting: Vec<u8>,
    written: usize,
}

#[derive(Debug)]
struct Open {
    day: (u16, u8, u8),
    path: PathBuf,
    file: File,
    /// When its name was last seen to lead to it.
    checked: Instant,
}

/// How often the name is looked at.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

impl DailyFile {
    /// A file below `logs` (`<root>/logs`), not opened yet.
    pub(crate) fn new(logs: &Path, place: Place) -> Self {
        Self { logs: logs.to_owned(), place, open: None, waiting: Vec::new(), written: 0 }
    }

    /// Where to append a record.
    pub(crate) fn waiting(&mut self) -> &mut Vec<u8> {
        &mut self.waiting
    }

    /// Writes what waits to the file of `day`; all of it, or an error that names the file, and the rest waits on.
    ///
    /// # Errors
    /// When the file cannot be opened or written (disk full, folder not writable).
    pub(crate) fn flush(&mut self, day: &Moment) -> Result<(), WriteError> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let error = |path: &Path, source| WriteError { path: path.to_owned(), source };
        let wanted = (day.year, day.month, day.day);
        if self.is_to_open(wanted, Instant::now()) {
            let path = self.path(day);
            let file = self.reopen(&path).map_err(|source| error(&path, source))?;
            self.written = 0;
            self.open = Some(Open { day: wanted, path, file, checked: Instant::now() });
        }
        let Some(open) = &mut self.open else { return Ok(()) };
        while self.written < self.waiting.len() {
            match open.file.write(&self.waiting[self.written..]) {
                Ok(0) => return Err(error(&open.path, io::ErrorKind::WriteZero.into())),
                Ok(n) => self.written += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(error(&open.path, e)),
            }
        }
        self.waiting.clear();
        self.waiting.shrink_to(1 << 20);
        self.written = 0;
        Ok(())
    }

    /// Whether what waits belongs into another file than the open one. What was begun ends where it began, whatever
    /// the day and the name, unless that file is gone for good: then all of it is written again.
    fn is_to_open(&mut self, day: (u16, u8, u8), now: Instant) -> bool {
        let Some(open) = &mut self.open else { return true };
        if self.written > 0 || open.day != day {
            return self.written == 0 || is_removed(&open.file);
        }
        if now.duration_since(open.checked) < CHECK_INTERVAL {
            return is_removed(&open.file);
        }
        open.checked = now;
        !leads_to(&open.path, &open.file)
    }

    fn path(&self, day: &Moment) -> PathBuf {
        let Place { folder, name, extension, .. } = self.place;
        self.logs
            .join(folder)
            .join(day.year.to_string())
            .join(day.month_name())
            .join(format!("ossec-{name}-{:02}.{extension}", day.day))
    }

    /// Opens a day's file and moves the fixed name to it; yesterday's file goes when it stayed empty.
    fn reopen(&mut self, path: &Path) -> io::Result<File> {
        if let Some(old) = self.open.take()
            && old.file.metadata().is_ok_and(|meta| meta.len() == 0)
            && leads_to(&old.path, &old.file)
        {
            // An empty file that stays behind harms nobody.
            let _ = fs::remove_file(&old.path);
        }
        if let Some(folder) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o750).create(folder)?;
        }
        loop {
            let mut file =
                OpenOptions::new().read(true).append(true).create(true).mode(0o640).open(path)?;
            complete_last_record(&mut file, self.place.record_end)?;
            match link(path, &self.logs.join(self.place.folder).join(self.place.link)) {
                // Renamed between the two steps: there is another one to be made.
                Err(error) if error.kind() == io::ErrorKind::NotFound && !leads_to(path, &file) => {
                }
                linked => return linked.map(|()| file),
            }
        }
    }
}

/// Points the fixed name to today's file, without a moment in which it does not exist.
fn link(today: &Path, fixed: &Path) -> io::Result<()> {
    if let (Ok(a), Ok(b)) = (fs::metadata(today), fs::symlink_metadata(fixed))
        && (a.dev(), a.ino()) == (b.dev(), b.ino())
    {
        return Ok(());
    }
    let fresh = fixed.with_extension("new");
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::hard_link(today, &fresh)?;
    fs::rename(&fresh, fixed)
}

/// Somebody deleted the file under us: what is written to it now would be lost.
fn is_removed(file: &File) -> bool {
    file.metadata().is_ok_and(|meta| meta.nlink() == 0)
}

/// Whether the name still means this file, and nobody has put another in its place.
fn leads_to(path: &Path, file: &File) -> bool {
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    }
}

/// A killed process may have left half a record; the next one must not be glued to it.
fn complete_last_record(file: &mut File, record_end: &[u8]) -> io::Result<()> {
    let length = file.metadata()?.len();
    if length == 0 {
        return Ok(());
    }
    let take = (record_end.len() as u64).min(length);
    file.seek(SeekFrom::End(-(take as i64)))?;
    let mut tail = Vec::new();
    file.take(take).read_to_end(&mut tail)?;
    if tail == record_end {
        return Ok(());
    }
    let missing = if tail.last() == Some(&b'\n') { &record_end[1..] } else { record_end };
    file.write_all(missing)
}

/// An output could not be written.
#[derive(Debug)]
pub(crate) struct WriteError {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

impl std::fmt::Display for WriteError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "'{}' could not be written: {}", self.path.display(), self.source)
    }
}

impl std::error::Error for WriteError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    const DAY_ONE: i64 = 1_700_000_000;

    fn write(file: &mut DailyFile, epoch: i64, text: &[u8]) {
        file.waiting().extend_from_slice(text);
        file.flush(&Moment::utc(epoch)).unwrap();
    }

    #[test]
    fn the_fixed_name_follows_the_day() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = DailyFile::new(dir.path(), ALERTS_LOG);
        write(&mut file, DAY_ONE, b"one\n\n");
        let fixed = dir.path().join("alerts/alerts.log");
        assert_eq!(fs::read(&fixed).unwrap(), b"one\n\n");
        assert_eq!(
            fs::metadata(dir.path().join("alerts/2023/Nov/ossec-alerts-14.log")).unwrap().nlink(),
            2
        );
        write(&mut file, DAY_ONE + 86_400, b"two\n\n");
        assert_eq!(fs::read(&fixed).unwrap(), b"two\n\n");
        assert_eq!(
            fs::read(dir.path().join("alerts/2023/Nov/ossec-alerts-14.log")).unwrap(),
            b"one\n\n"
        );
        assert_eq!(
            fs::read(dir.path().join("alerts/2023/Nov/ossec-alerts-15.log")).unwrap(),
            b"two\n\n"
        );
    }

    #[test]
    fn half_a_record_of_a_killed_process_is_closed() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = DailyFile::new(dir.path(), ALERTS_LOG);
        write(&mut file, DAY_ONE, b"** Alert 1\nhalf");
        drop(file);
        let mut file = DailyFile::new(dir.path(), ALERTS_LOG);
        write(&mut file, DAY_ONE, b"** Alert 2\n\n");
        let all = fs::read(dir.path().join("alerts/alerts.log")).unwrap();
        assert_eq!(all, b"** Alert 1\nhalf\n\n** Alert 2\n\n");
    }

    #[test]
    fn a_deleted_file_is_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = DailyFile::new(dir.path(), ALERTS_JSON);
        write(&mut file, DAY_ONE, b"{}\n");
        fs::remove_dir_all(dir.path().join("alerts")).unwrap();
        write(&mut file, DAY_ONE, b"{1}\n");
        assert_eq!(fs::read(dir.path().join("alerts/alerts.json")).unwrap(), b"{1}\n");
    }

    /// As if more than a second had passed since the name was looked at.
    fn age(file: &mut DailyFile) {
        let open = file.open.as_mut().unwrap();
        open.checked = open.checked.checked_sub(CHECK_INTERVAL).unwrap();
    }

    #[test]
    fn a_renamed_file_is_left_and_a_new_one_begun() {
        let dir = tempfile::tempdir().unwrap();
        let day = dir.path().join("alerts/2023/Nov");
        let mut file = DailyFile::new(dir.path(), ALERTS_LOG);
        write(&mut file, DAY_ONE, b"one\n\n");
        fs::rename(day.join("ossec-alerts-14.log"), day.join("ossec-alerts-14-1.log")).unwrap();
        write(&mut file, DAY_ONE, b"two\n\n");
        age(&mut file);
        write(&mut file, DAY_ONE, b"three\n\n");
        assert_eq!(fs::read(day.join("ossec-alerts-14-1.log")).unwrap(), b"one\n\ntwo\n\n");
        assert_eq!(fs::read(day.join("ossec-alerts-14.log")).unwrap(), b"three\n\n");
        assert_eq!(fs::read(dir.path().join("alerts/alerts.log")).unwrap(), b"three\n\n");
    }

    #[test]
    fn a_begun_record_ends_in_the_file_where_it_began() {
        let dir = tempfile::tempdir().unwrap();
        let day = dir.path().join("alerts/2023/Nov");
        let mut file = DailyFile::new(dir.path(), ALERTS_LOG);
        write(&mut file, DAY_ONE, b"one\n\n");
        // As a full disk leaves it: half of the record is in the file.
        append(&day.join("ossec-alerts-14.log"), b"tw");
        file.waiting().extend_from_slice(b"two\n\n");
        file.written = 2;
        fs::rename(day.join("ossec-alerts-14.log"), day.join("ossec-alerts-14-1.log")).unwrap();
        age(&mut file);
        file.flush(&Moment::utc(DAY_ONE + 86_400)).unwrap();
        assert_eq!(fs::read(day.join("ossec-alerts-14-1.log")).unwrap(), b"one\n\ntwo\n\n");
        assert!(!day.join("ossec-alerts-15.log").exists());
    }

    #[test]
    fn a_begun_record_is_written_again_when_its_file_was_removed() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = DailyFile::new(dir.path(), ALERTS_LOG);
        write(&mut file, DAY_ONE, b"one\n\n");
        file.waiting().extend_from_slice(b"two\n\n");
        file.written = 2;
        fs::remove_dir_all(dir.path().join("alerts")).unwrap();
        file.flush(&Moment::utc(DAY_ONE)).unwrap();
        assert_eq!(fs::read(dir.path().join("alerts/alerts.log")).unwrap(), b"two\n\n");
    }

    #[test]
    fn no_record_is_torn_or_lost_while_another_renames() {
        const RECORDS: usize = 2_000;
        let dir = tempfile::tempdir().unwrap();
        let day = dir.path().join("alerts/2023/Nov");
        let mut file = DailyFile::new(dir.path(), ALERTS_JSON);
        write(&mut file, DAY_ONE, b"begin\n");
        let base = day.join("ossec-alerts-14.json");
        let (parts, done) = (AtomicUsize::new(0), AtomicBool::new(false));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let part = day.join(format!(
                        "ossec-alerts-14-{}.json",
                        parts.load(Ordering::Relaxed) + 1
                    ));
                    parts
                        .fetch_add(usize::from(fs::rename(&base, part).is_ok()), Ordering::Relaxed);
                    std::thread::yield_now();
                }
            });
            // A file that is renamed while it is opened is an error, which the judge meets by trying again.
            let flush = |file: &mut DailyFile| {
                let mut tries = (0..100).map(|_| file.flush(&Moment::utc(DAY_ONE)));
                tries.find(Result::is_ok).unwrap_or_else(|| file.flush(&Moment::utc(DAY_ONE)))
            };
            let written = (0..RECORDS).try_for_each(|n| {
                // The other thread has its turns, however busy the machine is.
                while n % (RECORDS / 4) == 0 && parts.load(Ordering::Relaxed) < n / (RECORDS / 4) {
                    std::thread::yield_now();
                }
                age(&mut file);
                file.waiting().extend_from_slice(format!("{n}\n").as_bytes());
                flush(&mut file)
            });
            done.store(true, Ordering::Relaxed);
            written.unwrap();
        });
        assert!(parts.load(Ordering::Relaxed) > 1);
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&day).unwrap() {
            let text = fs::read_to_string(entry.unwrap().path()).unwrap();
            assert!(text.is_empty() || text.ends_with('\n'));
            numbers.extend(
                text.lines().filter(|line| *line != "begin").map(|n| n.parse::<usize>().unwrap()),
            );
        }
        numbers.sort_unstable();
        assert_eq!(numbers, (0..RECORDS).collect::<Vec<_>>());
    }

    fn append(path: &Path, bytes: &[u8]) {
        OpenOptions::new().append(true).open(path).unwrap().write_all(bytes).unwrap();
    }

    #[test]
    fn what_could_not_be_written_waits_and_is_written_once() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("alerts"), "in the way").unwrap();
        let mut file = DailyFile::new(dir.path(), ALERTS_LOG);
        file.waiting().extend_from_slice(b"one\n\n");
        let error = file.flush(&Moment::utc(DAY_ONE)).unwrap_err();
        assert!(error.to_string().contains("ossec-alerts-14.log"), "{error}");
        fs::remove_file(dir.path().join("alerts")).unwrap();
        file.flush(&Moment::utc(DAY_ONE)).unwrap();
        assert!(file.waiting().is_empty());
        assert_eq!(fs::read(dir.path().join("alerts/alerts.log")).unwrap(), b"one\n\n");
    }
}
