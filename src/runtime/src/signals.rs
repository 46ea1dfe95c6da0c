//! Signals as values: INT, TERM and QUIT ask for an orderly stop, HUP for a reload, CHLD tells of children.
//!
//! The handler only notes the signal and writes a byte into a socket pair, whose other end a daemon polls
//! together with its sockets. (OSSEC ignores HUP and exits with 1 on TERM: docs/differences.md.)

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::SignalOnly;

/// What a daemon is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// End in good order; the signal's number.
    Stop(i32),
    /// Read the configuration again.
    Reload,
    /// A child has ended (only after [`Signals::watch_children`]).
    Child,
}

/// The signals of this process; readable (`AsFd`) when one is pending.
#[derive(Debug)]
pub struct Signals {
    delivery: SignalDelivery<UnixStream, SignalOnly>,
    stopping: bool,
    asked: bool,
    suspended: bool,
}

impl Signals {
    pub(crate) fn install() -> io::Result<Self> {
        let (read, write) = UnixStream::pair()?;
        read.set_nonblocking(true)?;
        write.set_nonblocking(true)?;
        let signals = [SIGHUP, SIGINT, SIGTERM, SIGQUIT];
        let delivery = SignalDelivery::with_pipe(read, write, SignalOnly, signals)?;
        Ok(Self { delivery, stopping: false, asked: false, suspended: false })
    }

    /// From now on also tells of children that ended.
    ///
    /// # Errors
    /// The handler cannot be installed.
    pub fn watch_children(&mut self) -> io::Result<()> {
        self.delivery.handle().add_signal(SIGCHLD)
    }

    /// From now on also heeds SIGUSR1 (see [`take_asked`](Self::take_asked)) and SIGUSR2 (see
    /// [`is_suspended`](Self::is_suspended)), which would end the process otherwise.
    ///
    /// # Errors
    /// The handler cannot be installed.
    pub fn watch_user(&mut self) -> io::Result<()> {
        self.delivery.handle().add_signal(SIGUSR1)?;
        self.delivery.handle().add_signal(SIGUSR2)
    }

    /// What has come since the last call, without waiting; several of a kind count as one. Logs the first stop.
    pub fn take(&mut self) -> Vec<Signal> {
        let pending: Vec<i32> = self.delivery.pending().collect();
        pending.into_iter().filter_map(|number| self.understand(number)).collect()
    }

    /// Whether SIGUSR1 was among what was taken since the last call: show that you live.
    pub fn take_asked(&mut self) -> bool {
        std::mem::take(&mut self.asked)
    }

    /// Whether the process is to rest: each SIGUSR2 that was taken changes it.
    pub fn is_suspended(&self) -> bool {
        self.suspended
    }

    /// Waits until a signal is pending, `timeout` at most (`None`: as long as it takes); says whether one is.
    ///
    /// # Errors
    /// poll(2) failed.
    pub fn wait(&self, timeout: Option<Duration>) -> io::Result<bool> {
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        let mut fds = [PollFd::new(self, PollFlags::IN)];
        match rustix::event::poll(&mut fds, timeout.as_ref()) {
            Ok(ready) => Ok(ready > 0),
            // The very signal that we wait for; its byte is in the pair now.
            Err(rustix::io::Errno::INTR) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    fn understand(&mut self, number: i32) -> Option<Signal> {
        Some(match number {
            SIGHUP => Signal::Reload,
            SIGCHLD => Signal::Child,
            SIGUSR1 => {
                self.asked = true;
                return None;
            }
            SIGUSR2 => {
                self.suspended = !self.suspended;
                return None;
            }
            stop => {
                if !self.stopping {
                    self.stopping = true;
                    let name = name(stop);
                    log::info!("(1225) SIGNAL [({stop})-({name})] Received. Exit Cleaning...");
                }
                Signal::Stop(stop)
            }
        })
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.delivery.get_read().as_fd()
    }
}

/// As strsignal(3) has it.
fn name(signal: i32) -> &'static str {
    match signal {
        SIGINT => "Interrupt",
        SIGQUIT => "Quit",
        SIGTERM => "Terminated",
        _ => "Unknown signal",
    }
}
