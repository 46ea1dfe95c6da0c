//! `<syscheck>`: which files are watched, for what, and when.

use std::path::PathBuf;
use std::time::Duration;

use xml::{Attribute, Element};

use crate::glob;
use crate::report::{Report, shown};
use crate::section::syscheck_extra::{ExtraChecks, IoClass, Rehash, io_class, rehash};
use crate::section::time_of_day::{TimeOfDay, Weekdays};

const NAMES: &[&str] = &[
    "directories",
    "ignore",
    "nodiff",
    "frequency",
    "scan_time",
    "scan_day",
    "scan_on_start",
    "disabled",
    "skip_nfs",
    "prefilter_cmd",
    "auto_ignore",
    "alert_new_files",
    "rehash",
    "max_cpu",
    "max_mbps",
    "io_class",
    "windows_registry",
    "registry_ignore",
];
const WITH_ATTRIBUTES: &[&str] =
    &["directories", "ignore", "nodiff", "windows_registry", "registry_ignore"];
/// Megabytes a second; no disk reads faster.
const MAX_MBPS: u64 = 1_000_000;
/// Ten years, in seconds.
pub(super) const MAX_FREQUENCY: u64 = 315_360_000;

/// File integrity checking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Syscheck {
    /// Switched off.
    pub disabled: bool,
    /// Time between two scans.
    pub frequency: Duration,
    /// Time of day at which a scan begins.
    pub scan_time: Option<TimeOfDay>,
    /// Days on which a scan begins.
    pub scan_day: Option<Weekdays>,
    /// Whether the first scan follows the start.
    pub scan_on_start: bool,
    /// Whether a file that changed too often is no longer reported.
    pub auto_ignore: bool,
    /// Whether a new file is an alert.
    pub alert_new_files: bool,
    /// Whether network file systems are left out.
    pub skip_nfs: bool,
    /// What is watched, in order; globs are expanded, no path comes twice.
    pub directories: Vec<Directory>,
    /// What is left out.
    pub ignore: Vec<Ignore>,
    /// Whose changes are reported without their text.
    pub nodiff: Vec<Ignore>,
    /// Program whose output is hashed instead of the file; its first word is an existing file.
    pub prefilter_cmd: Option<String>,
    /// When a file is read again although it looks unchanged.
    pub rehash: Rehash,
    /// Percent of one core that a scheduled scan may take; 0 leaves it to the internal options `syscheck.sleep` and `sleep_after`.
    pub max_cpu: u8,
    /// Megabytes (10^6) a second that a scheduled scan may read; 0 is no limit.
    pub max_mbps: u32,
    /// How the scanning thread stands in line for the disk.
    pub io_class: IoClass,
}

/// One watched path: a folder with all below it, or a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    /// Folder or file.
    pub path: PathBuf,
    /// What is looked at.
    pub options: CheckOptions,
    /// Pattern (OS_Match) on the full path; other files are left out.
    pub restrict: Option<Vec<u8>>,
}

/// What is looked at below one path.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CheckOptions {
    /// Length.
    pub size: bool,
    /// Mode bits.
    pub perm: bool,
    /// Owner.
    pub owner: bool,
    /// Group.
    pub group: bool,
    /// MD5 digest.
    pub md5: bool,
    /// SHA-1 digest.
    pub sha1: bool,
    /// SHA-256 digest; on unless switched off.
    pub sha256: bool,
    /// Changes are noticed at once.
    pub realtime: bool,
    /// Changes of text files are reported with their text.
    pub report_changes: bool,
    /// Folders below are left out.
    pub no_recurse: bool,
    /// What OSSEC does not know; off unless asked for.
    pub extra: ExtraChecks,
    /// Growth at the end is normal, as with logs: only what was there before counts.
    pub growing: bool,
}

/// Which paths are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ignore {
    /// Paths that begin so, in any case (ASCII).
    Prefix(Vec<u8>),
    /// Paths that match this pattern (OS_Match).
    Pattern(Vec<u8>),
}

impl Default for Syscheck {
    fn default() -> Self {
        Self {
            disabled: false,
            frequency: Duration::from_secs(600),
            scan_time: None,
            scan_day: None,
            scan_on_start: true,
            auto_ignore: true,
            alert_new_files: false,
            skip_nfs: false,
            directories: Vec::new(),
            ignore: Vec::new(),
            nodiff: Vec::new(),
            prefilter_cmd: None,
            rehash: Rehash::default(),
            max_cpu: 5,
            max_mbps: 0,
            io_class: IoClass::default(),
        }
    }
}

