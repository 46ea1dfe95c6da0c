//! The gate: changes wait here while dpkg is at work, and are judged when it is done.
//!
//! Judged against what dpkg's records say now, and against an index of what they said before: a package that was in a transaction
//! since, whose shipped digest is the file's, vouches for the change. There are two indexes: of the last transaction, for changes told in
//! realtime, and of the last whole scan, for those that a scan finds. The caller says when things happen; besides dpkg's records
//! nothing is read here.

mod judge;
mod records;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fim::note::Package;

use super::dpkg::{Dpkg, without_architecture};
use super::index::Index;
use judge::Now;
use records::Records;

/// However long dpkg is at work, a change is told after this time.
pub const LONGEST_HOLD: Duration = Duration::from_secs(600);
/// After dpkg is done, and after the last change of a file, it is waited so long: of what only came and went nothing is left by then.
pub const SETTLES: Duration = Duration::from_millis(1500);
/// Changes that wait at a time; further ones are told at once.
const MOST_HELD: usize = 100_000;
/// Files judged in one turn: each may have to be read.
const PER_TURN: usize = 64;
/// How often dpkg's lock and records are looked at.
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
    dpkg: Option<Dpkg>,
    index_path: PathBuf,
    /// As of the last whole scan.
    index: Option<Index>,
    /// As of the last transaction, if there was one since.
    latest: Option<Index>,
    held: BTreeMap<Vec<u8>, Held<T>>,
    /// What changed since either index.
    now: Option<(Now, Option<Now>)>,
    verdicts: BTreeMap<Vec<u8>, Tally>,
    records: Records,
    looked: Option<(Instant, bool)>,
    seen_busy: Option<Instant>,
    noted: Option<Instant>,
}

#[derive(Debug)]
struct Held<T> {
    before: Option<Vec<u8>>,
    now: Vec<u8>,
    since: Instant,
    touched: Instant,
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
    /// Keeps the index in `state`. Where there are no records of dpkg, everything is told at once.
    pub fn open(state: &Path, dpkg: Option<Dpkg>) -> Self {
        let index_path = state.join("packages");
        let mut gate = Self {
            dpkg,
            index: None,
            latest: None,
            index_path,
            held: BTreeMap::new(),
            now: None,
            verdicts: BTreeMap::new(),
            records: Records::default(),
            looked: None,
            seen_busy: None,
            noted: None,
        };
        gate.index = Index::open(&gate.index_path).ok().flatten();
        if gate.index.is_none() {
            gate.index = gate.make_index(&gate.index_path);
        }
        gate
    }

    /// Gives the change back when it is to be told at once; else it waits for [`Self::turn`].
    pub fn take(&mut self, asked: Asked<'_>, load: T, now: Instant) -> Option<T> {
        if let Some(held) = self.held.get_mut(asked.path) {
            held.now = asked.now.to_vec();
            held.touched = now;
            held.load = load;
            return None;
        }
        if self.held.len() >= MOST_HELD || !self.may_be_a_package_s(&asked) {
            return Some(load);
        }
        if !self.is_busy(now) && !self.happened_since(self.index.as_ref()) {
            return Some(load);
        }
        log::debug!("waits for dpkg: '{}'", String::from_utf8_lossy(asked.path));
        let before = asked.before.map(<[u8]>::to_vec);
        let held = Held { before, now: asked.now.to_vec(), since: now, touched: now, load };
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
        self.dpkg.as_ref()?;
        (!self.held.is_empty()).then(|| now + TICK / 4)
    }

    /// Judges what waits, if dpkg is done: changes that may be told, and summaries to be told as log lines. `read` gives the digests
    /// of a file as it is now.
    pub fn turn(
        &mut self,
        now: Instant,
        read: &mut dyn FnMut(&[u8]) -> Option<Digests>,
    ) -> (Vec<Told<T>>, Vec<Vec<u8>>) {
        let mut events = Vec::new();
        let Some(dpkg) = self.dpkg.clone() else { return (Vec::new(), events) };
        let busy = self.is_busy(now);
        if busy {
            self.now = None;
        } else if let Some(index) = &self.index {
            events.extend(self.records.check(&dpkg, index, now));
        }
        let mut told = Vec::new();
        for _ in 0..PER_TURN {
            let due =
                |held: &Held<T>| !busy || now.saturating_duration_since(held.since) >= LONGEST_HOLD;
            // All came within one transaction: the first one stands for the rest.
            let Some(path) = self.held.iter().find(|(_, held)| due(held)).map(|(path, _)| path)
            else {
                break;
            };
            let path = path.clone();
            if let Some(held) = self.held.remove(&path) {
                told.push(self.judge(&dpkg, path, held, read));
            }
        }
        if self.held.is_empty() && !busy {
            self.now = None;
            events.extend(std::mem::take(&mut self.verdicts).iter().flat_map(summary));
            self.note_transaction(now);
        }
        (told, events)
    }

