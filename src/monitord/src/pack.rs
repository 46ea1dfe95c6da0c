//! Compresses a log so that at every moment either the original or a checked copy is there.
//!
//! Written under a temporary name, read back and compared, synced, renamed; only then the original goes, and only if
//! nobody has written to it meanwhile.

use std::fs::{self, File, FileTimes, Metadata};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;

use sha1::{Digest, Sha1};

use crate::daily::Form;
use crate::seal::hex;
use crate::stop::{self, Stop};
use crate::whole::{self, Unfinished};

/// Good for text, and several times faster than the highest.
const ZSTD_LEVEL: i32 = 6;

/// Puts `<path>.gz` or `<path>.zst` in the place of `path`; returns the SHA-1 of what was in it.
///
/// # Errors
/// As [`PackError`] says; the original is still there.
pub fn pack(path: &Path, form: Form, stop: &Stop) -> Result<String, PackError> {
    let read = |error| PackError::Read(error);
    let mut original = whole::open(path).map_err(read)?;
    let before = original.metadata().map_err(read)?;
    let mut packed = Unfinished::begin(&packed_path(path, form)).map_err(PackError::Write)?;
    let sha1 = write_packed(&mut original, packed.file(), form, stop)?;
    packed.file().rewind().map_err(PackError::Write)?;
    let copy = content(packed.file(), form, before.len(), stop).map_err(PackError::Damaged)?;
    if copy != (sha1.clone(), before.len()) {
        return Err(PackError::Damaged(io::Error::other("the copy differs")));
    }
    let times = FileTimes::new().set_modified(before.modified().map_err(read)?);
    packed.file().set_times(times).map_err(PackError::Write)?;
    if !is_unchanged(path, &before) {
        return Err(PackError::Changed);
    }
    packed.finish().map_err(PackError::Write)?;
    if !is_unchanged(path, &before) {
        // Written to in this very moment: the next pass finds both, and keeps both.
        return Err(PackError::Changed);
    }
    fs::remove_file(path).map_err(PackError::Write)?;
    Ok(sha1)
}

/// Whether the compressed form of a log holds just what the log holds.
///
/// # Errors
/// One of them cannot be read.
pub fn holds_the_same(path: &Path, form: Form, stop: &Stop) -> io::Result<bool> {
    let mut original = whole::open(path)?;
    let length = original.metadata()?.len();
    let mut packed = whole::open(&packed_path(path, form))?;
    let copy = match content(&mut packed, form, length, stop) {
        Ok(copy) => copy,
        Err(error) if stop.is_set() => return Err(error),
        // Not readable as what its name says: surely not the same.
        Err(_) => return Ok(false),
    };
    Ok(copy == content(&mut original, Form::Plain, length, stop)?)
}

fn packed_path(path: &Path, form: Form) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(form.suffix());
    PathBuf::from(name)
}

fn write_packed(
    original: &mut File,
    packed: &mut File,
    form: Form,
    stop: &Stop,
) -> Result<String, PackError> {
    let mut sha1 = Sha1::new();
    let mut copy = |writer: &mut dyn Write| {
        stop::each_chunk(original, stop, &mut |chunk| {
            sha1.update(chunk);
            writer.write_all(chunk)
        })
    };
    let written = match form {
        Form::Zstd => zstd::Encoder::new(packed, ZSTD_LEVEL).and_then(|mut encoder| {
            encoder.include_checksum(true)?;
            copy(&mut encoder)?;
            encoder.finish().map(|_| ())
        }),
        _ => {
            let mut encoder = GzEncoder::new(packed, Compression::default());
            copy(&mut encoder).and_then(|_| encoder.finish()).map(|_| ())
        }
    };
    written.map_err(PackError::Write)?;
    Ok(hex(&sha1.finalize()))
}

