//! The packets of the acknowledged queue (`queue/ossec/events`, a Unix `SOCK_SEQPACKET` socket): our own format.
//!
//! A producer says `Hello` with its name and the stream that its numbers belong to; the consumer answers `Welcome` with
//! the highest number of that stream that has reached its end (or `Refused` with a reason). Then the producer sends
//! `Batch`es of consecutively numbered events, and the consumer `Ack`s the highest number that has reached its end.
//!
//! ```text
//! Hello    'H' version:u8 stream:u64 name:bytes
//! Welcome  'W' version:u8 ended:u64
//! Refused  'R' reason:bytes
//! Batch    'B' first:u64 count:u32 then count times: kind:u8 location_len:u16 payload_len:u32 location payload
//! Ack      'A' ended:u64
//! ```
//! Integers are little-endian; the first number of a stream is 1. One packet is one datagram of the socket.

use std::fmt;

use crate::event::{Event, EventError, Kind, MAX_EVENT, check_location};

/// Version of this format.
pub const VERSION: u8 = 1;
/// Largest packet in bytes: one event of the largest size always fits.
pub const MAX_PACKET: usize = 128 * 1024;
/// Longest producer name in bytes.
pub const MAX_NAME: usize = 32;

const BATCH_HEADER: usize = 1 + 8 + 4;
const EVENT_HEADER: usize = 1 + 2 + 4;

/// One packet, borrowed from the buffer it came in.
#[derive(Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// A producer presents itself.
    Hello {
        /// The numbering that this producer goes on with.
        stream: u64,
        /// Who it is, for instance `logcollector`.
        name: &'a str,
    },
    /// The consumer's answer: all up to `ended` is done.
    Welcome {
        /// Highest number that has reached its end; 0 for an unknown stream.
        ended: u64,
    },
    /// The consumer will not talk to this producer.
    Refused {
        /// Why, for a log line.
        reason: &'a str,
    },
    /// Consecutively numbered events.
    Batch(Batch<'a>),
    /// All up to `ended` is done.
    Ack {
        /// Highest number that has reached its end.
        ended: u64,
    },
}

/// The events of one batch packet.
#[derive(Debug, PartialEq, Eq)]
pub struct Batch<'a> {
    /// Number of the first event.
    pub first: u64,
    count: u32,
    body: &'a [u8],
}

impl<'a> Batch<'a> {
    /// How many events the packet says it has.
    pub fn len(&self) -> u32 {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The events in order; the first error ends the walk.
    pub fn events(&self) -> impl Iterator<Item = Result<Event<'a>, PacketError>> {
        let mut rest = self.body;
        let mut left = self.count;
        std::iter::from_fn(move || {
            if left == 0 {
                return None;
            }
            left -= 1;
            let item = take_event(&mut rest);
            if item.is_err() {
                left = 0;
            }
            Some(item)
        })
    }
}

impl<'a> Packet<'a> {
    /// Reads one packet. A batch's events are checked when they are walked.
    ///
    /// # Errors
    /// See [`PacketError`].
    pub fn parse(packet: &'a [u8]) -> Result<Self, PacketError> {
        let (&tag, mut rest) = packet.split_first().ok_or(PacketError::Truncated)?;
        match tag {
            b'H' => {
                check_version(&mut rest)?;
                let stream = u64::from_le_bytes(take(&mut rest)?);
                Ok(Self::Hello { stream, name: name(rest)? })
            }
            b'W' => {
                check_version(&mut rest)?;
                Ok(Self::Welcome { ended: u64::from_le_bytes(take(&mut rest)?) })
            }
            b'R' => Ok(Self::Refused {
                reason: std::str::from_utf8(rest).map_err(|_| PacketError::Garbled)?,
            }),
            b'B' => {
                let first = u64::from_le_bytes(take(&mut rest)?);
                let count = u32::from_le_bytes(take(&mut rest)?);
                if first == 0 || first.checked_add(u64::from(count)).is_none() {
                    return Err(PacketError::Garbled);
                }
                Ok(Self::Batch(Batch { first, count, body: rest }))
            }
            b'A' => Ok(Self::Ack { ended: u64::from_le_bytes(take(&mut rest)?) }),
            other => Err(PacketError::UnknownTag(other)),
        }
    }
}

