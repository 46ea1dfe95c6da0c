//! Libraries that are loaded into every program: what `/etc/ld.so.preload` names, and whether the C library shows that file at all.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use rustix::fs::{AtFlags, CWD, statat};

use crate::pace::Stopped;
use crate::packages;
use crate::scene::{Scene, below, shown, whole};

const LIST: &[u8] = b"/etc/ld.so.preload";
/// Libraries of one list that are told.
const MAX_LIBRARIES: usize = 100;

/// Looks at the list and at each library.
pub(crate) fn run(scene: &mut Scene<'_>) -> Result<(), Stopped> {
    let list = scene.at(LIST);
    // The kernel is asked past the C library, which a preloaded library may have changed under us.
    let is_there = statat(CWD, &list, AtFlags::SYMLINK_NOFOLLOW).is_ok();
    if is_there
        && std::fs::symlink_metadata(&list).is_err()
        && statat(CWD, &list, AtFlags::SYMLINK_NOFOLLOW).is_ok()
    {
        scene.found(&[
            b"File '",
            &shown(&list),
            b"' hidden from programs that use the C library. Possible user-level rootkit.",
        ])?;
    }
    for library in libraries(&whole(&list).unwrap_or_default()) {
        let path = below(&scene.base, library);
        if packages::vouches(scene, &path)? {
            continue;
        }
        let digests = scene.digests(&std::fs::canonicalize(&path).unwrap_or(path))?;
        let library = shown(&PathBuf::from(OsStr::from_bytes(library)));
        let text: [&[u8]; 6] = [
            b"Library '",
            &library,
            b"' is loaded into every program by '",
            &shown(&list),
            b"'.",
            &digests,
        ];
        scene.found(&text)?;
    }
    Ok(())
}

/// Separated by blanks or colons; what follows `#` is a comment. See ld.so(8).
fn libraries(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let lines = list.split(|&b| b == b'\n');
    let lines = lines.map(|line| line.split(|&b| b == b'#').next().unwrap_or_default());
    let names =
        lines.flat_map(|line| line.split(|b| b.is_ascii_whitespace() || *b == b':' || *b == 0));
    names.filter(|name| !name.is_empty()).take(MAX_LIBRARIES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_stand_between_blanks_colons_and_comments() {
        let list = b"# none\n/lib/a.so:/lib/b.so\t/lib/c.so # d\n\n";
        let found: Vec<_> = libraries(list).collect();
        assert_eq!(found, [b"/lib/a.so", b"/lib/b.so", b"/lib/c.so"]);
    }
}
