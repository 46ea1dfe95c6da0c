//! Processes: their signals, their end, their limits.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::Mode;
use rustix::process::{Pid, PidfdFlags, Resource, Signal};

use crate::check;

/// Sends `signal` (15: please end, 9: end) to one process.
///
/// # Errors
/// No such process, not allowed, or a number that is no process or signal.
pub fn kill(pid: u32, signal: i32) -> io::Result<()> {
    Ok(rustix::process::kill_process(one(pid)?, named(signal)?)?)
}

/// How this thread stands in line for disks (ioprio_set(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskTurn {
    /// As the scheduler has it.
    Normal,
    /// The last of the ordinary class.
    Low,
    /// The idle class: only when nobody else wants the disk.
    Idle,
}

/// Has this thread's reading and writing wait for its turn so.
///
/// # Errors
/// Not permitted here.
pub fn set_disk_turn(turn: DiskTurn) -> io::Result<()> {
    const WHO_PROCESS: libc::c_long = 1;
    const THIS_THREAD: libc::c_long = 0;
    const CLASS: u32 = 13;
    let priority: libc::c_long = match turn {
        DiskTurn::Normal => 0,
        DiskTurn::Low => (2 << CLASS) | 7,
        DiskTurn::Idle => 3 << CLASS,
    };
    // SAFETY: takes plain integers and gives one back.
    let status = unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, THIS_THREAD, priority) };
    if status == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Whether the kernel knows a session of this process or thread. Asked past the C library, and without taking the answer for a process id:
/// a session of another namespace is 0.
pub fn has_session(pid: u32) -> bool {
    let Ok(pid) = libc::pid_t::try_from(pid) else { return false };
    // SAFETY: takes a plain integer and gives one back.
    let session = unsafe { libc::syscall(libc::SYS_getsid, pid) };
    session != -1 || io::Error::last_os_error().raw_os_error() != Some(libc::ESRCH)
}

/// Whether a process with this number exists now. It may be another one than was meant: prefer [`Handle`] or a lock.
pub fn exists(pid: u32) -> bool {
    one(pid).is_ok_and(|pid| {
        !matches!(rustix::process::test_kill_process(pid), Err(rustix::io::Errno::SRCH))
    })
}

/// A running process, held by a pidfd: a number that is used again never fools it.
#[derive(Debug)]
pub struct Handle(OwnedFd);

impl Handle {
    /// Takes hold of the process that has this number now.
    ///
    /// # Errors
    /// No such process, or a kernel before 5.3.
    pub fn open(pid: u32) -> io::Result<Self> {
        Ok(Self(rustix::process::pidfd_open(one(pid)?, PidfdFlags::empty())?))
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// It has ended, or we may not.
    pub fn signal(&self, signal: i32) -> io::Result<()> {
        Ok(rustix::process::pidfd_send_signal(&self.0, named(signal)?)?)
    }

    /// Waits until it has ended, `timeout` at most; says whether it has.
    ///
    /// # Errors
    /// poll(2) failed.
    pub fn ended_within(&self, timeout: Duration) -> io::Result<bool> {
        let timeout = Timespec::try_from(timeout).ok();
        let mut fds = [PollFd::new(&self.0, PollFlags::IN)];
        match rustix::event::poll(&mut fds, timeout.as_ref()) {
            Ok(ready) => Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for Handle {
    /// Readable once the process has ended.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Sets the file mode creation mask of the process.
pub fn umask(mask: u32) {
    rustix::process::umask(Mode::from_raw_mode(mask));
}

/// Raises the limit of open files to `wanted` as far as allowed, never lowers it; gives the limit that now holds.
pub fn raise_open_files(wanted: u64) -> u64 {
    let mut limit = rustix::process::getrlimit(Resource::Nofile);
    let now = limit.current.unwrap_or(u64::MAX);
    if now >= wanted {
        return now;
    }
    let hard = limit.maximum.unwrap_or(u64::MAX);
    // Only root may raise the hard limit; without it the soft limit goes as far as the hard one.
    for (soft, hard) in [(wanted, hard.max(wanted)), (wanted.min(hard), hard)] {
        limit.current = Some(soft);
        limit.maximum = (hard != u64::MAX).then_some(hard);
        if rustix::process::setrlimit(Resource::Nofile, limit).is_ok() {
            return soft;
        }
    }
    now
}

/// Lets the calling thread run as batch work: long slices, after whatever is interactive.
///
/// # Errors
/// The kernel refuses.
pub fn run_as_batch() -> io::Result<()> {
    // SAFETY: all bytes zero is a valid sched_param, a struct of integers.
    let parameters: libc::sched_param = unsafe { std::mem::zeroed() };
    // SAFETY: reads `parameters`, which is live, and keeps no pointer.
    check(unsafe { libc::sched_setscheduler(0, libc::SCHED_BATCH, &parameters) })
}

/// How many threads this process has now.
///
/// # Errors
/// `/proc` is not mounted.
pub fn threads() -> io::Result<usize> {
    Ok(fs::read_dir("/proc/self/task")?.count())
}

/// A number that names one process; 0 and what does not fit would name groups.
fn one(pid: u32) -> io::Result<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidInput, format!("{pid} is no process id"))
    })
}

fn named(signal: i32) -> io::Result<Signal> {
    Signal::from_named_raw(signal).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidInput, format!("{signal} is no signal"))
    })
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_threads_turn_at_the_disk_is_its_own() {
        // SAFETY: takes plain integers and gives one back.
        let turn = || unsafe { libc::syscall(libc::SYS_ioprio_get, 1, 0) };
        let before = turn();
        let of_thread = std::thread::spawn(move || {
            set_disk_turn(DiskTurn::Idle).unwrap();
            turn() >> 13
        });
        assert_eq!((of_thread.join().unwrap(), turn()), (3, before));
    }

    #[test]
    fn a_handle_tells_the_end_of_its_process() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let handle = Handle::open(child.id()).unwrap();
        assert!(exists(child.id()));
        assert!(!handle.ended_within(Duration::ZERO).unwrap());
        handle.signal(libc::SIGTERM).unwrap();
        assert!(handle.ended_within(Duration::from_secs(20)).unwrap());
        child.wait().unwrap();
        assert!(handle.signal(libc::SIGTERM).is_err());
    }

    #[test]
    fn numbers_that_would_name_groups_are_refused() {
        for pid in [0, u32::MAX, 1 << 31] {
            assert!(kill(pid, 15).is_err(), "{pid}");
            assert!(!exists(pid), "{pid}");
        }
        assert!(kill(std::process::id(), 0).is_err());
    }

    #[test]
    fn the_limit_of_open_files_is_never_lowered() {
        let now = raise_open_files(0);
        assert!(now > 0);
        assert!(raise_open_files(now) >= now);
    }

    #[test]
    fn batch_scheduling_is_accepted() {
        std::thread::spawn(|| run_as_batch().unwrap()).join().unwrap();
    }
}
