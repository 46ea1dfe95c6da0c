//! The intake: the main thread's event loop. Takes events from both queues into batches, passes acknowledgements on, serves
//! signals. It never waits for the workers: while they are behind it reads no further, and the producers wait.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::time::{Duration, Instant};

use alerts::Moment;
use ipc::Receiver;
use ipc::receiver::Source;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use runtime::{Daemon, Signal};
use sys::messages::Messages;
use wire::{Event, MAX_EVENT};

use crate::accounts::{Accounts, Received, lines};
use crate::batch::Batch;
use crate::pipeline::Input;
use crate::setup::Setup;

/// The waker's token; `lib.rs` makes the waker.
pub(crate) const WAKE: Token = Token(0);
const SIGNALS: Token = Token(1);
const DATAGRAMS: Token = Token(2);
/// Tokens from here on are the receiver's.
pub(crate) const QUEUE: Token = Token(16);

/// Datagrams read with one call.
const AT_ONCE: usize = 32;
/// Such calls before the other queue's turn.
const TURN: usize = 8;
/// How long the intake looks away while the workers are behind; the judge wakes it earlier.
const BEHIND: Duration = Duration::from_millis(20);

/// Where events come in: both queues, bound, with the loop that watches them.
pub(crate) struct Inlets {
    /// The loop; the receiver is registered with it.
    pub(crate) poll: Poll,
    /// The acknowledged queue.
    pub(crate) receiver: Receiver,
    /// OSSEC's queue.
    pub(crate) datagrams: UnixDatagram,
    /// Events that may appear twice because an earlier run was killed while it wrote.
    pub(crate) in_doubt: u64,
}

/// The event loop.
pub(crate) struct Intake {
    inlets: Inlets,
    datagrams_ready: bool,
    feed: Feed,
    received: Received,
    accounts: Arc<Accounts>,
    told: Vec<(&'static str, u64)>,
    messages: Messages,
    /// How soon the state file tells what has changed (`analysisd.state_interval`); none: at the end.
    state_interval: Option<Duration>,
}

/// Why the loop came back.
pub(crate) enum Wish {
    /// Stop, because of this signal.
    Stop,
    /// Read the configuration again, then [`Intake::renew`].
    Reload,
}

impl Intake {
    /// An intake that feeds the workers through `input`.
    ///
    /// # Errors
    /// When the system refuses to watch a descriptor.
    pub(crate) fn new(
        inlets: Inlets,
        input: Input,
        setup: Arc<Setup>,
        accounts: Arc<Accounts>,
        daemon: &mut Daemon,
    ) -> io::Result<Self> {
        let registry = inlets.poll.registry();
        let signals = daemon.signals().as_fd().as_raw_fd();
        registry.register(
            &mut SourceFd(&inlets.datagrams.as_raw_fd()),
            DATAGRAMS,
            Interest::READABLE,
        )?;
        registry.register(&mut SourceFd(&signals), SIGNALS, Interest::READABLE)?;
        let feed = Feed { input, setup, open: None, held: VecDeque::new(), next: 0 };
        let received = Received { in_doubt: inlets.in_doubt, ..Received::default() };
        let state_interval = Some(daemon.options().number("analysisd.state_interval"));
        let state_interval = state_interval.filter(|&seconds| seconds > 0).map(Duration::from_secs);
        Ok(Self {
            inlets,
            datagrams_ready: true,
            feed,
            received,
            accounts,
            told: Vec::new(),
            messages: Messages::new(AT_ONCE, MAX_EVENT + 1),
            state_interval,
        })
    }

    /// Serves until a signal wants something.
    ///
    /// # Errors
    /// When the event loop itself fails.
    pub(crate) fn run(&mut self, daemon: &mut Daemon) -> io::Result<Wish> {
        let mut events = Events::with_capacity(64);
        let mut state_due = Some(Instant::now());
        let mut more = true;
        loop {
            let now = Instant::now();
            if state_due.is_some_and(|due| now >= due) {
                self.write_state(daemon);
                state_due = None;
            }
            let timeout = match (self.feed.has_room(), more) {
                (true, true) => Some(Duration::ZERO),
                (true, false) => state_due.map(|due| due - now),
                (false, _) => Some(BEHIND),
            };
            match self.inlets.poll.poll(&mut events, timeout) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            }
            for event in &events {
                match event.token() {
                    WAKE | SIGNALS => {}
                    DATAGRAMS => self.datagrams_ready = true,
                    token => drop(self.inlets.receiver.on_event(token)),
                }
            }
            // Whatever woke us may have changed the accounts.
            state_due = state_due.or_else(|| Some(now + self.state_interval?));
            if let Some(wish) = wish(daemon.signals().take()) {
                return Ok(wish);
            }
            self.inlets.receiver.acknowledge();
            self.feed.push_on();
            more = self.feed.has_room() && self.read();
            self.feed.close_batch();
        }
    }

    /// Judges what comes from now on by another setup.
    pub(crate) fn renew(&mut self, setup: Arc<Setup>) {
        self.feed.close_batch();
        self.feed.setup = setup;
        self.received.reloads += 1;
    }

