//! The file that holds a watched file's last content: `oxsec-diff 1\n`, then, compressed by zstd: path, content before, content, each
//! with its length (u32, little endian) in front. No content before has the length 2^32 - 1.

use std::io::{self, Read};

const MAGIC: &[u8] = b"oxsec-diff 1\n";
const NONE: u32 = u32::MAX;
/// Configuration files shrink to a fifth; more effort gains little.
const LEVEL: i32 = 3;

/// What is kept of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kept {
    /// So that a file of the same name is never taken for this one's.
    pub(super) path: Vec<u8>,
    /// The content before the last change.
    pub(super) before: Option<Vec<u8>>,
    /// The content.
    pub(super) now: Vec<u8>,
}

impl Kept {
    pub(super) fn encode(&self) -> io::Result<Vec<u8>> {
        let mut plain = Vec::new();
        put(&mut plain, Some(&self.path));
        put(&mut plain, self.before.as_deref());
        put(&mut plain, Some(&self.now));
        let mut bytes = MAGIC.to_vec();
        zstd::stream::copy_encode(plain.as_slice(), &mut bytes, LEVEL)?;
        Ok(bytes)
    }

    /// `None` for what is damaged, foreign or larger than `most` bytes when unpacked.
    pub(super) fn decode(bytes: &[u8], most: u64) -> Option<Self> {
        let packed = bytes.strip_prefix(MAGIC)?;
        let mut plain = Vec::new();
        zstd::stream::read::Decoder::new(packed).ok()?.take(most).read_to_end(&mut plain).ok()?;
        let mut rest = plain.as_slice();
        let path = take(&mut rest)??.to_vec();
        let before = take(&mut rest)?.map(<[u8]>::to_vec);
        let now = take(&mut rest)??.to_vec();
        rest.is_empty().then_some(Self { path, before, now })
    }
}

fn put(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    let len = bytes.and_then(|bytes| u32::try_from(bytes.len()).ok()).unwrap_or(NONE);
    out.extend_from_slice(&len.to_le_bytes());
    if len != NONE {
        out.extend_from_slice(bytes.unwrap_or_default());
    }
}

/// The outer `None` is an end too early.
fn take<'a>(rest: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let (len, behind) = rest.split_first_chunk::<4>()?;
    let len = u32::from_le_bytes(*len);
    if len == NONE {
        *rest = behind;
        return Some(None);
    }
    let (bytes, behind) = behind.split_at_checked(len as usize)?;
    *rest = behind;
    Some(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(before: Option<&[u8]>) -> Kept {
        Kept { path: b"/etc/x".to_vec(), before: before.map(<[u8]>::to_vec), now: b"b\n".to_vec() }
    }

    #[test]
    fn it_survives_the_round_trip() {
        for kept in [kept(None), kept(Some(b"a\n")), kept(Some(b""))] {
            assert_eq!(Kept::decode(&kept.encode().unwrap(), 1 << 20), Some(kept));
        }
    }

    #[test]
    fn what_unpacks_to_more_than_is_allowed_is_refused() {
        let large = Kept { now: vec![0; 1 << 20], ..kept(None) };
        assert_eq!(Kept::decode(&large.encode().unwrap(), 1 << 16), None);
    }

    #[test]
    fn every_truncation_and_mutation_is_refused_or_read() {
        let whole = kept(Some(b"a\n")).encode().unwrap();
        for len in 0..whole.len() {
            assert_eq!(Kept::decode(&whole[..len], 1 << 20), None, "{len}");
        }
        let mut random = 0x1234_5678_9abc_def1_u64;
        for _ in 0..2000 {
            let mut bytes = whole.clone();
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let at = random as usize % bytes.len();
            bytes[at] = (random >> 32) as u8;
            Kept::decode(&bytes, 1 << 20);
        }
    }
}
