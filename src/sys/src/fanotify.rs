//! fanotify(7): what happens in watched folders, and which process did it.
//!
//! A group is opened while the process is privileged (`CAP_SYS_ADMIN`); what it may do belongs to the group, so folders are
//! added, and processes named, after privileges are gone. Only whole file systems have to be added before. Events name a folder by its file handle, which
//! [`Fanotify::watch`] returned when the folder was added, and the name in it. Linux 5.9 (`FAN_REPORT_DFID_NAME`).

use std::collections::HashSet;
use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;
use std::sync::{Mutex, PoisonError};

use crate::check;

/// Largest file handle (`MAX_HANDLE_SZ`).
const MAX_HANDLE: usize = 128;
/// Bytes of an event without its information records.
const METADATA: usize = mem::size_of::<libc::fanotify_event_metadata>();
/// Kind and length, then the file system's id, before each handle.
const INFO_HEADER: usize = 4;
const FSID: usize = 8;

/// What is asked for: all that inotify tells of a folder.
const EVENTS: u64 = libc::FAN_MODIFY
    | libc::FAN_CLOSE_WRITE
    | libc::FAN_ATTRIB
    | libc::FAN_CREATE
    | libc::FAN_DELETE
    | libc::FAN_DELETE_SELF
    | libc::FAN_MOVED_FROM
    | libc::FAN_MOVED_TO
    | libc::FAN_ONDIR
    | libc::FAN_EVENT_ON_CHILD;

/// Identifies a folder as long as it exists: its file system's id and its file handle, opaque.
pub type FolderId = Box<[u8]>;

/// A group of watches, and the queue of their events.
#[derive(Debug)]
pub struct Fanotify {
    group: OwnedFd,
    /// Devices of the file systems that are watched as a whole. The lock is held for the call that adds one.
    whole: Mutex<HashSet<u64>>,
}

/// One event, borrowed from the buffer that was read into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event<'a> {
    /// Bits of fanotify(7), see the methods.
    pub mask: u64,
    /// The process, in our pid namespace; 0 when it is not told.
    pub pid: u32,
    /// The folder; empty when events were lost.
    pub folder: &'a [u8],
    /// The name in it; empty when the event is about the folder itself.
    pub name: &'a [u8],
}

impl Fanotify {
    /// Opens a group.
    ///
    /// # Errors
    /// Without `CAP_SYS_ADMIN`, on a kernel before 5.9, or with too many groups.
    pub fn open() -> io::Result<Self> {
        let flags = libc::FAN_CLOEXEC
            | libc::FAN_NONBLOCK
            | libc::FAN_CLASS_NOTIF
            | libc::FAN_UNLIMITED_MARKS
            | libc::FAN_REPORT_DFID_NAME;
        let descriptors = (libc::O_RDONLY | libc::O_CLOEXEC).unsigned_abs();
        // SAFETY: takes plain integers.
        let fd = unsafe { libc::fanotify_init(flags, descriptors) };
        check(fd)?;
        // SAFETY: the call has just made this descriptor, and nobody else knows of it.
        let group = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { group, whole: Mutex::default() })
    }

    /// Watches a folder; watching it again is no harm.
    ///
    /// # Errors
    /// Its file system has no file handles, or there is no room for another watch.
    pub fn watch(&self, folder: BorrowedFd<'_>) -> io::Result<FolderId> {
        let id = id(folder)?;
        self.mark(folder, libc::FAN_MARK_ADD | libc::FAN_MARK_ONLYDIR)?;
        Ok(id)
    }

    /// Watches the whole file system that this folder is on; folders have still to be made known by [`id`].
    ///
    /// # Errors
    /// As for [`Self::watch`], or the file system does not take it, or it is a new one and `CAP_SYS_ADMIN` is gone.
    pub fn watch_file_system(&self, folder: BorrowedFd<'_>) -> io::Result<()> {
        let device = rustix::fs::fstat(folder)?.st_dev;
        let mut whole = self.whole.lock().unwrap_or_else(PoisonError::into_inner);
        if !whole.contains(&device) {
            self.mark(folder, libc::FAN_MARK_ADD | libc::FAN_MARK_FILESYSTEM)?;
            whole.insert(device);
        }
        Ok(())
    }

    /// Gives up all watches; those of whole file systems only with `CAP_SYS_ADMIN`.
    ///
    /// # Errors
    /// None that is known of.
    pub fn clear(&self) -> io::Result<()> {
        // Any folder will do.
        let root = rustix::fs::open("/", rustix::fs::OFlags::DIRECTORY, rustix::fs::Mode::empty())?;
        self.mark(root.as_fd(), libc::FAN_MARK_FLUSH)?;
        let mut whole = self.whole.lock().unwrap_or_else(PoisonError::into_inner);
        match self.mark(root.as_fd(), libc::FAN_MARK_FLUSH | libc::FAN_MARK_FILESYSTEM) {
            Ok(()) => whole.clear(),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn mark(&self, folder: BorrowedFd<'_>, flags: libc::c_uint) -> io::Result<()> {
        let (group, folder) = (self.group.as_raw_fd(), folder.as_raw_fd());
        // SAFETY: a null path stands for the descriptor itself (fanotify_mark(2)); both descriptors are borrowed for the call.
        check(unsafe { libc::fanotify_mark(group, flags, EVENTS, folder, ptr::null()) })
    }

    /// Reads what has come into the buffer (4096 bytes or more) and gives the part that was filled, for [`events`].
    ///
    /// # Errors
    /// `WouldBlock` when there is nothing.
    pub fn read<'a>(&self, buffer: &'a mut [u8]) -> io::Result<&'a [u8]> {
        let len = rustix::io::read(&self.group, &mut *buffer)?;
        Ok(buffer.get(..len).unwrap_or_default())
    }
}

