//! Digests: by 2 KiB the manager and an agent find out whether they know the same of the same files, and where they differ.
//!
//! Files fall into 256 buckets by the first byte of BLAKE3(path as sent). A file's mark is that byte and 15 bytes of
//! BLAKE3(`<sum> <path>`); a bucket's digest is the first four bytes of BLAKE3 over its marks in order, the root the first 16 over all of them. So
//! files may come in any order, and equal roots mean equal knowledge. Deleted files (`-1`) are no part of it.
//!
//! ```text
//! manager to agent    digest                            what do you know?
//! agent to manager    syscheck-digest 3 <32 hex> <256 x 8 hex>
//! manager to agent    resend 17,203-205                 these differ: tell me all files in them
//! agent to manager    syscheck-resend 17 begin          then each of its files as `<sum> <path>`
//!                     syscheck-resend 17 end 2          as many as that; what was not named is gone
//! ```
//! The agent's lines are messages of kind `8` ([`crate::message`]) in the order of all others, so a digest tells of what was sent before it.

use std::fmt;
use std::fmt::Write;

/// How many buckets there are.
pub const BUCKETS: usize = 256;

const DIGEST: &[u8] = b"syscheck-digest ";
const RESEND: &[u8] = b"syscheck-resend ";

/// The bucket of a path as sent.
pub fn bucket(path: &[u8]) -> u8 {
    blake3::hash(path).as_bytes()[0]
}

/// Takes in files, in any order; 16 bytes each.
#[derive(Debug, Clone, Default)]
pub struct Collector {
    marks: Vec<[u8; 16]>,
}

impl Collector {
    /// Takes in a file: its path and its sum, both as sent. Gives its bucket.
    pub fn add(&mut self, path: &[u8], sum: &[u8]) -> u8 {
        let mut hasher = blake3::Hasher::new();
        for part in [sum, b" ", path] {
            hasher.update(part);
        }
        let mut mark = [0; 16];
        hasher.finalize_xof().fill(&mut mark);
        mark[0] = bucket(path);
        self.marks.push(mark);
        mark[0]
    }

    /// The digest of all that was taken in.
    pub fn finish(mut self) -> Digest {
        self.marks.sort_unstable();
        let mut buckets = [[0; 4]; BUCKETS];
        for marks in self.marks.chunk_by(|a, b| a[0] == b[0]) {
            let mut hasher = blake3::Hasher::new();
            hasher.update(marks.as_flattened());
            let at = marks.first().map_or(0, |mark| usize::from(mark[0]));
            hasher.finalize_xof().fill(&mut buckets[at]);
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.marks.as_flattened());
        let mut root = [0; 16];
        hasher.finalize_xof().fill(&mut root);
        Digest { files: self.marks.len() as u64, root, buckets }
    }
}

/// What one side knows, in short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest {
    /// How many files that are.
    pub files: u64,
    root: [u8; 16],
    buckets: [[u8; 4]; BUCKETS],
}

impl Digest {
    /// One bucket's part, to be compared with an earlier one.
    pub fn of_bucket(&self, bucket: u8) -> [u8; 4] {
        self.buckets[usize::from(bucket)]
    }

    /// The buckets that differ; all when only the roots do (two different buckets of the same four bytes).
    pub fn differing(&self, other: &Self) -> Buckets {
        if self.root == other.root {
            return Buckets::default();
        }
        let mut differing = Buckets::default();
        for bucket in 0..=u8::MAX {
            if self.of_bucket(bucket) != other.of_bucket(bucket) {
                differing.insert(bucket);
            }
        }
        if differing.is_empty() { Buckets::all() } else { differing }
    }

    /// The message's payload.
    pub fn to_message(&self) -> Vec<u8> {
        let mut text = format!("syscheck-digest {} ", self.files);
        let buckets = self.buckets.as_flattened();
        for (byte, at) in self.root.iter().chain(buckets).zip(1..) {
            // A string takes everything.
            let _ = write!(text, "{byte:02x}{}", if at == self.root.len() { " " } else { "" });
        }
        text.into_bytes()
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let mut words = std::str::from_utf8(text).ok()?.split(' ');
        let files = decimal(words.next()?)?;
        let (mut root, mut buckets) = ([0; 16], [[0; 4]; BUCKETS]);
        hex(words.next()?, &mut root)?;
        hex(words.next()?, buckets.as_flattened_mut())?;
        words.next().is_none().then_some(Self { files, root, buckets })
    }
}

