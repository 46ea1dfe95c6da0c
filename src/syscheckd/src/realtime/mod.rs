//! Realtime: which folders the kernel watches for us, what its events mean for paths, and who caused them.
//!
//! The worker adds a folder's watch before it reads the folder, so that there is no gap; the owner reads the events. An event says only
//! that a path is worth a look, never what happened: [`Settling`] waits until the path has been quiet for a moment, and then it is looked at.
//! For each folder the best source wins: [`fanotify`] names the process too, where it is permitted and the file system has file handles;
//! [`inotify`] needs neither.
//! Either may lose events when the kernel's queue is full: then the folders are scanned again.

mod fanotify;
mod inotify;
pub mod settling;

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ::inotify::Inotify;
use sys::fanotify::Fanotify;

pub use fanotify::watch_mounts;
pub use settling::Settling;

/// The folders that are watched. The mutex guards the table together with the adding of watches, so that an event never
/// comes from a folder that the table does not know yet.
#[derive(Clone)]
pub struct WatchTable(Arc<Mutex<Table>>);

struct Table {
    inotify: inotify::Table,
    fanotify: Option<fanotify::Table>,
    refused: u64,
}

/// What an event says.
#[derive(Debug, PartialEq, Eq)]
pub enum Touched {
    /// Something about this path changed.
    Path {
        /// The file or folder.
        path: Vec<u8>,
        /// It is being written to, and was not closed yet.
        busy: bool,
    },
    /// A folder was deleted or moved away.
    FolderGone(Vec<u8>),
    /// Events were lost.
    Overflow,
}

/// The kernel's event queues.
pub struct Realtime {
    inotify: Inotify,
    group: Option<Arc<Fanotify>>,
    table: WatchTable,
    buffer: Vec<u8>,
}

impl Realtime {
    /// Event queues without watches; with this group, when there is one.
    ///
    /// # Errors
    /// When the system has no more of them (`fs.inotify.max_user_instances`).
    pub fn new(group: Option<&Arc<Fanotify>>) -> io::Result<Self> {
        let inotify = Inotify::init()?;
        if let Some(group) = group {
            group.clear()?;
        }
        let table = Table {
            inotify: inotify::Table::new(inotify.watches()),
            fanotify: group.cloned().map(fanotify::Table::new),
            refused: 0,
        };
        let table = WatchTable(Arc::new(Mutex::new(table)));
        Ok(Self { inotify, group: group.cloned(), table, buffer: vec![0; 1 << 16] })
    }

    /// The watched folders.
    pub fn table(&self) -> WatchTable {
        self.table.clone()
    }

    /// Readable when something has come.
    pub fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let group = self.group.as_ref().map(|group| group.as_fd());
        group.into_iter().chain([self.inotify.as_fd()])
    }

    /// Reads what has come, up to a buffer full of each source; empty when there is nothing (more). `who` is told of each path that a
    /// process touched, while that process may still be there to be asked; it is never told by a source that doesn't know.
    pub fn read(&mut self, who: impl FnMut(&[u8], u32)) -> Vec<Touched> {
        let mut touched = Vec::new();
        let lost = |error: io::Error| match error.kind() {
            io::ErrorKind::WouldBlock => None,
            _ => {
                log::error!("Unable to read real time events: {error}. Scanning again.");
                Some(Touched::Overflow)
            }
        };
        let Self { inotify, group, table, buffer } = self;
        let mut table = table.lock();
        let Table { inotify: folders, fanotify: handles, .. } = &mut *table;
        if let (Some(group), Some(handles)) = (group, handles) {
            match group.read(buffer) {
                Ok(read) => handles.meanings(read, &mut touched, who),
                Err(error) => touched.extend(lost(error)),
            }
        }
        match inotify.read_events(buffer) {
            Ok(events) => touched.extend(events.filter_map(|event| folders.meaning(&event))),
            Err(error) => touched.extend(lost(error)),
        }
        touched
    }
}

impl WatchTable {
    /// Watches a folder; watching it again is no harm. What cannot be watched is counted, and said the first time.
    pub fn watch(&self, folder: &[u8]) {
        let mut table = self.lock();
        let Table { inotify, fanotify, .. } = &mut *table;
        // Not every file system has what fanotify needs.
        let watched = match fanotify.as_mut().map(|handles| handles.watch(folder)) {
            Some(Ok(())) => Ok(()),
            _ => inotify.watch(folder),
        };
        let Err(error) = watched else { return };
        // Gone meanwhile: its own folder's events tell.
        if crate::look::is_gone(&error) {
            return;
        }
        table.refused += 1;
        if table.refused == 1 {
            let folder = String::from_utf8_lossy(folder);
            log::error!(
                "Unable to add directory to real time monitoring: '{folder}'. {error}. Its changes \
                 are found by scans only; further ones are counted. If there is no space left, \
                 raise fs.inotify.max_user_watches (sysctl)."
            );
        }
    }

    /// How many folders are watched, and how many could not be.
    pub fn counts(&self) -> (u64, u64) {
        let table = self.lock();
        let handles = table.fanotify.as_ref().map_or(0, fanotify::Table::len);
        let watched = table.inotify.len() + handles;
        (watched as u64, table.refused)
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
