//! Tells which files grew and in which folders names came or went, by inotify: idle files cost nothing.
//!
//! Files are watched by their descriptor, so that a renamed one is still heard of; folders by their path.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};

use inotify::{EventMask, Inotify, WatchDescriptor, WatchMask, Watches};

/// A watched path, by its number in the collector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct WatchId(pub u32);

/// Something happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Notice {
    /// A file of this watch was written, truncated, renamed or deleted.
    File(WatchId),
    /// A name came or went in a folder.
    Folder {
        /// The folder.
        path: PathBuf,
        /// The name; empty when it is the folder itself that went.
        name: OsString,
    },
    /// Too much happened at once, look everywhere.
    Overflow,
}

/// The inotify instance, and what its watches mean.
pub(crate) struct Notices {
    inotify: Inotify,
    watches: Watches,
    files: HashMap<WatchDescriptor, Vec<WatchId>>,
    folders: HashMap<WatchDescriptor, PathBuf>,
    by_path: HashMap<PathBuf, WatchDescriptor>,
    complained: bool,
}

impl Notices {
    /// # Errors
    /// No inotify instance is to be had (`fs.inotify.max_user_instances`).
    pub(crate) fn new() -> io::Result<Self> {
        let inotify = Inotify::init()?;
        let watches = inotify.watches();
        let (files, folders, by_path) = (HashMap::new(), HashMap::new(), HashMap::new());
        Ok(Self { inotify, watches, files, folders, by_path, complained: false })
    }

    /// Watches an open file for `id`. Without a watch, the regular re-scan finds what is new.
    pub(crate) fn watch_file(&mut self, file: &File, path: &Path, id: WatchId) {
        let mask =
            WatchMask::MODIFY | WatchMask::MOVE_SELF | WatchMask::DELETE_SELF | WatchMask::ATTRIB;
        let by_descriptor = format!("/proc/self/fd/{}", file.as_raw_fd());
        let added = self.watches.add(by_descriptor, mask).or_else(|_| self.watches.add(path, mask));
        match added {
            Ok(descriptor) => {
                let ids = self.files.entry(descriptor).or_default();
                if !ids.contains(&id) {
                    ids.push(id);
                }
            }
            Err(error) => self.complain(path, &error),
        }
    }

    /// Watches a folder, if it exists. Says whether it was not watched before: then what happened in it up to now was
    /// not heard of.
    pub(crate) fn watch_folder(&mut self, path: &Path) -> bool {
        if self.by_path.contains_key(path) {
            return false;
        }
        let mask = WatchMask::CREATE
            | WatchMask::MOVED_TO
            | WatchMask::MOVED_FROM
            | WatchMask::DELETE
            | WatchMask::DELETE_SELF
            | WatchMask::MOVE_SELF
            | WatchMask::ONLYDIR;
        match self.watches.add(path, mask) {
            Ok(descriptor) => {
                self.by_path.insert(path.to_owned(), descriptor.clone());
                self.folders.insert(descriptor, path.to_owned());
                return true;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => self.complain(path, &error),
        }
        false
    }

    fn complain(&mut self, path: &Path, error: &io::Error) {
        if !self.complained {
            self.complained = true;
            log::warn!(
                "{}: changes cannot be heard of ({error}), it is looked at once a minute; for many files raise fs.inotify.max_user_watches \
                 (said once)",
                path.display()
            );
        }
    }

    /// Forgets a watch id; its files are not heard of any more.
    pub(crate) fn forget(&mut self, id: WatchId) {
        let mut unused = Vec::new();
        for (descriptor, ids) in &mut self.files {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                unused.push(descriptor.clone());
            }
        }
        for descriptor in unused {
            self.files.remove(&descriptor);
            // It may be gone already, with its file.
            let _ = self.watches.remove(descriptor);
        }
    }

    /// What happened since the last call, without waiting; each thing once.
    pub(crate) fn take(&mut self) -> Vec<Notice> {
        let mut notices = Vec::new();
        let mut buffer = [0; 16 << 10];
        // Bounded, so that a busy folder does not keep the collector from its files.
        for _ in 0..16 {
            let events: Vec<_> = match self.inotify.read_events(&mut buffer) {
                Ok(events) => events.map(|event| event.to_owned()).collect(),
                Err(_) => break,
            };
            if events.is_empty() {
                break;
            }
            for event in events {
                self.understand(&event, &mut notices);
            }
        }
        notices
    }

    fn understand(&mut self, event: &inotify::Event<OsString>, notices: &mut Vec<Notice>) {
        let mut add = |notice| {
            if !notices.contains(&notice) || notices.len() > 64 {
                notices.push(notice);
            }
        };
        if event.mask.contains(EventMask::Q_OVERFLOW) {
            return add(Notice::Overflow);
        }
        if let Some(ids) = self.files.get(&event.wd) {
            ids.iter().for_each(|&id| add(Notice::File(id)));
        }
        if let Some(path) = self.folders.get(&event.wd) {
            add(Notice::Folder {
                path: path.clone(),
                name: event.name.clone().unwrap_or_default(),
            });
        }
        let gone = EventMask::IGNORED | EventMask::MOVE_SELF;
        if event.mask.intersects(gone) {
            self.drop_folder(&event.wd, event.mask.contains(EventMask::IGNORED));
        }
        if event.mask.contains(EventMask::IGNORED) {
            self.files.remove(&event.wd);
        }
    }

    /// A folder that went away or bears another name is not the one that was meant.
    fn drop_folder(&mut self, descriptor: &WatchDescriptor, ignored: bool) {
        if let Some(path) = self.folders.remove(descriptor) {
            self.by_path.remove(&path);
            if !ignored {
                let _ = self.watches.remove(descriptor.clone());
            }
        }
    }
}

impl AsFd for Notices {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Write;

    #[test]
    fn a_renamed_file_is_still_heard_of() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut file = File::create(&path).unwrap();
        let mut notices = Notices::new().unwrap();
        notices.watch_file(&file, &path, WatchId(1));
        fs::rename(&path, dir.path().join("log.1")).unwrap();
        notices.take();
        file.write_all(b"late\n").unwrap();
        assert_eq!(notices.take(), [Notice::File(WatchId(1))]);
        notices.forget(WatchId(1));
        file.write_all(b"later\n").unwrap();
        assert_eq!(notices.take(), []);
    }

    #[test]
    fn names_that_come_and_go_are_heard_of() {
        let dir = tempfile::tempdir().unwrap();
        let mut notices = Notices::new().unwrap();
        notices.watch_folder(dir.path());
        notices.watch_folder(dir.path());
        fs::write(dir.path().join("new"), "").unwrap();
        assert_eq!(
            notices.take(),
            [Notice::Folder { path: dir.path().to_owned(), name: "new".into() }]
        );
    }
}
