//! The text forms: a record of `alerts.log`, a line of `archives.log`, and the operator's own format.
//!
//! ```text
//! ** Alert 1700000007.8: mail  - syslog,sshd,authentication_failures,
//! 2023 Nov 14 22:13:27 host1->/var/log/auth.log
//! Rule: 5712 (level 10) -> 'SSHD brute force'
//! Src IP: 10.1.2.3
//! Nov 14 22:13:27 host1 sshd[100]: Failed password for invalid user bob ...
//! <empty line>
//! ```

use crate::value::{Alert, Event};

/// Bytes of a log line that a record shows.
pub const MAX_LINE: usize = 1256;
/// Bytes of a token's value in the operator's own format, the log itself excepted.
const MAX_TOKEN: usize = 1023;

/// Appends one `alerts.log` record, with its closing empty line.
pub fn write_alert(alert: &Alert<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"** Alert ");
    write_id(alert, out);
    out.extend_from_slice(if alert.mail { b": mail  - " } else { b": - " });
    out.extend_from_slice(alert.rule.groups);
    out.push(b'\n');
    write_place(&alert.event, out);
    out.extend_from_slice(b"\nRule: ");
    write_number(alert.rule.id.into(), out);
    out.extend_from_slice(b" (level ");
    write_number(alert.rule.level.into(), out);
    out.extend_from_slice(b") -> '");
    out.extend_from_slice(alert.rule.comment);
    out.extend_from_slice(b"'\n");
    let event = &alert.event;
    for (label, value) in [
        (&b"Src IP: "[..], event.srcip),
        (b"Src Port: ", event.srcport),
        (b"Dst IP: ", event.dstip),
        (b"Dst Port: ", event.dstport),
        (b"User: ", event.dstuser),
    ] {
        if let Some(value) = value {
            out.extend_from_slice(label);
            out.extend_from_slice(value);
            out.push(b'\n');
        }
    }
    for line in std::iter::once(&event.full_log).chain(&alert.samples) {
        write_lines(cut(line, MAX_LINE), out);
        out.push(b'\n');
    }
    out.push(b'\n');
}

/// Writes a text that may have lines; one that looks like the head of a record gets a blank in front.
fn write_lines(text: &[u8], out: &mut Vec<u8>) {
    if !text.contains(&b'\n') {
        out.extend_from_slice(text);
        return;
    }
    for (n, line) in text.split(|&byte| byte == b'\n').enumerate() {
        if n > 0 {
            out.push(b'\n');
            if line.starts_with(b"** Alert ") {
                out.push(b' ');
            }
        }
        out.extend_from_slice(line);
    }
}

/// Appends one `archives.log` line; see [`is_archived`].
pub fn write_archive(event: &Event<'_>, out: &mut Vec<u8>) {
    write_place(event, out);
    out.push(b' ');
    out.extend_from_slice(event.full_log);
    out.push(b'\n');
}

/// Whether `archives.log` keeps the event: all but the agents' keep-alive, which `archives.json` has too.
pub fn is_archived(location: &[u8]) -> bool {
    location != b"ossec-keepalive" && !location.ends_with(b"->ossec-keepalive")
}

/// Appends one line in the operator's format (`custom_alert_output`): `$RULEID` and the like replaced.
///
/// One pass over the format: a value that happens to contain `$RULEID` is not looked at again.
pub fn write_custom(format: &[u8], alert: &Alert<'_>, out: &mut Vec<u8>) {
    let mut rest = format;
    while let Some((&byte, after)) = rest.split_first() {
        match (byte == b'$').then(|| token_at(rest)).flatten() {
            Some((name, token)) => {
                write_token(token, alert, out);
                rest = rest.get(name.len()..).unwrap_or_default();
            }
            None => {
                out.push(byte);
                rest = after;
            }
        }
    }
    out.push(b'\n');
}

#[derive(Clone, Copy)]
enum Token {
    Timestamp,
    Number,
    Mail,
    Hostname,
    Location,
    RuleId,
    RuleLevel,
    SrcIp,
    DstUser,
    FullLog,
    Comment,
    Group,
}

const TOKENS: [(&str, Token); 12] = [
    ("$TIMESTAMP", Token::Timestamp),
    ("$FTELL", Token::Number),
    ("$RULEALERT", Token::Mail),
    ("$HOSTNAME", Token::Hostname),
    ("$LOCATION", Token::Location),
    ("$RULEID", Token::RuleId),
    ("$RULELEVEL", Token::RuleLevel),
    ("$SRCIP", Token::SrcIp),
    ("$DSTUSER", Token::DstUser),
    ("$FULLLOG", Token::FullLog),
    ("$RULECOMMENT", Token::Comment),
    ("$RULEGROUP", Token::Group),
];

fn token_at(text: &[u8]) -> Option<(&'static str, Token)> {
    TOKENS.into_iter().find(|(name, _)| text.starts_with(name.as_bytes()))
}

