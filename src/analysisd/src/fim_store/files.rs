//! Where baselines lie: one plain file in the one folder for each location, its marker beside it, a bounded number of them open.
//!
//! A location comes from outside: [`file_name`] makes it a name that cannot climb, and [`open_in`] never follows a link.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags};

/// `.`, the name and `.cpt` must fit into the 255 bytes of a file name.
const MAX_NAME: usize = 250;

/// The file name for a location, `None` when there can be none. `/`, control bytes and a leading dot (hidden files are the
/// markers) become octal escapes, so that every location is one plain name in the one folder.
pub(crate) fn file_name(location: &[u8]) -> Option<Vec<u8>> {
    let mut name = Vec::with_capacity(location.len());
    for (at, &byte) in location.iter().enumerate() {
        match byte {
            b'/' | 0..=0x1f | 0x7f => name.extend(format!("\\{byte:03o}").as_bytes()),
            b'.' if at == 0 => name.extend(b"\\056"),
            _ => name.push(byte),
        }
    }
    (1..=MAX_NAME).contains(&name.len()).then_some(name)
}

/// The path to show in messages.
pub(super) fn path_of(directory: &Path, name: &[u8]) -> PathBuf {
    directory.join(OsStr::from_bytes(name))
}

/// The files that are open, the least recently used first.
pub(super) struct OpenFiles {
    limit: usize,
    files: Vec<(Vec<u8>, File)>,
}

impl OpenFiles {
    /// Keeps at most `limit` files open.
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, files: Vec::with_capacity(limit) }
    }

    /// The file of that name, opened when it is not.
    pub(super) fn file(&mut self, folder: &OwnedFd, name: &[u8]) -> io::Result<&File> {
        let entry = match self.position(name) {
            Some(at) => self.files.remove(at),
            None => {
                let file = open_in(folder, name)?;
                if self.files.len() >= self.limit {
                    self.files.remove(0);
                }
                (name.to_vec(), file)
            }
        };
        self.files.push(entry);
        self.files.last().map(|(_, file)| file).ok_or_else(|| io::Error::other("no file is open"))
    }

    /// Takes another file for that name, which took its place.
    pub(super) fn replace(&mut self, name: &[u8], file: File) {
        if let Some(at) = self.position(name) {
            self.files.remove(at);
        }
        self.files.push((name.to_vec(), file));
    }

    /// Closes a file that was removed meanwhile, so that the next use makes a new one.
    pub(super) fn forget_if_unlinked(&mut self, name: &[u8]) -> io::Result<()> {
        let Some(at) = self.position(name) else { return Ok(()) };
        let unlinked = match self.files.get(at) {
            Some((_, file)) => file.metadata()?.nlink() == 0,
            None => false,
        };
        if unlinked {
            self.files.remove(at);
        }
        Ok(())
    }

    fn position(&self, name: &[u8]) -> Option<usize> {
        self.files.iter().rposition(|(known, _)| known == name)
    }
}

/// Opens or makes a regular file in the folder, never one elsewhere that a link points to.
pub(super) fn open_in(folder: &impl AsFd, name: &[u8]) -> io::Result<File> {
    let flags =
        OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::openat(folder, name, flags, Mode::from_raw_mode(0o640))?;
    let file = File::from(file);
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("it is not a regular file")),
    }
}

fn marker_name(name: &[u8]) -> Vec<u8> {
    [b".", name, b".cpt"].concat()
}

/// Says that a whole scan was received.
pub(super) fn write_marker(folder: &OwnedFd, name: &[u8]) -> io::Result<()> {
    let file = open_in(folder, &marker_name(name))?;
    if file.metadata()?.len() == 0 {
        file.write_all_at(b"#!X", 0)?;
    }
    Ok(())
}

/// Says that none was; not an error if it did already.
pub(super) fn remove_marker(folder: &OwnedFd, name: &[u8]) -> io::Result<()> {
    match rustix::fs::unlinkat(folder, marker_name(name).as_slice(), AtFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Whether one was.
pub(super) fn has_marker(folder: &OwnedFd, name: &[u8]) -> bool {
    let path = marker_name(name);
    rustix::fs::statat(folder, path.as_slice(), AtFlags::SYMLINK_NOFOLLOW).is_ok()
}

/// Makes a regular file that is to take the place of `name` by [`put_in_place`]; what is left of an earlier one goes.
pub(super) fn successor(folder: &OwnedFd, name: &[u8]) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let path = successor_name(name);
    match rustix::fs::unlinkat(folder, path.as_slice(), AtFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => (),
        Err(errno) => return Err(errno.into()),
    }
    Ok(rustix::fs::openat(folder, path.as_slice(), flags, Mode::from_raw_mode(0o640))?.into())
}

/// Puts the successor in the place of the file.
pub(super) fn put_in_place(folder: &OwnedFd, name: &[u8]) -> io::Result<()> {
    Ok(rustix::fs::renameat(folder, successor_name(name).as_slice(), folder, name)?)
}

fn successor_name(name: &[u8]) -> Vec<u8> {
    [b".", name, b".new"].concat()
}
