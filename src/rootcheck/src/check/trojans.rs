//! Programs that hold a trojan's strings. A program that is as its package ships it is not accused.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::grammar::trojans::{Signature, Trojans};
use crate::pace::Stopped;
use crate::packages;
use crate::scene::{Scene, read_through, shown};

/// Where a bare name is looked for.
const FOLDERS: [&[u8]; 4] = [b"bin", b"sbin", b"usr/bin", b"usr/sbin"];
/// Largest program that is searched.
const MAX_PROGRAM: u64 = 256 << 20;
/// Shortest run of printable bytes that is a string.
const MIN_STRING: usize = 4;
/// Strings are searched in blocks of about this size.
const BLOCK: usize = 256 << 10;

/// Searches each program of the list, once for all of its signatures.
pub(crate) fn run(scene: &mut Scene<'_>, list: &Trojans) -> Result<(), Stopped> {
    let mut programs: Vec<&[u8]> = Vec::new();
    for signature in &list.signatures {
        if !programs.contains(&signature.program.as_slice()) {
            programs.push(&signature.program);
        }
    }
    for program in programs {
        let signatures: Vec<&Signature> =
            list.signatures.iter().filter(|signature| signature.program == program).collect();
        for path in paths(scene, program) {
            search(scene, &path, &signatures)?;
        }
    }
    Ok(())
}

/// The files of this name; each once, where folders are links to others.
fn paths(scene: &Scene<'_>, program: &[u8]) -> Vec<PathBuf> {
    if program.starts_with(b"/") {
        return vec![PathBuf::from(OsStr::from_bytes(program))];
    }
    let mut seen = HashSet::new();
    let paths = FOLDERS.iter().map(|folder| scene.at(&[folder, b"/".as_slice(), program].concat()));
    // A link names a file that is found where it is.
    let mut is_new = |path: &Path| {
        fs::metadata(path).is_ok_and(|data| data.is_file() && seen.insert((data.dev(), data.ino())))
    };
    paths.filter(|path| is_new(path)).collect()
}

fn search(scene: &mut Scene<'_>, path: &Path, signatures: &[&Signature]) -> Result<(), Stopped> {
    let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut strings = Strings::default();
    let mut hits = vec![false; signatures.len()];
    let mut look = |block: &[u8]| {
        for (hit, signature) in hits.iter_mut().zip(signatures) {
            *hit = *hit || signature.ere.is_match(block);
        }
    };
    read_through(&mut scene.pace, &real, MAX_PROGRAM, &mut |chunk| {
        strings.take(chunk);
        if strings.lines.len() >= BLOCK {
            let whole = strings.lines.len() - strings.run;
            look(strings.lines.get(..whole).unwrap_or_default());
            strings.lines.drain(..whole);
        }
    })?;
    strings.end();
    look(&strings.lines);
    if !hits.contains(&true) || packages::vouches(scene, &real)? {
        return Ok(());
    }
    let digests = scene.digests(&real)?;
    for (_, signature) in hits.iter().zip(signatures).filter(|(hit, _)| **hit) {
        let (expression, comment) = (&signature.expression, &signature.comment);
        let (expression, comment) =
            (fim::path::printable(expression), fim::path::printable(comment));
        scene.found(&[
            b"Trojaned version of file '",
            &shown(path),
            b"' detected. Signature used: '",
            &expression,
            b"' (",
            &comment,
            b").",
            &digests,
        ])?;
    }
    Ok(())
}

/// The printable strings of a file, a line each.
#[derive(Default)]
struct Strings {
    lines: Vec<u8>,
    /// Length of the run at the end of `lines`.
    run: usize,
}

impl Strings {
    fn take(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if (b' '..=b'~').contains(&byte) || byte == b'\t' {
                self.lines.push(byte);
                self.run += 1;
                // A very long string is searched in pieces.
                if self.run >= BLOCK {
                    self.end();
                }
            } else if self.run > 0 {
                self.end();
            }
        }
    }

    fn end(&mut self) {
        if self.run < MIN_STRING {
            self.lines.truncate(self.lines.len() - self.run);
        } else {
            self.lines.push(b'\n');
        }
        self.run = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_have_four_printable_bytes_or_more_wherever_the_pieces_end() {
        let bytes = b"abc\0abcd\x01\xffxy\tz\0";
        for cut in 0..bytes.len() {
            let mut strings = Strings::default();
            strings.take(&bytes[..cut]);
            strings.take(&bytes[cut..]);
            strings.end();
            assert_eq!(strings.lines, b"abcd\nxy\tz\n", "cut at {cut}");
        }
    }
}
