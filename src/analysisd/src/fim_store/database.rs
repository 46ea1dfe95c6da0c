//! One host's baseline: a text file that is appended to, and where each path's line lies in it.
//!
//! Line: `FFF<sum> !<epoch> <path>\n`, for instance `!++12:33188:0:0:07a8...:2e6b...:f4e8... !1795220196 /etc/motd`; `FFF` counts the
//! changes ([`Counter`]). A superseded line gets `#` over its first byte, so that a path's last line without `#` is the one that holds.
//! Old lines have no `!<epoch>`. The file stays on disk: memory holds 32 bytes a path, a keyed 128-bit hash and the place.
//! Beside it, `.<location>.cpt` with `#!X` says that one whole scan was received.
//!
//! New lines are written before old ones are struck out, at places that are known: a write that was cut short is repaired by
//! the next one, or, after a crash, by [`Database::load`], which drops a last line without newline and strikes out doubles.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::ffi::OsStr;
use std::fs::File;
use std::hash::BuildHasher;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags};

/// Longest line that is read; the longest that is written is an event's payload and its time.
const MAX_LINE: u64 = 128 * 1024;

/// `.`, the name and `.cpt` must fit into the 255 bytes of a file name.
const MAX_NAME: usize = 250;

/// How often a path changed, as the first three bytes of its line say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counter(u8);

impl Counter {
    /// Not yet changed.
    pub(super) const NEVER: Self = Self(0);

    /// Number of earlier changes, 0 to 4, where 4 is "more than three".
    pub(super) fn earlier_changes(self) -> u8 {
        self.0
    }

    /// The counter of the line after one more change.
    pub(super) fn after_change(self) -> Self {
        Self((self.0 + 1).min(4))
    }

    fn flags(self) -> &'static [u8; 3] {
        match self.0 {
            0 => b"+++",
            1 => b"!++",
            2 => b"!!+",
            3 => b"!!!",
            _ => b"!!?",
        }
    }

    fn parse(flags: &[u8]) -> Option<Self> {
        match flags {
            [b'+', b'+' | b'!', b'+' | b'!' | b'?'] => Some(Self(0)),
            [b'!', b'+', b'+' | b'!' | b'?'] => Some(Self(1)),
            b"!!+" => Some(Self(2)),
            b"!!!" => Some(Self(3)),
            b"!!?" => Some(Self(4)),
            _ => None,
        }
    }
}

/// What a path's line says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) counter: Counter,
    pub(super) sum: Vec<u8>,
}

/// Where a path's line lies.
#[derive(Debug, Clone, Copy)]
struct Place {
    offset: u64,
    len: u32,
}

/// The index of one file, and what is still to be written to it.
#[derive(Default)]
pub(super) struct Database {
    keys: (RandomState, RandomState),
    places: HashMap<u128, Place>,
    /// Length of the file up to the last whole line.
    flushed: u64,
    /// Lines that come after it.
    pending: Vec<u8>,
    /// Places in the file of lines to strike out.
    struck: Vec<u64>,
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
        let mut reader = BufReader::with_capacity(256 * 1024, file);
        reader.seek(SeekFrom::Start(0))?;
        let mut line = Vec::new();
        loop {
            line.clear();
            let len = (&mut reader).take(MAX_LINE).read_until(b'\n', &mut line)?;
            if len == 0 {
                break;
            }
            let Some(text) = line.strip_suffix(b"\n") else {
                let more = skip_line(&mut reader)?;
                report.torn_bytes = len as u64 + more.bytes;
                if !more.ended {
                    break;
                }
                database.flushed += report.torn_bytes;
                report.torn_bytes = 0;
                report.malformed += 1;
                continue;
            };
            if !database.index(text) && !text.starts_with(b"#") && !text.is_empty() {
                report.malformed += 1;
            }
            database.flushed += len as u64;
        }
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

    /// What is known of a path; `None` also when the line is no longer there.
    pub(super) fn look_up(&self, file: &File, path: &[u8]) -> io::Result<Option<Known>> {
        let Some(place) = self.places.get(&self.key(path)) else { return Ok(None) };
        let Some(line) = self.line(file, *place)? else { return Ok(None) };
        let Some((counter, sum, found)) = parse_line(&line) else { return Ok(None) };
        Ok((found == path).then(|| Known { counter, sum: sum.to_vec() }))
    }

    /// The text at a place, in the file or waiting for it; `None` when the file ends before it.
    fn line(&self, file: &File, place: Place) -> io::Result<Option<Vec<u8>>> {
        let len = place.len as usize;
        let Some(at) = place.offset.checked_sub(self.flushed) else {
            let mut line = vec![0; len];
            return match file.read_exact_at(&mut line, place.offset) {
                Ok(()) => Ok(Some(line)),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
                Err(error) => Err(error),
            };
        };
        let from = usize::try_from(at).unwrap_or(usize::MAX);
        let waiting = self.pending.get(from..).and_then(|rest| rest.get(..len));
        Ok(waiting.map(<[u8]>::to_vec))
    }

    /// Remembers a path's new line; its old one is struck out.
    pub(super) fn append(&mut self, path: &[u8], counter: Counter, sum: &[u8], now: i64) {
        let offset = self.flushed + self.pending.len() as u64;
        let time = format!(" !{now} ");
        let line = [counter.flags(), sum, time.as_bytes(), path].concat();
        let place = Place { offset, len: u32::try_from(line.len()).unwrap_or(u32::MAX) };
        self.pending.extend_from_slice(&line);
        self.pending.push(b'\n');
        if let Some(old) = self.places.insert(self.key(path), place) {
            self.strike_out(old.offset);
        }
    }

