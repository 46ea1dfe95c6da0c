//! The text form of a list, `key:value` lines, and the way back to it from a compiled one.

use crate::{CdbError, Reader};

/// The entries of a list's text, in order. From `###` to the end of a line is comment; lines without `:` are skipped;
/// a key ends at the first `:`.
pub fn entries(text: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    text.split(|&byte| byte == b'\n').filter_map(|line| {
        let cut = memchr::memchr(b'\r', line).unwrap_or(line.len());
        let line = line.get(..cut)?;
        let comment = memchr::memmem::find(line, b"###");
        let line = comment.map_or(line, |at| line.get(..at).unwrap_or(line).trim_ascii_end());
        let colon = memchr::memchr(b':', line)?;
        Some((line.get(..colon)?, line.get(colon + 1..)?))
    })
}

/// A compiled list as text; entries that no text can say (a newline, a `:` in the key, `###`) are left out.
///
/// # Errors
/// When the bytes are no constant database.
pub fn to_text(database: &[u8]) -> Result<Vec<u8>, CdbError> {
    let mut text = Vec::with_capacity(database.len() / 2);
    for record in Reader::new(database)?.records() {
        let (key, value) = record?;
        let start = text.len();
        text.extend_from_slice(key);
        text.push(b':');
        text.extend_from_slice(value);
        let says_the_same = text
            .get(start..)
            .is_some_and(|line| !line.contains(&b'\n') && entries(line).eq([(key, value)]));
        if says_the_same {
            text.push(b'\n');
        } else {
            text.truncate(start);
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_there_and_back_keeps_every_entry() {
        let text =
            b"bob:admin\r\n10.1.:net:inner ### ours\n\nno colon\n### a:b\n:empty key\neve:\n";
        let found: Vec<_> = entries(text).collect();
        let expected: [(&[u8], &[u8]); 4] =
            [(b"bob", b"admin"), (b"10.1.", b"net:inner"), (b"", b"empty key"), (b"eve", b"")];
        assert_eq!(found, expected);
        let back = to_text(&crate::write(entries(text)).unwrap()).unwrap();
        assert!(entries(&back).eq(expected));
    }

    #[test]
    fn entries_that_text_cannot_say_are_left_out() {
        let database = crate::write([
            (&b"a:b"[..], &b"c"[..]),
            (b"k", b"v\nw:x"),
            (b"k", b"v###"),
            (b"ok", b"1"),
        ])
        .unwrap();
        assert_eq!(to_text(&database).unwrap(), b"ok:1\n");
    }
}
