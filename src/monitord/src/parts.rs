//! Sets the day's file aside when it has grown too large: `ossec-alerts-21.log` becomes `ossec-alerts-21-1.log`.
//!
//! analysisd sees within a second of writing that its file has another name, and begins a new one between two flushes:
//! no record is torn or lost (`src/analysisd/src/output/daily.rs`).

use std::fs;
use std::path::Path;

use crate::daily::{Daily, Form, Part, SERIES};
use crate::date::Date;
use crate::tree;
use crate::whole::rename_to_free_name;

/// Sets aside every file of today that is larger than `most` bytes; says how many were.
pub fn rotate(root: &Path, today: Date, most: u64) -> u64 {
    let mut rotated = 0;
    for series in SERIES {
        let daily = Daily { date: today, part: Part::Last, series };
        let path = root.join(daily.path(Form::Plain));
        if !fs::symlink_metadata(&path).is_ok_and(|m| m.is_file() && m.len() > most) {
            continue;
        }
        let shown = daily.shown(Form::Plain);
        let aside = tree::newest_part(root, daily).and_then(|newest| {
            let aside = daily.numbered(newest.saturating_add(1));
            rename_to_free_name(&path, &root.join(aside.path(Form::Plain))).map(|()| aside)
        });
        match aside {
            Ok(aside) => {
                rotated += 1;
                let aside = aside.shown(Form::Plain);
                log::info!(
                    "'{shown}' has grown beyond its limit (monitord.rotate_mib): set aside as '{aside}'."
                );
            }
            Err(error) => log::error!("'{shown}' could not be set aside: {error}."),
        }
    }
    rotated
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_counted_on_and_nothing_is_overwritten() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("logs/alerts/2026/Nov");
        fs::create_dir_all(&folder).unwrap();
        let today = Date::new(2026, 11, 21).unwrap();
        fs::write(folder.join("ossec-alerts-21-7.log.gz"), b"old").unwrap();
        fs::write(folder.join("ossec-alerts-20.log"), b"yesterday's").unwrap();
        for (content, part) in [("one", "8"), ("two", "9")] {
            fs::write(folder.join("ossec-alerts-21.log"), content).unwrap();
            assert_eq!(rotate(root.path(), today, 3), 0);
            assert_eq!(rotate(root.path(), today, 2), 1);
            let aside = folder.join(format!("ossec-alerts-21-{part}.log"));
            assert_eq!(fs::read_to_string(aside).unwrap(), content);
        }
        assert_eq!(fs::read(folder.join("ossec-alerts-20.log")).unwrap(), b"yesterday's");
    }
}
