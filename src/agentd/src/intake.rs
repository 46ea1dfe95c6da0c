//! From the producers into the spool: both queues, and the acknowledgements.

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::Arc;

use ipc::ended::Mark;
use ipc::receiver::Source;
use ipc::{Ended, Receiver};
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use wire::datagram::MAX_MESSAGE;
use wire::{Event, MAX_EVENT};

use crate::spool::{Limits, Spool};

/// Below the install root.
pub(crate) const SPOOL: &str = "queue/spool";
/// Datagrams read before the other queue's turn.
const TURN: usize = 256;
/// A batch is written when it has grown to this.
const MAX_BATCH: usize = 1 << 20;

/// What was counted.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) received: u64,
    pub(crate) invalid: u64,
    /// Events too long for a datagram: the end is missing.
    pub(crate) cut: u64,
}

/// Both queues, and the spool behind them.
#[derive(Debug)]
pub(crate) struct Intake {
    receiver: Receiver,
    datagrams: UnixDatagram,
    datagrams_ready: bool,
    ended: Ended,
    pub(crate) spool: Spool,
    /// Whose events the batch at hand holds, up to which number.
    marks: Vec<(Arc<Source>, u64)>,
    /// In the spool, but `ended` does not say so yet.
    unended: Vec<(Arc<Source>, u64)>,
    pub(crate) counts: Counts,
    troubled: bool,
    buffer: Vec<u8>,
    text: Vec<u8>,
}

impl Intake {
    /// Opens the spool, then the queues. The receiver uses the tokens from `base` on.
    pub(crate) fn open(
        root: &Path,
        limits: Limits,
        registry: &Registry,
        datagrams_token: Token,
        base: Token,
    ) -> Result<Self, (String, io::Error)> {
        let named = |what: &str| {
            let what = what.to_owned();
            move |error| (what, error)
        };
        let (spool, marks) = Spool::open(&root.join(SPOOL), limits).map_err(named(SPOOL))?;
        let ended_path = root.join(ipc::paths::ENDED);
        let open_ended = || Ended::open(&ended_path).map_err(named(ipc::paths::ENDED));
        let mut ended = open_ended()?;
        if let Some(damage) = &ended.damage {
            log::warn!("'{}' is damaged ({damage}): events may come twice.", ipc::paths::ENDED);
        }
        // A kill between the spool and `ended`: the spool knows better.
        let later: Vec<Mark<'_>> = marks
            .iter()
            .filter(|((name, stream), upto)| ended.ended(name, *stream) < **upto)
            .map(|((name, stream), upto)| Mark { name, stream: *stream, upto: *upto })
            .collect();
        if !later.is_empty() {
            ended.end(&later).map_err(named(ipc::paths::ENDED))?;
        }
        let receiver =
            Receiver::bind(&root.join(ipc::paths::EVENTS), open_ended()?, registry, base)
                .map_err(named(ipc::paths::EVENTS))?;
        let datagrams =
            ipc::datagram::bind(&root.join(ipc::paths::QUEUE)).map_err(named(ipc::paths::QUEUE))?;
        registry
            .register(&mut SourceFd(&datagrams.as_raw_fd()), datagrams_token, Interest::READABLE)
            .map_err(named(ipc::paths::QUEUE))?;
        Ok(Self {
            receiver,
            datagrams,
            datagrams_ready: true,
            ended,
            spool,
            marks: Vec::new(),
            unended: Vec::new(),
            counts: Counts::default(),
            troubled: false,
            buffer: vec![0; MAX_EVENT + 1],
            text: Vec::new(),
        })
    }

    /// Notes what mio reported.
    pub(crate) fn on_event(&mut self, token: Token, datagrams_token: Token) {
        if token == datagrams_token {
            self.datagrams_ready = true;
        } else {
            self.receiver.on_event(token);
        }
    }

    /// Reads a turn from both queues into the spool, and acknowledges. Whether there may be more to read at once.
    pub(crate) fn work(&mut self, registry: &Registry, now: u32) -> bool {
        let mut more = false;
        // A batch that could not be written is tried again before anything is added.
        if !self.spool.has_batch() && self.spool.has_room() {
            more = self.read(registry, now);
        }
        let written = self.commit(now);
        self.receiver.acknowledge();
        more && written && self.spool.has_room()
    }

