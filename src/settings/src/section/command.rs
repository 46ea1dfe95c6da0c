//! `<command>`: a script that active responses may run.

use xml::Element;

use crate::report::{Report, shown};

const NAMES: &[&str] = &["name", "executable", "expect", "timeout_allowed"];

/// A script below `active-response/bin`, and what it needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Name by which `<active-response>` refers to it.
    pub name: String,
    /// File below `active-response/bin`.
    pub executable: String,
    /// Fields that the alert must have.
    pub expect: Expect,
    /// Whether the effect can be undone after a time.
    pub timeout_allowed: bool,
}

/// Fields that an alert must have for the command to be run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Expect {
    /// A user's name.
    pub user: bool,
    /// A source address.
    pub srcip: bool,
    /// A file's name.
    pub filename: bool,
}

impl Expect {
    /// Words separated by commas or white space, in any case; others mean nothing.
    fn of(text: &str) -> Self {
        let mut expect = Self::default();
        for word in text.split(|c: char| c == ',' || c.is_ascii_whitespace()) {
            match word.to_ascii_lowercase().as_str() {
                "user" | "username" => expect.user = true,
                "srcip" => expect.srcip = true,
                "filename" => expect.filename = true,
                _ => {}
            }
        }
        expect
    }
}

pub(crate) fn read(section: &Element, commands: &mut Vec<Command>, report: &mut Report) {
    let errors = report.error_count();
    let (mut name, mut executable, mut expect) = (None, None, None);
    let mut timeout_allowed = false;
    for child in report.leaves(section, NAMES, &[]) {
        match child.name.as_str() {
            "name" => name = report.filled(child),
            "executable" => executable = report.filled(child),
            "expect" => expect = report.text(child).map(|text| Expect::of(&text)),
            _ => report.yes_no(child, &mut timeout_allowed),
        }
    }
    if report.error_count() > errors {
        return;
    }
    let (Some(name), Some(executable), Some(expect)) = (name, executable, expect) else {
        let text = "Missing command options. You must specify a 'name', 'executable' and 'expect'.";
        return report.error(1280, section, text, "expected all three; <expect> may be empty");
    };
    if commands.iter().any(|known| known.name == name) {
        let text = format!("Duplicated command '{}': the first one is used.", shown(&name));
        report.warning(None, section, text, "expected each name once");
    }
    commands.push(Command { name, executable, expect, timeout_allowed });
}
