//! Files of known rootkits: there by any of several views, since a rootkit may hide them from some.

use std::collections::HashSet;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, statat};

use crate::grammar::rootkits::{RootkitFile, Rootkits};
use crate::pace::Stopped;
use crate::packages;
use crate::scene::{Scene, open_folder, shown};
use crate::walk;

/// Looks for each file of the list.
pub(crate) fn run(scene: &mut Scene<'_>, list: &Rootkits) -> Result<(), Stopped> {
    for file in &list.files {
        scene.pace.step(6)?;
        let path = scene.at(&file.path);
        if is_present(&path) {
            accuse(scene, file, &path)?;
        }
    }
    Ok(())
}

/// Tells of one, unless a package ships it.
pub(crate) fn accuse(
    scene: &mut Scene<'_>,
    file: &RootkitFile,
    path: &Path,
) -> Result<(), Stopped> {
    if packages::vouches(scene, path)? {
        return Ok(());
    }
    let digests = scene.digests(path)?;
    let name = fim::path::printable(&file.rootkit);
    let text: [&[u8]; 6] = [
        b"Rootkit '",
        &name,
        b"' detected by the presence of file '",
        &shown(path),
        b"'.",
        &digests,
    ];
    scene.found(&text)
}

fn is_present(path: &Path) -> bool {
    // By the kernel's door, by the C library, and by opening.
    statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW).is_ok()
        || std::fs::symlink_metadata(path).is_ok()
        || rustix::fs::open(path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
            .is_ok()
        || is_listed(path)
}

fn is_listed(path: &Path) -> bool {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return false };
    let Ok(folder) = open_folder(parent) else { return false };
    let names: HashSet<OsString> =
        walk::names(folder).unwrap_or_default().into_iter().map(OsString::from_vec).collect();
    names.contains(name)
}