fn write_token(token: Token, alert: &Alert<'_>, out: &mut Vec<u8>) {
    let event = &alert.event;
    match token {
        Token::Timestamp => write_signed(alert.id.epoch, out),
        Token::Number => write_number(alert.id.number, out),
        Token::RuleId => write_number(alert.rule.id.into(), out),
        Token::RuleLevel => write_number(alert.rule.level.into(), out),
        Token::Mail => out.extend_from_slice(if alert.mail { b"mail " } else { b"" }),
        Token::Hostname => write_or_none(Some(event.hostname), out),
        Token::Location => write_or_none(Some(event.location), out),
        Token::SrcIp => write_or_none(event.srcip, out),
        Token::DstUser => write_or_none(event.dstuser, out),
        Token::Comment => out.extend_from_slice(cut(alert.rule.comment, MAX_TOKEN)),
        Token::Group => out.extend_from_slice(cut(alert.rule.groups, MAX_TOKEN)),
        Token::FullLog => {
            for &byte in event.full_log {
                match byte {
                    b'\n' => out.extend_from_slice(b"\\n"),
                    other => out.push(other),
                }
            }
        }
    }
}

fn write_or_none(value: Option<&[u8]>, out: &mut Vec<u8>) {
    match value {
        Some(value) if !value.is_empty() => out.extend_from_slice(cut(value, MAX_TOKEN)),
        _ => out.extend_from_slice(b"None"),
    }
}

/// `2023 Nov 14 22:13:20 host1->/var/log/auth.log`, the second line of a record.
pub(crate) fn write_place(event: &Event<'_>, out: &mut Vec<u8>) {
    event.moment.write_date(out);
    out.push(b' ');
    if !event.hostname_is_location {
        out.extend_from_slice(event.hostname);
        out.extend_from_slice(b"->");
    }
    out.extend_from_slice(event.location);
}

pub(crate) fn write_id(alert: &Alert<'_>, out: &mut Vec<u8>) {
    write_signed(alert.id.epoch, out);
    out.push(b'.');
    write_number(alert.id.number, out);
}

pub(crate) fn write_number(value: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let (mut rest, mut unused) = (value, digits.len());
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
        unused -= 1;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(unused..).unwrap_or_default());
}

fn write_signed(value: i64, out: &mut Vec<u8>) {
    if value < 0 {
        out.push(b'-');
    }
    write_number(value.unsigned_abs(), out);
}

fn cut(text: &[u8], limit: usize) -> &[u8] {
    text.get(..limit).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_they_are_read() {
        for value in [0, 1, 9, 10, 99, 100, 12_345, u64::MAX / 10, u64::MAX] {
            let mut out = Vec::new();
            write_number(value, &mut out);
            assert_eq!(out, value.to_string().into_bytes());
        }
        for value in [i64::MIN, -10, -1, 0, 7, i64::MAX] {
            let mut out = Vec::new();
            write_signed(value, &mut out);
            assert_eq!(out, value.to_string().into_bytes());
        }
    }
    use crate::moment::Moment;
    use crate::value::{AlertId, Rule};

    fn alert<'a>() -> Alert<'a> {
        Alert {
            id: AlertId { epoch: 1_700_000_000, number: 7 },
            mail: false,
            rule: Rule {
                id: 5716,
                level: 5,
                comment: b"failed",
                groups: b"syslog,sshd,",
                cve: None,
                info: None,
                mitre: &[],
                frequency: 0,
                fired: 1,
            },
            event: Event {
                moment: Moment::utc(1_700_000_000),
                location: b"/var/log/auth.log",
                hostname: b"host1",
                full_log: b"line",
                ..Event::default()
            },
            samples: Vec::new(),
        }
    }

    fn text(alert: &Alert<'_>) -> String {
        let mut out = Vec::new();
        write_alert(alert, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_line_of_an_event_never_passes_for_a_record() {
        let mut out = Vec::new();
        write_lines(b"** Alert 1\nx\n** Alert 2: - y,\n\n", &mut out);
        assert_eq!(out, b"** Alert 1\nx\n ** Alert 2: - y,\n\n");
    }

    #[test]
    fn fields_that_are_set_have_a_line_each_in_fixed_order() {
        let mut alert = alert();
        alert.mail = true;
        alert.event.dstuser = Some(b"");
        alert.event.srcip = Some(b"1.2.3.4");
        alert.samples = vec![b"older"];
        assert_eq!(
            text(&alert),
            "** Alert 1700000000.7: mail  - syslog,sshd,\n2023 Nov 14 22:13:20 host1->/var/log/auth.log\n\
             Rule: 5716 (level 5) -> 'failed'\nSrc IP: 1.2.3.4\nUser: \nline\nolder\n\n"
        );
    }

    #[test]
    fn a_long_line_is_cut() {
        let long = vec![b'x'; 5000];
        let mut alert = alert();
        alert.event.full_log = &long;
        assert_eq!(text(&alert).lines().nth(3).unwrap().len(), MAX_LINE);
    }

    #[test]
    fn an_agents_location_is_printed_once() {
        let mut alert = alert();
        alert.event.hostname_is_location = true;
        assert!(text(&alert).contains("22:13:20 /var/log/auth.log\n"));
    }

    #[test]
    fn a_custom_format_replaces_its_tokens_once() {
        let mut alert = alert();
        alert.event.full_log = b"a $RULEID\nb";
        let mut out = Vec::new();
        write_custom(b"$TIMESTAMP.$FTELL $SRCIP $ $RULELEVEL|$FULLLOG", &alert, &mut out);
        assert_eq!(out, b"1700000000.7 None $ 5|a $RULEID\\nb\n");
    }

    #[test]
    fn keep_alives_are_not_archived() {
        assert!(!is_archived(b"ossec-keepalive"));
        assert!(!is_archived(b"(web) 10.0.0.1->ossec-keepalive"));
        assert!(is_archived(b"/var/log/x"));
    }
}
