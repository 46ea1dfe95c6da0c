//! One host's baseline: a text file that is appended to, and where each path's line lies in it.
//!
//! The lines are described in [`super::lines`]. A superseded one gets `#` over its first byte, so that a path's last line without `#` is
//! the one that holds. The file stays on disk; memory holds 16 bytes a path (17 to 39 with what a hash table leaves free): a keyed
//! 64-bit hash, and the place. Two paths of one hash, once in 10^9 databases of 100,000 files, would be told as new in turn.
//! When superseded lines are more than half of a file of some size, it is written anew without them ([`Database::compact`]).
//!
//! New lines are written before old ones are struck out, at places that are known: a write that was cut short is repaired by
//! the next one, or, after a crash, by [`Database::load`], which drops a last line without newline and strikes out doubles.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::fs::File;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher};
use std::io::{self, BufWriter, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::files::{has_marker, put_in_place, successor, write_marker};
use super::lines::{Counter, Line, Lines};

/// Smaller files are not compacted, in bytes.
const COMPACT_FROM: u64 = 1 << 20;

/// What a path's line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) counter: Counter,
    pub(super) sum: Vec<u8>,
    /// Since when, epoch seconds; 0 when that is not known.
    pub(super) at: i64,
}

/// Where a path's line lies: 46 bits of offset, 18 of length.
#[derive(Debug, Clone, Copy)]
struct Place(u64);

impl Place {
    const LEN_BITS: u32 = 18;

    fn new(offset: u64, len: usize) -> Self {
        let most = (1 << Self::LEN_BITS) - 1;
        Self(offset << Self::LEN_BITS | (len as u64).min(most))
    }

    fn offset(self) -> u64 {
        self.0 >> Self::LEN_BITS
    }

    /// Without its newline.
    fn len(self) -> u64 {
        self.0 & ((1 << Self::LEN_BITS) - 1)
    }
}

/// The keys are hashes already.
#[derive(Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {}

    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}

type Places = HashMap<u64, Place, BuildHasherDefault<AsIs>>;

/// The index of one file, and what is still to be written to it.
#[derive(Default)]
pub(super) struct Database {
    keys: RandomState,
    places: Places,
    /// Length of the file up to the last whole line.
    flushed: u64,
    /// Lines that come after it.
    pending: Vec<u8>,
    /// Bytes of the lines that hold, newlines included.
    held: u64,
    /// Places in the file of lines to strike out.
    struck: Vec<u64>,
    /// A failed compaction is tried again when the file is as long as this.
    compact_from: u64,
    marker: Marker,
}

/// The state of the `.cpt` file.
#[derive(Default, PartialEq, Eq)]
enum Marker {
    #[default]
    Unknown,
    Wanted,
    Written,
}

/// What reading a file came upon.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct LoadReport {
    malformed: u64,
    torn_bytes: u64,
}

impl LoadReport {
    /// Says it once, when there is something to say.
    pub(super) fn log(&self, path: &Path) {
        let Self { malformed, torn_bytes } = self;
        if *malformed > 0 {
            log::warn!(
                "integrity database '{}': {malformed} unreadable lines skipped",
                path.display()
            );
        }
        if *torn_bytes > 0 {
            log::info!(
                "integrity database '{}': dropped {torn_bytes} bytes of an unfinished last line",
                path.display()
            );
        }
    }
}

impl Database {
    /// Reads a whole file once.
    pub(super) fn load(file: &File) -> io::Result<(Self, LoadReport)> {
        let mut database = Self::default();
        let mut report = LoadReport::default();
        let mut lines = Lines::of(file)?;
        while let Some(line) = lines.next()? {
            let is_known = line.text.is_some_and(|text| {
                database.index(line.offset, text) || text.starts_with(b"#") || text.is_empty()
            });
            report.malformed += u64::from(!is_known);
        }
        database.flushed = lines.offset();
        report.torn_bytes = file.metadata()?.len().saturating_sub(database.flushed);
        if report.torn_bytes > 0 {
            file.set_len(database.flushed)?;
        }
        Ok((database, report))
    }

    /// Whether loading found something to put right.
    pub(super) fn needs_flush(&self) -> bool {
        !self.struck.is_empty()
    }

    /// Length of the file as far as it was written from here.
    pub(super) fn flushed_len(&self) -> u64 {
        self.flushed
    }

    /// Whether no path is known.
    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// What is known of a path; `None` also when the line is no longer there.
    pub(super) fn look_up(&self, file: &File, path: &[u8]) -> io::Result<Option<Known>> {
        let Some(place) = self.places.get(&self.key(path)) else { return Ok(None) };
        let Some(text) = self.line(file, *place)? else { return Ok(None) };
        let known = Line::parse(&text).filter(|line| line.path == path);
        Ok(known.map(|line| Known { counter: line.counter, sum: line.sum.to_vec(), at: line.at }))
    }

    /// The path behind a [`key`](Self::key), unless it is gone.
    pub(super) fn path_of(&self, file: &File, key: u64) -> io::Result<Option<Vec<u8>>> {
        let Some(place) = self.places.get(&key) else { return Ok(None) };
        let text = self.line(file, *place)?.unwrap_or_default();
        let there = Line::parse(&text).filter(|line| line.sum != b"-1");
        Ok(there.map(|line| line.path.to_vec()))
    }

