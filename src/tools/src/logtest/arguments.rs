//! The command line of `ossec-logtest`.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

/// What `-h` shows.
pub(super) const USAGE: &str = "\
ossec-logtest: shows what decoders and rules make of log lines
  ossec-logtest [-Vhdtavq] [-c config] [-D dir] [-U rule:level:decoder]
  ossec-logtest --json [--session]
  ossec-logtest --explain [RULE] [--json]
  ossec-logtest --lint [--strict] [--json]
  ossec-logtest --test FILE|FOLDER [--filter WORD] [--coverage] [--junit FILE]
  ossec-logtest --replay [--against CONFIG|FOLDER] [--json] FILE...
    -a          Show alerts, as they would be written, instead of the phases
    -v          Show each rule that is tried
    -U r:l:d    Check the rule, level and decoder of the line; the exit code tells what differs
    --json      One line of JSON for each line read; each line is judged as if it were the first
    --session   With --json: lines are judged together, so that rules can count them
    --explain   What each line was tried on, and what failed; with RULE: why this rule did, or did not, fire
    --lint      Look for rules and decoders that do something else than they seem to
    --strict    With --lint: exit code 1 if there is a warning
    --test P    Run the rule tests of a file, or of all *.test and *.ini files below a folder
    --filter W  With --test: only tests with this word in their file name or title
    --coverage  With --test: a rule that no test reaches is a failure
    --junit F   With --test: write the results as JUnit XML, too
    --replay    Judge archives or logs (also .gz, .zst) by the times in their lines
    --against P With --replay: show how the alerts of other rules differ (an ossec.conf, or a folder of rules)
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
    /// `--explain`
    pub(super) explain: bool,
    /// The rule behind `--explain`
    pub(super) explain_rule: Option<u32>,
    /// `--lint`
    pub(super) lint: bool,
    /// `--strict`
    pub(super) strict: bool,
    /// `--filter`
    pub(super) filter: Option<String>,
    /// `--junit`
    pub(super) junit: Option<PathBuf>,
    /// `--replay`
    pub(super) replay: bool,
    /// `--against`
    pub(super) against: Option<PathBuf>,
    /// What stands behind the options: files to replay.
    pub(super) files: Vec<PathBuf>,
}

/// Reads what stands behind the program's name; the error says what is odd.
pub(super) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Arguments, String> {
    let mut asked = Arguments::default();
    let mut arguments = arguments.into_iter().peekable();
    while let Some(argument) = arguments.next() {
        if argument == "--explain" {
            asked.explain = true;
            // A rule may follow.
            let rule = |word: &OsString| word.to_str().and_then(|word| word.parse().ok());
            asked.explain_rule = arguments.peek().and_then(rule);
            if asked.explain_rule.is_some() {
                arguments.next();
            }
            continue;
        }
        if let Some(name) = argument.as_bytes().strip_prefix(b"--") {
            long(&mut asked, name, &mut arguments)?;
            continue;
        }
        let Some(flags) = argument.as_bytes().strip_prefix(b"-").filter(|flags| !flags.is_empty())
        else {
            asked.files.push(argument.into());
            continue;
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
        b"explain" => {
            let rule = value()?;
            let number = rule.to_str().and_then(|rule| rule.parse().ok());
            asked.explain_rule = Some(number.ok_or("expected --explain with a rule number")?);
            asked.explain = true;
        }
        b"lint" => asked.lint = true,
        b"strict" => asked.strict = true,
        b"filter" => asked.filter = Some(value()?.to_string_lossy().into_owned()),
        b"junit" => asked.junit = Some(value()?.into()),
        b"replay" => asked.replay = true,
        b"against" => asked.against = Some(value()?.into()),
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
    let modes =
        [asked.test.is_some(), asked.unit.is_some(), asked.explain, asked.lint, asked.replay];
    let modes = modes.iter().filter(|&&mode| mode).count() + usize::from(asked.alerts);
    let json_alone = asked.json && (asked.test.is_some() || asked.unit.is_some() || asked.alerts);
    if modes > 1 || json_alone {
        return Err(
            "only one of -a, -U, --explain, --lint, --replay, --test can be given; --json goes with --explain, --lint, --replay"
                .to_owned(),
        );
    }
    let alone = asked.json && modes == 0;
    let needs = [
        (asked.session && !alone, "--session goes with --json"),
        (asked.coverage && asked.test.is_none(), "--coverage goes with --test"),
        (asked.filter.is_some() && asked.test.is_none(), "--filter goes with --test"),
        (asked.junit.is_some() && asked.test.is_none(), "--junit goes with --test"),
        (
            asked.coverage && asked.filter.is_some(),
            "--coverage needs all tests, --filter leaves some out",
        ),
        (asked.strict && !asked.lint, "--strict goes with --lint"),
        (asked.against.is_some() && !asked.replay, "--against goes with --replay"),
        (asked.replay && asked.files.is_empty(), "--replay needs files"),
    ];
    if let Some((_, text)) = needs.iter().find(|(odd, _)| *odd) {
        return Err((*text).to_owned());
    }
    match asked.files.first() {
        Some(file) if !asked.replay => Err(format!("unexpected argument '{}'", file.display())),
        _ => Ok(()),
    }
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
    fn a_rule_may_follow_explain() {
        let asked = parsed(&["--explain", "5716", "--json"]).unwrap();
        assert!(asked.explain && asked.json && asked.explain_rule == Some(5716));
        assert_eq!(parsed(&["--explain", "-q"]).unwrap().explain_rule, None);
        assert_eq!(parsed(&["--explain=7"]).unwrap().explain_rule, Some(7));
    }

    #[test]
    fn files_to_replay_may_stand_anywhere() {
        let asked = parsed(&["a.log", "--replay", "b.gz", "--against", "etc"]).unwrap();
        assert_eq!(asked.files, [PathBuf::from("a.log"), PathBuf::from("b.gz")]);
        assert_eq!(asked.against, Some(PathBuf::from("etc")));
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
            &["--replay"],
            &["--replay", "--lint", "x"],
            &["--against", "x"],
            &["--strict"],
            &["--test", "a", "--json"],
            &["--test", "a", "--filter", "b", "--coverage"],
            &["--explain", "x"],
            &["--explain=x"],
        ] {
            assert!(parsed(words).is_err(), "{words:?}");
        }
    }
}
