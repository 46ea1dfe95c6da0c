//! Hosts in maintenance: what changes there becomes the baseline, is noted in a file of its own, and nobody is told.
//!
//! The marker files are described in [`fim::maintenance`]; `logs/fim_maintenance.log` has a line for each silent change. The state of a host that is on is believed for [`BELIEVED`] seconds; that of one
//! that is off never, so that `agent_control -M enable` acts at once.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;

use fim::maintenance::{Marker, file_name, host};
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags};

/// Seconds.
const BELIEVED: i64 = 2;
/// Maintenance that goes on for longer is warned of, seconds.
const LONG: i64 = 24 * 3600;
/// So often, seconds.
const WARN_EVERY: i64 = 3600;
/// Hosts in maintenance at a time; further ones are not.
const MAX_HOSTS: usize = 65_536;
const TEMPORARY: &str = ".maintenance.new";

/// All hosts that are in maintenance as far as we looked.
#[derive(Debug, Default)]
pub(super) struct Maintenance {
    hosts: HashMap<Vec<u8>, State>,
}

#[derive(Debug)]
struct State {
    marker: Marker,
    looked_at: i64,
    warned_at: Option<i64>,
    /// Changes that the marker doesn't count yet.
    uncounted: u64,
    /// A complete scan came: over as soon as the databases are written.
    is_ending: bool,
}

impl Maintenance {
    /// Whether changes of the host behind `location` are silent now.
    pub(super) fn is_on(&mut self, folder: &OwnedFd, location: &[u8], now: i64) -> bool {
        let host = host(location);
        if let Some(state) = self.hosts.get(host) {
            let age = now.saturating_sub(state.looked_at);
            if state.is_ending || (0..BELIEVED).contains(&age) {
                return !state.is_ending;
            }
        }
        self.look(folder, host, now)
    }

    /// Counts a silent change; the marker is told by the next [`flush`](Self::flush).
    pub(super) fn count(&mut self, location: &[u8]) {
        if let Some(state) = self.hosts.get_mut(host(location)) {
            state.uncounted += 1;
        }
    }

    /// A scan of the host behind `location` is through: ends a maintenance that waits for it.
    pub(super) fn scan_completed(&mut self, folder: &OwnedFd, location: &[u8], now: i64) {
        let host = host(location);
        if self.hosts.get(host).is_some_and(|state| state.is_ending)
            || !self.look(folder, host, now)
        {
            return;
        }
        if let Some(state) = self.hosts.get_mut(host).filter(|state| state.marker.pending_end) {
            state.is_ending = true;
        }
    }

    /// Writes counts, and deletes the markers of what has ended; call it after the databases are written. What fails
    /// is said and tried again: a baseline is worth more than a count.
    pub(super) fn flush(&mut self, folder: &OwnedFd) {
        self.hosts.retain(|host, state| {
            let shown = String::from_utf8_lossy(host);
            if state.is_ending {
                return match remove(folder, host) {
                    Ok(()) => {
                        log::info!(
                            "Syscheck maintenance mode ended for '{shown}' after baseline scan."
                        );
                        false
                    }
                    Err(error) => {
                        log::error!(
                            "cannot end maintenance mode of '{shown}', its marker stays: {error}"
                        );
                        true
                    }
                };
            }
            if state.uncounted > 0 {
                match add_to_count(folder, host, state.uncounted) {
                    Ok(true) => state.uncounted = 0,
                    // A tool holds the lock: next time.
                    Ok(false) => (),
                    Err(error) => {
                        log::warn!("silent updates of '{shown}' could not be counted: {error}")
                    }
                }
            }
            true
        });
    }

    /// Reads a host's marker, and says what has changed.
    fn look(&mut self, folder: &OwnedFd, host: &[u8], now: i64) -> bool {
        let shown = String::from_utf8_lossy(host);
        let Some(marker) = read(folder, host) else {
            if self.hosts.remove(host).is_some() {
                log::info!("Syscheck maintenance mode disabled for '{shown}'.");
            }
            return false;
        };
        if !self.hosts.contains_key(host) {
            if self.hosts.len() >= MAX_HOSTS {
                return false;
            }
            log::info!("Syscheck maintenance mode enabled for '{shown}'.");
        }
        let state = self.hosts.entry(host.to_vec()).or_insert(State {
            marker,
            looked_at: now,
            warned_at: None,
            uncounted: 0,
            is_ending: false,
        });
        (state.marker, state.looked_at) = (marker, now);
        let age = now.saturating_sub(marker.enabled_at);
        if age >= LONG && state.warned_at.is_none_or(|at| now.saturating_sub(at) >= WARN_EVERY) {
            state.warned_at = Some(now);
            let hours = age / 3600;
            log::warn!(
                "Syscheck maintenance mode still enabled for '{shown}' for {hours} hours; FIM changes are silently accepted."
            );
        }
        true
    }
}

/// The marker of a host, if it has one. A symbolic link is none.
fn read(folder: &OwnedFd, host: &[u8]) -> Option<Marker> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::openat(folder, file_name(&plain(host)?), flags, Mode::empty()).ok()?;
    let file = File::from(file);
    let modified = file.metadata().ok()?.mtime();
    let mut text = Vec::new();
    // The usual one has 60 bytes.
    file.take(4096).read_to_end(&mut text).ok()?;
    Some(Marker::parse(&text, modified))
}

/// Adds to the count of a marker; `false` while somebody else rewrites markers. A marker that is gone is not made again.
fn add_to_count(folder: &OwnedFd, host: &[u8], more: u64) -> io::Result<bool> {
    // Another open file than `folder`: a lock belongs to the open file, and is let go with it.
    let lock = rustix::fs::openat(
        folder,
        ".",
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Err(rustix::io::Errno::WOULDBLOCK) => return Ok(false),
        other => other?,
    }
    let (Some(mut marker), Some(name)) = (read(folder, host), plain(host)) else { return Ok(true) };
    marker.silent_updates = marker.silent_updates.saturating_add(more);
    let flags =
        OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(folder, TEMPORARY, flags, Mode::from_raw_mode(0o640))?;
    File::from(file).write_all(marker.to_text().as_bytes())?;
    rustix::fs::renameat(folder, TEMPORARY, folder, file_name(&name))?;
    Ok(true)
}

fn remove(folder: &OwnedFd, host: &[u8]) -> io::Result<()> {
    let Some(name) = plain(host) else { return Ok(()) };
    match rustix::fs::unlinkat(folder.as_fd(), file_name(&name), AtFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// The host as a part of a file name; the same escapes as for databases.
fn plain(host: &[u8]) -> Option<Vec<u8>> {
    super::file_name(host)
}

#[cfg(test)]
mod tests;
