//! Policies: what a setting should not be.
//!
//! ```text
//! $sshd=/etc/ssh/sshd_config;
//! [Root may log in] [any] [CIS 5.1.20]
//! f:$sshd -> !r:^# && r:PermitRootLogin\s+yes;
//! ```
//!
//! Variables come first. An entry is a header and its values, each ending with `;`: `f:` a file is there, or a line of it matches; `d:` a
//! folder holds such a file, or one with such a line; `p:` such a process runs; `r:` is Windows' registry and never true here.
//! `!` before the letter or behind the colon negates a value. Host-daemons specification 9.1.

use std::collections::HashMap;

use pattern::Regex;

use crate::grammar::term::Pattern;
use crate::grammar::{Complaint, ComplaintKind, MAX_LINE, MAX_LINES, cut, lines};

/// Most paths in one value.
const MAX_PATHS: usize = 512;

/// A policy, read.
#[derive(Debug, Default)]
pub struct Policy {
    /// In the order of the file, up to the first error that ends it.
    pub entries: Vec<Entry>,
    /// What is wrong.
    pub complaints: Vec<Complaint>,
}

/// One question of a policy.
#[derive(Debug)]
pub struct Entry {
    /// What it means when it holds.
    pub title: Vec<u8>,
    /// All values must hold, not just one.
    pub all: bool,
    /// When it does not hold, the rest of the policy does not apply to this host.
    pub required: bool,
    /// Where to read more; may be empty.
    pub reference: Vec<u8>,
    /// What is looked at.
    pub values: Vec<Value>,
}

/// One thing that is looked at.
#[derive(Debug)]
pub struct Value {
    /// Holds when the subject does not.
    pub negated: bool,
    /// What.
    pub subject: Subject,
}

/// What a value looks at.
#[derive(Debug)]
pub enum Subject {
    /// One of these files is there; with a pattern, its lines satisfy it.
    File {
        /// Absolute, as written.
        paths: Vec<Vec<u8>>,
        /// What is asked of the lines.
        pattern: Option<Pattern>,
    },
    /// Below one of these folders is a file of such a name; with a pattern, its lines satisfy it.
    Folder {
        /// Absolute, as written.
        paths: Vec<Vec<u8>>,
        /// What is asked of the name.
        name: NamePattern,
        /// What is asked of the lines.
        pattern: Option<Pattern>,
    },
    /// A process of such a name runs.
    Process(Pattern),
    /// Windows' registry: nothing here.
    Registry,
}

/// What is asked of a file's name.
#[derive(Debug)]
pub enum NamePattern {
    /// `r:` or a text with `^`, `$` or `|`: an OS_Regex.
    Regex(Box<Regex>),
    /// Exactly this name.
    Is(Vec<u8>),
}

impl NamePattern {
    fn parse(text: &[u8]) -> Option<Self> {
        let regex = text.strip_prefix(b"r:").or_else(|| {
            let is_regex = text.iter().any(|b| matches!(b, b'^' | b'$' | b'|'));
            is_regex.then_some(text)
        });
        match regex {
            Some(regex) => Regex::new(regex).ok().map(|regex| Self::Regex(Box::new(regex))),
            None => (!text.is_empty()).then(|| Self::Is(text.to_vec())),
        }
    }

    /// Whether a file of this name is meant.
    pub fn is_match(&self, name: &[u8]) -> bool {
        match self {
            Self::Regex(regex) => regex.is_match(name),
            Self::Is(text) => text == name,
        }
    }
}

impl Policy {
    /// Reads a policy. Most errors end it there; what came before counts.
    pub fn parse(text: &[u8]) -> Self {
        let mut policy = Self::default();
        let mut variables = HashMap::new();
        for (number, line) in lines(text).take(MAX_LINES) {
            match policy.line(line, &mut variables) {
                Ok(()) => {}
                Err((kind, text)) => {
                    policy.complaints.push(Complaint::new(number, kind, &text));
                    if kind != ComplaintKind::Undefined {
                        break;
                    }
                }
            }
        }
        policy
    }

