//! The command line that all daemons share: `ossec-analysisd -[Vhdtf] [-u user] [-g group] [-c config] [-D dir]`.
//!
//! Flags may be joined (`-df`), a value may stick to its flag (`-c/etc/x`), as with getopt. Observed from OSSEC
//! 4.2: version and help go to stderr and exit with 0, an unknown flag shows the help and exits with 1.

use std::ffi::{OsStr, OsString};
use std::fmt::Write;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use crate::{Privilege, Program};

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// `-V`, `-h`: show this text on stderr and exit with 0.
    Text(String),
    /// Run, or with `-t` only check.
    Start(Arguments),
}

/// The options of a start.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// How often `-d` was given: 1 debug, 2 trace. Overrides the option of the program.
    pub(crate) debug: u8,
    /// `-t`
    pub(crate) test_only: bool,
    /// `-f`
    pub(crate) foreground: bool,
    /// `-c`
    pub(crate) config: Option<PathBuf>,
    /// `-u`
    pub(crate) user: Option<String>,
    /// `-g`
    pub(crate) group: Option<String>,
    /// `-D`
    pub(crate) root: Option<PathBuf>,
}

/// Reads the arguments after the program's name; the error is the text for stderr before exit code 1.
pub(crate) fn parse(
    program: &Program,
    arguments: impl IntoIterator<Item = OsString>,
) -> Result<Asked, String> {
    let mut asked = Arguments::default();
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        let Some(flags) = argument.as_bytes().strip_prefix(b"-").filter(|flags| !flags.is_empty())
        else {
            let odd = argument.to_string_lossy();
            return Err(refusal(program, &format!("unexpected argument '{odd}'")));
        };
        let mut flags = flags.iter().copied();
        while let Some(flag) = flags.next() {
            match flag {
                b'V' => return Ok(Asked::Text(version(program))),
                b'h' => return Ok(Asked::Text(usage(program))),
                b'd' => asked.debug = asked.debug.saturating_add(1),
                b't' => asked.test_only = true,
                b'f' => asked.foreground = true,
                b'c' | b'g' | b'D' => {}
                b'u' if changes_user(program) => {}
                other => {
                    let odd = char::from(other).escape_default();
                    return Err(refusal(program, &format!("invalid option -- '{odd}'")));
                }
            }
            if !matches!(flag, b'c' | b'g' | b'D' | b'u') {
                continue;
            }
            let stuck: Vec<u8> = flags.by_ref().collect();
            let value =
                if stuck.is_empty() { arguments.next() } else { Some(OsString::from_vec(stuck)) };
            let Some(value) = value else {
                let flag = char::from(flag);
                return Err(refusal(program, &format!("option requires an argument -- '{flag}'")));
            };
            match flag {
                b'c' => asked.config = Some(value.into()),
                b'D' => asked.root = Some(value.into()),
                b'u' => asked.user = Some(name(&value)),
                _ => asked.group = Some(name(&value)),
            }
        }
    }
    Ok(Asked::Start(asked))
}

/// A name that is not text exists nowhere; it is refused where names are looked up.
fn name(value: &OsStr) -> String {
    value.to_string_lossy().into_owned()
}

fn changes_user(program: &Program) -> bool {
    matches!(program.privilege, Privilege::User { .. })
}

fn version(program: &Program) -> String {
    format!(
        " \nOxsec v{} ({})\n \nFree software under the MIT License or the Apache License 2.0, at your option;\nwithout any warranty, as far as the law allows.\n",
        env!("CARGO_PKG_VERSION"),
        program.name
    )
}