    /// An event of our own.
    pub(crate) fn add(&mut self, event: &[u8], now: u32) {
        self.counts.received += 1;
        self.spool.append(event, now);
        self.commit(now);
    }

    /// Whether something has to be tried again soon.
    pub(crate) fn is_stuck(&self) -> bool {
        self.spool.has_batch() || !self.unended.is_empty()
    }

    fn read(&mut self, registry: &Registry, now: u32) -> bool {
        let Self { receiver, spool, marks, counts, text, .. } = self;
        let more = receiver.work(registry, &mut |delivery| {
            put(spool, counts, text, &delivery.event, now);
            match marks.iter_mut().find(|(source, _)| Arc::ptr_eq(source, delivery.source)) {
                Some((_, upto)) => *upto = delivery.number,
                None => marks.push((Arc::clone(delivery.source), delivery.number)),
            }
            spool.batch_len() < MAX_BATCH && spool.has_room()
        });
        for _ in 0..TURN {
            let room = self.spool.batch_len() < MAX_BATCH && self.spool.has_room();
            if !self.datagrams_ready || !room {
                break;
            }
            self.read_datagram(now);
        }
        more || self.datagrams_ready
    }

    fn read_datagram(&mut self, now: u32) {
        let len = match self.datagrams.recv(&mut self.buffer) {
            Ok(len) => len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return,
            Err(error) => {
                self.datagrams_ready = false;
                if error.kind() != io::ErrorKind::WouldBlock {
                    log::error!("'{}' could not be read: {error}", ipc::paths::QUEUE);
                }
                return;
            }
        };
        match Event::parse(self.buffer.get(..len).unwrap_or_default()) {
            Ok(event) => put(&mut self.spool, &mut self.counts, &mut self.text, &event, now),
            Err(error) => {
                self.counts.invalid += 1;
                // Anyone in the group can send these at will: said for the 1st, 2nd, 4th, 8th ...
                if self.counts.invalid.is_power_of_two() {
                    let n = self.counts.invalid;
                    log::error!("(1222) Invalid msg: {error} (message {n} of its kind).");
                }
            }
        }
    }

    /// Writes the batch at hand, then says that its events have ended here.
    fn commit(&mut self, now: u32) -> bool {
        if self.spool.has_batch() {
            let marks: Vec<Mark<'_>> = self.marks.iter().map(mark).collect();
            if let Err(error) = self.spool.commit(&marks, now) {
                self.complain(SPOOL, &error);
                return false;
            }
            self.unended.append(&mut self.marks);
        }
        if !self.unended.is_empty() {
            let marks: Vec<Mark<'_>> = self.unended.iter().map(mark).collect();
            if let Err(error) = self.ended.end(&marks) {
                self.complain(ipc::paths::ENDED, &error);
                return false;
            }
            for (source, upto) in self.unended.drain(..) {
                source.end(upto);
            }
        }
        if self.troubled {
            self.troubled = false;
            log::info!("Events are taken again.");
        }
        true
    }

    fn complain(&mut self, what: &str, error: &io::Error) {
        if !self.troubled {
            self.troubled = true;
            let why = runtime::errno(error);
            log::error!("'{what}' cannot be written due to [{why}]: the collectors wait.");
        }
    }
}

fn mark(mark: &(Arc<Source>, u64)) -> Mark<'_> {
    Mark { name: mark.0.name(), stream: mark.0.stream(), upto: mark.1 }
}

/// Adds an event as it goes on the wire: bounded, and without NUL, where an original manager would cut it.
fn put(spool: &mut Spool, counts: &mut Counts, text: &mut Vec<u8>, event: &Event<'_>, now: u32) {
    text.clear();
    event.write(text);
    if text.len() > MAX_MESSAGE {
        counts.cut += 1;
        text.truncate(MAX_MESSAGE);
    }
    text.iter_mut().filter(|byte| **byte == 0).for_each(|byte| *byte = b' ');
    counts.received += 1;
    spool.append(text, now);
}
