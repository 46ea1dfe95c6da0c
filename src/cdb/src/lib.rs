//! Constant databases, the compiled form of lists: D. J. Bernstein's format of 1996, read and written.
//!
//! ```text
//! 256 x (position, slots)      one pair a hash table, by the low byte of a key's hash
//! key length, value length, key, value ...     the records, in the order in which they were added
//! (hash, position of the record) ...           the tables; position 0 is an empty slot
//! ```
//! All numbers are 32 bits, little-endian. The hash of a key starts at 5381 and is, for each byte, `hash * 33 ^ byte`. A table
//! has twice as many slots as records; a search begins at `(hash >> 8) % slots` and ends at an empty slot.
//!
//! ```
//! let database = cdb::write([(&b"bob"[..], &b"admin"[..])]).unwrap();
//! assert_eq!(cdb::Reader::new(&database).unwrap().get(b"bob"), Some(&b"admin"[..]));
//! ```

mod text;

use std::fmt;

pub use text::{entries, to_text};

const TABLES: usize = 256;
const HEAD: usize = TABLES * 8;

/// Why bytes are no constant database, or cannot become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CdbError {
    /// The head is not complete.
    Short {
        /// How many bytes there are.
        len: usize,
    },
    /// A table or record does not lie within the file.
    Outside {
        /// Where it should begin.
        position: usize,
    },
    /// More than 4 GiB, which the format's numbers cannot count.
    TooLarge,
}

impl fmt::Display for CdbError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short { len } => {
                write!(
                    f,
                    "{len} bytes are too few for a constant database, whose head alone has {HEAD}"
                )
            }
            Self::Outside { position } => {
                write!(
                    f,
                    "it is damaged: what should lie at byte {position} is not there; compile the list again"
                )
            }
            Self::TooLarge => f.write_str("a constant database holds 4 GiB at the most"),
        }
    }
}

impl std::error::Error for CdbError {}

/// The hash of a key.
fn hash(key: &[u8]) -> u32 {
    key.iter().fold(5381, |hash: u32, &byte| hash.wrapping_mul(33) ^ u32::from(byte))
}

/// Writes a database of these records. Of equal keys, the first is the one that is found.
///
/// # Errors
/// When it would be larger than the format can count.
pub fn write<'a>(
    records: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
) -> Result<Vec<u8>, CdbError> {
    let mut out = vec![0; HEAD];
    let mut tables: Vec<Vec<(u32, u32)>> = vec![Vec::new(); TABLES];
    for (key, value) in records {
        let (hash, position) = (hash(key), small(out.len())?);
        if let Some(table) = tables.get_mut(hash as usize % TABLES) {
            table.push((hash, position));
        }
        for number in [small(key.len())?, small(value.len())?] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(key);
        out.extend_from_slice(value);
    }
    let mut head = Vec::with_capacity(HEAD);
    for table in &tables {
        let slots = hash_table(table);
        for number in [small(out.len())?, small(slots.len())?] {
            head.extend_from_slice(&number.to_le_bytes());
        }
        for (hash, position) in slots {
            out.extend_from_slice(&hash.to_le_bytes());
            out.extend_from_slice(&position.to_le_bytes());
        }
    }
    small(out.len())?;
    out.splice(..HEAD, head);
    Ok(out)
}

fn hash_table(records: &[(u32, u32)]) -> Vec<(u32, u32)> {
    let mut slots = vec![(0, 0); records.len() * 2];
    for &(hash, position) in records {
        let start = (hash >> 8) as usize % slots.len();
        let free = (start..slots.len()).chain(0..start).find(|&at| slots.get(at) == Some(&(0, 0)));
        if let Some(slot) = free.and_then(|at| slots.get_mut(at)) {
            *slot = (hash, position);
        }
    }
    slots
}

fn small(number: usize) -> Result<u32, CdbError> {
    u32::try_from(number).map_err(|_| CdbError::TooLarge)
}

/// A database in memory. Any bytes may be in it: a damaged one finds nothing, or less.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    /// Where the records end and the first table begins.
    records_end: usize,
}

impl<'a> Reader<'a> {
    /// Takes a database whose head is sound.
    ///
    /// # Errors
    /// When the head is not complete, or names a table that is not in the file.
    pub fn new(bytes: &'a [u8]) -> Result<Self, CdbError> {
        if bytes.len() < HEAD {
            return Err(CdbError::Short { len: bytes.len() });
        }
        let mut reader = Self { bytes, records_end: bytes.len() };
        for table in 0..TABLES {
            let outside = CdbError::Outside { position: table * 8 };
            let (position, slots) = reader.pair(table * 8).ok_or(outside)?;
            let outside = CdbError::Outside { position };
            let end = slots.checked_mul(8).and_then(|size| size.checked_add(position));
            if position < HEAD || end.is_none_or(|end| end > bytes.len()) {
                return Err(outside);
            }
            reader.records_end = reader.records_end.min(position);
        }
        Ok(reader)
    }

