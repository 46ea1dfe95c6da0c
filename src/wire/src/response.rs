//! What remoted is asked to send to agents, on `queue/alerts/ar`: from analysisd and agent_control.
//!
//! ```text
//! (<agent name>) <source> <flags> <agent id|(null)> <rest>
//! (web01) any->/var/log/auth.log NRN (null) host-deny600 - 203.0.113.9 1763719200.4242 5712 (web01) any->/var/log/auth.log (null)
//! (msg_to_agent) [] N!S 001 syscheck restart
//! (web01) any->syscheck N!R (null) syscheck digest
//! ```
//! Three flags by position: `A` all agents; `R` the agent in the parentheses, or `!` plain text instead of an active response;
//! `S` the agent with the id, or, of our own making and only behind `!`, `R` the agent in the parentheses.

use std::fmt;

use crate::control::ToAgent;

/// Largest request in bytes; longer ones are cut.
pub const MAX_REQUEST: usize = 1023;

/// Who is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recipient<'a> {
    /// Every agent.
    All,
    /// The agent of this name.
    Name(&'a [u8]),
    /// The agent with this id, digit for digit.
    Id(&'a [u8]),
    /// Nobody: no flag is set.
    Nobody,
}

/// One request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'a> {
    /// Who is meant.
    pub recipient: Recipient<'a>,
    /// `true`: `rest` goes as it is behind `#!-`; `false`: it is a line for execd.
    pub plain: bool,
    /// What is sent.
    pub rest: &'a [u8],
}

impl<'a> Request<'a> {
    /// Reads one datagram; a zero byte at the end is no part of it.
    ///
    /// # Errors
    /// [`RequestError`] (1310 in the log).
    pub fn parse(datagram: &'a [u8]) -> Result<Self, RequestError> {
        let text = datagram.strip_suffix(b"\0").unwrap_or(datagram);
        let close = memchr::memchr(b')', text).ok_or(RequestError)?;
        let name = text.get(1..close).ok_or(RequestError)?;
        let behind = text.get(close + 2..).ok_or(RequestError)?;
        let (flags, id, rest) = match order(split_space(behind)?.1) {
            Some(order) if order.0.is_sound(order.1) => order,
            // A source with spaces, as other writers may leave it: the first thing that can only be flags and an id.
            otherwise => spaced_order(behind).or(otherwise).ok_or(RequestError)?,
        };
        let flags = flags.0;
        let recipient = match flags {
            [b'A', ..] => Recipient::All,
            [_, b'R', _] | [_, b'!', b'R'] => Recipient::Name(name),
            [_, _, b'S'] => Recipient::Id(id),
            _ => Recipient::Nobody,
        };
        Ok(Self { recipient, plain: flags.get(1) == Some(&b'!'), rest })
    }

    /// Appends the request. `location` is where the event was seen, `(name) ip->path` from an agent; anything without a space
    /// otherwise. An agent's name is taken from `recipient`, else from `location`.
    pub fn write(&self, location: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        match self.recipient {
            Recipient::Name(name) => put_location(name, location, out),
            _ if location.starts_with(b"(") => {
                let end = memchr::memchr(b')', location).unwrap_or(1);
                put_location(&location[1..end], location, out);
            }
            _ => put_location(b"local_source", location, out),
        }
        let second = if self.plain { b'!' } else { b'N' };
        let (flags, id): ([u8; 3], &[u8]) = match self.recipient {
            Recipient::All => ([b'A', second, b'N'], b"(null)"),
            Recipient::Name(_) if self.plain => (*b"N!R", b"(null)"),
            Recipient::Name(_) => (*b"NRN", b"(null)"),
            Recipient::Id(id) => ([b'N', second, b'S'], id),
            Recipient::Nobody => ([b'N', second, b'N'], b"(null)"),
        };
        for part in [b" ", &flags[..], b" ", id, b" ", self.rest] {
            out.extend_from_slice(part);
        }
        out.truncate(start + MAX_REQUEST);
    }

    /// The message for the agent.
    pub fn message(&self) -> ToAgent<'a> {
        if self.plain { ToAgent::Unknown(self.rest) } else { ToAgent::Execd(self.rest) }
    }
}

/// Three letters between spaces.
#[derive(Clone, Copy)]
struct Flags<'a>(&'a [u8]);

impl Flags<'_> {
    /// Whether nothing but flags and an id looks like this.
    fn is_sound(self, id: &[u8]) -> bool {
        let is_id = id == b"(null)" || (!id.is_empty() && id.iter().all(u8::is_ascii_digit));
        matches!(self.0, [b'A' | b'N', b'R' | b'!' | b'N', b'S' | b'R' | b'N']) && is_id
    }
}

/// `<flags> <id> <rest>`
fn order(text: &[u8]) -> Option<(Flags<'_>, &[u8], &[u8])> {
    let (flags, behind) = text.split_at_checked(3)?;
    let (id, rest) = split_space(behind.strip_prefix(b" ")?).ok()?;
    Some((Flags(flags), id, rest))
}

fn spaced_order(text: &[u8]) -> Option<(Flags<'_>, &[u8], &[u8])> {
    let behind = memchr::memchr_iter(b' ', text).filter_map(|at| order(&text[at + 1..]));
    behind.into_iter().find(|(flags, id, _)| flags.is_sound(id))
}

