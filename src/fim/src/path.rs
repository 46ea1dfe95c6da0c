//! Paths on one line: a file's name may hold any byte but NUL and `/`, a message, a database line and an alert may not.
//!
//! Control bytes become a backslash and three octal digits (`\012` is a newline), as GNU tools print them. A backslash stays as it
//! is, so that `dev-disk-by\x2duuid.swap` reads as on disk, except where three octal digits follow it: then it is `\134`.
//! So [`escape`] is reversible, and names without control bytes are sent as every earlier version sent them.
//! The escaped form is what databases and alerts hold: it cannot break a line or steer a terminal.

use std::borrow::Cow;

/// Makes a path of this host fit for a message; [`unescape`] gives it back.
pub fn escape(path: &[u8]) -> Cow<'_, [u8]> {
    rewrite(path, |rest| is_control(rest) || octal(rest).is_some())
}

/// Gives back what [`escape`] was given.
pub fn unescape(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.contains(&b'\\') {
        return Cow::Borrowed(text);
    }
    let mut path = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        rest = tail;
        match octal_at(first, tail) {
            Some(byte) => {
                path.push(byte);
                rest = tail.get(3..).unwrap_or_default();
            }
            None => path.push(*first),
        }
    }
    Cow::Owned(path)
}

/// Makes a path that came in a message fit for a line: control bytes as in [`escape`], backslashes left alone.
pub fn printable(path: &[u8]) -> Cow<'_, [u8]> {
    rewrite(path, is_control)
}

/// Copies `path`, writing in octal each byte at which `must_escape` (given the rest from there) says so.
fn rewrite(path: &[u8], must_escape: impl Fn(&[u8]) -> bool) -> Cow<'_, [u8]> {
    let rests = || (0..path.len()).map(|at| path.get(at..).unwrap_or_default());
    if !rests().any(&must_escape) {
        return Cow::Borrowed(path);
    }
    let mut text = Vec::with_capacity(path.len() + 16);
    for rest in rests() {
        let byte = rest.first().copied().unwrap_or_default();
        if must_escape(rest) {
            text.extend([b'\\', b'0' + (byte >> 6), b'0' + (byte >> 3 & 7), b'0' + (byte & 7)]);
        } else {
            text.push(byte);
        }
    }
    Cow::Owned(text)
}

fn is_control(rest: &[u8]) -> bool {
    matches!(rest, [0..=0x1f | 0x7f, ..])
}

/// The byte that an escape at the front of `rest` stands for.
fn octal(rest: &[u8]) -> Option<u8> {
    let [first, tail @ ..] = rest else { return None };
    octal_at(first, tail)
}

fn octal_at(first: &u8, tail: &[u8]) -> Option<u8> {
    match (first, tail) {
        (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..]) => {
            Some((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_names_are_left_alone() {
        let name: &[u8] = b"/etc/systemd/dev-disk-by\\x2duuid \xff.swap";
        assert_eq!(escape(name), name);
        assert_eq!(unescape(name), name);
    }

    #[test]
    fn control_bytes_become_octal() {
        assert_eq!(escape(b"/a\nb\x7f").as_ref(), b"/a\\012b\\177");
        assert_eq!(printable(b"/a\nb\\012").as_ref(), b"/a\\012b\\012");
    }

    #[test]
    fn a_backslash_before_octal_digits_is_told_apart() {
        assert_eq!(escape(b"/a\\012").as_ref(), b"/a\\134012");
    }

    #[test]
    fn every_short_name_survives_the_round_trip() {
        let alphabet = b"\\01347\n\x80";
        let mut names: Vec<Vec<u8>> = vec![Vec::new()];
        for _ in 0..5 {
            names = names
                .iter()
                .flat_map(|name| alphabet.iter().map(|&b| [name.as_slice(), &[b]].concat()))
                .collect();
            for name in &names {
                assert_eq!(unescape(&escape(name)).as_ref(), name.as_slice());
            }
        }
    }
}
