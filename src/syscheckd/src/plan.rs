//! The plan: which paths are watched, and for what. Made from `<syscheck>` once, at start and at each reload.
//!
//! Paths are bytes, absolute, without a slash at the end. Where entries lie inside each other (`/etc` and `/etc/ssh`), the
//! longest one holds, for scans and for realtime events alike. What is ignored is not looked at, and an ignored folder is
//! not entered. Pure: nothing here touches a file.

use std::os::unix::ffi::OsStrExt;

use pattern::{Match, PatternError};
use settings::{CheckOptions, Ignore, IoClass, Rehash, Syscheck};

use crate::prefilter::Prefilter;

/// Everything that is watched.
#[derive(Debug, Default)]
pub struct Plan {
    entries: Vec<Entry>,
    ignored: Paths,
    not_shown: Paths,
    rehash: Rehash,
    /// Network file systems are left out.
    pub skip_nfs: bool,
    /// Percent of a core that a scheduled scan may take; 0: it rests after so many files instead.
    pub max_cpu: u8,
    /// 10^6 bytes a second that it may read; 0: no limit.
    pub max_mbps: u32,
    /// How the worker stands in line for the disk.
    pub io_class: IoClass,
    /// Through what MD5 and SHA-1 see a file.
    pub prefilter: Option<Prefilter>,
}

/// One configured path: a folder with what is below it, or a file.
#[derive(Debug)]
pub struct Entry {
    /// Without a slash at the end.
    pub path: Vec<u8>,
    /// What is looked at.
    pub options: CheckOptions,
    /// Of the options: a file that was looked at by others is looked at anew.
    pub fingerprint: u16,
    restrict: Option<Match>,
}

/// Changed files up to this size are compared with what they were.
pub const MOST_SHOWN: u64 = 1 << 20;

/// Paths by their beginnings, whatever their case, and by patterns.
#[derive(Debug, Default)]
struct Paths {
    prefixes: Vec<Vec<u8>>,
    patterns: Vec<Match>,
}

impl Paths {
    fn new(list: &[Ignore]) -> Result<Self, PatternError> {
        let mut paths = Self::default();
        for one in list {
            match one {
                Ignore::Prefix(prefix) => paths.prefixes.push(prefix.clone()),
                Ignore::Pattern(pattern) => paths.patterns.push(Match::new(pattern)?),
            }
        }
        Ok(paths)
    }

    fn contains(&self, path: &[u8]) -> bool {
        let starts = |prefix: &Vec<u8>| {
            path.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
        };
        self.prefixes.iter().any(starts) || self.patterns.iter().any(|one| one.is_match(path))
    }
}

impl Plan {
    /// Compiles the settings.
    ///
    /// # Errors
    /// When a pattern is too long.
    pub fn new(syscheck: &Syscheck) -> Result<Self, PatternError> {
        let mut plan = Self {
            skip_nfs: syscheck.skip_nfs,
            rehash: syscheck.rehash,
            max_cpu: syscheck.max_cpu,
            max_mbps: syscheck.max_mbps,
            io_class: syscheck.io_class,
            prefilter: syscheck.prefilter_cmd.as_deref().and_then(Prefilter::new),
            ignored: Paths::new(&syscheck.ignore)?,
            not_shown: Paths::new(&syscheck.nodiff)?,
            ..Self::default()
        };
        if syscheck.disabled {
            return Ok(plan);
        }
        for directory in &syscheck.directories {
            let restrict = directory.restrict.as_deref().map(Match::new).transpose()?;
            let path = tidy(directory.path.as_os_str().as_bytes());
            let fingerprint = fingerprint(&directory.options, syscheck.prefilter_cmd.as_deref());
            plan.entries.push(Entry { path, options: directory.options, fingerprint, restrict });
        }
        Ok(plan)
    }

    /// What is configured, in order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Whether any entry wants its changes at once.
    pub fn has_realtime(&self) -> bool {
        self.entries.iter().any(|entry| entry.options.realtime)
    }

    /// The entry whose settings hold for a path: the longest one that is the path or above it, unless the path lies too deep
    /// for it or is ignored, itself or any folder on the way.
    pub fn entry_for(&self, path: &[u8]) -> Option<&Entry> {
        let above = |entry: &&Entry| entry.path == path || is_below(&entry.path, path);
        let entry = self.entries.iter().filter(above).max_by_key(|entry| entry.path.len())?;
        let relative = relative(&entry.path, path);
        if entry.options.no_recurse && relative.contains(&b'/') {
            return None;
        }
        let slashes = relative.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        let base = path.len() - relative.len();
        let mut folders = slashes.filter_map(|(at, _)| path.get(..base + at));
        let ignored = folders.any(|folder| self.ignores(folder)) || self.ignores(path);
        (!ignored).then_some(entry)
    }

