//! One package manager, and what is remembered of it.
//!
//! There are two indexes: of the last transaction, for changes told in realtime, and of the last whole scan, for those that a scan finds.
//! The records are watched themselves: whoever changes a file and its digest in the records must not be believed.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fim::note::Package;

use super::super::database::{Database, Mark};
use super::super::index::{Index, Noted};
use super::judge::Now;
use super::{Asked, Digests, TICK};

/// How often all records are looked at; what was read of them is kept no longer.
const EVERY: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Source {
    database: Box<dyn Database>,
    path: PathBuf,
    /// As of the last whole scan.
    index: Option<Index>,
    /// As of the last transaction, if there was one since.
    latest: Option<Index>,
    now: Option<Changes>,
    /// It was seen at work since the index was made.
    was_busy: bool,
    noted: Option<Instant>,
    /// No index could be made of this.
    failed: Option<Mark>,
    looked: Option<Instant>,
    said: HashSet<(Vec<u8>, u64)>,
    events: Vec<Vec<u8>>,
}

/// What changed since either index.
#[derive(Debug)]
struct Changes {
    mark: Mark,
    read: Instant,
    since_scan: Now,
    since_latest: Option<Now>,
}

impl Source {
    /// Keeps its index in `state`.
    pub(super) fn open(state: &Path, database: Box<dyn Database>) -> Self {
        let path = state.join(format!("packages-{}", database.name()));
        let index = Index::open(&path).ok().flatten();
        let mut source = Self {
            database,
            path,
            index,
            latest: None,
            now: None,
            was_busy: false,
            noted: None,
            failed: None,
            looked: None,
            said: HashSet::new(),
            events: Vec::new(),
        };
        if source.index.is_none() {
            source.index = source.make_index(&source.path.clone());
        }
        source
    }

    /// Whether it is at work now; what was read of its records is old then.
    pub(super) fn is_busy(&mut self) -> bool {
        let busy = self.database.is_busy();
        self.was_busy |= busy;
        if busy {
            self.now = None;
        }
        busy
    }

    pub(super) fn happened_since_scan(&self) -> bool {
        self.happened_since(self.index.as_ref())
    }

    /// What belongs to no package, and is not new, can't be the doing of a package manager's unpacking.
    pub(super) fn may_own(&self, asked: &Asked<'_>) -> bool {
        let indexes = [&self.latest, &self.index];
        let is_owned =
            || indexes.into_iter().flatten().any(|index| index.owner(asked.path).is_some());
        self.index.is_some() && (asked.before.is_none() || is_owned())
    }

    /// The package that a change belongs to, and whether it vouches for it; `None` when it belongs to none.
    pub(super) fn judge(
        &mut self,
        asked: &Asked<'_>,
        read: &mut dyn FnMut(&[u8]) -> Option<Digests>,
    ) -> Option<(Package, bool)> {
        let index = self.index.as_ref()?;
        let mark = self.database.mark();
        if self.now.as_ref().is_none_or(|changes| changes.mark != mark) {
            self.now = Some(Changes {
                mark,
                read: Instant::now(),
                since_scan: self.changes_since(index, mark),
                since_latest: self.latest.as_ref().map(|latest| self.changes_since(latest, mark)),
            });
        }
        let changes = self.now.as_ref()?;
        let newer = self.latest.as_ref().zip(changes.since_latest.as_ref());
        let newer = newer.and_then(|(latest, now)| now.judge(latest, asked, read));
        newer.or_else(|| changes.since_scan.judge(index, asked, read))
    }

    fn changes_since(&self, index: &Index, mark: Mark) -> Now {
        if index.mark == mark {
            return Now::default();
        }
        Now::read(&*self.database, index).unwrap_or_else(|error| {
            let name = self.database.name();
            log::warn!(
                "Unable to read the records of {name}: {error}. Nothing is taken for a change by a package upgrade."
            );
            Now::default()
        })
    }

    /// Nothing waits and it is not at work: another transaction begins from here. Gives the events to be told. `judged`: the last change that
    /// waited is just told; the next transaction may follow at once.
    pub(super) fn settle(&mut self, judged: bool, now: Instant) -> Vec<Vec<u8>> {
        // While files come and go it is not read anew for each, but it is not kept for days either.
        self.now.take_if(|changes| changes.read.elapsed() >= EVERY);
        if judged || self.noted.is_none_or(|noted| now.saturating_duration_since(noted) >= TICK) {
            self.noted = Some(now);
            let index = self.latest.as_ref().or(self.index.as_ref());
            if self.happened_since(index) && self.failed != Some(self.database.mark()) {
                self.latest = self.make_index(&self.path.with_extension("latest"));
                self.now = None;
            }
        }
        std::mem::take(&mut self.events)
    }

