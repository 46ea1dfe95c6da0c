//! Watches of fanotify(7): folders go by their file handles, and each event names the process. Needs privileges at the start.
//!
//! A folder that is a mount point has its whole file system watched by one mark; the folders on it have only to be known by name.

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use sys::fanotify::{Event, Fanotify, FolderId, events, id};

use super::Touched;
use crate::look::open_root;
use crate::plan::{is_below, join, split};

/// The watched folders by the name that the kernel calls them.
pub(super) struct Table {
    group: Arc<Fanotify>,
    paths: HashMap<FolderId, Vec<u8>>,
    /// Devices of file systems that are watched as a whole.
    whole: HashSet<u64>,
}

impl Table {
    pub(super) fn new(group: Arc<Fanotify>) -> Self {
        Self { group, paths: HashMap::new(), whole: HashSet::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.paths.len()
    }

    pub(super) fn watch(&mut self, folder: &[u8]) -> io::Result<()> {
        let opened = open_root(folder)?;
        let device = device(opened.as_fd())?;
        if is_mount_point(folder, device)
            && !self.whole.contains(&device)
            && self.group.watch_file_system(opened.as_fd()).is_ok()
        {
            self.whole.insert(device);
        }
        let id = match self.whole.contains(&device) {
            true => id(opened.as_fd())?,
            false => self.group.watch(opened.as_fd())?,
        };
        self.paths.insert(id, folder.to_vec());
        Ok(())
    }

    /// What was read means; `who` is told of each path and the process that touched it.
    pub(super) fn meanings(
        &mut self,
        read: &[u8],
        out: &mut Vec<Touched>,
        mut who: impl FnMut(&[u8], u32),
    ) {
        for event in events(read) {
            let from = out.len();
            self.meaning(&event, out);
            for touched in out.get(from..).unwrap_or_default() {
                if let Touched::Path { path, .. } = touched
                    && event.pid != 0
                {
                    who(path, event.pid);
                }
            }
        }
    }

    /// The kernel may have merged several events of one name into one, in an order that it does not tell.
    fn meaning(&mut self, event: &Event<'_>, out: &mut Vec<Touched>) {
        if event.is_overflow() {
            return out.push(Touched::Overflow);
        }
        // What is not in the table lies elsewhere on a file system that is watched as a whole.
        let Some(folder) = self.paths.get(event.folder) else { return };
        if event.name.is_empty() {
            if event.folder_is_gone() {
                out.extend(self.paths.remove(event.folder).map(Touched::FolderGone));
            }
            return;
        }
        let path = join(folder, event.name);
        if event.is_folder() && event.disappeared() {
            // It is watched on, but its path is no longer its own; so is what is below it.
            self.paths.retain(|_, known| *known != path && !is_below(&path, known));
            out.push(Touched::FolderGone(path.clone()));
        }
        if !event.is_folder() || event.appeared() {
            out.push(Touched::Path { path, busy: event.is_being_written() });
        }
    }
}

/// Watches the file systems of those folders that are mount points; to be called while privileged. What is not possible is watched
/// folder by folder later.
pub fn watch_mounts<'a>(group: &Fanotify, folders: impl Iterator<Item = &'a [u8]>) {
    for folder in folders {
        let watched = open_root(folder).and_then(|opened| {
            if is_mount_point(folder, device(opened.as_fd())?) {
                group.watch_file_system(opened.as_fd())?;
            }
            Ok(())
        });
        if let Err(error) = watched {
            log::debug!("'{}': {error}; not watched as a whole", folder.escape_ascii());
        }
    }
}

fn is_mount_point(folder: &[u8], own: u64) -> bool {
    folder == b"/"
        || open_root(split(folder).0)
            .is_ok_and(|above| device(above.as_fd()).is_ok_and(|device| device != own))
}

fn device(folder: BorrowedFd<'_>) -> io::Result<u64> {
    Ok(rustix::fs::fstat(folder)?.st_dev)
}
