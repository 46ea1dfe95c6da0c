//! The spool: events on disk from the moment they are acknowledged to their producer until the manager has them.
//!
//! ```text
//! queue/spool/00000000000000000001.log    a segment, named by its first event; records as in record.rs
//! queue/spool/00000000000000041310.log    the last one is appended to
//! queue/spool/position                    the highest number that is confirmed; whole segments below it are deleted
//! ```
//! Events are numbered from 1. A batch is written at once and ends with marks (which numbers of which producer it holds): a
//! batch that a kill tore has no marks and is cut off at the next start, and its producer, to whom it was never
//! acknowledged, sends it again. The size limit makes the producers wait: nothing is lost by it. What is older than the age
//! limit is given up, a segment at a time, and counted.

pub(crate) mod record;

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use ipc::ended::Mark;

use self::record::{Kind, MAX_PAYLOAD, Read, Record, crc};

const MAGIC: &[u8] = b"oxsec-spool 1\n";
const MAX_SEGMENT: u64 = 4 << 20;
const MIN_SEGMENT: u64 = 16 << 10;
/// What is read ahead.
const CHUNK: usize = 256 << 10;

/// How much is kept, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes on disk; one batch may go beyond.
    pub bytes: u64,
    /// Seconds.
    pub age: u32,
}

/// What was counted.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Events given up because of their age.
    pub given_up: u64,
    /// Events lost to damage on the disk.
    pub damaged: u64,
}

/// Which of its events a producer may forget: (producer, stream) to number.
pub type Marks = BTreeMap<(String, u64), u64>;

/// The spool.
#[derive(Debug)]
pub struct Spool {
    folder: PathBuf,
    limits: Limits,
    segments: VecDeque<Segment>,
    /// The last segment, open for appending; without it the next batch begins a new one.
    writer: Option<File>,
    /// Records of the batch at hand.
    batch: Vec<u8>,
    batch_events: u64,
    /// The number that the next event gets.
    next: u64,
    position: File,
    confirmed: u64,
    cursor: Cursor,
    counts: Counts,
}

#[derive(Debug)]
struct Segment {
    first: u64,
    events: u64,
    len: u64,
    /// When its newest event was written.
    newest: u32,
}

/// Where reading goes on.
#[derive(Debug)]
struct Cursor {
    /// The next event's number.
    number: u64,
    open: Option<Open>,
}

/// A segment that is being read.
#[derive(Debug)]
struct Open {
    first: u64,
    file: File,
    /// The event at `offset`.
    number: u64,
    offset: u64,
    chunk: Vec<u8>,
    used: usize,
}

impl Spool {
    /// Opens or makes the spool in a folder that exists, and cuts off what a kill left unfinished. The marks say how far
    /// each producer's events lie here for certain: more than [`ipc::Ended`] knows, if the kill came between the two.
    ///
    /// # Errors
    /// Whatever the system says; the caller names the folder.
    pub fn open(folder: &Path, limits: Limits) -> io::Result<(Self, Marks)> {
        let position = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o640)
            .open(folder.join("position"))?;
        let mut firsts: Vec<u64> = fs::read_dir(folder)?
            .filter_map(|entry| entry.ok()?.file_name().to_str().and_then(segment_first))
            .collect();
        firsts.sort_unstable();

