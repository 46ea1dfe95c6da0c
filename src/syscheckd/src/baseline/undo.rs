//! What to put back when an event turns out not to have arrived: for each event its number (u64), its path and the record before, each with its
//! length (u32) in front; no record before has the length 2^32 - 1. The last event's number stands in front of all. Little endian.

use super::Record;

const NONE: u32 = u32::MAX;

/// One event's.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Undo {
    pub(super) number: u64,
    pub(super) path: Vec<u8>,
    pub(super) before: Option<Record>,
}

/// Those that are written together.
#[derive(Default)]
pub(super) struct Batch {
    first: Option<u64>,
    last: u64,
    bytes: Vec<u8>,
}

impl Batch {
    pub(super) fn put(&mut self, number: u64, path: &[u8], before: Option<&[u8]>) {
        self.first.get_or_insert(number);
        self.last = number;
        self.bytes.extend_from_slice(&number.to_le_bytes());
        put(&mut self.bytes, Some(path));
        put(&mut self.bytes, before);
    }

    /// First number and value; `None` when empty.
    pub(super) fn finish(self) -> Option<(u64, Vec<u8>)> {
        let Self { first, last, bytes } = self;
        Some((first?, [&last.to_le_bytes(), bytes.as_slice()].concat()))
    }
}

pub(super) fn last_number(batch: &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(*batch.first_chunk::<8>()?))
}

/// In the order of the events; ends at what can't be read.
pub(super) fn decode(batch: &[u8]) -> Vec<Undo> {
    let mut rest = batch.get(8..).unwrap_or_default();
    std::iter::from_fn(|| one(&mut rest)).collect()
}

fn one(rest: &mut &[u8]) -> Option<Undo> {
    let (number, behind) = rest.split_first_chunk::<8>()?;
    *rest = behind;
    let path = take(rest)??.to_vec();
    let before = take(rest)?.and_then(Record::decode);
    Some(Undo { number: u64::from_le_bytes(*number), path, before })
}

fn put(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    let len = bytes.and_then(|bytes| u32::try_from(bytes.len()).ok()).unwrap_or(NONE);
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(bytes.unwrap_or_default());
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

    #[test]
    fn batches_survive_the_round_trip_and_every_truncation() {
        let record = Record::default();
        let known = fim::Attributes::decode(&record.attributes.encode()).unwrap();
        let before = Record { attributes: known, ..record };
        let mut batch = Batch::default();
        batch.put(7, b"/a", None);
        batch.put(8, b"/b", Some(&before.encode()));
        let (first, bytes) = batch.finish().unwrap();
        assert_eq!((first, last_number(&bytes)), (7, Some(8)));
        let all = decode(&bytes);
        assert_eq!(all[0], Undo { number: 7, path: b"/a".to_vec(), before: None });
        assert_eq!(all[1], Undo { number: 8, path: b"/b".to_vec(), before: Some(before) });
        for len in 0..bytes.len() {
            assert!(decode(&bytes[..len]).len() < 2);
        }
    }
}