impl AsFd for Fanotify {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.group.as_fd()
    }
}

/// The name by which events call this folder.
///
/// # Errors
/// Its file system has no file handles.
pub fn id(folder: BorrowedFd<'_>) -> io::Result<FolderId> {
    let mut id = Vec::with_capacity(FSID + 8 + 32);
    id.extend_from_slice(&file_system_id(folder)?);
    handle(folder, &mut id)?;
    Ok(id.into())
}

fn file_system_id(folder: BorrowedFd<'_>) -> io::Result<[u8; FSID]> {
    // SAFETY: all zeros is a valid value of these integers.
    let mut stat: libc::statfs = unsafe { mem::zeroed() };
    // SAFETY: the descriptor is borrowed and `stat` is live and writable for the call.
    check(unsafe { libc::fstatfs(folder.as_raw_fd(), &mut stat) })?;
    // SAFETY: the id is two integers of four bytes without padding, and every byte of it is initialised.
    Ok(unsafe { mem::transmute::<libc::fsid_t, [u8; FSID]>(stat.f_fsid) })
}

/// As the kernel lays it out: length, type, then that many bytes.
#[repr(C)]
struct Handle {
    length: u32,
    kind: i32,
    bytes: [u8; MAX_HANDLE],
}

fn handle(folder: BorrowedFd<'_>, id: &mut Vec<u8>) -> io::Result<()> {
    // Linux 6.5: also where the handle could not be opened again (overlayfs); earlier ones refuse the flag.
    let identify = libc::AT_EMPTY_PATH | AT_HANDLE_FID;
    match handle_by(folder, identify, id) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            handle_by(folder, libc::AT_EMPTY_PATH, id)
        }
        done => done,
    }
}

/// fcntl.h, Linux 6.5: the handle is only for telling files apart.
const AT_HANDLE_FID: libc::c_int = 0x200;

fn handle_by(folder: BorrowedFd<'_>, flags: libc::c_int, id: &mut Vec<u8>) -> io::Result<()> {
    let mut handle = Handle { length: MAX_HANDLE as u32, kind: 0, bytes: [0; MAX_HANDLE] };
    let mut mount: libc::c_int = 0;
    // SAFETY: the path is an empty, NUL-terminated string; `handle` says how many bytes it has room for, it and `mount` are
    // live and writable for the call.
    let status = unsafe {
        libc::syscall(
            libc::SYS_name_to_handle_at,
            folder.as_raw_fd(),
            c"".as_ptr(),
            &raw mut handle,
            &raw mut mount,
            flags,
        )
    };
    if status == -1 {
        return Err(io::Error::last_os_error());
    }
    let bytes = handle.bytes.get(..handle.length as usize).unwrap_or_default();
    id.extend_from_slice(&handle.length.to_ne_bytes());
    id.extend_from_slice(&handle.kind.to_ne_bytes());
    id.extend_from_slice(bytes);
    Ok(())
}

