//! Looking at one path: what is there, and what it looks like.
//!
//! Whoever owns a watched folder may change it under our eyes. So a path is walked folder by folder without following links, and only what
//! a name shows to be a regular file is opened for reading, without waiting; the descriptor has to be of that very inode. All
//! else (links, and what is replaced meanwhile) is opened without reading (`O_PATH`), asked what it is, and if regular opened
//! through that descriptor. So no device, FIFO or socket is ever read or waited for, not even by way of a link, and all attributes
//! are those of one file.
//!
//! A symbolic link counts as a file: size, mode and owner of the link, digests of what it points to, if that is a regular file.
//!
//! Whether a file has to be read at all its stamp tells ([`glance`]): a fingerprint of size, times, inode and device. A file that changes
//! while it is read bears the stamp of before, so that the next look reads it again.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, SystemTime};

use fim::Attributes;
use rustix::fs::{Advice, AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use settings::CheckOptions;

use crate::extras;
use crate::hash::{self, Wanted};
use crate::plan::{Entry, relative, split};
use crate::prefilter::Prefilter;

/// What a glance at a name shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Glance {
    /// A regular file or a symbolic link, with its stamp.
    File(u64),
    /// A folder.
    Folder,
    /// A device, a FIFO or a socket: not looked at.
    Special,
}

/// What was found at a path.
#[derive(Debug)]
pub enum Sight {
    /// A regular file or a symbolic link.
    File {
        /// What it looks like; what is not checked is `None`.
        attributes: Attributes,
        /// Of the moment before it was read; 0, which no file has, when it was changed so recently that its next change might not show.
        stamp: u64,
        /// The bytes that were hashed, if they were to be kept.
        content: Option<Vec<u8>>,
        /// Length of the content that was read.
        read: u64,
        /// The digests of its first bytes, so many, if they were asked for and are there.
        prefix: Option<(u64, Box<hash::Digests>)>,
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

/// Asks what is at `name` in a folder, without opening it.
///
/// # Errors
/// As [`look`].
pub fn glance(folder: impl AsFd, name: &[u8]) -> io::Result<Glance> {
    let stat = rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Glance::File(stamp(&stat, None)),
        FileType::Symlink => {
            let target = rustix::fs::statat(&folder, name, AtFlags::empty()).ok();
            Glance::File(stamp(&stat, target.as_ref()))
        }
        FileType::Directory => Glance::Folder,
        _ => Glance::Special,
    })
}

/// The fingerprint of a file's size, times, inode and device, and of those of what a link points to. Whoever changes a file changes it:
/// the time of the last change (ctime) can't be set at will.
fn stamp(stat: &Stat, target: Option<&Stat>) -> u64 {
    let mut hasher = blake3::Hasher::new();
    for stat in [Some(stat), target].into_iter().flatten() {
        hasher.update(facts(stat).as_flattened());
    }
    let digest = *hasher.finalize().as_bytes();
    let (first, _) = digest.split_first_chunk::<8>().expect("a digest has 32 bytes");
    u64::from_le_bytes(*first)
}

/// What a stamp is made of.
fn facts(stat: &Stat) -> [[u8; 8]; 7] {
    let [size, mtime, ctime] = [stat.st_size, stat.st_mtime, stat.st_ctime].map(i64::to_le_bytes);
    let others = [stat.st_mtime_nsec, stat.st_ctime_nsec, stat.st_ino, stat.st_dev];
    let [mtime_nsec, ctime_nsec, ino, dev] = others.map(u64::to_le_bytes);
    [size, mtime, ctime, mtime_nsec, ctime_nsec, ino, dev]
}

/// Small files that change while they are read are read again, so often at the most.
const TRIES: usize = 3;
/// Larger ones are not: the next look finds what they have become.
const SMALL: u64 = 1 << 20;
/// Times of files go by the clock's ticks: what was changed so recently may change again and bear the same time.
const TICKS: Duration = Duration::from_millis(20);
/// The same on file systems that keep whole seconds.
const SECONDS: Duration = Duration::from_secs(2);

/// What is wanted of a file besides its attributes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Besides<'a> {
    /// The content of files up to so many bytes.
    pub content: Option<u64>,
    /// The digests of its first bytes, so many.
    pub prefix: Option<u64>,
    /// MD5 and SHA-1 are of what this command makes of the file, which it is given by this path. A growing file is read as it is.
    pub filter: Option<(&'a Prefilter, &'a [u8])>,
}

/// Looks at `name` in a folder. `pause` is called now and then while a large file is read; see [`hash::digest`].
///
/// # Errors
/// When the path cannot be looked at; [`is_gone`] tells whether there is nothing at it.
pub fn look(
    folder: impl AsFd,
    name: &[u8],
    options: &CheckOptions,
    besides: Besides<'_>,
    pause: &mut dyn FnMut() -> bool,
) -> io::Result<Sight> {
    let mut tries = 1..TRIES;
    loop {
        let (sight, is_consistent) = look_once(&folder, name, options, besides, pause)?;
        if is_consistent || tries.next().is_none() {
            return Ok(sight);
        }
    }
}

