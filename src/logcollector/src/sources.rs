//! From the configuration to watches: which paths are read, and from where each is taken up.
//!
//! | the file                                                        | is taken up at |
//! |-----------------------------------------------------------------|----------------|
//! | has a position                                                  | its position   |
//! | has a position, and `<only-future-events>yes`                   | its end        |
//! | has none, was there when its location was first configured      | its end        |
//! | has none, appeared while we ran, or while we were down          | its start      |

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use jiff::Zoned;
use settings::{LocalFile, LogFormat};

use crate::collector::Collector;
use crate::command::CommandSource;
use crate::journal::{FileFact, Key};
use crate::journald::JournalSource;
use crate::ledger::{Place, Subject};
use crate::location::{Location, Meaning};
use crate::notice::WatchId;
use crate::pipe::PipeSource;
use crate::tail::Opened;
use crate::watch::{TakeUp, Watch};

/// A location that means files.
#[derive(Debug)]
pub(crate) struct FileSource {
    /// As configured.
    pub location: Location,
    /// How lines become events.
    pub format: LogFormat,
    /// Whether older events do not count at start.
    pub only_future: bool,
    /// Where a new name would change what it means.
    pub folders: Vec<(PathBuf, String)>,
}

/// Positions by path, of one location.
type Known = BTreeMap<PathBuf, Vec<(Key, FileFact, u64)>>;

impl Collector {
    /// Takes on a configuration: at start, and again on reload. What was watched and still is goes on undisturbed.
    pub(crate) fn configure(&mut self, entries: &[LocalFile], now: Instant) {
        self.commands.clear();
        self.pipes.clear();
        self.refused.clear();
        let mut journals = std::mem::take(&mut self.journals);
        let old_locations: HashSet<String> =
            self.files.drain(..).map(|file| file.location.0).collect();
        let mut seen = HashSet::new();
        for entry in entries {
            let is_command = matches!(entry.format, LogFormat::Command | LogFormat::FullCommand);
            if !is_command && !seen.insert(entry.location.as_str()) {
                log::warn!("Duplicated log file given: '{}'.", entry.location);
                continue;
            }
            match entry.format {
                LogFormat::Command | LogFormat::FullCommand => self.add_command(entry, now),
                LogFormat::Journald => self.add_journal(entry, &mut journals, now),
                LogFormat::EventLog | LogFormat::EventChannel => {
                    log::info!("'{}' is an event log of Windows, ignored here.", entry.location);
                }
                LogFormat::SyslogPipe => self.add_pipe(entry),
                _ => self.add_files(entry, old_locations.contains(&entry.location)),
            }
        }
        if entries.is_empty() {
            log::info!("(1905) No file configured to monitor.");
        }
        for journal in journals {
            self.outbox.ledger.close(journal.key());
        }
        self.drop_unmeant();
        let locations = self.files.iter().map(|file| file.location.0.clone()).collect();
        if let Err(error) = self.outbox.ledger.set_locations(locations) {
            log::warn!("the positions in queue/logcollector could not be rewritten ({error})");
        }
    }

    fn add_command(&mut self, entry: &LocalFile, now: Instant) {
        match CommandSource::new(entry, now) {
            Some(command) => {
                log::info!("{}", command.description());
                self.commands.push(command);
            }
            None => log::error!("Missing 'command' argument. This option will be ignored."),
        }
    }

    fn add_pipe(&mut self, entry: &LocalFile) {
        log::info!("(1950) Analyzing file: '{}'.", entry.location);
        self.pipes.push(PipeSource::new(&entry.location));
    }

    fn add_journal(&mut self, entry: &LocalFile, running: &mut Vec<JournalSource>, now: Instant) {
        log::info!("(1951) Analyzing journald log: '{}'.", entry.location);
        if let Some(at) = running.iter().position(|journal| journal.location() == entry.location) {
            return self.journals.push(running.remove(at));
        }
        let known = self.outbox.ledger.positions().find_map(|(key, subject, place)| {
            match (subject, place) {
                (Subject::Journal(location), Place::Cursor(cursor))
                    if *location == entry.location =>
                {
                    Some((key, cursor.clone()))
                }
                _ => None,
            }
        });
        let (key, cursor) = match known {
            Some((key, cursor)) if !entry.only_future => (key, cursor),
            Some((key, _)) => (key, String::new()),
            None => {
                let subject = Subject::Journal(entry.location.clone());
                (self.outbox.ledger.add(subject, Place::Cursor(String::new())), String::new())
            }
        };
        self.journals.push(JournalSource::new(&entry.location, key, cursor, now));
    }

    fn add_files(&mut self, entry: &LocalFile, was_watched: bool) {
        let location = Location(entry.location.clone());
        let zoned = Zoned::now();
        if let Err(why) = location.check(&zoned) {
            log::error!(
                "location '{}': the date in it is not understood ({why}), ignored",
                entry.location
            );
            return;
        }
        let mut source = FileSource {
            location,
            format: entry.format,
            only_future: entry.only_future,
            folders: Vec::new(),
        };
        let meaning = self.look_up(&mut source);
        self.announce(&source, &meaning);
        if was_watched {
            self.adopt(&source, &meaning);
        } else {
            self.begin(&source, &meaning);
        }
        self.files.push(source);
    }

    fn announce(&self, source: &FileSource, meaning: &Meaning) {
        for path in &meaning.paths {
            if source.location.is_dated() {
                log::info!("(1952) Monitoring variable log file: '{}'.", path.display());
            }
            log::info!("(1950) Analyzing file: '{}'.", path.display());
        }
        if meaning.paths.is_empty() {
            log::info!(
                "No file matches '{}' yet; it is picked up when it appears.",
                source.location.0
            );
        }
    }

