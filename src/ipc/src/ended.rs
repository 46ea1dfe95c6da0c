//! What has reached its end: for each producer its stream and the highest number that is done, on disk.
//!
//! The consumer writes its *intent* before it writes its outputs, and the *end* after: when it was killed in between, the
//! numbers between the two may appear twice, and are counted. The file is small text, rewritten in one `write` of fixed size:
//!
//! ```text
//! oxsec-ended 1
//! logcollector 1f3a… 00000000000000001200 00000000000000001250
//! crc 5d1c0a2b
//! ```
//! (name, stream in hexadecimal, ended, intended.)

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

const HEAD: &str = "oxsec-ended 1\n";
/// More producers than a host has daemons, and small enough to be written at once.
const MAX_PRODUCERS: usize = 24;
const SIZE: usize = 4096;

/// The consumer's record of what is done.
#[derive(Debug)]
pub struct Ended {
    file: File,
    entries: Vec<Entry>,
    /// Why the file's old content was not used, for a warning.
    pub damage: Option<String>,
}

/// One producer's line.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    name: String,
    stream: u64,
    ended: u64,
    intended: u64,
}

impl Ended {
    /// Opens or makes the file. Damaged content counts as none (see [`damage`](Self::damage)): producers then go on with
    /// their own numbers, and what was under way may come twice.
    ///
    /// # Errors
    /// When the file cannot be opened or read.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o640)
            .open(path)?;
        let mut content = Vec::new();
        (&mut file).take(2 * SIZE as u64).read_to_end(&mut content)?;
        let (entries, damage) = match parse(&content) {
            Ok(entries) => (entries, None),
            Err(why) => (Vec::new(), Some(why)),
        };
        Ok(Self { file, entries, damage })
    }

    /// Highest number of this producer's stream that has reached its end; 0 when the stream is not known.
    pub fn ended(&self, name: &str, stream: u64) -> u64 {
        self.entries.iter().find(|e| e.name == name && e.stream == stream).map_or(0, |e| e.ended)
    }

    /// How many events may appear twice since the last run was killed while it wrote: `(producer, count)`.
    pub fn in_doubt(&self) -> Vec<(&str, u64)> {
        let doubtful = self.entries.iter().filter(|e| e.intended > e.ended);
        doubtful.map(|e| (e.name.as_str(), e.intended - e.ended)).collect()
    }

    /// Says that the outputs of numbers up to `upto` are about to be written.
    ///
    /// # Errors
    /// When the file cannot be written; nothing may be output then.
    pub fn intend(&mut self, marks: &[Mark<'_>]) -> io::Result<()> {
        for mark in marks {
            self.entry(mark).intended = mark.upto;
        }
        self.save()
    }

    /// Says that the outputs of numbers up to `upto` are written.
    ///
    /// # Errors
    /// When the file cannot be written; the numbers must not be acknowledged then.
    pub fn end(&mut self, marks: &[Mark<'_>]) -> io::Result<()> {
        for mark in marks {
            let entry = self.entry(mark);
            entry.ended = mark.upto;
            entry.intended = mark.upto;
        }
        self.save()
    }

    fn entry(&mut self, mark: &Mark<'_>) -> &mut Entry {
        let at = match self.entries.iter().position(|e| e.name == mark.name) {
            Some(at) => at,
            None => {
                if self.entries.len() == MAX_PRODUCERS {
                    // The oldest line belongs to the producer that was first seen longest ago.
                    self.entries.remove(0);
                }
                self.entries.push(Entry {
                    name: mark.name.to_owned(),
                    stream: mark.stream,
                    ended: 0,
                    intended: 0,
                });
                self.entries.len() - 1
            }
        };
        let entry = &mut self.entries[at];
        if entry.stream != mark.stream {
            *entry =
                Entry { name: mark.name.to_owned(), stream: mark.stream, ended: 0, intended: 0 };
        }
        entry
    }

    fn save(&mut self) -> io::Result<()> {
        let mut text = String::with_capacity(SIZE);
        text.push_str(HEAD);
        for e in &self.entries {
            text.push_str(&format!(
                "{} {:016x} {:020} {:020}\n",
                e.name, e.stream, e.ended, e.intended
            ));
        }
        let sum = checksum(text.as_bytes());
        text.push_str(&format!("crc {sum:08x}\n"));
        let padding = SIZE.saturating_sub(text.len());
        text.extend(std::iter::repeat_n('\n', padding));
        self.file.write_all_at(text.as_bytes(), 0)
    }
}

/// A producer's stream, and up to which number something holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark<'a> {
    /// The producer's name.
    pub name: &'a str,
    /// The numbering.
    pub stream: u64,
    /// The highest number meant.
    pub upto: u64,
}