/// The events in what was read. Stops at what it does not understand.
pub fn events(read: &[u8]) -> impl Iterator<Item = Event<'_>> {
    let mut rest = read;
    std::iter::from_fn(move || {
        let (event, behind) = one_event(rest)?;
        rest = behind;
        Some(event)
    })
}

/// fanotify(7), `struct fanotify_event_metadata`: length, version, reserved, metadata length, mask, descriptor, pid.
fn one_event(bytes: &[u8]) -> Option<(Event<'_>, &[u8])> {
    let length = number(bytes, 0)? as usize;
    let version = *bytes.get(4)?;
    let begin = usize::from(u16::from_ne_bytes(bytes.get(6..8)?.try_into().ok()?));
    if version != libc::FANOTIFY_METADATA_VERSION || begin < METADATA || length < begin {
        return None;
    }
    let mask = u64::from_ne_bytes(bytes.get(8..16)?.try_into().ok()?);
    let pid = number(bytes, 20)?;
    let (folder, name) = place(bytes.get(begin..length)?);
    Some((Event { mask, pid, folder, name }, bytes.get(length..)?))
}

/// The first record that names a folder: kind, padding, length, then the folder's id, then the name, NUL-terminated and padded.
fn place(mut records: &[u8]) -> (&[u8], &[u8]) {
    while let Some(record) = record(records) {
        let kind = record.first().copied().unwrap_or_default();
        let named = [libc::FAN_EVENT_INFO_TYPE_DFID_NAME, libc::FAN_EVENT_INFO_TYPE_DFID];
        if named.contains(&kind) || kind == libc::FAN_EVENT_INFO_TYPE_FID {
            return in_record(record).unwrap_or_default();
        }
        records = records.get(record.len()..).unwrap_or_default();
    }
    (&[], &[])
}

fn record(bytes: &[u8]) -> Option<&[u8]> {
    let length = u16::from_ne_bytes(bytes.get(2..4)?.try_into().ok()?);
    bytes.get(..usize::from(length)).filter(|record| record.len() >= INFO_HEADER)
}