    fn line(&mut self, line: &[u8], variables: &mut Variables) -> Result<(), Wrong> {
        if line.len() > MAX_LINE {
            return Err((ComplaintKind::Value, line.to_vec()));
        }
        if line.starts_with(b"$") {
            let variable = if self.entries.is_empty() { variable(line) } else { None };
            let (name, value) = variable.ok_or((ComplaintKind::Variable, line.to_vec()))?;
            variables.insert(name, value);
            return Ok(());
        }
        if line.starts_with(b"[") {
            self.entries.push(Entry::header(line)?);
            return Ok(());
        }
        let Some(entry) = self.entries.last_mut() else {
            return Err((ComplaintKind::Header, line.to_vec()));
        };
        entry.values.push(Value::parse(line, variables)?);
        Ok(())
    }
}

type Variables = HashMap<Vec<u8>, Vec<u8>>;
type Wrong = (ComplaintKind, Vec<u8>);

fn variable(line: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let (name, value) = cut(line.strip_suffix(b";")?, b"=")?;
    let (name, value) = (name.trim_ascii(), value.trim_ascii());
    (name.len() > 1 && !value.is_empty()).then(|| (name.to_vec(), value.to_vec()))
}

impl Entry {
    fn header(line: &[u8]) -> Result<Self, Wrong> {
        let shown = || line.split(|&b| b == b']').next().unwrap_or(line).to_vec();
        Self::read_header(line).ok_or_else(|| (ComplaintKind::Header, shown()))
    }

    fn read_header(line: &[u8]) -> Option<Self> {
        let (title, rest) = bracketed(line)?;
        let (mode, rest) = bracketed(rest)?;
        let (reference, rest) = bracketed(rest)?;
        let (all, required) = match mode {
            b"any" => (false, false),
            b"all" => (true, false),
            b"any required" => (false, true),
            b"all required" => (true, true),
            _ => return None,
        };
        if title.is_empty() || !rest.trim_ascii().is_empty() {
            return None;
        }
        let (title, reference) = (title.to_vec(), reference.to_vec());
        Some(Self { title, all, required, reference, values: Vec::new() })
    }
}

/// `[text] rest`.
fn bracketed(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (inside, rest) = cut(text.trim_ascii_start().strip_prefix(b"[")?, b"]")?;
    Some((inside.trim_ascii(), rest))
}

impl Value {
    fn parse(line: &[u8], variables: &Variables) -> Result<Self, Wrong> {
        let letter = line.split(|&b| b == b':').next().unwrap_or(line);
        let wrong = || (ComplaintKind::Value, letter.to_vec());
        let whole = || (ComplaintKind::Value, line.to_vec());
        let text = line.strip_suffix(b";").ok_or_else(whole)?;
        let (kind, text) = cut(text, b":").ok_or_else(whole)?;
        let (before, kind) = negation(kind);
        let (behind, text) = negation(text);
        let negated = before != behind;
        let (first, rest) = match cut(text, b" -> ") {
            Some((first, rest)) => (first, Some(rest)),
            None => (text, None),
        };
        let pattern = |text: Option<&[u8]>| match text {
            Some(text) => Pattern::parse(text.trim_ascii()).map(Some).ok_or_else(whole),
            None => Ok(None),
        };
        let subject = match kind {
            b"f" => Subject::File { paths: paths(first, variables)?, pattern: pattern(rest)? },
            b"d" => {
                let rest = rest.ok_or_else(whole)?;
                let (name, lines) = match cut(rest, b" -> ") {
                    Some((name, lines)) => (name, Some(lines)),
                    None => (rest, None),
                };
                Subject::Folder {
                    paths: paths(first, variables)?,
                    name: NamePattern::parse(name.trim_ascii()).ok_or_else(whole)?,
                    pattern: pattern(lines)?,
                }
            }
            b"p" => Subject::Process(Pattern::parse(text.trim_ascii()).ok_or_else(whole)?),
            b"r" => Subject::Registry,
            _ => return Err(wrong()),
        };
        Ok(Self { negated, subject })
    }
}

fn negation(text: &[u8]) -> (bool, &[u8]) {
    let text = text.trim_ascii_start();
    text.strip_prefix(b"!").map_or((false, text), |text| (true, text))
}

