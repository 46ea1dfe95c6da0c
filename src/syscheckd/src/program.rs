//! Running a program for what it prints: `prefilter_cmd`'s command, and `rpm`.
//!
//! It gets no input and none of our environment, runs as syscheckd itself and confined as that is, and in a group of its own, which is ended
//! with it. What it prints is read as it comes, so far and no further; the time that it lets us wait is limited in all.

use std::io::{self, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process_group};

/// How often `pause` is called while we wait.
const TICK: Duration = Duration::from_millis(50);

/// A program at work; dropping it ends it, and all that it started.
#[derive(Debug)]
pub struct Running {
    child: Child,
    output: Option<ChildStdout>,
    ended: bool,
    /// What is left.
    patience: Duration,
}

impl Running {
    /// Starts the command, for which we wait no longer than `patience` in all.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(mut command: Command, patience: Duration) -> io::Result<Self> {
        // What it says must not depend on who started us.
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
        let mut child = command.spawn()?;
        let output = child.stdout.take();
        Ok(Self { child, output, ended: false, patience })
    }

    /// What it prints; an error behind `most` bytes. `pause` is called while nothing comes, and says `false` to give up.
    pub fn output<'a>(&'a mut self, most: u64, pause: &'a mut dyn FnMut() -> bool) -> Output<'a> {
        Output { running: self, pause, most, read: 0, stopped: false }
    }

    /// Waits for its end and gives the exit code; `None` when told to give up.
    ///
    /// # Errors
    /// It takes too long, or was ended by a signal.
    pub fn end(&mut self, pause: &mut dyn FnMut() -> bool) -> io::Result<Option<i32>> {
        let handle = sys::process::Handle::open(self.child.id())?;
        while !handle.ended_within(TICK)? {
            self.waited()?;
            if !pause() {
                return Ok(None);
            }
        }
        let status = self.child.wait()?;
        self.ended = true;
        match status.signal() {
            Some(signal) => Err(io::Error::other(format!("it was ended by signal {signal}"))),
            None => Ok(status.code()),
        }
    }

    /// After a tick in which nothing happened.
    fn waited(&mut self) -> io::Result<()> {
        self.patience = self.patience.saturating_sub(TICK);
        match self.patience.is_zero() {
            true => Err(io::Error::new(io::ErrorKind::TimedOut, "it takes too long")),
            false => Ok(()),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // It may have ended by itself just now.
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

/// What it writes.
pub struct Output<'a> {
    running: &'a mut Running,
    pause: &'a mut dyn FnMut() -> bool,
    most: u64,
    read: u64,
    stopped: bool,
}

impl Output<'_> {
    /// Whether `pause` said to give up: the error that was read then is no fault of the program.
    pub fn is_stopped(&self) -> bool {
        self.stopped
    }
}

impl Read for Output<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let Some(output) = &mut self.running.output else { return Ok(0) };
            if is_readable(output)? {
                let count = output.read(buffer)?;
                self.read += count as u64;
                if self.read > self.most {
                    let most = self.most >> 20;
                    return Err(io::Error::other(format!("it gives more than {most} MiB")));
                }
                return Ok(count);
            }
            self.running.waited()?;
            if !(self.pause)() {
                self.stopped = true;
                return Err(io::Error::other("given up"));
            }
        }
    }
}

/// Whether there is something to read, or an end, within a tick.
fn is_readable(output: &ChildStdout) -> io::Result<bool> {
    let timeout = Timespec::try_from(TICK).ok();
    match poll(&mut [PollFd::new(output, PollFlags::IN)], timeout.as_ref()) {
        Ok(ready) => Ok(ready > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
