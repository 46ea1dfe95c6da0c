//! What is wrong with a configuration file, ready for the log.

use std::fmt;
use std::path::{Path, PathBuf};

/// One complaint: number and sentence as OSSEC's users know them, then the place and what was expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// Message number; a few messages have none.
    pub number: Option<u16>,
    /// The sentence, without number.
    pub text: String,
    /// The file that was read.
    pub file: PathBuf,
    /// Line of the element, counted from 1; 0 when the complaint is about the file as a whole.
    pub line: usize,
    /// What was expected, and the nearest known name; empty when the text says it all.
    pub hint: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(number) = self.number {
            write!(f, "({number}) ")?;
        }
        f.write_str(&self.text)?;
        match (self.hint.is_empty(), self.line) {
            (true, _) => Ok(()),
            (false, 0) => write!(f, " ({})", self.hint),
            (false, line) => write!(f, " ({} line {line}: {})", self.file.display(), self.hint),
        }
    }
}

impl std::error::Error for ConfigError {}

/// Everything that is wrong with one file, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors {
    file: PathBuf,
    list: Vec<ConfigError>,
}

impl ConfigErrors {
    pub(crate) fn new(file: &Path, list: Vec<ConfigError>) -> Self {
        Self { file: file.to_owned(), list }
    }

    pub(crate) fn one(file: &Path, number: u16, text: String, hint: &str) -> Self {
        let file = file.to_owned();
        let hint = hint.to_owned();
        let error = ConfigError { number: Some(number), text, file: file.clone(), line: 0, hint };
        Self { file, list: vec![error] }
    }

    /// The single complaints; never none.
    pub fn iter(&self) -> std::slice::Iter<'_, ConfigError> {
        self.list.iter()
    }

    /// The file that was read.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The line that a daemon logs last: `(1202) Configuration error at 'FILE'. Exiting.`
    pub fn closing(&self) -> String {
        format!("(1202) Configuration error at '{}'. Exiting.", self.file.display())
    }

    /// Logs each complaint as an error of its own; the caller adds [`closing`](Self::closing) when it gives up.
    pub fn log(&self) {
        for error in &self.list {
            log::error!("{error}");
        }
    }
}

impl<'a> IntoIterator for &'a ConfigErrors {
    type Item = &'a ConfigError;
    type IntoIter = std::slice::Iter<'a, ConfigError>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// One complaint a line, without the closing one.
impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, error) in self.list.iter().enumerate() {
            let newline = if at == 0 { "" } else { "\n" };
            write!(f, "{newline}{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}
