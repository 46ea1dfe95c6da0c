//! Work over large files that ends soon when the daemon is told to stop.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Told to stop, or not yet; shared between threads.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Tells all who share it.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it was told.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The error of work that was told to stop.
pub fn stopped() -> io::Error {
    io::Error::other("stopped")
}

/// Read at a time, and between two looks at `stop`.
const CHUNK: usize = 1 << 18;

/// Hands over all that a reader gives, piece by piece; returns its length.
///
/// # Errors
/// When reading or `take` fails, or [`stopped`].
pub fn each_chunk(
    reader: &mut dyn Read,
    stop: &Stop,
    take: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<u64> {
    let mut buffer = vec![0; CHUNK];
    let mut length: u64 = 0;
    loop {
        if stop.is_set() {
            return Err(stopped());
        }
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(length),
            Ok(len) => {
                take(buffer.get(..len).unwrap_or_default())?;
                length = length.saturating_add(len as u64);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
