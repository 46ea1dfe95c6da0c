//! The baseline: what the manager was told of each file, and what tells us that a file is still the same. `queue/syscheckd/baseline.redb`.
//!
//! A change is written here before its event is sent, together with what was known before ([`undo`]); when the queue says that the event has
//! reached its end, the undo is dropped. After a crash the queue's answer decides: what has not arrived is undone, found again by
//! the next look, and told again. So nothing is told twice, and nothing is lost. redb (copy on write, checksums) keeps the file
//! whole at any kill; each write is synchronised with the disk, so a power cut leaves an older state, never a broken one.
//!
//! After a failed write (a full disk) redb refuses everything, reading too: the file is opened anew at once, and what was to be written waits.
//! On a file system that has become read-only no write is begun, so that what is known can be read all the time.
//!
//! | table | key | value |
//! |---|---|---|
//! | `folders` | path | number |
//! | `files` | folder's number (u32, big endian), name | [`Record`] |
//! | `undo` | first number of a batch | what to put back, see [`undo`] |
//! | `state` | name | number or bytes |

mod reader;
mod record;
mod undo;

use std::cell::{Cell, OnceCell};
use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::fs;
use std::hash::BuildHasher;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW, utimensat};

use crate::plan::split;

pub use reader::Reader;
pub use record::{Mark, Record};

const FOLDERS: TableDefinition<'_, &[u8], u32> = TableDefinition::new("folders");
const FILES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("files");
const UNDO: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("undo");
const STATE: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("state");

/// Pages of the file that are kept in memory, in bytes.
const CACHE: usize = 2 << 20;
/// Changes that wait for being written; more only when the disk does not take them.
const MAX_WAITING: usize = 100_000;

/// The database, its numbering, and what is not written yet.
pub struct Baseline {
    path: PathBuf,
    /// `None` when it could not be opened anew after a failure.
    database: Option<Database>,
    /// The next new folder's number; higher than all that are there.
    next_folder: u32,
    stream: u64,
    /// Highest number that has reached its end.
    marked: u64,
    /// Highest number told.
    last: u64,
    /// What was last written, for [`Self::get`]; taken when it is first asked for.
    snapshot: OnceCell<Tables>,
    waiting: Vec<Change>,
    /// Of the waiting changes, those that are told.
    told: usize,
    /// The newest of the waiting changes of each path; `None` is a file that is gone.
    overlay: HashMap<Vec<u8>, Option<Record>>,
    state: Vec<(&'static str, Vec<u8>)>,
    marked_written: u64,
    len: u64,
    /// It was said since the last commit that nothing can be read.
    unread_said: Cell<bool>,
}

struct Change {
    path: Vec<u8>,
    record: Option<Record>,
    /// The event that tells it; `None` for what nobody is told.
    number: Option<u64>,
}

impl Baseline {
    /// Opens the file in `folder`. A file that is not a baseline, or is damaged, is set aside: then nothing is known, and everything
    /// will be told again.
    ///
    /// # Errors
    /// The file cannot be written: no room, no permission, or somebody else has it open.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let path = folder.join("baseline.redb");
        match Self::open_file(&path) {
            Ok(baseline) => Ok(baseline),
            Err(error) if path.exists() && tells_of_damage(&error) => {
                let aside = path.with_extension("damaged");
                log::error!(
                    "'{}' cannot be used: {error}. It is kept as '{}'; starting without, every file is told again.",
                    path.display(),
                    aside.display()
                );
                fs::rename(&path, &aside)?;
                Self::open_file(&path)
            }
            Err(error) => Err(error),
        }
    }

