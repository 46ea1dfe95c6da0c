//! `ossec-logtest`: what decoders and rules make of log lines; for people, for programs (`--json`), and for rule tests
//! (`--test`, described in `docs/rule-tests.md`); why (`--explain`, `docs/explain.md`); what is odd in rules (`--lint`); what
//! they would have made of the past (`--replay`).
//!
//! It loads the same configuration as the analysis daemon, and reads and judges in memory: nothing is written.

mod arguments;
mod check;
mod explain;
#[cfg(test)]
mod golden;
mod ini;
mod json;
mod junit;
mod lint;
mod phases;
mod replay;
#[cfg(test)]
mod samples;
mod script;
mod session;
mod setup;
mod unit;

use std::io::{self, BufRead, Write};
use std::path::Path;
use std::process::ExitCode;

use alerts::Moment;
use rules::Engine;

use arguments::Arguments;
use check::Report;
use script::DecodedBy;
use session::{MAX_LINE, Session};
use setup::{Files, Setup};

/// The name in front of every message.
const NAME: &str = "ossec-testrule";

/// Shorter lines are passed over.
const MIN_LINE: usize = 2;

/// Runs the program.
pub fn main() -> ExitCode {
    let arguments = match arguments::parse(std::env::args_os().skip(1)) {
        Ok(arguments) => arguments,
        Err(odd) => {
            tell(&format!("{NAME}: {odd}\n{}", arguments::USAGE));
            return ExitCode::FAILURE;
        }
    };
    if arguments.version || arguments.help {
        let version = format!("Oxsec v{} (ossec-logtest)\n", env!("CARGO_PKG_VERSION"));
        tell(if arguments.version { &version } else { arguments::USAGE });
        return ExitCode::SUCCESS;
    }
    match run(&arguments) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            for line in failure.lines() {
                tell(&format!("{NAME}: ERROR: {line}\n"));
            }
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<u8, String> {
    let root = runtime::root::find(arguments.root.as_deref());
    let config = arguments.config.clone().unwrap_or_else(|| root.join("etc/ossec.conf"));
    let expected = match &arguments.unit {
        Some(argument) => Some(
            unit::Expected::parse(argument)
                .ok_or("expected -U rule:level:decoder, as in -U 5716:5:sshd")?,
        ),
        None => None,
    };
    if arguments.debug > 0 {
        tell(&format!(
            "{NAME}: DEBUG: root '{}', configuration '{}'\n",
            root.display(),
            config.display()
        ));
    }
    let host = sys::host::name();
    let host = host.split('.').next().unwrap_or_default();
    let files = Files::read(&root, &config, host).map_err(|error| error.to_string())?;
    let setup = files.load().map_err(|error| error.to_string())?;
    if arguments.lint {
        return lint_rules(&files, &setup, arguments);
    }
    if !arguments.quiet {
        for warning in &setup.warnings {
            tell(&format!("{NAME}: WARN: {warning}\n"));
        }
    }
    if arguments.check_only {
        return Ok(0);
    }
    if let Some(path) = &arguments.test {
        return check_rules(&setup.engine, path, arguments);
    }
    if arguments.replay {
        let other = match &arguments.against {
            Some(path) => Some(other_rules(path, files, host).map_err(|error| error.to_string())?),
            None => None,
        };
        return replay::run(setup.engine, other.map(|other| other.engine), arguments, become_user);
    }
    become_user()?;
    let clock = Clock { fixed: arguments.at };
    let input = io::stdin().lock();
    if arguments.explain {
        return explain_lines(&setup.engine, input, clock, arguments);
    }
    if arguments.json {
        return answer_in_json(&setup.engine, input, io::stdout().lock(), clock, arguments.session)
            .map(|()| 0)
            .map_err(|error| broken(&error));
    }
    if !arguments.alerts && !arguments.quiet {
        tell(&format!("{NAME}: Type one log per line.\n\n"));
    }
    let mut talk = Talk { session: Session::new(&setup.engine), clock, arguments, expected };
    talk.run(input).map_err(|error| broken(&error))
}

/// Runs rule tests: 0 if all is well, else 1.
fn check_rules(engine: &Engine, path: &Path, arguments: &Arguments) -> Result<u8, String> {
    let report: Report = check::run(engine, path, arguments.filter.as_deref())
        .map_err(|error| format!("cannot read '{}': {}", error.path.display(), error.source))?;
    if let Some(file) = &arguments.junit {
        std::fs::write(file, junit::text(&report))
            .map_err(|error| format!("cannot write '{}': {error}", file.display()))?;
    }
    io::stdout().write_all(report.text(engine).as_bytes()).map_err(|error| broken(&error))?;
    let is_failure =
        !report.failures.is_empty() || arguments.coverage && !report.unreached(engine).is_empty();
    Ok(is_failure.into())
}

/// Says what is odd in rules and decoders; 1 if that is a failure.
fn lint_rules(files: &Files, setup: &Setup, arguments: &Arguments) -> Result<u8, String> {
    let findings = files.lint(&setup.engine);
    let shown = lint::Shown { all_notes: arguments.trace, json: arguments.json };
    let report = lint::report(&findings, &setup.warnings, shown);
    io::stdout().write_all(&report).map_err(|error| broken(&error))?;
    let is_odd = lint::warnings(&findings) + setup.warnings.len() > 0;
    Ok((arguments.strict && is_odd).into())
}

/// The rules that those in force are compared with: another configuration, install root, or folder of rules.
fn other_rules(path: &Path, files: Files, host: &str) -> Result<Setup, setup::SetupError> {
    if path.join("etc/ossec.conf").is_file() {
        return Setup::load(path, &path.join("etc/ossec.conf"), host);
    }
    if path.is_dir() {
        return files.with_rules_of(path)?.load();
    }
    // The root of .../etc/ossec.conf; of another place its own folder.
    let folder = path.parent().unwrap_or(Path::new("."));
    let root = if folder.ends_with("etc") { folder.parent() } else { None };
    Setup::load(root.unwrap_or(folder), path, host)
}

/// Explains each line read; lines are judged together.
fn explain_lines(
    engine: &Engine,
    mut input: impl BufRead,
    clock: Clock,
    arguments: &Arguments,
) -> Result<u8, String> {
    let why = match arguments.explain_rule {
        Some(id) => Some(engine.rule_by_id(id).ok_or(format!("there is no rule {id}"))?),
        None => None,
    };
    let mut session = Session::new(engine);
    let (mut line, mut out) = (Vec::new(), Vec::new());
    while read_line(&mut input, &mut line).map_err(|error| broken(&error))? {
        if line.len() < MIN_LINE {
            continue;
        }
        let mut event = session.decode(&line, DecodedBy::Decoders, b"stdin", clock.now());
        let told = session.explain(&mut event);
        let explained = explain::Explained { engine, event: &event, told: &told, why };
        out.clear();
        if arguments.json {
            explained.write_json(&mut out);
        } else {
            explained.write_text(arguments.trace, &mut out);
        }
        let mut stdout = io::stdout().lock();
        stdout.write_all(&out).and_then(|()| stdout.flush()).map_err(|error| broken(&error))?;
    }
    Ok(0)
}

/// One line of JSON for each line read, handed over at once.
fn answer_in_json(
    engine: &Engine,
    mut input: impl BufRead,
    mut output: impl Write,
    clock: Clock,
    together: bool,
) -> io::Result<()> {
    let mut session = Session::new(engine);
    let (mut line, mut out) = (Vec::new(), Vec::new());
    while read_line(&mut input, &mut line)? {
        if !together {
            session = Session::new(engine);
        }
        let event = session.decode(&line, DecodedBy::Decoders, b"stdin", clock.now());
        out.clear();
        json::write(engine, &session.judge(event), &mut out);
        output.write_all(&out)?;
        output.flush()?;
    }
    Ok(())
}

/// A conversation in text: phases on stderr, or alerts on stdout.
struct Talk<'a> {
    session: Session<'a>,
    clock: Clock,
    arguments: &'a Arguments,
    expected: Option<unit::Expected>,
}

