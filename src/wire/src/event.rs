//! Queue events: what a daemon hands over for each thing that it saw.
//!
//! Shape of the datagram: `<kind>:<location>:<payload>`, for instance `1:/var/log/auth.log:sshd[9]: Failed …`, with or
//! without a trailing NUL. An agent's event has the location `(web1) 10.0.0.7->/var/log/auth.log`, whose first separator
//! is the first `:` after `->`, so that IPv6 addresses are safe. Bytes, not text: a log line is whatever a program wrote.

use std::fmt;

use memchr::{memchr, memmem};

/// Largest event, in bytes of its datagram form.
pub const MAX_EVENT: usize = 65_536;

/// Smallest datagram that can be an event.
const MIN_EVENT: usize = 4;

/// One event, borrowed from the buffer it came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event<'a> {
    /// What the payload is.
    pub kind: Kind,
    /// Where it was seen: a path, a command's alias, or `(agent) address->path`.
    pub location: &'a [u8],
    /// The line, without its newline; may be empty, may be invalid UTF-8.
    pub payload: &'a [u8],
}

/// What the payload is, and so which decoder takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `1`: a line of a file or a command.
    Log,
    /// `2`: remote syslog; the location is the sender's address.
    Syslog,
    /// `3`: a host's open ports.
    HostInfo,
    /// `4`: from an agent.
    Secure,
    /// `8`: a file's integrity record.
    FileIntegrity,
    /// `9`: a finding of rootcheck.
    Rootcheck,
    /// `a`: MySQL's log.
    MySql,
    /// `b`: PostgreSQL's log.
    PostgreSql,
    /// Any other tag: treated like [`Kind::Log`], as the original does.
    Other(u8),
}

impl Kind {
    /// The kind that this first byte names.
    pub fn from_tag(tag: u8) -> Self {
        match tag {
            b'1' => Self::Log,
            b'2' => Self::Syslog,
            b'3' => Self::HostInfo,
            b'4' => Self::Secure,
            b'8' => Self::FileIntegrity,
            b'9' => Self::Rootcheck,
            b'a' => Self::MySql,
            b'b' => Self::PostgreSql,
            other => Self::Other(other),
        }
    }

    /// The first byte of the datagram.
    pub fn tag(self) -> u8 {
        match self {
            Self::Log => b'1',
            Self::Syslog => b'2',
            Self::HostInfo => b'3',
            Self::Secure => b'4',
            Self::FileIntegrity => b'8',
            Self::Rootcheck => b'9',
            Self::MySql => b'a',
            Self::PostgreSql => b'b',
            Self::Other(tag) => tag,
        }
    }
}

impl<'a> Event<'a> {
    /// Reads one datagram. The byte after the kind is not looked at, as in the original.
    ///
    /// # Errors
    /// See [`EventError`].
    pub fn parse(datagram: &'a [u8]) -> Result<Self, EventError> {
        if datagram.len() > MAX_EVENT {
            return Err(EventError::TooLong { len: datagram.len() });
        }
        let datagram = match datagram {
            [all @ .., 0] => all,
            all => all,
        };
        let [tag, _, rest @ ..] = datagram else {
            return Err(EventError::Truncated);
        };
        if datagram.len() < MIN_EVENT {
            return Err(EventError::Truncated);
        }
        let colon = separator(rest).ok_or(EventError::NoLocation)?;
        let (location, payload) = (&rest[..colon], &rest[colon + 1..]);
        check_location(location)?;
        Ok(Self { kind: Kind::from_tag(*tag), location, payload })
    }

    /// Appends the datagram form, without a trailing NUL. A location that holds a `:` is not read back as such: the
    /// producers replace it.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(self.kind.tag());
        out.push(b':');
        out.extend_from_slice(self.location);
        out.push(b':');
        out.extend_from_slice(self.payload);
    }
}

/// Refuses locations that climb: they become file names below `queue/`.
///
/// # Errors
/// [`EventError::Traversal`] for `..`, `../x` and anything with a `/..` component.
pub fn check_location(location: &[u8]) -> Result<(), EventError> {
    let climbs = location.split(|&b| b == b'/').any(|part| part == b"..");
    if climbs { Err(EventError::Traversal) } else { Ok(()) }
}

fn separator(rest: &[u8]) -> Option<usize> {
    if rest.first() == Some(&b'(') {
        let arrow = memmem::find(rest, b"->")?;
        return memchr(b':', &rest[arrow..]).map(|at| arrow + at);
    }
    memchr(b':', rest)
}

/// Why a datagram is not an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventError {
    /// Shorter than the shortest event.
    Truncated,
    /// No `:` ends the location.
    NoLocation,
    /// Larger than [`MAX_EVENT`].
    TooLong {
        /// Its size in bytes.
        len: usize,
    },
    /// The location has a `..` component.
    Traversal,
}

impl fmt::Display for EventError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => write!(f, "event shorter than {MIN_EVENT} bytes"),
            Self::NoLocation => f.write_str("event without the ':' that ends its location"),
            Self::TooLong { len } => write!(f, "event of {len} bytes, the limit is {MAX_EVENT}"),
            Self::Traversal => f.write_str("event whose location has a '..' component"),
        }
    }
}

impl std::error::Error for EventError {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_payload_keeps_its_colons() {
        let event = Event::parse(b"1:/var/log/app:12:30 up").unwrap();
        assert_eq!(
            event,
            Event { kind: Kind::Log, location: b"/var/log/app", payload: b"12:30 up" }
        );
    }

    #[test]
    fn an_agents_ipv6_address_stays_in_the_location() {
        let event = Event::parse(b"1:(web1) 2001:db8::7->/var/log/a:x:y\0").unwrap();
        assert_eq!(event.location, b"(web1) 2001:db8::7->/var/log/a");
        assert_eq!(event.payload, b"x:y");
    }

    #[test]
    fn a_location_that_climbs_is_refused() {
        for bad in [&b"1:..:x"[..], b"1:../a:x", b"1:/var/../etc:x", b"1:(a) 1.2.3.4->/..:x"] {
            assert_eq!(Event::parse(bad), Err(EventError::Traversal), "{bad:?}");
        }
        assert!(Event::parse(b"1:/var/log/..hidden:x").is_ok());
    }

    #[test]
    fn every_truncation_is_an_error_or_an_event() {
        let whole = b"1:(web1) 10.0.0.7->/var/log/auth.log:sshd[9]: hello";
        for cut in 0..whole.len() {
            match Event::parse(&whole[..cut]) {
                Ok(event) => assert!(event.location.ends_with(b"/var/log/auth.log")),
                Err(error) => {
                    assert!(matches!(error, EventError::Truncated | EventError::NoLocation))
                }
            }
        }
    }

    #[test]
    fn an_oversized_datagram_is_refused() {
        let long = vec![b'a'; MAX_EVENT + 1];
        assert_eq!(Event::parse(&long), Err(EventError::TooLong { len: MAX_EVENT + 1 }));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Event::parse(&bytes);
        }

        #[test]
        fn what_is_written_is_read_back(tag in any::<u8>(), location in "[a-z/.]{1,20}", payload in proptest::collection::vec(1u8.., 1..80)) {
            let event = Event { kind: Kind::from_tag(tag), location: location.as_bytes(), payload: &payload };
            prop_assume!(check_location(event.location).is_ok());
            let mut datagram = Vec::new();
            event.write(&mut datagram);
            prop_assert_eq!(Event::parse(&datagram), Ok(event));
        }
    }
}
