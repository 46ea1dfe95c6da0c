//! `clear_stats`: forgets how many events an hour is used to have. A running analysisd notices when the next hour begins.

use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use crate::{complain, say};

const USAGE: &str = "\
clear_stats: forgets the averages of the hourly statistics
  clear_stats [-a | -d | -w]
    -a          All averages
    -d          Those of an hour of any day
    -w          Those of an hour of each day of the week
    -h          This help
";
const HOURLY: &str = "stats/hourly-average";
const WEEKLY: &str = "stats/weekly-average";

/// The program.
pub fn main() -> ExitCode {
    let arguments: Vec<String> =
        std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let folders: &[&str] = match words.as_slice() {
        ["-a"] => &[HOURLY, WEEKLY],
        ["-d"] => &[HOURLY],
        ["-w"] => &[WEEKLY],
        ["-h"] => {
            say(USAGE);
            return ExitCode::SUCCESS;
        }
        _ => {
            complain(USAGE);
            return ExitCode::FAILURE;
        }
    };
    let root = runtime::root::find(None);
    for folder in folders {
        if let Err(error) = clear(&root.join(folder)) {
            complain(&format!("clear_stats: '{folder}' could not be cleared: {error}\n"));
            return ExitCode::FAILURE;
        }
    }
    say("\n** Internal stats clear.\n\n");
    ExitCode::SUCCESS
}

/// Removes the numbers of a folder, and of the folders of days in it; nothing else.
fn clear(folder: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    for entry in entries {
        let entry = entry?;
        let number = entry.file_name().to_str().and_then(|name| name.parse::<u8>().ok());
        match number {
            Some(0..=6) if entry.file_type()?.is_dir() => clear(&entry.path())?,
            Some(0..=24) if entry.file_type()?.is_file() => fs::remove_file(entry.path())?,
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn averages_go_and_all_else_stays() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("3")).unwrap();
        for name in ["0", "24", "3/5", "25", "notes", "3/notes"] {
            fs::write(dir.path().join(name), "7").unwrap();
        }
        clear(dir.path()).unwrap();
        let left =
            ["0", "24", "3/5", "25", "notes", "3/notes"].map(|name| dir.path().join(name).exists());
        assert_eq!(left, [false, false, false, true, true, true]);
        clear(&dir.path().join("none")).unwrap();
    }
}
