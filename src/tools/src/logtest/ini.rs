//! Rule tests in the form of OSSEC's suite: `*.ini` files.
//!
//! ```ini
//! [ssh wrong password]
//! log 1 pass = Feb 10 23:21:05 host sshd[1]: Failed password for root from 10.0.0.1 port 5 ssh2
//! log 2 fail = Feb 10 23:21:05 host sshd[1]: Accepted password for root from 10.0.0.1 port 5 ssh2
//! rule = 5716
//! alert = 5
//! decoder = sshd
//! ```
//!
//! Each log is a test of its own: `pass` is to have this rule, level and decoder, `fail` anything else. No decoder is
//! written `(null)`, no rule as an empty value.

use super::script::{DecodedBy, Event, Expectation, Expected, ScriptError, Test, USUAL_EPOCH};

/// What is read of one section.
#[derive(Default)]
struct Section {
    title: String,
    /// Line, key, text, whether it is to pass.
    logs: Vec<(usize, String, Vec<u8>, bool)>,
    rule: Vec<u8>,
    level: Vec<u8>,
    decoder: Vec<u8>,
}

/// Reads a file; what is wrong with it comes beside what is right.
pub(super) fn parse(text: &[u8]) -> (Vec<Test>, Vec<ScriptError>) {
    let (mut tests, mut errors) = (Vec::new(), Vec::new());
    let mut section = Section::default();
    for (at, line) in text.split(|&byte| byte == b'\n').enumerate() {
        let number = at + 1;
        let line = line.trim_ascii_end();
        if line.is_empty() || line.starts_with(b";") || line.starts_with(b"#") {
            continue;
        }
        if let Some(title) = line.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]")) {
            std::mem::take(&mut section).end(&mut tests);
            section.title = String::from_utf8_lossy(title).into_owned();
        } else if let Err(text) = section.line(number, line) {
            errors.push(ScriptError { line: number, text });
        }
    }
    section.end(&mut tests);
    (tests, errors)
}

impl Section {
    fn line(&mut self, number: usize, line: &[u8]) -> Result<(), String> {
        if line.starts_with(b" ") || line.starts_with(b"\t") {
            let (_, _, log, _) = self.logs.last_mut().ok_or("this line goes on with nothing")?;
            log.push(b' ');
            log.extend_from_slice(line.trim_ascii());
            return Ok(());
        }
        let Some(mark) = line.iter().position(|byte| matches!(byte, b'=' | b':')) else {
            return Err("expected `key = value`".to_owned());
        };
        let (key, value) = line.split_at_checked(mark).unwrap_or_default();
        let key = String::from_utf8_lossy(key.trim_ascii()).into_owned();
        let value = value.get(1..).unwrap_or_default().trim_ascii().to_vec();
        match key.as_str() {
            "rule" => self.rule = value,
            "alert" => self.level = value,
            "decoder" => self.decoder = value,
            log if log.starts_with("log ") && log.ends_with(" pass") => {
                self.logs.push((number, key, value, true));
            }
            log if log.starts_with("log ") && log.ends_with(" fail") => {
                self.logs.push((number, key, value, false));
            }
            log if log.starts_with("log") => {
                return Err(format!("expected `log N pass` or `log N fail`, not '{log}'"));
            }
            // Other keys are for other tools.
            _ => {}
        }
        Ok(())
    }

    fn end(self, tests: &mut Vec<Test>) {
        for (line, key, log, matches) in self.logs {
            let what = Expected::Outcome {
                rule: self.rule.clone(),
                level: self.level.clone(),
                decoder: self.decoder.clone(),
                matches,
            };
            let event = Event {
                line,
                log,
                decoded_by: DecodedBy::Decoders,
                location: b"stdin".to_vec(),
                epoch: USUAL_EPOCH,
                repeat: 1,
                expected: vec![Expectation { line, what }],
            };
            tests.push(Test { title: format!("{}: {key}", self.title), events: vec![event] });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &[u8] = b"; a comment\n[one]\nlog 1 pass = a = b \nlog 2 fail = c\n\nrule = 5\nalert = 3\ndecoder = x\n\n[two]\nlog 1 pass = d\n  e\nrule =\n";

    #[test]
    fn each_log_is_a_test_with_what_its_section_says() {
        let (tests, errors) = parse(SAMPLE);
        assert_eq!(errors, []);
        let titles: Vec<&str> = tests.iter().map(|test| test.title.as_str()).collect();
        assert_eq!(titles, ["one: log 1 pass", "one: log 2 fail", "two: log 1 pass"]);
        assert_eq!(tests[0].events[0].log, b"a = b");
        assert_eq!(tests[2].events[0].log, b"d e");
        let Expected::Outcome { rule, level, decoder, matches } =
            &tests[1].events[0].expected[0].what
        else {
            panic!("{tests:?}")
        };
        assert_eq!(
            (&rule[..], &level[..], &decoder[..], *matches),
            (&b"5"[..], &b"3"[..], &b"x"[..], false)
        );
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let (_, errors) = parse(b"[x]\nnonsense\nlog one = y\n  z\nother: key\n");
        assert_eq!(errors.iter().map(|error| error.line).collect::<Vec<_>>(), [2, 3, 4]);
    }

    #[test]
    fn a_file_cut_anywhere_does_not_panic() {
        for end in 0..SAMPLE.len() {
            parse(&SAMPLE[..end]);
        }
    }
}