/// Writes a `Hello`.
pub fn hello(stream: u64, name: &str) -> Vec<u8> {
    let mut out = vec![b'H', VERSION];
    out.extend_from_slice(&stream.to_le_bytes());
    out.extend_from_slice(name.as_bytes());
    out
}

/// Writes a `Welcome`.
pub fn welcome(ended: u64) -> Vec<u8> {
    let mut out = vec![b'W', VERSION];
    out.extend_from_slice(&ended.to_le_bytes());
    out
}

/// Writes a `Refused`.
pub fn refused(reason: &str) -> Vec<u8> {
    let mut out = vec![b'R'];
    out.extend_from_slice(reason.as_bytes());
    out
}

/// Writes an `Ack`.
pub fn ack(ended: u64) -> Vec<u8> {
    let mut out = vec![b'A'];
    out.extend_from_slice(&ended.to_le_bytes());
    out
}

/// Builds one batch packet, event by event.
#[derive(Debug)]
pub struct BatchWriter {
    packet: Vec<u8>,
    first: u64,
    count: u32,
}

impl BatchWriter {
    /// An empty batch whose first event will have the number `first` (1 or more).
    pub fn new(first: u64) -> Self {
        let mut packet = Vec::with_capacity(4096);
        packet.push(b'B');
        packet.extend_from_slice(&first.to_le_bytes());
        packet.extend_from_slice(&0u32.to_le_bytes());
        Self { packet, first, count: 0 }
    }

    /// Adds an event; `false` when it does not fit any more (it always fits into an empty batch, except when it is
    /// larger than [`MAX_EVENT`], which the caller has cut).
    pub fn push(&mut self, event: &Event<'_>) -> bool {
        let (location, payload) = (event.location, event.payload);
        let Ok(location_len) = u16::try_from(location.len()) else { return false };
        let size = EVENT_HEADER + location.len() + payload.len();
        if location.len() + payload.len() > MAX_EVENT || self.packet.len() + size > MAX_PACKET {
            return false;
        }
        let payload_len = payload.len() as u32;
        self.packet.push(event.kind.tag());
        self.packet.extend_from_slice(&location_len.to_le_bytes());
        self.packet.extend_from_slice(&payload_len.to_le_bytes());
        self.packet.extend_from_slice(location);
        self.packet.extend_from_slice(payload);
        self.count += 1;
        self.packet[9..BATCH_HEADER].copy_from_slice(&self.count.to_le_bytes());
        true
    }

    /// Number of the first event.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// Number of the last event; one less than [`first`](Self::first) while the batch is empty.
    pub fn last(&self) -> u64 {
        self.first + u64::from(self.count) - 1
    }

    /// How many events it has.
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The packet as it goes over the socket.
    pub fn bytes(&self) -> &[u8] {
        &self.packet
    }
}

fn take_event<'a>(rest: &mut &'a [u8]) -> Result<Event<'a>, PacketError> {
    let [tag] = take(rest)?;
    let location_len = usize::from(u16::from_le_bytes(take(rest)?));
    let payload_len = u32::from_le_bytes(take(rest)?) as usize;
    if payload_len > MAX_EVENT {
        return Err(PacketError::Event(EventError::TooLong { len: payload_len }));
    }
    let location = slice(rest, location_len)?;
    let payload = slice(rest, payload_len)?;
    check_location(location).map_err(PacketError::Event)?;
    Ok(Event { kind: Kind::from_tag(tag), location, payload })
}

fn slice<'a>(rest: &mut &'a [u8], len: usize) -> Result<&'a [u8], PacketError> {
    let (head, tail) = rest.split_at_checked(len).ok_or(PacketError::Truncated)?;
    *rest = tail;
    Ok(head)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], PacketError> {
    let (head, tail) = rest.split_first_chunk::<N>().ok_or(PacketError::Truncated)?;
    *rest = tail;
    Ok(*head)
}

