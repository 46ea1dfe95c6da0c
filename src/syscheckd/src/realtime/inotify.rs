//! Watches of inotify(7): one number a folder. Needs no privilege; does not say who did it.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;

use inotify::{Event, EventMask, WatchDescriptor, WatchMask, Watches};

use super::Touched;
use crate::plan::{is_below, join};

/// The watched folders by the number that the kernel gave.
pub(super) struct Table {
    watches: Watches,
    paths: HashMap<i32, (WatchDescriptor, Vec<u8>)>,
}

impl Table {
    pub(super) fn new(watches: Watches) -> Self {
        Self { watches, paths: HashMap::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.paths.len()
    }

    pub(super) fn watch(&mut self, folder: &[u8]) -> io::Result<()> {
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
        let watch = self.watches.add(OsStr::from_bytes(folder), mask)?;
        let number = watch.get_watch_descriptor_id();
        self.paths.insert(number, (watch, folder.to_vec()));
        Ok(())
    }

    pub(super) fn meaning(&mut self, event: &Event<&OsStr>) -> Option<Touched> {
        let mask = event.mask;
        if mask.contains(EventMask::Q_OVERFLOW) {
            return Some(Touched::Overflow);
        }
        let number = event.wd.get_watch_descriptor_id();
        if mask.contains(EventMask::IGNORED) {
            self.paths.remove(&number);
            return None;
        }
        let folder = &self.paths.get(&number)?.1;
        let Some(name) = event.name else {
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
        let busy = mask.contains(EventMask::MODIFY);
        matters.then_some(Touched::Path { path, busy })
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
