//! Random changes of a tree, and a note of each state that a path of it ever had.
//!
//! Each change is made of steps (a file is truncated, then written to); after each step the states of the paths that it touched are
//! noted, so that whatever a watcher may have seen in between is known.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, mknodat};
use sha2::{Digest, Sha256};

/// Names to choose from, odd ones among them.
const NAMES: [&[u8]; 16] = [
    b"a",
    b"b",
    b"c.conf",
    b"d",
    b"e",
    b"f",
    b"g",
    b"h",
    b"with blank",
    b"line\nfeed",
    b"back\\012slash",
    b"bad\xff\xfeutf8",
    b"-1",
    b"@note",
    b" leading",
    b"z",
];
/// More files than this are not kept for long.
const MANY: usize = 300;

/// A file's sum as it is sent: size, mode, owner, group, SHA-256.
pub(crate) type Sum = String;
/// What is told of a path where there is no file.
pub(crate) const GONE: &str = "-1";

/// Reproducible chance (xorshift).
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % end
    }

    fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    fn bytes(&mut self) -> Vec<u8> {
        let len = self.below(5000);
        (0..len).map(|_| self.below(256) as u8).collect()
    }
}

/// The tree.
pub(crate) struct Tree {
    root: PathBuf,
    chance: Chance,
    /// Whether a file may be changed by another of its names, or a link's target: what no event tells.
    unseen_ways: bool,
    /// Whether what was noted is of interest.
    states: Option<HashMap<String, HashSet<Sum>>>,
    is_root: bool,
}

impl Tree {
    /// `unseen_ways`: with changes that no realtime event of the path itself tells. Then states are not noted.
    pub(crate) fn new(root: PathBuf, seed: u64, unseen_ways: bool) -> Self {
        let states = (!unseen_ways).then(HashMap::new);
        let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
        let mut tree = Self { root, chance: Chance::new(seed), unseen_ways, states, is_root };
        tree.note_below(&tree.root.clone());
        tree
    }

    /// All files with their sums, by name as sent.
    pub(crate) fn sums(&self) -> BTreeMap<String, Sum> {
        let (files, _) = self.list();
        files.into_iter().filter_map(|path| Some((self.name(&path), sum(&path)?))).collect()
    }

    /// What a path was like in between is of no interest from now on.
    pub(crate) fn forget_states(&mut self) {
        self.states = None;
    }

    /// One of the folders, not the tree's own.
    pub(crate) fn one_folder(&mut self) -> PathBuf {
        let (_, folders) = self.list();
        self.chance.one(folders.get(1..).unwrap()).clone()
    }

    /// Writes into files of a folder, of which some are new.
    pub(crate) fn write_into(&mut self, folder: &Path, times: usize) {
        for _ in 0..times {
            let name = self.chance.one::<&[u8]>(&NAMES);
            self.write(&folder.join(OsStr::from_bytes(name)));
        }
    }

    /// Whether a path ever was like that.
    pub(crate) fn was_ever(&self, name: &str, sum: &str) -> bool {
        let Some(states) = &self.states else { return true };
        let is_one = |states: &HashSet<Sum>| states.iter().any(|state| agree(state, sum));
        sum == GONE || states.get(name).is_some_and(is_one)
    }

    /// Makes one random change.
    pub(crate) fn change(&mut self) {
        let (mut files, folders) = self.list();
        // With a second name they would grow where no event tells of it.
        files.retain(|file| self.unseen_ways || !grows(file));
        let kind = if files.len() > MANY { 13 } else { self.chance.below(18) };
        let name = self.chance.one::<&[u8]>(&NAMES);
        let new = self.chance.one(&folders).join(OsStr::from_bytes(name));
        if kind < 3 || files.is_empty() {
            return self.write(&new);
        }
        let file = self.chance.one(&files).clone();
        match kind {
            3 => self.append(&file),
            4 => self.truncate(&file),
            5 => self.chmod(&file),
            6 => self.chown(&file),
            7 => self.rename(&file, &new),
            8 => self.replace(&file),
            9 if !new.exists() && !new.is_symlink() => {
                fs::hard_link(&file, &new).unwrap();
                self.note(&new);
            }
            10 => self.write_with_forged_time(&file),
            11 => self.recreate(&file),
            12 => self.link(&new),
            13 => self.remove_folder_or(&folders, &file),
            14 => self.make_folder(&new),
            15 => self.rename_folder(&folders, &new),
            16 => self.make_special(&new),
            _ => self.remove(&file),
        }
    }

