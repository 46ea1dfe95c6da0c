//! The bounded folder of last contents.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use fim::diff;
use sha2::{Digest, Sha256};

use super::kept::Kept;

/// A comparison may take so long before it becomes coarse.
const PATIENCE: Duration = Duration::from_millis(200);

/// How much is kept.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Larger files have no diffs, in bytes.
    pub file: u64,
    /// All contents together, compressed, in bytes.
    pub total: u64,
}

/// The last content of each text file.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    limits: Limits,
    used: u64,
    /// By name: size and place in `order`.
    files: HashMap<Name, (u64, u64)>,
    /// Oldest change first.
    order: BTreeMap<u64, Name>,
    changes: u64,
    complained: bool,
}

/// The first half of the path's SHA-256.
type Name = [u8; 16];

impl Store {
    /// Takes stock of the folder, which is made if it is not there.
    ///
    /// # Errors
    /// The folder cannot be made or read.
    pub fn open(folder: &Path, limits: Limits) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let mut found: Vec<(SystemTime, u64, Name)> = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            // What is not ours, for instance another suite's folders, stays as it is.
            let Some(name) = entry.file_name().to_str().and_then(parse) else { continue };
            let metadata = entry.metadata()?;
            found.push((
                metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH),
                metadata.len(),
                name,
            ));
        }
        found.sort_unstable();
        let mut store = Self {
            folder: folder.to_owned(),
            limits,
            used: 0,
            files: HashMap::new(),
            order: BTreeMap::new(),
            changes: 0,
            complained: false,
        };
        for (_, size, name) in found {
            store.enter(name, size);
        }
        store.make_room(None);
        Ok(store)
    }

    /// Whether contents of this size are kept at all.
    pub fn takes(&self, size: u64) -> bool {
        size <= self.limits.file
    }

    /// Keeps a file's content, and says what changed since the last time: nothing when it was not known, is no text, or is the same. Told
    /// the same content twice in a row, it says the same.
    pub fn changed(&mut self, path: &[u8], content: &[u8]) -> Option<Vec<u8>> {
        if !self.takes(content.len() as u64) || !diff::is_text(content) {
            self.forget(path);
            return None;
        }
        let known = self.read(path);
        let (before, write) = match known {
            Some(kept) if kept.now == content => (kept.before, false),
            Some(kept) => (Some(kept.now), true),
            None => (None, true),
        };
        let deadline = Some(Instant::now() + PATIENCE);
        let lines =
            before.as_ref().map(|before| diff::cut(diff::normal(before, content, deadline)));
        if write {
            let kept = Kept { path: path.to_vec(), before, now: content.to_vec() };
            self.keep(&kept);
        }
        lines.filter(|lines| !lines.is_empty())
    }

    /// Keeps a content to compare with later. One that is kept already is not written again.
    pub fn remember(&mut self, path: &[u8], content: &[u8]) {
        self.changed(path, content);
    }

    /// Keeps nothing of this path any more: it is gone, or no text.
    pub fn forget(&mut self, path: &[u8]) {
        self.remove(name_of(path));
    }

    /// Bytes on disk.
    pub fn used(&self) -> u64 {
        self.used
    }

    fn read(&self, path: &[u8]) -> Option<Kept> {
        let name = name_of(path);
        let (size, _) = *self.files.get(&name)?;
        let mut bytes = Vec::new();
        let file = File::open(self.place(&name)).ok()?;
        file.take(size.saturating_mul(2).max(4096)).read_to_end(&mut bytes).ok()?;
        let most = 2 * self.limits.file + (path.len() as u64) + 64;
        Kept::decode(&bytes, most).filter(|kept| kept.path == path)
    }

    fn keep(&mut self, kept: &Kept) {
        let name = name_of(&kept.path);
        match kept.encode().and_then(|bytes| self.write(&name, &bytes)) {
            Ok(size) => {
                self.leave(&name);
                self.enter(name, size);
                self.make_room(Some(name));
                self.complained = false;
            }
            Err(error) => {
                // Compared with an older content, a later diff would name too much.
                self.remove(name);
                if !self.complained {
                    self.complained = true;
                    let folder = self.folder.display();
                    log::warn!(
                        "Unable to keep a file's content in '{folder}' for report_changes: {error}. \
                         Changes are told without their lines until there is room."
                    );
                }
            }
        }
    }

    fn write(&self, name: &Name, bytes: &[u8]) -> io::Result<u64> {
        let beside = self.folder.join("new");
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(bytes)?;
        fs::rename(&beside, self.place(name))?;
        Ok(bytes.len() as u64)
    }

    fn remove(&mut self, name: Name) {
        if self.leave(&name) {
            // Gone already is as good.
            let _ = fs::remove_file(self.place(&name));
        }
    }

    fn make_room(&mut self, except: Option<Name>) {
        while self.used > self.limits.total {
            let oldest = self.order.values().find(|name| Some(**name) != except).copied();
            let Some(oldest) = oldest else { return };
            self.remove(oldest);
        }
    }

    fn enter(&mut self, name: Name, size: u64) {
        self.changes += 1;
        self.files.insert(name, (size, self.changes));
        self.order.insert(self.changes, name);
        self.used += size;
    }

    fn leave(&mut self, name: &Name) -> bool {
        let Some((size, change)) = self.files.remove(name) else { return false };
        self.order.remove(&change);
        self.used -= size;
        true
    }

    fn place(&self, name: &Name) -> PathBuf {
        let digits: String = name.iter().map(|byte| format!("{byte:02x}")).collect();
        self.folder.join(digits + ".zst")
    }
}