    /// The text at a place, in the file or waiting for it; `None` when the file ends before it.
    fn line(&self, file: &File, place: Place) -> io::Result<Option<Vec<u8>>> {
        let len = usize::try_from(place.len()).unwrap_or_default();
        let Some(at) = place.offset().checked_sub(self.flushed) else {
            let mut line = vec![0; len];
            return match file.read_exact_at(&mut line, place.offset()) {
                Ok(()) => Ok(Some(line)),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
                Err(error) => Err(error),
            };
        };
        let from = usize::try_from(at).unwrap_or(usize::MAX);
        let waiting = self.pending.get(from..).and_then(|rest| rest.get(..len));
        Ok(waiting.map(<[u8]>::to_vec))
    }

    /// Gives every line that holds, in the order of the file: its key, its text, what it says.
    pub(super) fn each_held(
        &self,
        file: &File,
        mut take: impl FnMut(u64, &[u8], &Line<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut give = |offset, text: &[u8]| {
            let Some(line) = Line::parse(text) else { return Ok(()) };
            let key = self.key(line.path);
            match self.places.get(&key) {
                Some(place) if place.offset() == offset => take(key, text, &line),
                _ => Ok(()),
            }
        };
        let mut lines = Lines::of(file)?;
        while let Some(line) = lines.next()? {
            if line.offset >= self.flushed {
                break;
            }
            line.text.map_or(Ok(()), |text| give(line.offset, text))?;
        }
        let mut offset = self.flushed;
        for line in self.pending.split_inclusive(|&b| b == b'\n') {
            give(offset, line.strip_suffix(b"\n").unwrap_or(line))?;
            offset += line.len() as u64;
        }
        Ok(())
    }

    /// Remembers a path's new line; its old one is struck out.
    pub(super) fn append(&mut self, path: &[u8], counter: Counter, sum: &[u8], now: i64) {
        let line = Line { counter, sum, at: now, path }.write();
        let place = Place::new(self.flushed + self.pending.len() as u64, line.len());
        self.pending.extend_from_slice(&line);
        self.pending.push(b'\n');
        if let Some(old) = self.hold(path, place) {
            self.strike_out(old.offset());
        }
    }

    /// Whether a scan was through once.
    pub(super) fn is_completed(&self) -> bool {
        self.marker != Marker::Unknown
    }

    /// Looks whether an earlier run has seen a scan through.
    pub(super) fn recall_marker(&mut self, folder: &OwnedFd, name: &[u8]) {
        if has_marker(folder, name) {
            self.marker = Marker::Written;
        }
    }

    /// Remembers that a scan is through.
    pub(super) fn mark_completed(&mut self) {
        if self.marker == Marker::Unknown {
            self.marker = Marker::Wanted;
        }
    }

    /// Writes what is pending. May be called again after an error: everything goes to the same place.
    pub(super) fn flush(&mut self, folder: &OwnedFd, name: &[u8], file: &File) -> io::Result<()> {
        if !self.pending.is_empty() {
            file.write_all_at(&self.pending, self.flushed)?;
            self.flushed += self.pending.len() as u64;
            self.pending.clear();
        }
        while let Some(&offset) = self.struck.last() {
            file.write_all_at(b"#", offset)?;
            self.struck.pop();
        }
        if self.marker == Marker::Wanted {
            write_marker(folder, name)?;
            self.marker = Marker::Written;
        }
        Ok(())
    }

    /// Whether more than half of a file of some size is superseded, and nothing waits to be written.
    pub(super) fn wants_compaction(&self) -> bool {
        self.pending.is_empty()
            && self.struck.is_empty()
            && self.flushed >= self.compact_from.max(COMPACT_FROM)
            && self.held < self.flushed / 2
    }

    /// Writes the file anew with the lines that hold, in their order; gives the new one, which has taken the old one's place.
    ///
    /// # Errors
    /// The old file stays, and all that is known; tried again when it has become twice as long.
    pub(super) fn compact(
        &mut self,
        folder: &OwnedFd,
        name: &[u8],
        file: &File,
    ) -> io::Result<File> {
        self.compact_from = self.flushed.saturating_mul(2);
        let fresh = successor(folder, name)?;
        let mut places = Places::with_capacity_and_hasher(self.places.len(), Default::default());
        let mut out = BufWriter::with_capacity(256 * 1024, &fresh);
        let mut len = 0;
        self.each_held(file, |key, text, _| {
            out.write_all(text)?;
            out.write_all(b"\n")?;
            places.insert(key, Place::new(len, text.len()));
            len += text.len() as u64 + 1;
            Ok(())
        })?;
        out.flush()?;
        drop(out);
        // The old one is gone after the rename: the new one must be on disk before.
        fresh.sync_data()?;
        put_in_place(folder, name)?;
        (self.places, self.flushed, self.held, self.compact_from) = (places, len, len, 0);
        Ok(fresh)
    }

    /// Keyed, so that no one outside can make two paths meet.
    pub(super) fn key(&self, path: &[u8]) -> u64 {
        self.keys.hash_one(path)
    }

    /// Takes in one line of the file; false when there is nothing in it.
    fn index(&mut self, offset: u64, text: &[u8]) -> bool {
        let Some(line) = Line::parse(text) else { return false };
        if let Some(old) = self.hold(line.path, Place::new(offset, text.len())) {
            self.struck.push(old.offset());
        }
        true
    }

    /// From now on the line at `place` holds; gives the one that held before.
    fn hold(&mut self, path: &[u8], place: Place) -> Option<Place> {
        let old = self.places.insert(self.key(path), place);
        self.held += place.len() + 1;
        self.held -= old.map_or(0, |old| old.len() + 1);
        old
    }

    fn strike_out(&mut self, offset: u64) {
        match offset.checked_sub(self.flushed) {
            None => self.struck.push(offset),
            Some(at) => {
                let at = usize::try_from(at).unwrap_or(usize::MAX);
                if let Some(first) = self.pending.get_mut(at) {
                    *first = b'#';
                }
            }
        }
    }
}
