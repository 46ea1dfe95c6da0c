//! `<rootcheck>`: what is searched for traces of an intruder, by which lists, and when.

use std::path::PathBuf;
use std::time::Duration;

use xml::Element;

use crate::report::Report;

const NAMES: &[&str] = &[
    "rootkit_files",
    "rootkit_trojans",
    "system_audit",
    "windows_audit",
    "windows_apps",
    "windows_malware",
    "frequency",
    "scanall",
    "readall",
    "disabled",
    "skip_nfs",
    "base_directory",
    "ignore",
    "suid_quarantine",
    "check_dev",
    "check_files",
    "check_if",
    "check_modules",
    "check_pids",
    "check_ports",
    "check_preload",
    "check_suid",
    "check_sys",
    "check_trojans",
    "check_unixaudit",
    "check_winapps",
    "check_winaudit",
    "check_winmalware",
];
/// Ten years, in seconds.
const MAX_FREQUENCY: u64 = 315_360_000;

/// The search for traces of an intruder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rootcheck {
    /// There is such a section; without one nothing is searched.
    pub present: bool,
    /// Switched off.
    pub disabled: bool,
    /// Time between two scans.
    pub frequency: Duration,
    /// Folder that is taken for `/` by the checks of files; empty for `/` itself.
    pub base_directory: PathBuf,
    /// List of rootkits' files; as written, relative to the install root unless absolute.
    pub rootkit_files: Option<PathBuf>,
    /// List of trojans' signatures.
    pub rootkit_trojans: Option<PathBuf>,
    /// Policies.
    pub system_audit: Vec<PathBuf>,
    /// Folders and files that the check of the system's folders leaves out; whole paths.
    pub ignore: Vec<PathBuf>,
    /// All of `/` instead of the system's folders.
    pub scanall: bool,
    /// Read every file instead of those of the system's folders.
    pub readall: bool,
    /// Whether network file systems are left out.
    pub skip_nfs: bool,
    /// Whether a new SUID or SGID file loses these bits.
    pub suid_quarantine: bool,
    /// Which checks are made.
    pub checks: Checks,
}

/// The checks, each of which can be switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checks {
    /// Files of known rootkits.
    pub files: bool,
    /// Signatures of trojans in programs.
    pub trojans: bool,
    /// Policies.
    pub audit: bool,
    /// Files in `/dev`.
    pub dev: bool,
    /// Oddities in the system's folders.
    pub sys: bool,
    /// New SUID and SGID files.
    pub suid: bool,
    /// Hidden processes.
    pub pids: bool,
    /// Hidden ports.
    pub ports: bool,
    /// Interfaces that listen to everything.
    pub interfaces: bool,
    /// Kernel modules.
    pub modules: bool,
    /// Libraries that are loaded into every program.
    pub preload: bool,
}

impl Default for Rootcheck {
    fn default() -> Self {
        Self {
            present: false,
            disabled: false,
            frequency: Duration::from_secs(72_000),
            base_directory: PathBuf::new(),
            rootkit_files: None,
            rootkit_trojans: None,
            system_audit: Vec::new(),
            ignore: Vec::new(),
            scanall: false,
            readall: false,
            skip_nfs: false,
            suid_quarantine: false,
            checks: Checks::ALL,
        }
    }
}

impl Checks {
    /// Everything.
    pub const ALL: Self = Self {
        files: true,
        trojans: true,
        audit: true,
        dev: true,
        sys: true,
        suid: true,
        pids: true,
        ports: true,
        interfaces: true,
        modules: true,
        preload: true,
    };
}

impl Rootcheck {
    pub(crate) fn read(&mut self, section: &Element, report: &mut Report) {
        self.present = true;
        for child in report.leaves(section, NAMES, &[]) {
            let path = |report: &mut Report| report.filled(child).map(PathBuf::from);
            match child.name.as_str() {
                "rootkit_files" => self.rootkit_files = path(report),
                "rootkit_trojans" => self.rootkit_trojans = path(report),
                "system_audit" => self.system_audit.extend(path(report)),
                "ignore" => self.ignore.extend(path(report)),
                "base_directory" => self.base_directory = base_directory(child, report),
                "frequency" => {
                    let mut seconds = self.frequency.as_secs();
                    report.number(child, 1..=MAX_FREQUENCY, &mut seconds);
                    self.frequency = Duration::from_secs(seconds);
                }
                // New here, so that no old configuration holds a wrong value.
                "suid_quarantine" => report.yes_no(child, &mut self.suid_quarantine),
                // Lists and checks of Windows.
                name if name.starts_with("windows_") => {}
                name => {
                    let mut nowhere = true;
                    let slot = self.switch(name).unwrap_or(&mut nowhere);
                    match child.content.as_slice() {
                        b"yes" => *slot = true,
                        b"no" => *slot = false,
                        // OSSEC lets these pass.
                        _ => report.doubtful(child, "'yes' or 'no'; the default is used"),
                    }
                }
            }
        }
    }

    fn switch(&mut self, name: &str) -> Option<&mut bool> {
        Some(match name {
            "scanall" => &mut self.scanall,
            "readall" => &mut self.readall,
            "disabled" => &mut self.disabled,
            "skip_nfs" => &mut self.skip_nfs,
            "check_dev" => &mut self.checks.dev,
            "check_files" => &mut self.checks.files,
            "check_if" => &mut self.checks.interfaces,
            "check_modules" => &mut self.checks.modules,
            "check_pids" => &mut self.checks.pids,
            "check_ports" => &mut self.checks.ports,
            "check_preload" => &mut self.checks.preload,
            "check_suid" => &mut self.checks.suid,
            "check_sys" => &mut self.checks.sys,
            "check_trojans" => &mut self.checks.trojans,
            "check_unixaudit" => &mut self.checks.audit,
            _ => return None,
        })
    }
}

/// `/` is what an empty one means.
fn base_directory(child: &Element, report: &mut Report) -> PathBuf {
    let text = report.text(child).unwrap_or_default();
    let path = text.trim().trim_end_matches('/');
    if !path.is_empty() && !path.starts_with('/') {
        report.invalid(child, "a path that begins with '/'");
    }
    PathBuf::from(path)
}
