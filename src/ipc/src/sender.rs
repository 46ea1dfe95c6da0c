//! The producer's side of the acknowledged queue.
//!
//! A [`Sender`] numbers the events it is offered, keeps them until they are acknowledged, and sends them again after a
//! reconnect. It never blocks, except in [`Sender::connect`] and [`Sender::wait`], which say for how long at most.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::{Domain, SockAddr, Socket, Type};
use wire::Event;
use wire::queue::{self, BatchWriter, MAX_PACKET, Packet};

/// Events that may be unacknowledged at a time.
pub const WINDOW_EVENTS: usize = 32_768;
/// Bytes that may be unacknowledged at a time.
pub const WINDOW_BYTES: usize = 8 << 20;
/// Events of one packet at the most.
const BATCH_EVENTS: usize = 512;
const FIRST_DELAY: Duration = Duration::from_millis(20);
const LAST_DELAY: Duration = Duration::from_secs(2);
/// How long a consumer may take to welcome us before we say so and try again.
const GREETING_TIME: Duration = Duration::from_secs(30);

/// The window is full: read no further, [`drive`](Sender::drive), and try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

/// A producer's end of the acknowledged queue.
#[derive(Debug)]
pub struct Sender {
    path: PathBuf,
    name: String,
    stream: u64,
    link: Link,
    /// Unacknowledged batches, oldest first; the last one may still grow while it was not sent.
    window: VecDeque<Held>,
    /// How many of the window's batches went over the present connection.
    sent: usize,
    window_events: usize,
    window_bytes: usize,
    next: u64,
    acked: u64,
    delay: Duration,
    complained: bool,
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct Held {
    batch: BatchWriter,
    sealed: bool,
}

#[derive(Debug)]
enum Link {
    Down { retry_at: Instant },
    Greeting { socket: Socket, since: Instant },
    Up { socket: Socket, blocked: bool },
}

impl Sender {
    /// A sender that is not connected yet. `name` says who it is (`logcollector`); `stream` is a random number that the
    /// producer keeps as long as its numbering goes on.
    pub fn new(socket: PathBuf, name: &str, stream: u64) -> Self {
        Self {
            path: socket,
            name: name.to_owned(),
            stream,
            link: Link::Down { retry_at: Instant::now() },
            window: VecDeque::new(),
            sent: 0,
            window_events: 0,
            window_bytes: 0,
            next: 1,
            acked: 0,
            delay: FIRST_DELAY,
            complained: false,
            buffer: vec![0; MAX_PACKET],
        }
    }

    /// Waits for the first connection; returns the highest number of this stream that has reached its end at the
    /// consumer, 0 when the stream is not known there.
    ///
    /// # Errors
    /// [`QueueError`] when there was no consumer within `timeout`, or it refused.
    pub fn connect(&mut self, timeout: Duration) -> Result<u64, QueueError> {
        let end = Instant::now() + timeout;
        loop {
            self.step(Instant::now());
            if matches!(self.link, Link::Up { .. }) {
                return Ok(self.acked);
            }
            let now = Instant::now();
            if now >= end {
                let cause = if self.path.exists() { "No answer" } else { "Queue not found" };
                return Err(QueueError { path: self.path.clone(), cause: cause.to_owned() });
            }
            self.pause(end - now);
        }
    }

    /// Sets where the numbering goes on: at `last` + 1. To be called once, between [`connect`](Self::connect) and the first
    /// [`offer`](Self::offer).
    pub fn start_after(&mut self, last: u64) {
        self.acked = last;
        self.next = last + 1;
    }

