//! Running rule tests and saying what failed, and which rules no test reaches.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use alerts::Moment;
use rules::Engine;

use super::ini;
use super::script::{self, Event, Expected, Test};
use super::session::{Session, Verdict};

/// What a run of tests came to.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// Files that were read.
    pub(super) files: usize,
    /// Tests that were run.
    pub(super) tests: usize,
    /// Tests of which something was not as expected.
    pub(super) failed: usize,
    /// What became of each test, and of each file that cannot be read as written.
    pub(super) cases: Vec<Case>,
    /// One line each: `file:line: what: expected ..., got ...`.
    pub(super) failures: Vec<String>,
    /// Only tests with this word in file name or title.
    filter: Option<String>,
    /// Numbers of the rules that a passing `rule:` ended at or passed through.
    reached: HashSet<u32>,
}

/// What became of one test.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Case {
    /// File that it stands in.
    pub(super) file: String,
    /// Line of its first event.
    pub(super) line: usize,
    /// Its title, or the line of its first event.
    pub(super) title: String,
    /// What was not as expected.
    pub(super) failures: Vec<String>,
}

/// A file or folder of tests that cannot be read.
#[derive(Debug)]
pub(super) struct Unreadable {
    /// Which.
    pub(super) path: PathBuf,
    /// Why.
    pub(super) source: io::Error,
}

/// Most files of tests.
const MAX_FILES: usize = 10_000;
/// Longest file of tests.
const MAX_FILE: u64 = 64 << 20;

/// Runs the tests of a file, or of all `*.test` and `*.ini` files below a folder in the order of their names; with a
/// filter only those whose file name or title has it.
pub(super) fn run(
    engine: &Engine,
    path: &Path,
    filter: Option<&str>,
) -> Result<Report, Unreadable> {
    let mut report = Report { filter: filter.map(str::to_owned), ..Report::default() };
    let mut found = Vec::new();
    files(path, &mut found)?;
    for file in found {
        let unreadable = |source| Unreadable { path: file.clone(), source };
        if fs::metadata(&file).map_err(unreadable)?.len() > MAX_FILE {
            return Err(unreadable(io::Error::other(format!(
                "it is longer than {MAX_FILE} bytes"
            ))));
        }
        let text = fs::read(&file).map_err(unreadable)?;
        report.file(engine, &file.display().to_string(), &text);
    }
    Ok(report)
}

fn files(path: &Path, found: &mut Vec<PathBuf>) -> Result<(), Unreadable> {
    let unreadable = |source| Unreadable { path: path.to_owned(), source };
    if !fs::metadata(path).map_err(unreadable)?.is_dir() {
        found.push(path.to_owned());
        return Ok(());
    }
    let mut entries = Vec::new();
    for entry in fs::read_dir(path).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let is_folder = entry.file_type().map_err(unreadable)?.is_dir();
        entries.push((entry.path(), is_folder));
    }
    entries.sort();
    for (entry, is_folder) in entries {
        if is_folder {
            files(&entry, found)?;
        } else if entry.extension().is_some_and(|kind| kind == "test" || kind == "ini") {
            found.push(entry);
        }
        if found.len() > MAX_FILES {
            return Err(unreadable(io::Error::other(format!(
                "there are more than {MAX_FILES} tests"
            ))));
        }
    }
    Ok(())
}

impl Report {
    /// Runs the tests of one file.
    pub(super) fn file(&mut self, engine: &Engine, name: &str, text: &[u8]) {
        let (tests, errors) = match name.ends_with(".ini") {
            true => ini::parse(text),
            false => script::parse(text),
        };
        self.files += 1;
        for error in errors {
            self.failures.push(format!("{name}:{}: {error}", error.line));
            self.cases.push(Case {
                file: name.to_owned(),
                line: error.line,
                title: "the file is read".to_owned(),
                failures: vec![error.text],
            });
        }
        for test in &tests {
            if !self.wants(name, test) {
                continue;
            }
            self.tests += 1;
            let before = self.failures.len();
            self.test(engine, name, test);
            self.failed += usize::from(self.failures.len() > before);
            let line = test.events.first().map_or(0, |event| event.line);
            let title = match test.title.as_str() {
                "" => format!("line {line}"),
                title => title.to_owned(),
            };
            let failures = self.failures.get(before..).unwrap_or_default().to_vec();
            self.cases.push(Case { file: name.to_owned(), line, title, failures });
        }
    }

