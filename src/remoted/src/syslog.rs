//! Syslog from the network: who may send, and the connections that bring it.

use std::io::{self, Read};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::time::Instant;

use agents::Address;
use runtime::Failure;
use settings::{Connection, Remote};
use wire::syslog::{Item, MAX_MESSAGE, Splitter};

/// Connections that are open at a time; more are closed at once.
const MAX_CONNECTIONS: usize = 1024;
/// Connections of one address.
const MAX_OF_ONE: usize = 128;
/// Bytes that are read of one connection before the others get their turn.
const SHARE: usize = 64 << 10;

/// Who may send syslog: one pair of lists over all blocks.
#[derive(Debug, Default)]
pub struct Access {
    denied: Vec<Address>,
    allowed: Vec<Address>,
}

impl Access {
    /// From the blocks of the configuration.
    ///
    /// # Errors
    /// 1237 for what is no address form; 1501 when there is syslog and nobody may send.
    pub fn of(remotes: &[Remote]) -> Result<Self, Failure> {
        let mut access = Self::default();
        for remote in remotes {
            access.denied.extend(addresses(&remote.denied_ips)?);
            access.allowed.extend(addresses(&remote.allowed_ips)?);
        }
        let has_syslog = remotes.iter().any(|remote| remote.connection == Connection::Syslog);
        if has_syslog && access.allowed.is_empty() {
            let text = "No IP or network allowed in the access list for syslog. No reason for running it. Exiting.";
            return Err(Failure::new(Some(1501), text));
        }
        Ok(access)
    }

    /// Whether messages from there are taken.
    pub fn allows(&self, source: IpAddr) -> bool {
        !is_listed(&self.denied, source) && is_listed(&self.allowed, source)
    }
}

/// Reads a list of address forms.
pub(crate) fn addresses(texts: &[String]) -> Result<Vec<Address>, Failure> {
    let read_one = |text: &String| {
        Address::parse(text.as_bytes()).map_err(|error| {
            Failure::new(Some(1237), format!("Invalid ip address: '{text}'. ({error})"))
        })
    };
    texts.iter().map(read_one).collect()
}

/// The first entry that fits decides, a negated one for the opposite; if none fits, the opposite of what the last one says.
pub(crate) fn is_listed(list: &[Address], source: IpAddr) -> bool {
    for entry in list {
        if entry.matches(source) != entry.is_negated() {
            return !entry.is_negated();
        }
    }
    list.last().is_some_and(Address::is_negated)
}

/// One open connection.
#[derive(Debug)]
pub struct Stream {
    socket: TcpStream,
    source: IpAddr,
    splitter: Splitter,
    is_at_end: bool,
}

/// What a turn of a connection came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Nothing more for now.
    Waits,
    /// The taker wants no more for now.
    Stopped,
    /// There may be more.
    More,
    /// The connection is at its end.
    Ended,
}

/// What a connection brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Brought<'a> {
    /// A message.
    Message(&'a [u8]),
    /// One that was longer than the limit, and is gone.
    TooLong,
}

impl Stream {
    fn new(socket: TcpStream, source: IpAddr) -> Self {
        Self { socket, source, splitter: Splitter::new(MAX_MESSAGE), is_at_end: false }
    }

    /// Where it comes from.
    pub fn source(&self) -> IpAddr {
        self.source
    }

