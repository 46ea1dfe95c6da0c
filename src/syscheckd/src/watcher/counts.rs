//! The accounts of syscheckd.

/// What happened so far. `received = filtered + forwarded + pending`.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Files that were read, files gone, and own messages.
    pub received: u64,
    /// Nothing new about them.
    pub filtered: u64,
    /// Reached their end at the manager.
    pub forwarded: u64,
    /// On their way there.
    pub pending: u64,
    /// Changes that wait until a package manager is done; counted as received when they are told.
    pub held: u64,
    /// Whole scans.
    pub scans: u64,
    /// Files whose content could not be read.
    pub unreadable: u64,
    /// Times that the kernel lost realtime events.
    pub overflows: u64,
    /// Files that are known.
    pub files: u64,
    /// Folders that are watched in realtime.
    pub watched: u64,
    /// Folders that could not be watched.
    pub unwatched: u64,
    /// Files that a package vouched for.
    pub vouched: u64,
    /// Files looked at.
    pub looked_at: u64,
    /// Of these, files that were as remembered, and not read.
    pub unchanged: u64,
    /// Bytes read.
    pub bytes_read: u64,
    /// Whether a scan goes on (1), or scans are paused (2), be there one or not.
    pub scanning: u64,
    /// Of the last whole scan: its length in milliseconds.
    pub scan_ms: u64,
    /// Of the last whole scan: files a second.
    pub scan_files_per_s: u64,
    /// Of the last whole scan: kilobytes a second that were read.
    pub scan_kb_per_s: u64,
    /// Of the last whole scan: its share of one core, in thousandths.
    pub scan_cpu_permille: u64,
    /// Where names of users and processes come from: 2 fanotify, 1 audit, 0 nowhere.
    pub who: u64,
}

impl Counts {
    /// For [`runtime::Daemon::write_state`].
    pub fn lines(&self) -> [(&'static str, u64); 21] {
        [
            ("received", self.received),
            ("filtered", self.filtered),
            ("forwarded", self.forwarded),
            ("pending", self.pending),
            ("held", self.held),
            ("scans", self.scans),
            ("unreadable", self.unreadable),
            ("overflows", self.overflows),
            ("files", self.files),
            ("watched", self.watched),
            ("unwatched", self.unwatched),
            ("vouched", self.vouched),
            ("looked_at", self.looked_at),
            ("unchanged", self.unchanged),
            ("bytes_read", self.bytes_read),
            ("scanning", self.scanning),
            ("scan_ms", self.scan_ms),
            ("scan_files_per_s", self.scan_files_per_s),
            ("scan_kb_per_s", self.scan_kb_per_s),
            ("scan_cpu_permille", self.scan_cpu_permille),
            ("who", self.who),
        ]
    }
}
