//! The event loop: does what the [`Link`] says, moves events from the queues to the spool and from the spool to the wire.

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use agents::Agent;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use runtime::{Daemon, Signal, errno};
use settings::Client;
use wire::control::{FromAgent, ToAgent};
use wire::datagram::{MAX_DATAGRAM, Rejection};
use wire::digest::Md5Hex;
use wire::keepalive::Report;
use wire::key::Method;
use wire::ours::{Mark, State, ToOurs};

use crate::accounts::{self, Wire};
use crate::bucket::Bucket;
use crate::intake::Intake;
use crate::link::{Action, Link, Manners, Moment};
use crate::orders::{MERGED, Orders, SHARED};
use crate::servers::{Finder, Line};
use crate::speaker::{Refused, Speaker, Unsealed};
use crate::spool::Limits;

mod ours;
pub(crate) mod reload;

use self::ours::Heard;

const FOUND: Token = Token(0);
const SIGNALS: Token = Token(1);
const DATAGRAMS: Token = Token(2);
/// Lines to managers take these in turn.
const LINES: [Token; 2] = [Token(3), Token(4)];
/// Tokens from here on are the receiver's.
const QUEUE: Token = Token(16);

/// Datagrams of the manager taken in a row.
const TURN: usize = 64;
const STATE_INTERVAL: Duration = Duration::from_secs(1);
/// When what the system refused is tried again.
const RETRY: Duration = Duration::from_secs(1);
const BUSY_RETRY: Duration = Duration::from_millis(5);
/// How long the end waits for the ack that confirms what was sent.
const LAST_ACK: Duration = Duration::from_secs(1);

/// Everything that is open.
#[derive(Debug)]
pub(crate) struct Shell {
    root: PathBuf,
    client: Client,
    /// The address to send from that the command line gave.
    bind: Option<IpAddr>,
    /// What our keepalives say about us.
    mark: Mark,
    /// Hellos to the present server.
    hellos: u32,
    /// When it was last said that another host has our key.
    cloned_told: Option<Moment>,
    poll: Poll,
    intake: Intake,
    speaker: Speaker,
    orders: Orders,
    link: Link,
    line: Option<Line>,
    /// A line to the first server, to see whether it is back.
    probe: Option<Line>,
    finder: Finder,
    /// Whether the line, or the probe, waits for its server to be found.
    line_waits: bool,
    probe_waits: bool,
    bucket: Bucket,
    /// An event that was read from the spool but not sent yet.
    held: Option<u64>,
    message: Vec<u8>,
    /// Nothing is sent before.
    blocked_until: Moment,
    start: Instant,
    wire: Wire,
    told: Vec<(&'static str, u64)>,
    stop_at: Option<Moment>,
    /// Acks before the goodbye.
    acks_at_stop: u64,
}

impl Shell {
    /// Opens everything; an error comes with what it was about.
    pub(crate) fn open(
        daemon: &mut Daemon,
        agent: Agent,
        client: Client,
        bind: Option<IpAddr>,
    ) -> Result<Self, (String, io::Error)> {
        let named = |what: &'static str| move |error| (what.to_owned(), error);
        let root = daemon.root().to_owned();
        let options = daemon.options();
        let hours = u32::try_from(options.number("agent.spool_age")).unwrap_or(u32::MAX);
        let limits = Limits {
            bytes: options.number("agent.spool_size") << 20,
            age: hours.saturating_mul(3600),
        };
        let bucket = Bucket::new(options.number("agent.send_rate"));
        let verify = options.number("remoted.verify_msg_id") != 0;

        let mut speaker =
            open_speaker(&root, agent, &client, verify).map_err(named(agents::counters::RIDS))?;
        let poll = Poll::new().map_err(named("event loop"))?;
        let finder = Finder::new(poll.registry(), FOUND).map_err(named("event loop"))?;
        let intake = Intake::open(&root, limits, poll.registry(), DATAGRAMS, QUEUE)?;
        daemon.signals().watch_user().map_err(named("signals"))?;
        let signals = daemon.signals().as_fd().as_raw_fd();
        poll.registry()
            .register(&mut SourceFd(&signals), SIGNALS, Interest::READABLE)
            .map_err(named("event loop"))?;
        if intake.spool.waiting() > 0 {
            log::info!("{} events of an earlier run wait.", intake.spool.waiting());
        }
        Ok(Self {
            orders: Orders::new(&root, !client.disable_active_response),
            link: Link::new(manners(&client), speaker.seed()),
            mark: Mark { state: State::Running, run: run_number(speaker.seed()) },
            hellos: 0,
            cloned_told: None,
            root,
            client,
            bind,
            poll,
            intake,
            speaker,
            line: None,
            probe: None,
            finder,
            line_waits: false,
            probe_waits: false,
            bucket,
            held: None,
            message: Vec::new(),
            blocked_until: Moment::ZERO,
            start: Instant::now(),
            wire: Wire::default(),
            told: Vec::new(),
            stop_at: None,
            acks_at_stop: 0,
        })
    }

