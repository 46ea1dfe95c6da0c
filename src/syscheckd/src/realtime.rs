//! Realtime: which folders the kernel watches for us, and what its events mean for paths.
//!
//! The worker adds a folder's watch before it reads the folder, so that there is no gap; the owner reads the events. inotify
//! names a folder by a number; the table from number to path is shared by the two, see [`WatchTable`]. An event says only that a path is
//! worth a look, never what happened: [`Settling`] waits until the path has been quiet for a moment, and then it is looked at.
//! inotify(7): events may be lost when the kernel's queue is full (`IN_Q_OVERFLOW`): then the folders are scanned again.

use std::collections::{HashMap, VecDeque};
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use inotify::{EventMask, Inotify, WatchDescriptor, WatchMask, Watches};

use crate::plan::{is_below, join};

/// How long a path must be quiet before it is looked at.
pub const QUIET: Duration = Duration::from_millis(100);

/// A path that is never quiet is looked at nevertheless, this long after its first event.
pub const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// Paths that wait at a time; more are an overflow.
pub const MAX_SETTLING: usize = 65_536;

/// The folders that are watched. The mutex guards the table together with the adding of watches, so that an event never
/// comes with a number that the table does not know yet.
#[derive(Clone)]
pub struct WatchTable(Arc<Mutex<Table>>);

struct Table {
    watches: Watches,
    paths: HashMap<i32, (WatchDescriptor, Vec<u8>)>,
    refused: u64,
}

/// What an event says.
#[derive(Debug, PartialEq, Eq)]
pub enum Touched {
    /// Something about this path changed.
    Path(Vec<u8>),
    /// A folder was deleted or moved away.
    FolderGone(Vec<u8>),
    /// Events were lost.
    Overflow,
}

/// The kernel's event queue.
pub struct Realtime {
    inotify: Inotify,
    table: WatchTable,
    buffer: Vec<u8>,
}

impl Realtime {
    /// An event queue without watches.
    ///
    /// # Errors
    /// When the system has no more of them (`fs.inotify.max_user_instances`).
    pub fn new() -> io::Result<Self> {
        let inotify = Inotify::init()?;
        let table = Table { watches: inotify.watches(), paths: HashMap::new(), refused: 0 };
        let table = WatchTable(Arc::new(Mutex::new(table)));
        Ok(Self { inotify, table, buffer: vec![0; 1 << 16] })
    }

    /// The watched folders.
    pub fn table(&self) -> WatchTable {
        self.table.clone()
    }

    /// Reads what has come, up to a buffer full; empty when there is nothing (more).
    pub fn read(&mut self) -> Vec<Touched> {
        let events = match self.inotify.read_events(&mut self.buffer) {
            Ok(events) => events,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Vec::new(),
            Err(error) => {
                log::error!("Unable to read real time events: {error}. Scanning again.");
                return vec![Touched::Overflow];
            }
        };
        let mut table = self.table.lock();
        events.filter_map(|event| table.meaning(&event.wd, event.mask, event.name)).collect()
    }
}

impl AsFd for Realtime {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

impl WatchTable {
    /// Watches a folder; watching it again is no harm. What cannot be watched is counted, and said the first time.
    pub fn watch(&self, folder: &[u8]) {
        let mut table = self.lock();
        let mask = WatchMask::MODIFY
            | WatchMask::CLOSE_WRITE
            | WatchMask::ATTRIB
            | WatchMask::CREATE
            | WatchMask::DELETE
            | WatchMask::DELETE_SELF
            | WatchMask::MOVED_FROM
            | WatchMask::MOVED_TO
            | WatchMask::EXCL_UNLINK
            | WatchMask::ONLYDIR;
        match table.watches.add(OsStr::from_bytes(folder), mask) {
            Ok(watch) => {
                let number = watch.get_watch_descriptor_id();
                table.paths.insert(number, (watch, folder.to_vec()));
            }
            // Gone meanwhile: its own folder's events tell.
            Err(error) if crate::look::is_gone(&error) => {}
            Err(error) => {
                table.refused += 1;
                if table.refused == 1 {
                    let folder = String::from_utf8_lossy(folder);
                    log::error!(
                        "Unable to add directory to real time monitoring: '{folder}'. {error}. \
                         Its changes are found by scans only; further ones are counted. If there \
                         is no space left, raise fs.inotify.max_user_watches (sysctl)."
                    );
                }
            }
        }
    }

