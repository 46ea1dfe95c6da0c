//! All wanted digests of a file in one read.

use std::fs::File;
use std::io::{self, Read};

use md5::{Digest, Md5};
use sha1::Sha1;
use sha2::Sha256;

/// Which digests are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// MD5.
    pub md5: bool,
    /// SHA-1.
    pub sha1: bool,
    /// SHA-256.
    pub sha256: bool,
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
}

/// Read at a time, and between two calls of `pause` at the most.
const CHUNK: usize = 1 << 20;

/// Reads up to `limit` bytes. `pause` is called after each chunk, so that a huge file does not hold up everything; it says
/// whether to go on, and when not the result is `None`.
///
/// # Errors
/// When reading fails.
pub fn digest(
    file: &mut File,
    wanted: Wanted,
    limit: u64,
    pause: &mut dyn FnMut() -> bool,
) -> io::Result<Option<Digests>> {
    let mut md5 = wanted.md5.then(Md5::new);
    let mut sha1 = wanted.sha1.then(Sha1::new);
    let mut sha256 = wanted.sha256.then(Sha256::new);
    let mut buffer = vec![0; CHUNK.min(usize::try_from(limit).unwrap_or(CHUNK).max(4096))];
    let mut file = file.take(limit);
    loop {
        let len = match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(len) => len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let chunk = buffer.get(..len).unwrap_or_default();
        md5.iter_mut().for_each(|hash| hash.update(chunk));
        sha1.iter_mut().for_each(|hash| hash.update(chunk));
        sha256.iter_mut().for_each(|hash| hash.update(chunk));
        if len == CHUNK && !pause() {
            return Ok(None);
        }
    }
    Ok(Some(Digests {
        md5: md5.map(|hash| hash.finalize().into()),
        sha1: sha1.map(|hash| hash.finalize().into()),
        sha256: sha256.map(|hash| hash.finalize().into()),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Seek, Write};

    const ALL: Wanted = Wanted { md5: true, sha1: true, sha256: true };

    fn file(content: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        file.rewind().unwrap();
        file
    }

    fn hex(digest: impl AsRef<[u8]>) -> String {
        digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn all_digests_come_from_one_read() {
        let digests = digest(&mut file(b"x\n"), ALL, u64::MAX, &mut || true).unwrap().unwrap();
        assert_eq!(hex(digests.md5.unwrap()), "401b30e3b8b5d629635a5c613cdb7919");
        assert_eq!(hex(digests.sha1.unwrap()), "6fcf9dfbd479ed82697fee719b9f8c610a11ff2a");
        assert_eq!(
            hex(digests.sha256.unwrap()),
            "73cb3858a687a8494ca3323053016282f3dad39d42cf62ca4e79dda2aac7d9ac"
        );
    }

    #[test]
    fn what_is_not_wanted_is_not_computed() {
        let wanted = Wanted { md5: false, sha1: true, sha256: false };
        let digests = digest(&mut file(b"x"), wanted, 9, &mut || true).unwrap().unwrap();
        assert!(digests.md5.is_none() && digests.sha1.is_some() && digests.sha256.is_none());
    }

    #[test]
    fn reading_ends_at_the_limit() {
        let whole = digest(&mut file(b"ab"), ALL, 9, &mut || true).unwrap();
        let cut = digest(&mut file(b"abcd"), ALL, 2, &mut || true).unwrap();
        assert_eq!(whole, cut);
    }

    #[test]
    fn a_huge_file_can_be_given_up() {
        let mut file = tempfile::tempfile().unwrap();
        file.set_len(64 << 20).unwrap();
        let mut chunks = 0;
        let digests = digest(&mut file, ALL, u64::MAX, &mut || {
            chunks += 1;
            chunks < 3
        });
        assert_eq!((digests.unwrap(), chunks), (None, 3));
    }
}
