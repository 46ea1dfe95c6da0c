//! The manager's memory of watched files: takes integrity messages, keeps each host's baseline, says what is an event.
//!
//! One text database a host, `queue/syscheck/<location>` (`syscheck` for this host, `(name) ip->syscheck` for an agent), in
//! OSSEC's own format, so that its files are read and it could read ours; see [`database`]. Location and message come from outside: neither
//! can name a file elsewhere, break a line, or open more than [`MAX_OPEN_FILES`] files.
//!
//! **Order of writes.** [`FimStore::process`] decides and remembers; [`FimStore::flush`] writes. The caller writes the alerts of a batch, flushes,
//! then acknowledges. Killed before the flush, the events come again and are judged against the old baseline: none is lost. Killed
//! after it, they come again, equal the baseline and are swallowed: no second alert.
//! Rules of the judgement: host-daemons specification 6.7, analysis-engine specification 7.1.

mod database;
mod files;
#[cfg(test)]
mod golden;
mod lines;
mod maintenance;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use fim::change::changes;
use fim::message::MessageError;
use fim::report::{self, Values};
use fim::{Message, Sum};
use rustix::fs::{Mode, OFlags};

use database::{Database, Known};
use files::OpenFiles;
pub(crate) use files::file_name;
use lines::Counter;
use maintenance::{Maintenance, Update};

/// Baseline files that are open at a time; the others are opened again when their host reports.
pub(crate) const MAX_OPEN_FILES: usize = 64;

/// Hosts that have a baseline in memory; events of further ones are refused, so that invented names end somewhere.
pub(crate) const MAX_LOCATIONS: usize = 65_536;

/// What of `<syscheck>` concerns the manager.
#[derive(Debug, Clone, Default)]
pub(crate) struct Policy {
    /// After three changes of one file, say nothing more about it.
    pub auto_ignore: bool,
    /// Report files that appear.
    pub alert_new_files: bool,
    /// Report them also while a host's first scan goes on, as the original does. Off: the first scan is silent.
    pub alert_first_scan: bool,
    /// Path prefixes about which nothing is said, whatever their case.
    pub ignore: Vec<Vec<u8>>,
}

/// What became of a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Taken in, nothing to tell.
    Swallowed(Reason),
    /// Something to judge by the rules.
    Event(Box<FimEvent>),
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

/// A file event for the rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FimEvent {
    /// What happened.
    pub kind: FimKind,
    /// The alert's text.
    pub text: Vec<u8>,
    /// The file, control bytes escaped.
    pub path: Vec<u8>,
    /// Values for the JSON, as known before.
    pub before: Values,
    /// Values for the JSON, as they are now.
    pub after: Values,
}

/// What happened to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FimKind {
    /// Changed, the first time (each time when `auto_ignore` is off).
    Changed,
    /// Changed the second time.
    ChangedAgain,
    /// Changed the third time.
    ChangedThird,
    /// Gone.
    Deleted,
    /// Appeared.
    New,
    /// Back after it was gone.
    ReAdded,
}

/// All baselines.
pub(crate) struct FimStore {
    directory: PathBuf,
    folder: OwnedFd,
    policy: Policy,
    databases: HashMap<Vec<u8>, Database>,
    open: OpenFiles,
    maintenance: Maintenance,
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
            folder,
            policy,
            databases: HashMap::new(),
            open: OpenFiles::new(MAX_OPEN_FILES),
            maintenance: Maintenance::default(),
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
        let (sum, path, diff) = match message {
            Message::Completed => {
                self.database(&name)?.0.mark_completed();
                self.dirty.insert(name);
                self.maintenance.scan_completed(&self.folder, location, now);
                return Ok(Outcome::Swallowed(Reason::ScanCompleted));
            }
            Message::Answer(_) => return Ok(Outcome::Swallowed(Reason::Unchanged)),
            Message::File { sum, sum_text, path, data } => {
                let text = if sum == Sum::Deleted { b"-1" } else { sum_text };
                (Seen { sum, text }, fim::path::printable(path), data)
            }
        };
        if self.policy.ignores(&path) {
            return Ok(Outcome::Swallowed(Reason::IgnoredPath));
        }
        self.compare(location, &name, &path, &sum, diff, now)
    }

    /// Writes what [`Self::process`] remembered.
    ///
    /// # Errors
    /// When a database cannot be written, for instance on a full disk: nothing is forgotten, call again later.
    pub(crate) fn flush(&mut self) -> Result<(), StoreError> {
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
        self.maintenance.flush(&self.folder);
        Ok(())
    }

    /// Compares with what is known, remembers, and says what to tell.
    fn compare(
        &mut self,
        location: &[u8],
        name: &[u8],
        path: &[u8],
        seen: &Seen<'_>,
        diff: Option<&[u8]>,
        now: i64,
    ) -> Result<Outcome, StoreError> {
        let shown = files::path_of(&self.directory, name);
        let mut switches = self.policy.switches();
        let may_report_first_scan = self.policy.alert_first_scan;
        let (database, file) = self.database(name)?;
        switches.alert_new_files &= may_report_first_scan || database.is_completed();
        let known = database.look_up(file, path);
        let known = known.map_err(|source| StoreError::new("read", &shown, source))?;
        let mut verdict = match &known {
            None => first_sight(path, seen, switches),
            Some(known) => judge(path, known, seen, diff, switches),
        };
        if verdict.is_news() && self.maintenance.is_on(&self.folder, location, now) {
            let update = if known.is_none() { Update::New } else { Update::Modify };
            self.maintenance.note(location, update, path, now);
            verdict = Verdict::SILENT;
        }
        // Borrowed anew: what stood between knows nothing of databases.
        let (database, _) = self.database(name)?;
        if let Some(counter) = verdict.remember {
            database.append(path, counter, seen.text, now);
            self.dirty.insert(name.to_vec());
        }
        Ok(verdict.outcome)
    }

    /// A database and its file; read when it is not in memory yet, or was emptied by an administrator's tool since.
    fn database(&mut self, name: &[u8]) -> Result<(&mut Database, &File), StoreError> {
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
            database.recall_marker(&self.folder, name);
            if database.needs_flush() {
                self.dirty.insert(name.to_vec());
            }
            self.databases.insert(name.to_vec(), database);
        }
        Ok((self.databases.entry(name.to_vec()).or_default(), file))
    }
}