    /// A file that bears so many names, one after the other.
    pub(crate) fn flood(&mut self, names: usize) {
        let mut path = self.root.join("flood");
        self.write(&path);
        for number in 0..names {
            let next = self.root.join(format!("flood{number}"));
            self.rename(&path, &next);
            path = next;
        }
    }

    /// A write by which other names of the file change too is left out where no one could notice.
    fn may_change(&self, file: &Path) -> bool {
        let facts = file.symlink_metadata().unwrap();
        facts.is_file() && (self.unseen_ways || facts.nlink() == 1)
    }

    fn may_write(&self, file: &Path) -> bool {
        self.may_change(file) && self.is_open(file)
    }

    /// Whether its owner may read and write it.
    fn is_open(&self, file: &Path) -> bool {
        self.is_root || file.symlink_metadata().unwrap().mode() & 0o600 == 0o600
    }

    fn write(&mut self, path: &Path) {
        let there = path.symlink_metadata().is_ok();
        if there && (!path.symlink_metadata().unwrap().is_file() || !self.may_write(path)) {
            return;
        }
        let content = self.chance.bytes();
        let mut file = File::create(path).unwrap();
        self.note(path);
        self.extend(path, &mut file, &content);
    }

    /// Page by page, as the kernel does it: in between others may see a file that ends with a page.
    fn extend(&mut self, path: &Path, file: &mut File, content: &[u8]) {
        const PAGE: usize = 4096;
        let mut rest = content;
        let mut at = file.metadata().unwrap().len() as usize;
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at(rest.len().min(PAGE - at % PAGE));
            file.write_all(piece).unwrap();
            self.note(path);
            (at, rest) = (at + piece.len(), behind);
        }
    }

    fn append(&mut self, path: &Path) {
        if self.may_write(path) {
            let content = self.chance.bytes();
            let mut file = OpenOptions::new().append(true).open(path).unwrap();
            self.extend(path, &mut file, &content);
        }
    }

    fn truncate(&mut self, path: &Path) {
        if self.may_write(path) {
            let len = self.chance.below(3000) as u64;
            OpenOptions::new().write(true).open(path).unwrap().set_len(len).unwrap();
            self.note(path);
        }
    }

    /// Other content of the same size, with the old time of modification.
    fn write_with_forged_time(&mut self, path: &Path) {
        let facts = path.symlink_metadata().unwrap();
        if facts.is_file() && self.may_write(path) && facts.len() > 0 {
            let mut file = OpenOptions::new().write(true).open(path).unwrap();
            file.write_all(&[self.chance.below(256) as u8]).unwrap();
            self.note(path);
            file.set_modified(facts.modified().unwrap()).unwrap();
        }
    }

    fn chmod(&mut self, path: &Path) {
        if self.may_change(path) {
            // Root reads the last ones, too.
            let modes = [0o644, 0o600, 0o755, 0o640, 0o4755, 0o000, 0o200];
            let mode = *self.chance.one(if self.is_root { &modes[..5] } else { &modes });
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
            self.note(path);
        }
    }

    fn chown(&mut self, path: &Path) {
        if self.is_root && self.may_write(path) {
            let (user, group) = (self.chance.below(5) as u32, self.chance.below(5) as u32);
            chown(path, Some(user), Some(group)).unwrap();
            self.note(path);
        }
    }

    fn rename(&mut self, from: &Path, to: &Path) {
        if !to.is_dir() || to.is_symlink() {
            fs::rename(from, to).unwrap();
            self.note(from);
            self.note(to);
        }
    }

    /// As editors do it.
    fn replace(&mut self, path: &Path) {
        let temporary = path.with_file_name(".temporary");
        self.write(&temporary);
        self.rename(&temporary, path);
    }

    /// Deleted, and there again with the same content.
    fn recreate(&mut self, path: &Path) {
        if path.symlink_metadata().unwrap().is_file() && self.is_open(path) {
            let content = fs::read(path).unwrap();
            self.remove(path);
            let mut file = File::create(path).unwrap();
            self.note(path);
            self.extend(path, &mut file, &content);
        }
    }

    fn link(&mut self, path: &Path) {
        if path.symlink_metadata().is_err() {
            let of_tree: &[&str] = &["a", "../a", "b"];
            let outside: &[&str] = &["/proc/version", "nothing is here", "/"];
            let target = *self.chance.one(if self.unseen_ways { of_tree } else { outside });
            symlink(target, path).unwrap();
            self.note(path);
        }
    }

    /// A FIFO, a socket or a device, also in the place of a file.
    fn make_special(&mut self, path: &Path) {
        let kinds = [FileType::Fifo, FileType::Socket, FileType::CharacterDevice];
        let kind = *self.chance.one(if self.is_root { &kinds } else { &kinds[..2] });
        let temporary = path.with_file_name(".special");
        let null = rustix::fs::makedev(1, 3);
        mknodat(CWD, &temporary, kind, 0o644.into(), null).unwrap();
        match path.symlink_metadata() {
            Ok(facts) if facts.is_dir() => fs::remove_file(&temporary).unwrap(),
            _ => self.rename(&temporary, path),
        }
    }

    fn remove(&mut self, path: &Path) {
        fs::remove_file(path).unwrap();
        self.note(path);
    }

    fn make_folder(&mut self, path: &Path) {
        // Where a file was there may be a folder.
        if path.is_file() || path.is_symlink() {
            self.remove(path);
        }
        if !path.exists() && path.components().count() < self.root.components().count() + 5 {
            fs::create_dir(path).unwrap();
        }
    }

    fn remove_folder_or(&mut self, folders: &[PathBuf], file: &Path) {
        let folder = self.chance.one(folders).clone();
        if folder == self.root || self.chance.below(3) > 0 {
            return self.remove(file);
        }
        fs::remove_dir_all(&folder).unwrap();
    }

    fn rename_folder(&mut self, folders: &[PathBuf], to: &Path) {
        let from = self.chance.one(folders).clone();
        if from != self.root && !to.starts_with(&from) && to.symlink_metadata().is_err() {
            fs::rename(&from, to).unwrap();
            self.note_below(to);
        }
    }

    fn note(&mut self, path: &Path) {
        let name = self.name(path);
        if let Some(states) = &mut self.states
            && let Some(sum) = sum(path)
        {
            states.entry(name).or_default().insert(sum);
        }
    }

    fn note_below(&mut self, folder: &Path) {
        for path in list(folder).0 {
            self.note(&path);
        }
    }

    fn list(&self) -> (Vec<PathBuf>, Vec<PathBuf>) {
        list(&self.root)
    }

    /// As it is sent, as text.
    fn name(&self, path: &Path) -> String {
        let name = path.strip_prefix(&self.root).unwrap().as_os_str().as_bytes();
        String::from_utf8_lossy(&fim::path::escape(name)).into_owned()
    }
}

