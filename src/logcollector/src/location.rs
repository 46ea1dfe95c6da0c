//! Which files a `<location>` means: a path, a pattern (`/var/log/*.log`), a dated name (`/log/app-%Y-%m-%d.log`), or both.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use jiff::Zoned;
use jiff::fmt::strtime;
use settings::glob;

/// Folders that are watched for one location at the most; changes in the others are found by the re-scan.
const MAX_FOLDERS: usize = 1024;
const COMPRESSED: [&str; 6] = [".gz", ".bz2", ".xz", ".zst", ".lz4", ".zip"];

/// A location of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Location(pub String);

/// What a location means now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Meaning {
    /// The files. For a plain path that path, whether it exists or not.
    pub paths: Vec<PathBuf>,
    /// Folders in which a name that matches the part would change this meaning, or a file that it names.
    pub folders: Vec<(PathBuf, String)>,
}

impl Location {
    /// Whether the name has a date in it.
    pub(crate) fn is_dated(&self) -> bool {
        self.0.contains('%')
    }

    /// Whether it has wildcards.
    pub(crate) fn is_pattern(&self) -> bool {
        glob::is_pattern(&self.0)
    }

    /// Why the date conversions are not understood, if so.
    ///
    /// # Errors
    /// What is wrong with the conversions.
    pub(crate) fn check(&self, now: &Zoned) -> Result<(), String> {
        self.at(now).map(|_| ())
    }

    /// The name or pattern at this time.
    fn at(&self, now: &Zoned) -> Result<String, String> {
        if self.is_dated() {
            strtime::format(&self.0, now).map_err(|error| error.to_string())
        } else {
            Ok(self.0.clone())
        }
    }

    /// Looks at the file system.
    pub(crate) fn meaning(&self, now: &Zoned) -> Meaning {
        let name = self.at(now).unwrap_or_else(|_| self.0.clone());
        let paths =
            if glob::is_pattern(&name) { files_of(&name) } else { vec![PathBuf::from(&name)] };
        Meaning { paths, folders: folders_of(&name) }
    }
}

/// The files that match. Compressed ones are the rotated generations of others, and not text: only a pattern that names
/// their suffix means them.
fn files_of(pattern: &str) -> Vec<PathBuf> {
    let is_meant = |path: &PathBuf| {
        let name = path.as_os_str().as_bytes();
        COMPRESSED
            .iter()
            .all(|suffix| !name.ends_with(suffix.as_bytes()) || pattern.ends_with(suffix))
    };
    glob::expand(pattern).into_iter().filter(|path| path.is_file() && is_meant(path)).collect()
}

/// The folders in which something can happen that concerns `pattern`, each with the part of the pattern that counts there.
fn folders_of(pattern: &str) -> Vec<(PathBuf, String)> {
    let parts: Vec<&str> = pattern.split('/').filter(|part| !part.is_empty()).collect();
    let mut folders = Vec::new();
    let mut prefix = String::new();
    for (at, part) in parts.iter().enumerate() {
        let is_last = at + 1 == parts.len();
        let above = if prefix.is_empty() { "/" } else { prefix.as_str() };
        let next = format!("{prefix}/{part}");
        // A part that exists and is no pattern cannot change the meaning by coming into being.
        if is_last || glob::is_pattern(part) || !exists(&next) {
            let found = if glob::is_pattern(above) {
                glob::expand(above)
            } else {
                vec![PathBuf::from(above)]
            };
            let room = MAX_FOLDERS.saturating_sub(folders.len());
            folders.extend(
                found
                    .into_iter()
                    .filter(|f| f.is_dir())
                    .take(room)
                    .map(|f| (f, (*part).to_owned())),
            );
        }
        prefix = next;
    }
    folders
}

fn exists(pattern: &str) -> bool {
    if glob::is_pattern(pattern) {
        !glob::expand(pattern).is_empty()
    } else {
        Path::new(pattern).exists()
    }
}

/// Whether a name in a folder concerns a part of a pattern.
pub(crate) fn concerns(part: &str, name: &OsStr) -> bool {
    glob::matches(part.as_bytes(), name.as_bytes()) || part.as_bytes() == name.as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn noon() -> Zoned {
        "2026-11-21T12:00:00+00:00[UTC]".parse().unwrap()
    }

    #[test]
    fn a_dated_name_follows_the_clock() {
        let location = Location("/log/app-%Y-%m-%d.log".to_owned());
        assert!(location.is_dated());
        assert_eq!(location.meaning(&noon()).paths, [PathBuf::from("/log/app-2026-11-21.log")]);
        assert!(Location("/log/%!".to_owned()).check(&noon()).is_err());
    }

    #[test]
    fn a_pattern_means_the_files_that_are_there_but_no_compressed_ones() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a.log", "b.log", "b.log.2.gz"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        fs::create_dir(dir.path().join("d.log")).unwrap();
        let location = Location(format!("{}/*.log*", dir.path().display()));
        let meaning = location.meaning(&noon());
        assert_eq!(meaning.paths, [dir.path().join("a.log"), dir.path().join("b.log")]);
        assert_eq!(meaning.folders, [(dir.path().to_owned(), "*.log*".to_owned())]);
    }

    #[test]
    fn the_folder_above_a_missing_one_counts() {
        let dir = tempfile::tempdir().unwrap();
        let location = Location(format!("{}/new/sub/x.log", dir.path().display()));
        let folders = location.meaning(&noon()).folders;
        assert_eq!(folders, [(dir.path().to_owned(), "new".to_owned())]);
        fs::create_dir_all(dir.path().join("new/sub")).unwrap();
        let folders = location.meaning(&noon()).folders;
        assert_eq!(folders, [(dir.path().join("new/sub"), "x.log".to_owned())]);
    }

    #[test]
    fn every_folder_that_matches_counts() {
        let dir = tempfile::tempdir().unwrap();
        for sub in ["one", "two"] {
            fs::create_dir(dir.path().join(sub)).unwrap();
        }
        let folders =
            Location(format!("{}/*/x.log", dir.path().display())).meaning(&noon()).folders;
        let expected = [("", "*"), ("one", "x.log"), ("two", "x.log")];
        let expected: Vec<_> = expected
            .iter()
            .map(|(f, p)| {
                (
                    if f.is_empty() { dir.path().to_owned() } else { dir.path().join(f) },
                    (*p).to_owned(),
                )
            })
            .collect();
        assert_eq!(folders, expected);
    }
}
