//! Numbers of system calls and address families, for the filter that the runtime builds.
//!
//! Only names and numbers; what is denied to whom, and why, is written in `runtime`'s `seccomp` module.

/// Calls that no daemon of the suite makes, whatever it runs.
pub const NEVER: &[i64] = &[
    // looking into, or writing to, other processes
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    // changing what the file system looks like
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_pivot_root,
    libc::SYS_open_by_handle_at,
    // changing the kernel or the machine
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    #[cfg(not(target_arch = "aarch64"))]
    libc::SYS_kexec_file_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    // wide doors of past kernel exploits, which nothing here needs
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
];

/// Calls that belong to running other programs, or that a program run by us may need.
pub const WITH_PROGRAMS_ONLY: &[i64] = &[
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_chroot,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_syslog,
    libc::SYS_personality,
    libc::SYS_vhangup,
];

/// The call that makes sockets; its first argument is the address family.
pub const SOCKET: i64 = libc::SYS_socket;

/// Address families that lead out of the machine, or out of a virtual one.
pub const NETWORK_FAMILIES: &[i32] = &[
    libc::AF_INET,
    libc::AF_INET6,
    libc::AF_PACKET,
    libc::AF_VSOCK,
    libc::AF_BLUETOOTH,
    libc::AF_CAN,
    libc::AF_TIPC,
    libc::AF_RDS,
    libc::AF_XDP,
];

/// Those of them that have ports.
pub const WITH_PORTS: &[i32] = &[libc::AF_INET, libc::AF_INET6];

/// Bit that marks a call of the x32 interface on x86-64 kernels that have it: the same calls by a second door.
#[cfg(target_arch = "x86_64")]
pub const X32: Option<i64> = Some(0x4000_0000);
/// Bit that marks a call of the x32 interface: no such thing on this machine.
#[cfg(not(target_arch = "x86_64"))]
pub const X32: Option<i64> = None;

/// x32 calls that have numbers of their own: execve, ptrace, kexec_load, process_vm_readv, process_vm_writev, execveat.
pub const X32_OWN: &[i64] = &[520, 521, 528, 539, 540, 545];