/// Says, too, whether all that is told of the file is of one moment, or it is not worth another try.
fn look_once(
    folder: &impl AsFd,
    name: &[u8],
    options: &CheckOptions,
    besides: Besides<'_>,
    pause: &mut dyn FnMut() -> bool,
) -> io::Result<(Sight, bool)> {
    let wanted = Wanted::of(options);
    let opened = wanted.any().then(|| open_regular(folder, name)).flatten();
    let is_open = opened.is_some();
    let (found, stat) = match opened {
        Some(opened) => opened,
        None => {
            let found = open(folder, name, OFlags::PATH | OFlags::NOFOLLOW)?;
            let stat = rustix::fs::fstat(&found)?;
            (File::from(found), stat)
        }
    };
    let (target, stamp) = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => return Ok((Sight::Folder, true)),
        FileType::RegularFile => (None, stamp(&stat, None)),
        FileType::Symlink => {
            let target = target(folder, name);
            let stamp = stamp(&stat, target.as_ref().map(|(_, stat)| stat));
            (Some(target), stamp)
        }
        _ => return Ok((Sight::Special, true)),
    };
    let is_file = |stat: &Stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    let content = match &target {
        None => Some((found.as_fd(), length(&stat))),
        Some(Some((target, stat))) if is_file(stat) => Some((target.as_fd(), length(stat))),
        Some(_) => None,
    };
    let mut attributes = Attributes {
        size: options.size.then(|| length(&stat)),
        mode: options.perm.then_some(stat.st_mode),
        uid: options.owner.then_some(stat.st_uid),
        gid: options.group.then_some(stat.st_gid),
        ..Attributes::default()
    };
    let (mut kept, mut unreadable, mut blake3, mut read) = (None, None, None, 0);
    let mut prefix = None;
    if let Some((file, len)) = content
        && wanted.any()
    {
        read = len;
        let keep = besides.content.is_some_and(|keep| len <= keep);
        // What a log grows by while it is read is not of this moment.
        let limit = if options.growing { len } else { len.max(LEAST_READ) };
        let sort =
            Sort { wanted, keep, limit, prefix: besides.prefix.filter(|prefix| *prefix <= len) };
        let digests = match is_open {
            true => digests(&found, sort, pause),
            false => reopen(file).and_then(|file| digests(&file, sort, pause)),
        };
        match digests {
            Ok(Some((digests, content))) => {
                attributes.md5 = digests.md5;
                attributes.sha1 = digests.sha1;
                attributes.sha256 = digests.sha256;
                (kept, blake3) = (content, digests.blake3);
                prefix = sort.prefix.zip(digests.prefix);
            }
            Ok(None) => return Ok((Sight::Stopped, true)),
            Err(error) => unreadable = Some(error),
        }
    }
    let filter = besides.filter.filter(|_| content.is_some() && !options.growing);
    let wanted = Wanted { sha256: false, blake3: false, ..wanted };
    let mut failed = false;
    if let Some((filter, path)) = filter.filter(|_| wanted.any() && unreadable.is_none()) {
        match filter.digest(path, wanted, pause) {
            Ok(Some(digests)) => (attributes.md5, attributes.sha1) = (digests.md5, digests.sha1),
            Ok(None) => return Ok((Sight::Stopped, true)),
            Err(error) => {
                let path = String::from_utf8_lossy(path);
                log::warn!("prefilter_cmd: '{path}' is hashed as it is: {error}.");
                failed = true;
            }
        }
    }
    attributes.extra = extras::collect(found.as_fd(), options, blake3);
    let target_now = target.iter().flatten().map(|(target, _)| rustix::fs::fstat(target)).next();
    let target_now = target_now.transpose()?;
    let now = rustix::fs::fstat(&found)?;
    let is_same = || match (&target, &target_now) {
        (None, None) => facts(&now) == facts(&stat),
        _ => self::stamp(&now, target_now.as_ref()) == stamp,
    };
    let is_consistent = length(&now) > SMALL || is_same();
    let is_fresh = [Some(&now), target_now.as_ref()].into_iter().flatten().any(is_fresh);
    let stamp = if is_fresh || failed { 0 } else { stamp };
    Ok((Sight::File { attributes, stamp, content: kept, prefix, read, unreadable }, is_consistent))
}

fn is_fresh(stat: &Stat) -> bool {
    let nanos = u32::try_from(stat.st_ctime_nsec).unwrap_or(0);
    let seconds = u64::try_from(stat.st_ctime).unwrap_or(0);
    let changed = SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos);
    let moment = if nanos == 0 { SECONDS } else { TICKS };
    changed + moment > SystemTime::now()
}

