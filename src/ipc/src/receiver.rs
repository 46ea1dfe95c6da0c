//! The consumer's side of the acknowledged queue, for a mio event loop.
//!
//! A [`Receiver`] accepts producers, hands each of their events over exactly once ([`Delivery`]), and acknowledges what has
//! reached its end. Whoever brings events to their end (another thread, as a rule) says so by [`Source::end`], then wakes
//! the loop, which calls [`Receiver::acknowledge`].

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use socket2::{Domain, SockAddr, Socket, Type};
use wire::Event;
use wire::queue::{self, Batch, MAX_PACKET, Packet};

use crate::datagram::remove_stale;
use crate::ended::Ended;
use crate::paths::SOCKET_MODE;

/// Connections at a time; a host has a handful of producers.
const MAX_CONNECTIONS: usize = 64;
/// Producers known at a time.
const MAX_SOURCES: usize = 24;
/// Packets read from one connection before the next one's turn.
const TURN: usize = 16;
const BACKLOG: i32 = 32;

/// A producer's numbering, shared with whoever ends its events.
#[derive(Debug)]
pub struct Source {
    name: String,
    stream: u64,
    received: AtomicU64,
    ended: AtomicU64,
}

impl Source {
    /// The producer's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The stream its numbers belong to.
    pub fn stream(&self) -> u64 {
        self.stream
    }

    /// Says that everything up to this number has reached its end and is recorded as such.
    pub fn end(&self, upto: u64) {
        self.ended.fetch_max(upto, Ordering::Release);
    }

    fn is_drained(&self) -> bool {
        self.ended.load(Ordering::Acquire) >= self.received.load(Ordering::Relaxed)
    }
}

/// One event of a producer.
#[derive(Debug)]
pub struct Delivery<'a> {
    /// Whose it is.
    pub source: &'a Arc<Source>,
    /// Its number; a source's numbers rise.
    pub number: u64,
    /// The event.
    pub event: Event<'a>,
}

/// What the receiver counted.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Events that came a second time and were not handed over again.
    pub repeated: u64,
    /// Numbers that a known stream left out: events lost on their way here.
    pub missing: u64,
    /// Connections closed because of a packet that is not one.
    pub garbled: u64,
}

/// The consumer's end of the acknowledged queue.
#[derive(Debug)]
pub struct Receiver {
    listener: Socket,
    base: usize,
    connections: BTreeMap<usize, Connection>,
    sources: BTreeMap<String, Arc<Source>>,
    /// What an earlier run of the consumer had ended.
    before: Ended,
    counts: Counts,
    buffer: Vec<u8>,
    accept_ready: bool,
}

#[derive(Debug)]
struct Connection {
    socket: Socket,
    state: State,
    readable: bool,
    acked: u64,
}

#[derive(Debug)]
enum State {
    /// Has not said who it is.
    New,
    /// Wants to be this producer, whose earlier events are still on their way to their end.
    Waiting {
        name: String,
        stream: u64,
    },
    Live(Arc<Source>),
}

impl Receiver {
    /// Listens on `path`, mode 0660. `before` is what earlier runs had ended (a copy: the writer keeps the original).
    /// The receiver uses the tokens `base` to `base + 64`.
    ///
    /// # Errors
    /// Whatever the system says; the caller names the path.
    pub fn bind(path: &Path, before: Ended, registry: &Registry, base: Token) -> io::Result<Self> {
        remove_stale(path)?;
        let listener = Socket::new(Domain::UNIX, Type::SEQPACKET, None)?;
        listener.set_nonblocking(true)?;
        listener.bind(&SockAddr::unix(path)?)?;
        fs::set_permissions(path, fs::Permissions::from_mode(SOCKET_MODE))?;
        listener.listen(BACKLOG)?;
        registry.register(&mut SourceFd(&listener.as_raw_fd()), base, Interest::READABLE)?;
        Ok(Self {
            listener,
            base: base.0,
            connections: BTreeMap::new(),
            sources: BTreeMap::new(),
            before,
            counts: Counts::default(),
            buffer: vec![0; MAX_PACKET],
            accept_ready: true,
        })
    }

    /// Notes that mio reported this token; `false` when it is not one of ours.
    pub fn on_event(&mut self, token: Token) -> bool {
        let Some(slot) = token.0.checked_sub(self.base).filter(|&slot| slot <= MAX_CONNECTIONS)
        else {
            return false;
        };
        if slot == 0 {
            self.accept_ready = true;
        } else if let Some(connection) = self.connections.get_mut(&slot) {
            connection.readable = true;
        }
        true
    }