fn parse(content: &[u8]) -> Result<Vec<Entry>, String> {
    if content.is_empty() {
        return Ok(Vec::new());
    }
    let text = std::str::from_utf8(content).map_err(|_| "not text".to_owned())?;
    let body_end = text.rfind("crc ").ok_or("no checksum line")?;
    let (body, sum) = text.split_at(body_end);
    if sum.trim_end() != format!("crc {:08x}", checksum(body.as_bytes())) {
        return Err("its checksum does not hold".to_owned());
    }
    let lines = body.strip_prefix(HEAD).ok_or("unknown version")?.lines();
    lines
        .take(MAX_PRODUCERS)
        .map(|line| entry(line).ok_or_else(|| format!("bad line '{line}'")))
        .collect()
}

fn entry(line: &str) -> Option<Entry> {
    let mut words = line.split(' ');
    let name = words.next()?.to_owned();
    let stream = u64::from_str_radix(words.next()?, 16).ok()?;
    let ended = words.next()?.parse().ok()?;
    let intended = words.next()?.parse().ok()?;
    words.next().is_none().then_some(Entry { name, stream, ended, intended })
}

/// FNV-1a over the text: finds torn writes, promises nothing against an adversary (who could write the file anyway).
fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |sum, &b| (sum ^ u32::from(b)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARK: Mark<'_> = Mark { name: "logcollector", stream: 7, upto: 40 };

    #[test]
    fn what_has_ended_is_known_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ended");
        let mut ended = Ended::open(&path).unwrap();
        ended.end(&[MARK, Mark { name: "syscheckd", stream: 9, upto: 3 }]).unwrap();
        ended.intend(&[Mark { upto: 55, ..MARK }]).unwrap();
        drop(ended);

        let ended = Ended::open(&path).unwrap();
        assert_eq!(ended.ended("logcollector", 7), 40);
        assert_eq!(ended.ended("logcollector", 8), 0, "another stream");
        assert_eq!(ended.ended("syscheckd", 9), 3);
        assert_eq!(ended.in_doubt(), [("logcollector", 15)]);
        assert_eq!(ended.damage, None);
    }

    #[test]
    fn a_new_stream_replaces_the_old_one() {
        let dir = tempfile::tempdir().unwrap();
        let mut ended = Ended::open(&dir.path().join("ended")).unwrap();
        ended.end(&[MARK]).unwrap();
        ended.end(&[Mark { stream: 8, upto: 2, ..MARK }]).unwrap();
        assert_eq!(ended.ended("logcollector", 7), 0);
        assert_eq!(ended.ended("logcollector", 8), 2);
    }

    #[test]
    fn every_truncation_and_every_flipped_byte_is_noticed_or_harmless() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ended");
        Ended::open(&path).unwrap().end(&[MARK]).unwrap();
        let whole = std::fs::read(&path).unwrap();
        let good = parse(&whole).unwrap();
        for cut in 1..whole.len() {
            if let Ok(entries) = parse(&whole[..cut]) {
                assert_eq!(entries, good, "cut at {cut}");
            }
        }
        for at in 0..120 {
            let mut bent = whole.clone();
            bent[at] ^= 1;
            if let Ok(entries) = parse(&bent) {
                assert_eq!(entries, good, "bent at {at}");
            }
        }
    }
}
