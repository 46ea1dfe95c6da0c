//! What lies in `logs/{archives,alerts,firewall}/<year>/<month>/`: the listing that plans are made from.
//!
//! Symbolic links are neither followed nor listed, other names are passed over. Temporary files of ours
//! (`.ossec-*.tmp`), which a kill leaves behind, are removed: only one pass works at a time.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::closing::Found;
use crate::daily::{Daily, Form, SERIES};
use crate::date::Date;

/// Begins and ends the name of a file that is being written.
const TEMPORARY: (&str, &str) = (".ossec-", ".tmp");

/// All daily files below `root`, which is the install root.
///
/// # Errors
/// A folder of the tree cannot be read.
pub fn list(root: &Path) -> io::Result<Vec<Found>> {
    let mut found = Vec::new();
    let mut folders: Vec<&str> = SERIES.iter().map(|series| series.folder).collect();
    folders.dedup();
    for folder in folders {
        let top = root.join("logs").join(folder);
        for year in folders_in(&top)? {
            for month in folders_in(&top.join(&year))? {
                list_month(&top.join(&year).join(&month), folder, &year, &month, &mut found)?;
            }
        }
    }
    found.sort_by_key(|file| (file.daily, file.form));
    Ok(found)
}

fn list_month(
    path: &Path,
    folder: &str,
    year: &str,
    month: &str,
    found: &mut Vec<Found>,
) -> io::Result<()> {
    for (name, metadata) in entries(path)? {
        if !metadata.is_file() {
            continue;
        }
        if name.starts_with(TEMPORARY.0) && name.ends_with(TEMPORARY.1) {
            fs::remove_file(path.join(&name))?;
            continue;
        }
        let mut series = SERIES.iter().filter(|series| series.folder == folder);
        if let Some((daily, form)) =
            series.find_map(|series| Daily::parse(*series, year, month, &name))
        {
            found.push(Found { daily, form, disk_bytes: metadata.blocks().saturating_mul(512) });
        }
    }
    Ok(())
}

/// The number of the newest part of a day's log, in whatever form; 0 if there is none.
///
/// # Errors
/// The folder of the month cannot be read.
pub fn newest_part(root: &Path, daily: Daily) -> io::Result<u32> {
    let path = root.join(daily.path(Form::Plain));
    let Some(folder) = path.parent() else { return Ok(0) };
    let (year, month) = (daily.date.year().to_string(), daily.date.month_name());
    let parts = entries(folder)?.into_iter().filter_map(|(name, _)| {
        let (found, _) = Daily::parse(daily.series, &year, month, &name)?;
        match found.part {
            crate::daily::Part::Numbered(part) if found.date == daily.date => Some(part),
            _ => None,
        }
    });
    Ok(parts.max().unwrap_or(0))
}

/// Removes the folders of past months and years that are empty; what is not empty stays, whatever it holds.
pub fn prune(root: &Path, today: Date) {
    for folder in SERIES.map(|series| series.folder) {
        let top = root.join("logs").join(folder);
        for year in folders_in(&top).unwrap_or_default() {
            for month in folders_in(&top.join(&year)).unwrap_or_default() {
                let last =
                    ["31", "30", "29", "28"].iter().find_map(|day| Date::parse(&year, &month, day));
                if last.is_some_and(|last| last < today) {
                    // Refused for a folder that holds something.
                    let _ = fs::remove_dir(top.join(&year).join(&month));
                }
            }
            if year.parse().is_ok_and(|year: u16| year < today.year()) {
                let _ = fs::remove_dir(top.join(&year));
            }
        }
    }
}

fn folders_in(path: &Path) -> io::Result<Vec<String>> {
    let folders = entries(path)?.into_iter().filter(|(_, metadata)| metadata.is_dir());
    Ok(folders.map(|(name, _)| name).collect())
}

/// Names that are no text are none of ours; a folder that is not there is empty.
fn entries(path: &Path) -> io::Result<Vec<(String, Metadata)>> {
    let mut entries = Vec::new();
    let folder = match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(entries),
        folder => folder?,
    };
    for entry in folder {
        let entry = entry?;
        // Gone since: then it needs no listing.
        if let (Ok(name), Ok(metadata)) = (entry.file_name().into_string(), entry.metadata()) {
            entries.push((name, metadata));
        }
    }
    Ok(entries)
}
