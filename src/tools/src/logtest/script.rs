//! Rule tests as text: reading `*.test` files. The format is described in `docs/rule-tests.md`.

use std::fmt;

use rules::{Builtin, FileChange};

/// When events happen unless a test says otherwise: Tuesday, 2023-11-14 22:13:20.
pub(super) const USUAL_EPOCH: i64 = 1_700_000_000;

/// Events of one `repeat:` at most.
const MAX_REPEAT: u32 = 100_000;

/// One test: events that are judged in one session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Test {
    /// From `test:`; empty if there is none.
    pub(super) title: String,
    /// In order.
    pub(super) events: Vec<Event>,
}

/// One `log:` line with what is said of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Event {
    /// Line of the file, from 1.
    pub(super) line: usize,
    /// The log line.
    pub(super) log: Vec<u8>,
    /// Who decodes it.
    pub(super) decoded_by: DecodedBy,
    /// Where it was seen.
    pub(super) location: Vec<u8>,
    /// When, as seconds since 1970 in UTC.
    pub(super) epoch: i64,
    /// How often.
    pub(super) repeat: u32,
    /// What the last of them is to become.
    pub(super) expected: Vec<Expectation>,
}

/// Who decodes an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DecodedBy {
    /// The decoders of the configuration.
    Decoders,
    /// A built-in decoder, which has done its work.
    Builtin(Builtin),
    /// The built-in decoder of rootcheck: a text is new when the test has not had it before.
    Rootcheck,
}

/// One line that expects something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Expectation {
    /// Line of the file, from 1.
    pub(super) line: usize,
    /// What it expects.
    pub(super) what: Expected,
}

/// What can be expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Expected {
    /// `rule:`
    Rule(Option<u32>),
    /// `level:`
    Level(u8),
    /// `decoder:`
    Decoder(Option<Vec<u8>>),
    /// `alert:`
    Alert(bool),
    /// `groups:`
    Groups(Vec<Vec<u8>>),
    /// `program:`
    Program(Option<Vec<u8>>),
    /// `hostname:`
    Hostname(Vec<u8>),
    /// `label = value`
    Field { label: Vec<u8>, value: Vec<u8> },
    /// Of an `.ini` test: rule, level and decoder together are this, or, if not `matches`, anything but this.
    Outcome { rule: Vec<u8>, level: Vec<u8>, decoder: Vec<u8>, matches: bool },
}

/// A line that is no line of a test file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ScriptError {
    /// Line of the file, from 1.
    pub(super) line: usize,
    /// What was expected there.
    pub(super) text: String,
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Reads a file; what is wrong with it comes beside what is right.
pub(super) fn parse(text: &[u8]) -> (Vec<Test>, Vec<ScriptError>) {
    let mut reader = Reader::default();
    for (at, line) in text.split(|&byte| byte == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if let Err(text) = reader.line(at + 1, line) {
            reader.errors.push(ScriptError { line: at + 1, text });
        }
    }
    reader.end_test();
    (reader.tests, reader.errors)
}

#[derive(Default)]
struct Reader {
    tests: Vec<Test>,
    errors: Vec<ScriptError>,
    test: Test,
    next: Next,
}

/// What has been said of events to come.
struct Next {
    decoded_by: DecodedBy,
    location: Vec<u8>,
    epoch: i64,
    repeat: u32,
    /// Line of a key that waits for its event.
    waiting: Option<usize>,
}

impl Default for Next {
    fn default() -> Self {
        let location = b"stdin".to_vec();
        Self {
            decoded_by: DecodedBy::Decoders,
            location,
            epoch: USUAL_EPOCH,
            repeat: 1,
            waiting: None,
        }
    }
}

impl Reader {
    fn line(&mut self, number: usize, line: &[u8]) -> Result<(), String> {
        if line.trim_ascii().is_empty() {
            self.end_test();
            return Ok(());
        }
        if line.starts_with(b"#") {
            return Ok(());
        }
        let (key, mark, value) =
            split(line).ok_or("expected `key: value`, `field = value` or `# comment`")?;
        if mark == b'=' {
            return self
                .expect(number, Expected::Field { label: key.to_vec(), value: value.to_vec() });
        }
        match key {
            b"test" => {
                if !self.test.events.is_empty() || !self.test.title.is_empty() {
                    return Err("'test' begins a test: put an empty line before it".to_owned());
                }
                self.test.title = String::from_utf8_lossy(value).into_owned();
            }
            b"log" => self.event(number, value.to_vec()),
            b"raw" => self.event(number, unescape(value)?),
            b"as" => self.prepare(number).decoded_by = builtin(value)?,
            b"location" => self.next.location = value.to_vec(),
            b"at" => self.next.epoch = date(value).ok_or("expected `at: 2023-11-14 22:13:20`")?,
            b"after" => {
                let seconds = duration(value)
                    .ok_or("expected `after: 30s`, with one of the units s m h d")?;
                self.next.epoch = self.next.epoch.saturating_add(seconds);
            }
            b"repeat" => {
                let repeat = number_of(value).filter(|repeat| (1..=MAX_REPEAT).contains(repeat));
                self.prepare(number).repeat =
                    repeat.ok_or(format!("expected `repeat:` with 1 to {MAX_REPEAT}"))?;
            }
            _ => return self.expect(number, expected(key, value)?),
        }
        Ok(())
    }

