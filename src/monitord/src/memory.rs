//! What monitord remembers over a restart, in `queue/monitord/silent`: when it was last alive, and which silences it has
//! reported.
//!
//! ```text
//! monitord 1 1795213200
//! 1795210000 web1-10.0.0.7
//! ```
//!
//! Written whole. A file that is damaged is as good as none: at worst a silence is reported again.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};

use crate::roll_call::Epoch;
use crate::whole;

/// Folder below the install root.
pub const FOLDER: &str = "queue/monitord";
const FILE: &str = "silent";
/// More than ten times what 100,000 agents need.
const MOST: u64 = 256 << 20;

/// What was remembered.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Memory {
    /// When the daemon was last alive.
    pub alive: Option<Epoch>,
    /// The reported agents: file and modification time of their last sign of life.
    pub reported: BTreeMap<String, Epoch>,
}

impl Memory {
    /// Reads it; empty if there is none that can be read.
    pub fn load(root: &Path) -> Self {
        let mut text = String::new();
        match whole::open(&path(root)).and_then(|file| file.take(MOST).read_to_string(&mut text)) {
            Ok(_) => Self::parse(&text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::default(),
            Err(error) => {
                log::warn!(
                    "'{}' cannot be read ({error}): silent agents may be reported again.",
                    path(root).display()
                );
                Self::default()
            }
        }
    }

    fn parse(text: &str) -> Self {
        let mut lines = text.lines();
        let head = lines.next().and_then(|line| line.strip_prefix("monitord 1 "));
        let Some(alive) = head.and_then(|epoch| epoch.parse().ok()) else { return Self::default() };
        let reported = lines.filter_map(|line| {
            let (epoch, name) = line.split_once(' ')?;
            Some((name.to_owned(), epoch.parse().ok()?))
        });
        Self { alive: Some(alive), reported: reported.collect() }
    }

    fn text(&self) -> String {
        let mut text = format!("monitord 1 {}\n", self.alive.unwrap_or(0));
        for (name, epoch) in &self.reported {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{epoch} {name}");
        }
        text
    }

    /// Writes it in the place of the old one.
    ///
    /// # Errors
    /// The folder cannot be written, or the disk is full.
    pub fn store(&self, root: &Path) -> io::Result<()> {
        let path = path(root);
        let fresh = path.with_extension("new");
        match fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = fs::OpenOptions::new().write(true).create_new(true).open(&fresh)?;
        file.write_all(self.text().as_bytes())?;
        fs::rename(&fresh, &path)
    }
}

fn path(root: &Path) -> PathBuf {
    root.join(FOLDER).join(FILE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_stored_is_loaded_and_every_cut_is_survived() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join(FOLDER)).unwrap();
        assert_eq!(Memory::load(root.path()), Memory::default());
        let reported = BTreeMap::from([("a-any".to_owned(), -7), ("b c-1.2.3.4".to_owned(), 9)]);
        let memory = Memory { alive: Some(1_795_213_200), reported };
        memory.store(root.path()).unwrap();
        memory.store(root.path()).unwrap();
        assert_eq!(Memory::load(root.path()), memory);
        let text = memory.text();
        for cut in 0..text.len() {
            assert!(Memory::parse(&text[..cut]).reported.len() <= 2);
        }
    }
}
