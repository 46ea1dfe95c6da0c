//! Files that rootkits leave: `tmp/.demo ! Demo kit ::https://example.org/demo`.
//!
//! The path is relative to the checked root. `*/name` stands for a file of that name in any folder of the system. What follows `::` is
//! for the reader of the list.

use crate::grammar::{Complaint, ComplaintKind, MAX_LINE, MAX_LINES, cut, lines, without_slashes};

/// A list, read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rootkits {
    /// Files at a place.
    pub files: Vec<RootkitFile>,
    /// Names, anywhere.
    pub anywhere: Vec<RootkitFile>,
    /// Lines that were skipped.
    pub complaints: Vec<Complaint>,
}

/// One file of a rootkit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootkitFile {
    /// Path below the checked root, without a leading `/`; or a bare name.
    pub path: Vec<u8>,
    /// Whose it is.
    pub rootkit: Vec<u8>,
}

impl Rootkits {
    /// Reads a list; lines that make no sense are skipped and told.
    pub fn parse(text: &[u8]) -> Self {
        let mut list = Self::default();
        for (number, line) in lines(text) {
            if list.files.len() + list.anywhere.len() >= MAX_LINES {
                list.complaints.push(Complaint::new(number, ComplaintKind::TooMany, b""));
                break;
            }
            match Self::line(line) {
                Some(file) => match file.path.strip_prefix(b"*/") {
                    Some(name) => {
                        let path = name.to_vec();
                        list.anywhere.push(RootkitFile { path, rootkit: file.rootkit });
                    }
                    None => list.files.push(file),
                },
                None => list.complaints.push(Complaint::new(number, ComplaintKind::Line, line)),
            }
        }
        list
    }

    fn line(line: &[u8]) -> Option<RootkitFile> {
        let (path, rest) = cut(line, b"!").filter(|_| line.len() <= MAX_LINE)?;
        let rootkit = cut(rest, b"::").map_or(rest, |(name, _)| name).trim_ascii();
        let path = path.trim_ascii();
        // All of them: `//x` joined to the checked root would leave it.
        let path = without_slashes(path);
        let name = path.strip_prefix(b"*/");
        let is_bad_name = name.is_some_and(|name| name.is_empty() || name.contains(&b'/'));
        let goes_up = path.split(|&b| b == b'/').any(|part| part == b"..");
        if path.is_empty() || rootkit.is_empty() || is_bad_name || goes_up || path.contains(&0) {
            return None;
        }
        Some(RootkitFile { path: path.to_vec(), rootkit: rootkit.to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, rootkit: &str) -> RootkitFile {
        RootkitFile { path: path.into(), rootkit: rootkit.into() }
    }

    #[test]
    fn a_line_is_a_path_and_a_whole_name() {
        let list = Rootkits::parse(
            b"# comment\n\n//tmp/.a b \t! Demo kit ::/x ! y\netc/x!Kit\r\n*/k.so ! Any ::x\n",
        );
        assert_eq!(list.files, [file("tmp/.a b", "Demo kit"), file("etc/x", "Kit")]);
        assert_eq!(list.anywhere, [file("k.so", "Any")]);
        assert_eq!(list.complaints, []);
    }

    #[test]
    fn what_makes_no_sense_is_told_with_its_line_and_skipped() {
        let list = Rootkits::parse(b"no name\n! x\nx ! ::l\n*/a/b ! x\n../up ! x\nok ! Ok");
        assert_eq!(list.files, [file("ok", "Ok")]);
        let lines: Vec<usize> = list.complaints.iter().map(|complaint| complaint.line).collect();
        assert_eq!(lines, [1, 2, 3, 4, 5]);
    }
}