impl Syscheck {
    pub(crate) fn read(&mut self, section: &Element, report: &mut Report) {
        for child in report.leaves(section, NAMES, WITH_ATTRIBUTES) {
            match child.name.as_str() {
                "directories" => self.read_directories(child, report),
                "ignore" => self.ignore.extend(ignore(child, report)),
                "nodiff" => self.nodiff.extend(ignore(child, report)),
                "frequency" => {
                    let mut seconds = self.frequency.as_secs();
                    report.number(child, 1..=MAX_FREQUENCY, &mut seconds);
                    self.frequency = Duration::from_secs(seconds);
                }
                "scan_time" => self.scan_time = scan_time(child, report),
                "scan_day" => self.scan_day = scan_day(child, report),
                "scan_on_start" => report.yes_no(child, &mut self.scan_on_start),
                "disabled" => report.yes_no(child, &mut self.disabled),
                "skip_nfs" => report.yes_no(child, &mut self.skip_nfs),
                "prefilter_cmd" => self.prefilter_cmd = prefilter(child, report),
                "auto_ignore" => report.yes_no(child, &mut self.auto_ignore),
                "alert_new_files" => report.yes_no(child, &mut self.alert_new_files),
                "rehash" => self.rehash = rehash(child, report).unwrap_or(self.rehash),
                "max_cpu" => report.number(child, 0..=100, &mut self.max_cpu),
                "max_mbps" => report.number(child, 0..=MAX_MBPS, &mut self.max_mbps),
                "io_class" => self.io_class = io_class(child, report).unwrap_or(self.io_class),
                // The registry is Windows' alone.
                _ => {}
            }
        }
    }

    fn read_directories(&mut self, element: &Element, report: &mut Report) {
        let Some(list) = report.filled(element) else { return };
        if element.attributes.is_empty() {
            let text =
                format!("No option provided for directories: '{}', ignoring it.", shown(&list));
            return report.error(1701, element, text, "expected e.g. check_all=\"yes\"");
        }
        let errors = report.error_count();
        let mut options = CheckOptions { sha256: true, ..CheckOptions::default() };
        let mut restrict = None;
        for attribute in &element.attributes {
            if attribute.name == "restrict" {
                report.os_match(element, &attribute.value);
                restrict = Some(attribute.value.clone());
            } else {
                options.read(attribute, element, report);
            }
        }
        if report.error_count() > errors {
            return;
        }
        for path in list.split(',').filter_map(directory_path) {
            for path in expanded(path, element, report) {
                if self.directories.iter().any(|known| known.path == path) {
                    let path = shown(&path.to_string_lossy());
                    let text = format!("Duplicated directory given: '{path}'.");
                    report.warning(1756, element, text, "expected each path once");
                } else {
                    self.directories.push(Directory { path, options, restrict: restrict.clone() });
                }
            }
        }
    }
}

const ATTRIBUTES: &[&str] = &[
    "check_all",
    "check_sum",
    "check_md5sum",
    "check_sha1sum",
    "check_sha256sum",
    "check_size",
    "check_owner",
    "check_group",
    "check_perm",
    "realtime",
    "report_changes",
    "no_recurse",
    "restrict",
    "growing",
    "check_extended",
    "check_inode",
    "check_links",
    "check_device",
    "check_mtime",
    "check_ctime",
    "check_flags",
    "check_acl",
    "check_xattr",
    "check_caps",
    "check_selinux",
    "check_blake3",
];

