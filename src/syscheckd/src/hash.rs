//! All wanted digests of a file in one read.
//!
//! SHA-1 and SHA-256 use the processor's instructions where it has them (found out at run time). MD5 has none and would hold up the
//! others, so that in a large file it has a thread of its own. The buffer is used again for the next file.

use std::cell::RefCell;
use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use md5::{Digest, Md5};
use settings::{CheckOptions, ExtraChecks};
use sha1::Sha1;
use sha2::Sha256;

/// Which digests are wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wanted {
    /// MD5.
    pub md5: bool,
    /// SHA-1.
    pub sha1: bool,
    /// SHA-256.
    pub sha256: bool,
    /// BLAKE3.
    pub blake3: bool,
}

impl Wanted {
    /// What these options ask for.
    pub fn of(options: &CheckOptions) -> Self {
        let blake3 = options.extra.has(ExtraChecks::BLAKE3);
        Self { md5: options.md5, sha1: options.sha1, sha256: options.sha256, blake3 }
    }

    /// Whether there is anything to read for.
    pub fn any(self) -> bool {
        self != Self::default()
    }
}

/// The wanted digests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Digests {
    /// MD5.
    pub md5: Option<[u8; 16]>,
    /// SHA-1.
    pub sha1: Option<[u8; 20]>,
    /// SHA-256.
    pub sha256: Option<[u8; 32]>,
    /// BLAKE3.
    pub blake3: Option<[u8; 32]>,
    /// Of the beginning alone, if that was asked for and the file is that long.
    pub prefix: Option<Box<Digests>>,
}

impl Digests {
    /// Takes the MD5 digests that another thread made of the same bytes.
    fn take_md5(&mut self, other: Self) {
        self.md5 = other.md5;
        if let (Some(mine), Some(others)) = (&mut self.prefix, other.prefix) {
            mine.take_md5(*others);
        }
    }
}

/// Read at a time, and between two calls of `pause` at the most; fits into a core's own cache.
pub const CHUNK: usize = 256 << 10;
/// Buffers between the reader and the thread of MD5.
const BUFFERS: usize = 4;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Reads up to `limit` bytes, and makes besides the digests of the first `prefix` bytes. `pause` is called after each chunk, so that a
/// huge file does not hold up everything; it says whether to go on, and when not the result is `None`.
///
/// # Errors
/// When reading fails.
pub fn digest(
    file: &mut impl Read,
    wanted: Wanted,
    limit: u64,
    prefix: Option<u64>,
    pause: &mut dyn FnMut() -> bool,
) -> io::Result<Option<Digests>> {
    let mut file = file.take(limit);
    let mut buffer = BUFFER.take();
    buffer.resize(CHUNK, 0);
    let result = digest_with(&mut buffer, &mut file, Hashes::new(wanted, prefix), pause);
    BUFFER.set(buffer);
    result
}

/// Small files end within the first chunk; what is longer goes on with a thread beside, if it helps.
fn digest_with(
    buffer: &mut [u8],
    file: &mut impl Read,
    mut hashes: Hashes,
    pause: &mut dyn FnMut() -> bool,
) -> io::Result<Option<Digests>> {
    loop {
        let chunk = next(file, buffer)?;
        hashes.update(chunk);
        match chunk.len() {
            0 => return Ok(Some(hashes.finish())),
            CHUNK if !pause() => return Ok(None),
            CHUNK => {
                if let Some(md5) = hashes.split_md5() {
                    return beside(file, md5, hashes, pause);
                }
            }
            _ => {}
        }
    }
}

/// Reads on, with MD5 in a thread of its own; buffers go round between the two.
fn beside(
    file: &mut impl Read,
    mut md5: Hashes,
    mut others: Hashes,
    pause: &mut dyn FnMut() -> bool,
) -> io::Result<Option<Digests>> {
    let (full_out, full): (SyncSender<(Vec<u8>, usize)>, Receiver<_>) = sync_channel(BUFFERS);
    let (empty_out, empty) = sync_channel(BUFFERS);
    for _ in 0..BUFFERS {
        // It has room for all of them.
        let _ = empty_out.try_send(vec![0; CHUNK]);
    }
    let ended = || io::Error::other("the thread that computes MD5 has ended");
    thread::scope(|scope| {
        let helper =
            thread::Builder::new().name("md5".to_owned()).spawn_scoped(scope, move || {
                for (buffer, len) in full {
                    md5.update(buffer.get(..len).unwrap_or_default());
                    // The reader may have come to its end.
                    let _ = empty_out.send(buffer);
                }
                md5.finish()
            })?;
        loop {
            let mut buffer = empty.recv().map_err(|_| ended())?;
            let chunk = next(file, &mut buffer)?;
            let len = chunk.len();
            if len == 0 {
                break;
            }
            others.update(chunk);
            full_out.send((buffer, len)).map_err(|_| ended())?;
            if len == CHUNK && !pause() {
                return Ok(None);
            }
        }
        drop(full_out);
        let mut digests = others.finish();
        digests.take_md5(helper.join().map_err(|_| ended())?);
        Ok(Some(digests))
    })
}

