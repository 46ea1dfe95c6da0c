//! The three languages of rootcheck's lists, as data: no file, process or clock is touched here (a test keeps it so).
//!
//! | list | module | one line |
//! |---|---|---|
//! | rootkits' files | [`rootkits`] | `path ! name ::link` |
//! | trojans' signatures | [`trojans`] | `program ! regex ! comment` |
//! | policies | [`policy`] | `[title] [any] [reference]`, then `f:/etc/passwd -> r:^x;` |
//!
//! Blank lines and those that begin with `#` say nothing. What is wrong is told with its line, and the other lines count.

pub mod ere;
#[cfg(test)]
mod hostile;
pub mod policy;
pub mod rootkits;
pub mod term;
pub mod trojans;

use std::fmt;

/// Longest line, in bytes.
pub const MAX_LINE: usize = 4096;
/// Most lines of a list that say something.
pub const MAX_LINES: usize = 10_000;

/// What is wrong in a list, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// Line, from 1.
    pub line: usize,
    /// What.
    pub kind: ComplaintKind,
    /// The text that is meant; shortened, printable.
    pub text: String,
}

/// What can be wrong in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ComplaintKind {
    /// `(1251)`: no header of an entry where one is due, or a wrong one. The rest of the file is not read.
    Header,
    /// `(1252)`: a value of an unknown kind, without `;`, or with a bad pattern. The rest of the file is not read.
    Value,
    /// `(1254)`: a variable that is not well formed, or comes too late. The rest of the file is not read.
    Variable,
    /// `(1254)`: a variable that has no value. Only the value that names it is skipped.
    Undefined,
    /// A line of another list that is not well formed. It is skipped.
    Line,
    /// `(1250)`: more lines than are read. The rest of the file is not read.
    TooMany,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = &self.text;
        match self.kind {
            ComplaintKind::Header => write!(f, "(1251) Invalid rk configuration name: '{text}'."),
            ComplaintKind::Value => write!(f, "(1252) Invalid rk configuration value: '{text}'."),
            ComplaintKind::Variable | ComplaintKind::Undefined => {
                write!(f, "(1254) Invalid rk variable: '{text}'.")
            }
            ComplaintKind::Line => {
                write!(f, "Line of a rootkit list that makes no sense: '{text}'.")
            }
            ComplaintKind::TooMany => {
                write!(f, "(1250) Maximum number of global files reached: {MAX_LINES}")
            }
        }
    }
}

impl Complaint {
    fn new(line: usize, kind: ComplaintKind, text: &[u8]) -> Self {
        let text = String::from_utf8_lossy(text);
        let text = text.chars().take(200).map(|c| if c.is_control() { '?' } else { c }).collect();
        Self { line, kind, text }
    }
}

/// The lines that say something, trimmed, with their numbers.
fn lines(text: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let lines = text.split(|&b| b == b'\n').zip(1..);
    let lines = lines.map(|(line, number)| (number, line.trim_ascii()));
    lines.filter(|(_, line)| !line.is_empty() && !line.starts_with(b"#"))
}

/// Cuts at the first `separator`, which is dropped.
fn cut<'a>(text: &'a [u8], separator: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = text.windows(separator.len().max(1)).position(|window| window == separator)?;
    Some((text.get(..at)?, text.get(at + separator.len()..)?))
}

/// A path without the `/` that it begins with, be they several: joined to another, it stays below that.
pub(crate) fn without_slashes(path: &[u8]) -> &[u8] {
    let from = path.iter().position(|&b| b != b'/').unwrap_or(path.len());
    path.get(from..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    #[test]
    fn the_grammars_touch_nothing_of_the_system() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/grammar");
        // Put together, so that this very file passes.
        let words = ["fs", "net", "process", "thread", "time", "env", "os"];
        let forbidden: Vec<String> = words.iter().map(|word| format!("use std::{word}")).collect();
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap();
            for word in forbidden.iter().map(String::as_str).chain(["rustix::", "log::", "sys::"]) {
                assert!(!code.contains(word), "{} has '{word}'", path.display());
            }
        }
    }
}
