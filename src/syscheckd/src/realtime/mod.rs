//! Realtime: which folders the kernel watches for us, what its events mean for paths, and who caused them.
//!
//! The worker adds a folder's watch before it reads the folder, so that there is no gap; the owner reads the events. An event says only
//! that a path is worth a look, never what happened: [`Settling`] waits until the path has been quiet for a moment, and then it is looked at.
//! The best source that is permitted wins: [`fanotify`] names the process too, [`inotify`] needs no privilege.
//! Either may lose events when the kernel's queue is full: then the folders are scanned again.

mod fanotify;
mod inotify;
pub mod settling;

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ::inotify::Inotify;
use sys::fanotify::{Fanotify, events};

pub use settling::Settling;

/// The folders that are watched. The mutex guards the table together with the adding of watches, so that an event never
/// comes from a folder that the table does not know yet.
#[derive(Clone)]
pub struct WatchTable(Arc<Mutex<Table>>);

struct Table {
    kind: Kind,
    refused: u64,
}

enum Kind {
    Inotify(inotify::Table),
    Fanotify(fanotify::Table),
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

impl Touched {
    fn path(&self) -> Option<&[u8]> {
        match self {
            Self::Path { path, .. } => Some(path),
            _ => None,
        }
    }
}

/// The kernel's event queue.
pub struct Realtime {
    source: Source,
    table: WatchTable,
    buffer: Vec<u8>,
}

enum Source {
    Inotify(Inotify),
    Fanotify(Arc<Fanotify>),
}

impl Realtime {
    /// An event queue without watches: on this group, when there is one.
    ///
    /// # Errors
    /// When the system has no more of them (`fs.inotify.max_user_instances`).
    pub fn new(group: Option<&Arc<Fanotify>>) -> io::Result<Self> {
        let (source, kind) = match group {
            Some(group) => {
                group.clear()?;
                let table = fanotify::Table::new(group.clone());
                (Source::Fanotify(group.clone()), Kind::Fanotify(table))
            }
            None => {
                let inotify = Inotify::init()?;
                let table = inotify::Table::new(inotify.watches());
                (Source::Inotify(inotify), Kind::Inotify(table))
            }
        };
        let table = WatchTable(Arc::new(Mutex::new(Table { kind, refused: 0 })));
        Ok(Self { source, table, buffer: vec![0; 1 << 16] })
    }

    /// The watched folders.
    pub fn table(&self) -> WatchTable {
        self.table.clone()
    }

    /// Reads what has come, up to a buffer full; empty when there is nothing (more). `who` is told of each path that a process touched,
    /// while that process may still be there to be asked; it is never told by a source that doesn't know.
    pub fn read(&mut self, mut who: impl FnMut(&[u8], u32)) -> Vec<Touched> {
        let Self { source, table, buffer } = self;
        let mut table = table.lock();
        let read = match (source, &mut table.kind) {
            (Source::Inotify(inotify), Kind::Inotify(table)) => inotify
                .read_events(buffer)
                .map(|events| events.filter_map(|event| table.meaning(&event)).collect()),
            (Source::Fanotify(group), Kind::Fanotify(table)) => group.read(buffer).map(|read| {
                let mut touched = Vec::new();
                for event in events(read) {
                    let from = touched.len();
                    table.meaning(&event, &mut touched);
                    let paths = touched.get(from..).unwrap_or_default().iter();
                    for path in paths.filter(|_| event.pid != 0).filter_map(Touched::path) {
                        who(path, event.pid);
                    }
                }
                touched
            }),
            _ => Ok(Vec::new()),
        };
        read.unwrap_or_else(|error: io::Error| match error.kind() {
            io::ErrorKind::WouldBlock => Vec::new(),
            _ => {
                log::error!("Unable to read real time events: {error}. Scanning again.");
                vec![Touched::Overflow]
            }
        })
    }
}

impl AsFd for Realtime {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.source {
            Source::Inotify(inotify) => inotify.as_fd(),
            Source::Fanotify(group) => (**group).as_fd(),
        }
    }
}

impl WatchTable {
    /// Watches a folder; watching it again is no harm. What cannot be watched is counted, and said the first time.
    pub fn watch(&self, folder: &[u8]) {
        let mut table = self.lock();
        let (watched, remedy) = match &mut table.kind {
            Kind::Inotify(table) => {
                (table.watch(folder), "raise fs.inotify.max_user_watches (sysctl)")
            }
            Kind::Fanotify(table) => {
                (table.watch(folder), "raise fs.fanotify.max_user_marks (sysctl)")
            }
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
                 {remedy}."
            );
        }
    }

    /// How many folders are watched, and how many could not be.
    pub fn counts(&self) -> (u64, u64) {
        let table = self.lock();
        let watched = match &table.kind {
            Kind::Inotify(table) => table.len(),
            Kind::Fanotify(table) => table.len(),
        };
        (watched as u64, table.refused)
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