        let (mut marks, mut counts) = (Marks::new(), Counts::default());
        let mut segments: VecDeque<Segment> = VecDeque::new();
        for (at, &first) in firsts.iter().enumerate() {
            let path = segment_path(folder, first);
            let content = fs::read(&path)?;
            let found = walk(&content, first, &mut marks);
            if found.len != content.len() as u64 {
                OpenOptions::new().write(true).open(&path)?.set_len(found.len)?;
            }
            // Behind damage in the middle the numbers go on with the next segment's name.
            if let Some(next) = firsts.get(at + 1) {
                counts.damaged += next.saturating_sub(found.first + found.events);
            }
            segments.push_back(found);
        }
        let stored = stored_position(&position)?;
        let last = segments.back().map_or(0, |s| s.first + s.events - 1);
        let oldest = segments.front().map_or(1, |s| s.first);
        let confirmed = stored.unwrap_or(0).max(oldest - 1);
        let confirmed = if segments.is_empty() { confirmed } else { confirmed.min(last) };
        let mut spool = Self {
            folder: folder.to_owned(),
            limits,
            segments,
            writer: None,
            batch: Vec::new(),
            batch_events: 0,
            next: last.max(confirmed) + 1,
            position,
            confirmed,
            cursor: Cursor { number: confirmed + 1, open: None },
            counts,
        };
        spool.drop_confirmed()?;
        Ok((spool, marks))
    }

    /// Adds an event to the batch at hand; longer ones than a producer may send are cut.
    pub fn append(&mut self, event: &[u8], now: u32) {
        let payload = event.get(..MAX_PAYLOAD).unwrap_or(event);
        Record { kind: Kind::Event, time: now, payload }.write(&mut self.batch);
        self.batch_events += 1;
    }

    /// Whether a batch is at hand, either new or one that could not be written.
    pub fn has_batch(&self) -> bool {
        self.batch_events > 0
    }

    /// Bytes of the batch at hand.
    pub fn batch_len(&self) -> usize {
        self.batch.len()
    }

    /// Writes the batch and its marks, all or nothing as far as a later start can see.
    ///
    /// # Errors
    /// When it can't be written. The batch stays at hand: call again with the same marks or higher ones.
    pub fn commit(&mut self, marks: &[Mark<'_>], now: u32) -> io::Result<()> {
        if self.batch_events == 0 {
            return Ok(());
        }
        let segment_limit = (self.limits.bytes / 16).clamp(MIN_SEGMENT, MAX_SEGMENT);
        if self.segments.back().is_none_or(|segment| segment.len >= segment_limit) {
            self.writer = None;
        }
        if self.writer.is_none() {
            self.begin_segment()?;
        }
        let (Some(writer), Some(segment)) = (&self.writer, self.segments.back_mut()) else {
            return Err(io::Error::other("no segment to write to"));
        };
        let events_end = self.batch.len();
        let payload: String =
            marks.iter().map(|m| format!("{} {:x} {}\n", m.name, m.stream, m.upto)).collect();
        let record = Record { kind: Kind::Marks, time: now, payload: payload.as_bytes() };
        record.write(&mut self.batch);
        if let Err(error) = writer.write_all_at(&self.batch, segment.len) {
            self.batch.truncate(events_end);
            // What half was written is overwritten by the next try, or cut off at the next start.
            let _ = writer.set_len(segment.len);
            return Err(error);
        }
        segment.len += self.batch.len() as u64;
        segment.events += self.batch_events;
        segment.newest = now;
        self.next += self.batch_events;
        self.batch.clear();
        self.batch_events = 0;
        Ok(())
    }

    /// Whether there is room for more: what comes otherwise is to wait at its producer.
    pub fn has_room(&self) -> bool {
        self.bytes() + (self.batch.len() as u64) < self.limits.bytes
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.len).sum()
    }

    /// Events that are not confirmed.
    pub fn waiting(&self) -> u64 {
        self.next - 1 - self.confirmed
    }

    /// Whether [`next`](Self::next) has something.
    pub fn has_next(&self) -> bool {
        self.cursor.number < self.next
    }

    /// Highest confirmed number.
    pub fn confirmed(&self) -> u64 {
        self.confirmed
    }

    /// The number that was read last.
    pub fn read(&self) -> u64 {
        self.cursor.number - 1
    }

    /// What was counted.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The next event in order into `out`, and its number; `None` when all were read. Damaged ones are counted and passed over.
    ///
    /// # Errors
    /// When a segment can't be read.
    pub fn next(&mut self, out: &mut Vec<u8>) -> io::Result<Option<u64>> {
        loop {
            let number = self.cursor.number;
            if number >= self.next {
                return Ok(None);
            }
            let at = self.segments.partition_point(|segment| segment.first <= number);
            let segment = at.checked_sub(1).and_then(|at| self.segments.get(at));
            let Some(segment) = segment.filter(|s| number < s.first + s.events) else {
                // Behind damage: on to the segment after it.
                let first = self.segments.get(at).map_or(self.next, |segment| segment.first);
                self.cursor = Cursor { number: first, open: None };
                continue;
            };
            let open = match &mut self.cursor.open {
                Some(open) if open.first == segment.first && open.number <= number => open,
                slot => slot.insert(Open::new(&self.folder, segment.first)?),
            };
            match open.event(segment.len, number)? {
                Some(event) => {
                    out.clear();
                    out.extend_from_slice(event);
                    self.cursor.number += 1;
                    return Ok(Some(number));
                }
                None => {
                    let behind = segment.first + segment.events;
                    self.counts.damaged += behind - number;
                    self.cursor = Cursor { number: behind, open: None };
                }
            }
        }
    }

    /// Reading begins anew behind the last confirmed event; returns how many come again.
    pub fn rewind(&mut self) -> u64 {
        let again = self.cursor.number - 1 - self.confirmed;
        if again > 0 {
            self.cursor = Cursor { number: self.confirmed + 1, open: None };
        }
        again
    }

    /// Events up to this number are done with.
    ///
    /// # Errors
    /// When the position can't be written: after a restart some events come again.
    pub fn confirm(&mut self, upto: u64) -> io::Result<()> {
        let upto = upto.min(self.next - 1);
        if upto <= self.confirmed {
            return Ok(());
        }
        self.confirmed = upto;
        if self.cursor.number <= upto {
            self.cursor = Cursor { number: upto + 1, open: None };
        }
        let text = format!("{upto:020}");
        let line = format!("{text} {:08x}\n", crc(&[text.as_bytes()]));
        self.position.write_all_at(line.as_bytes(), 0)?;
        self.drop_confirmed()
    }

    /// Gives up what is older than the age limit; returns how many events that were.
    ///
    /// # Errors
    /// When the position can't be written or a segment not deleted.
    pub fn give_up_old(&mut self, now: u32) -> io::Result<u64> {
        let mut given_up = 0;
        while let Some(segment) = self.segments.front() {
            let last = (segment.first + segment.events).saturating_sub(1);
            if segment.newest.saturating_add(self.limits.age) >= now || last <= self.confirmed {
                break;
            }
            given_up += last - self.confirmed.max(segment.first - 1);
            if self.segments.len() == 1 {
                self.writer = None;
            }
            self.confirm(last)?;
        }
        self.counts.given_up += given_up;
        Ok(given_up)
    }

    /// Deletes segments of which nothing is needed any more; the one that is appended to stays.
    fn drop_confirmed(&mut self) -> io::Result<()> {
        while let Some(segment) = self.segments.front() {
            let done = segment.first + segment.events <= self.confirmed + 1;
            if !done || (self.segments.len() == 1 && self.writer.is_some()) {
                return Ok(());
            }
            match fs::remove_file(segment_path(&self.folder, segment.first)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => drop(self.segments.pop_front()),
            }
        }
        Ok(())
    }

    fn begin_segment(&mut self) -> io::Result<()> {
        let path = segment_path(&self.folder, self.next);
        let file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o640).open(path)?;
        file.write_all_at(MAGIC, 0)?;
        // A segment of this very number held no event: it is the one that is begun anew.
        if self.segments.back().is_some_and(|segment| segment.first == self.next) {
            self.segments.pop_back();
        }
        let len = MAGIC.len() as u64;
        self.segments.push_back(Segment { first: self.next, events: 0, len, newest: 0 });
        self.writer = Some(file);
        // What is confirmed wholly stayed only because it was appended to.
        self.drop_confirmed()
    }
}

