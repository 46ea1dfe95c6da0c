//! Rotation: which files beside a log are its earlier generations, and in which order they were written.
//!
//! Two kinds. *By rename*: `log` becomes `log.1` and a new `log` is made; the inode tells. *By copytruncate*: `log` is
//! copied to `log.1` and truncated; the head of the copy tells. Either may have happened several times since we last
//! looked, so generations may lie between the one that we know and the present file.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::ops::RangeBounds;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirEntryExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::journal::{Fingerprint, Identity};
use crate::tail::{Opened, identity};

/// Folders with more entries than this are looked at no further.
const MAX_ENTRIES: usize = 100_000;
/// So often it is looked again when files are being moved.
const MAX_LOOKS: usize = 16;
/// Heads shorter than this may be equal by chance.
const MIN_HEAD: usize = 16;

/// A file beside the log that may be an earlier generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sibling {
    /// Where it lies.
    pub path: PathBuf,
    /// Which file it is.
    pub identity: Identity,
    /// Its first bytes, up to [`Fingerprint::MAX`].
    pub head: Vec<u8>,
    /// Its size.
    pub size: u64,
    /// When it was written last.
    pub modified: SystemTime,
}

/// The files in the folder of `log` that bear the name of one of its rotations, or have one of these inodes.
///
/// A rotation that is under way moves them from name to name while we look, and one could be passed over: so it looks again until
/// nothing has moved.
pub(crate) fn siblings(log: &Path, inodes: &[u64]) -> Vec<Sibling> {
    let mut found = Vec::new();
    for _ in 0..MAX_LOOKS {
        let before = names(log, inodes);
        found = before.keys().filter_map(|path| sibling(path)).collect();
        if names(log, inodes) == before {
            break;
        }
    }
    found
}

/// The inodes of such files by their names.
fn names(log: &Path, inodes: &[u64]) -> BTreeMap<PathBuf, u64> {
    let (Some(folder), Some(name)) = (log.parent(), log.file_name()) else {
        return BTreeMap::new();
    };
    let Ok(entries) = fs::read_dir(folder) else { return BTreeMap::new() };
    let candidates = entries.take(MAX_ENTRIES).flatten().filter(|entry| {
        let other = entry.file_name();
        inodes.contains(&entry.ino()) || is_rotation(name.as_bytes(), other.as_bytes())
    });
    let named = candidates.map(|entry| (entry.path(), entry.ino()));
    named.filter(|(path, _)| path != log).collect()
}

impl Sibling {
    /// Opens it, wherever in the folder of `log` it has been moved to in the meantime. `None` when it is gone.
    pub(crate) fn open(&self, log: &Path) -> Option<Opened> {
        let is_it = |opened: &Opened| opened.identity == self.identity;
        let mut path = self.path.clone();
        for _ in 0..MAX_LOOKS {
            if let Some(opened) = Opened::at(&path).ok().filter(is_it) {
                return Some(opened);
            }
            let now = siblings(log, &[self.identity.inode]);
            let moved = now.into_iter().find(|s| s.identity == self.identity);
            // The name of the log itself is no sibling's.
            path = moved.map_or_else(|| log.to_owned(), |s| s.path);
        }
        None
    }
}

fn sibling(path: &Path) -> Option<Sibling> {
    let meta = fs::symlink_metadata(path).ok().filter(fs::Metadata::is_file)?;
    let mut head = Vec::new();
    fs::File::open(path).ok()?.take(Fingerprint::MAX as u64).read_to_end(&mut head).ok()?;
    Some(Sibling {
        path: path.to_owned(),
        identity: identity(&meta),
        head,
        size: meta.len(),
        modified: meta.modified().ok()?,
    })
}

/// Whether `other` is what rotation makes of `name`: `log.1`, `log-20261121`, `log.old`, `app-2026-11-21.log`, `app.1.log`.
/// Compressed files are not: there is nothing in them that we could read.
pub(crate) fn is_rotation(name: &[u8], other: &[u8]) -> bool {
    if let Some(suffix) = other.strip_prefix(name) {
        return matches!(suffix, b".old" | b".bak" | b"~") || is_counter(suffix);
    }
    let Some(dot) = memchr::memrchr(b'.', name).filter(|&at| at > 0) else { return false };
    let (stem, extension) = name.split_at(dot);
    let middle = other.strip_prefix(stem).and_then(|rest| rest.strip_suffix(extension));
    middle.is_some_and(is_counter)
}

/// `.1`, `-20261121`, `_2026-11-21T10:00:00`: a separator, then digits and more separators.
fn is_counter(text: &[u8]) -> bool {
    let Some((b'.' | b'-' | b'_', rest)) = text.split_first() else { return false };
    rest.iter().any(u8::is_ascii_digit)
        && rest.iter().all(|&b| {
            b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_' | b':' | b'T' | b'Z' | b'+')
        })
}

/// What we know of the generation that we were reading.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    /// Its inode.
    pub identity: Identity,
    /// Its head.
    pub fingerprint: Fingerprint,
    /// How far it was read.
    pub offset: u64,
}