    /// How many folders are watched, and how many could not be.
    pub fn counts(&self) -> (u64, u64) {
        let table = self.lock();
        (table.paths.len() as u64, table.refused)
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn meaning(
        &mut self,
        watch: &WatchDescriptor,
        mask: EventMask,
        name: Option<&OsStr>,
    ) -> Option<Touched> {
        if mask.contains(EventMask::Q_OVERFLOW) {
            return Some(Touched::Overflow);
        }
        let number = watch.get_watch_descriptor_id();
        if mask.contains(EventMask::IGNORED) {
            self.paths.remove(&number);
            return None;
        }
        let folder = &self.paths.get(&number)?.1;
        let Some(name) = name else {
            let gone = mask.intersects(EventMask::DELETE_SELF | EventMask::UNMOUNT);
            return gone.then(|| Touched::FolderGone(folder.clone()));
        };
        let path = join(folder, name.as_bytes());
        let is_folder = mask.contains(EventMask::ISDIR);
        if is_folder && mask.intersects(EventMask::DELETE | EventMask::MOVED_FROM) {
            self.unwatch(&path);
            return Some(Touched::FolderGone(path));
        }
        let matters = !is_folder || mask.intersects(EventMask::CREATE | EventMask::MOVED_TO);
        matters.then_some(Touched::Path(path))
    }

    /// A folder that moved away is still watched, under a path that is no longer its own; so is what is below it.
    fn unwatch(&mut self, folder: &[u8]) {
        let stale = |path: &[u8]| path == folder || is_below(folder, path);
        let numbers: Vec<i32> =
            self.paths.iter().filter(|(_, (_, path))| stale(path)).map(|(n, _)| *n).collect();
        for number in numbers {
            if let Some((watch, _)) = self.paths.remove(&number) {
                // A deleted folder's watch is gone already.
                let _ = self.watches.remove(watch);
            }
        }
    }
}

/// Paths that had events and are waited for until they are quiet. Pure: told what time it is.
#[derive(Debug, Default)]
pub struct Settling {
    events: HashMap<Vec<u8>, Times>,
    queue: VecDeque<(Instant, Vec<u8>)>,
}

#[derive(Debug)]
struct Times {
    first: Instant,
    last: Instant,
}

impl Settling {
    /// Notes an event; false when too many paths wait already.
    #[must_use]
    pub fn touch(&mut self, path: Vec<u8>, now: Instant) -> bool {
        if let Some(times) = self.events.get_mut(&path) {
            times.last = now;
            return true;
        }
        if self.events.len() >= MAX_SETTLING {
            return false;
        }
        self.events.insert(path.clone(), Times { first: now, last: now });
        self.queue.push_back((now + QUIET, path));
        true
    }

    /// Takes a path that has been quiet, or has waited long enough.
    pub fn take(&mut self, now: Instant) -> Option<Vec<u8>> {
        loop {
            if self.next_due()? > now {
                return None;
            }
            let (_, path) = self.queue.pop_front()?;
            let times = self.events.get(&path)?;
            let due = (times.last + QUIET).min(times.first + LONGEST_WAIT);
            if due <= now {
                self.events.remove(&path);
                return Some(path);
            }
            self.queue.push_back((due, path));
        }
    }

    /// When to call [`Self::take`] again; may be a little early.
    pub fn next_due(&self) -> Option<Instant> {
        self.queue.front().map(|(due, _)| *due)
    }

    /// How many paths wait.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Forgets all of them.
    pub fn clear(&mut self) {
        self.events.clear();
        self.queue.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_path_is_taken_once_it_is_quiet() {
        let start = Instant::now();
        let mut settling = Settling::default();
        for millisecond in [0, 50, 140] {
            assert!(settling.touch(b"/a".to_vec(), start + millisecond * MS));
            assert_eq!(settling.take(start + millisecond * MS), None);
        }
        assert_eq!(settling.take(start + 239 * MS), None);
        assert_eq!(settling.take(start + 240 * MS), Some(b"/a".to_vec()));
        assert!(settling.is_empty() && settling.next_due().is_none());
    }

    #[test]
    fn a_path_that_is_never_quiet_is_taken_after_the_longest_wait() {
        let start = Instant::now();
        let mut settling = Settling::default();
        let mut taken = Vec::new();
        for millisecond in 0..1500 {
            assert!(settling.touch(b"/a".to_vec(), start + millisecond * MS));
            taken.extend(settling.take(start + millisecond * MS).map(|_| millisecond));
        }
        assert_eq!(taken, [1000]);
    }

    #[test]
    fn too_many_paths_are_an_overflow() {
        let start = Instant::now();
        let mut settling = Settling::default();
        for number in 0..MAX_SETTLING {
            assert!(settling.touch(number.to_le_bytes().to_vec(), start));
        }
        assert!(!settling.touch(b"/one/more".to_vec(), start));
    }

    #[test]
    fn events_name_the_path() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().as_os_str().as_bytes();
        let mut realtime = Realtime::new().unwrap();
        realtime.table().watch(root);

        fs::create_dir(folder.path().join("sub")).unwrap();
        fs::rename(folder.path().join("sub"), folder.path().join("other")).unwrap();

        assert_eq!(
            realtime.read(),
            [
                Touched::Path(join(root, b"sub")),
                Touched::FolderGone(join(root, b"sub")),
                Touched::Path(join(root, b"other")),
            ]
        );
    }

    #[test]
    fn a_folder_that_moved_away_is_no_longer_watched() {
        let folder = tempfile::tempdir().unwrap();
        let (inside, outside) = (folder.path().join("in"), folder.path().join("out"));
        fs::create_dir_all(inside.join("sub/deep")).unwrap();
        fs::create_dir(&outside).unwrap();
        let mut realtime = Realtime::new().unwrap();
        for path in ["in", "in/sub", "in/sub/deep"] {
            realtime.table().watch(folder.path().join(path).as_os_str().as_bytes());
        }

        fs::rename(inside.join("sub"), outside.join("sub")).unwrap();
        assert_eq!(realtime.read().len(), 1);
        fs::write(outside.join("sub/deep/file"), "x").unwrap();

        assert_eq!(realtime.read(), []);
        assert_eq!(realtime.table().counts(), (1, 0));
    }

    #[test]
    fn a_deleted_watched_folder_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        fs::create_dir(&root).unwrap();
        let mut realtime = Realtime::new().unwrap();
        realtime.table().watch(root.as_os_str().as_bytes());

        fs::remove_dir(&root).unwrap();

        assert_eq!(realtime.read(), [Touched::FolderGone(root.as_os_str().as_bytes().to_vec())]);
        assert_eq!(realtime.table().counts(), (0, 0));
    }
}