    /// A whole scan is through: what the records say now is what the next one is compared with.
    pub(super) fn scanned(&mut self) {
        if self.index.is_none() || self.happened_since_scan() {
            self.index = self.make_index(&self.path.clone());
            (self.latest, self.now) = (None, None);
            self.was_busy = false;
            self.looked = None;
            self.said.clear();
        }
    }

    /// Says which records changed though no transaction accounts for it. Each change is said once.
    pub(super) fn check_records(&mut self, now: Instant) {
        let Some(index) = &self.index else { return };
        if self.looked.is_some_and(|looked| now.saturating_duration_since(looked) < EVERY) {
            return;
        }
        self.looked = Some(now);
        for (record, written) in self.database.touched_since(index, self.was_busy) {
            if self.said.insert((record.clone(), written)) {
                self.events.push(changed(&record));
            }
        }
    }

    fn happened_since(&self, index: Option<&Index>) -> bool {
        index.is_some_and(|index| index.mark != self.database.mark())
    }

    fn make_index(&mut self, path: &Path) -> Option<Index> {
        let mark = self.database.mark();
        let name = self.database.name();
        let made = Index::make(&*self.database, path).inspect_err(|error| {
            let path = path.display();
            log::warn!(
                "Unable to note in '{path}' which package of {name} owns which file: {error}. Files changed by \
                 package upgrades are told one by one."
            );
        });
        self.failed = made.is_err().then_some(mark);
        let made = made.ok()?;
        if let Some(known) = self.latest.as_ref().or(self.index.as_ref()) {
            let rewritten = rewritten(known, &made);
            let record = |package: &Noted| [name.as_bytes(), b": ", &package.name].concat();
            self.events.extend(rewritten.map(|package| changed(&record(package))));
        }
        Some(made)
    }
}

/// Packages of which other things are recorded than before, though they were not installed anew.
fn rewritten<'a>(known: &Index, now: &'a Index) -> impl Iterator<Item = &'a Noted> {
    let key = |package: &Noted| (package.name.clone(), package.version.clone(), package.installed);
    let known: HashMap<_, _> =
        known.packages().iter().map(|package| (key(package), package.records)).collect();
    let differs = move |package: &&Noted| {
        known.get(&key(package)).is_some_and(|&records| records != package.records)
    };
    now.packages().iter().filter(differs)
}

fn changed(record: &[u8]) -> Vec<u8> {
    let text = "syscheck-package: package database changed without a transaction: ";
    [text.as_bytes(), &fim::path::printable(record)].concat()
}

#[cfg(test)]
mod tests {
    use super::super::super::database::double::Double;
    use super::*;

    #[test]
    fn records_that_change_without_an_installation_are_told_once() {
        let (double, folder) = (Double::default(), tempfile::tempdir().unwrap());
        double.say(vec![("tool", "1", 5, vec![("/tool", None)]), ("other", "1", 5, vec![])]);
        let mut source = Source::open(folder.path(), Box::new(double.clone()));
        assert_eq!(source.settle(true, Instant::now()), [b""; 0]);
        double.say(vec![
            ("tool", "1", 5, vec![("/evil", None)]),
            ("other", "2", 6, vec![("/o", None)]),
        ]);
        let events = source.settle(true, Instant::now());
        let expected =
            "syscheck-package: package database changed without a transaction: double: tool";
        assert_eq!(events, [expected.as_bytes()]);
        assert_eq!(source.settle(true, Instant::now()), [b""; 0]);
        source.scanned();
        assert_eq!(source.settle(true, Instant::now()), [b""; 0]);
    }

    #[test]
    fn after_a_transaction_records_are_read_once_and_for_the_next_index() {
        let (double, folder) = (Double::default(), tempfile::tempdir().unwrap());
        let mut source = Source::open(folder.path(), Box::new(double.clone()));
        source.settle(true, Instant::now());
        double.say(vec![("tool", "1", 5, vec![("/tool", None)])]);
        double.read.set(0);
        for name in ["/tool", "/new", "/newer"] {
            let asked = Asked { path: name.as_bytes(), before: None, now: b"1:33188:0:0:a:b" };
            let verdict = source.judge(&asked, &mut |_| None);
            assert_eq!(verdict.map(|(_, vouched)| vouched), (name == "/tool").then_some(false));
        }
        source.settle(true, Instant::now());
        assert_eq!(double.read.get(), 2);
        for _ in 0..3 {
            let asked = Asked { path: b"/newest", before: None, now: b"1:33188:0:0:a:b" };
            assert!(source.judge(&asked, &mut |_| None).is_none());
            source.settle(true, Instant::now());
        }
        assert_eq!(double.read.get(), 3);
    }
}