    /// Reads a turn from each connection that has something, and hands its new events to `sink`, which says whether it has
    /// room for more: after `false` it gets the rest of the packet, and no further one. Returns whether there may be more to read.
    pub fn work(
        &mut self,
        registry: &Registry,
        sink: &mut dyn FnMut(Delivery<'_>) -> bool,
    ) -> bool {
        if self.accept_ready {
            self.accept(registry);
        }
        let slots: Vec<usize> =
            self.connections.iter().filter(|(_, c)| c.readable).map(|(&slot, _)| slot).collect();
        for slot in slots {
            match self.turn(slot, sink) {
                Ok(true) => {}
                Ok(false) => break,
                Err(why) => self.close(slot, registry, &why),
            }
        }
        self.welcome_waiting();
        self.accept_ready || self.connections.values().any(|c| c.readable)
    }

    /// Sends acknowledgements of what has ended since the last call, and welcomes producers that waited for that.
    pub fn acknowledge(&mut self) {
        for connection in self.connections.values_mut() {
            let State::Live(source) = &connection.state else { continue };
            let ended = source.ended.load(Ordering::Acquire);
            // A producer that does not read gets a later acknowledgement, which says the same and more.
            if ended > connection.acked && connection.socket.send(&queue::ack(ended)).is_ok() {
                connection.acked = ended;
            }
        }
        self.welcome_waiting();
    }

    /// What was counted so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    fn accept(&mut self, registry: &Registry) {
        loop {
            match self.listener.accept() {
                Ok((socket, _)) => self.adopt(socket, registry),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.accept_ready = false;
                    if error.kind() != io::ErrorKind::WouldBlock {
                        log::warn!("events queue: a producer could not be accepted: {error}");
                    }
                    return;
                }
            }
        }
    }

    fn adopt(&mut self, socket: Socket, registry: &Registry) {
        let Some(slot) = (1..=MAX_CONNECTIONS).find(|slot| !self.connections.contains_key(slot))
        else {
            // Nothing to do for it but to say so; it tries again.
            let _ = socket.send(&queue::refused("too many producers are connected"));
            return;
        };
        let token = Token(self.base + slot);
        let ready = socket.set_nonblocking(true).and_then(|()| {
            registry.register(&mut SourceFd(&socket.as_raw_fd()), token, Interest::READABLE)
        });
        match ready {
            Ok(()) => {
                let connection = Connection { socket, state: State::New, readable: true, acked: 0 };
                self.connections.insert(slot, connection);
            }
            Err(error) => log::warn!("events queue: a producer could not be watched: {error}"),
        }
    }

    /// Reads up to [`TURN`] packets; `Ok(false)` when the sink has no more room, `Err` tells why the connection has to go
    /// ("" for an orderly end).
    fn turn(
        &mut self,
        slot: usize,
        sink: &mut dyn FnMut(Delivery<'_>) -> bool,
    ) -> Result<bool, String> {
        for _ in 0..TURN {
            let Some(connection) = self.connections.get_mut(&slot) else { return Ok(true) };
            let len = match connection.socket.read(&mut self.buffer) {
                Ok(0) => return Err(String::new()),
                Ok(len) => len,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    connection.readable = false;
                    return Ok(true);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                    return Err(String::new());
                }
                Err(error) => return Err(error.to_string()),
            };
            let packet = Packet::parse(&self.buffer[..len]).map_err(|error| error.to_string());
            match (packet, &connection.state) {
                (Ok(Packet::Hello { stream, name }), State::New) => {
                    let known = self.sources.contains_key(name) || self.sources.len() < MAX_SOURCES;
                    if !known {
                        return Err("too many producers are known".to_owned());
                    }
                    connection.state = State::Waiting { name: name.to_owned(), stream };
                }
                (Ok(Packet::Batch(batch)), State::Live(source)) => {
                    let room = deliver(source, &batch, &mut self.counts, sink);
                    if !room.inspect_err(|_| self.counts.garbled += 1)? {
                        return Ok(false);
                    }
                }
                (Ok(_), _) => {
                    self.counts.garbled += 1;
                    return Err("the producer speaks out of turn".to_owned());
                }
                (Err(why), _) => {
                    self.counts.garbled += 1;
                    return Err(why);
                }
            }
        }
        Ok(true)
    }

    fn close(&mut self, slot: usize, registry: &Registry, why: &str) {
        let Some(connection) = self.connections.remove(&slot) else { return };
        if !why.is_empty() {
            let _ = connection.socket.send(&queue::refused(why));
            let who = match &connection.state {
                State::New => "a producer without a name",
                State::Waiting { name, .. } => name,
                State::Live(source) => source.name(),
            };
            log::warn!("events queue: {who} was disconnected: {why}");
        }
        // It is closed right after; a failure here cannot matter.
        let _ = registry.deregister(&mut SourceFd(&connection.socket.as_raw_fd()));
    }

    /// Welcomes each waiting producer whose predecessor is gone and whose earlier events have all reached their end: only
    /// then do its numbers mean the same to both sides.
    fn welcome_waiting(&mut self) {
        let slots: Vec<usize> = self
            .connections
            .iter()
            .filter(|(_, c)| matches!(c.state, State::Waiting { .. }))
            .map(|(&s, _)| s)
            .collect();
        for slot in slots {
            let Some(Connection { state: State::Waiting { name, stream }, .. }) =
                self.connections.get(&slot)
            else {
                continue;
            };
            let (name, stream) = (name.clone(), *stream);
            let taken = self
                .connections
                .values()
                .any(|c| matches!(&c.state, State::Live(live) if live.name == name));
            let draining = self.sources.get(&name).is_some_and(|source| !source.is_drained());
            if taken || draining {
                continue;
            }
            let source = self.source(&name, stream);
            let ended = source.ended.load(Ordering::Acquire);
            if let Some(connection) = self.connections.get_mut(&slot) {
                // A producer that is gone already shows on the next read.
                let _ = connection.socket.send(&queue::welcome(ended));
                connection.state = State::Live(source);
                connection.acked = ended;
                connection.readable = true;
            }
        }
    }

    fn source(&mut self, name: &str, stream: u64) -> Arc<Source> {
        if let Some(source) = self.sources.get(name).filter(|source| source.stream == stream) {
            return Arc::clone(source);
        }
        let ended = self.before.ended(name, stream);
        let source = Source {
            name: name.to_owned(),
            stream,
            received: AtomicU64::new(ended),
            ended: AtomicU64::new(ended),
        };
        let source = Arc::new(source);
        self.sources.insert(name.to_owned(), Arc::clone(&source));
        source
    }
}

