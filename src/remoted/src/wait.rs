//! Waiting for any of some descriptors.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};

/// One descriptor: readable, and if asked for writable.
#[derive(Debug)]
pub struct Watched<'a> {
    /// The descriptor.
    pub fd: BorrowedFd<'a>,
    /// Whether to wake when it becomes writable, too.
    pub write: bool,
}

/// Until one is ready, or `at_most`; a failed wait only means that we look earlier.
pub fn wait(watched: &[Watched<'_>], at_most: Duration) {
    let mut fds: Vec<PollFd<'_>> = watched
        .iter()
        .map(|one| {
            let flags = if one.write { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
            PollFd::from_borrowed_fd(one.fd, flags)
        })
        .collect();
    let timeout = Timespec::try_from(at_most).ok();
    let _ = rustix::event::poll(&mut fds, timeout.as_ref());
}