/// A file's sum as it came, parsed and as text.
struct Seen<'a> {
    sum: Sum<'a>,
    text: &'a [u8],
}

/// The two switches of [`Policy`] that a judgement needs.
#[derive(Clone, Copy)]
struct Switches {
    auto_ignore: bool,
    alert_new_files: bool,
}

/// What to tell, and with which counter to remember; `None` leaves the baseline alone.
struct Verdict {
    outcome: Outcome,
    remember: Option<Counter>,
}

impl Verdict {
    /// In maintenance: the new baseline, as if it had always been so.
    const SILENT: Self =
        Self { outcome: Outcome::Swallowed(Reason::Maintenance), remember: Some(Counter::NEVER) };

    /// Whether a file is not as it was, told or not.
    fn is_news(&self) -> bool {
        !matches!(self.outcome, Outcome::Swallowed(Reason::Unchanged | Reason::OnlyPlaceholders))
    }
}

impl Policy {
    fn ignores(&self, path: &[u8]) -> bool {
        self.ignore.iter().any(|prefix| {
            path.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
        })
    }

    fn switches(&self) -> Switches {
        Switches { auto_ignore: self.auto_ignore, alert_new_files: self.alert_new_files }
    }
}

/// A path that was never seen. A deletion is told even so: the database may have been reset since the file was first seen.
fn first_sight(path: &[u8], seen: &Seen<'_>, switches: Switches) -> Verdict {
    let remember = Some(Counter::NEVER);
    let event = match &seen.sum {
        Sum::Deleted => FimEvent::plain(FimKind::Deleted, path, report::deleted(path)),
        Sum::Present(record) if switches.alert_new_files => FimEvent {
            after: report::values_of_new_file(record),
            ..FimEvent::plain(FimKind::New, path, report::new_file(path, record))
        },
        Sum::Present(_) => {
            return Verdict { outcome: Outcome::Swallowed(Reason::NewFile), remember };
        }
    };
    Verdict { outcome: Outcome::Event(Box::new(event)), remember }
}

/// A path that is known.
fn judge(
    path: &[u8],
    known: &Known,
    seen: &Seen<'_>,
    diff: Option<&[u8]>,
    switches: Switches,
) -> Verdict {
    let silent = |reason, remember| Verdict { outcome: Outcome::Swallowed(reason), remember };
    if known.sum == seen.text {
        return silent(Reason::Unchanged, None);
    }
    let kind = match (switches.auto_ignore, known.counter.earlier_changes()) {
        (false, _) | (true, 0) => Some(FimKind::Changed),
        (true, 1) => Some(FimKind::ChangedAgain),
        (true, 2) => Some(FimKind::ChangedThird),
        (true, _) => None,
    };
    let event = match (Sum::parse(&known.sum), &seen.sum) {
        (_, Sum::Deleted) => FimEvent::plain(FimKind::Deleted, path, report::deleted(path)),
        (Ok(Sum::Deleted), Sum::Present(_)) => {
            FimEvent::plain(FimKind::ReAdded, path, report::re_added(path))
        }
        (old, Sum::Present(new)) => {
            // A known sum that cannot be read differs, whatever it was.
            let changes = match &old {
                Ok(Sum::Present(old)) => changes(old, new),
                _ => Vec::new(),
            };
            if changes.is_empty() && old.is_ok() {
                return silent(Reason::OnlyPlaceholders, Some(Counter::NEVER));
            }
            let (before, after) = report::values_of_change(&changes);
            let text = report::changed(path, &changes, diff);
            let kind = kind.unwrap_or(FimKind::Changed);
            FimEvent { before, after, ..FimEvent::plain(kind, path, text) }
        }
    };
    match kind {
        None => silent(Reason::AutoIgnored, None),
        Some(_) => Verdict {
            outcome: Outcome::Event(Box::new(event)),
            remember: Some(known.counter.after_change()),
        },
    }
}

impl FimEvent {
    fn plain(kind: FimKind, path: &[u8], text: Vec<u8>) -> Self {
        let (before, after) = (Values::default(), Values::default());
        Self { kind, text, path: path.to_vec(), before, after }
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