/// Hands over what is new of a batch; `Ok(false)` when the sink has no more room.
fn deliver(
    source: &Arc<Source>,
    batch: &Batch<'_>,
    counts: &mut Counts,
    sink: &mut dyn FnMut(Delivery<'_>) -> bool,
) -> Result<bool, String> {
    let mut received = source.received.load(Ordering::Relaxed);
    let mut room = true;
    for (number, event) in (batch.first..).zip(batch.events()) {
        let event = event.map_err(|error| error.to_string())?;
        if number <= received {
            counts.repeated += 1;
            continue;
        }
        if received != 0 && number > received + 1 {
            counts.missing += number - received - 1;
        }
        room &= sink(Delivery { source, number, event });
        received = number;
        source.received.store(received, Ordering::Relaxed);
    }
    Ok(room)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ended::Mark;
    use crate::sender::Sender;
    use mio::{Events, Poll};
    use std::time::{Duration, Instant};
    use wire::Kind;

    struct Consumer {
        poll: Poll,
        receiver: Receiver,
        got: Vec<(u64, Vec<u8>, Arc<Source>)>,
    }

    impl Consumer {
        fn start(dir: &Path) -> Self {
            let poll = Poll::new().unwrap();
            let before = Ended::open(&dir.join("ended")).unwrap();
            let receiver =
                Receiver::bind(&dir.join("events"), before, poll.registry(), Token(10)).unwrap();
            Self { poll, receiver, got: Vec::new() }
        }

        fn turn(&mut self) {
            let mut events = Events::with_capacity(16);
            self.poll.poll(&mut events, Some(Duration::from_millis(5))).unwrap();
            for event in &events {
                self.receiver.on_event(event.token());
            }
            let got = &mut self.got;
            self.receiver.work(self.poll.registry(), &mut |d| {
                got.push((d.number, d.event.payload.to_vec(), Arc::clone(d.source)));
                true
            });
        }

        fn end_all(&mut self, dir: &Path) {
            let mut ended = Ended::open(&dir.join("ended")).unwrap();
            for (number, _, source) in &self.got {
                ended
                    .end(&[Mark { name: source.name(), stream: source.stream(), upto: *number }])
                    .unwrap();
                source.end(*number);
            }
            self.receiver.acknowledge();
        }
    }

    fn until(what: &str, mut done: impl FnMut() -> bool) {
        let end = Instant::now() + Duration::from_secs(10);
        while !done() {
            assert!(Instant::now() < end, "waited in vain: {what}");
        }
    }

    fn line(text: &[u8]) -> Event<'_> {
        Event { kind: Kind::Log, location: b"/var/log/a", payload: text }
    }

    fn sender(dir: &Path) -> Sender {
        Sender::new(dir.join("events"), "logcollector", 77)
    }

    fn connected(sender: &mut Sender, consumer: &mut Consumer) {
        until("welcome", || {
            sender.drive(Instant::now());
            consumer.turn();
            sender.is_connected()
        });
    }

    #[test]
    fn what_was_not_ended_is_sent_again_to_a_restarted_consumer_and_the_rest_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let mut consumer = Consumer::start(dir.path());
        let mut sender = sender(dir.path());
        connected(&mut sender, &mut consumer);
        sender.offer(&line(b"one")).unwrap();
        until("first event", || {
            sender.drive(Instant::now());
            consumer.turn();
            consumer.got.len() == 1
        });
        consumer.end_all(dir.path());
        until("acknowledgement", || sender.drive(Instant::now()) == 1);
        sender.offer(&line(b"two")).unwrap();
        sender.offer(&line(b"three")).unwrap();
        until("three events", || {
            sender.drive(Instant::now());
            consumer.turn();
            consumer.got.len() == 3
        });

        drop(consumer);
        let mut consumer = Consumer::start(dir.path());
        until("the two that had not ended", || {
            sender.drive(Instant::now());
            consumer.turn();
            consumer.got.len() == 2
        });
        let numbers: Vec<_> =
            consumer.got.iter().map(|(number, payload, _)| (*number, payload.as_slice())).collect();
        assert_eq!(numbers, [(2, &b"two"[..]), (3, b"three")]);
        assert_eq!(consumer.receiver.counts(), Counts::default());
    }

    #[test]
    fn a_restarted_producer_is_welcomed_only_when_its_earlier_events_have_ended() {
        let dir = tempfile::tempdir().unwrap();
        let mut consumer = Consumer::start(dir.path());
        let mut first = sender(dir.path());
        connected(&mut first, &mut consumer);
        first.offer(&line(b"one")).unwrap();
        first.drive(Instant::now());
        drop(first);

        let mut second = sender(dir.path());
        until("the dead producer's event", || {
            second.drive(Instant::now());
            consumer.turn();
            consumer.got.len() == 1
        });
        for _ in 0..5 {
            second.drive(Instant::now());
            consumer.turn();
        }
        assert!(!second.is_connected());
        consumer.end_all(dir.path());
        assert_eq!(second.connect(Duration::from_secs(5)), Ok(1));
    }

    #[test]
    fn a_connection_that_breaks_repeats_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mut consumer = Consumer::start(dir.path());
        let mut sender = sender(dir.path());
        connected(&mut sender, &mut consumer);
        sender.offer(&line(b"one")).unwrap();
        until("event", || {
            sender.drive(Instant::now());
            consumer.turn();
            consumer.got.len() == 1
        });
        let batch = {
            let mut batch = queue::BatchWriter::new(1);
            batch.push(&line(b"one"));
            batch.push(&line(b"two"));
            batch
        };
        let source = Arc::clone(&consumer.got[0].2);
        let Ok(Packet::Batch(batch)) = Packet::parse(batch.bytes()) else { panic!("not a batch") };
        let mut counts = Counts::default();
        let mut again = Vec::new();
        deliver(&source, &batch, &mut counts, &mut |d| {
            again.push(d.number);
            true
        })
        .unwrap();
        assert_eq!(again, [2]);
        assert_eq!(counts.repeated, 1);
    }

    #[test]
    fn a_full_window_makes_the_producer_wait_and_an_acknowledgement_frees_it() {
        let dir = tempfile::tempdir().unwrap();
        let mut consumer = Consumer::start(dir.path());
        let mut sender = sender(dir.path());
        connected(&mut sender, &mut consumer);
        let big = vec![b'x'; 60_000];
        let mut offered = 0;
        while sender.offer(&line(&big)).is_ok() {
            offered += 1;
        }
        assert!(offered > 100, "{offered}");
        until("all of it", || {
            sender.drive(Instant::now());
            consumer.turn();
            consumer.got.len() == offered
        });
        consumer.end_all(dir.path());
        until("acknowledgement", || sender.drive(Instant::now()) == offered as u64);
        assert_eq!(sender.pending(), 0);
        assert!(sender.offer(&line(&big)).is_ok());
    }

    #[test]
    fn garbage_closes_the_connection_and_only_that() {
        let dir = tempfile::tempdir().unwrap();
        let mut consumer = Consumer::start(dir.path());
        let mut good = sender(dir.path());
        connected(&mut good, &mut consumer);
        let bad = Socket::new(Domain::UNIX, Type::SEQPACKET, None).unwrap();
        bad.connect(&SockAddr::unix(dir.path().join("events")).unwrap()).unwrap();
        bad.send(b"Zgarbage").unwrap();
        until("refusal", || {
            consumer.turn();
            consumer.receiver.counts().garbled == 1
        });
        good.offer(&line(b"still here")).unwrap();
        until("event", || {
            good.drive(Instant::now());
            consumer.turn();
            consumer.got.len() == 1
        });
    }

    #[test]
    fn a_missing_consumer_is_an_error_that_names_the_queue() {
        let dir = tempfile::tempdir().unwrap();
        let error = sender(dir.path()).connect(Duration::from_millis(30)).unwrap_err();
        assert!(error.to_string().contains("events"), "{error}");
        assert!(error.to_string().contains("Queue not found"), "{error}");
    }
}