impl Talk<'_> {
    /// Goes on until the input ends; gives the exit code.
    fn run(&mut self, mut input: impl BufRead) -> io::Result<u8> {
        let mut code = 0;
        let mut line = Vec::new();
        while read_line(&mut input, &mut line)? {
            if line.len() >= MIN_LINE {
                code = self.answer(&line)?;
            }
        }
        Ok(code)
    }

    fn answer(&mut self, line: &[u8]) -> io::Result<u8> {
        let event = self.session.decode(line, DecodedBy::Decoders, b"stdin", self.clock.now());
        let engine = self.session.engine();
        let mut out = Vec::new();
        if self.arguments.alerts {
            let verdict = self.session.judge(event);
            self.session.write_alert(&verdict, &mut out);
            let mut stdout = io::stdout().lock();
            stdout.write_all(&out)?;
            stdout.flush()?;
            return Ok(0);
        }
        phases::write_decoding(engine, &event, &mut out);
        let verdict = if self.arguments.trace {
            let verdict = self.session.judge_traced(event);
            phases::write_trace(engine, &verdict, &mut out);
            verdict
        } else {
            self.session.judge(event)
        };
        phases::write_filtering(engine, &verdict, &mut out);
        let code =
            self.expected.as_ref().map(|expected| expected.compare(engine, &verdict, &mut out));
        io::stderr().write_all(&out)?;
        if code == Some(0) {
            io::stdout().write_all(b"0\n")?;
        }
        Ok(code.unwrap_or(0))
    }
}

/// What time it is for the rules.
#[derive(Clone, Copy)]
struct Clock {
    /// Stands still here, in UTC.
    fixed: Option<i64>,
}

impl Clock {
    fn now(self) -> Moment {
        if let Some(epoch) = self.fixed {
            return Moment::utc(epoch);
        }
        let epoch = runtime::clock::now();
        let local = runtime::clock::local(epoch);
        Moment {
            epoch,
            year: u16::try_from(local.year).unwrap_or(0),
            month: local.month,
            day: local.day,
            hour: local.hour,
            minute: local.minute,
            second: local.second,
            weekday: local.weekday,
        }
    }
}