    /// Whether a walk through `entry` looks at this path, whose folder it is in. Other entries' roots are left to them.
    pub fn takes(&self, entry: &Entry, path: &[u8]) -> bool {
        !self.ignores(path)
            && !self.entries.iter().any(|other| other.path == path && other.path != entry.path)
    }

    /// Up to which size a file's content is to be kept, to say later what changed in it.
    pub fn keeps(&self, entry: &Entry, path: &[u8]) -> Option<u64> {
        (entry.options.report_changes && !self.hides(path)).then_some(MOST_SHOWN)
    }

    /// Whether `<nodiff>` names it: its changes are reported without their text.
    pub fn hides(&self, path: &[u8]) -> bool {
        self.not_shown.contains(path)
    }

    /// Whether a file that was read at `read_at` is to be read again `now` (epoch seconds), even if it looks unchanged. Each path has its own
    /// moment in the period, so that they do not all come due at once.
    pub fn is_due(&self, path: &[u8], read_at: u32, now: i64) -> bool {
        let period = match self.rehash {
            Rehash::Always => return true,
            Rehash::Never => return false,
            Rehash::Every(period) => i64::try_from(period.as_secs().max(1)).unwrap_or(i64::MAX),
        };
        let digest = *blake3::hash(path).as_bytes();
        let own = digest.first_chunk::<4>().map_or(0, |first| u32::from_le_bytes(*first));
        let turn = |moment: i64| (moment - i64::from(own) % period).div_euclid(period);
        turn(now) > turn(read_at.into())
    }

    fn ignores(&self, path: &[u8]) -> bool {
        self.ignored.contains(path)
    }
}

/// Changes when any option or the filter does.
fn fingerprint(options: &CheckOptions, prefilter: Option<&str>) -> u16 {
    let all = format!("{options:?}{}", prefilter.unwrap_or_default());
    let digest = *blake3::hash(all.as_bytes()).as_bytes();
    digest.first_chunk::<2>().map_or(0, |first| u16::from_le_bytes(*first))
}

impl Entry {
    /// Whether a file of this path is wanted; folders are entered whatever their name.
    pub fn wants(&self, path: &[u8]) -> bool {
        self.restrict.as_ref().is_none_or(|restrict| restrict.is_match(path))
    }
}

/// Whether `path` lies below the folder `root`.
pub fn is_below(root: &[u8], path: &[u8]) -> bool {
    match path.strip_prefix(root) {
        Some(rest) if root == b"/" => !rest.is_empty(),
        Some(rest) => rest.first() == Some(&b'/') && rest.len() > 1,
        None => false,
    }
}

/// What of `path` lies below `root`, without a slash in front; empty for the root itself.
pub fn relative<'a>(root: &[u8], path: &'a [u8]) -> &'a [u8] {
    let rest = path.strip_prefix(root).unwrap_or_default();
    rest.strip_prefix(b"/").unwrap_or(rest)
}

/// `folder/name`.
pub fn join(folder: &[u8], name: &[u8]) -> Vec<u8> {
    match (folder, name) {
        (_, b"") => folder.to_vec(),
        (b"/", _) => [b"/", name].concat(),
        _ => [folder, b"/", name].concat(),
    }
}

/// Folder and name of a path; the root's folder is itself.
pub fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&byte| byte == b'/') {
        Some(0) => (b"/", path.get(1..).unwrap_or_default()),
        Some(at) => (path.get(..at).unwrap_or_default(), path.get(at + 1..).unwrap_or_default()),
        None => (b".", path),
    }
}

/// Without doubled slashes and without one at the end.
fn tidy(path: &[u8]) -> Vec<u8> {
    let mut tidy: Vec<u8> = Vec::with_capacity(path.len());
    for &byte in path {
        if byte != b'/' || tidy.last() != Some(&b'/') {
            tidy.push(byte);
        }
    }
    if tidy.len() > 1 && tidy.last() == Some(&b'/') {
        tidy.pop();
    }
    tidy
}

#[cfg(test)]
mod tests {
    use super::*;
    use settings::Directory;

    fn directory(path: &str) -> Directory {
        Directory { path: path.into(), options: CheckOptions::default(), restrict: None }
    }