/// A set of buckets; as text `17,203-205`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Buckets([u64; 4]);

impl Buckets {
    /// Every one.
    pub fn all() -> Self {
        Self([u64::MAX; 4])
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0 == [0; 4]
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Adds one.
    pub fn insert(&mut self, bucket: u8) {
        self.0[usize::from(bucket >> 6)] |= 1 << (bucket & 63);
    }

    /// Takes one away.
    pub fn remove(&mut self, bucket: u8) {
        self.0[usize::from(bucket >> 6)] &= !(1 << (bucket & 63));
    }

    /// Whether it is in the set.
    pub fn contains(&self, bucket: u8) -> bool {
        self.0[usize::from(bucket >> 6)] & 1 << (bucket & 63) != 0
    }

    /// The buckets in order.
    pub fn iter(&self) -> impl Iterator<Item = u8> {
        (0..=u8::MAX).filter(|&bucket| self.contains(bucket))
    }

    /// Reads a list; `None` for an empty one and for anything that is none.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let mut buckets = Self::default();
        for part in std::str::from_utf8(text).ok()?.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (decimal(first)?, decimal(last)?);
            if first > last {
                return None;
            }
            (u8::try_from(first).ok()?..=u8::try_from(last).ok()?).for_each(|b| buckets.insert(b));
        }
        Some(buckets)
    }
}

impl fmt::Display for Buckets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut next = 0_u16;
        let mut separator = "";
        while next < 256 {
            let has = |bucket: u16| u8::try_from(bucket).is_ok_and(|bucket| self.contains(bucket));
            if has(next) {
                let first = next;
                while has(next + 1) {
                    next += 1;
                }
                write!(f, "{separator}{first}")?;
                if next > first {
                    write!(f, "-{next}")?;
                }
                separator = ",";
            }
            next += 1;
        }
        Ok(())
    }
}

/// What the manager asks: `digest` or `resend 17,203`. On its way to an agent `#!-syscheck ` stands before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// What do you know?
    Digest,
    /// Tell all files in these buckets.
    Resend(Buckets),
}

impl Request {
    /// Reads one; `None` for anything else.
    pub fn parse(text: &[u8]) -> Option<Self> {
        match text {
            b"digest" => Some(Self::Digest),
            _ => Buckets::parse(text.strip_prefix(b"resend ")?).map(Self::Resend),
        }
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Digest => f.write_str("digest"),
            Self::Resend(buckets) => write!(f, "resend {buckets}"),
        }
    }
}

/// What an agent answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// To [`Request::Digest`].
    Digest(Box<Digest>),
    /// The files of this bucket follow.
    Begin(u8),
    /// They are through.
    End {
        /// Of which bucket.
        bucket: u8,
        /// How many were sent.
        files: u64,
    },
}

impl Answer {
    /// Reads a message's payload; `None` when it is no answer.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        if let Some(text) = payload.strip_prefix(DIGEST) {
            return Digest::parse(text).map(|digest| Self::Digest(Box::new(digest)));
        }
        let text = std::str::from_utf8(payload.strip_prefix(RESEND)?).ok()?;
        let (bucket, edge) = text.split_once(' ')?;
        let bucket = u8::try_from(decimal(bucket)?).ok()?;
        match edge.strip_prefix("end ") {
            Some(files) => Some(Self::End { bucket, files: decimal(files)? }),
            None => (edge == "begin").then_some(Self::Begin(bucket)),
        }
    }

    /// The message's payload.
    pub fn to_message(&self) -> Vec<u8> {
        match self {
            Self::Digest(digest) => digest.to_message(),
            Self::Begin(bucket) => format!("syscheck-resend {bucket} begin").into_bytes(),
            Self::End { bucket, files } => {
                format!("syscheck-resend {bucket} end {files}").into_bytes()
            }
        }
    }
}