    /// Once dpkg is done, and what it changed is judged, another transaction begins from here.
    fn note_transaction(&mut self, now: Instant) {
        if self.noted.is_some_and(|noted| now.saturating_duration_since(noted) < TICK) {
            return;
        }
        self.noted = Some(now);
        if self.happened_since(self.latest.as_ref().or(self.index.as_ref())) {
            self.latest = self.make_index(&self.index_path.with_extension("latest"));
        }
    }

    /// A whole scan is through: what dpkg's records say now is what the next one is compared with.
    pub fn scanned(&mut self) {
        if self.held.is_empty() && self.happened_since(self.index.as_ref()) {
            self.index = self.make_index(&self.index_path);
            self.latest = None;
            self.records = Records::default();
        }
    }

    fn judge(
        &mut self,
        dpkg: &Dpkg,
        path: Vec<u8>,
        held: Held<T>,
        read: &mut dyn FnMut(&[u8]) -> Option<Digests>,
    ) -> Told<T> {
        let Held { before, now, load, .. } = held;
        let Some(index) = &self.index else { return Told { path, load, package: None } };
        let latest = self.latest.as_ref();
        let (since_scan, since_latest) = self.now.get_or_insert_with(|| {
            (Now::read(dpkg, index), latest.map(|latest| Now::read(dpkg, latest)))
        });
        let asked = Asked { path: &path, before: before.as_deref(), now: &now };
        let newer = latest.zip(since_latest.as_mut());
        let newer = newer.and_then(|(latest, now)| now.judge(dpkg, latest, &asked, read));
        let verdict = newer.or_else(|| since_scan.judge(dpkg, index, &asked, read));
        let Some((package, vouched)) = verdict else { return Told { path, load, package: None } };
        let tally = self.verdicts.entry(package.name.clone()).or_default();
        (tally.old, tally.new) = (package.old.clone(), package.new.clone());
        if vouched {
            tally.vouched += 1;
        } else {
            tally.differ.push(path.clone());
        }
        Told { path, load, package: vouched.then_some(package) }
    }

    /// What belongs to no package, and is not new, can't be the doing of a package manager's unpacking.
    fn may_be_a_package_s(&self, asked: &Asked<'_>) -> bool {
        let indexes = [&self.latest, &self.index];
        let is_owned =
            || indexes.into_iter().flatten().any(|index| index.owner(asked.path).is_some());
        self.index.is_some() && (asked.before.is_none() || is_owned())
    }

    fn is_busy(&mut self, now: Instant) -> bool {
        let Some(dpkg) = &self.dpkg else { return false };
        match self.looked {
            // That it is at work may be believed for a moment; that it is not has to be asked each time.
            Some((looked, true)) if now.saturating_duration_since(looked) < TICK => true,
            _ => {
                let busy = dpkg.is_busy();
                self.looked = Some((now, busy));
                if busy {
                    self.seen_busy = Some(now);
                    self.records.seen_busy();
                }
                busy
            }
        }
    }

    fn happened_since(&self, index: Option<&Index>) -> bool {
        let (Some(dpkg), Some(index)) = (&self.dpkg, index) else { return false };
        dpkg.log_end() != index.log_end
            || dpkg.changed().is_some_and(|changed| changed > index.made)
    }

    fn make_index(&self, path: &Path) -> Option<Index> {
        let made = Index::make(self.dpkg.as_ref()?, path);
        let made = made.inspect_err(|error| {
            let path = path.display();
            log::warn!(
                "Unable to note which package owns which file in '{path}': {error}. Files changed by \
                 package upgrades are told one by one."
            );
        });
        made.ok()
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
