//! Files that run with the rights of their owner or group: a new one is told.
//!
//! Those that are known lie in `queue/syscheckd/suid`, a line each (`mode uid gid path`, the path escaped); the first run writes the list and says
//! nothing. What was told of a new one follows it in a line that begins with a space, and is said again word for word as long as the file is
//! as it was: no news to the manager, which then knows that it is still there. With `<suid_quarantine>` a new one that no package ships loses both bits: it stays where it is, can be looked at, and `chmod`
//! gives them back.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::FileType;

use crate::pace::Stopped;
use crate::packages;
use crate::scene::{Scene, open_regular, shown};
use crate::walk::Folder;

/// What is remembered, below the install root.
const STORE: &str = "queue/syscheckd/suid";
/// SUID and SGID.
const BITS: u32 = 0o6000;
/// Most files that are remembered.
const MAX_KNOWN: usize = 100_000;

/// One such file. Its path comes last, so that it may hold anything.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Special {
    path: PathBuf,
    mode: u32,
    uid: u32,
    gid: u32,
}

/// Those that are known, each with what was told of it; nothing of those of the first run.
type Known = BTreeMap<Special, Option<Vec<u8>>>;

/// Those of a folder. SGID without the right to execute was once a kind of lock and does nothing.
pub(crate) fn special(folder: &Folder) -> impl Iterator<Item = Special> {
    folder.items.iter().filter(|item| item.kind() == FileType::RegularFile).filter_map(|item| {
        let stat = item.stat.as_ref().ok()?;
        let mode = stat.st_mode & 0o7777;
        let counts = mode & 0o4000 != 0 || (mode & 0o2000 != 0 && mode & 0o010 != 0);
        counts.then(|| Special {
            path: folder.path_of(item),
            mode,
            uid: stat.st_uid,
            gid: stat.st_gid,
        })
    })
}

/// Tells those that are not known, then remembers all.
pub(crate) fn compare(scene: &mut Scene<'_>, mut now: Vec<Special>) -> Result<(), Stopped> {
    if now.len() > MAX_KNOWN {
        let text =
            format!("More than {MAX_KNOWN} SUID and SGID files: not all of them are watched.");
        scene.say_once(&text);
        now.truncate(MAX_KNOWN);
    }
    let store = scene.root.join(STORE);
    let known = fs::read(&store).ok().and_then(|text| read(&text, &scene.base));
    if known.is_none() {
        log::info!(target: "rootcheck", "{} SUID and SGID files are known from now on.", now.len());
    }
    let mut all = Vec::with_capacity(now.len());
    for mut special in now {
        let told = match known.as_ref().map(|known| known.get(&special)) {
            None => None,
            Some(Some(told)) => told.clone(),
            Some(None) => Some(describe(scene, &mut special)?),
        };
        if let Some(text) = &told {
            scene.found(&[text])?;
        }
        // Without its bits it is one no more; when they come back, that is news.
        if special.mode & BITS != 0 {
            all.push((special, told));
        }
    }
    if let Err(error) = write(&store, &scene.base, &all) {
        let path = store.display();
        scene.say_once(&format!(
            "Unable to write '{path}': {error}. Without it new SUID files cannot be told from known ones."
        ));
    }
    Ok(())
}

/// What is to be told of a new one; it may lose its bits.
fn describe(scene: &mut Scene<'_>, special: &mut Special) -> Result<Vec<u8>, Stopped> {
    let is_shipped = packages::vouches(scene, &special.path)?;
    let digests = scene.digests(&special.path)?;
    let mode = special.mode;
    let mut end = ".";
    if is_shipped {
        end = ", as its package ships it.";
    } else if scene.settings.suid_quarantine {
        end = match strip(special) {
            Ok(()) => {
                special.mode &= !BITS;
                ". Both bits were taken away."
            }
            Err(error) => {
                let path = special.path.display();
                log::error!(target: "rootcheck", "The SUID and SGID bits of '{path}' could not be taken away: {error}.");
                ". Its bits could not be taken away."
            }
        };
    }
    let kind = if mode & 0o4000 != 0 { "SUID" } else { "SGID" };
    let rights = format!("' (mode {mode:o}, owner {}, group {}){end}", special.uid, special.gid);
    Ok([
        b"New ",
        kind.as_bytes(),
        b" file '",
        &shown(&special.path),
        rights.as_bytes(),
        digests.as_slice(),
    ]
    .concat())
}