    /// Passes on what was read, and lets go of the workers: they end, and the judge after them.
    pub(crate) fn finish(self) -> Ending {
        let Self { inlets, mut feed, received, accounts, .. } = self;
        feed.close_batch();
        let mut unsent = 0;
        while let Some(batch) = feed.held.pop_front() {
            // The judge gives up by itself when the disk takes nothing.
            unsent += feed.input.pass_in_time(batch).map_or_else(|lost| lost.len() as u64, |()| 0);
        }
        Ending { receiver: inlets.receiver, received, accounts, unsent }
    }

    /// Reads a turn from both queues; whether there may be more.
    fn read(&mut self) -> bool {
        let (feed, received) = (&mut self.feed, &mut self.received);
        let more = self.inlets.receiver.work(self.inlets.poll.registry(), &mut |delivery| {
            received.batched += 1;
            feed.push(&delivery.event, Some((delivery.source, delivery.number)));
            feed.has_room()
        });
        self.read_datagrams();
        more || self.datagrams_ready
    }

    fn read_datagrams(&mut self) {
        for _ in 0..TURN {
            if !self.datagrams_ready || !self.feed.has_room() {
                return;
            }
            match self.messages.receive(self.inlets.datagrams.as_fd()) {
                Ok(_) => self.take_datagrams(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.datagrams_ready = false;
                    if error.kind() != io::ErrorKind::WouldBlock {
                        log::error!("'{}' could not be read: {error}", ipc::paths::QUEUE);
                    }
                }
            }
        }
    }

    fn take_datagrams(&mut self) {
        for message in self.messages.iter() {
            match Event::parse(message) {
                Ok(event) => {
                    self.received.batched += 1;
                    self.feed.push(&event, None);
                }
                Err(error) => {
                    self.received.invalid += 1;
                    // Anyone in the group can send these at will: said for the 1st, 2nd, 4th, 8th ...
                    if self.received.invalid.is_power_of_two() {
                        let n = self.received.invalid;
                        log::error!("(1222) Invalid msg: {error} (message {n} of its kind).");
                    }
                }
            }
        }
    }

    fn write_state(&mut self, daemon: &Daemon) {
        self.received.batches_waiting = self.feed.waiting();
        let (totals, memory) = (self.accounts.totals(), self.accounts.memory());
        let lines = lines(&self.received, &totals, &memory, self.inlets.receiver.counts());
        if lines == self.told {
            return;
        }
        match daemon.write_state(&lines) {
            Ok(()) => self.told = lines,
            Err(error) => log::warn!("the state file could not be written: {error}"),
        }
    }
}

/// What is left of the intake until the judge has ended.
pub(crate) struct Ending {
    receiver: Receiver,
    received: Received,
    accounts: Arc<Accounts>,
    unsent: u64,
}

impl Ending {
    /// Acknowledges what the judge has ended, and writes the last state.
    pub(crate) fn close(mut self, daemon: &Daemon) {
        self.receiver.acknowledge();
        let (mut totals, memory) = (self.accounts.totals(), self.accounts.memory());
        self.received.batches_waiting = 0;
        totals.unwritten += self.unsent;
        totals.ended += self.unsent;
        if let Err(error) =
            daemon.write_state(&lines(&self.received, &totals, &memory, self.receiver.counts()))
        {
            log::warn!("the state file could not be written: {error}");
        }
    }
}

fn wish(signals: Vec<Signal>) -> Option<Wish> {
    let stop = signals.iter().any(|signal| matches!(signal, Signal::Stop(_)));
    let reload = signals.iter().any(|signal| matches!(signal, Signal::Reload));
    if stop { Some(Wish::Stop) } else { reload.then_some(Wish::Reload) }
}

/// Makes batches and hands them to the workers.
struct Feed {
    input: Input,
    setup: Arc<Setup>,
    open: Option<Batch>,
    /// Batches that the workers had no room for: at most what one packet holds.
    held: VecDeque<Batch>,
    next: u64,
}

impl Feed {
    /// Batches that no worker has taken.
    fn waiting(&self) -> u64 {
        (self.held.len() + self.input.waiting()) as u64
    }

    fn has_room(&self) -> bool {
        self.held.is_empty()
    }

    fn push(&mut self, event: &Event<'_>, ticket: Option<(&Arc<Source>, u64)>) {
        let batch = self.open.get_or_insert_with(|| {
            self.next += 1;
            let (index, setup) = (self.next - 1, Arc::clone(&self.setup));
            match self.input.spare() {
                Some(spare) => spare.renew(index, setup, moment()),
                None => Batch::new(index, setup, moment()),
            }
        });
        batch.push(event, ticket);
        if batch.is_full() {
            self.close_batch();
        }
    }

    fn close_batch(&mut self) {
        if let Some(batch) = self.open.take() {
            self.held.push_back(batch);
            self.push_on();
        }
    }

    fn push_on(&mut self) {
        while let Some(batch) = self.held.pop_front() {
            if let Err(batch) = self.input.pass(batch) {
                self.held.push_front(batch);
                return;
            }
        }
    }
}

/// Now, as this host's clock shows it.
pub(crate) fn moment() -> Moment {
    let epoch = runtime::clock::now();
    let local = runtime::clock::local(epoch);
    Moment {
        epoch,
        year: u16::try_from(local.year).unwrap_or_default(),
        month: local.month,
        day: local.day,
        hour: local.hour,
        minute: local.minute,
        second: local.second,
        weekday: local.weekday,
    }
}