impl CheckOptions {
    /// One yes/no attribute; later ones override earlier ones.
    fn read(&mut self, attribute: &Attribute, element: &Element, report: &mut Report) {
        let extra = ExtraChecks::named(&attribute.name);
        let slots: Vec<&mut bool> = match attribute.name.as_str() {
            "check_all" => vec![
                &mut self.size,
                &mut self.perm,
                &mut self.owner,
                &mut self.group,
                &mut self.md5,
                &mut self.sha1,
                &mut self.sha256,
            ],
            "check_sum" => vec![&mut self.md5, &mut self.sha1, &mut self.sha256],
            "check_md5sum" => vec![&mut self.md5],
            "check_sha1sum" => vec![&mut self.sha1],
            "check_sha256sum" => vec![&mut self.sha256],
            "check_size" => vec![&mut self.size],
            "check_owner" => vec![&mut self.owner],
            "check_group" => vec![&mut self.group],
            "check_perm" => vec![&mut self.perm],
            "realtime" => vec![&mut self.realtime],
            "report_changes" => vec![&mut self.report_changes],
            "no_recurse" => vec![&mut self.no_recurse],
            "growing" => vec![&mut self.growing],
            _ if extra.is_some() => vec![],
            _ => return bad_attribute(attribute, element, ATTRIBUTES, report),
        };
        let value = match attribute.value.as_slice() {
            b"yes" => true,
            b"no" => false,
            _ => {
                let (value, name) = (shown(&attribute.text()), &attribute.name);
                let text = format!("Invalid option '{value}' for attribute '{name}'");
                return report.error(1704, element, text, "expected 'yes' or 'no'");
            }
        };
        for slot in slots {
            *slot = value;
        }
        if let Some(extra) = extra {
            self.extra.set(extra, value);
        }
    }
}

fn bad_attribute(attribute: &Attribute, element: &Element, known: &[&str], report: &mut Report) {
    let name = shown(&attribute.name);
    let text = format!("Invalid attribute '{name}' for directory option.");
    report.error(1703, element, text, crate::report::expected_names(&name, known));
}

/// Leading spaces go; a space at the end, or followed by another one, ends the path.
fn directory_path(part: &str) -> Option<&str> {
    let part = part.trim_start();
    let end = part.find("  ").unwrap_or(part.len());
    let path = part.get(..end).unwrap_or(part).trim_end();
    (!path.is_empty()).then_some(path)
}

fn expanded(path: &str, element: &Element, report: &mut Report) -> Vec<PathBuf> {
    if !glob::is_pattern(path) {
        return vec![PathBuf::from(path)];
    }
    let found = glob::expand(path);
    if found.is_empty() {
        let text = format!("No file found by pattern: '{}'.", shown(path));
        report.warning(1122, element, text, "it is looked for at start and reload only");
    }
    found
}

fn ignore(element: &Element, report: &mut Report) -> Option<Ignore> {
    let text = element.content.clone();
    match element.attributes.as_slice() {
        [] => report.filled(element).map(|_| Ignore::Prefix(text)),
        [only] if only.name == "type" && only.value == b"sregex" => {
            report.os_match(element, &text);
            report.filled_bytes(element).then_some(Ignore::Pattern(text))
        }
        [first, ..] => {
            bad_attribute(first, element, &["type=\"sregex\""], report);
            None
        }
    }
}

fn scan_time(child: &Element, report: &mut Report) -> Option<TimeOfDay> {
    let value = child.text();
    let time = TimeOfDay::parse(&value);
    if time.is_none() {
        let value = shown(&value);
        // Twice, since OSSEC makes a range of it first.
        let text = format!("Invalid time format: '{value}-{value}'.");
        report.error(1240, child, text, "expected hh:mm, hh:mm am or hh:mm pm");
        report.invalid(child, "hh:mm, hh:mm am or hh:mm pm");
    }
    time
}

fn scan_day(child: &Element, report: &mut Report) -> Option<Weekdays> {
    let value = child.text();
    let days = Weekdays::parse(&value);
    if days.is_none() {
        let text = format!("Invalid day format: '{}'.", shown(&value));
        report.error(1241, child, text, "expected names of days, weekdays or weekends");
        report.invalid(child, "names of days, weekdays or weekends");
    }
    days
}

fn prefilter(child: &Element, report: &mut Report) -> Option<String> {
    let command = report.filled(child)?;
    let exists = command.split_whitespace().next().is_some_and(|p| PathBuf::from(p).exists());
    if !exists {
        report.invalid(child, "a command whose first word is an existing file");
    }
    exists.then_some(command)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::option_table::OPTIONS;

    #[test]
    fn each_option_stands_in_the_table_of_the_manual() {
        let manual = include_str!("../../../../docs/file-integrity.md");
        let sections = NAMES.iter().map(|name| format!("`<{name}>`"));
        let attributes = ATTRIBUTES.iter().map(|name| format!("`@{name}`"));
        let internal =
            OPTIONS.iter().map(|option| option.key).filter(|key| key.starts_with("syscheck."));
        for option in sections.chain(attributes).chain(internal.map(|key| format!("`{key}`"))) {
            let is_row = |line: &str| line.starts_with("| ") && line.contains(&option);
            assert!(manual.lines().any(is_row), "{option} is not in docs/file-integrity.md");
        }
    }
}