    fn open_file(path: &PathBuf) -> io::Result<Self> {
        let database = Database::builder().set_cache_size(CACHE).create(path).map_err(failed)?;
        let mut baseline = Self {
            path: path.clone(),
            database: Some(database),
            next_folder: 0,
            stream: random(),
            marked: 0,
            last: 0,
            snapshot: OnceCell::new(),
            waiting: Vec::new(),
            told: 0,
            overlay: HashMap::new(),
            state: Vec::new(),
            marked_written: 0,
            len: 0,
            unread_said: Cell::new(false),
        };
        let known = baseline.number("stream")?;
        baseline.marked = baseline.number("marked")?.unwrap_or(0);
        baseline.marked_written = baseline.marked;
        match known {
            Some(stream) => baseline.stream = stream,
            None => {
                baseline.remember("stream", &baseline.stream.to_le_bytes());
                // All tables are there from now on.
                baseline.commit()?;
            }
        }
        (baseline.len, baseline.next_folder) = baseline.read(|tables| {
            let mut next = 0;
            for folder in tables.folders.iter()? {
                next = next.max(folder?.1.value().saturating_add(1));
            }
            Ok((tables.files.len()?, next))
        })?;
        Ok(baseline)
    }

    fn database(&self) -> io::Result<&Database> {
        self.database.as_ref().ok_or_else(|| io::Error::other("it could not be opened again"))
    }

    /// After a failure; the old one is closed first, whoever still reads it.
    fn open_anew(&mut self) {
        self.database = None;
        match Database::builder().set_cache_size(CACHE).open(&self.path) {
            Ok(database) => self.database = Some(database),
            Err(error) => log::debug!("'{}' not opened again: {error}", self.path.display()),
        }
    }

    /// The numbering's id, for [`ipc::Sender::new`].
    pub fn stream(&self) -> u64 {
        self.stream
    }

