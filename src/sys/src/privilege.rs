//! Giving privileges away, for good, and proving it.
//!
//! Called once at start, before the first thread: capabilities and "no new privileges" belong to a thread and
//! are inherited by those it starts. Root work first, then one of these, then outside bytes.

use std::io;
use std::path::Path;

use rustix::thread::{CapabilitySet, CapabilitySets};

use crate::check;

/// A single power of root that a process may keep; see capabilities(7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of capabilities(7)")]
pub enum Capability {
    AuditControl,
    AuditRead,
    AuditWrite,
    Chown,
    DacOverride,
    DacReadSearch,
    Fowner,
    Fsetid,
    IpcLock,
    Kill,
    LinuxImmutable,
    NetAdmin,
    NetBindService,
    NetRaw,
    Setgid,
    Setpcap,
    Setuid,
    SysAdmin,
    SysBoot,
    SysChroot,
    SysModule,
    SysNice,
    SysPtrace,
    SysResource,
    SysTime,
    Syslog,
}

impl Capability {
    fn set(self) -> CapabilitySet {
        match self {
            Self::AuditControl => CapabilitySet::AUDIT_CONTROL,
            Self::AuditRead => CapabilitySet::AUDIT_READ,
            Self::AuditWrite => CapabilitySet::AUDIT_WRITE,
            Self::Chown => CapabilitySet::CHOWN,
            Self::DacOverride => CapabilitySet::DAC_OVERRIDE,
            Self::DacReadSearch => CapabilitySet::DAC_READ_SEARCH,
            Self::Fowner => CapabilitySet::FOWNER,
            Self::Fsetid => CapabilitySet::FSETID,
            Self::IpcLock => CapabilitySet::IPC_LOCK,
            Self::Kill => CapabilitySet::KILL,
            Self::LinuxImmutable => CapabilitySet::LINUX_IMMUTABLE,
            Self::NetAdmin => CapabilitySet::NET_ADMIN,
            Self::NetBindService => CapabilitySet::NET_BIND_SERVICE,
            Self::NetRaw => CapabilitySet::NET_RAW,
            Self::Setgid => CapabilitySet::SETGID,
            Self::Setpcap => CapabilitySet::SETPCAP,
            Self::Setuid => CapabilitySet::SETUID,
            Self::SysAdmin => CapabilitySet::SYS_ADMIN,
            Self::SysBoot => CapabilitySet::SYS_BOOT,
            Self::SysChroot => CapabilitySet::SYS_CHROOT,
            Self::SysModule => CapabilitySet::SYS_MODULE,
            Self::SysNice => CapabilitySet::SYS_NICE,
            Self::SysPtrace => CapabilitySet::SYS_PTRACE,
            Self::SysResource => CapabilitySet::SYS_RESOURCE,
            Self::SysTime => CapabilitySet::SYS_TIME,
            Self::Syslog => CapabilitySet::SYSLOG,
        }
    }
}

/// The effective user id: 0 is root.
pub fn effective_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// The effective group id.
pub fn effective_gid() -> u32 {
    rustix::process::getegid().as_raw()
}

/// Becomes this user for good: groups, then gid, then uid, then proves that root cannot come back.
///
/// # Errors
/// Not root, `uid` is root itself, a step is refused, or the proof fails.
pub fn become_user(uid: u32, gid: u32) -> io::Result<()> {
    if uid == 0 {
        return Err(io::Error::other("user id 0 is root: that would drop nothing"));
    }
    become_group(gid)?;
    // SAFETY: takes plain integers.
    check(unsafe { libc::setresuid(uid, uid, uid) })?;
    prove_user(uid, gid)
}

/// Makes `gid` the only group, for a daemon that stays root.
///
/// # Errors
/// Not root.
pub fn become_group(gid: u32) -> io::Result<()> {
    // SAFETY: reads one gid from a live variable and keeps no pointer.
    check(unsafe { libc::setgroups(1, &gid) })?;
    // SAFETY: takes plain integers.
    check(unsafe { libc::setresgid(gid, gid, gid) })
}

fn prove_user(uid: u32, gid: u32) -> io::Result<()> {
    // SAFETY: takes a plain integer; success would mean that the drop did not hold.
    let back_to_root = unsafe { libc::setuid(0) } == 0;
    let (mut real, mut effective, mut saved) = (0, 0, 0);
    // SAFETY: writes three integers that are live, and keeps no pointer.
    check(unsafe { libc::getresuid(&mut real, &mut effective, &mut saved) })?;
    let users_hold = [real, effective, saved] == [uid; 3];
    // SAFETY: as above.
    check(unsafe { libc::getresgid(&mut real, &mut effective, &mut saved) })?;
    let groups_hold = [real, effective, saved] == [gid; 3];
    let powers_gone = capabilities()?.permitted.is_empty();
    if !back_to_root && users_hold && groups_hold && powers_gone {
        Ok(())
    } else {
        Err(io::Error::other("root could be regained after the drop"))
    }
}

/// Stays root in name, but keeps only these capabilities, also for the programs that it runs. What the process
/// does not have (in a container) it does not get.
///
/// # Errors
/// The kernel refuses, for instance without `CAP_SETPCAP`.
pub fn keep_only(keep: &[Capability]) -> io::Result<()> {
    let keep = keep.iter().fold(CapabilitySet::empty(), |all, one| all | one.set());
    shrink_bounding_set(keep)?;
    let kept = capabilities()?.permitted & keep;
    let sets =
        CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    rustix::thread::set_capabilities(None, sets)?;
    if capabilities()?.permitted == kept {
        Ok(())
    } else {
        Err(io::Error::other("capabilities are still held after they were given away"))
    }
}

/// Whether the process holds this capability now.
pub fn holds(capability: Capability) -> bool {
    capabilities().is_ok_and(|sets| sets.effective.contains(capability.set()))
}

fn shrink_bounding_set(keep: CapabilitySet) -> io::Result<()> {
    for bit in 0..u64::BITS {
        let one = CapabilitySet::from_bits_retain(1 << bit);
        // The kernel says where its capabilities end.
        let Ok(present) = rustix::thread::capability_is_in_bounding_set(one) else { break };
        if present && !keep.contains(one) {
            rustix::thread::remove_capability_from_bounding_set(one)?;
        }
    }
    Ok(())
}

fn capabilities() -> io::Result<CapabilitySets> {
    Ok(rustix::thread::capabilities(None)?)
}

/// Nothing that this process runs gains privileges any more: setuid bits and file capabilities are ignored.
///
/// # Errors
/// A kernel before 3.5.
pub fn no_new_privileges() -> io::Result<()> {
    Ok(rustix::thread::set_no_new_privs(true)?)
}

/// Makes `folder` the root of all paths, and the working folder.
///
/// # Errors
/// Not root, or no such folder.
pub fn change_root(folder: &Path) -> io::Result<()> {
    rustix::process::chdir(folder)?;
    rustix::process::chroot(".")?;
    Ok(rustix::process::chdir("/")?)
}