    /// For poll(2).
    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// Hands over messages as long as `wants` says so after each.
    pub fn turn(&mut self, buffer: &mut [u8], mut take: impl FnMut(Brought<'_>) -> bool) -> Turn {
        let mut read = 0;
        loop {
            while let Some(item) = self.splitter.next_item() {
                let brought = match item {
                    Item::Message(text) => Brought::Message(text),
                    Item::TooLong => Brought::TooLong,
                };
                if !take(brought) {
                    return Turn::Stopped;
                }
            }
            if self.is_at_end {
                if let Some(text) = self.splitter.finish() {
                    take(Brought::Message(text));
                }
                return Turn::Ended;
            }
            if read >= SHARE {
                return Turn::More;
            }
            match self.socket.read(buffer) {
                Ok(0) => self.is_at_end = true,
                Ok(len) => {
                    read += len;
                    self.splitter.feed(buffer.get(..len).unwrap_or_default());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Turn::Waits,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => self.is_at_end = true,
            }
        }
    }
}

/// All connections.
#[derive(Debug)]
pub struct Streams {
    open: Vec<Stream>,
    full_said: Option<Instant>,
    /// Connections that were closed because there were too many.
    pub turned_away: u64,
}

impl Streams {
    /// None yet.
    pub fn new() -> Self {
        Self { open: Vec::new(), full_said: None, turned_away: 0 }
    }

    /// The open ones.
    pub fn iter(&self) -> impl Iterator<Item = &Stream> {
        self.open.iter()
    }

    /// Takes what waits at a listener. `refuse` is told who may not send.
    pub fn accept(
        &mut self,
        listener: &TcpListener,
        access: &Access,
        now: Instant,
        mut refuse: impl FnMut(IpAddr),
    ) {
        for _ in 0..64 {
            let Ok((socket, from)) = listener.accept() else { return };
            let source = from.ip().to_canonical();
            if !access.allows(source) {
                refuse(source);
                continue;
            }
            let of_this = self.open.iter().filter(|stream| stream.source == source).count();
            if self.open.len() >= MAX_CONNECTIONS
                || of_this >= MAX_OF_ONE
                || socket.set_nonblocking(true).is_err()
            {
                self.turn_away(source, now);
                continue;
            }
            self.open.push(Stream::new(socket, source));
        }
    }

    fn turn_away(&mut self, source: IpAddr, now: Instant) {
        self.turned_away += 1;
        let said_lately =
            self.full_said.is_some_and(|said| now.saturating_duration_since(said).as_secs() < 60);
        if !said_lately {
            self.full_said = Some(now);
            log::warn!("Syslog TCP worker pool full, dropping connection from {source}");
        }
    }

    /// A turn of each; `turn` says what came of it, and ended ones are let go. `true`: one of them has more at once.
    pub fn each(&mut self, mut turn: impl FnMut(&mut Stream) -> Turn) -> bool {
        let mut more = false;
        self.open.retain_mut(|stream| {
            let came = turn(stream);
            more |= came == Turn::More;
            came != Turn::Ended
        });
        more
    }
}

impl Default for Streams {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn list(texts: &[&str]) -> Vec<Address> {
        texts.iter().map(|text| Address::parse(text.as_bytes()).unwrap()).collect()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_lists_are_read_as_the_original_reads_them() {
        for (entries, source, expected) in [
            (&["10.0.0.0/8"][..], "10.1.2.3", true),
            (&["10.0.0.0/8"], "11.1.2.3", false),
            (&["!10.0.0.1", "10.0.0.0/8"], "10.0.0.1", false),
            (&["!10.0.0.1", "10.0.0.0/8"], "10.0.0.2", true),
            (&["!10.0.0.1"], "10.0.0.1", false),
            (&["!10.0.0.1"], "192.0.2.1", true),
            (&["any"], "fd00::1", true),
            (&[], "10.0.0.1", false),
        ] {
            assert_eq!(is_listed(&list(entries), ip(source)), expected, "{entries:?} {source}");
        }
    }

    #[test]
    fn the_denied_list_is_asked_first() {
        let access = Access { denied: list(&["10.9.1.16"]), allowed: list(&["10.9.1.0/24"]) };
        assert!(access.allows(ip("10.9.1.99")));
        assert!(!access.allows(ip("10.9.1.16")) && !access.allows(ip("10.9.2.77")));
    }

    #[test]
    fn a_stream_stops_when_asked_and_loses_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (socket, _) = listener.accept().unwrap();
        let mut stream = Stream::new(socket, ip("127.0.0.1"));
        client.write_all(b"<14>one\ntwo\r\nthree").unwrap();
        drop(client);
        let mut seen = Vec::new();
        let mut turns = 0;
        loop {
            turns += 1;
            let turn = stream.turn(&mut [0; 4096], |brought| {
                let Brought::Message(text) = brought else { panic!("too long") };
                seen.push(String::from_utf8_lossy(text).into_owned());
                false
            });
            if turn == Turn::Ended {
                break;
            }
            assert_eq!(turn, Turn::Stopped);
        }
        assert_eq!(seen, ["one", "two", "three"]);
        assert_eq!(turns, 3);
    }
}
