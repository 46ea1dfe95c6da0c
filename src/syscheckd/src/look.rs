//! Looking at one path: what is there, and what it looks like.
//!
//! Whoever owns a watched folder may change it under our eyes, so nothing is asked twice by name: a path is walked folder
//! by folder without following links, a file is opened once without reading (`O_PATH`), asked what it is, and only a
//! regular file is opened for reading, through that very descriptor. So no device, FIFO or socket is ever opened,
//! not even by way of a link, and all attributes are those of one file.
//!
//! A symbolic link counts as a file: size, mode and owner of the link, digests of what it points to, if that is a regular file.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use fim::Attributes;
use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use settings::CheckOptions;

use crate::hash::{self, Wanted};
use crate::plan::{Entry, relative, split};

/// What was found at a path.
#[derive(Debug)]
pub enum Sight {
    /// A regular file or a symbolic link.
    File {
        /// What it looks like; what is not checked is `None`.
        attributes: Attributes,
        /// Why its content could not be read, if so.
        unreadable: Option<io::Error>,
    },
    /// A folder.
    Folder,
    /// A device, a FIFO or a socket: not looked at.
    Special,
    /// Given up half-way, because `pause` said so.
    Stopped,
}

/// Small enough never to be noticed, large enough for files that tell no size (`/proc`, `/sys`).
const LEAST_READ: u64 = 1 << 20;

/// Looks at `name` in a folder. `pause` is called now and then while a large file is read; see [`hash::digest`].
///
/// # Errors
/// When the path cannot be looked at; [`is_gone`] tells whether there is nothing at it.
pub fn look(
    folder: impl AsFd,
    name: &[u8],
    options: &CheckOptions,
    pause: &mut dyn FnMut() -> bool,
) -> io::Result<Sight> {
    let found = open(&folder, name, OFlags::PATH | OFlags::NOFOLLOW)?;
    let stat = rustix::fs::fstat(&found)?;
    let content = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => return Ok(Sight::Folder),
        FileType::RegularFile => Some((found, length(&stat))),
        FileType::Symlink => target(&folder, name),
        _ => return Ok(Sight::Special),
    };
    let mut attributes = Attributes {
        size: options.size.then(|| length(&stat)),
        mode: options.perm.then_some(stat.st_mode),
        uid: options.owner.then_some(stat.st_uid),
        gid: options.group.then_some(stat.st_gid),
        ..Attributes::default()
    };
    let wanted = Wanted { md5: options.md5, sha1: options.sha1, sha256: options.sha256 };
    let mut unreadable = None;
    if let Some((content, len)) = content
        && (wanted.md5 || wanted.sha1 || wanted.sha256)
    {
        let digests = reopen(&content)
            .and_then(|mut file| hash::digest(&mut file, wanted, len.max(LEAST_READ), pause));
        match digests {
            Ok(Some(digests)) => {
                attributes.md5 = digests.md5;
                attributes.sha1 = digests.sha1;
                attributes.sha256 = digests.sha256;
            }
            Ok(None) => return Ok(Sight::Stopped),
            Err(error) => unreadable = Some(error),
        }
    }
    Ok(Sight::File { attributes, unreadable })
}

/// Opens the folder that a path of an entry lies in, without following links below the entry; gives the name in it too.
///
/// # Errors
/// When a folder on the way is not there or is a link.
pub fn open_parent<'a>(entry: &Entry, path: &'a [u8]) -> io::Result<(OwnedFd, &'a [u8])> {
    let (folder, name) = split(path);
    if path == entry.path {
        return Ok((open_root(folder)?, name));
    }
    let root = open_root(&entry.path)?;
    Ok((open_below(root, relative(&entry.path, folder))?, name))
}

/// Opens a configured folder; the way to it may contain links, it may be one.
///
/// # Errors
/// When it is not there or no folder.
pub fn open_root(path: &[u8]) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

/// Opens a folder below another one, step by step, following no link.
///
/// # Errors
/// When a folder on the way is not there or is a link.
pub fn open_below(root: OwnedFd, relative: &[u8]) -> io::Result<OwnedFd> {
    let mut folder = root;
    for name in relative.split(|&byte| byte == b'/').filter(|name| !name.is_empty()) {
        folder = open(&folder, name, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW)?;
    }
    Ok(folder)
}