    /// A location that is new in this run.
    fn begin(&mut self, source: &FileSource, meaning: &Meaning) {
        let mut known = self.known(&source.location.0);
        let was_configured = self.outbox.ledger.knows_location(&source.location.0);
        let last_write = self.outbox.ledger.last_write();
        for path in &meaning.paths {
            let positions = known.remove(path);
            if self.by_path.contains_key(path) {
                continue;
            }
            let Some(id) = self.add_watch(path, source) else { continue };
            let is_newer =
                last_write.is_none_or(|at| modified(path).is_none_or(|modified| modified > at));
            let is_missed = was_configured && is_newer && !source.only_future;
            let how = if is_missed { TakeUp::Start } else { TakeUp::End };
            match positions {
                Some(positions) if !source.only_future => {
                    self.with(id, |watch, desk| watch.resume(positions, desk));
                }
                positions => {
                    positions
                        .iter()
                        .flatten()
                        .for_each(|(key, _, _)| self.outbox.ledger.close(*key));
                    self.with(id, |watch, desk| watch.take_up(how, desk));
                }
            }
        }
        // Yesterday's dated file, and files that are gone: what is left of them is read, then they are forgotten.
        for (path, positions) in known {
            if self.by_path.contains_key(&path) {
                continue;
            }
            let Some(id) = self.add_watch(&path, source) else { continue };
            self.with(id, |watch, desk| {
                watch.is_former = true;
                watch.resume(positions, desk);
            });
        }
    }

    fn known(&self, location: &str) -> Known {
        let mut known = Known::new();
        for (key, subject, place) in self.outbox.ledger.positions() {
            if let (Subject::File(fact), Place::Offset(offset)) = (subject, place)
                && fact.location == location
            {
                known.entry(fact.path.clone()).or_default().push((key, fact.clone(), *offset));
            }
        }
        known
    }

    /// New files of a location that is watched already.
    fn adopt(&mut self, source: &FileSource, meaning: &Meaning) {
        for path in &meaning.paths {
            if let Some(&id) = self.by_path.get(path) {
                self.with(id, |watch, desk| {
                    watch.is_former = false;
                    watch.change_format(source.format, desk);
                });
                continue;
            }
            if self.is_generation_of_another(path) || !self.is_worth_a_watch(path, source) {
                continue;
            }
            if let Some(id) = self.add_watch(path, source) {
                log::info!("(1950) Analyzing file: '{}'.", path.display());
                self.with(id, |watch, desk| watch.take_up(TakeUp::Start, desk));
                self.mark_ready(id);
            }
        }
        for watch in self.watches.values_mut().filter(|watch| watch.location == source.location.0) {
            if !meaning.paths.contains(&watch.path) {
                watch.is_former = true;
            }
        }
    }

    fn is_worth_a_watch(&self, path: &Path, source: &FileSource) -> bool {
        !source.location.is_pattern() || path.is_file()
    }

    /// `log.1` of a `log` that is watched matches `log*` too, but has been read.
    fn is_generation_of_another(&self, path: &Path) -> bool {
        let Ok(opened) = Opened::at(path) else { return false };
        self.former.knows(opened.identity, &opened.head)
            || self.watches.values().any(|watch| watch.holds(path, opened.identity, &opened.head))
    }

    fn add_watch(&mut self, path: &Path, source: &FileSource) -> Option<WatchId> {
        if self.refused.contains(path) {
            return None;
        }
        let id = WatchId(self.next_id);
        match Watch::new(id, path.to_owned(), &source.location.0, source.format, &self.host) {
            Ok(watch) => {
                self.next_id += 1;
                self.watches.insert(id, watch);
                self.by_path.insert(path.to_owned(), id);
                self.mark_ready(id);
                Some(id)
            }
            Err(bad) => {
                log::error!("{}", bad.0);
                self.refused.insert(path.to_owned());
                None
            }
        }
    }

    /// What a location means now, with ears in its folders.
    fn look_up(&mut self, source: &mut FileSource) -> Meaning {
        // Looks once more after new ears: what came in between would be missed. Deeper than this no folders come at once.
        let mut meaning = Meaning::default();
        for _ in 0..16 {
            meaning = source.location.meaning(&Zoned::now());
            let mut fresh = false;
            for (folder, _) in &meaning.folders {
                fresh |= self.notices.watch_folder(folder);
            }
            if !fresh {
                break;
            }
        }
        source.folders.clone_from(&meaning.folders);
        meaning
    }

    /// Looks again what a location means: something happened in its folders, or the date changed.
    pub(crate) fn rediscover(&mut self, at: usize) {
        if at >= self.files.len() {
            return;
        }
        let mut source = self.files.swap_remove(at);
        let meaning = self.look_up(&mut source);
        self.adopt(&source, &meaning);
        self.files.push(source);
        let last = self.files.len() - 1;
        self.files.swap(at, last);
    }

    /// Forgets watches whose location is not configured any more.
    fn drop_unmeant(&mut self) {
        let configured: HashSet<&str> =
            self.files.iter().map(|file| file.location.0.as_str()).collect();
        let unmeant: Vec<WatchId> = self
            .watches
            .values()
            .filter(|w| !configured.contains(w.location.as_str()))
            .map(|w| w.id)
            .collect();
        let unknown: Vec<Key> = self
            .outbox
            .ledger
            .positions()
            .filter(|(_, subject, _)| matches!(subject, Subject::File(fact) if !configured.contains(fact.location.as_str())))
            .map(|(key, _, _)| key)
            .collect();
        for id in unmeant {
            self.drop_watch(id);
        }
        unknown.into_iter().for_each(|key| self.outbox.ledger.close(key));
    }
}

fn modified(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|meta| meta.modified()).ok()
}