/// The file itself, under whatever name.
pub(crate) fn find_moved<'a>(wanted: &Wanted, siblings: &'a [Sibling]) -> Option<&'a Sibling> {
    let fits = |s: &&Sibling| s.identity == wanted.identity && wanted.is_held_by(&s.head, s.size);
    siblings.iter().find(fits)
}

/// A copy of the file that was made before it was truncated. The oldest one, if there are several: it was made for this.
pub(crate) fn find_copy<'a>(wanted: &Wanted, siblings: &'a [Sibling]) -> Option<&'a Sibling> {
    let has_read = wanted.fingerprint.len > 0;
    let fits = |s: &&Sibling| {
        has_read && s.identity != wanted.identity && wanted.is_held_by(&s.head, s.size)
    };
    siblings.iter().filter(fits).min_by_key(|s| s.modified)
}

impl Wanted {
    /// Whether a file with this head and size can hold what was read so far.
    pub(crate) fn is_held_by(&self, head: &[u8], size: u64) -> bool {
        size >= self.offset && self.fingerprint.fits(head)
    }
}

/// The generations that were written last within this time, and before the present file, oldest first.
///
/// `seen` says whether a generation is known already, by its inode and head; `present` is the head of the present file, of
/// which a copy may be under way.
pub(crate) fn between(
    written: impl RangeBounds<SystemTime>,
    siblings: &[Sibling],
    present: &[u8],
    seen: impl Fn(Identity, &[u8]) -> bool,
) -> Vec<Sibling> {
    let mut found: Vec<Sibling> = siblings
        .iter()
        .filter(|s| s.size > 0 && written.contains(&s.modified))
        .filter(|s| !seen(s.identity, &s.head) && !is_same_head(&s.head, present))
        .cloned()
        .collect();
    found.sort_by(|a, b| (a.modified, &b.path).cmp(&(b.modified, &a.path)));
    found
}

/// Whether two files begin alike, as far as the shorter one goes.
pub(crate) fn is_same_head(one: &[u8], other: &[u8]) -> bool {
    let len = one.len().min(other.len());
    len >= MIN_HEAD && one.get(..len) == other.get(..len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn file(path: &str, inode: u64, head: &str, modified: u64) -> Sibling {
        Sibling {
            path: path.into(),
            identity: Identity { device: 1, inode },
            head: head.into(),
            size: 1000,
            modified: at(modified),
        }
    }

    fn wanted(inode: u64, head: &str) -> Wanted {
        let fingerprint = Fingerprint::of(head.as_bytes());
        Wanted { identity: Identity { device: 1, inode }, fingerprint, offset: 500 }
    }

    #[test]
    fn rotations_are_known_by_their_names() {
        for yes in [
            "log.1",
            "log.23",
            "log-20261121",
            "log.2026-11-21",
            "log.old",
            "log-2026-11-21T10:00:00Z",
        ] {
            assert!(is_rotation(b"log", yes.as_bytes()), "{yes}");
        }
        for no in ["log", "log.1.gz", "log.err", "log_ssl", "log2", "log-ng.log", "logs", "other.1"]
        {
            assert!(!is_rotation(b"log", no.as_bytes()), "{no}");
        }
        assert!(is_rotation(b"app.log", b"app-20261121.log"));
        assert!(is_rotation(b"app.log", b"app.1.log"));
        assert!(!is_rotation(b"app.log", b"app-web.log"));
        assert!(!is_rotation(b".log", b".1.log"));
    }

    #[test]
    fn a_renamed_file_is_found_by_its_inode() {
        let siblings = [
            file("log.1", 7, "new head, not ours", 5),
            file("log.2", 8, "the head that we know", 4),
        ];
        assert_eq!(find_moved(&wanted(8, "the head that"), &siblings), Some(&siblings[1]));
        assert_eq!(
            find_moved(&wanted(7, "the head that"), &siblings),
            None,
            "the inode was used again"
        );
    }

    #[test]
    fn a_copy_is_found_by_its_head() {
        let siblings = [
            file("log.1", 9, "another head altogether", 6),
            file("log.2", 8, "the head that we know", 4),
        ];
        assert_eq!(find_copy(&wanted(7, "the head that"), &siblings), Some(&siblings[1]));
        assert_eq!(find_copy(&wanted(7, ""), &siblings), None, "nothing was read of it");
        assert_eq!(
            find_copy(&Wanted { offset: 1001, ..wanted(7, "the head") }, &siblings),
            None,
            "too short"
        );
    }

    #[test]
    fn generations_that_came_and_went_are_found_in_their_order() {
        let siblings = [
            file("log.1", 12, "third generation, missed", 30),
            file("log.2", 11, "second generation, missed", 20),
            file("log.3", 10, "first generation, known", 15),
            file("log.4", 9, "zeroth generation, older", 10),
        ];
        let seen = |id: Identity, _: &[u8]| id.inode == 10;
        let found = between(at(15).., &siblings, b"the present file's head", seen);
        let paths: Vec<_> = found.iter().map(|s| s.path.to_str().unwrap()).collect();
        assert_eq!(paths, ["log.2", "log.1"]);
    }

    #[test]
    fn a_copy_of_the_present_file_is_no_generation_of_its_own() {
        let siblings = [file("log.1", 12, "the present file's he", 30)];
        assert!(between(at(15).., &siblings, b"the present file's head", |_, _| false).is_empty());
    }
}