    /// Takes an event into the window and gives it the next number; does not send it yet.
    ///
    /// An event larger than [`wire::MAX_EVENT`] must have been cut by the caller; here it is cut at that size.
    ///
    /// # Errors
    /// [`Full`] when too much is unacknowledged.
    pub fn offer(&mut self, event: &Event<'_>) -> Result<u64, Full> {
        let cut;
        let event = if event.location.len() + event.payload.len() > wire::MAX_EVENT {
            cut = shortened(event);
            &cut
        } else {
            event
        };
        let size = event.location.len() + event.payload.len() + 7;
        let has_room =
            self.window_events < WINDOW_EVENTS && self.window_bytes + size <= WINDOW_BYTES;
        if !has_room {
            return Err(Full);
        }
        if !self.window.back_mut().is_some_and(|last| {
            !last.sealed && last.batch.len() < BATCH_EVENTS && last.batch.push(event)
        }) {
            let mut batch = BatchWriter::new(self.next);
            batch.push(event);
            self.window.push_back(Held { batch, sealed: false });
        }
        self.window_events += 1;
        self.window_bytes += size;
        self.next += 1;
        Ok(self.next - 1)
    }

    /// Sends what was offered, reads acknowledgements, reconnects when that is due. Returns the highest acknowledged number.
    pub fn drive(&mut self, now: Instant) -> u64 {
        self.step(now);
        self.transmit();
        self.acked
    }