/// `(<name>) <source>`, the source of an agent's location without its own name. Spaces in the source become `_`: it is passed
/// over by who reads the request, up to its first space; with one, what follows would be taken for flags.
fn put_location(name: &[u8], location: &[u8], out: &mut Vec<u8>) {
    let source = match (location.first(), memchr::memmem::find(location, b") ")) {
        (Some(b'('), Some(at)) => &location[at + 2..],
        _ => location,
    };
    for part in [b"(", name, b") "] {
        out.extend_from_slice(part);
    }
    out.extend(source.iter().map(|&b| if b == b' ' { b'_' } else { b }));
}

fn split_space(text: &[u8]) -> Result<(&[u8], &[u8]), RequestError> {
    let at = memchr::memchr(b' ', text).ok_or(RequestError)?;
    Ok((&text[..at], &text[at + 1..]))
}

/// A request that is not of the form above.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestError;

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("request is not '(name) source flags id text'")
    }
}

impl std::error::Error for RequestError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_of_analysisd_and_agent_control_are_read() {
        let one = Request::parse(b"(web01) any->/var/log/a NRN (null) ban600 - 1.2.3.4 x").unwrap();
        assert_eq!(one.recipient, Recipient::Name(b"web01"));
        assert_eq!(one.message(), ToAgent::Execd(b"ban600 - 1.2.3.4 x"));
        let two = Request::parse(b"(msg_to_agent) [] N!S 001 syscheck restart\0").unwrap();
        assert_eq!(two.recipient, Recipient::Id(b"001"));
        assert_eq!(two.message().to_bytes(), b"#!-syscheck restart");
        let name = Request::parse(b"(web01) any->syscheck N!R (null) syscheck digest").unwrap();
        assert_eq!(
            (name.recipient, name.plain, name.rest),
            (Recipient::Name(b"web01"), true, &b"syscheck digest"[..])
        );
        let mut again = Vec::new();
        name.write(b"(web01) any->syscheck", &mut again);
        assert_eq!(again, b"(web01) any->syscheck N!R (null) syscheck digest");
        let all = Request::parse(b"(msg_to_agent) [] A!N (null) syscheck restart").unwrap();
        assert_eq!((all.recipient, all.plain), (Recipient::All, true));
        let none = Request::parse(b"(x) y NNN (null) z").unwrap();
        assert_eq!(none.recipient, Recipient::Nobody);
    }

    #[test]
    fn a_location_with_spaces_leads_to_the_agent_and_never_to_another() {
        let location = b"(web01) any->/var/log/my app NRS 007 x.log";
        let request = Request {
            recipient: Recipient::Name(b"web01"),
            plain: false,
            rest: b"ban600 - 1.2.3.4",
        };
        let mut text = Vec::new();
        request.write(location, &mut text);
        assert!(text.starts_with(b"(web01) any->/var/log/my_app_NRS_007_x.log NRN (null) ban600"));
        assert_eq!(Request::parse(&text), Ok(request));
        let mut all = Vec::new();
        Request { recipient: Recipient::All, ..request }.write(location, &mut all);
        assert!(all.starts_with(b"(web01) any->/var/log/my_app_NRS_007_x.log ANN (null) ban600"));
        // As a writer leaves it that does not mind the spaces.
        let other = b"(web01) any->/var/log/my app/x.log NRN (null) ban600 - 1.2.3.4";
        assert_eq!(Request::parse(other), Ok(request));
        let id = Request::parse(b"(msg_to_agent) [a b] N!S 001 syscheck restart").unwrap();
        assert_eq!((id.recipient, id.plain), (Recipient::Id(b"001"), true));
    }

    #[test]
    fn every_truncation_is_refused_or_a_shorter_rest() {
        let whole = b"(x) y NNS 001 host-deny600 - -";
        for cut in 0..whole.len() {
            match Request::parse(&whole[..cut]) {
                Ok(read) => assert_eq!(read.rest, &whole[14..cut]),
                Err(RequestError) => assert!(cut < 14),
            }
        }
        assert_eq!(Request::parse(b"no parenthesis"), Err(RequestError));
        assert_eq!(Request::parse(b")"), Err(RequestError));
    }

    #[test]
    fn what_is_written_is_read_back() {
        let cases = [
            (Recipient::Name(b"web01"), false, "(web01) any->/a NRN (null) ban - -"),
            (Recipient::Id(b"002"), false, "(web01) any->/a NNS 002 ban - -"),
            (Recipient::All, true, "(web01) any->/a A!N (null) ban - -"),
        ];
        for (recipient, plain, expected) in cases {
            let request = Request { recipient, plain, rest: b"ban - -" };
            let mut out = Vec::new();
            request.write(b"(web01) any->/a", &mut out);
            assert_eq!(String::from_utf8_lossy(&out), expected);
            assert_eq!(Request::parse(&out), Ok(request));
        }
        let mut out = Vec::new();
        Request { recipient: Recipient::All, plain: false, rest: b"x" }
            .write(b"/var/log/a", &mut out);
        assert_eq!(out, b"(local_source) /var/log/a ANN (null) x");
    }
}