/// The name of a file to which somebody else appends.
pub(crate) fn growing(number: usize) -> String {
    format!("growing{}", number % 3)
}

fn grows(file: &Path) -> bool {
    file.file_name().is_some_and(|name| name.as_bytes().starts_with(b"growing"))
}

/// Files (and links), and folders, the first one included.
fn list(folder: &Path) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let (mut files, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    let mut at = 0;
    while let Some(folder) = folders.get(at).cloned() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let kind = entry.file_type().unwrap();
            if kind.is_dir() { folders.push(entry.path()) } else { files.push(entry.path()) }
        }
        at += 1;
    }
    files.sort();
    folders.sort();
    (files, folders)
}

/// In the place of a digest that nobody can make: any one agrees with it, since the last known one stays.
const UNREADABLE: &str = "?";

/// Whether a sum that was told is that of a file.
pub(crate) fn agree(there: &str, told: &str) -> bool {
    match there.strip_suffix(UNREADABLE) {
        Some(before) => told.strip_prefix(before).is_some_and(|digest| !digest.contains(':')),
        None => there == told,
    }
}

/// Made without any of the parts that are tested. Of what is neither a file nor a link nothing is told.
fn sum(path: &Path) -> Option<Sum> {
    let facts = path.symlink_metadata().ok()?;
    if !facts.is_file() && !facts.is_symlink() {
        return None;
    }
    let target = fs::metadata(path).ok().filter(fs::Metadata::is_file);
    let digest = match target.map(|_| fs::read(path).map(Sha256::digest)) {
        Some(Ok(digest)) => digest.iter().map(|byte| format!("{byte:02x}")).collect(),
        Some(Err(_)) => UNREADABLE.to_owned(),
        None => "xxx".to_owned(),
    };
    let (size, mode, user, group) = (facts.len(), facts.mode(), facts.uid(), facts.gid());
    Some(format!("{size}:{mode}:{user}:{group}:xxx:xxx:{digest}"))
}
