//! Which lines of a text changed, in the normal format of diff (POSIX), cut to what an event carries.
//!
//! ```text
//! 2c2,3
//! < echo hi
//! ---
//! > echo bye
//! > exit 3
//! ```
//! Limits as observed from the original 4.3.0: a diff of more than [`MAX_LINES`] lines or [`MAX_BYTES`] bytes ends with [`CUT`].

use std::ops::Range;
use std::time::Instant;

use similar::{Algorithm, DiffOp, capture_diff_slices_deadline};

/// Lines of a diff that are told.
pub const MAX_LINES: usize = 20;
/// Bytes of a diff that are told, without [`CUT`].
pub const MAX_BYTES: usize = 4095;
/// Stands for the rest.
pub const CUT: &[u8] = b"\n... diff was truncated ...";
/// Stands for the diff of a file whose text is nobody's business.
pub const NOT_SHOWN: &[u8] = b"<Diff truncated because nodiff option>";
/// How many bytes decide whether a file is text.
const PROBE: usize = 8192;

/// Says what changed; empty when nothing did. A comparison that takes longer than until `deadline` is finished coarsely: more lines
/// than necessary are named, never fewer.
pub fn normal(old: &[u8], new: &[u8], deadline: Option<Instant>) -> Vec<u8> {
    let (old, new) = (lines(old), lines(new));
    let mut out = Vec::new();
    for op in capture_diff_slices_deadline(Algorithm::Myers, &old, &new, deadline) {
        let (before, after) = (op.old_range(), op.new_range());
        let command = match op {
            DiffOp::Equal { .. } => continue,
            DiffOp::Delete { .. } => format!("{}d{}\n", span(&before), after.start),
            DiffOp::Insert { .. } => format!("{}a{}\n", before.start, span(&after)),
            DiffOp::Replace { .. } => format!("{}c{}\n", span(&before), span(&after)),
        };
        out.extend_from_slice(command.as_bytes());
        put(&mut out, b"< ", old.get(before.clone()).unwrap_or_default());
        if !before.is_empty() && !after.is_empty() {
            out.extend_from_slice(b"---\n");
        }
        put(&mut out, b"> ", new.get(after).unwrap_or_default());
        // Further lines would be cut off anyway.
        if out.len() > 2 * MAX_BYTES {
            break;
        }
    }
    out
}

/// Cuts a diff to what an event carries.
pub fn cut(diff: Vec<u8>) -> Vec<u8> {
    let mut newlines = diff.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    let last_line = newlines.nth(MAX_LINES - 1).map(|(at, _)| at);
    let too_many = last_line.filter(|at| at + 1 < diff.len());
    let end = too_many.unwrap_or(diff.len()).min(MAX_BYTES);
    if end == diff.len() {
        return diff;
    }
    [diff.get(..end).unwrap_or_default(), CUT].concat()
}

/// Whether a file is text: no NUL and hardly a control byte at its beginning. An empty file is.
pub fn is_text(content: &[u8]) -> bool {
    let probe = content.get(..PROBE).unwrap_or(content);
    let odd = |byte: &&u8| **byte < 0x20 && !b"\t\n\x0b\x0c\r\x08\x1b".contains(byte);
    !probe.contains(&0) && probe.iter().filter(odd).count() * 100 <= probe.len()
}

/// Lines with their newline, so that a missing one at the end is a difference.
fn lines(text: &[u8]) -> Vec<&[u8]> {
    text.split_inclusive(|&byte| byte == b'\n').collect()
}

/// `7` or `7,9`, counted from 1.
fn span(lines: &Range<usize>) -> String {
    match lines.len() {
        1 => lines.end.to_string(),
        _ => format!("{},{}", lines.start + 1, lines.end),
    }
}

