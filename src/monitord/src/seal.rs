//! The `.sum` beside a log: its checksums, and those of the `.sum` before, which makes a chain.
//!
//! ```text
//! Current checksum:
//! MD5  (/logs/alerts/2026/Nov/ossec-alerts-21.log) = f872b436d039f53acefaebcfc13229ef
//! SHA1 (/logs/alerts/2026/Nov/ossec-alerts-21.log) = 34d3e6183a36cd4f3d6c6cbc5bb24ef551690768
//!
//! Chained checksum:
//! MD5  (/logs/alerts/2026/Nov/ossec-alerts-20.log.sum) = none
//! SHA1 (/logs/alerts/2026/Nov/ossec-alerts-20.log.sum) = none
//!
//! ```
//!
//! (observed from OSSEC 4.3); then, ours, two lines `SHA256 (...) = ...` of the same two files.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read, Write as _};
use std::path::Path;

use md5::{Digest, Md5};
use sha1::Sha1;
use sha2::Sha256;

use crate::daily::{Daily, Form, Part};
use crate::stop::{self, Stop};
use crate::whole::{self, Unfinished};

/// The digests of one file in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sums {
    /// MD5.
    pub md5: String,
    /// SHA-1.
    pub sha1: String,
    /// SHA-256.
    pub sha256: String,
}

impl Sums {
    /// Of all that a reader gives.
    ///
    /// # Errors
    /// When reading fails, or [`stop::stopped`] when told to stop.
    pub fn of(reader: &mut dyn Read, stop: &Stop) -> io::Result<Self> {
        let (mut md5, mut sha1, mut sha256) = (Md5::new(), Sha1::new(), Sha256::new());
        stop::each_chunk(reader, stop, &mut |chunk| {
            md5.update(chunk);
            sha1.update(chunk);
            sha256.update(chunk);
            Ok(())
        })?;
        Ok(Self {
            md5: hex(&md5.finalize()),
            sha1: hex(&sha1.finalize()),
            sha256: hex(&sha256.finalize()),
        })
    }
}

/// A file as it stands in a `.sum`: its name, and its digests if it is there.
#[derive(Debug)]
pub struct Named {
    /// For instance `/logs/alerts/2026/Nov/ossec-alerts-21.log`.
    pub name: String,
    /// `None`: it is not there.
    pub sums: Option<Sums>,
}

/// The text of a `.sum`.
pub fn text(current: &Named, previous: &Named) -> String {
    let mut text = String::new();
    for (title, file) in [("Current", current), ("Chained", previous)] {
        let (md5, sha1, _) = shown(file);
        let name = &file.name;
        // Writing to a String cannot fail.
        let _ =
            write!(text, "{title} checksum:\nMD5  ({name}) = {md5}\nSHA1 ({name}) = {sha1}\n\n");
    }
    for file in [current, previous] {
        let (_, _, sha256) = shown(file);
        let _ = writeln!(text, "SHA256 ({}) = {sha256}", file.name);
    }
    text
}

fn shown(file: &Named) -> (&str, &str, &str) {
    match &file.sums {
        Some(Sums { md5, sha1, sha256 }) => (md5, sha1, sha256),
        None => ("none", "none", "none"),
    }
}

/// Writes the `.sum` of a log, chained to that of `previous`.
///
/// # Errors
/// A file cannot be read or written; then there is none.
pub fn sign(root: &Path, daily: Daily, previous: Option<Daily>, stop: &Stop) -> io::Result<()> {
    let current = named(root, daily, Form::Plain, stop)?;
    if current.sums.is_none() {
        let name = &current.name;
        log::info!("File '{name}' not found. MD5 checksum skipped.");
        log::info!("File '{name}' not found. SHA1 checksum skipped.");
    }
    let yesterday = Daily { date: daily.date.yesterday(), part: Part::Last, ..daily };
    let previous = named(root, previous.unwrap_or(yesterday), Form::Sum, stop)?;
    if previous.sums.is_none() {
        let name = &previous.name;
        log::info!("No previous md5 checksum found: '{name}'. Starting over.");
        log::info!("No previous sha1 checksum found: '{name}'. Starting over.");
    }
    let path = root.join(daily.path(Form::Sum));
    if let Some(folder) = path.parent() {
        make_folder(folder)?;
    }
    let mut sum = Unfinished::begin(&path)?;
    sum.file().write_all(text(&current, &previous).as_bytes())?;
    sum.finish()
}

fn named(root: &Path, daily: Daily, form: Form, stop: &Stop) -> io::Result<Named> {
    let sums = match whole::open(&root.join(daily.path(form))) {
        Ok(mut file) => Some(Sums::of(&mut file, stop)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    Ok(Named { name: daily.shown(form), sums })
}

fn make_folder(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o750).create(folder)
}

/// Whether a log is still what its `.sum` says; `None` without one, or one that says nothing about it.
pub fn is_as_signed(root: &Path, daily: Daily, sha1: &str) -> Option<bool> {
    /// A `.sum` of ours has less than a page.
    const MOST: u64 = 1 << 16;
    let mut text = String::new();
    let sum: File = whole::open(&root.join(daily.path(Form::Sum))).ok()?;
    sum.take(MOST).read_to_string(&mut text).ok()?;
    let head = format!("SHA1 ({}) = ", daily.shown(Form::Plain));
    let signed = text.lines().find_map(|line| line.strip_prefix(&head))?;
    (signed != "none").then_some(signed == sha1)
}

/// As sha1sum(1) writes it.
pub fn hex(digest: &[u8]) -> String {
    digest.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
