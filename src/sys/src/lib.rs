//! All unsafe code: the operating system behind safe functions.
//!
//! Each module is one thing that is asked of the system. What std or rustix offer safely and for the whole
//! process is used from there; the rest is libc, one operation a block, with the argument why it is sound.
//! Linux only, on purpose: capabilities, pidfd, seccomp.

pub mod background;
pub mod datagrams;
pub mod fanotify;
pub mod host;
pub mod memory;
pub mod messages;
pub mod privilege;
pub mod process;
pub mod syscall;
pub mod users;

pub use privilege::Capability;

use std::io;

/// Turns libc's -1 into the error that `errno` holds.
fn check(status: libc::c_int) -> io::Result<()> {
    if status == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