    /// Takes what the manager says has reached its end, and undoes what has not. Returns the number after which to go on; 0
    /// with a new [`Self::stream`] when the manager no longer knows the old one.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn settle(&mut self, ended: u64) -> io::Result<u64> {
        let undo = self.read(|tables| {
            let batches = tables.undo.iter()?;
            let mut all = Vec::new();
            for batch in batches {
                let (_, batch) = batch?;
                all.extend(undo::decode(batch.value()));
            }
            Ok(all)
        })?;
        for undo::Undo { number, path, before } in undo.into_iter().rev() {
            if number > ended {
                self.change(path, before, None);
            }
        }
        if ended < self.marked {
            self.stream = random();
            self.remember("stream", &self.stream.to_le_bytes());
        }
        self.marked = if ended < self.marked { 0 } else { ended };
        self.last = self.marked;
        self.commit_dropping(u64::MAX)?;
        Ok(self.marked)
    }

    /// How many files are known.
    pub fn len(&self) -> usize {
        usize::try_from(self.len).unwrap_or(usize::MAX)
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What is known of a file: what was told last.
    pub fn get(&self, path: &[u8]) -> Option<Record> {
        if let Some(waiting) = self.overlay.get(path) {
            return waiting.clone();
        }
        self.look_up(path).unwrap_or_else(|error| {
            if !self.unread_said.replace(true) {
                log::error!(
                    "The baseline cannot be read: {error}. '{}' is taken as new, and so are others until it can be.",
                    shown(path)
                );
            }
            None
        })
    }

    /// Notes that the event of this number tells of a file; `None` when it is gone.
    pub fn tell(&mut self, number: u64, path: &[u8], record: Option<Record>) {
        self.last = self.last.max(number);
        self.change(path.to_vec(), record, Some(number));
    }

    /// Notes a newer mark of a file that is as it was told.
    pub fn mark(&mut self, path: &[u8], mark: Mark) {
        if let Some(record) = self.get(path) {
            self.change(path.to_vec(), Some(Record { mark, ..record }), None);
        }
    }

    /// Notes what a file has become, without telling anyone.
    pub fn follow(&mut self, path: Vec<u8>, record: Record) {
        self.change(path, Some(record), None);
    }

    /// Forgets a file that is no longer watched, without telling anyone.
    pub fn forget(&mut self, path: &[u8]) {
        if self.get(path).is_some() {
            self.change(path.to_vec(), None, None);
        }
    }

    /// Remembers something else beside the files; written with the next [`Self::flush`].
    pub fn remember(&mut self, name: &'static str, value: &[u8]) {
        self.state.retain(|(known, _)| *known != name);
        self.state.push((name, value.to_vec()));
    }

    /// What was remembered.
    pub fn recall(&self, name: &str) -> Option<Vec<u8>> {
        let unwritten = self.state.iter().find(|(known, _)| *known == name);
        let value = unwritten.map(|(_, value)| value.clone()).or_else(|| {
            let read = |tables: &Tables| Ok(tables.state.get(name)?.map(|v| v.value().to_vec()));
            self.read(read).unwrap_or_default()
        });
        value.filter(|value| !value.is_empty())
    }

    /// Notes what has reached its end.
    pub fn acknowledged(&mut self, upto: u64) {
        self.marked = self.marked.max(upto);
    }

    /// Whether something waits for being written.
    pub fn is_dirty(&self) -> bool {
        !self.waiting.is_empty() || !self.state.is_empty() || self.marked > self.marked_written
    }

    /// How many changes wait for being written, with or without an event that tells them.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// How many events wait for being written before they may be sent.
    pub fn told(&self) -> usize {
        self.told
    }

    /// Files of which something waits for being written.
    pub fn unwritten(&self) -> impl Iterator<Item = &Vec<u8>> {
        self.overlay.keys()
    }

    /// Writes what was noted; to be called before the events are sent.
    ///
    /// # Errors
    /// When writing fails; nothing is forgotten, call again.
    pub fn flush(&mut self) -> io::Result<()> {
        if !self.is_dirty() {
            return Ok(());
        }
        let result = self.commit();
        if result.is_err() && self.waiting.len() > MAX_WAITING {
            // What is dropped is found again, and told again, after a restart or at the next scan.
            self.waiting.clear();
            self.told = 0;
            self.overlay.clear();
        }
        result
    }

    /// For the worker.
    pub fn reader(&self) -> io::Result<Reader> {
        Reader::new(self.database()?)
    }

    /// All files that are told of, with their sums. To be called with nothing waiting.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn each(&self, mut each: impl FnMut(&[u8], &Record)) -> io::Result<()> {
        self.reader()?.each(&mut each)
    }

    /// Gives back room in the file that nothing needs any more, when that is a good part of it. Takes a moment.
    pub fn compact(&mut self) {
        self.snapshot.take();
        if self.ask_whether_writable().is_ok()
            && self.is_wasteful().unwrap_or(false)
            && let Some(database) = &mut self.database
            && let Err(error) = database.compact()
        {
            // A reader is at work: next time.
            log::debug!("baseline not compacted: {error}");
        }
    }

    fn is_wasteful(&self) -> io::Result<bool> {
        let writing = self.database()?.begin_write().map_err(failed)?;
        let stats = writing.stats().map_err(failed)?;
        writing.abort().map_err(failed)?;
        let used = stats.stored_bytes() + stats.metadata_bytes();
        // A file that has to grow becomes twice as long, mostly with a hole: that is no waste.
        let taken = fs::metadata(&self.path)?.blocks() * 512;
        Ok(taken > used + used / 2 + (1 << 20))
    }

    fn look_up(&self, path: &[u8]) -> io::Result<Option<Record>> {
        if let Some(snapshot) = self.snapshot.get() {
            return snapshot.get(path).map_err(failed);
        }
        let reading = self.database()?.begin_read().map_err(failed)?;
        let tables = Tables::open(&reading).map_err(failed)?;
        self.snapshot.get_or_init(|| tables).get(path).map_err(failed)
    }

    fn change(&mut self, path: Vec<u8>, record: Option<Record>, number: Option<u64>) {
        self.told += usize::from(number.is_some());
        self.overlay.insert(path.clone(), record.clone());
        self.waiting.push(Change { path, record, number });
    }

    fn commit(&mut self) -> io::Result<()> {
        self.commit_dropping(self.marked)
    }

    /// Writes everything that waits, and drops the undo of all batches up to this number.
    fn commit_dropping(&mut self, upto: u64) -> io::Result<()> {
        self.ask_whether_writable()?;
        // A snapshot would keep the pages that are about to become free.
        self.snapshot.take();
        if self.database.is_none() {
            self.open_anew();
        }
        let len = self.write(upto).inspect_err(|_| self.open_anew())?;
        self.len = len;
        self.unread_said.set(false);
        self.marked_written = self.marked;
        self.waiting.clear();
        self.told = 0;
        self.overlay.clear();
        self.state.clear();
        Ok(())
    }

    /// Fails where nothing can be written: on a file system that has become read-only. After a commit that failed the file would have to
    /// be opened anew, which such a file system does not permit, and nothing would be known.
    fn ask_whether_writable(&self) -> io::Result<()> {
        let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
        let times = Timestamps { last_access: now, last_modification: now };
        Ok(utimensat(CWD, &self.path, &times, AtFlags::empty())?)
    }

    /// Gives the number of files then.
    fn write(&mut self, upto: u64) -> io::Result<u64> {
        let database = self.database.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        let writing = database.begin_write().map_err(failed)?;
        let len = {
            let mut folders = writing.open_table(FOLDERS).map_err(failed)?;
            let mut files = writing.open_table(FILES).map_err(failed)?;
            let mut undo = writing.open_table(UNDO).map_err(failed)?;
            let mut state = writing.open_table(STATE).map_err(failed)?;
            let mut batch = undo::Batch::default();
            // An earlier try may have failed only after the disk had it all: what was before is not to be overwritten.
            let written = last_written(&undo)?;
            let mut last_folder: Option<(&[u8], u32)> = None;
            for Change { path, record, number } in &self.waiting {
                if number.is_some_and(|number| number <= written) {
                    continue;
                }
                let (folder, name) = split(path);
                let id = match last_folder {
                    Some((known, id)) if known == folder => id,
                    _ => folder_id(&mut folders, folder, &mut self.next_folder)?,
                };
                last_folder = Some((folder, id));
                let key = file_key(id, name);
                let before = match record {
                    Some(record) => files.insert(&*key, &*record.encode()).map_err(failed)?,
                    None => files.remove(&*key).map_err(failed)?,
                };
                if let Some(number) = number {
                    batch.put(*number, path, before.as_ref().map(redb::AccessGuard::value));
                }
                drop(before);
                if record.is_none() && is_empty(&files, id)? {
                    folders.remove(folder).map_err(failed)?;
                    last_folder = None;
                }
            }
            if let Some((first, bytes)) = batch.finish() {
                undo.insert(first, &*bytes).map_err(failed)?;
            }
            drop_settled(&mut undo, upto)?;
            for (name, value) in &self.state {
                state.insert(*name, value.as_slice()).map_err(failed)?;
            }
            state.insert("marked", self.marked.to_le_bytes().as_slice()).map_err(failed)?;
            files.len().map_err(failed)?
        };
        writing.commit().map_err(failed)?;
        Ok(len)
    }

    fn number(&self, name: &str) -> io::Result<Option<u64>> {
        let reading = self.database()?.begin_read().map_err(failed)?;
        let table = match reading.open_table(STATE) {
            Ok(table) => table,
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let value = table.get(name).map_err(failed)?;
        Ok(value.and_then(|value| Some(u64::from_le_bytes(value.value().try_into().ok()?))))
    }

    fn read<T>(&self, look: impl FnOnce(&Tables) -> Result<T, redb::Error>) -> io::Result<T> {
        let reading = self.database()?.begin_read().map_err(failed)?;
        let tables = Tables::open(&reading).map_err(failed)?;
        look(&tables).map_err(failed)
    }
}