/// How a file is read.
#[derive(Clone, Copy)]
struct Sort {
    wanted: Wanted,
    keep: bool,
    limit: u64,
    prefix: Option<u64>,
}

/// The digests, and the content if it is to be kept; `None` when told to give up.
fn digests(
    mut file: &File,
    sort: Sort,
    pause: &mut dyn FnMut() -> bool,
) -> io::Result<Option<(hash::Digests, Option<Vec<u8>>)>> {
    let Sort { wanted, keep, limit, prefix } = sort;
    if !keep {
        if limit > LEAST_READ {
            // Hints: read ahead, and do not push out what other programs have in the cache.
            let _ = rustix::fs::fadvise(file, 0, None, Advice::Sequential);
            let _ = rustix::fs::fadvise(file, 0, None, Advice::NoReuse);
        }
        return Ok(
            hash::digest(&mut file, wanted, limit, prefix, pause)?.map(|digests| (digests, None))
        );
    }
    let mut content = Vec::new();
    file.take(limit).read_to_end(&mut content)?;
    let digests = hash::digest(&mut content.as_slice(), wanted, limit, prefix, &mut || true)?;
    Ok(digests.map(|digests| (digests, Some(content))))
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

/// Opens for reading what is a regular file by its name, and by its descriptor still the same one.
fn open_regular(folder: impl AsFd, name: &[u8]) -> Option<(File, Stat)> {
    let named = rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
    let is_file = |stat: &Stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    if !is_file(&named) {
        return None;
    }
    let found = open(folder, name, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NOCTTY).ok()?;
    let stat = rustix::fs::fstat(&found).ok()?;
    let is_same = (stat.st_dev, stat.st_ino) == (named.st_dev, named.st_ino) && is_file(&stat);
    is_same.then(|| (File::from(found), stat))
}

/// What a link points to.
fn target(folder: impl AsFd, name: &[u8]) -> Option<(OwnedFd, Stat)> {
    let target = open(folder, name, OFlags::PATH).ok()?;
    let stat = rustix::fs::fstat(&target).ok()?;
    Some((target, stat))
}

/// Opens for reading what an `O_PATH` descriptor stands for.
fn reopen(found: BorrowedFd<'_>) -> io::Result<File> {
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

    fn all() -> CheckOptions {
        CheckOptions {
            size: true,
            perm: true,
            owner: true,
            group: true,
            md5: true,
            sha1: true,
            sha256: true,
            ..CheckOptions::default()
        }
    }

    fn look_at(
        folder: &tempfile::TempDir,
        name: &str,
        options: &CheckOptions,
    ) -> io::Result<Sight> {
        look(
            File::open(folder.path()).unwrap(),
            name.as_bytes(),
            options,
            Besides::default(),
            &mut || true,
        )
    }

    fn attributes(folder: &tempfile::TempDir, name: &str) -> Attributes {
        match look_at(folder, name, &all()).unwrap() {
            Sight::File { attributes, unreadable: None, .. } => attributes,
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
            assert!(matches!(look_at(&folder, name, &all()), Ok(Sight::Special)), "{name}");
        }
        symlink("fifo", folder.path().join("link")).unwrap();
        assert_eq!(attributes(&folder, "link").md5, None);
    }

    #[test]
    fn what_is_not_there_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        assert!(is_gone(&look_at(&folder, "missing", &all()).unwrap_err()));
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
    fn a_stamp_changes_with_the_file_and_with_a_links_target() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a"), "x").unwrap();
        symlink("a", folder.path().join("link")).unwrap();
        let open = File::open(folder.path()).unwrap();
        let stamps = || [b"a".as_slice(), b"link"].map(|name| glance(&open, name).unwrap());
        let before = stamps();
        assert_eq!(before, stamps());
        fs::write(folder.path().join("a"), "xy").unwrap();
        let after = stamps();
        assert!(before[0] != after[0] && before[1] != after[1]);
        let look = || look_at(&folder, "link", &all()).unwrap();
        // So fresh that its time may not tell its next change: no stamp yet.
        let mut stamps = std::iter::repeat_with(look).map(|sight| match sight {
            Sight::File { stamp, .. } => stamp,
            other => panic!("{other:?}"),
        });
        let stamp = stamps.find(|stamp| *stamp != 0);
        assert_eq!(stamp.map(Glance::File), Some(after[1]));
    }

    #[test]
    fn a_small_file_comes_with_its_content() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a"), "12345").unwrap();
        let open = File::open(folder.path()).unwrap();
        for (keep, expected) in [(Some(5), Some(b"12345".to_vec())), (Some(4), None), (None, None)]
        {
            let besides = Besides { content: keep, ..Besides::default() };
            let sight = look(&open, b"a", &all(), besides, &mut || true).unwrap();
            let Sight::File { content, attributes, .. } = sight else { panic!() };
            assert_eq!(content, expected);
            assert_eq!(attributes.sha256, self::attributes(&folder, "a").sha256);
        }
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
