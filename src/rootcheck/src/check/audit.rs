//! Policies: what a setting should not be, asked of files, folders and processes.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::FileType;

use crate::grammar::policy::{Entry, NamePattern, Policy, Subject, Value};
use crate::grammar::term::Pattern;
use crate::pace::{Pace, Stopped};
use crate::scene::{Scene, shown, whole};
use crate::walk::Folder;

/// Files that one `d:` value tells of.
const MAX_FOUND: usize = 100;
/// Entries that one `d:` value looks at.
const MAX_LOOKED_AT: usize = 200_000;
/// Folders below each other that a `d:` value goes down.
const MAX_DEPTH: usize = 16;

/// What a value holds for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Match {
    File(Vec<u8>),
    Process(Vec<u8>),
    /// It holds, and there is nothing to name.
    Plainly,
}

/// Asks everything of a policy.
pub(crate) fn run(
    scene: &mut Scene<'_>,
    policy: &Policy,
    processes: &[Vec<Vec<u8>>],
) -> Result<(), Stopped> {
    for entry in &policy.entries {
        let matches = evaluate(entry, processes, &mut scene.pace)?;
        for subject in &matches {
            tell(scene, entry, subject)?;
        }
        if matches.is_empty() && entry.required {
            return Ok(());
        }
    }
    Ok(())
}

/// For whom an entry holds; empty when it does not.
fn evaluate(
    entry: &Entry,
    processes: &[Vec<Vec<u8>>],
    pace: &mut Pace,
) -> Result<Vec<Match>, Stopped> {
    let mut all = Vec::new();
    for value in &entry.values {
        let matches = holds_for(value, processes, pace)?;
        if entry.all && matches.is_empty() {
            return Ok(Vec::new());
        }
        if !entry.all && !matches.is_empty() {
            return Ok(matches);
        }
        all.extend(matches);
    }
    // The first that has a name speaks for all.
    let named = all.iter().position(|subject| *subject != Match::Plainly).unwrap_or(0);
    Ok(all.into_iter().skip(named).take(1).collect())
}

fn holds_for(
    value: &Value,
    processes: &[Vec<Vec<u8>>],
    pace: &mut Pace,
) -> Result<Vec<Match>, Stopped> {
    let matches: Vec<Match> = match &value.subject {
        Subject::File { paths, pattern } => {
            let mut found = None;
            for path in paths.iter().map(|path| Path::new(OsStr::from_bytes(path))) {
                pace.step(4)?;
                if file_holds(path, pattern.as_ref()) {
                    found = Some(Match::File(shown(path)));
                    break;
                }
            }
            found.into_iter().collect()
        }
        Subject::Folder { paths, name, pattern } => {
            let mut search =
                Search { name, pattern: pattern.as_ref(), found: Vec::new(), looked_at: 0 };
            for path in paths {
                search.folder(Path::new(OsStr::from_bytes(path)), 0, pace)?;
            }
            search.found
        }
        Subject::Process(pattern) => process(pattern, processes).into_iter().collect(),
        Subject::Registry => return Ok(Vec::new()),
    };
    Ok(match (value.negated, matches.is_empty()) {
        (true, true) => vec![Match::Plainly],
        (true, false) => Vec::new(),
        (false, _) => matches,
    })
}

fn file_holds(path: &Path, pattern: Option<&Pattern>) -> bool {
    let Some(pattern) = pattern else { return path.symlink_metadata().is_ok() };
    let Some(content) = whole(path) else { return false };
    let text = content.strip_suffix(b"\n").unwrap_or(&content);
    pattern.holds(text.split(|&b| b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line)))
}

struct Search<'a> {
    name: &'a NamePattern,
    pattern: Option<&'a Pattern>,
    found: Vec<Match>,
    looked_at: usize,
}

impl Search<'_> {
    fn folder(&mut self, path: &Path, depth: usize, pace: &mut Pace) -> Result<(), Stopped> {
        // A folder that a policy names may be a link.
        let real = std::fs::canonicalize(path).ok();
        let Some(real) = real else { return Ok(()) };
        let Some(folder) = Folder::open(&real, pace)? else { return Ok(()) };
        for item in &folder.items {
            self.looked_at += 1;
            if self.found.len() >= MAX_FOUND || self.looked_at > MAX_LOOKED_AT {
                return Ok(());
            }
            let path = path.join(OsStr::from_bytes(&item.name));
            if item.kind() == FileType::Directory {
                if depth < MAX_DEPTH {
                    self.folder(&path, depth + 1, pace)?;
                }
            } else if self.name.is_match(&item.name) {
                pace.step(4)?;
                if file_holds(&path, self.pattern) {
                    self.found.push(Match::File(shown(&path)));
                }
            }
        }
        Ok(())
    }
}

/// The first process one of whose names satisfies the pattern; one of negated terms only asks all.
fn process(pattern: &Pattern, processes: &[Vec<Vec<u8>>]) -> Option<Match> {
    if !pattern.holds(processes.iter().flatten().map(Vec::as_slice)) {
        return None;
    }
    let named = processes.iter().flatten().find(|name| pattern.holds_on(name));
    Some(named.map_or(Match::Plainly, |name| Match::Process(name.clone())))
}

/// The names of each process: its own, and that by which it was called.
pub(crate) fn processes() -> Vec<Vec<Vec<u8>>> {
    let Ok(folder) = std::fs::read_dir("/proc") else { return Vec::new() };
    let pids = folder
        .flatten()
        .filter(|entry| entry.file_name().as_bytes().iter().all(u8::is_ascii_digit));
    let names = pids.map(|pid| {
        let comm = whole(&pid.path().join("comm")).unwrap_or_default();
        let called = whole(&pid.path().join("cmdline")).unwrap_or_default();
        let called = called.split(|&b| b == 0).next().unwrap_or_default();
        let names = [comm.trim_ascii_end(), called].into_iter().filter(|name| !name.is_empty());
        names
            .map(|name| {
                fim::path::printable(name.get(..name.len().min(512)).unwrap_or(name)).into_owned()
            })
            .collect()
    });
    names.collect()
}

fn tell(scene: &mut Scene<'_>, entry: &Entry, subject: &Match) -> Result<(), Stopped> {
    let title = fim::path::printable(&entry.title);
    let mut text = [b"System Audit: ", title.as_ref(), b"."].concat();
    match subject {
        Match::File(path) => text.extend([b" File: ", path.as_slice(), b"."].concat()),
        Match::Process(name) => text.extend([b" Process: ", name.as_slice(), b"."].concat()),
        Match::Plainly => {}
    }
    if !entry.reference.is_empty() {
        let reference = fim::path::printable(&entry.reference);
        text.extend([b" Reference: ", reference.as_ref(), b" ."].concat());
    }
    scene.found(&[&text])
}