/// Reads one line without its newline, at most [`MAX_LINE`] bytes of it; false at the end of the input.
fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    loop {
        let buffer = input.fill_buf()?;
        if buffer.is_empty() {
            return Ok(!line.is_empty());
        }
        let end = buffer.iter().position(|&byte| byte == b'\n');
        let part = buffer.get(..end.unwrap_or(buffer.len())).unwrap_or_default();
        let room = MAX_LINE.saturating_sub(line.len()).min(part.len());
        line.extend_from_slice(part.get(..room).unwrap_or_default());
        let used = end.map_or(buffer.len(), |end| end + 1);
        input.consume(used);
        if end.is_some() {
            return Ok(true);
        }
    }
}

/// Root goes no further than reading the configuration: log lines come from anybody.
fn become_user() -> Result<(), String> {
    if sys::privilege::effective_uid() != 0 {
        return Ok(());
    }
    let failed = |error: io::Error| format!("cannot become user 'ossec': {error}");
    match sys::users::user("ossec").map_err(failed)? {
        Some(user) => sys::privilege::become_user(user.uid, user.gid).map_err(failed),
        None => Ok(()),
    }
}

fn broken(error: &io::Error) -> String {
    format!("cannot read or write: {error}")
}

/// Messages go to stderr; if that is closed, nobody listens.
fn tell(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_up_to_its_newline_and_no_longer_than_the_limit() {
        let mut text = b"one\n\ntwo".to_vec();
        text.extend(vec![b'x'; MAX_LINE]);
        text.extend(b"\nlast");
        let mut input = io::BufReader::with_capacity(7, &text[..]);
        let mut line = Vec::new();
        let mut lengths = Vec::new();
        while read_line(&mut input, &mut line).unwrap() {
            lengths.push(line.len());
        }
        assert_eq!(lengths, [3, 0, MAX_LINE, 4]);
    }

    const LINE: &str = "Nov 14 22:13:20 web1 app[7]: login failed for bob from 10.0.0.1\n";

    fn rules_in_json(lines: &str, together: bool) -> Vec<Option<u64>> {
        let engine = samples::engine();
        let mut output = Vec::new();
        let clock = Clock { fixed: Some(1_700_000_000) };
        answer_in_json(&engine, lines.as_bytes(), &mut output, clock, together).unwrap();
        let rows = String::from_utf8(output).unwrap();
        let rule =
            |row: &str| serde_json::from_str::<serde_json::Value>(row).unwrap()["rule"].as_u64();
        rows.lines().map(rule).collect()
    }

    #[test]
    fn every_line_has_an_answer_and_is_judged_alone_unless_a_session_is_asked_for() {
        let lines = [LINE.repeat(6).as_str(), "\n", "x"].concat();
        let alone = rules_in_json(&lines, false);
        assert_eq!(alone.len(), 8);
        assert!(alone[..6].iter().all(|&rule| rule == Some(100_001)));
        assert_eq!(alone[6..], [None, None]);
        let together = rules_in_json(&lines, true);
        assert_eq!(together.len(), 8);
        assert_eq!(together[5], Some(100_002));
    }

    #[test]
    fn the_exit_code_of_a_unit_test_tells_what_differs() {
        let engine = samples::engine();
        let code = |line: &str, argument: &str| {
            let mut session = Session::new(&engine);
            let event = session.decode(
                line.trim_end().as_bytes(),
                DecodedBy::Decoders,
                b"stdin",
                Moment::utc(0),
            );
            let verdict = session.judge(event);
            unit::Expected::parse(argument.as_bytes()).unwrap().compare(
                &engine,
                &verdict,
                &mut Vec::new(),
            )
        };
        assert_eq!(code(LINE, "100001:5:APP"), 0);
        assert_eq!(code(LINE, "100001:6:app"), 1);
        assert_eq!(code(LINE, "100002:5:app"), 2);
        assert_eq!(code(LINE, "100001:5:other"), 3);
        assert_eq!(code("nobody knows", "100001:5:(null)"), unit::NO_RULE);
    }

    #[test]
    fn an_alert_is_numbered_and_a_line_without_one_writes_nothing() {
        let engine = samples::engine();
        let mut session = Session::new(&engine);
        let mut out = Vec::new();
        for line in ["x", LINE.trim_end(), LINE.trim_end()] {
            let event = session.decode(
                line.as_bytes(),
                DecodedBy::Decoders,
                b"stdin",
                Moment::utc(1_700_000_000),
            );
            let verdict = session.judge(event);
            session.write_alert(&verdict, &mut out);
        }
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.matches("** Alert ").count(), 2);
        assert!(
            text.contains(
                "** Alert 1700000000.2: - local,app,\n2023 Nov 14 22:13:20 web1->stdin\n"
            ),
            "{text}"
        );
    }
}