impl Open {
    fn new(folder: &Path, first: u64) -> io::Result<Self> {
        let file = File::open(segment_path(folder, first))?;
        let offset = MAGIC.len() as u64;
        Ok(Self { first, file, number: first, offset, chunk: Vec::new(), used: 0 })
    }

    /// The event of this number, which is not before the one at hand; `None` for damage.
    fn event(&mut self, len: u64, wanted: u64) -> io::Result<Option<&[u8]>> {
        loop {
            let (size, payload) =
                match Record::read(self.chunk.get(self.used..).unwrap_or_default()) {
                    Read::Whole(record) => {
                        let is_event = record.kind == Kind::Event;
                        (record.len(), is_event.then_some(record.payload.len()))
                    }
                    Read::Damaged => return Ok(None),
                    Read::Cut => (0, None),
                };
            if size == 0 {
                if !self.refill(len)? {
                    return Ok(None);
                }
                continue;
            }
            self.used += size;
            self.offset += size as u64;
            if let Some(payload) = payload {
                self.number += 1;
                if self.number > wanted {
                    let range = self.used - payload..self.used;
                    return Ok(Some(self.chunk.get(range).unwrap_or_default()));
                }
            }
        }
    }

    /// Reads on from the record at hand; whether more than before is there now.
    fn refill(&mut self, len: u64) -> io::Result<bool> {
        let had = self.chunk.len() - self.used;
        let left = usize::try_from(len.saturating_sub(self.offset)).unwrap_or(CHUNK);
        let mut chunk = std::mem::take(&mut self.chunk);
        chunk.resize(left.min(CHUNK), 0);
        let mut filled = 0;
        while filled < chunk.len() {
            let rest = chunk.get_mut(filled..).unwrap_or_default();
            match self.file.read_at(rest, self.offset + filled as u64)? {
                0 => break,
                n => filled += n,
            }
        }
        chunk.truncate(filled);
        (self.chunk, self.used) = (chunk, 0);
        Ok(filled > had)
    }
}

