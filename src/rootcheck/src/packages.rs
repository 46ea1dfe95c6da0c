//! What the package databases say of a file: dpkg's lists of MD5 sums, and whatever the caller can ask ([`Ships`]).
//!
//! A file that is as its package ships it is not accused. The database can be forged by an intruder who is root already; it is watched
//! itself, and what it vouches for is only what would be reported by a guess (a string, a name).

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use md5::{Digest, Md5};
use sha2::Sha256;

use crate::pace::Stopped;
use crate::scene::{Scene, hex, read_through, whole};

const INFO: &[u8] = b"/var/lib/dpkg/info";
/// Largest file that is compared.
const MAX_FILE: u64 = 1 << 30;

/// Whether a package ships exactly this content (MD5, SHA-256) in this place of our own system. Asked for few files: it may take a while.
pub type Ships = dyn Fn(&Path, [u8; 16], [u8; 32]) -> bool + Send;

/// Whether a package ships `path` (below the base) with exactly this content.
pub(crate) fn vouches(scene: &mut Scene<'_>, path: &Path) -> Result<bool, Stopped> {
    // The database knows a file by its real place.
    let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let base = fs::canonicalize(scene.at(b"")).unwrap_or_else(|_| PathBuf::from("/"));
    let Ok(name) = real.strip_prefix(&base) else { return Ok(false) };
    let name = name.as_os_str().as_bytes().to_vec();
    let (mut md5, mut sha256) = (Md5::new(), Sha256::new());
    let digested = read_through(&mut scene.pace, &real, MAX_FILE, &mut |chunk| {
        md5.update(chunk);
        sha256.update(chunk);
    })?;
    if digested.is_none() {
        return Ok(false);
    }
    let md5: [u8; 16] = md5.finalize().into();
    if base == Path::new("/") && (scene.ships)(&real, md5, sha256.finalize().into()) {
        return Ok(true);
    }
    let digest = hex(&md5);
    let Ok(folder) = fs::read_dir(scene.at(INFO)) else { return Ok(false) };
    for entry in folder.flatten() {
        scene.pace.step(2)?;
        let list = entry.path();
        if list.extension().is_none_or(|extension| extension != "md5sums") {
            continue;
        }
        let text = whole(&list).unwrap_or_default();
        scene.pace.step(u32::try_from(text.len() >> 12).unwrap_or(u32::MAX))?;
        if names(&text, &name, digest.as_bytes()) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a list of sums (`<md5>  <path>` each line) has this file with this sum.
fn names(list: &[u8], name: &[u8], digest: &[u8]) -> bool {
    let name = merged(name);
    list.split(|&b| b == b'\n').any(|line| {
        let Some((sum, path)) = line.split_at_checked(32) else { return false };
        sum == digest && merged(path.trim_ascii_start()) == name
    })
}

/// `bin/ls` and `usr/bin/ls` are the same file where `/bin` is a link to `/usr/bin`.
fn merged(path: &[u8]) -> &[u8] {
    path.strip_prefix(b"usr/").unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_by_its_place_and_its_sum() {
        let sum = "0123456789abcdef0123456789abcdef";
        let list = format!("{sum}  bin/ls\n{}  usr/bin/x y\ncut", sum.replace('0', "1"));
        let knows = |name: &str, sum: &str| names(list.as_bytes(), name.as_bytes(), sum.as_bytes());
        assert!(knows("bin/ls", sum) && knows("usr/bin/ls", sum));
        assert!(knows("usr/bin/x y", &sum.replace('0', "1")));
        assert!(!knows("usr/bin/x y", sum) && !knows("sbin/ls", sum) && !knows("", ""));
    }
    #[test]
    fn a_file_of_another_database_is_known_by_its_place_and_its_sums() {
        let folder = tempfile::tempdir().unwrap();
        let (file, other) = (folder.path().join("a"), folder.path().join("b"));
        fs::write(&file, "a").unwrap();
        fs::write(&other, "b").unwrap();
        crate::testing::told(|scene| {
            scene.ships = &|path, md5, sha256| {
                let (one, two): ([u8; 16], [u8; 32]) =
                    (Md5::digest("a").into(), Sha256::digest("a").into());
                path.ends_with("a") && (md5, sha256) == (one, two)
            };
            assert_eq!(vouches(scene, &file), Ok(true));
            assert_eq!(vouches(scene, &other), Ok(false));
            fs::write(&file, "another").unwrap();
            assert_eq!(vouches(scene, &file), Ok(false));
            Ok(())
        });
    }
}
