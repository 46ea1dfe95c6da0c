//! Where the suite is installed: the folder that holds bin, etc, queue, logs and the rest.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// The install root if nothing says otherwise.
pub const DEFAULT: &str = "/var/ossec";

/// Finds the install root: `given` (from `-D`), else `$OXSEC_ROOT`, else the parent of the `bin/` in which this
/// program lies if `etc/` is beside it, else `DIRECTORY=` of `/etc/ossec-init.conf`, else `/var/ossec`.
///
/// Absolute, since a daemon leaves its working folder.
pub fn find(given: Option<&Path>) -> PathBuf {
    let root = given
        .map(Path::to_path_buf)
        .or_else(|| env::var_os("OXSEC_ROOT").filter(|root| !root.is_empty()).map(PathBuf::from))
        .or_else(|| around(&env::current_exe().ok()?))
        .or_else(|| written_in(&fs::read_to_string("/etc/ossec-init.conf").ok()?))
        .unwrap_or_else(|| PathBuf::from(DEFAULT));
    std::path::absolute(&root).unwrap_or(root)
}

/// `/opt/o` for `/opt/o/bin/ossec-execd`, if `/opt/o/etc` exists.
fn around(program: &Path) -> Option<PathBuf> {
    let bin = program.parent().filter(|bin| bin.ends_with("bin"))?;
    let root = bin.parent().filter(|root| root.join("etc").is_dir())?;
    // These hold an etc/ of the system, so they say nothing about where the suite is.
    let shared = ["/", "/usr", "/usr/local"].map(Path::new);
    (!shared.contains(&root)).then(|| root.to_path_buf())
}

/// The value of `DIRECTORY="/var/ossec"`.
fn written_in(init: &str) -> Option<PathBuf> {
    let value = init.lines().find_map(|line| line.trim().strip_prefix("DIRECTORY="))?;
    let value = value.trim().trim_matches('"');
    value.starts_with('/').then(|| PathBuf::from(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_given_root_wins_and_becomes_absolute() {
        assert_eq!(find(Some(Path::new("/opt/o"))), Path::new("/opt/o"));
        assert!(find(Some(Path::new("here"))).is_absolute());
    }

    #[test]
    fn the_root_around_a_program_has_etc_beside_bin() {
        let temp = tempfile::tempdir().unwrap();
        let program = temp.path().join("bin/ossec-execd");
        assert_eq!(around(&program), None);
        fs::create_dir(temp.path().join("etc")).unwrap();
        assert_eq!(around(&program).as_deref(), Some(temp.path()));
        assert_eq!(around(&temp.path().join("sbin/ossec-execd")), None);
        assert_eq!(around(Path::new("")), None);
    }

    #[test]
    fn the_folder_is_read_from_the_init_file() {
        let init = "VERSION=\"v4\"\nDIRECTORY=\"/opt/ossec\"\nTYPE=\"local\"\n";
        assert_eq!(written_in(init), Some(PathBuf::from("/opt/ossec")));
        for bad in ["", "DIRECTORY=", "DIRECTORY=\"relative\"", "#DIRECTORY=/x"] {
            assert_eq!(written_in(bad), None, "{bad}");
        }
    }
}
