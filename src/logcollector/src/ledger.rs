//! Positions: from where in each file reading goes on, exact to the event.
//!
//! A position moves only when the events before it have ended at the consumer. Which event belongs to which position is on
//! disk before the event is sent: so a new run, told by the consumer which number has ended last, knows the exact byte.
//! The disk side is a journal that is appended to and rewritten when it has grown; see [`crate::journal`] for its lines.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::journal::{self, Entry, FileFact, Key};

/// The journal is rewritten when it has grown by so many bytes.
const COMPACT_AT: usize = 4 << 20;
/// A journal larger than this is not ours: a full window of events is a fraction of it.
const MAX_JOURNAL: u64 = 256 << 20;

/// What a position belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Subject {
    /// A file; its place is an offset.
    File(FileFact),
    /// journald under this location; its place is a cursor.
    Journal(String),
}

/// Where reading goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// In a file.
    Offset(u64),
    /// In the journal; empty at its tail.
    Cursor(String),
}

/// All positions, in memory and on disk.
#[derive(Debug)]
pub(crate) struct Ledger {
    path: PathBuf,
    file: File,
    size: usize,
    compact_at: usize,
    stream: u64,
    ended: u64,
    last_write: Option<SystemTime>,
    locations: Vec<String>,
    known: BTreeMap<Key, Known>,
    next_key: u32,
    /// Events that have not ended: number, key, place after it. Numbers never fall.
    open: VecDeque<(u64, Key, Place)>,
    /// Journal lines that are not on disk yet.
    unwritten: String,
    marks: Option<Entry>,
    /// What was odd about the journal, for a warning.
    pub damage: Option<String>,
}

#[derive(Debug)]
struct Known {
    subject: Subject,
    place: Place,
    open: usize,
    closing: bool,
}

impl Ledger {
    /// Opens or makes the journal. `stream` names the numbering if there is none yet. What does not hold is left out, see
    /// [`damage`](Self::damage).
    ///
    /// # Errors
    /// When the journal cannot be read or written.
    pub(crate) fn open(path: &Path, stream: u64) -> io::Result<Self> {
        let (content, last_write) = content(path)?;
        let (entries, good) = journal::read(&content);
        let mut ledger = Self {
            path: path.to_owned(),
            file: append_to(path)?,
            size: 0,
            compact_at: COMPACT_AT,
            stream,
            ended: 0,
            last_write,
            locations: Vec::new(),
            known: BTreeMap::new(),
            next_key: 1,
            open: VecDeque::new(),
            unwritten: String::new(),
            marks: None,
            damage: None,
        };
        if good < content.len() {
            let lost = content.len() - good;
            ledger.damage = Some(format!(
                "its last {lost} bytes are damaged; going on from what is good before them"
            ));
        }
        entries.into_iter().for_each(|entry| ledger.replay(entry));
        ledger.compact()?;
        Ok(ledger)
    }

    fn replay(&mut self, entry: Entry) {
        match entry {
            Entry::Stream { stream, ended } => {
                (self.stream, self.ended) = (stream, ended.max(self.ended))
            }
            Entry::Location(location) => self.locations.push(location),
            Entry::File { key, fact, offset } => match self.known.get_mut(&key) {
                Some(known) => known.subject = Subject::File(fact),
                None => self.insert(key, Subject::File(fact), Place::Offset(offset)),
            },
            Entry::Journal { key, location, cursor } => {
                self.insert(key, Subject::Journal(location), Place::Cursor(cursor));
            }
            Entry::Marks { key, first, offsets } => {
                for (number, offset) in (first..).zip(offsets) {
                    self.push_open(number, key, Place::Offset(offset));
                }
            }
            Entry::Cursor { key, number, cursor } => {
                self.push_open(number, key, Place::Cursor(cursor))
            }
            Entry::Gone(key) => self.drop_when_ended(key),
        }
    }

    fn insert(&mut self, key: Key, subject: Subject, place: Place) {
        self.next_key = self.next_key.max(key.0.saturating_add(1));
        self.known.insert(key, Known { subject, place, open: 0, closing: false });
    }

    fn push_open(&mut self, number: u64, key: Key, place: Place) {
        if let Some(known) = self.known.get_mut(&key) {
            known.open += 1;
            self.open.push_back((number, key, place));
        }
    }

    fn drop_when_ended(&mut self, key: Key) {
        match self.known.get_mut(&key) {
            Some(known) if known.open > 0 => known.closing = true,
            _ => drop(self.known.remove(&key)),
        }
    }