fn in_record(record: &[u8]) -> Option<(&[u8], &[u8])> {
    let handle = number(record, INFO_HEADER + FSID)? as usize;
    let end = (INFO_HEADER + FSID + 8).checked_add(handle)?;
    let folder = record.get(INFO_HEADER..end)?;
    let name = record.get(end..)?;
    let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
    Some((folder, if name == b"." { &[] } else { name }))
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

impl Event<'_> {
    fn has(&self, bits: u64) -> bool {
        self.mask & bits != 0
    }

    /// The queue was full: events were lost.
    pub fn is_overflow(&self) -> bool {
        self.has(libc::FAN_Q_OVERFLOW)
    }

    /// What the name stands for is a folder.
    pub fn is_folder(&self) -> bool {
        self.has(libc::FAN_ONDIR)
    }

    /// It was made here or moved here.
    pub fn appeared(&self) -> bool {
        self.has(libc::FAN_CREATE | libc::FAN_MOVED_TO)
    }

    /// It was deleted here or moved away.
    pub fn disappeared(&self) -> bool {
        self.has(libc::FAN_DELETE | libc::FAN_MOVED_FROM)
    }

    /// The watched folder itself was deleted.
    pub fn folder_is_gone(&self) -> bool {
        self.has(libc::FAN_DELETE_SELF)
    }

    /// It was written to by someone who may go on writing.
    pub fn is_being_written(&self) -> bool {
        self.has(libc::FAN_MODIFY)
            && !self.has(EVENTS & !(libc::FAN_MODIFY | libc::FAN_ONDIR | libc::FAN_EVENT_ON_CHILD))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};

    fn opened() -> Option<Fanotify> {
        match Fanotify::open() {
            Ok(group) => Some(group),
            Err(error) => {
                println!("skipped: fanotify is not permitted here: {error}");
                None
            }
        }
    }

    #[test]
    fn a_change_names_folder_name_and_process() {
        let Some(group) = opened() else { return };
        let folder = tempfile::tempdir().unwrap();
        let open = File::open(folder.path()).unwrap();
        let Ok(id) = group.watch(open.as_fd()) else {
            return println!("skipped: this file system has no file handles");
        };

        fs::write(folder.path().join("new"), "x").unwrap();

        let mut buffer = vec![0; 8192];
        let read = group.read(&mut buffer).unwrap();
        let seen: Vec<_> = events(read).collect();
        assert!(seen.iter().all(|event| event.folder == &*id && event.name == b"new"), "{seen:?}");
        assert!(seen.iter().all(|event| event.pid == std::process::id()));
        assert!(seen.iter().any(Event::appeared));
        assert!(!seen.iter().any(Event::is_folder));
    }

    #[test]
    fn folders_are_watched_and_given_up_after_privileges_are_gone() {
        let Some(group) = opened() else { return };
        let folder = tempfile::tempdir().unwrap();
        let open = File::open(folder.path()).unwrap();
        if group.watch_file_system(open.as_fd()).is_err() {
            return println!("skipped: this file system is not watched as a whole");
        }
        let other = File::open("/dev").unwrap();
        let unprivileged = || {
            // Of this thread alone.
            let mut sets = rustix::thread::capabilities(None).unwrap();
            sets.effective.remove(rustix::thread::CapabilitySet::SYS_ADMIN);
            rustix::thread::set_capabilities(None, sets).unwrap();
            group.clear().unwrap();
            assert!(group.watch_file_system(open.as_fd()).is_ok(), "it is watched on");
            assert!(group.watch_file_system(other.as_fd()).is_err());
            group.watch(open.as_fd()).unwrap();
        };
        std::thread::scope(|scope| scope.spawn(unprivileged).join().unwrap());
        fs::write(folder.path().join("new"), "x").unwrap();
        assert!(!group.read(&mut vec![0; 8192]).unwrap().is_empty());
    }

    #[test]
    fn every_truncation_and_mutation_of_events_is_lived_with() {
        let mut whole = Vec::new();
        for name in [&b"a\0\0\0"[..], b"longer-name\0"] {
            let record = 4 + FSID + 8 + 8 + name.len();
            whole.extend_from_slice(&((METADATA + record) as u32).to_ne_bytes());
            whole.extend_from_slice(&[3, 0]);
            whole.extend_from_slice(&(METADATA as u16).to_ne_bytes());
            whole.extend_from_slice(&libc::FAN_CREATE.to_ne_bytes());
            whole.extend_from_slice(&(-1_i32).to_ne_bytes());
            whole.extend_from_slice(&77_u32.to_ne_bytes());
            whole.extend_from_slice(&[libc::FAN_EVENT_INFO_TYPE_DFID_NAME, 0]);
            whole.extend_from_slice(&(record as u16).to_ne_bytes());
            whole.extend_from_slice(&[7; FSID]);
            whole.extend_from_slice(&8_u32.to_ne_bytes());
            whole.extend_from_slice(&1_u32.to_ne_bytes());
            whole.extend_from_slice(&[9; 8]);
            whole.extend_from_slice(name);
        }
        let names: Vec<_> = events(&whole).map(|event| (event.name.to_vec(), event.pid)).collect();
        assert_eq!(names, [(b"a".to_vec(), 77), (b"longer-name".to_vec(), 77)]);
        for len in 0..whole.len() {
            assert!(events(&whole[..len]).count() < 2);
        }
        let mut random = 0x1234_5678_9abc_def1_u64;
        for _ in 0..5000 {
            let mut bytes = whole.clone();
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let at = random as usize % bytes.len();
            bytes[at] = (random >> 32) as u8;
            assert!(events(&bytes).count() <= bytes.len());
        }
    }
}
