//! The manager's memory of watched files: takes integrity messages, keeps each host's baseline, says what is an event.
//!
//! One text database a host, `queue/syscheck/<location>` (`syscheck` for this host, `(name) ip->syscheck` for an agent), in
//! OSSEC's own format, so that its files are read and it could read ours; see [`database`]. Location and message come from outside: neither
//! can name a file elsewhere, break a line, or open more than [`MAX_OPEN_FILES`] files.
//!
//! **Order of writes.** [`FimStore::process`] decides and remembers; [`FimStore::flush`] writes. The caller writes the alerts of a batch, flushes,
//! then acknowledges. Killed before the flush, the events come again and are judged against the old baseline: none is lost. Killed
//! after it, they come again, equal the baseline and are swallowed: no second alert.
//!
//! A change is told ([`verdict`]) unless the host is in [`maintenance`] or the change belongs to a package transaction; either way it is
//! remembered in the host's [`history`]. Whether a host of our kind and its baseline here agree is found out by digests ([`resync`]).

mod answers;
mod database;
mod files;
#[cfg(test)]
mod golden;
mod history;
mod lines;
mod maintenance;
mod resync;
mod side_log;
#[cfg(test)]
mod tests;
mod verdict;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use fim::digest::Request;
use fim::history::Record;
use fim::message::MessageError;
use fim::note::Notes;
use fim::{Message, Sum};
use rustix::fs::{Mode, OFlags};

use database::Database;
use files::OpenFiles;
pub(crate) use files::file_name;
use history::History;
pub(crate) use history::Limits as HistoryLimits;
use maintenance::Maintenance;
use resync::Resync;
use side_log::SideLog;
pub(crate) use verdict::{FimEvent, FimKind};
use verdict::{Seen, Switches, Verdict, first_sight, judge};

/// Baseline files that are open at a time; the others are opened again when their host reports.
pub(crate) const MAX_OPEN_FILES: usize = 64;

/// Hosts that have a baseline in memory; events of further ones are refused, so that invented names end somewhere.
pub(crate) const MAX_LOCATIONS: usize = 65_536;

/// What of `<syscheck>` concerns the manager.
#[derive(Debug, Clone, Default)]
pub(crate) struct Policy {
    /// After three changes of one file, say nothing more about it, or less.
    pub auto_ignore: bool,
    /// Then a change is held back when the one before is fewer seconds ago; 0: all are, as in the original.
    pub often: i64,
    /// Report files that appear.
    pub alert_new_files: bool,
    /// Report them also while a host's first scan goes on, as the original does. Off: the first scan is silent.
    pub alert_first_scan: bool,
    /// Path prefixes about which nothing is said, whatever their case.
    pub ignore: Vec<Vec<u8>>,
    /// Ask hosts of our kind for digests of what they know.
    pub resync: bool,
    /// What is kept of the past.
    pub history: HistoryLimits,
}

/// What became of a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Taken in, nothing to tell.
    Swallowed(Reason),
    /// Something to judge by the rules.
    Event(Box<FimEvent>),
    /// Several of them from one message: files that a host no longer has.
    Events(Vec<FimEvent>),
    /// Not a message, `(1755)`; nothing was remembered.
    Invalid(Invalid),
}

/// Why nothing is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The host's scan is through.
    ScanCompleted,
    /// The path is under an `<ignore>`.
    IgnoredPath,
    /// A file that appeared, with `alert_new_files` off.
    NewFile,
    /// As known.
    Unchanged,
    /// Only hashes that one side does not have.
    OnlyPlaceholders,
    /// Changed too often, with `auto_ignore` on.
    AutoIgnored,
    /// The host is in maintenance.
    Maintenance,
    /// It belongs to a package transaction, which has an event of its own.
    Package,
    /// It is a log that has grown.
    Grown,
    /// The host looks at it by other options than before, for the first time, or no longer.
    Options,
    /// A part of an exchange of digests.
    Answer,
}

/// Why a message was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Invalid {
    /// The location cannot name a database: empty or too long.
    Location,
    /// There are [`MAX_LOCATIONS`] already.
    TooManyLocations,
    /// The message itself.
    Message(MessageError),
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Location => f.write_str("location is empty or too long to name a database"),
            Self::TooManyLocations => write!(f, "there are {MAX_LOCATIONS} databases already"),
            Self::Message(source) => source.fmt(f),
        }
    }
}

/// All baselines.
pub(crate) struct FimStore {
    directory: PathBuf,
    folder: OwnedFd,
    policy: Policy,
    databases: HashMap<Vec<u8>, Database>,
    open: OpenFiles,
    maintenance: Maintenance,
    history: History,
    resyncs: HashMap<Vec<u8>, Resync>,
    /// What is to be asked of whom, by location.
    requests: Vec<(Vec<u8>, Request)>,
    /// Locations of hosts that are to be asked when others are through; each once.
    waiting: VecDeque<Vec<u8>>,
    maintenance_log: SideLog,
    package_log: SideLog,
    storm_log: SideLog,
    /// When a message came last, epoch seconds.
    latest: i64,
    /// File names of databases with something to write.
    dirty: BTreeSet<Vec<u8>>,
}