    /// Name of the numbering.
    pub(crate) fn stream(&self) -> u64 {
        self.stream
    }

    /// When the journal was last written, before this run.
    pub(crate) fn last_write(&self) -> Option<SystemTime> {
        self.last_write
    }

    /// Whether this location was watched before.
    pub(crate) fn knows_location(&self, location: &str) -> bool {
        self.locations.iter().any(|known| known == location)
    }

    /// Sets the locations that are watched from now on; on disk with the next rewrite, which follows at once.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub(crate) fn set_locations(&mut self, locations: Vec<String>) -> io::Result<()> {
        self.locations = locations;
        self.compact()
    }

    /// At start: the consumer says that everything up to `number` has ended. What was sent after that never arrived, and is
    /// read again. Returns the number after which ours go on.
    pub(crate) fn resume_after(&mut self, number: u64) -> u64 {
        self.ended_upto(number);
        for (_, key, _) in std::mem::take(&mut self.open) {
            if let Some(known) = self.known.get_mut(&key) {
                (known.open, known.closing) = (0, false);
            }
        }
        self.ended
    }

    /// All known positions, in the order in which they came to be known.
    pub(crate) fn positions(&self) -> impl Iterator<Item = (Key, &Subject, &Place)> {
        self.known
            .iter()
            .filter(|(_, known)| !known.closing)
            .map(|(&key, known)| (key, &known.subject, &known.place))
    }

    /// Adds something to read.
    pub(crate) fn add(&mut self, subject: Subject, place: Place) -> Key {
        let key = Key(self.next_key);
        self.insert(key, subject, place);
        self.write_known(key);
        key
    }

    /// Notes that a file is known better: its head has grown, or it was found under another inode.
    pub(crate) fn describe(&mut self, key: Key, fact: FileFact) {
        if let Some(known) = self.known.get_mut(&key) {
            known.subject = Subject::File(fact);
            self.write_known(key);
        }
    }

    fn write_known(&mut self, key: Key) {
        self.seal_marks();
        if let Some(known) = self.known.get(&key) {
            known.entry(key).write(&mut self.unwritten);
        }
    }

    /// Notes where reading goes on once everything up to `number` has ended.
    pub(crate) fn note(&mut self, number: u64, key: Key, place: Place) {
        match (&place, &mut self.marks) {
            (Place::Offset(offset), Some(Entry::Marks { key: same, first, offsets }))
                if *same == key && *first + offsets.len() as u64 == number =>
            {
                offsets.push(*offset);
            }
            (Place::Offset(offset), _) => {
                self.seal_marks();
                self.marks = Some(Entry::Marks { key, first: number, offsets: vec![*offset] });
            }
            (Place::Cursor(cursor), _) => {
                self.seal_marks();
                Entry::Cursor { key, number, cursor: cursor.clone() }.write(&mut self.unwritten);
            }
        }
        self.push_open(number, key, place);
        if number <= self.ended {
            self.ended_upto(number);
        }
    }

    /// Forgets a file once all its events have ended.
    pub(crate) fn close(&mut self, key: Key) {
        self.seal_marks();
        Entry::Gone(key).write(&mut self.unwritten);
        self.drop_when_ended(key);
    }

    /// Everything up to `number` has ended at the consumer.
    pub(crate) fn ended_upto(&mut self, number: u64) {
        self.ended = self.ended.max(number);
        while self.open.front().is_some_and(|(at, _, _)| *at <= self.ended) {
            let Some((_, key, place)) = self.open.pop_front() else { break };
            let Some(known) = self.known.get_mut(&key) else { continue };
            known.place = place;
            known.open -= 1;
            if known.open == 0 && known.closing {
                self.known.remove(&key);
            }
        }
    }

    /// Puts everything noted on disk. To be called before events are sent.
    ///
    /// # Errors
    /// When the journal cannot be written; then nothing may be sent, and the call is to be repeated.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.seal_marks();
        if self.unwritten.is_empty() {
            return Ok(());
        }
        if self.size + self.unwritten.len() > self.compact_at {
            return self.compact();
        }
        if let Err(error) = self.file.write_all(self.unwritten.as_bytes()) {
            // A part of it may be there: only a rewrite makes the journal whole again.
            self.compact_at = 0;
            return Err(error);
        }
        self.size += self.unwritten.len();
        self.unwritten.clear();
        Ok(())
    }

    /// Rewrites the journal with what counts now, and swaps it in.
    ///
    /// # Errors
    /// When it cannot be written; the old one is then still in place.
    pub(crate) fn compact(&mut self) -> io::Result<()> {
        self.seal_marks();
        let text = self.snapshot();
        let fresh = self.path.with_extension("new");
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o640).open(&fresh)?;
        file.write_all(text.as_bytes())?;
        file.sync_data()?;
        fs::rename(&fresh, &self.path)?;
        self.file = append_to(&self.path)?;
        self.size = text.len();
        self.compact_at = text.len() + COMPACT_AT;
        self.unwritten.clear();
        Ok(())
    }

    fn snapshot(&self) -> String {
        let mut text = String::new();
        Entry::Stream { stream: self.stream, ended: self.ended }.write(&mut text);
        self.locations
            .iter()
            .for_each(|location| Entry::Location(location.clone()).write(&mut text));
        self.known.iter().for_each(|(&key, known)| known.entry(key).write(&mut text));
        for (number, key, place) in &self.open {
            match place {
                Place::Offset(offset) => {
                    Entry::Marks { key: *key, first: *number, offsets: vec![*offset] }
                }
                Place::Cursor(cursor) => {
                    Entry::Cursor { key: *key, number: *number, cursor: cursor.clone() }
                }
            }
            .write(&mut text);
        }
        let closing = self.known.iter().filter(|(_, known)| known.closing);
        closing.for_each(|(&key, _)| Entry::Gone(key).write(&mut text));
        text
    }

    fn seal_marks(&mut self) {
        if let Some(marks) = self.marks.take() {
            marks.write(&mut self.unwritten);
        }
    }
}

