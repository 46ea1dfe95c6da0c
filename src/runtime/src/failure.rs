//! Why a daemon gives up: the text of the line (or lines) that its log will hold.

use std::fmt;
use std::io;

/// Ends a daemon's `run`; [`crate::main`] logs it, once, and exits with 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    text: String,
}

impl Failure {
    /// A failure with its OSSEC message number, if it has one, and a sentence that says what was attempted, on
    /// what, why it failed and what to do next.
    pub fn new(number: Option<u16>, text: impl Into<String>) -> Self {
        let text = text.into();
        match number {
            Some(number) => Self { text: format!("({number}) {text}") },
            None => Self { text },
        }
    }

    /// Adds a line of its own: another error found by the same check.
    #[must_use]
    pub fn and(mut self, other: &Failure) -> Self {
        self.text.push('\n');
        self.text.push_str(&other.text);
        self
    }

    /// Writes each of its lines to the log as an error.
    pub(crate) fn log(&self) {
        for line in self.text.lines() {
            log::error!("{line}");
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Failure {}

impl From<settings::ConfigErrors> for Failure {
    /// One line for each error, which knows its number, file and line, then the closing `(1202)`.
    fn from(errors: settings::ConfigErrors) -> Self {
        let lines = errors.iter().map(ToString::to_string).chain([errors.closing()]);
        Self { text: lines.collect::<Vec<_>>().join("\n") }
    }
}

/// An error of the system as OSSEC's messages show it: `(13)-(Permission denied)`.
pub fn errno(error: &io::Error) -> String {
    format!("({})-({})", error.raw_os_error().unwrap_or(0), plain(error))
}

/// An error of the system without the number that Rust appends.
pub(crate) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    match text.rfind(" (os error ") {
        Some(at) => text.get(..at).unwrap_or_default().to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_error_reads_as_in_the_messages_of_ossec() {
        let error = io::Error::from_raw_os_error(13);
        assert_eq!(errno(&error), "(13)-(Permission denied)");
        assert_eq!(errno(&io::Error::other("odd")), "(0)-(odd)");
    }

    #[test]
    fn a_numbered_failure_begins_with_its_number() {
        let failure = Failure::new(Some(1203), "Invalid user").and(&Failure::new(None, "more"));
        assert_eq!(failure.to_string(), "(1203) Invalid user\nmore");
    }
}