/// SHA-1 and length of what is in a file; read no further than one byte behind `length`.
fn content(file: &mut File, form: Form, length: u64, stop: &Stop) -> io::Result<(String, u64)> {
    let mut sha1 = Sha1::new();
    let mut reader: Box<dyn Read + '_> = match form {
        Form::Gzip => Box::new(MultiGzDecoder::new(file)),
        Form::Zstd => Box::new(zstd::Decoder::new(file)?),
        Form::Plain | Form::Sum => Box::new(file),
    };
    let capped = &mut reader.by_ref().take(length.saturating_add(1));
    let length = stop::each_chunk(capped, stop, &mut |chunk| {
        sha1.update(chunk);
        Ok(())
    })?;
    Ok((hex(&sha1.finalize()), length))
}

fn is_unchanged(path: &Path, before: &Metadata) -> bool {
    let facts = |m: &Metadata| (m.dev(), m.ino(), m.len(), m.mtime(), m.mtime_nsec());
    fs::symlink_metadata(path).is_ok_and(|now| facts(&now) == facts(before))
}

/// Why a log was not compressed.
#[derive(Debug)]
pub enum PackError {
    /// The log cannot be read.
    Read(io::Error),
    /// The copy cannot be written, or the original not removed.
    Write(io::Error),
    /// The copy, read again, is not what was written: a bad disk.
    Damaged(io::Error),
    /// The log was written to meanwhile.
    Changed,
}

impl std::fmt::Display for PackError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Read(error) => write!(f, "it cannot be read: {error}"),
            Self::Write(error) => write!(f, "the compressed copy cannot be written: {error}"),
            Self::Damaged(error) => {
                write!(f, "the compressed copy does not read back ({error}): is the disk sound?")
            }
            Self::Changed => f.write_str("it was written to meanwhile"),
        }
    }
}

impl std::error::Error for PackError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(dir: &tempfile::TempDir, content: &[u8]) -> PathBuf {
        let path = dir.path().join("ossec-alerts-21.log");
        fs::write(&path, content).unwrap();
        path
    }

    #[test]
    fn a_log_and_its_compressed_form_hold_the_same_and_the_original_goes() {
        let content: Vec<u8> = (0..700_000_u32).map(|n| (n.wrapping_mul(n) >> 7) as u8).collect();
        for (form, sample) in
            [(Form::Gzip, &content[..]), (Form::Zstd, &content), (Form::Gzip, b"")]
        {
            let dir = tempfile::tempdir().unwrap();
            let path = log(&dir, sample);
            pack(&path, form, &Stop::default()).unwrap();
            assert!(!path.exists());
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file stays");
            let mode = fs::metadata(packed_path(&path, form)).unwrap().mode();
            assert_eq!(mode & 0o777 & !0o640, 0, "{mode:o}");
            fs::write(&path, sample).unwrap();
            assert!(holds_the_same(&path, form, &Stop::default()).unwrap());
            fs::write(&path, [sample, b"x"].concat()).unwrap();
            assert!(!holds_the_same(&path, form, &Stop::default()).unwrap());
        }
    }

    #[test]
    fn every_cut_of_a_compressed_form_is_recognised() {
        for form in [Form::Gzip, Form::Zstd] {
            let dir = tempfile::tempdir().unwrap();
            let path = log(&dir, b"one line\nanother line\n");
            pack(&path, form, &Stop::default()).unwrap();
            let packed = packed_path(&path, form);
            let whole = fs::read(&packed).unwrap();
            fs::write(&path, b"one line\nanother line\n").unwrap();
            for cut in 0..whole.len() {
                fs::write(&packed, &whole[..cut]).unwrap();
                assert!(!holds_the_same(&path, form, &Stop::default()).unwrap(), "{form:?} {cut}");
            }
        }
    }

    #[test]
    fn a_taken_name_or_a_stop_leave_all_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let path = log(&dir, b"one\n");
        fs::write(packed_path(&path, Form::Gzip), b"mine").unwrap();
        let taken = pack(&path, Form::Gzip, &Stop::default());
        assert!(matches!(taken, Err(PackError::Write(_))), "{taken:?}");
        let stop = Stop::default();
        stop.set();
        assert!(pack(&path, Form::Zstd, &stop).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"one\n");
        assert_eq!(fs::read(packed_path(&path, Form::Gzip)).unwrap(), b"mine");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}