impl FimStore {
    /// Opens the folder, usually `queue/syscheck`; it stays usable after a chroot. Databases are read when their host first reports.
    pub(crate) fn open(directory: &Path, policy: Policy) -> Result<Self, StoreError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(directory, flags, Mode::empty())
            .map_err(|errno| StoreError::new("open", directory, errno.into()))?;
        Ok(Self {
            directory: directory.to_owned(),
            history: History::open(&folder),
            folder,
            policy,
            databases: HashMap::new(),
            open: OpenFiles::new(MAX_OPEN_FILES),
            maintenance: Maintenance::default(),
            resyncs: HashMap::new(),
            requests: Vec::new(),
            waiting: VecDeque::new(),
            maintenance_log: SideLog::new("fim_maintenance.log"),
            package_log: SideLog::new("fim_packages.log"),
            storm_log: SideLog::new("fim_storm.log"),
            latest: 0,
            dirty: BTreeSet::new(),
        })
    }

    /// Takes other settings, after a reload.
    pub(crate) fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
    }

    /// Takes one message (kind `8`). `location` is where the event came from; `now` is epoch seconds.
    ///
    /// # Errors
    /// When the location's database cannot be read; the event was not taken in and may be tried again.
    pub(crate) fn process(
        &mut self,
        location: &[u8],
        message: &[u8],
        now: i64,
    ) -> Result<Outcome, StoreError> {
        let message = match Message::parse(message) {
            Ok(message) => message,
            Err(error) => return Ok(Outcome::Invalid(Invalid::Message(error))),
        };
        let Some(name) = files::file_name(location) else {
            return Ok(Outcome::Invalid(Invalid::Location));
        };
        if !self.databases.contains_key(&name) && self.databases.len() >= MAX_LOCATIONS {
            return Ok(Outcome::Invalid(Invalid::TooManyLocations));
        }
        self.latest = now;
        match message {
            Message::Completed => self.scan_completed(location, &name, now),
            Message::Answer(answer) => self.answer(location, &name, answer, now),
            Message::File { sum, sum_text, path, data } => {
                let path = fim::path::printable(path);
                self.named(&name, &path);
                if self.policy.ignores(&path) {
                    return Ok(Outcome::Swallowed(Reason::IgnoredPath));
                }
                let text = if sum == Sum::Deleted { b"-1" } else { sum_text };
                let data = data.unwrap_or_default();
                let (notes, diff) = Notes::split(data);
                let seen = Seen { sum, text, who: notes.who.as_ref(), diff };
                let said = Said { location, name: &name, now };
                self.refresh(&name)?;
                self.compare(&said, &path, &seen, &notes, data)
            }
        }
    }

    /// What is to be asked of hosts, by location; nothing waits afterwards.
    pub(crate) fn take_requests(&mut self) -> Vec<(Vec<u8>, Request)> {
        std::mem::take(&mut self.requests)
    }

    /// Lists a change whose alert was held back, in `logs/fim_storm.log`.
    pub(crate) fn list_held_back(&mut self, now: i64, location: &[u8], word: &str, path: &[u8]) {
        self.storm_log.note(now, location, word, path, b"");
    }

    /// Writes what [`Self::process`] remembered.
    ///
    /// # Errors
    /// When a database cannot be written, for instance on a full disk: nothing is forgotten, call again later.
    pub(crate) fn flush(&mut self) -> Result<(), StoreError> {
        // First of all: a change that is not in the baseline yet comes again after a kill, one that is does not.
        let history = self.history.flush(self.policy.history, self.latest);
        let folder = || self.directory.with_file_name("fim-history");
        history.map_err(|source| StoreError::new("write", &folder(), source))?;
        while let Some(name) = self.dirty.first() {
            if let Some(database) = self.databases.get_mut(name) {
                let shown = || files::path_of(&self.directory, name);
                let failed = |source| StoreError::new("write", &shown(), source);
                let file = self.open.file(&self.folder, name).map_err(failed)?;
                database.flush(&self.folder, name, file).map_err(failed)?;
                if database.wants_compaction() {
                    match database.compact(&self.folder, name, file) {
                        Ok(fresh) => self.open.replace(name, fresh),
                        Err(error) => log::warn!(
                            "integrity database '{}' could not be written anew without superseded lines: {error}; it stays as it is",
                            shown().display()
                        ),
                    }
                }
            }
            self.dirty.pop_first();
        }
        for log in [&mut self.maintenance_log, &mut self.package_log, &mut self.storm_log] {
            log.flush(&self.folder);
        }
        self.maintenance.flush(&self.folder);
        Ok(())
    }

    /// Compares with what is known, remembers, and says what to tell. `data` is what the message brought besides.
    fn compare(
        &mut self,
        said: &Said<'_>,
        path: &[u8],
        seen: &Seen<'_>,
        notes: &Notes,
        data: &[u8],
    ) -> Result<Outcome, StoreError> {
        let Said { location, name, now } = *said;
        let shown = files::path_of(&self.directory, name);
        let mut switches = self.policy.switches();
        let may_report_first_scan = self.policy.alert_first_scan;
        self.end_first_scan(name, now)?;
        let (database, file) = self.database(name)?;
        let is_completed = database.is_completed();
        switches.alert_new_files &= may_report_first_scan || is_completed;
        let known = database.look_up(file, path);
        let known = known.map_err(|source| StoreError::new("read", &shown, source))?;
        let mut verdict = match &known {
            None => first_sight(path, seen, switches),
            Some(known) => judge(path, known, seen, switches, now),
        };
        if known.is_some() && notes.grown && verdict.is_growth(seen) {
            verdict = Verdict::silent(Reason::Grown);
        } else if notes.options && verdict.is_news() {
            verdict = Verdict::silent(Reason::Options);
        } else if verdict.is_news() {
            let word = match (&known, &seen.sum) {
                (Some(_), Sum::Deleted) => "delete",
                (Some(known), _) if known.sum != b"-1" => "modify",
                _ => "new",
            };
            if let Some(package) = &notes.package {
                self.package_log.note(now, location, word, path, &package.words());
                verdict = Verdict::silent(Reason::Package);
            } else if self.maintenance.is_on(&self.folder, location, now) {
                self.maintenance_log.note(now, location, word, path, b"");
                self.maintenance.count(location);
                verdict = Verdict::silent(Reason::Maintenance);
            }
            // A first scan is no change.
            if let Some(told) = verdict.told().filter(|_| known.is_some() || is_completed) {
                let (before, path) = (known.map(|known| known.sum), path.to_vec());
                let (after, data) = (seen.text.to_vec(), data.to_vec());
                let record = Record { at: now, told, before, after, path, data };
                self.history.add(name, &record, self.policy.history);
            }
        }
        // Borrowed anew: what stood between knows nothing of databases.
        let (database, _) = self.database(name)?;
        if let Some(counter) = verdict.remember {
            database.append(path, counter, seen.text, now);
            self.dirty.insert(name.to_vec());
        }
        Ok(verdict.outcome)
    }

    /// Reads the database when it is not in memory yet, or was emptied by an administrator's tool since. Once a message and no more:
    /// else what was learned from the old one would be noted in the new one.
    fn refresh(&mut self, name: &[u8]) -> Result<(), StoreError> {
        let shown = files::path_of(&self.directory, name);
        let failed = |source| StoreError::new("read", &shown, source);
        let waits = self.dirty.contains(name);
        if !waits {
            self.open.forget_if_unlinked(name).map_err(failed)?;
        }
        let file = self.open.file(&self.folder, name).map_err(failed)?;
        let len = file.metadata().map_err(failed)?.len();
        let known = self.databases.get(name);
        if known.is_none_or(|database| !waits && len < database.flushed_len()) {
            let (mut database, report) = Database::load(file).map_err(failed)?;
            report.log(&shown);
            // A tool that clears it takes the marker away too, just before or just after.
            let was_cleared = known.is_some() && database.is_empty();
            if was_cleared {
                files::remove_marker(&self.folder, name).map_err(failed)?;
            }
            database.recall_marker(&self.folder, name);
            if let Some(resync) = self.resyncs.get_mut(name) {
                resync.restart(self.latest);
            }
            if database.needs_flush() {
                self.dirty.insert(name.to_vec());
            }
            self.databases.insert(name.to_vec(), database);
        }
        Ok(())
    }

    /// A database that was [refreshed](Self::refresh), and its file.
    fn database(&mut self, name: &[u8]) -> Result<(&mut Database, &File), StoreError> {
        let failed =
            |source| StoreError::new("read", &files::path_of(&self.directory, name), source);
        let file = self.open.file(&self.folder, name).map_err(failed)?;
        Ok((self.databases.entry(name.to_vec()).or_default(), file))
    }
}

/// Who said something, and when.
#[derive(Clone, Copy)]
struct Said<'a> {
    location: &'a [u8],
    /// Of the baseline's file.
    name: &'a [u8],
    /// Epoch seconds.
    now: i64,
}

impl Policy {
    fn ignores(&self, path: &[u8]) -> bool {
        self.ignore.iter().any(|prefix| {
            path.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
        })
    }

    fn switches(&self) -> Switches {
        let Self { auto_ignore, often, alert_new_files, .. } = *self;
        Switches { auto_ignore, often, alert_new_files }
    }
}

/// Why a database could not be used.
#[derive(Debug)]
pub(crate) struct StoreError {
    attempted: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl StoreError {
    fn new(attempted: &'static str, path: &Path, source: io::Error) -> Self {
        Self { attempted, path: path.to_owned(), source }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (attempted, path) = (self.attempted, self.path.display());
        write!(f, "cannot {attempted} integrity database '{path}': {}", self.source)
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}