    fn wants(&self, file: &str, test: &Test) -> bool {
        let Some(word) = &self.filter else { return true };
        let file = file.rsplit('/').next().unwrap_or(file);
        file.contains(word.as_str()) || test.title.contains(word.as_str())
    }

    fn test(&mut self, engine: &Engine, file: &str, test: &Test) {
        let mut session = Session::new(engine);
        for event in &test.events {
            let Some(verdict) = send(&mut session, event) else { continue };
            let mut says_rule = false;
            let mut passed = true;
            for expectation in &event.expected {
                says_rule |= matches!(
                    expectation.what,
                    Expected::Rule(Some(_)) | Expected::Outcome { matches: true, .. }
                );
                if let Err(difference) = compare(engine, &verdict, &expectation.what) {
                    passed = false;
                    let title = if test.title.is_empty() {
                        String::new()
                    } else {
                        format!(" ({})", test.title)
                    };
                    self.failures.push(format!("{file}:{}: {difference}{title}", expectation.line));
                }
            }
            if says_rule && passed {
                self.reached.extend(verdict.matched().map(|index| engine.rule(index).id));
            }
        }
    }

    /// The rules that no test reaches, one line each, in the order of the rule files.
    pub(super) fn unreached(&self, engine: &Engine) -> Vec<String> {
        let unreached = engine.rules().iter().filter(|rule| !self.reached.contains(&rule.id));
        unreached
            .map(|rule| {
                format!(
                    "{} ({}:{}) {}",
                    rule.id,
                    rule.file,
                    rule.line,
                    String::from_utf8_lossy(&rule.description)
                )
            })
            .collect()
    }

    /// Everything as text.
    pub(super) fn text(&self, engine: &Engine) -> String {
        let mut out = String::new();
        for failure in &self.failures {
            out.push_str(failure);
            out.push('\n');
        }
        let unreached = if self.filter.is_none() { self.unreached(engine) } else { Vec::new() };
        if !unreached.is_empty() {
            // Writing to a String cannot fail.
            let _ = writeln!(out, "\nNo test reaches these rules:");
            for rule in &unreached {
                let _ = writeln!(out, "    {rule}");
            }
            out.push('\n');
        }
        let passed = self.tests - self.failed;
        let rules = engine.rules().len();
        let _ = write!(
            out,
            "{} tests in {} files: {passed} passed, {} failed.",
            self.tests, self.files, self.failed
        );
        if self.filter.is_none() {
            let _ = write!(out, " {} of {rules} rules reached.", rules - unreached.len());
        }
        out.push('\n');
        out
    }
}

/// Sends an event as often as it says; gives what became of the last.
fn send(session: &mut Session<'_>, event: &Event) -> Option<Verdict> {
    let mut last = None;
    for count in 1..=event.repeat {
        let line = if event.repeat > 1 { numbered(&event.log, count) } else { event.log.clone() };
        let decoded =
            session.decode(&line, event.decoded_by, &event.location, Moment::utc(event.epoch));
        last = Some(session.judge_traced(decoded));
    }
    last
}

