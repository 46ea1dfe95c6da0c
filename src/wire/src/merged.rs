//! merged.mg: many shared files in one, each as `!<size> <name>\n` and its bytes, one directly behind the other.
//!
//! ```text
//! !72 ar.conf
//! restart-ossec0 - restart-ossec.sh - 0
//! ...
//! ```

use std::fmt;
use std::io::Write as _;

use crate::shared::is_plain;

/// One file inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// A plain file name, see [`is_plain`].
    pub name: &'a str,
    /// Its bytes.
    pub content: &'a [u8],
}

/// Appends one file. Sort the files by name, so that the sum of the whole depends on nothing else.
///
/// # Errors
/// [`MergedError::Name`] for a name that no agent would take.
pub fn pack(entry: &Entry<'_>, out: &mut Vec<u8>) -> Result<(), MergedError> {
    if !is_plain(entry.name) {
        return Err(MergedError::Name);
    }
    writeln!(out, "!{} {}", entry.content.len(), entry.name).expect("a vector takes all bytes");
    out.extend_from_slice(entry.content);
    Ok(())
}

/// The files inside, in order. [`MergedError::Name`] concerns one entry, the walk goes on behind it; any other error ends it.
/// Lines before an entry that do not begin with `!` are skipped.
pub fn unpack(merged: &[u8]) -> impl Iterator<Item = Result<Entry<'_>, MergedError>> {
    let mut rest = merged;
    std::iter::from_fn(move || {
        while !rest.is_empty() && !rest.starts_with(b"!") {
            rest = memchr::memchr(b'\n', rest).map_or(b"", |end| &rest[end + 1..]);
        }
        if rest.is_empty() {
            return None;
        }
        let item = take_entry(&mut rest);
        if matches!(item, Err(MergedError::Truncated | MergedError::Header)) {
            rest = b"";
        }
        Some(item)
    })
}

fn take_entry<'a>(rest: &mut &'a [u8]) -> Result<Entry<'a>, MergedError> {
    let end = memchr::memchr(b'\n', rest).ok_or(MergedError::Truncated)?;
    let (header, behind) = (&rest[1..end], &rest[end + 1..]);
    let header = std::str::from_utf8(header).map_err(|_| MergedError::Header)?;
    let (size, name) = header.split_once(' ').ok_or(MergedError::Header)?;
    if !size.bytes().all(|b| b.is_ascii_digit()) {
        return Err(MergedError::Header);
    }
    let size: usize = size.parse().map_err(|_| MergedError::Header)?;
    let (content, behind) = behind.split_at_checked(size).ok_or(MergedError::Truncated)?;
    *rest = behind;
    if !is_plain(name) {
        return Err(MergedError::Name);
    }
    Ok(Entry { name, content })
}

/// What is wrong with a merged.mg or one of its entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MergedError {
    /// Ends within an entry.
    Truncated,
    /// A header that is not `!<size> <name>`.
    Header,
    /// A name with a folder, a leading dot or a control character.
    Name,
}

impl fmt::Display for MergedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "merged file ends within an entry",
            Self::Header => "merged file with an entry that is not '!size name'",
            Self::Name => "merged file with an entry whose name is not a plain file name",
        })
    }
}

impl std::error::Error for MergedError {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample() -> Vec<u8> {
        let mut merged = Vec::new();
        pack(&Entry { name: "ar.conf", content: b"a - b - 0\n" }, &mut merged).unwrap();
        pack(&Entry { name: "empty", content: b"" }, &mut merged).unwrap();
        pack(&Entry { name: "agent.conf", content: b"!5 x\n!" }, &mut merged).unwrap();
        merged
    }

    #[test]
    fn what_is_packed_is_unpacked() {
        let merged = sample();
        let entries: Vec<_> = unpack(&merged).map(Result::unwrap).collect();
        assert_eq!(entries.len(), 3);
        assert_eq!(entries[2], Entry { name: "agent.conf", content: b"!5 x\n!" });
    }

    #[test]
    fn every_truncation_gives_whole_files_only() {
        let merged = sample();
        let whole: Vec<_> = unpack(&merged).map(Result::unwrap).collect();
        for cut in 0..merged.len() {
            for (read, expected) in unpack(&merged[..cut]).filter_map(Result::ok).zip(&whole) {
                assert_eq!(read, *expected, "cut at {cut}");
            }
        }
    }

    #[test]
    fn a_name_that_climbs_is_refused_and_the_next_file_read() {
        let merged = b"skipped\n!1 ../x\nA!1 a/b\nB!1 .c\nC!1 d\nD";
        let entries: Vec<_> = unpack(merged).collect();
        assert_eq!(entries[..3], [Err(MergedError::Name); 3]);
        assert_eq!(entries[3], Ok(Entry { name: "d", content: b"D" }));
        assert_eq!(
            pack(&Entry { name: "../x", content: b"" }, &mut Vec::new()),
            Err(MergedError::Name)
        );
    }

    #[test]
    fn a_size_beyond_the_end_ends_the_walk() {
        for bad in [&b"!99 a\nx"[..], b"!18446744073709551615 a\nx", b"!", b"!1 a"] {
            let error = unpack(bad).next().unwrap().unwrap_err();
            assert!(matches!(error, MergedError::Truncated), "{bad:?}");
        }
        for bad in [&b"!+1 a\nx"[..], b"!-1 a\nx", b"! a\n", b"!1\nx", b"!99999999999999999999 a\n"]
        {
            assert_eq!(unpack(bad).collect::<Vec<_>>(), [Err(MergedError::Header)], "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_walked_to_an_end(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(unpack(&bytes).count() <= bytes.len());
        }
    }
}
