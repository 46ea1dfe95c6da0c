//! Going to the background: two forks and a new session, so that no terminal reaches the daemon any more.
//!
//! The process that was started returns only when the daemon has said by a pipe that it stands (lock and pid
//! file are held) or has ended, so that `start` in a script or at a terminal knows the outcome.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;

use rustix::pipe::PipeFlags;
use rustix::process::WaitOptions;

use crate::process;

/// Which side of the fork this is.
#[derive(Debug)]
pub enum Side {
    /// The process that was started; nothing is left to do but to end.
    Launcher {
        /// The daemon stands; otherwise it has ended and has said why on stderr.
        standing: bool,
    },
    /// The daemon, still with the terminal as its stdio.
    Daemon(Launched),
}

/// The daemon's end of the pipe to its launcher; dropping it unused tells the launcher that the start failed.
#[derive(Debug)]
pub struct Launched(File);

impl Launched {
    /// Lets go of the terminal (stdio becomes `/dev/null`, the working folder `/`) and lets the launcher end.
    ///
    /// # Errors
    /// `/dev/null` cannot be opened.
    pub fn standing(mut self) -> io::Result<()> {
        let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
        rustix::process::chdir("/")?;
        rustix::stdio::dup2_stdin(&null)?;
        rustix::stdio::dup2_stdout(&null)?;
        rustix::stdio::dup2_stderr(&null)?;
        // A launcher that was killed meanwhile is no reason to give up.
        let _ = self.0.write_all(b"+");
        Ok(())
    }
}

/// Forks the daemon off; returns on both sides.
///
/// # Errors
/// More than one thread runs (only the calling one would survive the fork, with the locks of the others held
/// for ever), or pipe, fork or setsid failed.
pub fn detach() -> io::Result<Side> {
    if process::threads()? != 1 {
        return Err(io::Error::other("threads were started before going to the background"));
    }
    let (from_daemon, to_launcher) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    match fork()? {
        0 => drop(from_daemon),
        child => {
            drop(to_launcher);
            return Ok(Side::Launcher { standing: wait_for(child, from_daemon) });
        }
    }
    rustix::process::setsid()?;
    // The second fork makes sure that the daemon is no session leader and so never gets a terminal again.
    match fork()? {
        0 => Ok(Side::Daemon(Launched(File::from(to_launcher)))),
        _ => {
            // SAFETY: ends the process at once, without running anything that the launcher will run too.
            unsafe { libc::_exit(0) }
        }
    }
}

fn wait_for(child: i32, from_daemon: OwnedFd) -> bool {
    let pid = rustix::process::Pid::from_raw(child);
    let _ = rustix::process::waitpid(pid, WaitOptions::empty());
    let mut answer = [0];
    File::from(from_daemon).read_exact(&mut answer).is_ok()
}

fn fork() -> io::Result<i32> {
    // SAFETY: `detach`, the only caller, has seen that this process has one thread, so the child inherits no
    // lock that another thread holds and may go on like any process.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        pid => Ok(pid),
    }
}