    /// Serves until a signal ends it.
    pub(crate) fn serve(&mut self, daemon: &mut Daemon) -> io::Result<()> {
        let mut events = Events::with_capacity(64);
        let mut state_due = Moment::ZERO;
        let mut more = true;
        loop {
            let now = self.now();
            if now >= state_due {
                self.write_state(daemon);
                self.give_up_old();
                state_due = now + STATE_INTERVAL;
            }
            let due = self.deadline(now, state_due);
            let timeout = if more { Duration::ZERO } else { due.saturating_sub(now) };
            match self.poll.poll(&mut events, Some(timeout)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            }
            for event in &events {
                self.on_event(event.token());
            }
            for signal in daemon.signals().take() {
                match signal {
                    Signal::Stop(_) => self.begin_to_stop(),
                    Signal::Reload => self.reload(daemon),
                    Signal::Child => {}
                }
            }
            self.heed(daemon);
            more = self.turn();
            if self.stop_at.is_some_and(|at| self.now() >= at || self.has_said_goodbye()) {
                return Ok(());
            }
        }
    }

    /// Leaves everything as the next start wants it.
    pub(crate) fn close(mut self, daemon: &Daemon) {
        self.write_state(daemon);
        if let Err(error) = self.speaker.close() {
            log::debug!("unused numbers could not be given back: {error}");
        }
    }

    fn now(&self) -> Moment {
        self.start.elapsed()
    }

    fn deadline(&self, now: Moment, state_due: Moment) -> Moment {
        let mut due = state_due.min(self.link.deadline());
        if self.may_send() && (self.held.is_some() || self.intake.spool.has_next()) {
            due = due.min(self.bucket.ready_at(now).max(self.blocked_until));
        }
        if self.intake.is_stuck() {
            due = due.min(now + RETRY);
        }
        self.stop_at.map_or(due, |at| due.min(at))
    }

    fn on_event(&mut self, token: Token) {
        if token == SIGNALS || token == FOUND {
            return;
        }
        for line in [&mut self.line, &mut self.probe].into_iter().flatten() {
            if line.token == token {
                line.readable = true;
                if self.held.is_some() {
                    self.blocked_until = Moment::ZERO;
                }
                return;
            }
        }
        self.intake.on_event(token, DATAGRAMS);
    }

    /// A turn of everything; whether there may be more to do at once.
    fn turn(&mut self) -> bool {
        let mut more = false;
        if self.stop_at.is_none() {
            more = self.intake.work(self.poll.registry(), epoch());
        }
        more |= self.hear();
        self.hear_probe();
        let now = self.now();
        let actions = self.link.drive(now);
        self.obey(actions);
        while let Some((server, address)) = self.finder.take() {
            self.on_found(server, address);
        }
        if self.stop_at.is_none() {
            self.send_events();
        }
        more
    }

