//! An agent's event on its way to analysisd: the manager puts the agent in front of the location.
//!
//! `1:/var/log/x:hi` from web01 becomes `1:(web01) 10.9.1.11->/var/log/x:hi`.

use std::fmt;

/// Longest `(name) address`.
pub const MAX_AGENT: usize = 255;
/// Longest forwarded event in bytes, without the zero byte of the old queue.
pub const MAX_FORWARDED: usize = 6143;

/// Appends the event, cut to [`MAX_FORWARDED`]; `Ok(false)` when it is a mere sign of life and nothing was appended.
/// `ip` is the address text of the agent's entry without what follows its `/`.
///
/// # Errors
/// [`NotAnEvent`] (1106 in the log) when the message does not begin with one letter and a colon.
pub fn event(
    name: &[u8],
    ip: &[u8],
    message: &[u8],
    out: &mut Vec<u8>,
) -> Result<bool, NotAnEvent> {
    let &[queue, b':', ref rest @ ..] = message else { return Err(NotAnEvent) };
    if rest.starts_with(b"keepalive") {
        return Ok(false);
    }
    let start = out.len();
    out.extend_from_slice(&[queue, b':']);
    for part in [b"(", name, b") ", ip] {
        out.extend_from_slice(part);
    }
    out.truncate(start + 2 + MAX_AGENT);
    out.extend_from_slice(b"->");
    out.extend_from_slice(rest);
    out.truncate(start + MAX_FORWARDED);
    Ok(true)
}

/// A message that is no event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAnEvent;

impl fmt::Display for NotAnEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(1106) String not correctly formatted.")
    }
}

impl std::error::Error for NotAnEvent {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agent_comes_before_the_location() {
        let mut out = Vec::new();
        assert_eq!(event(b"web01", b"10.9.1.11", b"1:/var/log/x:hi", &mut out), Ok(true));
        assert_eq!(out, b"1:(web01) 10.9.1.11->/var/log/x:hi");
        assert_eq!(crate::Event::parse(&out).unwrap().location, b"(web01) 10.9.1.11->/var/log/x");
    }

    #[test]
    fn signs_of_life_go_no_further_and_other_text_is_refused() {
        let mut out = Vec::new();
        assert_eq!(event(b"a", b"any", b"1:keepalive", &mut out), Ok(false));
        for bad in [&b""[..], b"1", b"x", b"11:a"] {
            assert_eq!(event(b"a", b"any", bad, &mut out), Err(NotAnEvent), "{bad:?}");
        }
        assert_eq!(out, b"");
    }

    #[test]
    fn long_names_and_events_are_cut() {
        let mut out = Vec::new();
        assert_eq!(
            event(&[b'n'; 300], b"any", &[b"1:", &[b'x'; 9000][..]].concat(), &mut out),
            Ok(true)
        );
        assert_eq!(out.len(), MAX_FORWARDED);
        assert_eq!(&out[2 + MAX_AGENT..][..2], b"->");
    }
}
