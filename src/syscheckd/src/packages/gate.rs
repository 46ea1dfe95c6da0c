//! The gate: changes wait here while a package manager is at work, and are judged when it is done.
//!
//! Judged against what its records say now, and against an index of what they said before: a package that was in a transaction since,
//! whose shipped digest is the file's, vouches for the change. Where there are two package managers both are asked. The caller says when
//! things happen; besides the records nothing is read here.

mod judge;
mod source;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use fim::note::Package;

use super::database::{Database, without_architecture};
use source::Source;

/// However long a package manager is at work, a change is told after this time.
pub const LONGEST_HOLD: Duration = Duration::from_secs(600);
/// Changes that wait at a time; further ones are told at once.
const MOST_HELD: usize = 100_000;
/// Files judged in one turn: each may have to be read.
const PER_TURN: usize = 64;
/// How often locks and records are looked at.
const TICK: Duration = Duration::from_secs(1);
/// Paths that a summary names.
const NAMED: usize = 20;

/// MD5 and SHA-256 of a file, read in one go.
pub type Digests = ([u8; 16], [u8; 32]);

/// A change that is about to be told.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The file.
    pub path: &'a [u8],
    /// Its sum as known; `None` when it is new.
    pub before: Option<&'a [u8]>,
    /// Its sum now, `-1` when it is gone.
    pub now: &'a [u8],
}

/// What the gate is told of the outside.
pub struct View<'a> {
    /// All that was touched until [`Gate::done_at`] was looked at.
    pub is_complete: bool,
    /// Whether a file is about to be looked at again: it waits on.
    pub is_open: &'a dyn Fn(&[u8]) -> bool,
    /// The digests of a file as it is now.
    pub read: &'a mut dyn FnMut(&[u8]) -> Option<Digests>,
}

/// A change that may be told now.
#[derive(Debug, PartialEq, Eq)]
pub struct Told<T> {
    /// The file.
    pub path: Vec<u8>,
    /// What the caller gave.
    pub load: T,
    /// Who vouches for it, if anyone does.
    pub package: Option<Package>,
}

/// Holds changes, with whatever the caller needs to tell them.
#[derive(Debug)]
pub struct Gate<T> {
    sources: Vec<Source>,
    held: BTreeMap<Vec<u8>, Held<T>>,
    verdicts: BTreeMap<Vec<u8>, Tally>,
    looked: Option<(Instant, bool)>,
    done_at: Option<Instant>,
}

#[derive(Debug)]
struct Held<T> {
    before: Option<Vec<u8>>,
    now: Vec<u8>,
    since: Instant,
    load: T,
}

/// What a summary says of one package.
#[derive(Debug, Default)]
struct Tally {
    old: Option<Vec<u8>>,
    new: Option<Vec<u8>>,
    vouched: u64,
    differ: Vec<Vec<u8>>,
}

impl<T> Gate<T> {
    /// Keeps indexes in `state`. Where there is no database, everything is told at once.
    pub fn open(state: &Path, databases: Vec<Box<dyn Database>>) -> Self {
        let sources = databases.into_iter().map(|database| Source::open(state, database)).collect();
        let (held, verdicts) = (BTreeMap::new(), BTreeMap::new());
        Self { sources, held, verdicts, looked: None, done_at: None }
    }

    /// Gives the change back when it is to be told at once; else it waits for [`Self::turn`].
    pub fn take(&mut self, asked: Asked<'_>, load: T, now: Instant) -> Option<T> {
        if let Some(held) = self.held.get_mut(asked.path) {
            held.now = asked.now.to_vec();
            held.load = load;
            return None;
        }
        if self.held.len() >= MOST_HELD || !self.sources.iter().any(|source| source.may_own(&asked))
        {
            return Some(load);
        }
        if !self.is_busy(now) && !self.sources.iter().any(Source::happened_since_scan) {
            return Some(load);
        }
        log::debug!("waits for the package manager: '{}'", String::from_utf8_lossy(asked.path));
        let before = asked.before.map(<[u8]>::to_vec);
        let held = Held { before, now: asked.now.to_vec(), since: now, load };
        self.held.insert(asked.path.to_vec(), held);
        None
    }

    /// The path is again as it is known: there is nothing to tell of it any more.
    pub fn forget(&mut self, path: &[u8]) {
        self.held.remove(path);
    }

    /// The files that wait.
    pub fn paths(&self) -> impl Iterator<Item = &Vec<u8>> {
        self.held.keys()
    }

    /// Whether changes wait.
    pub fn holds(&self) -> bool {
        !self.held.is_empty()
    }