    /// Whether a scan was through once.
    pub(super) fn is_completed(&self) -> bool {
        self.marker != Marker::Unknown
    }

    /// Looks whether an earlier run has seen a scan through.
    pub(super) fn recall_marker(&mut self, folder: &OwnedFd, name: &[u8]) {
        let path = marker_name(name);
        if rustix::fs::statat(folder, path.as_slice(), AtFlags::SYMLINK_NOFOLLOW).is_ok() {
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

    /// Takes in one line of the file at `self.flushed`; false when there is nothing in it.
    fn index(&mut self, line: &[u8]) -> bool {
        let Some((_, _, path)) = parse_line(line) else { return false };
        let len = u32::try_from(line.len()).unwrap_or(u32::MAX);
        let place = Place { offset: self.flushed, len };
        if let Some(old) = self.places.insert(self.key(path), place) {
            self.struck.push(old.offset);
        }
        true
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

    /// Keyed, so that no one outside can make two paths meet.
    fn key(&self, path: &[u8]) -> u128 {
        let (high, low) = (self.keys.0.hash_one(path), self.keys.1.hash_one(path));
        u128::from(high) << 64 | u128::from(low)
    }
}

/// Counter, sum and path of a line without its newline; `None` for struck-out and malformed ones.
fn parse_line(line: &[u8]) -> Option<(Counter, &[u8], &[u8])> {
    let counter = Counter::parse(line.get(..3)?)?;
    let (sum, rest) = split_blank(line.get(3..)?)?;
    let path = match rest.strip_prefix(b"!").and_then(split_blank) {
        Some((epoch, path)) if epoch.iter().all(u8::is_ascii_digit) => path,
        _ => rest,
    };
    (!sum.is_empty() && !path.is_empty()).then_some((counter, sum, path))
}

fn split_blank(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|&b| b == b' ')?;
    Some((bytes.get(..at)?, bytes.get(at + 1..)?))
}

/// How much was skipped, and whether a newline ended it.
struct Skipped {
    bytes: u64,
    ended: bool,
}

/// Reads on to the end of a line that is too long.
fn skip_line(reader: &mut impl BufRead) -> io::Result<Skipped> {
    let mut skipped = Skipped { bytes: 0, ended: false };
    while !skipped.ended {
        let chunk = reader.fill_buf()?;
        if chunk.is_empty() {
            break;
        }
        let newline = chunk.iter().position(|&b| b == b'\n');
        let len = newline.map_or(chunk.len(), |at| at + 1);
        reader.consume(len);
        skipped.bytes += len as u64;
        skipped.ended = newline.is_some();
    }
    Ok(skipped)
}

fn marker_name(name: &[u8]) -> Vec<u8> {
    [b".", name, b".cpt"].concat()
}

fn write_marker(folder: &OwnedFd, name: &[u8]) -> io::Result<()> {
    let file = open_in(folder, &marker_name(name))?;
    if file.metadata()?.len() == 0 {
        file.write_all_at(b"#!X", 0)?;
    }
    Ok(())
}

/// Opens or makes a regular file in the folder, never one elsewhere that a link points to.
fn open_in(folder: &impl AsFd, name: &[u8]) -> io::Result<File> {
    let flags =
        OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::openat(folder, name, flags, Mode::from_raw_mode(0o640))?;
    let file = File::from(file);
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("it is not a regular file")),
    }
}

/// The file name for a location, `None` when there can be none. `/`, control bytes and a leading dot (hidden files are the
/// markers) become octal escapes, so that every location is one plain name in the one folder.
pub(crate) fn file_name(location: &[u8]) -> Option<Vec<u8>> {
    let mut name = Vec::with_capacity(location.len());
    for (at, &byte) in location.iter().enumerate() {
        match byte {
            b'/' | 0..=0x1f | 0x7f => name.extend(format!("\\{byte:03o}").as_bytes()),
            b'.' if at == 0 => name.extend(b"\\056"),
            _ => name.push(byte),
        }
    }
    (1..=MAX_NAME).contains(&name.len()).then_some(name)
}

/// The path to show in messages.
pub(super) fn path_of(directory: &Path, name: &[u8]) -> PathBuf {
    directory.join(OsStr::from_bytes(name))
}

/// The files that are open, the least recently used first.
pub(super) struct OpenFiles {
    limit: usize,
    files: Vec<(Vec<u8>, File)>,
}

impl OpenFiles {
    /// Keeps at most `limit` files open.
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, files: Vec::with_capacity(limit) }
    }

    /// The file of that name, opened when it is not.
    pub(super) fn file(&mut self, folder: &OwnedFd, name: &[u8]) -> io::Result<&File> {
        let entry = match self.position(name) {
            Some(at) => self.files.remove(at),
            None => {
                let file = open_in(folder, name)?;
                if self.files.len() >= self.limit {
                    self.files.remove(0);
                }
                (name.to_vec(), file)
            }
        };
        self.files.push(entry);
        self.files.last().map(|(_, file)| file).ok_or_else(|| io::Error::other("no file is open"))
    }

    /// Closes a file that was removed meanwhile, so that the next use makes a new one.
    pub(super) fn forget_if_unlinked(&mut self, name: &[u8]) -> io::Result<()> {
        let Some(at) = self.position(name) else { return Ok(()) };
        let unlinked = match self.files.get(at) {
            Some((_, file)) => file.metadata()?.nlink() == 0,
            None => false,
        };
        if unlinked {
            self.files.remove(at);
        }
        Ok(())
    }

    fn position(&self, name: &[u8]) -> Option<usize> {
        self.files.iter().rposition(|(known, _)| known == name)
    }
}
