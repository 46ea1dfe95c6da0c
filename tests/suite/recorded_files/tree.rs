//! The watched tree, brought from step to step by what the recorded rows say of each file.
//!
//! Each change of a file is one system call, so that nobody who looks at it in between sees half of it.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use pattern::Match;
use settings::Ignore;

use super::below;
use super::contents::Contents;
use super::recording::{Recording, Row, folders};

pub(super) struct Tree<'a> {
    /// Stands for `/`.
    root: PathBuf,
    contents: &'a Contents,
    /// What is there, by its path as recorded.
    now: BTreeMap<String, Row>,
    gone: Vec<Row>,
}

impl<'a> Tree<'a> {
    pub(super) fn new(root: PathBuf, contents: &'a Contents) -> Self {
        Self { root, contents, now: BTreeMap::new(), gone: Vec::new() }
    }

    pub(super) fn make_folders(&self, recording: &Recording) {
        for folder in folders(recording) {
            fs::create_dir_all(below(&self.root, &folder.display().to_string())).expect("folder");
        }
    }

    /// Makes the tree what these rows say.
    pub(super) fn apply(&mut self, rows: &[Row]) {
        let (gone, there): (Vec<&Row>, Vec<&Row>) = rows.iter().partition(|row| row.is_gone());
        for row in gone {
            let Some(before) = self.now.get(&row.path).cloned() else { continue };
            let moved = there
                .iter()
                .find(|there| there.sum == before.sum && !self.now.contains_key(&there.path));
            match moved {
                Some(to) => {
                    fs::rename(self.place(&row.path), self.place(&to.path)).expect("rename");
                    self.now.remove(&row.path);
                    self.now.insert(to.path.clone(), (*to).clone());
                }
                None => drop(self.delete(&row.path)),
            }
        }
        let (links, files): (Vec<&Row>, Vec<&Row>) = there.iter().partition(|row| row.is_link());
        for row in files.into_iter().chain(links) {
            if row.is_link() {
                self.link(row)
            } else {
                self.put(row)
            }
            self.now.insert(row.path.clone(), row.clone());
        }
    }

    /// Whether there was one.
    pub(super) fn delete(&mut self, path: &str) -> bool {
        let Some(row) = self.now.remove(path) else { return false };
        fs::remove_file(self.place(path)).expect("remove");
        self.gone.push(row);
        true
    }

    /// The file that was deleted last comes back as it was.
    pub(super) fn bring_back(&mut self) -> Option<Row> {
        let row = self.gone.pop()?;
        self.apply(std::slice::from_ref(&row));
        Some(Row { diff: String::new(), ..row })
    }

    fn put(&self, row: &Row) {
        let (path, content) = (self.place(&row.path), self.contents.get(row.content()));
        let before = self.now.get(&row.path).filter(|before| !before.is_link());
        let is_same =
            |field| before.is_some_and(|before| before.number(field) == row.number(field));
        let old = before.map(|before| self.contents.get(before.content()));
        let is_owned = is_same(2) && is_same(3);
        match (old, is_same(1), is_owned) {
            (Some(old), true, true) if old == content => {}
            (Some(old), true, true) if content.starts_with(old) => {
                let mut file = OpenOptions::new().append(true).open(&path).expect("open");
                file.write_all(&content[old.len()..]).expect("append");
            }
            (Some(old), true, true) if content.len() >= old.len() => {
                let mut file = OpenOptions::new().write(true).open(&path).expect("open");
                file.write_all(content).expect("write");
            }
            (Some(old), false, true) if old == content => {
                fs::set_permissions(&path, mode(row)).expect("chmod");
            }
            (Some(old), true, false) if old == content => give(&path, row),
            _ => {
                let beside = self.root.join("beside");
                fs::write(&beside, content).expect("write");
                give(&beside, row);
                fs::set_permissions(&beside, mode(row)).expect("chmod");
                fs::rename(&beside, &path).expect("rename");
            }
        }
    }

    /// Points a link to a file that has the content that it is to show, by a name of the length that it is to have.
    fn link(&self, row: &Row) {
        let place = self.place(&row.path);
        let shows = |target: &Path| {
            let content = fs::read(place.parent().expect("a folder").join(target));
            content.is_ok_and(|content| content == self.contents.get(row.content()))
        };
        let size = usize::try_from(row.number(0)).expect("a length");
        let fits = |target: &PathBuf| target.as_os_str().len() == size && shows(target);
        if fs::read_link(&place).is_ok_and(|target| fits(&target)) {
            return;
        }
        let folder = Path::new(&row.path).parent().expect("a folder");
        let names = self.now.keys().filter_map(|path| Path::new(path).strip_prefix(folder).ok());
        let target = names.map(Path::to_owned).find(fits);
        let target = target.unwrap_or_else(|| {
            // Something that is not watched.
            let len = size.checked_sub("../".len()).expect("room for a name");
            let target = Path::new("..").join("t".repeat(len));
            let content = self.contents.get(row.content());
            fs::write(place.parent().expect("a folder").join(&target), content).expect("write");
            target
        });
        let beside = self.root.join("beside");
        symlink(target, &beside).expect("link");
        fs::rename(&beside, &place).expect("rename");
    }

    /// Writes files that the settings leave out, in a step's name.
    pub(super) fn write_unseen(&self, recording: &Recording, step: &str) {
        let mut paths = Vec::new();
        let Some(first) = recording.syscheck.directories.first() else { return };
        for ignore in &recording.syscheck.ignore {
            match ignore {
                Ignore::Prefix(prefix) => {
                    let prefix = String::from_utf8_lossy(prefix).into_owned();
                    paths.extend([format!("{prefix}/file"), format!("{prefix}-file")]);
                }
                Ignore::Pattern(pattern) => {
                    let name = String::from_utf8_lossy(pattern).replace(['^', '$'], "");
                    let path = first.path.join(format!("file{name}")).display().to_string();
                    let is_match =
                        Match::new(pattern).is_ok_and(|one| one.is_match(path.as_bytes()));
                    paths.extend((is_match && !name.contains('/')).then_some(path));
                }
            }
        }
        for directory in &recording.syscheck.directories {
            let path = directory.path.join("file").display().to_string();
            let restrict = directory.restrict.as_ref().and_then(|one| Match::new(one).ok());
            let is_left_out = restrict.is_some_and(|one| !one.is_match(path.as_bytes()));
            paths.extend(is_left_out.then_some(path));
            paths.extend(
                directory
                    .options
                    .no_recurse
                    .then(|| directory.path.join("in/file").display().to_string()),
            );
        }
        for path in paths {
            fs::write(self.place(&path), step).expect("write");
        }
    }

    /// Where a recorded path lies; its folder is made.
    fn place(&self, path: &str) -> PathBuf {
        let place = below(&self.root, path);
        fs::create_dir_all(place.parent().expect("a folder")).expect("folder");
        place
    }
}

fn give(path: &Path, row: &Row) {
    let id = |field| u32::try_from(row.number(field)).ok();
    chown(path, id(2), id(3)).expect("chown");
}

/// 0644 where it is not checked.
fn mode(row: &Row) -> Permissions {
    let mode = u32::try_from(row.number(1) & 0o7777).unwrap_or(0);
    Permissions::from_mode(if row.number(1) == 0 { 0o644 } else { mode })
}
