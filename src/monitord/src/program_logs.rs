//! The programs' own logs, `logs/ossec.log` and `logs/active-responses.log`: set aside when they have grown too large.
//!
//! `ossec.log` becomes `ossec.log-20261121-023000`, later `ossec.log-20261121-023000.gz`; only the newest of these stay.
//! All programs open the new file with their next line.

use std::fs::{self, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use runtime::clock::Local;
use runtime::errno;

use crate::daily::Form;
use crate::keeper::{COMPRESSED, DELETED, Order};
use crate::pack;
use crate::stop::Stop;
use crate::whole::rename_to_free_name;

/// Below `logs/`.
const NAMES: [&str; 2] = ["ossec.log", "active-responses.log"];
/// Everybody in the suite's group appends to them.
const MODE: u32 = 0o660;
/// After that long nobody has the old file open for a line.
const SETTLED: Duration = Duration::from_secs(60);

/// Sets aside each of the two that is larger than `most` bytes; says how many were.
pub fn rotate(root: &Path, most: u64, now: Local) -> u64 {
    let mut rotated = 0;
    for name in NAMES {
        let path = root.join("logs").join(name);
        let is_due = fs::symlink_metadata(&path).is_ok_and(|m| m.is_file() && m.len() > most);
        if !is_due {
            continue;
        }
        let aside = path.with_file_name(format!("{name}{}", suffix(now)));
        match rename_to_free_name(&path, &aside).and_then(|()| begin(&path)) {
            Ok(()) => {
                rotated += 1;
                log::info!(
                    "'/logs/{name}' has grown beyond its limit (monitord.log_mib): set aside as '{}'.",
                    aside.display()
                );
            }
            Err(error) => {
                log::error!("'/logs/{name}' could not be set aside due to [{}].", errno(&error));
            }
        }
    }
    rotated
}

fn suffix(now: Local) -> String {
    let Local { year, month, day, hour, minute, second, .. } = now;
    format!("-{year:04}{month:02}{day:02}-{hour:02}{minute:02}{second:02}")
}

/// A new file at once, since scripts and daemons of root would make one that is theirs.
fn begin(path: &Path) -> io::Result<()> {
    match OpenOptions::new().append(true).create_new(true).mode(MODE).open(path) {
        // The mask of the process does not apply to it.
        Ok(file) => file.set_permissions(Permissions::from_mode(MODE)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Compresses what was set aside, and deletes the oldest; says whether all went well.
pub fn tidy(root: &Path, order: &Order, stop: &Stop) -> bool {
    let logs = root.join("logs");
    let mut all_went = true;
    for name in NAMES {
        let mut rotated = match rotated(&logs, name) {
            Ok(rotated) => rotated,
            Err(error) => {
                log::error!("'/logs' could not be listed due to [{}].", errno(&error));
                return false;
            }
        };
        let surplus = rotated.len().saturating_sub(order.keep_rotated);
        for path in rotated.drain(..surplus) {
            match fs::remove_file(&path) {
                Ok(()) => {
                    DELETED.add(1);
                    log::info!(
                        "'{}' deleted: there are newer ones (monitord.log_keep).",
                        path.display()
                    );
                }
                Err(error) => {
                    log::error!(
                        "'{}' could not be deleted due to [{}].",
                        path.display(),
                        errno(&error)
                    );
                    all_went = false;
                }
            }
        }
        let Some(form) = order.wishes.pack else { continue };
        for path in
            rotated.iter().filter(|path| path.extension().is_none_or(is_date) && is_settled(path))
        {
            match pack::pack(path, form, stop) {
                Ok(_) => COMPRESSED.add(1),
                Err(_) if stop.is_set() => return false,
                Err(error) => {
                    log::error!("'{}' could not be compressed: {error}.", path.display());
                    all_went = false;
                }
            }
        }
    }
    all_went
}

/// `ossec.log-20261121-023000` has, for a path, the extension `log-20261121-023000`.
fn is_date(extension: &std::ffi::OsStr) -> bool {
    extension.to_str().is_some_and(|text| text.starts_with("log-"))
}

fn is_settled(path: &Path) -> bool {
    let modified = fs::symlink_metadata(path).and_then(|metadata| metadata.modified());
    let now = SystemTime::now();
    // A clock that went back must not keep it plain for ever.
    modified.is_ok_and(|at| now.duration_since(at).unwrap_or_else(|e| e.duration()) >= SETTLED)
}

/// What was set aside of one log, oldest first.
fn rotated(logs: &Path, name: &str) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(logs)? {
        let entry = entry?;
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        let ours = entry.file_name().into_string().ok().filter(|file| is_rotated(name, file));
        if let (true, Some(file)) = (is_file, ours) {
            found.push(logs.join(file));
        }
    }
    found.sort();
    Ok(found)
}

fn is_rotated(name: &str, file: &str) -> bool {
    let Some(rest) = file.strip_prefix(name).and_then(|rest| rest.strip_prefix('-')) else {
        return false;
    };
    let packed = [Form::Gzip, Form::Zstd].iter().find_map(|form| rest.strip_suffix(form.suffix()));
    let date = packed.unwrap_or(rest).as_bytes();
    date.len() == 15
        && date
            .iter()
            .enumerate()
            .all(|(at, byte)| if at == 8 { *byte == b'-' } else { byte.is_ascii_digit() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Local =
        Local { year: 2026, month: 11, day: 21, hour: 12, minute: 0, second: 0, weekday: 6 };

    fn root() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("logs")).unwrap();
        root
    }

    #[test]
    fn a_log_that_has_grown_is_set_aside_and_begun_anew() {
        let root = root();
        let log = root.path().join("logs/ossec.log");
        fs::write(&log, b"0123456789").unwrap();
        assert_eq!(rotate(root.path(), 10, NOON), 0);
        assert_eq!(rotate(root.path(), 9, NOON), 1);
        let metadata = fs::metadata(&log).unwrap();
        assert_eq!((metadata.len(), metadata.permissions().mode() & 0o777), (0, MODE));
        let aside = root.path().join("logs/ossec.log-20261121-120000");
        assert_eq!(fs::read(&aside).unwrap(), b"0123456789");
        fs::write(&log, b"again 0123456789").unwrap();
        assert_eq!(rotate(root.path(), 9, NOON), 0, "in the same second nothing is overwritten");
        assert_eq!(fs::read(&aside).unwrap(), b"0123456789");
    }

    #[test]
    fn only_names_of_ours_are_rotated_logs() {
        assert!(is_rotated("ossec.log", "ossec.log-20261121-023000"));
        assert!(is_rotated("ossec.log", "ossec.log-20261121-023000.zst"));
        for file in [
            "ossec.log",
            "ossec.log-",
            "ossec.log-20261121-02300",
            "ossec.log-2026112x-023000",
            "ossec.log-20261121-023000.gz.tmp",
            "x",
        ] {
            assert!(!is_rotated("ossec.log", file), "{file}");
        }
    }
}
