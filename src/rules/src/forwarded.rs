//! Alerts that another server sends as syslog:
//! `ossec: Alert Level: 5; Rule: 5716 - failed; Location: (web) 10.0.0.1->/var/log/auth.log; srcip: 1.2.3.4; line`
//!
//! The event takes the rule of that number, without being judged again.

use crate::engine::Engine;
use crate::event::{Decoded, Field, Span};

/// Takes the parts of a forwarded alert into the event; without a rule that is known here, it is none.
pub(crate) fn take(engine: &Engine, event: &mut Decoded) {
    let Some(parts) = parts(event.log()) else { return };
    let start = event.log.start();
    let span = |range: &std::ops::Range<usize>| Span::new(start + range.start, start + range.end);
    event.given_rule = Some(engine.rule_by_id(parts.rule));
    if let Some(srcip) = &parts.srcip {
        event.set(Field::SrcIp, span(srcip));
    }
    if let Some(user) = &parts.user {
        event.set(Field::DstUser, span(user));
    }
    let line = span(&parts.line);
    let origin = span(&parts.location).of(&event.bytes).unwrap_or_default().to_vec();
    let mut location = event.location().to_vec();
    location.push(b'|');
    location.extend_from_slice(&origin);
    event.hostname = event.location;
    event.location = event.append(&location);
    event.full_log = line;
    event.log = line;
}

struct Parts {
    rule: u32,
    location: std::ops::Range<usize>,
    srcip: Option<std::ops::Range<usize>>,
    user: Option<std::ops::Range<usize>>,
    line: std::ops::Range<usize>,
}

fn parts(log: &[u8]) -> Option<Parts> {
    let at = find(log, 0, b"Alert Level: ")?;
    let rule = find(log, at, b"Rule: ")? + 6;
    let digits = log.get(rule..)?.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let number = std::str::from_utf8(log.get(rule..rule + digits)?).ok()?.parse().ok()?;
    let location = find(log, rule, b"; Location: ")? + 12;
    let location_end = find(log, location, b";")?;
    let mut parts = Parts {
        rule: number,
        location: location..location_end,
        srcip: None,
        user: None,
        line: 0..0,
    };
    let mut at = past_separator(log, location_end);
    while let Some(rest) = log.get(at..) {
        let (label, slot) = if rest.starts_with(b"srcip: ") {
            (7, &mut parts.srcip)
        } else if rest.starts_with(b"user: ") {
            (6, &mut parts.user)
        } else {
            break;
        };
        let end = find(log, at, b";")?;
        *slot = Some(at + label..end);
        at = past_separator(log, end);
    }
    parts.line = at.min(log.len())..log.len();
    Some(parts)
}

fn past_separator(log: &[u8], at: usize) -> usize {
    let blank = log.get(at + 1) == Some(&b' ');
    at + 1 + usize::from(blank)
}

fn find(log: &[u8], from: usize, wanted: &[u8]) -> Option<usize> {
    memchr::memmem::find(log.get(from..)?, wanted).map(|found| from + found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &[u8] = b"ossec: Alert Level: 5; Rule: 5716 - failed; Location: (w) 1.1.1.1->/x; srcip: 1.2.3.4; user: bob; Nov 1 line";

    #[test]
    fn the_parts_of_a_forwarded_alert_are_found() {
        let parts = parts(LOG).unwrap();
        assert_eq!(parts.rule, 5716);
        assert_eq!(&LOG[parts.location], b"(w) 1.1.1.1->/x");
        assert_eq!(&LOG[parts.srcip.unwrap()], b"1.2.3.4");
        assert_eq!(&LOG[parts.user.unwrap()], b"bob");
        assert_eq!(&LOG[parts.line], b"Nov 1 line");
    }

    #[test]
    fn cut_alerts_never_panic() {
        for end in 0..LOG.len() {
            let _ = parts(&LOG[..end]);
        }
    }
}