/// The paths of a comma list; `$name` and `$name/below` are replaced by each path of the variable.
fn paths(list: &[u8], variables: &Variables) -> Result<Vec<Vec<u8>>, Wrong> {
    let mut paths = Vec::new();
    for item in list.split(|&b| b == b',').map(<[u8]>::trim_ascii) {
        if item.starts_with(b"$") {
            let end = item.iter().position(|&b| b == b'/').unwrap_or(item.len());
            let (name, below) = item.split_at(end);
            let value = variables.get(name).ok_or((ComplaintKind::Undefined, name.to_vec()))?;
            let values = value.split(|&b| b == b',').map(<[u8]>::trim_ascii);
            paths.extend(values.map(|value| [value, below].concat()));
        } else {
            paths.push(item.to_vec());
        }
    }
    let is_path = |path: &Vec<u8>| path.starts_with(b"/") && !path.contains(&0);
    if paths.len() > MAX_PATHS || !paths.iter().all(is_path) {
        return Err((ComplaintKind::Value, list.to_vec()));
    }
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(text: &str) -> Vec<(usize, String)> {
        let policy = Policy::parse(text.as_bytes());
        policy.complaints.iter().map(|c| (c.line, c.to_string())).collect()
    }

    #[test]
    fn an_entry_is_a_header_and_its_values() {
        let policy = Policy::parse(
            b"$a=/x,/y;\n$b=/z;\n[T {1}] [all required] [ref]\nf:$a,$b/c -> !r:^# && r:x -> y;\n\
              d:!$b -> r:^p;\n!p:init;\nr:HKEY -> x;\n[U][any][]\n",
        );
        assert_eq!(policy.complaints, []);
        let [first, second] = policy.entries.as_slice() else { panic!("{policy:?}") };
        assert_eq!(
            (first.title.as_slice(), first.reference.as_slice()),
            (&b"T {1}"[..], &b"ref"[..])
        );
        assert!(first.all && first.required && !second.all && !second.required);
        let negated: Vec<bool> = first.values.iter().map(|value| value.negated).collect();
        assert_eq!(negated, [false, true, true, false]);
        let Some(Value { subject: Subject::File { paths, pattern: Some(_) }, .. }) =
            first.values.first()
        else {
            panic!("{first:?}")
        };
        assert_eq!(paths, &[b"/x".to_vec(), b"/y".to_vec(), b"/z/c".to_vec()]);
    }

    #[test]
    fn an_error_ends_the_file_and_keeps_what_came_before() {
        let policy = Policy::parse(b"[a] [any] [r]\nf:/x;\nq:/y;\n[b] [any] [r]\nf:/z;\n");
        assert_eq!(policy.entries.len(), 1);
        assert_eq!(policy.entries[0].values.len(), 1);
        let invalid = |what: &str| format!("(1252) Invalid rk configuration value: '{what}'.");
        assert_eq!(complaints("[a] [any] [r]\nq:/y;\n"), [(2, invalid("q"))]);
        for bad in ["f:/x", "f:relative;", "f:;", "d:/x;", "p:;", "f:/x -> r:(;", "none;"] {
            assert_eq!(complaints(&format!("[a] [any] [r]\n{bad}")).len(), 1, "{bad}");
        }
        assert_eq!(
            complaints("[a] [any] [r]\n$late=/x;\n")[0].1,
            "(1254) Invalid rk variable: '$late=/x;'."
        );
    }

    #[test]
    fn an_undefined_variable_skips_its_value_only() {
        let policy = Policy::parse(b"[a] [any] [r]\nf:$no;\nf:/z;\n");
        assert_eq!(policy.entries[0].values.len(), 1);
        assert_eq!(policy.complaints[0].to_string(), "(1254) Invalid rk variable: '$no'.");
    }

    #[test]
    fn golden_errors_are_those_of_the_log() {
        let folder = crate::testing::golden_folder("rootcheck");
        let Some(folder) = folder else { return };
        let log = std::fs::read_to_string(folder.join("ossec.log")).unwrap();
        let recorded: Vec<&str> =
            log.lines().filter(|line| line.contains("Invalid rk ")).take(5).collect();
        for (number, recorded) in (1..).zip(recorded) {
            let text = std::fs::read(folder.join(format!("bad{number}.txt"))).unwrap();
            let [only] = Policy::parse(&text).complaints.try_into().unwrap();
            let (code, sentence) =
                recorded.split_once("rootcheck").unwrap().1.split_once(": ERROR: ").unwrap();
            assert_eq!(
                Complaint::to_string(&only),
                format!("{code} {sentence}"),
                "bad{number}.txt"
            );
        }
    }
}