impl Known {
    fn entry(&self, key: Key) -> Entry {
        match (&self.subject, &self.place) {
            (Subject::File(fact), Place::Offset(offset)) => {
                Entry::File { key, fact: fact.clone(), offset: *offset }
            }
            (Subject::File(fact), Place::Cursor(_)) => {
                Entry::File { key, fact: fact.clone(), offset: 0 }
            }
            (Subject::Journal(location), place) => {
                let cursor = match place {
                    Place::Cursor(cursor) => cursor.clone(),
                    Place::Offset(_) => String::new(),
                };
                Entry::Journal { key, location: location.clone(), cursor }
            }
        }
    }
}

fn content(path: &Path) -> io::Result<(Vec<u8>, Option<SystemTime>)> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), None)),
        Err(error) => return Err(error),
    };
    let last_write = file.metadata()?.modified().ok();
    let mut content = Vec::new();
    file.take(MAX_JOURNAL).read_to_end(&mut content)?;
    Ok((content, last_write))
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o640).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{Fingerprint, Identity};
    use tempfile::TempDir;

    fn fact() -> FileFact {
        FileFact {
            identity: Identity { device: 1, inode: 2 },
            fingerprint: Fingerprint::of(b"head"),
            since: 0,
            location: "/var/log/*.log".to_owned(),
            path: "/var/log/a.log".into(),
        }
    }

    fn fresh() -> (TempDir, PathBuf, Ledger) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("positions");
        let ledger = Ledger::open(&path, 7).unwrap();
        (dir, path, ledger)
    }

    fn offset(ledger: &Ledger, key: Key) -> Option<u64> {
        ledger.positions().find(|(k, _, _)| *k == key).map(|(_, _, place)| match place {
            Place::Offset(offset) => *offset,
            Place::Cursor(_) => panic!("a file has no cursor"),
        })
    }

    #[test]
    fn a_new_run_goes_on_after_the_last_event_that_has_ended() {
        let (_dir, path, mut ledger) = fresh();
        let key = ledger.add(Subject::File(fact()), Place::Offset(100));
        for (number, place) in [(1, 110), (2, 125), (3, 190)] {
            ledger.note(number, key, Place::Offset(place));
        }
        ledger.flush().unwrap();
        drop(ledger);

        for (ended, expected) in [(0, 100), (1, 110), (2, 125), (3, 190)] {
            let copy = path.with_extension("copy");
            fs::copy(&path, &copy).unwrap();
            let mut ledger = Ledger::open(&copy, 99).unwrap();
            assert_eq!(ledger.stream(), 7);
            assert_eq!(ledger.resume_after(ended), ended);
            assert_eq!(offset(&ledger, key), Some(expected), "after {ended}");
        }
    }

    #[test]
    fn lines_without_an_event_move_the_position_with_the_event_before_them() {
        let (_dir, _path, mut ledger) = fresh();
        let key = ledger.add(Subject::File(fact()), Place::Offset(0));
        ledger.note(1, key, Place::Offset(10));
        ledger.note(1, key, Place::Offset(50));
        assert_eq!(offset(&ledger, key), Some(0));
        ledger.ended_upto(1);
        assert_eq!(offset(&ledger, key), Some(50));
        ledger.note(1, key, Place::Offset(60));
        assert_eq!(offset(&ledger, key), Some(60), "the event had ended before");
    }

    #[test]
    fn a_file_is_forgotten_only_when_its_events_have_ended() {
        let (_dir, path, mut ledger) = fresh();
        let key = ledger.add(Subject::File(fact()), Place::Offset(0));
        ledger.note(1, key, Place::Offset(10));
        ledger.close(key);
        ledger.compact().unwrap();
        drop(ledger);

        let mut ledger = Ledger::open(&path, 7).unwrap();
        ledger.resume_after(0);
        assert_eq!(offset(&ledger, key), Some(0), "its event never arrived");
        ledger.note(1, key, Place::Offset(10));
        ledger.close(key);
        ledger.ended_upto(1);
        assert_eq!(offset(&ledger, key), None);
    }

    #[test]
    fn a_journal_cut_anywhere_gives_a_position_that_was_true_once() {
        let (_dir, path, mut ledger) = fresh();
        let key = ledger.add(Subject::File(fact()), Place::Offset(0));
        for number in 1..=4 {
            ledger.note(number, key, Place::Offset(number * 10));
            ledger.flush().unwrap();
        }
        drop(ledger);
        let whole = fs::read(&path).unwrap();
        let cut_path = path.with_extension("cut");
        for cut in 0..whole.len() {
            fs::write(&cut_path, &whole[..cut]).unwrap();
            let mut ledger = Ledger::open(&cut_path, 7).unwrap();
            ledger.resume_after(4);
            if let Some(offset) = offset(&ledger, key) {
                assert_eq!(offset % 10, 0);
            }
            let is_whole_line = cut == 0 || whole[cut - 1] == b'\n';
            assert_eq!(ledger.damage.is_none(), is_whole_line, "cut at {cut}");
        }
    }

    #[test]
    fn what_could_not_be_written_is_written_later() {
        let (_dir, path, mut ledger) = fresh();
        let key = ledger.add(Subject::File(fact()), Place::Offset(0));
        ledger.file = OpenOptions::new().append(true).open("/dev/full").unwrap();
        ledger.note(1, key, Place::Offset(10));
        assert!(ledger.flush().is_err());
        ledger.note(2, key, Place::Offset(20));
        ledger.flush().unwrap();
        drop(ledger);
        let mut ledger = Ledger::open(&path, 7).unwrap();
        ledger.resume_after(2);
        assert_eq!(offset(&ledger, key), Some(20));
    }

    #[test]
    fn a_rewrite_keeps_everything() {
        let (_dir, path, mut ledger) = fresh();
        ledger.set_locations(vec!["/var/log/*.log".to_owned()]).unwrap();
        let key = ledger.add(Subject::File(fact()), Place::Offset(0));
        let journal = ledger.add(Subject::Journal("all".to_owned()), Place::Cursor(String::new()));
        ledger.note(1, key, Place::Offset(10));
        ledger.note(2, journal, Place::Cursor("s=1".to_owned()));
        ledger.note(3, key, Place::Offset(20));
        ledger.ended_upto(1);
        ledger.compact().unwrap();
        drop(ledger);

        let mut ledger = Ledger::open(&path, 8).unwrap();
        assert!(ledger.knows_location("/var/log/*.log"));
        assert_eq!(ledger.resume_after(2), 2);
        assert_eq!(offset(&ledger, key), Some(10));
        let cursor =
            ledger.positions().find(|(k, _, _)| *k == journal).map(|(_, _, place)| place.clone());
        assert_eq!(cursor, Some(Place::Cursor("s=1".to_owned())));
    }

    #[test]
    fn a_consumer_that_forgot_the_stream_does_not_bring_back_what_had_ended() {
        let (_dir, path, mut ledger) = fresh();
        let key = ledger.add(Subject::File(fact()), Place::Offset(0));
        ledger.note(1, key, Place::Offset(10));
        ledger.ended_upto(1);
        ledger.compact().unwrap();
        drop(ledger);
        let mut ledger = Ledger::open(&path, 7).unwrap();
        assert_eq!(ledger.resume_after(0), 1);
        assert_eq!(offset(&ledger, key), Some(10));
    }
}
