//! Alert numbers: the `n` of `<epoch>.<n>`. They rise over restarts, so that an alert's id is unique for ever.
//!
//! The file holds a number that was never given out: a block is reserved ahead, so that a kill wastes numbers but repeats none.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

const BLOCK: u64 = 10_000;
/// Digits of the file's one line: any u64.
const WIDTH: usize = 20;

/// Gives out alert numbers, from 1 in a fresh install root.
#[derive(Debug)]
pub(crate) struct Numbering {
    file: File,
    next: u64,
    reserved: u64,
}

impl Numbering {
    /// Goes on where the file says, or with 1.
    ///
    /// # Errors
    /// When the file cannot be opened, read or written.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o640)
            .open(path)?;
        let mut text = String::new();
        (&mut file).take(64).read_to_string(&mut text)?;
        let next = text.trim().parse().unwrap_or(1).max(1);
        Ok(Self { file, next, reserved: next })
    }

    /// The next number.
    ///
    /// # Errors
    /// The number, with why no block could be reserved for it: after a kill it may be given out again.
    pub(crate) fn next(&mut self) -> Result<u64, (u64, io::Error)> {
        let number = self.next;
        self.next += 1;
        if number >= self.reserved {
            self.store(number + BLOCK).map_err(|error| (number, error))?;
            self.reserved = number + BLOCK;
        }
        Ok(number)
    }

    /// Gives the unused rest of the block back, at an orderly end.
    ///
    /// # Errors
    /// When the file cannot be written: numbers are skipped, nothing worse.
    pub(crate) fn close(&mut self) -> io::Result<()> {
        self.store(self.next)?;
        self.reserved = self.next;
        Ok(())
    }

    fn store(&self, number: u64) -> io::Result<()> {
        self.file.write_all_at(format!("{number:0WIDTH$}\n").as_bytes(), 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_start_at_one_and_go_on_after_an_orderly_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("alert-number");
        let mut numbering = Numbering::open(&path).unwrap();
        assert_eq!([numbering.next().unwrap(), numbering.next().unwrap()], [1, 2]);
        numbering.close().unwrap();
        assert_eq!(Numbering::open(&path).unwrap().next().unwrap(), 3);
    }

    #[test]
    fn a_kill_repeats_no_number() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("alert-number");
        let mut numbering = Numbering::open(&path).unwrap();
        for _ in 0..BLOCK + 5 {
            numbering.next().unwrap();
        }
        drop(numbering);
        assert!(Numbering::open(&path).unwrap().next().unwrap() > BLOCK + 5);
    }
}