/// Reads a segment up to its last whole batch.
fn walk(content: &[u8], first: u64, marks: &mut Marks) -> Segment {
    let mut segment = Segment { first, events: 0, len: 0, newest: 0 };
    let Some(mut rest) = content.strip_prefix(MAGIC) else { return segment };
    segment.len = MAGIC.len() as u64;
    let (mut len, mut events) = (segment.len, 0);
    while let Read::Whole(record) = Record::read(rest) {
        rest = rest.get(record.len()..).unwrap_or_default();
        len += record.len() as u64;
        match record.kind {
            Kind::Event => events += 1,
            Kind::Marks => {
                (segment.len, segment.events, segment.newest) = (len, events, record.time);
                let lines = std::str::from_utf8(record.payload).unwrap_or_default().lines();
                marks.extend(lines.filter_map(mark));
            }
        }
    }
    segment
}

fn mark(line: &str) -> Option<((String, u64), u64)> {
    let mut words = line.split(' ');
    let (name, stream, upto) = (words.next()?, words.next()?, words.next()?);
    Some(((name.to_owned(), u64::from_str_radix(stream, 16).ok()?), upto.parse().ok()?))
}

fn segment_path(folder: &Path, first: u64) -> PathBuf {
    folder.join(format!("{first:020}.log"))
}

fn segment_first(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".log").filter(|digits| digits.len() == 20)?;
    // Numbers begin at 1, and stay far below what a number can hold.
    digits.parse().ok().filter(|first| (1..u64::MAX / 2).contains(first))
}

/// `None` when the file says nothing usable.
fn stored_position(file: &File) -> io::Result<Option<u64>> {
    let mut bytes = [0; 30];
    let len = file.read_at(&mut bytes, 0)?;
    let text = std::str::from_utf8(bytes.get(..len).unwrap_or_default()).unwrap_or_default();
    let Some((number, sum)) = text.trim_end().split_once(' ') else { return Ok(None) };
    let good = sum == format!("{:08x}", crc(&[number.as_bytes()]));
    Ok(number.parse().ok().filter(|number| good && *number < u64::MAX / 2))
}

#[cfg(test)]
mod tests;