/// Digits only: no sign, as `parse` would take one.
fn decimal(text: &str) -> Option<u64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

/// Fills all of `bytes`, or `None`.
fn hex(text: &str, bytes: &mut [u8]) -> Option<()> {
    let text = text.as_bytes();
    if text.len() != 2 * bytes.len() {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16);
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = u8::try_from(digit(*high)? << 4 | digit(*low)?).ok()?;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(files: &[(&str, &str)]) -> Digest {
        let mut collector = Collector::default();
        for (path, sum) in files {
            assert_eq!(collector.add(path.as_bytes(), sum.as_bytes()), bucket(path.as_bytes()));
        }
        collector.finish()
    }

    #[test]
    fn the_order_of_files_does_not_matter_and_every_byte_of_them_does() {
        let one = digest(&[("/a", "1:2"), ("/b", "3:4")]);
        assert_eq!(one, digest(&[("/b", "3:4"), ("/a", "1:2")]));
        let other = digest(&[("/a", "1:2"), ("/b", "3:5")]);
        assert_eq!(one.differing(&other).iter().collect::<Vec<_>>(), [bucket(b"/b")]);
        assert!(one.differing(&one).is_empty());
    }

    #[test]
    fn a_digest_is_written_as_promised() {
        let text = digest(&[("/etc/motd", "4:33188:0:0:aa:bb:cc")]).to_message();
        let text = String::from_utf8(text).unwrap();
        let words: Vec<&str> = text.split(' ').collect();
        assert_eq!(words[..2], ["syscheck-digest", "1"]);
        assert_eq!((words[2].len(), words[3].len(), words.len()), (32, 2048, 4));
        let at = usize::from(bucket(b"/etc/motd")) * 8;
        assert_eq!((at / 8, &words[2][..8], &words[3][at..at + 8]), (171, "81b710c1", "81b710c1"));
    }

    #[test]
    fn equal_parts_under_different_roots_mean_everything() {
        let one = digest(&[("/a", "1")]);
        let other = Digest { root: [7; 16], ..one.clone() };
        assert_eq!(one.differing(&other), Buckets::all());
    }

    #[test]
    fn buckets_are_listed_in_ranges() {
        let mut buckets = Buckets::default();
        [17, 203, 204, 205, 255].into_iter().for_each(|b| buckets.insert(b));
        assert_eq!(buckets.to_string(), "17,203-205,255");
        assert_eq!(Buckets::parse(b"17,203-205,255"), Some(buckets));
        assert_eq!((Buckets::all().to_string(), Buckets::all().len()), ("0-255".into(), 256));
        buckets.remove(17);
        assert!(!buckets.contains(17) && buckets.contains(255));
        for text in ["", ",", "256", "5-3", "1-", "-1", "+1", "1 ", "0-256", "x", "1,,2"] {
            assert_eq!(Buckets::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn the_longest_list_fits_a_control_message() {
        let mut odd = Buckets::default();
        (0..=u8::MAX).filter(|b| b % 2 == 1).for_each(|b| odd.insert(b));
        let text = Request::Resend(odd).to_string();
        assert!(text.len() < 900, "{}", text.len());
        assert_eq!(Request::parse(text.as_bytes()), Some(Request::Resend(odd)));
        assert_eq!(Request::parse(b"digest"), Some(Request::Digest));
        assert_eq!(Request::parse(b"resend "), None);
    }

    #[test]
    fn answers_survive_the_round_trip_and_no_truncation_is_another() {
        let whole = digest(&[("/a", "1:2"), ("/b", "3:4")]);
        let answers = [
            Answer::Digest(Box::new(whole)),
            Answer::Begin(17),
            Answer::End { bucket: 17, files: 2 },
        ];
        for answer in answers {
            let text = answer.to_message();
            assert_eq!(Answer::parse(&text), Some(answer));
            for len in 0..text.len() {
                assert_eq!(Answer::parse(&text[..len]), None, "{len}");
            }
        }
        for odd in ["syscheck-resend 256 begin", "syscheck-resend 1 end -1", "syscheck-resend 1 "] {
            assert_eq!(Answer::parse(odd.as_bytes()), None, "{odd}");
        }
    }
}
