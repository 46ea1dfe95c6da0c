//! The command line of `ossec-logtest`.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

/// What `-h` shows.
pub(super) const USAGE: &str = "\
ossec-logtest: shows what decoders and rules make of log lines
  ossec-logtest [-Vhdtavq] [-c config] [-D dir] [-U rule:level:decoder]
  ossec-logtest --json [--session]
  ossec-logtest --test FILE|FOLDER [--coverage]
    -a          Show alerts, as they would be written, instead of the phases
    -v          Show each rule that is tried
    -U r:l:d    Check the rule, level and decoder of the line; the exit code tells what differs
    --json      One line of JSON for each line read; each line is judged as if it were the first
    --session   With --json: lines are judged together, so that rules can count them
    --test P    Run the rule tests of a file, or of all *.test files below a folder
    --coverage  With --test: a rule that no test reaches is a failure
    --at TIME   The clock stands at this time in UTC: '2023-11-14 22:13:20'
    -t          Check the configuration, rules and decoders, then exit
    -q          Say nothing but the results
    -c file     Configuration, instead of etc/ossec.conf below the install root
    -D dir      Install root
    -d          Say more about what is being done
    -V -h       Version, this help
";

/// What the command line asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Arguments {
    /// `-V`
    pub(super) version: bool,
    /// `-h`
    pub(super) help: bool,
    /// How often `-d` was given.
    pub(super) debug: u8,
    /// `-t`
    pub(super) check_only: bool,
    /// `-a`
    pub(super) alerts: bool,
    /// `-v`
    pub(super) trace: bool,
    /// `-q`
    pub(super) quiet: bool,
    /// `-c`
    pub(super) config: Option<PathBuf>,
    /// `-D`
    pub(super) root: Option<PathBuf>,
    /// `-U`
    pub(super) unit: Option<Vec<u8>>,
    /// `--json`
    pub(super) json: bool,
    /// `--session`
    pub(super) session: bool,
    /// `--test`
    pub(super) test: Option<PathBuf>,
    /// `--coverage`
    pub(super) coverage: bool,
    /// `--at`
    pub(super) at: Option<i64>,
}

/// Reads what stands behind the program's name; the error says what is odd.
pub(super) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Arguments, String> {
    let mut asked = Arguments::default();
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        if let Some(name) = argument.as_bytes().strip_prefix(b"--") {
            long(&mut asked, name, &mut arguments)?;
            continue;
        }
        let Some(flags) = argument.as_bytes().strip_prefix(b"-").filter(|flags| !flags.is_empty())
        else {
            return Err(format!("unexpected argument '{}'", argument.to_string_lossy()));
        };
        short(&mut asked, flags, &mut arguments)?;
    }
    check(&asked)?;
    Ok(asked)
}

fn long(
    asked: &mut Arguments,
    name: &[u8],
    rest: &mut impl Iterator<Item = OsString>,
) -> Result<(), String> {
    let (name, stuck) = match name.iter().position(|&byte| byte == b'=') {
        Some(at) => (name.get(..at).unwrap_or_default(), name.get(at + 1..)),
        None => (name, None),
    };
    let mut value = || match stuck {
        Some(value) => Ok(OsString::from_vec(value.to_vec())),
        None => rest
            .next()
            .ok_or_else(|| format!("option requires an argument -- '{}'", name.escape_ascii())),
    };
    match name {
        b"test" => asked.test = Some(value()?.into()),
        b"at" => {
            let given = value()?;
            let epoch = super::script::date(given.as_bytes());
            asked.at = Some(epoch.ok_or("expected --at '2023-11-14 22:13:20'")?);
        }
        b"json" => asked.json = true,
        b"session" => asked.session = true,
        b"coverage" => asked.coverage = true,
        b"help" => asked.help = true,
        b"version" => asked.version = true,
        other => return Err(format!("invalid option -- '{}'", other.escape_ascii())),
    }
    Ok(())
}

/// Flags may be joined, and a value may stick to its flag, as with getopt.
fn short(
    asked: &mut Arguments,
    flags: &[u8],
    rest: &mut impl Iterator<Item = OsString>,
) -> Result<(), String> {
    let mut flags = flags.iter().copied();
    while let Some(flag) = flags.next() {
        match flag {
            b'V' => asked.version = true,
            b'h' => asked.help = true,
            b'd' => asked.debug = asked.debug.saturating_add(1),
            b't' => asked.check_only = true,
            b'a' => asked.alerts = true,
            b'v' => asked.trace = true,
            b'q' => asked.quiet = true,
            b'c' | b'D' | b'U' => {
                let stuck: Vec<u8> = flags.by_ref().collect();
                let given =
                    if stuck.is_empty() { rest.next() } else { Some(OsString::from_vec(stuck)) };
                let given = given.ok_or_else(|| {
                    format!("option requires an argument -- '{}'", char::from(flag))
                })?;
                match flag {
                    b'c' => asked.config = Some(given.into()),
                    b'D' => asked.root = Some(given.into()),
                    _ => asked.unit = Some(given.into_vec()),
                }
            }
            other => {
                return Err(format!("invalid option -- '{}'", char::from(other).escape_default()));
            }
        }
    }
    Ok(())
}

fn check(asked: &Arguments) -> Result<(), String> {
    let modes = [asked.json, asked.test.is_some(), asked.unit.is_some(), asked.alerts];
    if modes.iter().filter(|&&mode| mode).count() > 1 {
        return Err("only one of -a, -U, --json and --test can be given".to_owned());
    }
    if asked.session && !asked.json {
        return Err("--session goes with --json".to_owned());
    }
    if asked.coverage && asked.test.is_none() {
        return Err("--coverage goes with --test".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Result<Arguments, String> {
        parse(words.iter().map(OsString::from))
    }

    #[test]
    fn flags_may_be_joined_and_values_may_stick() {
        let asked = parsed(&["-vqd", "-c/etc/x", "-D", "/opt/o", "-U", "5716:5:sshd"]).unwrap();
        assert!(asked.trace && asked.quiet && asked.debug == 1);
        assert_eq!(asked.config, Some(PathBuf::from("/etc/x")));
        assert_eq!(asked.root, Some(PathBuf::from("/opt/o")));
        assert_eq!(asked.unit.as_deref(), Some(&b"5716:5:sshd"[..]));
    }

    #[test]
    fn long_options_take_values_in_both_ways() {
        assert_eq!(parsed(&["--test=a"]).unwrap().test, Some(PathBuf::from("a")));
        let asked = parsed(&["--test", "a", "--coverage", "--at", "1970-01-02 00:00:00"]).unwrap();
        assert_eq!((asked.coverage, asked.at), (true, Some(86_400)));
    }

    #[test]
    fn odd_arguments_are_refused() {
        for words in [
            &["x"][..],
            &["-z"],
            &["--nope"],
            &["-c"],
            &["--test"],
            &["-a", "--json"],
            &["--session"],
            &["--coverage"],
            &["-"],
        ] {
            assert!(parsed(words).is_err(), "{words:?}");
        }
    }
}
