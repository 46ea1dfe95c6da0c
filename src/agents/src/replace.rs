//! Files that are replaced whole: a reader sees the old one or the new one.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// How far a new content must have come before its name does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// To the disk: it outlives a power cut.
    Disk,
    /// To the kernel: it outlives this process.
    Kernel,
}

/// Puts `content` in the place of `path`. Owner and group stay those of the old file where that is permitted.
pub(crate) fn replace(path: &Path, content: &[u8], mode: u32, depth: Depth) -> io::Result<()> {
    let temporary = beside(path);
    let result = write(path, &temporary, content, mode, depth);
    if result.is_err() {
        // Best effort: the error that counts is the one at hand.
        let _ = fs::remove_file(&temporary);
    }
    result
}

fn write(path: &Path, temporary: &Path, content: &[u8], mode: u32, depth: Depth) -> io::Result<()> {
    // A left-over of a killed process with this pid must not stand in the way.
    match fs::remove_file(temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => (),
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(temporary)?;
    file.write_all(content)?;
    if let Ok(old) = fs::symlink_metadata(path) {
        // Not permitted to an unprivileged writer, who then owned the old one too or doesn't mind.
        let _ = std::os::unix::fs::fchown(&file, Some(old.uid()), Some(old.gid()));
    }
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    if depth == Depth::Disk {
        file.sync_all()?;
    }
    fs::rename(temporary, path)?;
    if depth == Depth::Disk
        && let Some(folder) = path.parent()
    {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// `.client.keys.4711.new` beside `client.keys`.
fn beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}.{:?}.new", std::process::id(), std::thread::current().id()));
    path.with_file_name(name)
}
