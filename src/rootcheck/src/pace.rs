//! How a scan spares the machine, and how it is stopped: after some work it rests, and each rest asks whether to go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The scan was told to stop; nothing more is found or told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped;

/// Work between two rests. One unit is about a system call, 4 KiB read, or a pid looked at.
const UNITS: u32 = 1000;
/// A wait looks this often whether it is to end.
const SLICE: Duration = Duration::from_millis(50);

/// The pace of one scan.
#[derive(Debug)]
pub struct Pace {
    stop: Arc<AtomicBool>,
    rest: Duration,
    done: u32,
}

impl Pace {
    /// Rests for `rest` after each thousand units; ends when `stop` is set.
    pub fn new(stop: Arc<AtomicBool>, rest: Duration) -> Self {
        Self { stop, rest, done: 0 }
    }

    /// Counts work; rests when there was enough of it.
    ///
    /// # Errors
    /// When the scan is to end.
    pub fn step(&mut self, units: u32) -> Result<(), Stopped> {
        self.done = self.done.saturating_add(units);
        if self.done < UNITS {
            return Ok(());
        }
        self.done = 0;
        self.wait(self.rest)
    }

    /// Waits.
    ///
    /// # Errors
    /// When the scan is to end.
    pub fn wait(&self, time: Duration) -> Result<(), Stopped> {
        let mut left = time;
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return Err(Stopped);
            }
            if left.is_zero() {
                return Ok(());
            }
            let slice = left.min(SLICE);
            std::thread::sleep(slice);
            left -= slice;
        }
    }
}