    /// The connected descriptor; readable when an acknowledgement is there.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        match &self.link {
            Link::Down { .. } => None,
            Link::Greeting { socket, .. } | Link::Up { socket, .. } => Some(socket.as_fd()),
        }
    }

    /// Whether [`drive`](Self::drive) waits for the descriptor to become writable.
    pub fn wants_write(&self) -> bool {
        matches!(self.link, Link::Up { blocked: true, .. })
    }

    /// When [`drive`](Self::drive) wants to be called at the latest, though the descriptor be silent.
    pub fn deadline(&self) -> Option<Instant> {
        match &self.link {
            Link::Down { retry_at } => Some(*retry_at),
            Link::Greeting { since, .. } => Some(*since + GREETING_TIME),
            Link::Up { .. } => None,
        }
    }

    /// Waits until something happens on the connection, at most `timeout`, then drives. Returns the highest acknowledged number.
    pub fn wait(&mut self, timeout: Duration) -> u64 {
        self.drive(Instant::now());
        self.pause(timeout);
        self.drive(Instant::now())
    }

    /// Highest acknowledged number.
    pub fn acked(&self) -> u64 {
        self.acked
    }

    /// How many events are not acknowledged.
    pub fn pending(&self) -> usize {
        self.window_events
    }

    /// Whether the consumer has welcomed us.
    pub fn is_connected(&self) -> bool {
        matches!(self.link, Link::Up { .. })
    }

    fn pause(&self, at_most: Duration) {
        let until_deadline = self.deadline().map(|at| at.saturating_duration_since(Instant::now()));
        let timeout = until_deadline.map_or(at_most, |d| d.min(at_most));
        let timeout = Timespec {
            tv_sec: timeout.as_secs() as i64,
            tv_nsec: i64::from(timeout.subsec_nanos()),
        };
        let mut flags = PollFlags::IN;
        if self.wants_write() {
            flags |= PollFlags::OUT;
        }
        // An interrupted or failed poll only means that we look earlier.
        let _ = match self.fd() {
            Some(fd) => poll(&mut [PollFd::from_borrowed_fd(fd, flags)], Some(&timeout)),
            None => poll(&mut [], Some(&timeout)),
        };
    }

    fn step(&mut self, now: Instant) {
        if let Link::Down { retry_at } = self.link
            && now >= retry_at
        {
            self.dial(now);
        }
        while let Some(packet) = self.receive() {
            match packet {
                Reply::Welcome(ended) => self.welcomed(ended),
                Reply::Ack(ended) => self.forget_upto(ended),
                Reply::Refused(reason) => self.hang_up(&reason),
            }
        }
        if let Link::Greeting { since, .. } = self.link
            && now >= since + GREETING_TIME
        {
            self.hang_up("no welcome from the consumer");
        }
    }

    fn dial(&mut self, now: Instant) {
        match dial(&self.path, &queue::hello(self.stream, &self.name)) {
            Ok(socket) => self.link = Link::Greeting { socket, since: now },
            Err(error) => self.hang_up(&error.to_string()),
        }
    }

    fn welcomed(&mut self, ended: u64) {
        let Link::Greeting { .. } = self.link else { return };
        let Link::Greeting { socket, .. } =
            std::mem::replace(&mut self.link, Link::Down { retry_at: Instant::now() })
        else {
            return;
        };
        self.link = Link::Up { socket, blocked: false };
        if self.complained {
            log::info!("Connected to '{}' (events queue).", self.path.display());
        }
        (self.complained, self.delay, self.sent) = (false, FIRST_DELAY, 0);
        self.forget_upto(ended);
    }

    fn hang_up(&mut self, cause: &str) {
        if !self.complained {
            log::warn!(
                "(1210) Queue '{}' not accessible: '{cause}'. Events wait; trying again.",
                self.path.display()
            );
            self.complained = true;
        }
        self.link = Link::Down { retry_at: Instant::now() + self.delay };
        self.delay = (self.delay * 2).min(LAST_DELAY);
        self.sent = 0;
    }

    fn forget_upto(&mut self, ended: u64) {
        self.acked = self.acked.max(ended);
        while let Some(held) = self.window.front() {
            if held.batch.last() > ended {
                break;
            }
            self.window_events -= held.batch.len();
            self.window_bytes = self.window_bytes.saturating_sub(size_of_events(&held.batch));
            self.window.pop_front();
            self.sent = self.sent.saturating_sub(1);
        }
    }

    fn receive(&mut self) -> Option<Reply> {
        let (Link::Greeting { socket, .. } | Link::Up { socket, .. }) = &mut self.link else {
            return None;
        };
        match socket.read(&mut self.buffer) {
            Ok(0) => {
                self.hang_up("the consumer closed the connection");
                None
            }
            Ok(len) => match Packet::parse(&self.buffer[..len]) {
                Ok(Packet::Welcome { ended }) => Some(Reply::Welcome(ended)),
                Ok(Packet::Ack { ended }) => Some(Reply::Ack(ended)),
                Ok(Packet::Refused { reason }) => Some(Reply::Refused(reason.to_owned())),
                Ok(_) => Some(Reply::Refused("the consumer speaks out of turn".to_owned())),
                Err(error) => Some(Reply::Refused(error.to_string())),
            },
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.receive(),
            Err(error) => {
                self.hang_up(&error.to_string());
                None
            }
        }
    }

    fn transmit(&mut self) {
        while let Some(held) = self.window.get_mut(self.sent) {
            let Link::Up { socket, blocked } = &mut self.link else { return };
            held.sealed = true;
            match socket.send(held.batch.bytes()) {
                Ok(_) => {
                    *blocked = false;
                    self.sent += 1;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    *blocked = true;
                    return;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.hang_up(&error.to_string());
                    return;
                }
            }
        }
        if let Link::Up { blocked, .. } = &mut self.link {
            *blocked = false;
        }
    }
}

enum Reply {
    Welcome(u64),
    Ack(u64),
    Refused(String),
}

fn dial(path: &Path, hello: &[u8]) -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::SEQPACKET, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(&SockAddr::unix(path)?)?;
    socket.send(hello)?;
    Ok(socket)
}

fn size_of_events(batch: &BatchWriter) -> usize {
    batch.bytes().len() - 13
}

fn shortened<'a>(event: &Event<'a>) -> Event<'a> {
    let location = &event.location[..event.location.len().min(4096)];
    let room = wire::MAX_EVENT - location.len();
    Event { kind: event.kind, location, payload: &event.payload[..event.payload.len().min(room)] }
}

/// The consumer could not be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueError {
    /// The socket.
    pub path: PathBuf,
    /// Why.
    pub cause: String,
}

impl fmt::Display for QueueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Unable to access queue: '{}' ({}). Giving up..", self.path.display(), self.cause)
    }
}

impl std::error::Error for QueueError {}