    fn prepare(&mut self, number: usize) -> &mut Next {
        self.next.waiting = Some(number);
        &mut self.next
    }

    fn event(&mut self, line: usize, log: Vec<u8>) {
        let Next { decoded_by, location, epoch, repeat, .. } = std::mem::take(&mut self.next);
        self.next.location.clone_from(&location);
        self.next.epoch = epoch;
        self.test.events.push(Event {
            line,
            log,
            decoded_by,
            location,
            epoch,
            repeat,
            expected: Vec::new(),
        });
    }

    fn expect(&mut self, line: usize, what: Expected) -> Result<(), String> {
        let event = self
            .test
            .events
            .last_mut()
            .ok_or("nothing can be expected before the first `log:` of a test")?;
        event.expected.push(Expectation { line, what });
        Ok(())
    }

    fn end_test(&mut self) {
        let next = std::mem::take(&mut self.next);
        if let Some(line) = next.waiting {
            self.errors.push(ScriptError {
                line,
                text: "this holds for the next `log:`, and there is none".to_owned(),
            });
        }
        let test = std::mem::take(&mut self.test);
        if !test.events.is_empty() {
            self.tests.push(test);
        }
    }
}

/// `key: value` or `field = value`; the value is taken as it is.
fn split(line: &[u8]) -> Option<(&[u8], u8, &[u8])> {
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.".contains(byte);
    let len = line.iter().position(|byte| !is_name(byte)).filter(|&len| len > 0)?;
    let (key, rest) = line.split_at_checked(len)?;
    let (mark, rest) = match rest {
        [b':', rest @ ..] => (b':', rest),
        [b' ', b'=', rest @ ..] | [b'=', rest @ ..] => (b'=', rest),
        _ => return None,
    };
    match rest {
        [] => Some((key, mark, rest)),
        [b' ', value @ ..] => Some((key, mark, value)),
        _ => None,
    }
}

fn expected(key: &[u8], value: &[u8]) -> Result<Expected, String> {
    let or_none = |value: &[u8]| (value != b"none").then(|| value.to_vec());
    Ok(match key {
        b"rule" if value == b"none" => Expected::Rule(None),
        b"rule" => Expected::Rule(Some(
            number_of(value).ok_or("expected `rule:` with a number or 'none'")?,
        )),
        b"level" => {
            let level = number_of::<u8>(value).filter(|&level| level <= 16);
            Expected::Level(level.ok_or("expected `level:` with 0 to 16")?)
        }
        b"decoder" => Expected::Decoder(or_none(value)),
        b"alert" => match value {
            b"yes" => Expected::Alert(true),
            b"no" => Expected::Alert(false),
            _ => return Err("expected `alert: yes` or `alert: no`".to_owned()),
        },
        b"groups" => {
            let names = value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
            Expected::Groups(names.filter(|name| !name.is_empty()).map(<[u8]>::to_vec).collect())
        }
        b"program" => Expected::Program(or_none(value)),
        b"hostname" => Expected::Hostname(value.to_vec()),
        other => {
            return Err(format!(
                "unknown key '{}'; a field is written `{} = value`, with an equals sign",
                other.escape_ascii(),
                other.escape_ascii()
            ));
        }
    })
}

fn builtin(name: &[u8]) -> Result<DecodedBy, String> {
    Ok(DecodedBy::Builtin(match name {
        b"syscheck_integrity_changed" => Builtin::FileChanged(FileChange::First),
        b"syscheck_integrity_changed_2nd" => Builtin::FileChanged(FileChange::Second),
        b"syscheck_integrity_changed_3rd" => Builtin::FileChanged(FileChange::Third),
        b"syscheck_new_entry" => Builtin::FileNew,
        b"syscheck_deleted" => Builtin::FileDeleted,
        b"hostinfo_new" => Builtin::HostNew,
        b"hostinfo_modified" => Builtin::HostModified,
        b"rootcheck" => return Ok(DecodedBy::Rootcheck),
        other => {
            return Err(format!(
                "no built-in decoder is called '{}'; there are syscheck_integrity_changed, syscheck_integrity_changed_2nd, \
                 syscheck_integrity_changed_3rd, syscheck_new_entry, syscheck_deleted, rootcheck, hostinfo_new, hostinfo_modified",
                other.escape_ascii()
            ));
        }
    }))
}