    fn obey(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Open(server) => {
                    self.line = None;
                    self.hellos = 0;
                    self.line_waits = true;
                    self.finder.find(&self.client, server);
                }
                Action::Hello => self.hello(),
                Action::Report => self.report(),
                Action::Probe(server) => {
                    self.probe_waits = true;
                    self.finder.find(&self.client, server);
                }
                Action::EndProbe => {
                    self.probe = None;
                    self.probe_waits = false;
                }
                Action::Switch(_) => self.line = self.probe.take(),
                Action::Connected { first, .. } => self.on_connected(first),
                Action::Unanswered(server) => self.on_unanswered(server),
                Action::Lost { server, why } => {
                    self.held = None;
                    let again = self.intake.spool.rewind();
                    self.wire.resent += again;
                    log::warn!(
                        "Server unavailable: {}: {why}. {again} events are not confirmed and will be sent again.",
                        self.server_name(server)
                    );
                }
                Action::Confirm(upto) => self.confirm(upto),
            }
        }
    }

    /// Opens the lines that waited for this server, and says hello there.
    fn on_found(&mut self, server: usize, address: io::Result<SocketAddr>) {
        let address = match address {
            Ok(address) => address,
            Err(error) => {
                let name = self.server_name(server);
                log::error!("(4104) Invalid hostname: '{name}'. It was not found: {error}.");
                return;
            }
        };
        if self.line_waits && self.link.server() == Some(server) {
            self.line_waits = false;
            self.line = self.open_line(server, address);
            self.control(|message| FromAgent::Startup.write(message));
        }
        if self.probe_waits && server == 0 {
            self.probe_waits = false;
            self.probe = self.open_line(server, address);
            let mut message = Vec::new();
            FromAgent::Startup.write(&mut message);
            if let (Some(line), Ok(datagram)) = (&self.probe, self.speaker.seal(&message)) {
                // Not heard is not heard, whatever the reason.
                let _ = line.send(datagram);
            }
        }
    }

    fn open_line(&mut self, server: usize, address: SocketAddr) -> Option<Line> {
        let taken = [&self.line, &self.probe].into_iter().flatten().map(|line| line.token);
        let taken: Vec<Token> = taken.collect();
        let token = LINES.into_iter().find(|token| !taken.contains(token)).unwrap_or(LINES[0]);
        match Line::open(&self.client, server, address, self.poll.registry(), token) {
            Ok(line) => Some(line),
            Err(error) => {
                let (name, why) = (self.server_name(server), errno(&error));
                log::error!("(1216) Unable to connect to '{name}'. It failed with [{why}].");
                None
            }
        }
    }

    fn server_name(&self, server: usize) -> String {
        self.client.servers.get(server).map(ToString::to_string).unwrap_or_default()
    }

    fn on_connected(&mut self, first: bool) {
        self.wire.connects += 1;
        self.blocked_until = Moment::ZERO;
        if let Some(line) = &self.line {
            let (ip, port) = (line.address.ip(), line.address.port());
            log::info!("(4102) Connected to server {ip}, port {port}.");
        }
        if first {
            let agent = self.speaker.agent();
            let (name, ip) = (agent.name.kept(), agent.address.stored());
            let event = format!("1:ossec:ossec: Agent started: '{name}->{ip}'.");
            self.intake.add(event.as_bytes(), epoch());
        }
    }

    fn on_unanswered(&self, server: usize) {
        let name = self.server_name(server);
        log::warn!("(4101) Waiting for server reply (not started). Tried: '{name}'.");
        let servers = self.client.servers.len();
        if servers > 1 {
            let next = self.server_name((server + 1) % servers);
            log::info!("Trying next server in the line: '{next}'.");
        }
    }

    fn confirm(&mut self, upto: u64) {
        if let Err(error) = self.intake.spool.confirm(upto) {
            log::error!(
                "'{}' cannot be written due to [{}]: after a restart events may be sent twice.",
                crate::intake::SPOOL,
                errno(&error)
            );
        }
    }

    fn report(&mut self) {
        if let Err(error) = self.speaker.look() {
            log::error!("'{}' cannot be read: [{}].", agents::counters::RIDS, errno(&error));
        }
        let sum = |name: &str| {
            fs::read(self.root.join(SHARED).join(name)).ok().map(|bytes| Md5Hex::of(&bytes))
        };
        let (agent_conf, merged) = (sum("agent.conf"), sum(MERGED));
        let system = agents::local::system();
        let mut tail = Vec::new();
        self.mark.write(&mut tail);
        if let Some(last) = self.line.as_ref().and_then(|line| self.speaker.heard(line.server)) {
            wire::ours::Heard(last).write(&mut tail);
        }
        tail.extend_from_slice(&self.speaker.tail());
        self.wire.keepalives += 1;
        self.control(|message| {
            Report { system: system.as_bytes(), agent_conf, merged, tail: &tail }.write(message);
        });
    }

    /// From the second one on with a report behind it: a manager to which our numbers look old sees by it that we are
    /// its kind, and helps.
    fn hello(&mut self) {
        self.control(|message| FromAgent::Startup.write(message));
        self.hellos += 1;
        if self.hellos > 1 {
            self.report();
        }
    }

    /// Whether events may go out.
    fn may_send(&self) -> bool {
        self.link.is_connected() && self.mark.state == State::Running
    }

    /// Sends a control message; the link notices when there is no answer.
    fn control(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut message = Vec::new();
        write(&mut message);
        let Some(line) = &self.line else { return };
        match self.speaker.seal(&message) {
            Ok(datagram) => match line.send(datagram) {
                Err(error) if !is_busy(&error) => {
                    log::debug!("(1218) Unable to send message to 'server': {error}");
                    let now = self.now();
                    let actions = self.link.on_refused(now);
                    self.obey(actions);
                }
                _ => {}
            },
            Err(error) => self.complain_unsealed(&error),
        }
    }

    fn complain_unsealed(&mut self, error: &Unsealed) {
        match error {
            Unsealed::Never(why) => {
                self.wire.unsendable += 1;
                log::error!("(1217) Error creating encrypted message. {why}.");
            }
            Unsealed::NotNow(why) => {
                self.blocked_until = self.now() + RETRY;
                log::error!(
                    "'{}/sender_counter' cannot be written due to [{}]: nothing is sent.",
                    agents::counters::RIDS,
                    errno(why)
                );
            }
        }
    }

    /// Sends what the spool has, as far as the rate and the socket allow.
    fn send_events(&mut self) {
        let now = self.now();
        let mut last = None;
        let mut refused = false;
        while self.may_send() && now >= self.blocked_until && self.bucket.has_one(now) {
            let number = match self.held.take() {
                Some(number) => number,
                None => match self.intake.spool.next(&mut self.message) {
                    Ok(Some(number)) => number,
                    Ok(None) => break,
                    Err(error) => {
                        let why = errno(&error);
                        log::error!("'{}' cannot be read: [{why}].", crate::intake::SPOOL);
                        self.blocked_until = now + RETRY;
                        break;
                    }
                },
            };
            let Some(line) = &self.line else { break };
            match self.speaker.seal(&self.message) {
                Ok(datagram) => match line.send(datagram) {
                    Ok(()) => {
                        self.wire.sent += 1;
                        last = Some(number);
                        self.bucket.take();
                    }
                    Err(error) => {
                        self.held = Some(number);
                        refused = !is_busy(&error);
                        self.blocked_until = now + BUSY_RETRY;
                        break;
                    }
                },
                Err(error) => {
                    self.complain_unsealed(&error);
                    match error {
                        Unsealed::Never(_) => last = Some(number),
                        Unsealed::NotNow(_) => self.held = Some(number),
                    }
                }
            }
        }
        if let Some(last) = last {
            self.link.on_sent(last, now);
        }
        if refused {
            let actions = self.link.on_refused(now);
            self.obey(actions);
        }
    }

    /// Takes what the manager says; whether there may be more.
    fn hear(&mut self) -> bool {
        let mut buffer = [0; MAX_DATAGRAM];
        for _ in 0..TURN {
            let Some(line) = self.line.as_mut().filter(|line| line.readable) else { return false };
            match line.receive(&mut buffer) {
                Ok(None) => return false,
                Ok(Some(len)) => self.take(buffer.get(..len).unwrap_or_default()),
                Err(error) => {
                    log::debug!("(1214) Problem receiving message from the server: {error}");
                    let now = self.now();
                    let actions = self.link.on_refused(now);
                    self.obey(actions);
                }
            }
        }
        true
    }

    fn take(&mut self, datagram: &[u8]) {
        let now = self.now();
        let Some(line) = &self.line else { return };
        let (server, source) = (line.server, line.address.ip().to_string());
        let message = match self.speaker.unseal(server, datagram) {
            Ok(message) => ToAgent::parse(message),
            Err(refused) => return self.complain_refused(&refused, &source),
        };
        if message == ToAgent::Ack {
            self.wire.acks += 1;
            let confirmed = self.intake.spool.confirmed();
            let actions = self.link.on_ack(now, confirmed);
            return self.obey(actions);
        }
        self.link.on_heard(now);
        if message == ToAgent::SyscheckRestart && self.mark.state == State::Suspended {
            log::warn!("The manager asks for a scan: not done, since this agent is suspended.");
            return;
        }
        let ours = match &message {
            ToAgent::Unknown(text) => ToOurs::parse(text).map(Heard::of),
            _ => None,
        };
        match ours {
            Some(heard) => self.on_ours(&heard, server, false),
            None => {
                self.orders.obey(&message);
            }
        }
    }

    fn complain_refused(&mut self, refused: &Refused, source: &str) {
        self.wire.rejected += 1;
        if !self.wire.rejected.is_power_of_two() {
            return;
        }
        let why = match refused {
            Refused::Rejected(rejection) => self.speaker.complaint(*rejection, source),
            Refused::Unwritten(error) => {
                format!("'{}' cannot be written: {error}", agents::counters::RIDS)
            }
        };
        let count = self.wire.rejected;
        log::error!("{why}");
        log::warn!(
            "(1214) Problem receiving message from '{source}' (message {count} of its kind)."
        );
        if let Refused::Rejected(Rejection::Repeated | Rejection::Backwards) = refused {
            let id = self.speaker.agent().id.as_str();
            log::warn!(
                "The manager's numbers are below those heard from it before: it was restored from an older image, its queue/rids was emptied, or somebody replays its messages. A manager of Oxsec hears of it with the next keepalive and goes on above them. For one of OSSEC, if you know it to be restored: stop this agent, remove queue/rids/{id} here, start it."
            );
        }
    }

    fn hear_probe(&mut self) {
        let mut buffer = [0; MAX_DATAGRAM];
        let Some(line) = self.probe.as_mut().filter(|line| line.readable) else { return };
        let Ok(Some(len)) = line.receive(&mut buffer) else { return };
        let server = line.server;
        let Ok(message) = self.speaker.unseal(server, buffer.get(..len).unwrap_or_default()) else {
            return;
        };
        match ToAgent::parse(message) {
            ToAgent::Ack => {
                let now = self.now();
                let actions = self.link.on_probe_ack(now);
                self.obey(actions);
            }
            ToAgent::Unknown(text) => {
                if let Some(heard) = ToOurs::parse(text).map(Heard::of) {
                    self.on_ours(&heard, server, true);
                }
            }
            _ => {}
        }
    }

    /// What was sent is to be confirmed, and the manager hears that this end is an orderly one.
    fn begin_to_stop(&mut self) {
        if self.stop_at.is_some() {
            return;
        }
        let now = self.now();
        self.mark.state = State::Exiting;
        self.acks_at_stop = self.wire.acks;
        self.stop_at = Some(now);
        if self.link.is_connected() {
            self.stop_at = Some(now + LAST_ACK);
            self.link.report_now(now);
        }
    }

    fn has_said_goodbye(&self) -> bool {
        self.is_all_confirmed() && self.wire.acks > self.acks_at_stop
    }

    /// SIGUSR1: a report now. SIGUSR2: rest, or go on.
    fn heed(&mut self, daemon: &mut Daemon) {
        let now = self.now();
        if daemon.signals().take_asked() {
            self.link.report_now(now);
        }
        let state = match (self.mark.state, daemon.signals().is_suspended()) {
            (State::Running, true) => State::Suspended,
            (State::Suspended, false) => State::Running,
            _ => return,
        };
        self.mark.state = state;
        self.blocked_until = Moment::ZERO;
        log::info!(
            "{}",
            match state {
                State::Suspended =>
                    "Suspended by SIGUSR2: events wait in the spool, scans are not obeyed; another SIGUSR2 resumes.",
                _ => "Resumed by SIGUSR2.",
            }
        );
        self.link.report_now(now);
    }

    fn is_all_confirmed(&self) -> bool {
        self.intake.spool.read() == self.intake.spool.confirmed()
    }

    fn give_up_old(&mut self) {
        match self.intake.spool.give_up_old(epoch()) {
            Ok(0) => {}
            Ok(lost) => log::error!(
                "{lost} events had waited longer than agent.spool_age allows and are given up."
            ),
            Err(error) => log::error!("'{}': {error}", crate::intake::SPOOL),
        }
    }

    fn write_state(&mut self, daemon: &Daemon) {
        let Self { link, wire, intake, orders, .. } = self;
        let connected = link.is_connected();
        let suspended = self.mark.state == State::Suspended;
        let (taken, obeyed) = (&intake.counts, &orders.counts);
        let lines = accounts::lines(connected, suspended, wire, taken, obeyed, &intake.spool);
        if lines == self.told {
            return;
        }
        match daemon.write_state(&lines) {
            Ok(()) => self.told = lines,
            Err(error) => log::warn!("the state file could not be written: {error}"),
        }
    }
}

pub(crate) fn open_speaker(
    root: &Path,
    agent: Agent,
    client: &Client,
    verify: bool,
) -> io::Result<Speaker> {
    let servers: Vec<String> = client.servers.iter().map(ToString::to_string).collect();
    let method = if client.blowfish { Method::Blowfish } else { Method::Aes };
    Speaker::open(root, agent, method, verify, &servers)
}

fn manners(client: &Client) -> Manners {
    Manners {
        servers: client.servers.len(),
        notify: client.notify_time,
        silence: client.time_reconnect,
    }
}

/// The lower half of a random number.
fn run_number(random: u64) -> u32 {
    u32::try_from(random & u64::from(u32::MAX)).unwrap_or_default()
}

/// The kernel has no room for the datagram at the moment.
fn is_busy(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
        || error.kind() == io::ErrorKind::Interrupted
        || error.raw_os_error() == Some(rustix::io::Errno::NOBUFS.raw_os_error())
}

/// Seconds since 1970.
fn epoch() -> u32 {
    u32::try_from(runtime::clock::now()).unwrap_or_default()
}
