//! `bin/.process_list`: what `ossec-control enable` and `disable` have switched, as lines of shell.
//!
//! `DEBUG_CLI="-d"` switches on, `DEBUG_CLI=""` off; the last line about a variable counts. (Where OSSEC appends a line at
//! each call, we replace the one that is there.)

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// What can be switched: the word of the command line, the variable, its value when on.
const SWITCHES: [(&str, &str, &str); 4] = [
    ("database", "DB_DAEMON", "ossec-dbd"),
    ("client-syslog", "CSYSLOG_DAEMON", "ossec-csyslogd"),
    ("agentless", "AGENTLESS_DAEMON", "ossec-agentlessd"),
    ("debug", "DEBUG_CLI", "\"-d\""),
];

/// One thing that can be switched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Switch(usize);

impl Switch {
    /// `None` for a word that is no switch.
    pub(crate) fn named(word: &str) -> Option<Self> {
        SWITCHES.iter().position(|(name, ..)| *name == word).map(Self)
    }

    /// Switches it on or off below `root`.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub(crate) fn set(self, root: &Path, on: bool) -> io::Result<()> {
        let Some((_, variable, value)) = SWITCHES.get(self.0) else { return Ok(()) };
        let path = path(root);
        let text = read(&path)?;
        let head = format!("{variable}=");
        let mut lines: Vec<&str> = text.lines().filter(|line| !line.starts_with(&head)).collect();
        let line = format!("{head}{}", if on { value } else { "\"\"" });
        lines.push(&line);
        let fresh = path.with_extension("new");
        let mut file = fs::File::create(&fresh)?;
        writeln!(file, "{}", lines.join("\n"))?;
        file.sync_all()?;
        fs::rename(fresh, path)
    }
}

/// Whether daemons are to be started with `-d`.
pub(crate) fn debug_is_on(root: &Path) -> bool {
    let text = read(&path(root)).unwrap_or_default();
    let value = text.lines().rev().find_map(|line| line.strip_prefix("DEBUG_CLI="));
    value.is_some_and(|value| value.trim_matches('"') == "-d")
}

fn path(root: &Path) -> PathBuf {
    root.join("bin/.process_list")
}

fn read(path: &Path) -> io::Result<String> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn switching_twice_leaves_one_line() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("bin")).unwrap();
        let (syslog, debug) =
            (Switch::named("client-syslog").unwrap(), Switch::named("debug").unwrap());
        for (switch, on) in [(syslog, true), (debug, true), (debug, true)] {
            switch.set(root.path(), on).unwrap();
        }
        let text = || fs::read_to_string(path(root.path())).unwrap();
        assert_eq!(text(), "CSYSLOG_DAEMON=ossec-csyslogd\nDEBUG_CLI=\"-d\"\n");
        assert!(debug_is_on(root.path()));
        debug.set(root.path(), false).unwrap();
        syslog.set(root.path(), false).unwrap();
        assert_eq!(text(), "DEBUG_CLI=\"\"\nCSYSLOG_DAEMON=\"\"\n");
        assert!(!debug_is_on(root.path()));
    }

    #[test]
    fn a_file_of_the_original_is_understood() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("bin")).unwrap();
        fs::write(path(root.path()), "DEBUG_CLI=\"-d\"\nDEBUG_CLI=\"\"\nDEBUG_CLI=\"-d\"\n")
            .unwrap();
        assert!(debug_is_on(root.path()));
    }

    #[test]
    fn only_four_words_are_switches() {
        assert_eq!(Switch::named("bogus"), None);
        assert_eq!(Switch::named(""), None);
    }
}
