//! The lines of the positions journal, `queue/logcollector/positions`: our own format, one fact a line.
//!
//! ```text
//! stream 9f3c21aa04d7e815 1200 #5d1c0a2b          random name of the numbering; all up to 1200 have ended
//! location /var/log/*.log #...                      this location was watched, so what is new there is read from its start
//! file 3 2049 131077 256 8c1e... 1795... 8812 /var/log/*.log /var/log/auth.log #...
//!                                                   key 3: device, inode, length and hash of the head, time,
//!                                                   offset, location, path
//! journal 4 all s=0a1b... #...                      key 4: location, cursor of journald
//! marks 3 1201 8812 90 130 85 #...                  event 1201 ends at 8812+90, 1202 130 bytes on, 1203 85 further
//! cursor 4 1204 s=0a1c... #...                      after event 1204 the journal stands here
//! gone 3 #...                                       key 3 is done with
//! ```
//! Bytes outside of printable ASCII, spaces, `%` and `#` are written `%XX`. Each line ends in a checksum of itself. A reader
//! stops at the first line that does not hold: what was written after it is not trusted.

use std::fmt::Write;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

/// A file or journal that has a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key(pub u32);

/// Which file it is, whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Identity {
    /// Device number.
    pub device: u64,
    /// Inode number.
    pub inode: u64,
}

/// The first bytes of a file, to tell it from another one in the same inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Fingerprint {
    /// How many bytes; at most [`Fingerprint::MAX`].
    pub len: u16,
    /// FNV-1a of them.
    pub hash: u64,
}

impl Fingerprint {
    /// Most bytes that are looked at.
    pub(crate) const MAX: usize = 256;

    /// Of a file whose first bytes these are.
    pub(crate) fn of(head: &[u8]) -> Self {
        let head = &head[..head.len().min(Self::MAX)];
        let hash = head.iter().fold(0xcbf2_9ce4_8422_2325, |sum: u64, &b| {
            (sum ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3)
        });
        Self { len: head.len() as u16, hash }
    }

    /// Whether a file that begins with `head` can be the one that this was taken of.
    pub(crate) fn fits(&self, head: &[u8]) -> bool {
        head.get(..usize::from(self.len)).is_some_and(|start| Self::of(start) == *self)
    }
}

/// A watched file, as far as the journal knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileFact {
    /// Device and inode.
    pub identity: Identity,
    /// Its head.
    pub fingerprint: Fingerprint,
    /// When it had been written last as it was taken up, in nanoseconds since 1970.
    pub since: u64,
    /// The location of the configuration that it belongs to.
    pub location: String,
    /// The path under which it was found.
    pub path: PathBuf,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    /// Name of the numbering, and up to where all has ended.
    Stream {
        /// Random.
        stream: u64,
        /// Highest number that has ended.
        ended: u64,
    },
    /// A location of the configuration.
    Location(String),
    /// A file, new or known better than before. `offset` counts for a new one only.
    File {
        /// Its key.
        key: Key,
        /// What is known of it.
        fact: FileFact,
        /// From where to read.
        offset: u64,
    },
    /// A journald source. `cursor` is empty at first.
    Journal {
        /// Its key.
        key: Key,
        /// The location of the configuration.
        location: String,
        /// From where to read.
        cursor: String,
    },
    /// Consecutive events of one file.
    Marks {
        /// The file.
        key: Key,
        /// Number of the first event.
        first: u64,
        /// The offset after each event.
        offsets: Vec<u64>,
    },
    /// An event of a journal.
    Cursor {
        /// The journal.
        key: Key,
        /// The event's number.
        number: u64,
        /// The cursor after it.
        cursor: String,
    },
    /// The key is not used any more.
    Gone(Key),
}

