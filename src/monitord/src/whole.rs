//! A file that appears whole or not at all: written under a temporary name beside it, synced, renamed.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, OFlags, RenameFlags};

/// Mode of all that monitord writes.
const MODE: u32 = 0o640;

/// A file under its temporary name; removed again unless [`finish`](Self::finish)ed.
#[derive(Debug)]
pub struct Unfinished {
    file: File,
    temporary: PathBuf,
    path: PathBuf,
}

impl Unfinished {
    /// Begins a file that is to be `path`.
    ///
    /// # Errors
    /// It cannot be made there.
    pub fn begin(path: &Path) -> io::Result<Self> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let temporary = path.with_file_name(format!(".{name}.tmp"));
        // What a killed process has left.
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(MODE)
            .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
            .open(&temporary)?;
        Ok(Self { file, temporary, path: path.to_owned() })
    }

    /// To write it, and to read it again.
    pub fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Gives it its name, which nothing may have yet, once its content is on the disk.
    ///
    /// # Errors
    /// The disk is full, or the name is taken.
    pub fn finish(self) -> io::Result<()> {
        self.file.sync_all()?;
        rename_to_free_name(&self.temporary, &self.path)?;
        sync_folder(&self.path)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // Not there any more once it was renamed.
        let _ = fs::remove_file(&self.temporary);
    }
}

/// Renames, but never over another file.
///
/// # Errors
/// `AlreadyExists` when the name is taken, or as rename(2).
pub fn rename_to_free_name(from: &Path, to: &Path) -> io::Result<()> {
    match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // A file system that cannot promise it; we are the only one who uses these names.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
            match fs::symlink_metadata(to) {
                Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
                Err(_) => fs::rename(from, to),
            }
        }
        renamed => Ok(renamed?),
    }
}

fn sync_folder(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

/// Opens a log to read it: a regular file and no link.
///
/// # Errors
/// As open(2).
pub fn open(path: &Path) -> io::Result<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::other("it is no regular file"))
    }
}