    /// The value of a key; that of its first record when there are several.
    pub fn get(&self, key: &[u8]) -> Option<&'a [u8]> {
        let hash = hash(key);
        let (position, slots) = self.pair(hash as usize % TABLES * 8)?;
        let start = (hash >> 8) as usize % slots.max(1);
        for slot in (start..slots).chain(0..start) {
            let (known, record) = self.pair(position.checked_add(slot * 8)?)?;
            if record == 0 {
                return None;
            }
            if known == hash as usize
                && let Some((found, value, _)) = self.record(record)
                && found == key
            {
                return Some(value);
            }
        }
        None
    }

    /// All records, in the order in which they were added; a damaged record ends it with an error.
    pub fn records(self) -> impl Iterator<Item = Result<(&'a [u8], &'a [u8]), CdbError>> {
        let mut at = HEAD;
        std::iter::from_fn(move || {
            if at >= self.records_end {
                return None;
            }
            let Some((key, value, end)) = self.record(at) else {
                let position = std::mem::replace(&mut at, self.records_end);
                return Some(Err(CdbError::Outside { position }));
            };
            at = end;
            Some(Ok((key, value)))
        })
    }

    fn record(&self, at: usize) -> Option<(&'a [u8], &'a [u8], usize)> {
        let (key_len, value_len) = self.pair(at)?;
        let key_at = at.checked_add(8)?;
        let value_at = key_at.checked_add(key_len)?;
        let end = value_at.checked_add(value_len).filter(|&end| end <= self.records_end)?;
        Some((self.bytes.get(key_at..value_at)?, self.bytes.get(value_at..end)?, end))
    }

    fn pair(&self, at: usize) -> Option<(usize, usize)> {
        let [a, b, c, d, e, f, g, h] = *self.bytes.get(at..)?.first_chunk()?;
        let number = |bytes| u32::from_le_bytes(bytes) as usize;
        Some((number([a, b, c, d]), number([e, f, g, h])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database(count: u32) -> Vec<u8> {
        let pairs: Vec<(String, String)> =
            (0..count).map(|n| (format!("key{n}"), format!("value {n}"))).collect();
        write(pairs.iter().map(|(k, v)| (k.as_bytes(), v.as_bytes()))).unwrap()
    }

    #[test]
    fn what_is_written_is_found_and_nothing_else() {
        let bytes = database(3000);
        let reader = Reader::new(&bytes).unwrap();
        for n in 0..3000 {
            let value = format!("value {n}");
            assert_eq!(reader.get(format!("key{n}").as_bytes()), Some(value.as_bytes()));
        }
        assert_eq!(reader.get(b"key3000"), None);
        assert_eq!(reader.get(b""), None);
        assert_eq!(reader.records().filter(Result::is_ok).count(), 3000);
    }

    #[test]
    fn an_empty_database_and_empty_keys_and_values_work() {
        let bytes = write([]).unwrap();
        assert_eq!(bytes.len(), HEAD);
        assert_eq!(Reader::new(&bytes).unwrap().get(b"x"), None);
        let bytes = write([(&b""[..], &b""[..]), (b"k", b"")]).unwrap();
        let reader = Reader::new(&bytes).unwrap();
        assert_eq!((reader.get(b""), reader.get(b"k")), (Some(&b""[..]), Some(&b""[..])));
    }

    #[test]
    fn of_equal_keys_the_first_is_found() {
        let bytes = write([(&b"k"[..], &b"1"[..]), (b"k", b"2")]).unwrap();
        assert_eq!(Reader::new(&bytes).unwrap().get(b"k"), Some(&b"1"[..]));
    }

    #[test]
    fn the_layout_is_that_of_the_format() {
        // Worked out by hand: hash("a") = 5381 * 33 ^ 'a' = 177604, table 0xc4, slot (177604 >> 8) % 2 = 1.
        let bytes = write([(&b"a"[..], &b"b"[..])]).unwrap();
        assert_eq!(bytes[HEAD..HEAD + 10], [1, 0, 0, 0, 1, 0, 0, 0, b'a', b'b']);
        assert_eq!(hash(b"a"), 177_604);
        assert_eq!(bytes[0xc4 * 8..0xc4 * 8 + 8], [0x0a, 8, 0, 0, 2, 0, 0, 0]);
        assert_eq!(bytes[HEAD + 10..HEAD + 18], [0; 8]);
        assert_eq!(bytes[HEAD + 18..HEAD + 22], 177_604_u32.to_le_bytes());
        assert_eq!(bytes[HEAD + 22..], 2048_u32.to_le_bytes());
    }

    #[test]
    fn every_truncation_is_an_error_or_finds_less() {
        let bytes = database(20);
        for len in 0..bytes.len() {
            assert!(
                Reader::new(&bytes[..len]).is_err(),
                "{len} bytes miss a part of the last table"
            );
        }
    }

    #[test]
    fn no_damage_makes_it_panic_or_search_for_ever() {
        let good = database(50);
        let mut seed = 0x2545_f491_4f6c_dd1d_u64;
        for _ in 0..20_000 {
            let mut bytes = good.clone();
            for _ in 0..4 {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                let at = usize::try_from(seed >> 8).unwrap() % bytes.len();
                bytes[at] = seed as u8;
            }
            let Ok(reader) = Reader::new(&bytes) else { continue };
            reader.get(b"key7");
            assert!(reader.records().count() <= bytes.len() / 8);
            to_text(&bytes).ok();
        }
    }
}
