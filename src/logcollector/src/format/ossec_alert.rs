//! `ossecalert`: the alert log of an OSSEC suite, one event an alert.
//!
//! ```text
//! ** Alert 1795219834.1: mail  - syslog,sshd,
//! 2026 Nov 21 00:10:34 web01->/var/log/auth.log
//! Rule: 5716 (level 5) -> 'SSHD authentication failed.'
//! Src IP: 10.9.8.7
//! User: bob
//! Nov 21 00:10:34 web01 sshd[1]: Failed password for bob
//!
//!   ->  ossec: Alert Level: 5; Rule: 5716 - SSHD authentication failed.; Location: web01->/var/log/auth.log; srcip: 10.9.8.7; user: bob;  Nov 21 ...
//! ```
//! An empty line ends an alert once it has a line of log. Several lines of log keep their newlines, the last one too; the log
//! is cut at 1594 bytes and then ends in `...`.

use memchr::memmem;
use wire::Kind;

use super::timestamp::has_shape;
use super::{Format, Line, Records};

const MAX_LOG: usize = 1594;
const MAX_LOG_LINES: usize = 20;
const MAX_FIELD: usize = 2047;

/// An OSSEC alert log.
#[derive(Default)]
pub(super) struct OssecAlert {
    alert: Option<Alert>,
}

#[derive(Default)]
struct Alert {
    end: u64,
    location: Vec<u8>,
    rule: Option<(Vec<u8>, Vec<u8>, Vec<u8>)>,
    source: Option<Vec<u8>>,
    user: Option<Vec<u8>>,
    log: Vec<Vec<u8>>,
}

impl Format for OssecAlert {
    fn line(&mut self, line: &Line<'_>, out: &mut Records) {
        let text = &line.bytes[..line.bytes.len().min(MAX_FIELD)];
        if text.starts_with(b"** Alert ") {
            self.finish(out);
            self.alert = Some(Alert { end: line.end, ..Alert::default() });
            return;
        }
        let Some(alert) = &mut self.alert else {
            return out.filter(Some(line.end));
        };
        alert.end = line.end;
        if text.is_empty() && !alert.log.is_empty() {
            return self.finish(out);
        }
        alert.take(text);
    }

    fn rest(&mut self, out: &mut Records) {
        if self.alert.as_ref().is_some_and(|alert| !alert.log.is_empty()) {
            self.finish(out);
        }
    }
}

impl OssecAlert {
    fn finish(&mut self, out: &mut Records) {
        let Some(alert) = self.alert.take() else { return };
        match alert.event() {
            Some(event) => out.emit(Kind::Log, event, alert.end),
            None => out.malformed("alert without a rule line, ignored", Some(alert.end)),
        }
    }
}

impl Alert {
    fn take(&mut self, text: &[u8]) {
        const DATE: &[u8] = b"0000 aaa 00 00:00:00 ";
        if self.rule.is_none() && self.location.is_empty() && has_shape(text, DATE) {
            self.location = text[DATE.len()..].to_vec();
        } else if self.rule.is_none() && text.starts_with(b"Rule: ") {
            self.rule = rule(text);
        } else if !self.log.is_empty() {
            self.add_log(text);
        } else if let Some(source) = text.strip_prefix(b"Src IP: ") {
            self.source = Some(source.to_vec());
        } else if let Some(user) = text.strip_prefix(b"User: ") {
            self.user = Some(user.to_vec());
        } else if !is_detail(text) {
            self.add_log(text);
        }
    }

    fn add_log(&mut self, text: &[u8]) {
        if self.log.len() < MAX_LOG_LINES && !text.is_empty() {
            self.log.push(text.to_vec());
        }
    }

    fn event(&self) -> Option<Vec<u8>> {
        let (id, level, comment) = self.rule.as_ref()?;
        let mut event =
            [b"ossec: Alert Level: ", level.as_slice(), b"; Rule: ", id, b" - ", comment].concat();
        event.extend_from_slice(&[b"; Location: ", self.location.as_slice(), b";"].concat());
        for (name, value) in [(" srcip: ", &self.source), (" user: ", &self.user)] {
            if let Some(value) = value {
                event.extend_from_slice(&[name.as_bytes(), value, b";"].concat());
            }
        }
        event.extend_from_slice(b"  ");
        let mut log = self.log.join(&b'\n');
        if self.log.len() > 1 {
            log.push(b'\n');
        }
        if log.len() > MAX_LOG {
            log.truncate(MAX_LOG);
            log.extend_from_slice(b"...");
        }
        event.extend_from_slice(&log);
        Some(event)
    }
}

/// `(id, level, comment)` of `Rule: 5716 (level 5) -> 'SSHD authentication failed.'`.
fn rule(text: &[u8]) -> Option<(Vec<u8>, Vec<u8>, Vec<u8>)> {
    let rest = text.strip_prefix(b"Rule: ")?;
    let at = memmem::find(rest, b" (level ")?;
    let (id, rest) = (&rest[..at], &rest[at + b" (level ".len()..]);
    let at = memmem::find(rest, b") -> '")?;
    let (level, comment) = (&rest[..at], &rest[at + b") -> '".len()..]);
    let comment = comment.strip_suffix(b"'").unwrap_or(comment);
    Some((id.to_vec(), level.to_vec(), comment.to_vec()))
}

/// Lines between the rule and the log that the event does not repeat.
fn is_detail(text: &[u8]) -> bool {
    const NAMES: [&[u8]; 13] = [
        b"Src Port: ",
        b"Dst IP: ",
        b"Dst Port: ",
        b"Src Location: ",
        b"Dst Location: ",
        b"Old md5sum",
        b"New md5sum",
        b"Old sha1sum",
        b"New sha1sum",
        b"Size changed from ",
        b"Ownership was ",
        b"Group ownership was ",
        b"Permissions changed from ",
    ];
    NAMES.iter().any(|name| text.starts_with(name))
}

#[cfg(test)]
mod tests {
    use super::super::laws::{payloads, payloads_at_rest};
    use super::*;

    const TWO: &[u8] = b"** Alert 1795219834.1: mail  - syslog,sshd,\n2026 Nov 21 00:10:34 web01->/var/log/auth.log\nRule: 5716 (level 5) -> 'SSHD authentication failed.'\nSrc IP: 10.9.8.7\nUser: bob\nNov 21 00:10:34 web01 sshd[1]: Failed password for bob\nsecond log line\n\n** Alert 1795219835.2: - x,\n2026 Nov 21 00:10:35 web01->/var/log/auth.log\nRule: 1002 (level 2) -> 'Unknown problem.'\none line only\n";

    #[test]
    fn an_alert_is_an_event() {
        let first = "ossec: Alert Level: 5; Rule: 5716 - SSHD authentication failed.; Location: web01->/var/log/auth.log; srcip: 10.9.8.7; user: bob;  Nov 21 00:10:34 web01 sshd[1]: Failed password for bob\nsecond log line\n";
        let second = "ossec: Alert Level: 2; Rule: 1002 - Unknown problem.; Location: web01->/var/log/auth.log;  one line only";
        assert_eq!(payloads(&mut OssecAlert::default(), TWO), [first]);
        assert_eq!(payloads_at_rest(&mut OssecAlert::default(), TWO), [first, second]);
    }

    #[test]
    fn a_long_log_is_cut() {
        let text =
            format!("** Alert 1.1: - x,\nRule: 1 (level 2) -> 'c'\n{}\n\n", "y".repeat(2000));
        let events = payloads(&mut OssecAlert::default(), text.as_bytes());
        assert!(events[0].ends_with(&format!(";  {}...", "y".repeat(1594))));
    }
}
