//! Signatures of trojans: `ls !/dev/demo|demokit! Demo kit`.
//!
//! A bare name is looked for in the folders of programs, an absolute path is taken as it is. The expression (POSIX extended) is
//! matched with the printable strings of the file.

use crate::grammar::ere::Ere;
use crate::grammar::{Complaint, ComplaintKind, MAX_LINE, MAX_LINES, cut, lines};

/// A list, read.
#[derive(Debug, Default)]
pub struct Trojans {
    /// In the order of the list.
    pub signatures: Vec<Signature>,
    /// Lines that were skipped.
    pub complaints: Vec<Complaint>,
}

/// What gives a trojan away.
#[derive(Debug)]
pub struct Signature {
    /// Name or absolute path of the program.
    pub program: Vec<u8>,
    /// As written.
    pub expression: Vec<u8>,
    /// Compiled.
    pub ere: Ere,
    /// What it is known for; `Generic` where the list says nothing.
    pub comment: Vec<u8>,
}

impl Trojans {
    /// Reads a list; lines that make no sense are skipped and told.
    pub fn parse(text: &[u8]) -> Self {
        let mut list = Self::default();
        for (number, line) in lines(text) {
            if list.signatures.len() >= MAX_LINES {
                list.complaints.push(Complaint::new(number, ComplaintKind::TooMany, b""));
                break;
            }
            match Self::line(line) {
                Some(signature) => list.signatures.push(signature),
                None => list.complaints.push(Complaint::new(number, ComplaintKind::Line, line)),
            }
        }
        list
    }

    fn line(line: &[u8]) -> Option<Signature> {
        let (program, rest) = cut(line, b"!").filter(|_| line.len() <= MAX_LINE)?;
        let (expression, comment) = cut(rest, b"!").unwrap_or((rest, b""));
        let program = program.trim_ascii();
        let is_path = program.starts_with(b"/");
        let goes_up = program.split(|&b| b == b'/').any(|part| part == b"..");
        if program.is_empty()
            || goes_up
            || (!is_path && program.contains(&b'/'))
            || program.contains(&0)
        {
            return None;
        }
        let comment = comment.trim_ascii();
        let comment = if comment.is_empty() { b"Generic" } else { comment };
        Some(Signature {
            program: program.to_vec(),
            expression: expression.to_vec(),
            ere: Ere::new(expression).ok()?,
            comment: comment.to_vec(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_a_program_an_expression_and_maybe_a_comment() {
        let list =
            Trojans::parse(b"# x\nls !a b|/dev/x! \n/usr/bin/tool\t!^E!  two words\ncat !z\n");
        let read: Vec<_> = list
            .signatures
            .iter()
            .map(|s| [&s.program, &s.expression, &s.comment].map(|t| String::from_utf8_lossy(t)))
            .collect();
        assert_eq!(
            read,
            [
                ["ls", "a b|/dev/x", "Generic"],
                ["/usr/bin/tool", "^E", "two words"],
                ["cat", "z", "Generic"]
            ]
        );
        assert_eq!(list.complaints, []);
    }

    #[test]
    fn what_makes_no_sense_is_told_with_its_line_and_skipped() {
        let list = Trojans::parse(b"ls\nls !!\n!x!y\na/b !x!\n/../x !x!\nls ![!\nls !x!\n");
        assert_eq!(list.signatures.len(), 1);
        let lines: Vec<usize> = list.complaints.iter().map(|complaint| complaint.line).collect();
        assert_eq!(lines, [1, 2, 3, 4, 5, 6]);
    }
}