    /// How many changes wait.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// When [`Self::turn`] has something to do.
    pub fn next_due(&self, now: Instant) -> Option<Instant> {
        (!self.held.is_empty()).then(|| now + TICK / 4)
    }

    /// When the package manager was seen to be no longer at work.
    pub fn done_at(&self) -> Option<Instant> {
        self.done_at
    }

    /// Judges what waits, if the package manager is done: changes that may be told, and summaries to be told as log lines.
    pub fn turn(&mut self, now: Instant, view: View<'_>) -> (Vec<Told<T>>, Vec<Vec<u8>>) {
        let (mut told, mut events) = (Vec::new(), Vec::new());
        if self.sources.is_empty() {
            return (told, events);
        }
        let busy = self.is_busy(now) || !view.is_complete;
        if !busy {
            self.sources.iter_mut().for_each(|source| source.check_records(now));
        }
        let due = |(path, held): &(&Vec<u8>, &Held<T>)| {
            let is_long = now.saturating_duration_since(held.since) >= LONGEST_HOLD;
            is_long || (!busy && !(view.is_open)(path))
        };
        let due = self.held.iter().filter(due).take(PER_TURN);
        let due: Vec<Vec<u8>> = due.map(|(path, _)| path.clone()).collect();
        for path in due {
            if let Some(held) = self.held.remove(&path) {
                told.push(self.judge(path, held, view.read));
            }
        }
        if self.held.is_empty() && !busy {
            events.extend(std::mem::take(&mut self.verdicts).iter().flat_map(summary));
            let judged = !told.is_empty();
            events.extend(self.sources.iter_mut().flat_map(|source| source.settle(judged, now)));
        }
        (told, events)
    }

    /// A whole scan is through.
    pub fn scanned(&mut self) {
        if self.held.is_empty() {
            self.sources.iter_mut().for_each(Source::scanned);
        }
    }

    fn judge(
        &mut self,
        path: Vec<u8>,
        held: Held<T>,
        read: &mut dyn FnMut(&[u8]) -> Option<Digests>,
    ) -> Told<T> {
        let Held { before, now, load, .. } = held;
        let asked = Asked { path: &path, before: before.as_deref(), now: &now };
        let verdicts = self.sources.iter_mut().filter_map(|source| source.judge(&asked, read));
        // A file of two databases: whoever vouches for it knows better.
        let Some((package, vouched)) = verdicts.max_by_key(|(_, vouched)| *vouched) else {
            return Told { path, load, package: None };
        };
        let tally = self.verdicts.entry(package.name.clone()).or_default();
        (tally.old, tally.new) = (package.old.clone(), package.new.clone());
        if vouched {
            tally.vouched += 1;
        } else {
            tally.differ.push(path.clone());
        }
        Told { path, load, package: vouched.then_some(package) }
    }

    fn is_busy(&mut self, now: Instant) -> bool {
        match self.looked {
            // That it is at work may be believed for a moment; that it is not has to be asked each time.
            Some((looked, true)) if now.saturating_duration_since(looked) < TICK => true,
            _ => {
                let busy = self.sources.iter_mut().filter_map(|one| one.is_busy().then_some(()));
                let busy = busy.count() > 0;
                if busy {
                    self.done_at = None;
                } else if self.looked.is_some_and(|(_, was_busy)| was_busy) {
                    self.done_at = Some(now);
                }
                self.looked = Some((now, busy));
                busy
            }
        }
    }
}

fn summary((name, tally): (&Vec<u8>, &Tally)) -> Vec<Vec<u8>> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(&fim::path::printable(bytes)).into_owned();
    let version = |version: &Option<Vec<u8>>| version.as_deref().map_or("(none)".into(), text);
    let name = text(without_architecture(name));
    let (old, new) = (version(&tally.old), version(&tally.new));
    let mut lines = Vec::new();
    if tally.vouched > 0 {
        let what = if tally.new.is_some() { "as shipped" } else { "removed" };
        let count = tally.vouched;
        lines.push(format!("syscheck-package: {name} {old} -> {new}: {count} files {what}"));
    }
    if !tally.differ.is_empty() {
        let mut paths: Vec<String> =
            tally.differ.iter().take(NAMED).map(|path| text(path)).collect();
        if tally.differ.len() > NAMED {
            paths.push("...".to_owned());
        }
        let (count, paths) = (tally.differ.len(), paths.join(", "));
        lines.push(format!(
            "syscheck-package: {name} {new}: {count} files differ from what was shipped: {paths}"
        ));
    }
    lines.into_iter().map(String::into_bytes).collect()
}

#[cfg(test)]
mod tests;
