//! `firewall.log`: one line for each event that a firewall decoder took.
//!
//! `2023 Nov 14 22:14:09 router1->syslog-host DROP tcp 1.2.3.4:1234->5.6.7.8:80`

use crate::text::write_place;
use crate::value::Event;

/// The suite's word for what a firewall did, from the firewall's own.
pub fn normal_action(action: &[u8]) -> &'static [u8] {
    match action.first().map(u8::to_ascii_lowercase) {
        Some(b'd' | b'r' | b'b') => b"DROP",
        Some(b'c' | b't') => b"CLOSED",
        Some(b'a' | b'p' | b'o') => b"ALLOW",
        _ if contains(action, b"drop") => b"DROP",
        _ if contains(action, b"accept") => b"ALLOW",
        _ => b"UNKNOWN",
    }
}

/// Whether the event has all that a line needs: action, both addresses, protocol.
pub fn is_complete(event: &Event<'_>) -> bool {
    event.action.is_some()
        && event.srcip.is_some()
        && event.dstip.is_some()
        && event.protocol.is_some()
}

/// Appends the line; parts that are missing are `-`, ports `0`.
pub fn write_line(event: &Event<'_>, out: &mut Vec<u8>) {
    write_place(event, out);
    out.push(b' ');
    out.extend_from_slice(normal_action(event.action.unwrap_or_default()));
    out.push(b' ');
    out.extend_from_slice(event.protocol.unwrap_or(b"-"));
    out.push(b' ');
    out.extend_from_slice(event.srcip.unwrap_or(b"-"));
    out.push(b':');
    out.extend_from_slice(event.srcport.unwrap_or(b"0"));
    out.extend_from_slice(b"->");
    out.extend_from_slice(event.dstip.unwrap_or(b"-"));
    out.push(b':');
    out.extend_from_slice(event.dstport.unwrap_or(b"0"));
    out.push(b'\n');
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::moment::Moment;

    #[test]
    fn actions_go_by_their_first_letter() {
        for (word, normal) in [
            (&b"Deny"[..], &b"DROP"[..]),
            (b"reject", b"DROP"),
            (b"BLOCK", b"DROP"),
            (b"teardown", b"CLOSED"),
            (b"pass", b"ALLOW"),
            (b"[UFW dropped]", b"DROP"),
            (b"x accept", b"ALLOW"),
            (b"", b"UNKNOWN"),
        ] {
            assert_eq!(normal_action(word), normal);
        }
    }

    #[test]
    fn a_line_says_who_spoke_to_whom() {
        let event = Event {
            moment: Moment::utc(1_700_000_049),
            location: b"syslog-host",
            hostname: b"router1",
            action: Some(b"Deny"),
            protocol: Some(b"tcp"),
            srcip: Some(b"1.2.3.4"),
            srcport: Some(b"1234"),
            dstip: Some(b"5.6.7.8"),
            ..Event::default()
        };
        assert!(is_complete(&event));
        let mut out = Vec::new();
        write_line(&event, &mut out);
        assert_eq!(
            out,
            b"2023 Nov 14 22:14:09 router1->syslog-host DROP tcp 1.2.3.4:1234->5.6.7.8:0\n"
        );
    }
}