fn put(out: &mut Vec<u8>, mark: &[u8], lines: &[&[u8]]) {
    for line in lines {
        out.extend_from_slice(mark);
        out.extend_from_slice(line);
        if !line.ends_with(b"\n") {
            out.extend_from_slice(b"\n\\ No newline at end of file\n");
        }
        if out.len() > 2 * MAX_BYTES {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(old: &str, new: &str) -> String {
        String::from_utf8(normal(old.as_bytes(), new.as_bytes(), None)).unwrap()
    }

    #[test]
    fn lines_are_added_deleted_and_changed() {
        assert_eq!(told("a\nb\n", "a\nb\nc\n"), "2a3\n> c\n");
        assert_eq!(told("a\nb\nc\n", "a\n"), "2,3d1\n< b\n< c\n");
        assert_eq!(told("a\nb\n", "a\nx\ny\n"), "2c2,3\n< b\n---\n> x\n> y\n");
        assert_eq!(told("", "a\n"), "0a1\n> a\n");
        assert_eq!(told("same\n", "same\n"), "");
    }

    #[test]
    fn several_changes_follow_each_other() {
        assert_eq!(told("a\nb\nc\nd\n", "x\nb\nc\ny\nd\n"), "1c1\n< a\n---\n> x\n3a4\n> y\n");
    }

    #[test]
    fn a_missing_newline_is_said() {
        let expected = "1c1\n< a\n---\n> a\n\\ No newline at end of file\n";
        assert_eq!(told("a\n", "a"), expected);
    }

    #[test]
    fn applied_to_the_old_text_it_gives_the_new_one() {
        let mut random = 0x5eed_1234_5678_9abc_u64;
        let mut text = |lines: usize| -> String {
            let mut line = || {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                ["a\n", "b\n", "c\n"][random as usize % 3]
            };
            (0..lines).map(|_| line()).collect()
        };
        for round in 0..200 {
            let (old, new) = (text(round % 9), text(round % 7));
            assert_eq!(applied(&old, &told(&old, &new)), new, "{old:?} {new:?}");
        }
    }

    /// What patch(1) would make of it.
    fn applied(old: &str, diff: &str) -> String {
        let old: Vec<&str> = old.split_inclusive('\n').collect();
        let (mut new, mut at) = (String::new(), 0);
        for line in diff.lines() {
            match line.split_once(' ') {
                Some((">", text)) => new += &format!("{text}\n"),
                Some(("<", text)) => {
                    assert_eq!(old[at], format!("{text}\n"));
                    at += 1;
                }
                _ if line != "---" => {
                    let command = line.find(['a', 'c', 'd']).unwrap();
                    let first: usize = line[..command].split(',').next().unwrap().parse().unwrap();
                    let keep = if line[command..].starts_with('a') { first } else { first - 1 };
                    new.extend(old[at..keep].iter().copied());
                    at = keep;
                }
                _ => {}
            }
        }
        new.extend(old[at..].iter().copied());
        new
    }

    #[test]
    fn a_long_diff_is_cut_at_its_twentieth_line() {
        let rows = |from: usize, mark: &str| -> String {
            (from..from + 200).map(|row| format!("{mark} {row}\n")).collect()
        };
        let diff = cut(normal(rows(0, "row").as_bytes(), rows(0, "line").as_bytes(), None));
        let text = String::from_utf8(diff).unwrap();
        assert!(text.starts_with("1,200c1,200\n< row 0\n"), "{text}");
        assert!(text.ends_with("< row 18\n... diff was truncated ..."), "{text}");
    }

    #[test]
    fn a_diff_of_twenty_lines_is_whole() {
        let diff: Vec<u8> = b"> x\n".repeat(MAX_LINES);
        assert_eq!(cut(diff.clone()), diff);
    }

    #[test]
    fn a_long_line_is_cut() {
        let cut = cut(vec![b'x'; 10_000]);
        assert_eq!(cut.len(), MAX_BYTES + CUT.len());
    }

    #[test]
    fn a_deadline_that_is_over_still_names_every_line() {
        let (old, new) = ("a\nb\nc\n", "x\nb\ny\n");
        let diff = normal(old.as_bytes(), new.as_bytes(), Some(Instant::now()));
        assert_eq!(applied(old, std::str::from_utf8(&diff).unwrap()), new);
    }

    #[test]
    fn binary_files_are_no_text() {
        assert!(is_text(b"") && is_text(b"a\tb\n") && is_text("\u{e4}\n".as_bytes()));
        assert!(!is_text(b"a\0b") && !is_text(b"\x7fELF\x02\x01\x01\x03\x04\x05"));
    }
}