fn number_of<N: std::str::FromStr>(text: &[u8]) -> Option<N> {
    str::from_utf8(text)
        .ok()
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?
        .parse()
        .ok()
}

fn duration(text: &[u8]) -> Option<i64> {
    let (&unit, count) = text.split_last()?;
    let seconds = match unit {
        b's' => 1,
        b'm' => 60,
        b'h' => 3600,
        b'd' => 86_400,
        _ => return None,
    };
    number_of::<i64>(count)?.checked_mul(seconds)
}

/// Seconds since 1970 of `2023-11-14 22:13:20`.
pub(super) fn date(text: &[u8]) -> Option<i64> {
    let text = str::from_utf8(text).ok()?;
    let time = jiff::civil::DateTime::strptime("%Y-%m-%d %H:%M:%S", text).ok()?;
    Some(time.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_second())
}

fn unescape(text: &[u8]) -> Result<Vec<u8>, String> {
    let bad = || "expected one of the escapes \\n \\t \\\\ \\xNN".to_owned();
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.iter().copied();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        out.push(match rest.next().ok_or_else(bad)? {
            b'n' => b'\n',
            b't' => b'\t',
            b'\\' => b'\\',
            b'x' => {
                let mut digit = || {
                    char::from(rest.next()?).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
                };
                let (Some(high), Some(low)) = (digit(), digit()) else { return Err(bad()) };
                high * 16 + low
            }
            _ => return Err(bad()),
        });
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &[u8] = b"# two tests\ntest: one\nlog: a line \nrule: 5716\nlevel: 5\nsrcip = 1.2.3.4\nrepeat: 3\nafter: 2m\nlog: b {n}\n\
        decoder: none\n\nat: 2023-11-14 22:13:21\nas: syscheck_deleted\nlocation: syscheck\nraw: \\xff\\n\\\\\nalert: no\ngroups: a, b,\n";

    #[test]
    fn a_file_is_read_as_written() {
        let (tests, errors) = parse(SAMPLE);
        assert_eq!(errors, []);
        let [one, two] = &tests[..] else { panic!("{tests:?}") };
        assert_eq!((one.title.as_str(), one.events.len()), ("one", 2));
        assert_eq!(one.events[0].log, b"a line ");
        assert_eq!(one.events[0].line, 3);
        let expected: Vec<&Expected> =
            one.events[0].expected.iter().map(|expectation| &expectation.what).collect();
        let field = Expected::Field { label: b"srcip".to_vec(), value: b"1.2.3.4".to_vec() };
        assert_eq!(expected, [&Expected::Rule(Some(5716)), &Expected::Level(5), &field]);
        assert_eq!((one.events[1].repeat, one.events[1].epoch), (3, USUAL_EPOCH + 120));
        assert_eq!(two.events[0].decoded_by, DecodedBy::Builtin(Builtin::FileDeleted));
        assert_eq!(two.events[0].log, b"\xFF\n\\");
        assert_eq!(two.events[0].epoch, USUAL_EPOCH + 1);
        assert_eq!(two.events[0].location, b"syscheck");
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let (tests, errors) = parse(b"rule: 5\n\nlog: x\nsrcip: 1.2.3.4\nlevel: high\nrepeat: 0\nas: nobody\njust words\nafter: 5\nraw: \\q\nrepeat: 2\n");
        assert_eq!(tests.len(), 1);
        let lines: Vec<usize> = errors.iter().map(|error| error.line).collect();
        assert_eq!(lines, [1, 4, 5, 6, 7, 8, 9, 10, 11]);
        assert!(errors[1].text.contains("`srcip = value`"), "{}", errors[1]);
    }

    #[test]
    fn what_is_said_for_one_event_does_not_hold_for_the_next() {
        let (tests, _) =
            parse(b"location: here\nas: rootcheck\nrepeat: 9\nlog: x\nlog: y\n\nlog: z\n");
        assert_eq!(tests[0].events[1].repeat, 1);
        assert_eq!(tests[0].events[1].decoded_by, DecodedBy::Decoders);
        assert_eq!(tests[0].events[1].location, b"here");
        assert_eq!(tests[1].events[0].location, b"stdin");
    }

    #[test]
    fn a_file_cut_anywhere_or_with_any_byte_changed_does_not_panic() {
        for end in 0..SAMPLE.len() {
            parse(&SAMPLE[..end]);
            for byte in [0, b'\n', b':', b'=', b'\\', 0xFF] {
                let mut changed = SAMPLE.to_vec();
                changed[end] = byte;
                parse(&changed);
            }
        }
    }
}