/// The line with `{n}` replaced.
fn numbered(line: &[u8], count: u32) -> Vec<u8> {
    let mut out = Vec::with_capacity(line.len() + 8);
    let mut rest = line;
    while let Some(at) = rest.windows(3).position(|window| window == b"{n}") {
        out.extend_from_slice(rest.get(..at).unwrap_or_default());
        out.extend_from_slice(count.to_string().as_bytes());
        rest = rest.get(at + 3..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    out
}

fn compare(engine: &Engine, verdict: &Verdict, expected: &Expected) -> Result<(), String> {
    let event = &verdict.event;
    let rule = verdict.judgement.rule.map(|index| engine.rule(index));
    match expected {
        Expected::Rule(id) => same("rule", or_none(*id), or_none(rule.map(|rule| rule.id))),
        Expected::Level(level) => {
            same("level", level.to_string(), or_none(rule.map(|rule| rule.level)))
        }
        Expected::Decoder(name) => same(
            "decoder",
            text(name.as_deref()),
            text(engine.decoder_name(event).map(str::as_bytes)),
        ),
        Expected::Alert(alert) => {
            let shown = |alert: bool| if alert { "yes" } else { "no" }.to_owned();
            same("alert", shown(*alert), shown(verdict.judgement.log))
        }
        Expected::Groups(names) => {
            let has = |name: &[u8]| {
                rule.is_some_and(|rule| rule.group_names().any(|group| group == name))
            };
            match names.iter().find(|name| !has(name)) {
                None => Ok(()),
                Some(missing) => same(
                    "groups",
                    text(Some(missing)),
                    text(rule.map(|rule| rule.groups.as_slice())),
                ),
            }
        }
        Expected::Program(name) => {
            same("program", text(name.as_deref()), text(event.program_name()))
        }
        Expected::Hostname(name) => {
            same("hostname", text(Some(name)), text(Some(event.hostname())))
        }
        Expected::Outcome { rule: id, level, decoder, matches } => {
            let name = engine.decoder_name(event).unwrap_or("(null)");
            let number = |n: Option<u32>| n.map_or(String::new(), |n| n.to_string());
            let got = [
                number(rule.map(|rule| rule.id)),
                number(rule.map(|rule| rule.level.into())),
                name.to_owned(),
            ];
            let wanted = [id, level, decoder];
            let is_it = wanted
                .iter()
                .zip(&got)
                .all(|(want, got)| got.as_bytes().eq_ignore_ascii_case(want));
            if is_it == *matches {
                return Ok(());
            }
            let wanted = wanted.map(|part| String::from_utf8_lossy(part).into_owned()).join(":");
            let other = if *matches { "" } else { "anything but " };
            Err(format!("rule:level:decoder: expected {other}{wanted}, got {}", got.join(":")))
        }
        Expected::Field { label, value } => {
            let printed = printed_label(label);
            let assigned =
                || engine.assignments(event).filter(|(name, _)| name.as_bytes() == printed);
            if assigned().any(|(_, got)| got == value) {
                return Ok(());
            }
            let got = assigned().next().map(|(_, got)| got);
            same(&label.escape_ascii().to_string(), text(Some(value)), text(got))
        }
    }
}

/// Fields may be called as decoders write them in `<order>`, too.
fn printed_label(label: &[u8]) -> &[u8] {
    match label {
        b"user" => b"dstuser",
        b"protocol" => b"proto",
        b"data" => b"extra_data",
        other => other,
    }
}

fn same(what: &str, expected: String, got: String) -> Result<(), String> {
    if expected == got { Ok(()) } else { Err(format!("{what}: expected {expected}, got {got}")) }
}

fn or_none(number: Option<impl ToString>) -> String {
    number.map_or_else(|| "none".to_owned(), |number| number.to_string())
}

fn text(bytes: Option<&[u8]>) -> String {
    bytes.map_or_else(|| "none".to_owned(), |bytes| format!("'{}'", String::from_utf8_lossy(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logtest::samples;

    fn report(text: &str) -> Report {
        let mut report = Report::default();
        report.file(&samples::engine(), "a.test", text.as_bytes());
        report
    }

    const PASSING: &str = "test: one\nlog: Nov 14 22:13:20 web1 app[7]: login failed for bob from 10.0.0.1\n\
        decoder: app\nprogram: app\nhostname: web1\n";

    #[test]
    fn what_is_as_expected_passes() {
        let report = report(
            "log: Nov 14 22:13:20 web1 app[7]: login failed for bob from 10.0.0.1\ndecoder: app\nprogram: app\nhostname: web1\n\
             dstuser = bob\nuser = bob\nsrcip = 10.0.0.1\nrule: 100001\nlevel: 5\nalert: yes\ngroups: app\n\nlog: nothing known\nrule: none\ndecoder: none\n",
        );
        assert_eq!(report.failures, Vec::<String>::new());
        assert_eq!((report.files, report.tests, report.failed), (1, 2, 0));
    }

    #[test]
    fn what_differs_is_said_with_file_line_and_both_values() {
        let report = report(
            "test: wrong\nlog: Nov 14 22:13:20 web1 app[7]: login failed for bob from 10.0.0.1\nrule: 100002\nlevel: 3\ndecoder: none\n\
             srcip = 10.0.0.2\nurl = /x\nalert: no\ngroups: app,web\nprogram: none\nhostname: web2\n",
        );
        assert_eq!(
            report.failures,
            [
                "a.test:3: rule: expected 100002, got 100001 (wrong)",
                "a.test:4: level: expected 3, got 5 (wrong)",
                "a.test:5: decoder: expected none, got 'app' (wrong)",
                "a.test:6: srcip: expected '10.0.0.2', got '10.0.0.1' (wrong)",
                "a.test:7: url: expected '/x', got none (wrong)",
                "a.test:8: alert: expected no, got yes (wrong)",
                "a.test:9: groups: expected 'web', got 'local,app,' (wrong)",
                "a.test:10: program: expected none, got 'app' (wrong)",
                "a.test:11: hostname: expected 'web2', got 'web1' (wrong)",
            ]
        );
        assert_eq!(report.failed, 1);
    }

    #[test]
    fn events_of_one_test_are_counted_together_and_those_of_two_are_not() {
        let line = "log: Nov 14 22:13:20 web1 app[7]: login failed for bob{n} from 10.0.0.1\n";
        let together = report(&format!(
            "repeat: 5\n{line}rule: 100001\nlog: Nov 14 22:13:21 web1 app[7]: login failed for al from 10.0.0.1\nrule: 100002\n"
        ));
        assert_eq!(together.failures, Vec::<String>::new());
        let apart = report(&format!("repeat: 5\n{line}rule: 100001\n\n{line}rule: 100001\n"));
        assert_eq!(apart.failures, Vec::<String>::new());
        let late =
            report(&format!("repeat: 5\n{line}rule: 100001\nafter: 1h\n{line}rule: 100001\n"));
        assert_eq!(late.failures, Vec::<String>::new());
    }

    #[test]
    fn a_rule_is_reached_with_its_parents_and_only_by_a_test_that_passes() {
        let engine = samples::engine();
        let unreached = |text: &str| {
            let numbers = report(text).unreached(&engine).into_iter();
            numbers
                .map(|line| line.split(' ').next().unwrap_or_default().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(unreached(""), ["100000", "100001", "100002"]);
        assert_eq!(unreached(PASSING), ["100000", "100001", "100002"]);
        let line = "log: Nov 14 22:13:20 web1 app[7]: login failed for bob from 10.0.0.1\n";
        assert_eq!(unreached(&format!("{line}rule: 100001\n")), ["100002"]);
        assert_eq!(
            unreached(&format!("{line}rule: 100001\nlevel: 4\n")),
            ["100000", "100001", "100002"]
        );
    }

    #[test]
    fn a_broken_file_fails_but_its_good_tests_run() {
        let report = report("log: x\nrule: none\nnonsense\n");
        assert_eq!(report.tests, 1);
        assert_eq!(report.failures.len(), 1);
        assert!(
            report.failures[0].starts_with("a.test:3: expected `key: value`"),
            "{:?}",
            report.failures
        );
    }

    #[test]
    fn files_are_found_below_folders_in_order() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("b")).unwrap();
        for name in ["c.test", "b/a.test", "a.test", "a.txt", "d.ini"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let mut found = Vec::new();
        files(folder.path(), &mut found).unwrap();
        let names: Vec<_> = found
            .iter()
            .map(|path| path.strip_prefix(folder.path()).unwrap().to_str().unwrap())
            .collect();
        assert_eq!(names, ["a.test", "b/a.test", "c.test", "d.ini"]);
        assert!(files(&folder.path().join("none"), &mut found).is_err());
    }
}