fn name_of(path: &[u8]) -> Name {
    let digest: [u8; 32] = Sha256::digest(path).into();
    let mut name = [0; 16];
    name.copy_from_slice(&digest[..16]);
    name
}

fn parse(file_name: &str) -> Option<Name> {
    let digits = file_name.strip_suffix(".zst").filter(|digits| digits.len() == 32)?;
    let number = u128::from_str_radix(digits, 16).ok()?;
    Some(number.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { file: 1 << 16, total: 1 << 20 };

    fn opened(folder: &tempfile::TempDir) -> Store {
        Store::open(folder.path(), LIMITS).unwrap()
    }

    #[test]
    fn a_change_is_told_by_its_lines() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = opened(&folder);
        assert_eq!(store.changed(b"/a", b"one\n"), None);
        assert_eq!(store.changed(b"/a", b"two\n"), Some(b"1c1\n< one\n---\n> two\n".to_vec()));
    }

    #[test]
    fn after_a_restart_the_content_is_known() {
        let folder = tempfile::tempdir().unwrap();
        opened(&folder).remember(b"/a", b"one\n");
        assert_eq!(opened(&folder).changed(b"/a", b"one\ntwo\n"), Some(b"1a2\n> two\n".to_vec()));
    }

    #[test]
    fn a_change_that_is_told_again_has_the_same_lines() {
        let folder = tempfile::tempdir().unwrap();
        opened(&folder).remember(b"/a", b"one\n");
        let first = opened(&folder).changed(b"/a", b"two\n");
        assert_eq!(opened(&folder).changed(b"/a", b"two\n"), first);
        assert!(first.is_some());
    }

    #[test]
    fn a_forgotten_file_begins_anew() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = opened(&folder);
        store.remember(b"/a", b"one\n");
        store.forget(b"/a");
        assert_eq!((store.changed(b"/a", b"two\n"), store.files.len()), (None, 1));
    }

    #[test]
    fn binary_and_large_files_are_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = opened(&folder);
        store.remember(b"/a", b"one\n");
        assert_eq!(store.changed(b"/a", b"\0\0"), None);
        assert_eq!(store.changed(b"/b", &vec![b'x'; (1 << 16) + 1]), None);
        assert_eq!((store.used(), fs::read_dir(folder.path()).unwrap().count()), (0, 0));
    }

    #[test]
    fn what_changed_longest_ago_makes_room() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = opened(&folder);
        store.remember(b"/one", b"x\n");
        let size = store.used();
        store.limits.total = 2 * size + size / 2;
        store.remember(b"/two", b"x\n");
        store.changed(b"/one", b"y\n");
        store.remember(b"/six", b"x\n");
        assert!(store.used() <= store.limits.total);
        assert_eq!(store.changed(b"/two", b"z\n"), None, "it made room");
        assert!(store.changed(b"/six", b"z\n").is_some());
    }

    #[test]
    fn a_damaged_file_is_a_file_that_is_not_known() {
        let folder = tempfile::tempdir().unwrap();
        opened(&folder).remember(b"/a", b"one\n");
        let file = fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
        fs::write(file, "damaged").unwrap();
        assert_eq!(opened(&folder).changed(b"/a", b"two\n"), None);
    }

    #[test]
    fn foreign_files_stay() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("etc/hosts")).unwrap();
        fs::write(folder.path().join("last-entry"), "x").unwrap();
        let limits = Limits { total: 0, ..LIMITS };
        Store::open(folder.path(), limits).unwrap().remember(b"/a", b"one\n");
        assert!(
            folder.path().join("etc/hosts").exists() && folder.path().join("last-entry").exists()
        );
    }
}