    fn plan(syscheck: Syscheck) -> Plan {
        Plan::new(&syscheck).unwrap()
    }

    fn entry_of<'a>(plan: &'a Plan, path: &str) -> Option<&'a [u8]> {
        plan.entry_for(path.as_bytes()).map(|entry| entry.path.as_slice())
    }

    #[test]
    fn the_longest_entry_holds() {
        let directories = vec![directory("/etc//"), directory("/etc/ssh"), directory("/etc/hosts")];
        let plan = plan(Syscheck { directories, ..Syscheck::default() });
        assert_eq!(entry_of(&plan, "/etc/passwd"), Some(&b"/etc"[..]));
        assert_eq!(entry_of(&plan, "/etc/ssh/a/b"), Some(&b"/etc/ssh"[..]));
        assert_eq!(entry_of(&plan, "/etc/hosts"), Some(&b"/etc/hosts"[..]));
        assert_eq!(entry_of(&plan, "/etcetera"), None);
        let etc = &plan.entries()[0];
        assert!(plan.takes(etc, b"/etc/passwd") && !plan.takes(etc, b"/etc/ssh"));
    }

    #[test]
    fn the_file_system_root_is_above_everything() {
        let plan = plan(Syscheck { directories: vec![directory("/")], ..Syscheck::default() });
        assert_eq!(entry_of(&plan, "/a"), Some(&b"/"[..]));
        assert_eq!(join(b"/", b"a"), b"/a");
        assert_eq!(relative(b"/", b"/a/b"), b"a/b");
        assert_eq!(
            (split(b"/a"), split(b"/a/b")),
            ((&b"/"[..], &b"a"[..]), (&b"/a"[..], &b"b"[..]))
        );
    }

    #[test]
    fn no_recurse_stops_at_the_first_level() {
        let mut flat = directory("/etc");
        flat.options.no_recurse = true;
        let plan = plan(Syscheck { directories: vec![flat], ..Syscheck::default() });
        assert!(entry_of(&plan, "/etc/passwd").is_some());
        assert_eq!(entry_of(&plan, "/etc/ssh/config"), None);
    }

    #[test]
    fn ignored_prefixes_and_patterns_hide_what_is_below() {
        let ignore = vec![Ignore::Prefix(b"/SRV/ign".to_vec()), Ignore::Pattern(b".tmp$".to_vec())];
        let directories = vec![directory("/srv")];
        let plan = plan(Syscheck { directories, ignore, ..Syscheck::default() });
        assert_eq!(entry_of(&plan, "/srv/ignored/a"), None);
        assert_eq!(entry_of(&plan, "/srv/a.tmp"), None);
        assert_eq!(entry_of(&plan, "/srv/d.tmp/a"), None);
        assert!(entry_of(&plan, "/srv/a.tmpl").is_some());
    }

    #[test]
    fn each_file_is_due_once_in_a_period() {
        let plan =
            Plan { rehash: Rehash::Every(std::time::Duration::from_secs(1000)), ..Plan::default() };
        for number in 0..100 {
            let path = format!("/file{number}").into_bytes();
            let due = (5000..6000).filter(|&now| plan.is_due(&path, now as u32 - 1, now)).count();
            assert_eq!(due, 1, "{number}");
            assert!(plan.is_due(&path, 4000, 5000));
        }
        let at_5500 = (0..1000).filter(|number| {
            let path = format!("/file{number}").into_bytes();
            plan.is_due(&path, 5000, 5500)
        });
        assert!((400..600).contains(&at_5500.count()));
        assert!(Plan { rehash: Rehash::Always, ..Plan::default() }.is_due(b"/a", 5, 5));
        assert!(!Plan { rehash: Rehash::Never, ..Plan::default() }.is_due(b"/a", 0, 5000));
    }

    #[test]
    fn restrict_is_for_files() {
        let mut text_only = directory("/srv");
        text_only.restrict = Some(b".txt".to_vec());
        let plan = plan(Syscheck { directories: vec![text_only], ..Syscheck::default() });
        let entry = plan.entry_for(b"/srv/sub").unwrap();
        assert!(entry.wants(b"/srv/sub/a.txt") && !entry.wants(b"/srv/sub"));
    }

    #[test]
    fn nothing_is_watched_when_disabled() {
        let directories = vec![directory("/etc")];
        let plan = plan(Syscheck { disabled: true, directories, ..Syscheck::default() });
        assert_eq!(entry_of(&plan, "/etc/passwd"), None);
    }
}