fn check_version(rest: &mut &[u8]) -> Result<(), PacketError> {
    match take(rest)? {
        [VERSION] => Ok(()),
        [other] => Err(PacketError::Version(other)),
    }
}

fn name(bytes: &[u8]) -> Result<&str, PacketError> {
    let name = std::str::from_utf8(bytes).map_err(|_| PacketError::Garbled)?;
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if name.is_empty() || name.len() > MAX_NAME || !plain {
        return Err(PacketError::Garbled);
    }
    Ok(name)
}

/// Why bytes are not a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PacketError {
    /// Ends too early.
    Truncated,
    /// A field has an impossible value.
    Garbled,
    /// The other side speaks this version, not [`VERSION`].
    Version(u8),
    /// No packet begins with this byte.
    UnknownTag(u8),
    /// An event inside is not one.
    Event(EventError),
}

impl fmt::Display for PacketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("packet ends too early"),
            Self::Garbled => f.write_str("packet with an impossible value"),
            Self::Version(v) => write!(
                f,
                "packet of version {v}, this program speaks {VERSION}: restart both sides after an upgrade"
            ),
            Self::UnknownTag(tag) => write!(f, "unknown packet {:?}", char::from(*tag)),
            Self::Event(error) => write!(f, "batch with an {error}"),
        }
    }
}

impl std::error::Error for PacketError {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample() -> BatchWriter {
        let mut batch = BatchWriter::new(7);
        assert!(batch.push(&Event { kind: Kind::Log, location: b"/var/log/a:b", payload: b"one" }));
        assert!(batch.push(&Event { kind: Kind::Rootcheck, location: b"rootcheck", payload: b"" }));
        batch
    }

    #[test]
    fn a_batch_is_read_back_with_colons_in_its_location() {
        let batch = sample();
        assert_eq!((batch.first(), batch.last()), (7, 8));
        let Ok(Packet::Batch(read)) = Packet::parse(batch.bytes()) else { panic!("not a batch") };
        let events: Vec<_> = read.events().map(Result::unwrap).collect();
        assert_eq!(read.first, 7);
        assert_eq!(events[0].location, b"/var/log/a:b");
        assert_eq!(
            events[1],
            Event { kind: Kind::Rootcheck, location: b"rootcheck", payload: b"" }
        );
    }

    #[test]
    fn every_truncation_of_a_batch_is_an_error_before_its_end() {
        let batch = sample();
        for cut in 0..batch.bytes().len() {
            if let Ok(Packet::Batch(read)) = Packet::parse(&batch.bytes()[..cut]) {
                assert!(read.events().any(|event| event.is_err()), "cut at {cut}");
            }
        }
    }

    #[test]
    fn greetings_are_read_back() {
        assert_eq!(
            Packet::parse(&hello(9, "logcollector")),
            Ok(Packet::Hello { stream: 9, name: "logcollector" })
        );
        assert_eq!(Packet::parse(&welcome(3)), Ok(Packet::Welcome { ended: 3 }));
        assert_eq!(Packet::parse(&ack(4)), Ok(Packet::Ack { ended: 4 }));
        assert_eq!(Packet::parse(&refused("busy")), Ok(Packet::Refused { reason: "busy" }));
    }

    #[test]
    fn names_that_could_be_paths_are_refused() {
        assert_eq!(Packet::parse(&hello(9, "../x")), Err(PacketError::Garbled));
        assert_eq!(Packet::parse(&hello(9, "")), Err(PacketError::Garbled));
    }

    #[test]
    fn the_largest_event_fits_an_empty_batch_and_not_twice() {
        let payload = vec![b'x'; MAX_EVENT - 1];
        let event = Event { kind: Kind::Log, location: b"a", payload: &payload };
        let mut batch = BatchWriter::new(1);
        assert!(batch.push(&event));
        assert!(!batch.push(&event));
        assert_eq!(batch.len(), 1);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(Packet::Batch(batch)) = Packet::parse(&bytes) {
                for event in batch.events() { let _ = event; }
            }
        }
    }
}
