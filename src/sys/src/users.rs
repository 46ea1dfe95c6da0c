//! Users and groups by name, as `/etc/passwd`, `/etc/group` and whatever nsswitch adds know them.
//!
//! Asked once at start, before any chroot: afterwards the files are out of reach.

use std::ffi::CString;
use std::io;
use std::mem::MaybeUninit;
use std::ptr;

/// The numbers behind a user's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct User {
    /// User id.
    pub uid: u32,
    /// Id of the user's primary group.
    pub gid: u32,
}

/// Looks a user up; `None` if there is no such user.
///
/// # Errors
/// The user database cannot be read.
pub fn user(name: &str) -> io::Result<Option<User>> {
    let Ok(name) = CString::new(name) else { return Ok(None) };
    with_growing_buffer(|buffer| {
        let mut entry = MaybeUninit::<libc::passwd>::uninit();
        let mut found = ptr::null_mut();
        // SAFETY: `name` is NUL-terminated; `entry`, `buffer` (with its true length) and `found` are live and
        // writable for the whole call; nothing keeps a pointer to them.
        let status = unsafe {
            libc::getpwnam_r(
                name.as_ptr(),
                entry.as_mut_ptr(),
                buffer.as_mut_ptr().cast(),
                buffer.len(),
                &mut found,
            )
        };
        if found.is_null() {
            return (status, None);
        }
        // SAFETY: a non-null `found` says that the call has filled `entry`.
        let entry = unsafe { entry.assume_init() };
        (0, Some(User { uid: entry.pw_uid, gid: entry.pw_gid }))
    })
}

/// Looks a group up and gives its id; `None` if there is no such group.
///
/// # Errors
/// The group database cannot be read.
pub fn group(name: &str) -> io::Result<Option<u32>> {
    let Ok(name) = CString::new(name) else { return Ok(None) };
    with_growing_buffer(|buffer| {
        let mut entry = MaybeUninit::<libc::group>::uninit();
        let mut found = ptr::null_mut();
        // SAFETY: as in `user`.
        let status = unsafe {
            libc::getgrnam_r(
                name.as_ptr(),
                entry.as_mut_ptr(),
                buffer.as_mut_ptr().cast(),
                buffer.len(),
                &mut found,
            )
        };
        if found.is_null() {
            return (status, None);
        }
        // SAFETY: a non-null `found` says that the call has filled `entry`.
        let entry = unsafe { entry.assume_init() };
        (0, Some(entry.gr_gid))
    })
}

/// Runs a `..._r` look-up with a buffer that grows while the answer is ERANGE (large groups), up to a bound.
fn with_growing_buffer<T>(
    mut look_up: impl FnMut(&mut [u8]) -> (libc::c_int, Option<T>),
) -> io::Result<Option<T>> {
    let mut size = 4096;
    loop {
        match look_up(&mut vec![0; size]) {
            (_, Some(found)) => return Ok(Some(found)),
            (libc::ERANGE, None) if size < MAX_ENTRY_BYTES => size *= 4,
            // POSIX leaves open how "no such entry" is told; these are the ways that systems do it.
            (0 | libc::ENOENT | libc::ESRCH | libc::EBADF | libc::EPERM, None) => return Ok(None),
            (errno, None) => return Err(io::Error::from_raw_os_error(errno)),
        }
    }
}

/// Largest entry of a user or group database that is looked at.
const MAX_ENTRY_BYTES: usize = 1 << 22;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_known_and_has_number_0() {
        assert_eq!(user("root").unwrap(), Some(User { uid: 0, gid: 0 }));
        assert_eq!(group("root").unwrap(), Some(0));
    }

    #[test]
    fn an_unknown_or_impossible_name_is_none() {
        for name in ["", "no-such-user-here", "a\0b", "x:y"] {
            assert_eq!(user(name).unwrap(), None, "{name:?}");
            assert_eq!(group(name).unwrap(), None, "{name:?}");
        }
    }
}
