//! What every check works with: the root it takes for `/`, the pace, whom it tells, and what was said before.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use md5::{Digest, Md5};
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, Stat, fstat, lstat, stat};
use settings::Rootcheck;
use sha1::Sha1;
use sha2::Sha256;

use crate::grammar::without_slashes;
use crate::pace::{Pace, Stopped};
use crate::packages::Ships;

/// Largest file whose digests are told.
const MAX_DIGESTED: u64 = 1 << 30;
/// Largest list or table that is read whole.
const MAX_WHOLE: u64 = 16 << 20;
/// Read at a time.
const CHUNK: usize = 64 << 10;

/// What every check works with.
pub(crate) struct Scene<'a> {
    pub(crate) settings: &'a Rootcheck,
    /// What it takes for `/`: the base directory.
    pub(crate) base: PathBuf,
    /// The install root: lists and what is remembered lie below it.
    pub(crate) root: PathBuf,
    pub(crate) pace: Pace,
    pub(crate) said: &'a mut Said,
    pub(crate) ships: &'a Ships,
    /// Takes a finding.
    pub(crate) tell: &'a mut dyn FnMut(Vec<u8>) -> Result<(), Stopped>,
}

/// What was said in the log and is not said again.
#[derive(Debug, Default)]
pub struct Said(HashSet<String>);

impl Said {
    /// Whether this is new.
    pub(crate) fn first(&mut self, text: &str) -> bool {
        self.0.len() < 1000 && self.0.insert(text.to_owned())
    }
}

impl Scene<'_> {
    /// A path of the checked host as one of ours.
    pub(crate) fn at(&self, path: &[u8]) -> PathBuf {
        below(&self.base, path)
    }

    /// Tells a finding, its parts put together.
    pub(crate) fn found(&mut self, parts: &[&[u8]]) -> Result<(), Stopped> {
        (self.tell)(parts.concat())
    }

    /// Says in the log, once for the life of the daemon, what cannot be checked and why.
    pub(crate) fn say_once(&mut self, text: &str) {
        if self.said.first(text) {
            log::info!(target: "rootcheck", "{text}");
        }
    }

    /// The digests of a file, as they end a finding; `n/a` for what cannot be read.
    pub(crate) fn digests(&mut self, path: &Path) -> Result<Vec<u8>, Stopped> {
        let (mut md5, mut sha1, mut sha256) = (Md5::new(), Sha1::new(), Sha256::new());
        let whole = read_through(&mut self.pace, path, MAX_DIGESTED, &mut |chunk| {
            md5.update(chunk);
            sha1.update(chunk);
            sha256.update(chunk);
        })?;
        if whole.is_none() {
            return Ok(b" MD5=n/a SHA1=n/a SHA256=n/a".to_vec());
        }
        let (md5, sha1, sha256) =
            (hex(&md5.finalize()), hex(&sha1.finalize()), hex(&sha256.finalize()));
        Ok(format!(" MD5={md5} SHA1={sha1} SHA256={sha256}").into_bytes())
    }
}

/// A path as it may stand in a finding.
pub(crate) fn shown(path: &Path) -> Vec<u8> {
    let path = fim::path::printable(path.as_os_str().as_bytes());
    path.get(..path.len().min(4096)).unwrap_or_default().to_vec()
}

/// `path` below `base`, whether or not it begins with `/`.
pub(crate) fn below(base: &Path, path: &[u8]) -> PathBuf {
    let path = without_slashes(path);
    let base = if base.as_os_str().is_empty() { Path::new("/") } else { base };
    base.join(OsStr::from_bytes(path))
}

/// Opens a regular file for reading; never waits for a FIFO, never follows the last symlink.
pub(crate) fn open_regular(path: &Path) -> Option<File> {
    let flags =
        OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NOCTTY;
    // Asked before, since opening a device can do something.
    is_regular(&lstat(path).ok()?).then_some(())?;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty()).ok()?);
    is_regular(&fstat(&file).ok()?).then_some(file)
}

fn is_regular(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
}

/// Opens a folder without following a symlink on the way, where the kernel can do that.
pub(crate) fn open_folder(path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags =
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    match rustix::fs::openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS) {
        Err(rustix::io::Errno::NOSYS | rustix::io::Errno::PERM) => {
            rustix::fs::open(path, flags, Mode::empty())
        }
        other => other,
    }
}

/// Reads a file through; gives its length, `None` when it is none, cannot be read, or is longer than `limit`.
pub(crate) fn read_through(
    pace: &mut Pace,
    path: &Path,
    limit: u64,
    take: &mut dyn FnMut(&[u8]),
) -> Result<Option<u64>, Stopped> {
    let Some(mut file) = open_regular(path) else { return Ok(None) };
    let mut buffer = vec![0; CHUNK];
    let mut len = 0;
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(Some(len)),
            Ok(read) => {
                len += read as u64;
                if len > limit {
                    return Ok(None);
                }
                take(buffer.get(..read).unwrap_or_default());
                pace.step(1 + u32::try_from(read >> 12).unwrap_or(0))?;
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return Ok(None),
        }
    }
}

/// A small file of the kernel or an administrator, whole; symlinks are followed.
pub(crate) fn whole(path: &Path) -> Option<Vec<u8>> {
    // The kernel is asked, not the C library: a preloaded library hides files from that, and first of all the list that names it.
    is_regular(&stat(path).ok()?).then_some(())?;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty()).ok()?);
    let mut content = Vec::new();
    file.take(MAX_WHOLE).read_to_end(&mut content).ok()?;
    Some(content)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
