//! The files of a replay: plain, `.gz` or `.zst`, line by line, each line bounded.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::read::MultiGzDecoder;

/// Most files of one replay.
pub(super) const MAX_FILES: usize = 500;

/// An open file.
pub(super) struct Input {
    /// As on the command line.
    pub(super) path: PathBuf,
    /// When it was last written, in seconds since 1970.
    pub(super) written: i64,
    reader: Box<dyn BufRead + Send>,
}

/// Opens all files; `progress` counts the bytes that are read of them, compressed as they are. Gives their size, too.
pub(super) fn open(
    paths: &[PathBuf],
    progress: &Arc<AtomicU64>,
) -> Result<(Vec<Input>, u64), String> {
    if paths.len() > MAX_FILES {
        return Err(format!(
            "{} files are too many, at most {MAX_FILES} are replayed",
            paths.len()
        ));
    }
    let mut size = 0;
    let inputs = paths.iter().map(|path| {
        let (input, bytes) = Input::open(path, progress)
            .map_err(|error| format!("cannot read '{}': {error}", path.display()))?;
        size += bytes;
        Ok(input)
    });
    let inputs: Result<Vec<Input>, String> = inputs.collect();
    Ok((inputs?, size))
}

impl Input {
    fn open(path: &Path, progress: &Arc<AtomicU64>) -> io::Result<(Self, u64)> {
        let file = File::open(path)?;
        let facts = file.metadata()?;
        if facts.is_dir() {
            return Err(io::Error::other("it is a folder"));
        }
        let written = facts.modified().ok().and_then(|time| {
            let since = time.duration_since(std::time::UNIX_EPOCH).ok()?;
            i64::try_from(since.as_secs()).ok()
        });
        let counted = Counted { file, progress: Arc::clone(progress) };
        let reader: Box<dyn BufRead + Send> = match path.extension().and_then(|kind| kind.to_str())
        {
            Some("gz") => Box::new(BufReader::with_capacity(1 << 16, MultiGzDecoder::new(counted))),
            Some("zst") => {
                let mut decoder = zstd::Decoder::new(counted)?;
                // 128 MiB: what zstd itself makes without being asked for more.
                decoder.window_log_max(27)?;
                Box::new(BufReader::with_capacity(1 << 16, decoder))
            }
            _ => Box::new(BufReader::with_capacity(1 << 16, counted)),
        };
        Ok((Self { path: path.to_owned(), written: written.unwrap_or(0), reader }, facts.len()))
    }

    /// Reads the next line without its newline; false at the end.
    pub(super) fn line(&mut self, line: &mut Vec<u8>) -> io::Result<bool> {
        crate::logtest::read_line(&mut self.reader, line)
    }
}

/// Counts what is read.
struct Counted {
    file: File,
    progress: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.progress.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}