/// The tables of one snapshot.
struct Tables {
    folders: redb::ReadOnlyTable<&'static [u8], u32>,
    files: redb::ReadOnlyTable<&'static [u8], &'static [u8]>,
    undo: redb::ReadOnlyTable<u64, &'static [u8]>,
    state: redb::ReadOnlyTable<&'static str, &'static [u8]>,
}

impl Tables {
    fn open(reading: &redb::ReadTransaction) -> Result<Self, redb::Error> {
        Ok(Self {
            folders: reading.open_table(FOLDERS)?,
            files: reading.open_table(FILES)?,
            undo: reading.open_table(UNDO)?,
            state: reading.open_table(STATE)?,
        })
    }

    fn get(&self, path: &[u8]) -> Result<Option<Record>, redb::Error> {
        let (folder, name) = split(path);
        let Some(id) = self.folders.get(folder)?.map(|id| id.value()) else { return Ok(None) };
        let found = self.files.get(&*file_key(id, name))?;
        Ok(found.and_then(|bytes| Record::decode(bytes.value())))
    }
}

fn folder_id(
    folders: &mut redb::Table<'_, &[u8], u32>,
    folder: &[u8],
    next: &mut u32,
) -> io::Result<u32> {
    if let Some(id) = folders.get(folder).map_err(failed)? {
        return Ok(id.value());
    }
    let id = *next;
    *next = id.checked_add(1).ok_or_else(|| io::Error::other("no more numbers for folders"))?;
    folders.insert(folder, id).map_err(failed)?;
    Ok(id)
}

