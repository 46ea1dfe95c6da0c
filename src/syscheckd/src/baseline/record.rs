//! What is kept of one file, as bytes: which fields are there (one byte), stamp, time of the last reading and options (8, 4, 2 bytes,
//! little endian), size, mode, owner and group as variable-length numbers, digests as they are, then the extra attributes to the end.
//!
//! About 50 bytes with a SHA-256. What can't be written so (a sum that is not of our making) is never kept.

use fim::Attributes;

const MD5: u8 = 1;
const SHA1: u8 = 2;
const SHA256: u8 = 4;
const SIZE: u8 = 8;
const MODE: u8 = 16;
const OWNER: u8 = 32;
const GROUP: u8 = 64;
/// The four bits before it are meant. Older records do not have it: they have all numbers.
const NUMBERS: u8 = 128;

/// What the last look at a file left behind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mark {
    /// Fingerprint of size, times, inode and device: while it is the same, the content is taken to be.
    pub stamp: u64,
    /// When the content was read in full, epoch seconds.
    pub read_at: u32,
    /// Fingerprint of the check options by which the file was looked at.
    pub options: u16,
}

/// A file as it was told, and the mark.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    /// What was told.
    pub attributes: Attributes,
    /// The last look.
    pub mark: Mark,
}

impl Record {
    pub(super) fn encode(&self) -> Vec<u8> {
        let Self { attributes, mark } = self;
        let mut bytes = Vec::with_capacity(80 + attributes.extra.len());
        let has = |there: bool, bit: u8| if there { bit } else { 0 };
        bytes.push(
            NUMBERS
                | has(attributes.md5.is_some(), MD5)
                | has(attributes.sha1.is_some(), SHA1)
                | has(attributes.sha256.is_some(), SHA256)
                | has(attributes.size.is_some(), SIZE)
                | has(attributes.mode.is_some(), MODE)
                | has(attributes.uid.is_some(), OWNER)
                | has(attributes.gid.is_some(), GROUP),
        );
        bytes.extend_from_slice(&mark.stamp.to_le_bytes());
        bytes.extend_from_slice(&mark.read_at.to_le_bytes());
        bytes.extend_from_slice(&mark.options.to_le_bytes());
        put(&mut bytes, attributes.size.unwrap_or(0));
        for number in [attributes.mode, attributes.uid, attributes.gid] {
            put(&mut bytes, number.unwrap_or(0).into());
        }
        bytes.extend(attributes.md5.iter().flatten());
        bytes.extend(attributes.sha1.iter().flatten());
        bytes.extend(attributes.sha256.iter().flatten());
        bytes.extend_from_slice(&attributes.extra);
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (&there, _) = bytes.split_first()?;
        let mark = mark(bytes)?;
        let mut rest = bytes.get(HEAD..)?;
        let size = take(&mut rest)?;
        let mode = u32::try_from(take(&mut rest)?).ok()?;
        let uid = u32::try_from(take(&mut rest)?).ok()?;
        let gid = u32::try_from(take(&mut rest)?).ok()?;
        let has = |bit| there & NUMBERS == 0 || there & bit != 0;
        let attributes = Attributes {
            size: has(SIZE).then_some(size),
            mode: has(MODE).then_some(mode),
            uid: has(OWNER).then_some(uid),
            gid: has(GROUP).then_some(gid),
            md5: digest(&mut rest, there & MD5 != 0)?,
            sha1: digest(&mut rest, there & SHA1 != 0)?,
            sha256: digest(&mut rest, there & SHA256 != 0)?,
            extra: rest.to_vec(),
        };
        Some(Self { attributes, mark })
    }
}

/// Which fields, stamp, time, options.
const HEAD: usize = 1 + 8 + 4 + 2;

/// The mark alone, of an encoded record.
pub(super) fn mark(bytes: &[u8]) -> Option<Mark> {
    Some(Mark {
        stamp: u64::from_le_bytes(bytes.get(1..9)?.try_into().ok()?),
        read_at: u32::from_le_bytes(bytes.get(9..13)?.try_into().ok()?),
        options: u16::from_le_bytes(bytes.get(13..15)?.try_into().ok()?),
    })
}

/// Seven bits a byte, the lowest first; the highest bit says that there is more.
fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    bytes.push(number.to_le_bytes()[0]);
}

fn take(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, behind) = rest.split_first()?;
        *rest = behind;
        number |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

/// The outer `None` is an end too early.
fn digest<const N: usize>(rest: &mut &[u8], there: bool) -> Option<Option<[u8; N]>> {
    if !there {
        return Some(None);
    }
    let (digest, behind) = rest.split_first_chunk::<N>()?;
    *rest = behind;
    Some(Some(*digest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        let attributes = Attributes {
            size: Some(u64::MAX),
            mode: Some(0o100_644),
            uid: Some(u32::MAX),
            gid: Some(0),
            md5: None,
            sha1: Some([7; 20]),
            sha256: Some([9; 32]),
            extra: b"links=1".to_vec(),
        };
        Record { attributes, mark: Mark { stamp: 1 << 60, read_at: u32::MAX, options: 513 } }
    }

    #[test]
    fn it_survives_the_round_trip() {
        let bytes = record().encode();
        assert_eq!(Record::decode(&bytes), Some(record()));
        assert_eq!(mark(&bytes), Some(record().mark));
    }

    #[test]
    fn what_was_not_checked_is_not_there() {
        let attributes = Attributes { mode: None, gid: None, ..record().attributes };
        let mut bytes = Record { attributes: attributes.clone(), ..record() }.encode();
        assert_eq!(Record::decode(&bytes).unwrap().attributes, attributes);
        bytes[0] &= MD5 | SHA1 | SHA256;
        let older = Attributes { mode: Some(0), gid: Some(0), ..attributes };
        assert_eq!(Record::decode(&bytes).unwrap().attributes, older);
    }

    #[test]
    fn it_is_small() {
        let attributes = Attributes {
            size: Some(4096),
            mode: Some(0o100_644),
            uid: Some(0),
            gid: Some(0),
            sha256: Some([9; 32]),
            ..Attributes::default()
        };
        assert!(Record { attributes, mark: Mark::default() }.encode().len() < 56);
    }

    #[test]
    fn truncated_and_mutated_records_are_lived_with() {
        let whole = record().encode();
        let fixed = whole.len() - record().attributes.extra.len();
        for len in 0..fixed {
            assert_eq!(Record::decode(&whole[..len]), None, "{len}");
        }
        let mut random = 0x1234_5678_9abc_def1_u64;
        for _ in 0..5000 {
            let mut bytes = whole.clone();
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let at = random as usize % bytes.len();
            bytes[at] = (random >> 32) as u8;
            Record::decode(&bytes);
        }
    }
}