/// Takes both bits from the very file that was seen; a root-owned file needs no privilege for it.
fn strip(special: &Special) -> std::io::Result<()> {
    let file = open_regular(&special.path).ok_or(std::io::ErrorKind::NotFound)?;
    let data = file.metadata()?;
    if data.mode() & 0o7777 != special.mode || data.uid() != special.uid {
        return Err(std::io::Error::other("it has changed meanwhile"));
    }
    file.set_permissions(fs::Permissions::from_mode(special.mode & !BITS))
}

/// `None` for a list of another base, or of another form.
fn read(text: &[u8], base: &Path) -> Option<Known> {
    let mut lines = text.split(|&b| b == b'\n');
    if lines.next() != Some(header(base).as_slice()) {
        return None;
    }
    let mut known = Known::new();
    let mut last = None;
    for line in lines {
        match (line.strip_prefix(b" "), &last) {
            (None, _) => {
                last = special_of(line);
                known.extend(last.clone().map(|special| (special, None)));
            }
            (Some(told), Some(special)) => {
                known.insert(Special::clone(special), Some(fim::path::unescape(told).into_owned()));
            }
            (Some(_), None) => {}
        }
    }
    Some(known)
}

fn special_of(line: &[u8]) -> Option<Special> {
    let mut parts = line.splitn(4, |&b| b == b' ');
    let mut number =
        |radix| u32::from_str_radix(std::str::from_utf8(parts.next()?).ok()?, radix).ok();
    let (mode, uid, gid) = (number(8)?, number(10)?, number(10)?);
    let path = fim::path::unescape(parts.next()?).into_owned();
    Some(Special { path: PathBuf::from(OsStr::from_bytes(&path)), mode, uid, gid })
}

fn header(base: &Path) -> Vec<u8> {
    let base = fim::path::escape(base.as_os_str().as_bytes()).into_owned();
    [b"suid 1 /", base.as_slice().strip_prefix(b"/").unwrap_or(&base)].concat()
}

fn write(store: &Path, base: &Path, all: &[(Special, Option<Vec<u8>>)]) -> std::io::Result<()> {
    let mut text = header(base);
    text.push(b'\n');
    for (special, told) in all {
        let path = special.path.as_os_str().as_bytes();
        text.extend(format!("{:o} {} {} ", special.mode, special.uid, special.gid).bytes());
        text.extend_from_slice(&fim::path::escape(path));
        text.push(b'\n');
        if let Some(told) = told {
            text.extend([b" ", &*fim::path::escape(told), b"\n"].concat());
        }
    }
    let new = store.with_extension("new");
    let mut file: File =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(&text)?;
    file.sync_data()?;
    fs::rename(new, store)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_remembered_is_read_back_whatever_the_path() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("suid");
        let special = |path: &[u8], mode| Special {
            path: PathBuf::from(OsStr::from_bytes(path)),
            mode,
            uid: 0,
            gid: 42,
        };
        let all = [
            (special(b"/a b\n\xff\\012", 0o4755), Some(b"New 'a'\n.".to_vec())),
            (special(b"/c", 0o2755), None),
        ];
        write(&store, Path::new(""), &all).unwrap();
        let text = fs::read(&store).unwrap();
        assert_eq!(read(&text, Path::new("")), Some(Known::from(all)));
        assert_eq!(read(&text, Path::new("/srv")), None, "known of another base");
        for cut in 0..text.len() {
            assert!(read(&text[..cut], Path::new("")).is_none_or(|known| known.len() <= 2));
        }
    }
}