fn usage(program: &Program) -> String {
    let name = program.name;
    let user = if changes_user(program) { "[-u user] " } else { "" };
    let mut text = format!(
        " \nOxsec v{} - host intrusion detection\n{name}: {}\n  {name}: -[Vhdtf] {user}[-g group] [-c config] [-D dir]\n",
        env!("CARGO_PKG_VERSION"),
        program.about
    );
    let mut line = |flag: &str, meaning: &str| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "    {flag:<12}{meaning}");
    };
    line("-V", "Show version and licence");
    line("-h", "Show this help");
    line("-d", "Log more; give it twice for everything");
    line("-t", "Check the configuration, then exit: 0 if it is good, 1 if not");
    line("-f", "Stay in the foreground and log to the terminal too");
    line("-c <config>", "Configuration file (default: <dir>/etc/ossec.conf)");
    match program.privilege {
        Privilege::User { user, group } => {
            line("-u <user>", &format!("User to become (default: {user})"));
            line("-g <group>", &format!("Group to become (default: {group})"));
        }
        Privilege::Root { group, .. } => {
            line("-g <group>", &format!("Group to run as (default: {group})"));
        }
    }
    line("-D <dir>", "Install root (default: where this program is installed)");
    text.push_str(" \n");
    text
}

fn refusal(program: &Program, what: &str) -> String {
    format!("{}: {what}\n{}", program.name, usage(program))
}

#[cfg(test)]
mod tests {
    use super::*;

    static ROOT: Program = Program {
        name: "ossec-execd",
        about: "runs responses",
        debug_option: None,
        privilege: Privilege::Root { group: "ossec", keep: &[] },
    };
    static USER: Program = Program {
        name: "ossec-monitord",
        about: "rotates",
        debug_option: None,
        privilege: Privilege::User { user: "ossec", group: "ossec" },
    };

    fn start(program: &Program, arguments: &[&str]) -> Arguments {
        match parse(program, arguments.iter().map(OsString::from)) {
            Ok(Asked::Start(asked)) => asked,
            other => panic!("{arguments:?} gave {other:?}"),
        }
    }

    #[test]
    fn flags_may_be_joined_and_values_may_stick() {
        let asked = start(&USER, &["-dfd", "-c/etc/x", "-tD", "/opt/o", "-u", "a", "-gb"]);
        let expected = Arguments {
            debug: 2,
            test_only: true,
            foreground: true,
            config: Some("/etc/x".into()),
            user: Some("a".into()),
            group: Some("b".into()),
            root: Some("/opt/o".into()),
        };
        assert_eq!(asked, expected);
    }

    #[test]
    fn what_is_unknown_is_refused_with_the_help() {
        for (arguments, why) in [
            (&["-Z"][..], "ossec-execd: invalid option -- 'Z'\n"),
            (&["-u", "x"], "ossec-execd: invalid option -- 'u'\n"),
            (&["-c"], "ossec-execd: option requires an argument -- 'c'\n"),
            (&["-"], "ossec-execd: unexpected argument '-'\n"),
            (&["-f", "stray"], "ossec-execd: unexpected argument 'stray'\n"),
            (&["-\n"], "ossec-execd: invalid option -- '\\n'\n"),
        ] {
            let refusal = parse(&ROOT, arguments.iter().map(OsString::from)).unwrap_err();
            assert!(refusal.starts_with(why), "{arguments:?}: {refusal}");
            assert!(refusal.ends_with(&usage(&ROOT)), "{arguments:?}: {refusal}");
        }
    }

    #[test]
    fn the_help_has_the_known_shape() {
        let text = usage(&USER);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], " ");
        assert_eq!(
            lines[3],
            "  ossec-monitord: -[Vhdtf] [-u user] [-g group] [-c config] [-D dir]"
        );
        assert!(lines[4].starts_with("    -V          "));
        assert_eq!(lines.last(), Some(&" "));
        assert!(text.contains("    -u <user>   User to become (default: ossec)\n"));
        assert!(!usage(&ROOT).contains("-u"));
    }

    #[test]
    fn version_and_help_win_over_what_follows() {
        for flag in ["-V", "-h", "-fV", "-dh"] {
            let asked = parse(&ROOT, [flag, "-Z"].map(OsString::from));
            assert!(matches!(asked, Ok(Asked::Text(_))), "{flag}");
        }
    }
}