impl Entry {
    /// Appends the line.
    pub(crate) fn write(&self, out: &mut String) {
        let start = out.len();
        match self {
            Self::Stream { stream, ended } => {
                put(out, format_args!("stream {stream:016x} {ended}"))
            }
            Self::Location(location) => {
                put(out, format_args!("location {}", escaped(location.as_bytes())))
            }
            Self::File { key, fact, offset } => put(
                out,
                format_args!(
                    "file {} {} {} {} {:x} {} {offset} {} {}",
                    key.0,
                    fact.identity.device,
                    fact.identity.inode,
                    fact.fingerprint.len,
                    fact.fingerprint.hash,
                    fact.since,
                    escaped(fact.location.as_bytes()),
                    escaped(fact.path.as_os_str().as_bytes())
                ),
            ),
            Self::Journal { key, location, cursor } => put(
                out,
                format_args!(
                    "journal {} {} {}",
                    key.0,
                    escaped(location.as_bytes()),
                    escaped(cursor.as_bytes())
                ),
            ),
            Self::Marks { key, first, offsets } => {
                put(out, format_args!("marks {} {first}", key.0));
                let mut last = 0;
                for &offset in offsets {
                    put(out, format_args!(" {}", offset.wrapping_sub(last)));
                    last = offset;
                }
            }
            Self::Cursor { key, number, cursor } => {
                put(out, format_args!("cursor {} {number} {}", key.0, escaped(cursor.as_bytes())));
            }
            Self::Gone(key) => put(out, format_args!("gone {}", key.0)),
        }
        let sum = checksum(&out.as_bytes()[start..]);
        put(out, format_args!(" #{sum:08x}\n"));
    }

    /// Reads a line, without its newline; `None` when it is not a good one.
    pub(crate) fn parse(line: &[u8]) -> Option<Self> {
        let line = std::str::from_utf8(line).ok()?;
        let (body, sum) = line.rsplit_once(" #")?;
        if sum.len() != 8 || u32::from_str_radix(sum, 16).ok()? != checksum(body.as_bytes()) {
            return None;
        }
        let mut words = body.split(' ');
        let entry = Self::of_words(&mut words)?;
        words.next().is_none().then_some(entry)
    }

    fn of_words<'a>(words: &mut impl Iterator<Item = &'a str>) -> Option<Self> {
        Some(match words.next()? {
            "stream" => Self::Stream {
                stream: u64::from_str_radix(words.next()?, 16).ok()?,
                ended: number(words)?,
            },
            "location" => Self::Location(text(words)?),
            "file" => {
                let key = key(words)?;
                let identity = Identity { device: number(words)?, inode: number(words)? };
                let len = u16::try_from(number(words)?).ok()?;
                let hash = u64::from_str_radix(words.next()?, 16).ok()?;
                let fingerprint = Fingerprint { len, hash };
                let (since, offset) = (number(words)?, number(words)?);
                let location = text(words)?;
                let path = PathBuf::from(std::ffi::OsString::from_vec(unescaped(words.next()?)?));
                Self::File {
                    key,
                    fact: FileFact { identity, fingerprint, since, location, path },
                    offset,
                }
            }
            "journal" => {
                Self::Journal { key: key(words)?, location: text(words)?, cursor: text(words)? }
            }
            "marks" => {
                let (key, first) = (key(words)?, number(words)?);
                let mut offset = 0_u64;
                let mut offsets = Vec::new();
                for word in words {
                    offset = offset.wrapping_add(word.parse().ok()?);
                    offsets.push(offset);
                }
                Self::Marks { key, first, offsets }
            }
            "cursor" => {
                Self::Cursor { key: key(words)?, number: number(words)?, cursor: text(words)? }
            }
            "gone" => Self::Gone(key(words)?),
            _ => return None,
        })
    }
}

/// All entries of a journal up to the first line that does not hold, and how many bytes they are.
pub(crate) fn read(content: &[u8]) -> (Vec<Entry>, usize) {
    let mut entries = Vec::new();
    let mut good = 0;
    for line in content.split_inclusive(|&b| b == b'\n') {
        let Some(entry) = line.strip_suffix(b"\n").and_then(Entry::parse) else { break };
        entries.push(entry);
        good += line.len();
    }
    (entries, good)
}

