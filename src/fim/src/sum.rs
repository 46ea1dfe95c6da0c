//! The sum: one file's attributes as one word, `size:mode:uid:gid:md5:sha1[:sha256[:extra]]`, or `-1` when it is gone.
//!
//! Example: `4:33188:0:0:c193497a1a06b2c72230e6146ff47080:7bbef45b...:27dd8ed4...`; the mode is the whole `st_mode`, decimal.
//! `extra` is what only this suite looks at ([`crate::extra`]), present only where the settings ask for it.
//! What is not checked is `0` (numbers) or `xxx` (hashes); `xxx` is also the hash of a file that could not be read.
//! Read leniently, since agents of other versions and agentless scripts send it too; written from [`Attributes`].

use std::fmt;

/// Stands for a hash that is switched off or could not be computed.
pub const PLACEHOLDER: &[u8] = b"xxx";

/// Longest sum that is accepted, in bytes; ours have at most 200 without extra attributes.
pub const MAX_SUM: usize = 2048;

/// A sum as it lies in a message or a database line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sum<'a> {
    /// The file is gone: `-1`.
    Deleted,
    /// The file is there and looks like this.
    Present(Record<'a>),
}

/// The fields of a sum, as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Size in bytes, decimal.
    pub size: &'a [u8],
    /// Whole `st_mode`, decimal.
    pub mode: &'a [u8],
    /// Owner's number.
    pub uid: &'a [u8],
    /// Group's number.
    pub gid: &'a [u8],
    /// Hex, or the placeholder.
    pub md5: &'a [u8],
    /// Hex, or the placeholder.
    pub sha1: &'a [u8],
    /// Hex, or the placeholder; `None` from agents that do not know it.
    pub sha256: Option<&'a [u8]>,
    /// See [`crate::extra`]; `None` where nothing of it is checked.
    pub extra: Option<&'a [u8]>,
}

impl<'a> Sum<'a> {
    /// Reads a sum; it must be one word of 6 to 8 fields, or begin with `-1`.
    pub fn parse(text: &'a [u8]) -> Result<Self, SumError> {
        if text.len() > MAX_SUM {
            return Err(SumError::TooLong { len: text.len() });
        }
        if text.iter().any(|&b| b <= b' ' || b == 0x7f) {
            return Err(SumError::NotAWord);
        }
        if text.starts_with(b"-1") {
            return Ok(Self::Deleted);
        }
        let mut fields = text.split(|&b| b == b':');
        let mut next = || fields.next().ok_or(SumError::FieldCount);
        let record = Record {
            size: next()?,
            mode: next()?,
            uid: next()?,
            gid: next()?,
            md5: next()?,
            sha1: next()?,
            sha256: fields.next(),
            extra: fields.next(),
        };
        match fields.next() {
            None => Ok(Self::Present(record)),
            Some(_) => Err(SumError::FieldCount),
        }
    }
}

/// Whether a hash field holds a hash.
pub fn is_real(hash: &[u8]) -> bool {
    !hash.is_empty() && hash != PLACEHOLDER
}

/// What was seen of a file, typed; `None` is "not checked", or, for a hash, "could not be computed".
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Size in bytes.
    pub size: Option<u64>,
    /// Whole `st_mode`.
    pub mode: Option<u32>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// MD5 digest.
    pub md5: Option<[u8; 16]>,
    /// SHA-1 digest.
    pub sha1: Option<[u8; 20]>,
    /// SHA-256 digest.
    pub sha256: Option<[u8; 32]>,
    /// Written by [`crate::extra::Extra`]; empty when nothing of it is checked.
    pub extra: Vec<u8>,
}

impl Attributes {
    /// Reads a sum that [`Self::encode`] wrote; what was not checked comes back as 0 or as no digest, which is written the same.
    pub fn decode(sum: &[u8]) -> Option<Self> {
        let Ok(Sum::Present(record)) = Sum::parse(sum) else { return None };
        Some(Self {
            size: Some(number(record.size)?),
            mode: Some(number(record.mode)?.try_into().ok()?),
            uid: Some(number(record.uid)?.try_into().ok()?),
            gid: Some(number(record.gid)?.try_into().ok()?),
            md5: hash(record.md5)?,
            sha1: hash(record.sha1)?,
            sha256: hash(record.sha256.unwrap_or(PLACEHOLDER))?,
            extra: record.extra.unwrap_or_default().to_vec(),
        })
    }