/// The next bytes; none at the end.
fn next<'a>(file: &mut impl Read, buffer: &'a mut [u8]) -> io::Result<&'a [u8]> {
    loop {
        match file.read(buffer) {
            Ok(len) => return Ok(buffer.get(..len).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The digests on their way.
#[derive(Clone, Default)]
struct Hashes {
    md5: Option<Md5>,
    sha1: Option<Sha1>,
    sha256: Option<Sha256>,
    blake3: Option<Box<blake3::Hasher>>,
    /// Bytes to the end of the prefix.
    to_prefix: Option<u64>,
    prefix: Option<Box<Digests>>,
}

impl Hashes {
    fn new(wanted: Wanted, prefix: Option<u64>) -> Self {
        Self {
            md5: wanted.md5.then(Md5::new),
            sha1: wanted.sha1.then(Sha1::new),
            sha256: wanted.sha256.then(Sha256::new),
            blake3: wanted.blake3.then(Box::default),
            to_prefix: prefix,
            prefix: None,
        }
    }

    /// MD5 alone, so that another thread can go on with it; `None` when there is nothing that it holds up.
    fn split_md5(&mut self) -> Option<Self> {
        if self.sha1.is_none() && self.sha256.is_none() && self.blake3.is_none() {
            return None;
        }
        let md5 = self.md5.take()?;
        let prefix = self.prefix.clone();
        Some(Self { md5: Some(md5), to_prefix: self.to_prefix, prefix, ..Self::default() })
    }

    fn update(&mut self, chunk: &[u8]) {
        let end = self.to_prefix.and_then(|left| usize::try_from(left).ok());
        let Some((before, after)) = end.and_then(|end| chunk.split_at_checked(end)) else {
            self.to_prefix = self.to_prefix.map(|left| left.saturating_sub(chunk.len() as u64));
            return self.add(chunk);
        };
        self.to_prefix = None;
        self.add(before);
        self.prefix = Some(Box::new(self.clone().finish()));
        self.add(after);
    }

    fn add(&mut self, bytes: &[u8]) {
        self.md5.iter_mut().for_each(|hash| hash.update(bytes));
        self.sha1.iter_mut().for_each(|hash| hash.update(bytes));
        self.sha256.iter_mut().for_each(|hash| hash.update(bytes));
        self.blake3.iter_mut().for_each(|hash| {
            hash.update(bytes);
        });
    }

    fn finish(self) -> Digests {
        Digests {
            md5: self.md5.map(|hash| hash.finalize().into()),
            sha1: self.sha1.map(|hash| hash.finalize().into()),
            sha256: self.sha256.map(|hash| hash.finalize().into()),
            blake3: self.blake3.map(|hash| *hash.finalize().as_bytes()),
            prefix: self.prefix,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Wanted = Wanted { md5: true, sha1: true, sha256: true, blake3: true };

    fn of(mut content: &[u8], wanted: Wanted, limit: u64, prefix: Option<u64>) -> Digests {
        digest(&mut content, wanted, limit, prefix, &mut || true).unwrap().unwrap()
    }

    fn hex(digest: impl AsRef<[u8]>) -> String {
        digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn all_digests_come_from_one_read() {
        let digests = of(b"x\n", ALL, u64::MAX, None);
        assert_eq!(hex(digests.md5.unwrap()), "401b30e3b8b5d629635a5c613cdb7919");
        assert_eq!(hex(digests.sha1.unwrap()), "6fcf9dfbd479ed82697fee719b9f8c610a11ff2a");
        assert_eq!(
            hex(digests.sha256.unwrap()),
            "73cb3858a687a8494ca3323053016282f3dad39d42cf62ca4e79dda2aac7d9ac"
        );
        assert_eq!(digests.blake3, Some(*blake3::hash(b"x\n").as_bytes()));
    }

    #[test]
    fn what_is_not_wanted_is_not_computed() {
        let digests = of(b"x", Wanted { sha1: true, ..Wanted::default() }, 9, None);
        assert!(digests.md5.is_none() && digests.sha1.is_some() && digests.sha256.is_none());
        assert!(digests.blake3.is_none() && digests.prefix.is_none());
    }

    #[test]
    fn reading_ends_at_the_limit() {
        assert_eq!(of(b"ab", ALL, 9, None), of(b"abcd", ALL, 2, None));
    }

    #[test]
    fn a_large_file_has_the_digests_that_its_parts_make() {
        let content: Vec<u8> = (0..3 * CHUNK + 17).map(|n| (n % 251) as u8).collect();
        let digests = of(&content, ALL, u64::MAX, None);
        assert_eq!(digests.md5, Some(Md5::digest(&content).into()));
        assert_eq!(digests.sha1, Some(Sha1::digest(&content).into()));
        assert_eq!(digests.sha256, Some(Sha256::digest(&content).into()));
        assert_eq!(digests.blake3, Some(*blake3::hash(&content).as_bytes()));
    }

    #[test]
    fn the_beginning_has_digests_of_its_own() {
        let content: Vec<u8> = (0..2 * CHUNK + 5).map(|n| (n % 253) as u8).collect();
        let ends = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 5];
        for end in ends {
            let prefix = of(&content, ALL, u64::MAX, Some(end as u64)).prefix;
            let alone = of(&content[..end], ALL, u64::MAX, None);
            assert_eq!(prefix.as_deref(), Some(&alone), "{end}");
        }
        assert_eq!(of(b"short", ALL, u64::MAX, Some(6)).prefix, None);
    }

    #[test]
    fn a_huge_file_can_be_given_up() {
        for wanted in [ALL, Wanted { md5: false, ..ALL }] {
            let mut chunks = 0;
            let digests = digest(&mut io::repeat(7), wanted, u64::MAX, None, &mut || {
                chunks += 1;
                chunks < 3
            });
            assert_eq!((digests.unwrap(), chunks), (None, 3));
        }
    }

    #[test]
    fn an_error_in_the_middle_is_told() {
        struct Broken(u8);
        impl Read for Broken {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                self.0 += 1;
                if self.0 > 2 { Err(io::Error::other("broken")) } else { Ok(buffer.len()) }
            }
        }
        let result = digest(&mut Broken(0), ALL, u64::MAX, None, &mut || true);
        assert_eq!(result.unwrap_err().to_string(), "broken");
    }
}
