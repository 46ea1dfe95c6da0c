//! A program that we run and whose output we read, without ever waiting for it.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdout, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};

/// A running program, in a process group of its own.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    output: Option<ChildStdout>,
}

/// What reading its output came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// So many bytes were read.
    Some(usize),
    /// Nothing for now.
    None,
    /// It closed its output.
    End,
}

impl Running {
    /// Starts it with nothing to read and its errors thrown away.
    ///
    /// # Errors
    /// It could not be started.
    pub(crate) fn start(command: &mut Command) -> io::Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
        let mut child = command.spawn()?;
        let output = child.stdout.take();
        let running = Self { child, output };
        if let Some(output) = &running.output {
            rustix::io::ioctl_fionbio(output, true)?;
        }
        Ok(running)
    }

    /// Its output, while it is open.
    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.output.as_ref().map(AsFd::as_fd)
    }

    /// Reads what there is.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Output {
        let Some(output) = &mut self.output else { return Output::End };
        match output.read(buffer) {
            Ok(0) => {
                self.output = None;
                Output::End
            }
            Ok(count) => Output::Some(count),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) =>
            {
                Output::None
            }
            Err(_) => {
                self.output = None;
                Output::End
            }
        }
    }

    /// Whether it has ended; without waiting.
    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Ends it and everything that it started.
    pub(crate) fn kill(&mut self) {
        self.output = None;
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // It may have ended by itself just now.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.has_ended() {
            self.kill();
            let _ = self.child.wait();
        }
    }
}