fn key<'a>(words: &mut impl Iterator<Item = &'a str>) -> Option<Key> {
    words.next()?.parse().ok().map(Key)
}

fn number<'a>(words: &mut impl Iterator<Item = &'a str>) -> Option<u64> {
    words.next()?.parse().ok()
}

fn text<'a>(words: &mut impl Iterator<Item = &'a str>) -> Option<String> {
    String::from_utf8(unescaped(words.next()?)?).ok()
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("writing to a string cannot fail");
}

fn escaped(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for &b in bytes {
        if b.is_ascii_graphic() && b != b'%' && b != b'#' {
            out.push(char::from(b));
        } else {
            put(&mut out, format_args!("%{b:02x}"));
        }
    }
    out
}

fn unescaped(word: &str) -> Option<Vec<u8>> {
    let mut parts = word.split('%');
    let mut out = parts.next()?.as_bytes().to_vec();
    for part in parts {
        out.push(u8::from_str_radix(part.get(..2)?, 16).ok()?);
        out.extend_from_slice(part.get(2..)?.as_bytes());
    }
    Some(out)
}

/// FNV-1a: finds torn writes.
fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |sum, &b| (sum ^ u32::from(b)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::ffi::OsString;

    pub(crate) fn samples() -> Vec<Entry> {
        let fact = FileFact {
            identity: Identity { device: 2049, inode: 131_077 },
            fingerprint: Fingerprint::of(b"Nov 21"),
            since: 1_795_219_834_000_000_000,
            location: "/var/log/my logs/*.log".to_owned(),
            path: PathBuf::from(OsString::from_vec(b"/var/log/my logs/100%\xff#\n.log".to_vec())),
        };
        vec![
            Entry::Stream { stream: 0x9f3c, ended: 1200 },
            Entry::Location("/var/log/my logs/*.log".to_owned()),
            Entry::File { key: Key(3), fact, offset: 8812 },
            Entry::Journal { key: Key(4), location: "all".to_owned(), cursor: String::new() },
            Entry::Marks { key: Key(3), first: 1201, offsets: vec![8902, 9032, 9032, 9117] },
            Entry::Cursor { key: Key(4), number: 1205, cursor: "s=0a;i=1".to_owned() },
            Entry::Gone(Key(3)),
        ]
    }

    pub(crate) fn written(entries: &[Entry]) -> String {
        let mut out = String::new();
        entries.iter().for_each(|entry| entry.write(&mut out));
        out
    }

    #[test]
    fn what_is_written_is_read_back() {
        let text = written(&samples());
        assert_eq!(read(text.as_bytes()), (samples(), text.len()));
    }

    #[test]
    fn every_truncation_gives_the_whole_lines_before_it() {
        let text = written(&samples());
        for cut in 0..text.len() {
            let whole_lines = text.as_bytes()[..cut].iter().filter(|&&b| b == b'\n').count();
            let (entries, good) = read(&text.as_bytes()[..cut]);
            assert_eq!(entries, samples()[..whole_lines], "cut at {cut}");
            assert!(good <= cut);
        }
    }

    #[test]
    fn a_flipped_bit_is_noticed() {
        let text = written(&samples());
        for at in 0..text.len() {
            let mut bent = text.clone().into_bytes();
            bent[at] ^= 1;
            let (entries, _) = read(&bent);
            let line = text.as_bytes()[..at].iter().filter(|&&b| b == b'\n').count();
            assert_eq!(entries, samples()[..line], "bent at {at}");
        }
    }

    #[test]
    fn a_fingerprint_fits_a_file_that_has_grown() {
        let early = Fingerprint::of(b"Nov 21");
        assert!(early.fits(b"Nov 21 10:00:01 more"));
        assert!(!early.fits(b"Nov 22 10:00:01 more"));
        assert!(!early.fits(b"Nov"));
        assert!(Fingerprint::of(b"").fits(b"anything"), "nothing was known of it");
    }
}