/// Whether a folder has no files (any more).
fn is_empty(files: &redb::Table<'_, &[u8], &[u8]>, folder: u32) -> io::Result<bool> {
    let from = folder.to_be_bytes();
    let next = files.range::<&[u8]>(from.as_slice()..).map_err(failed)?.next();
    let next = next.transpose().map_err(failed)?;
    Ok(next.is_none_or(|(key, _)| !key.value().starts_with(&from)))
}

/// The highest number that has its undo in the file; 0 when there is none.
fn last_written(undo: &redb::Table<'_, u64, &[u8]>) -> io::Result<u64> {
    let last = undo.last().map_err(failed)?;
    Ok(last.and_then(|(_, batch)| undo::last_number(batch.value())).unwrap_or(0))
}

fn drop_settled(undo: &mut redb::Table<'_, u64, &[u8]>, upto: u64) -> io::Result<()> {
    loop {
        let oldest = undo.first().map_err(failed)?.map(|(key, batch)| {
            (key.value(), undo::last_number(batch.value()).unwrap_or(key.value()))
        });
        match oldest {
            Some((first, last)) if last <= upto => {
                undo.remove(first).map_err(failed)?;
            }
            _ => return Ok(()),
        }
    }
}

fn file_key(folder: u32, name: &[u8]) -> Vec<u8> {
    [&folder.to_be_bytes(), name].concat()
}

fn failed(error: impl Into<redb::Error>) -> io::Error {
    match error.into() {
        redb::Error::Io(error) => error,
        error @ redb::Error::DatabaseAlreadyOpen => {
            io::Error::new(io::ErrorKind::ResourceBusy, error)
        }
        error => io::Error::other(error),
    }
}

/// Not of a full disk, a lack of permission or another process: there the file is as good as ever.
fn tells_of_damage(error: &io::Error) -> bool {
    let by_disk = |number: i32| number == rustix::io::Errno::IO.raw_os_error();
    error.raw_os_error().is_none_or(by_disk) && error.kind() != io::ErrorKind::ResourceBusy
}

fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

/// A stream's id: unlike any earlier one, not secret.
fn random() -> u64 {
    RandomState::new().hash_one(std::process::id())
}

#[cfg(test)]
mod tests;