    /// Writes the sum: seven fields, eight with extra attributes.
    pub fn encode(&self) -> Vec<u8> {
        let mut sum = format!(
            "{}:{}:{}:{}",
            self.size.unwrap_or(0),
            self.mode.unwrap_or(0),
            self.uid.unwrap_or(0),
            self.gid.unwrap_or(0)
        )
        .into_bytes();
        push_hash(&mut sum, self.md5.as_ref().map(<[u8; 16]>::as_slice));
        push_hash(&mut sum, self.sha1.as_ref().map(<[u8; 20]>::as_slice));
        push_hash(&mut sum, self.sha256.as_ref().map(<[u8; 32]>::as_slice));
        if !self.extra.is_empty() {
            sum.push(b':');
            sum.extend_from_slice(&self.extra);
        }
        sum
    }
}

fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// The outer `None` is what is neither a digest nor the placeholder.
fn hash<const N: usize>(text: &[u8]) -> Option<Option<[u8; N]>> {
    if text == PLACEHOLDER {
        return Some(None);
    }
    hex(text).map(Some)
}

/// A digest from its hexadecimal digits.
pub fn hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let mut digest = [0; N];
    let (pairs, rest) = text.as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    for (byte, [high, low]) in digest.iter_mut().zip(pairs) {
        let digit = |digit: u8| char::from(digit).to_digit(16);
        *byte = u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()?;
    }
    Some(digest)
}

fn push_hash(sum: &mut Vec<u8>, digest: Option<&[u8]>) {
    sum.push(b':');
    let Some(digest) = digest else {
        return sum.extend_from_slice(PLACEHOLDER);
    };
    for byte in digest {
        for nibble in [byte >> 4, byte & 15] {
            sum.push(if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 });
        }
    }
}

/// Why a text is not a sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SumError {
    /// Blanks or control bytes in it.
    NotAWord,
    /// Neither `-1` nor 6 or 7 fields.
    FieldCount,
    /// Above [`MAX_SUM`].
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
}

impl fmt::Display for SumError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAWord => f.write_str("sum holds blanks or control bytes"),
            Self::FieldCount => f.write_str("sum is neither -1 nor 6 or 7 fields separated by ':'"),
            Self::TooLong { len } => write!(f, "sum of {len} bytes, limit is {MAX_SUM}"),
        }
    }
}

impl std::error::Error for SumError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes() -> Attributes {
        Attributes {
            size: Some(4),
            mode: Some(0o100_644),
            uid: Some(1),
            gid: Some(2),
            md5: Some([0xab; 16]),
            sha1: None,
            sha256: Some([0x09; 32]),
            extra: b"links=1".to_vec(),
        }
    }

    #[test]
    fn attributes_survive_the_round_trip() {
        let text = attributes().encode();

        let Ok(Sum::Present(record)) = Sum::parse(&text) else { panic!("not present") };

        assert_eq!((record.size, record.mode), (&b"4"[..], &b"33188"[..]));
        assert_eq!((record.uid, record.gid), (&b"1"[..], &b"2"[..]));
        assert_eq!(record.md5, "ab".repeat(16).as_bytes());
        assert_eq!(record.sha1, PLACEHOLDER);
        assert_eq!(record.sha256, Some("09".repeat(32).as_bytes()));
        assert_eq!(record.extra, Some(&b"links=1"[..]));
        assert_eq!(Attributes::decode(&text), Some(attributes()));
    }

    #[test]
    fn a_written_sum_is_decoded_to_what_writes_it_again() {
        let text = Attributes::default().encode();
        assert_eq!(Attributes::decode(&text).unwrap().encode(), text);
        for sum in [&b"-1"[..], b"1:2:3:4:a:b:c", b"x:2:3:4:xxx:xxx:xxx", b"1:2:3:4"] {
            assert_eq!(Attributes::decode(sum), None);
        }
    }

    #[test]
    fn what_is_switched_off_is_zero_or_the_placeholder() {
        assert_eq!(Attributes::default().encode(), b"0:0:0:0:xxx:xxx:xxx");
    }

    #[test]
    fn a_sum_without_sha256_is_read() {
        let Ok(Sum::Present(record)) = Sum::parse(b"1:2:3:4:a:b") else { panic!("not present") };
        assert_eq!(record.sha256, None);
    }

    #[test]
    fn minus_one_is_deleted() {
        assert_eq!(Sum::parse(b"-1"), Ok(Sum::Deleted));
    }

    #[test]
    fn other_shapes_are_refused() {
        assert_eq!(Sum::parse(b""), Err(SumError::FieldCount));
        assert_eq!(Sum::parse(b"1:2:3:4:a"), Err(SumError::FieldCount));
        assert_eq!(Sum::parse(b"1:2:3:4:a:b:c:d:e"), Err(SumError::FieldCount));
        assert_eq!(Sum::parse(b"1:2:3:4:a:b\x07"), Err(SumError::NotAWord));
        assert_eq!(Sum::parse(&[b'1'; 2049]), Err(SumError::TooLong { len: 2049 }));
    }
}