/// Whether an error means that there is nothing at the path: not there, or below something that is no folder (any more).
pub fn is_gone(error: &io::Error) -> bool {
    let gone = [Errno::NOENT, Errno::NOTDIR, Errno::LOOP];
    gone.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

fn open(folder: impl AsFd, name: &[u8], flags: OFlags) -> io::Result<OwnedFd> {
    let flags = flags | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(folder, name, flags, Mode::empty())?)
}

/// The regular file that a link points to; a link to anything else has no content.
fn target(folder: impl AsFd, name: &[u8]) -> Option<(OwnedFd, u64)> {
    let target = open(folder, name, OFlags::PATH).ok()?;
    let stat = rustix::fs::fstat(&target).ok()?;
    let regular = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    regular.then(|| (target, length(&stat)))
}

/// Opens for reading what an `O_PATH` descriptor stands for.
fn reopen(found: &OwnedFd) -> io::Result<File> {
    let path = format!("/proc/self/fd/{}", found.as_raw_fd());
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    Ok(File::from(rustix::fs::open(path, flags, Mode::empty())?))
}

fn length(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    const ALL: CheckOptions = CheckOptions {
        size: true,
        perm: true,
        owner: true,
        group: true,
        md5: true,
        sha1: true,
        sha256: true,
        realtime: false,
        report_changes: false,
        no_recurse: false,
    };

    fn look_at(
        folder: &tempfile::TempDir,
        name: &str,
        options: &CheckOptions,
    ) -> io::Result<Sight> {
        look(File::open(folder.path()).unwrap(), name.as_bytes(), options, &mut || true)
    }

    fn attributes(folder: &tempfile::TempDir, name: &str) -> Attributes {
        match look_at(folder, name, &ALL).unwrap() {
            Sight::File { attributes, unreadable: None } => attributes,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_file_has_its_own_attributes_and_digests() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a"), "x\n").unwrap();
        let found = attributes(&folder, "a");
        assert_eq!(
            (found.size, found.mode.map(|mode| mode & 0o170_000)),
            (Some(2), Some(0o100_000))
        );
        assert!(found.md5.is_some() && found.sha1.is_some() && found.sha256.is_some());
    }

    #[test]
    fn a_link_has_its_own_attributes_and_its_targets_digests() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("target"), "content").unwrap();
        symlink("target", folder.path().join("link")).unwrap();
        let (link, target) = (attributes(&folder, "link"), attributes(&folder, "target"));
        assert_eq!((link.size, link.sha256), (Some(6), target.sha256));
        assert_eq!(link.mode.map(|mode| mode & 0o170_000), Some(0o120_000));
    }

    #[test]
    fn links_to_nothing_folders_and_devices_have_no_digests() {
        let folder = tempfile::tempdir().unwrap();
        for (name, target) in [("none", "missing"), ("folder", "/"), ("device", "/dev/zero")] {
            symlink(target, folder.path().join(name)).unwrap();
            assert_eq!(attributes(&folder, name).sha256, None, "{name}");
        }
    }

    #[test]
    fn special_files_are_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("socket")).unwrap();
        let fifo = folder.path().join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, FileType::Fifo, Mode::RUSR, 0).unwrap();
        for name in ["socket", "fifo"] {
            assert!(matches!(look_at(&folder, name, &ALL), Ok(Sight::Special)), "{name}");
        }
        symlink("fifo", folder.path().join("link")).unwrap();
        assert_eq!(attributes(&folder, "link").md5, None);
    }

    #[test]
    fn what_is_not_there_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        assert!(is_gone(&look_at(&folder, "missing", &ALL).unwrap_err()));
    }

    #[test]
    fn what_is_not_checked_is_not_filled_in() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a"), "x").unwrap();
        let Ok(Sight::File { attributes, .. }) = look_at(&folder, "a", &CheckOptions::default())
        else {
            panic!("no file")
        };
        assert_eq!(attributes, Attributes::default());
    }

    #[test]
    fn links_below_the_entry_are_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("real/deep")).unwrap();
        symlink("real", folder.path().join("link")).unwrap();
        let root = || OwnedFd::from(File::open(folder.path()).unwrap());
        assert!(open_below(root(), b"real/deep").is_ok());
        assert!(is_gone(&open_below(root(), b"link/deep").unwrap_err()));
    }
}
