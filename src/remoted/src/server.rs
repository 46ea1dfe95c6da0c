//! The manager's side at work: one thread that reads, answers, forwards and keeps order.
//!
//! ```text
//! datagrams -> authentic messages -> numbers noted on disk -> events offered to analysisd
//!                  | control: acknowledged, agent-info, shared files
//! queue/alerts/ar -> sealed messages to agents
//! ```

mod doubted;
mod keys;
mod named;
mod present;
mod requests;
mod syslog_input;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use agents::{AgentId, Key, KeyWatch, Received, SendCounter, info};
use runtime::{Daemon, Failure, errno};
use sys::datagrams::Batch;
use wire::control::{FromAgent, ToAgent};
use wire::counter::Counter;
use wire::datagram::{MAX_DATAGRAM, Rejection};
use wire::forward;
use wire::keepalive::{AgentInfo, Keepalive};
use wire::ours::FromOurs;
use wire::sealed::Opener;

use crate::accounts::{self, Accounts};
use crate::agents_table::{AgentsTable, Cause, Refused, Reply, Slot};
use crate::complaints::{Complaints, Kind, Say};
use crate::doors::Doors;
use crate::intake::{self, Strictness, Taken, source};
use crate::lookups::Lookups;
use crate::orders::Orders;
use crate::outbox::Outbox;
use crate::policy::{Guests, Naming, Policy};
use crate::post::{Post, Sent};
use crate::presence::Silences;
use crate::remedy::Case;
use crate::shared::{Piece, Pushes, Shared};
use crate::syslog::{Access, Streams};

/// Datagrams of one system call.
const BATCH: usize = 64;
/// System calls on one socket before the others get their turn, and the batch is noted on disk.
const CALLS: usize = 8;

/// Acknowledgements that may wait; more go out at once.
const MOST_OWED: usize = 65_536;
/// An acknowledgement waits no longer: agents shall not give up on us because analysisd is away.
const LONGEST_OWED: Duration = Duration::from_secs(2);

/// Everything that the daemon has in hand.
#[derive(Debug)]
pub struct Server {
    root: PathBuf,
    doors: Doors,
    requests: UnixDatagram,
    how: Strictness,
    access: Access,
    guests: Guests,
    naming: Naming,
    lookups: Option<Lookups>,
    keys: KeyWatch,
    keys_looked_at: Instant,
    keys_were_read: bool,
    keys_complained: bool,
    /// Agents whose line disappeared without a mark, with their keys.
    gone: HashMap<AgentId, Key>,
    table: AgentsTable,
    received: Received,
    /// Lent out while a message from it is worked on.
    opener: Option<Opener>,
    post: Post,
    outbox: Outbox,
    /// Acknowledgements that wait for analysisd, oldest first.
    owed: VecDeque<Owed>,
    shared: Shared,
    shared_complaint: String,
    pushes: Pushes,
    streams: Streams,
    accounts: Accounts,
    complaints: Complaints,
    doubting: doubted::Doubting,
    silences: Silences,
    silences_looked_at: Instant,
    batch: Batch,
    event: Vec<u8>,
    buffer: Vec<u8>,
    /// Numbers could not be noted: nothing is read or forwarded until they can.
    is_stuck: bool,
    /// Requests for agents that can't be reached.
    orders: Orders,
    requests_sent: u64,
}

/// An acknowledgement that waits.
#[derive(Debug)]
struct Owed {
    to: AgentId,
    /// How many events must have arrived first.
    behind: u64,
    since: Instant,
}

/// What [`Server::open`] needs.
#[derive(Debug)]
pub struct Parts {
    /// The sockets.
    pub doors: Doors,
    /// The socket of requests.
    pub requests: UnixDatagram,
    /// How strict to be.
    pub how: Strictness,
    /// Who may speak, names, time.
    pub policy: Policy,
    /// A random number.
    pub stream: u64,
}

impl Server {
    /// Reads the keys and the numbers.
    ///
    /// # Errors
    /// A file can't be read or written (1103).
    pub fn open(daemon: &Daemon, parts: Parts) -> Result<Self, Failure> {
        let root = daemon.root().to_path_buf();
        let failed = |path: &str, error: &io::Error| {
            let path = root.join(path);
            let text =
                format!("Could not open file '{}' due to [{}].", path.display(), errno(error));
            Failure::new(Some(1103), text)
        };
        let rids = agents::counters::RIDS;
        let received = Received::open(&root).map_err(|error| failed(rids, &error))?;
        let counter = SendCounter::open(&root).map_err(|error| failed(rids, &error))?;
        let limit =
            usize::try_from(daemon.options().number("remoted.max_agents")).unwrap_or(usize::MAX);
        log::info!("(4111) Maximum number of agents allowed: '{limit}'.");
        let now = Instant::now();
        let mut server = Self {
            doors: parts.doors,
            requests: parts.requests,
            how: parts.how,
            access: Access::default(),
            guests: Guests::default(),
            naming: Naming::default(),
            lookups: Lookups::start()
                .inspect_err(|error| log::warn!("No names are looked up: {error}."))
                .ok(),
            keys: KeyWatch::new(&root.join("etc/client.keys"), limit),
            keys_looked_at: now,
            keys_were_read: false,
            keys_complained: false,
            gone: HashMap::new(),
            table: AgentsTable::default(),
            received,
            opener: Some(Opener::new()),
            post: Post::new(counter),
            outbox: Outbox::new(&root, parts.stream),
            owed: VecDeque::new(),
            shared: Shared::new(&root),
            shared_complaint: String::new(),
            pushes: Pushes::default(),
            streams: Streams::new(),
            accounts: Accounts::default(),
            complaints: Complaints::new(now),
            doubting: doubted::Doubting::default(),
            silences: Silences::default(),
            silences_looked_at: now,
            batch: Batch::new(BATCH, MAX_DATAGRAM),
            event: Vec::with_capacity(MAX_DATAGRAM),
            buffer: vec![0; MAX_DATAGRAM],
            is_stuck: false,
            orders: Orders::default(),
            requests_sent: 0,
            root: root.clone(),
        };
        server.set_policy(parts.policy);
        log::info!("(1410) Reading authentication keys file.");
        server.look_at_keys(now).map_err(|error| failed("etc/client.keys", &error))?;
        let has_agents_door = !server.doors.agents.is_empty();
        if has_agents_door
            && server.table.is_empty()
            && !daemon.options().flag("remoted.pass_empty_keyfile")
        {
            log::error!("(1751) File client.keys not found or empty.");
            log::info!(
                "Agents are taken as soon as manage_agents has added them; no restart is needed."
            );
        }
        server.look_at_shared();
        Ok(server)
    }

    /// Reads what waits at all sockets, notes the numbers, forwards. `true`: there may be more at once.
    pub fn turn(&mut self, now: Instant) -> bool {
        let mut more = false;
        if self.wants_input() {
            for at in 0..self.doors.agents.len() {
                more |= self.read_agents(at, now);
            }
            for at in 0..self.doors.syslog.len() {
                more |= self.read_syslog(at);
            }
            more |= self.read_streams(now);
        }
        self.read_requests(now);
        self.note_and_forward(now);
        self.pay(now);
        more
    }

    /// Whether anything may be read from the network.
    pub fn wants_input(&self) -> bool {
        self.outbox.has_room() && !self.is_stuck
    }

    fn read_agents(&mut self, door: usize, now: Instant) -> bool {
        for _ in 0..CALLS {
            let Some(count) = self.receive(door, |doors| &doors.agents) else { return false };
            let at = SystemTime::now();
            // The batch is lent out while its datagrams are worked on.
            let batch = std::mem::replace(&mut self.batch, Batch::new(0, MAX_DATAGRAM));
            for (datagram, from) in (0..count).filter_map(|at| batch.datagram(at)) {
                if !datagram.is_empty() {
                    self.datagram(door, datagram, from, at, now);
                }
            }
            self.batch = batch;
            if count < BATCH {
                return false;
            }
            if !self.wants_input() {
                return false;
            }
        }
        true
    }

    fn receive(&mut self, door: usize, of: impl Fn(&Doors) -> &Vec<UdpSocket>) -> Option<usize> {
        match self.batch.receive(of(&self.doors).get(door)?.as_fd()) {
            Ok(count) => Some(count),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) =>
            {
                None
            }
            Err(error) => {
                // An answer that could not be delivered shows here; it says nothing about what comes next.
                log::debug!("(1214) Problem receiving message from 'network'. [{}]", errno(&error));
                None
            }
        }
    }

    fn datagram(
        &mut self,
        door: usize,
        datagram: &[u8],
        from: SocketAddr,
        at: SystemTime,
        now: Instant,
    ) {
        self.accounts.received += 1;
        if !self.guests.allows(source(from)) {
            let refused = Refused { slot: None, cause: Cause::Denied };
            return self.refuse(refused, None, datagram, from);
        }
        let mut opener = self.opener.take().unwrap_or_default();
        let mut taken = intake::take(
            &mut self.table,
            &mut self.received,
            &mut opener,
            datagram,
            from,
            at,
            self.how,
        );
        if let Err((refused, _)) = &taken
            && is_unknown(refused)
            && self.keys_changed_meanwhile(now)
        {
            taken = intake::take(
                &mut self.table,
                &mut self.received,
                &mut opener,
                datagram,
                from,
                at,
                self.how,
            );
        }
        if let Err((refused, counter)) = taken
            && self.look_into(refused, counter, (datagram, from, door), now)
        {
            taken = intake::take(
                &mut self.table,
                &mut self.received,
                &mut opener,
                datagram,
                from,
                at,
                self.how,
            );
        }
        match taken {
            Ok(taken) => self.message(&taken, door, from, now),
            Err((refused, counter)) => self.refuse(refused, counter, datagram, from),
        }
        self.opener = Some(opener);
    }

    fn message(&mut self, taken: &Taken<'_>, door: usize, from: SocketAddr, now: Instant) {
        match FromAgent::parse(taken.message) {
            FromAgent::Event(message) => self.event(taken.slot, message),
            FromAgent::Startup => {
                self.accounts.filtered += 1;
                self.answer(taken, door, from, now);
            }
            FromAgent::Keepalive(text) => {
                self.accounts.filtered += 1;
                if let Some(answer) = FromOurs::parse(text) {
                    return self.answered(taken, answer, door, from, now);
                }
                self.go_on_above_what_it_heard(taken, text, from, now);
                self.answer(taken, door, from, now);
                self.keepalive(taken, text, from);
            }
        }
    }

    fn event(&mut self, slot: Slot, message: &[u8]) {
        let Some(entry) = self.table.entry(slot) else { return };
        let agent = &entry.agent;
        self.event.clear();
        let (name, ip) = (agent.name.kept().as_bytes(), agent.address.stored().as_bytes());
        match forward::event(name, ip, message, &mut self.event) {
            Ok(true) if self.outbox.put(&self.event) => {}
            Ok(true) => self.not_an_event(slot),
            Ok(false) => self.accounts.filtered += 1,
            Err(_) => self.not_an_event(slot),
        }
    }

    fn not_an_event(&mut self, slot: Slot) {
        self.accounts.not_events += 1;
        // Once in powers of two: an agent that sends nonsense is authentic, but no reason to fill the log.
        if self.accounts.not_events.is_power_of_two()
            && let Some(entry) = self.table.entry(slot)
        {
            log::error!("(1106) String not correctly formatted.");
            log::info!(
                "agent {} '{}' sent an authentic message that is no event; dropped.",
                entry.agent.id,
                entry.agent.name
            );
        }
    }

    /// Remembers where the agent is, and acknowledges: so it is with every control message, whatever it says. The
    /// acknowledgement goes out when analysisd has all that came before: our agents take it as the receipt for their events.
    fn answer(&mut self, taken: &Taken<'_>, door: usize, from: SocketAddr, now: Instant) {
        self.look_up(taken.slot, from, now);
        let Some(entry) = self.table.entry_mut(taken.slot) else { return };
        entry.known.reply = Some(Reply { address: from, door, method: taken.method, at: now });
        let pending = self.outbox.pending();
        if pending == 0 || self.owed.len() >= MOST_OWED {
            self.post.send(&self.doors.agents, entry, ToAgent::Ack, now);
        } else {
            let behind = self.outbox.forwarded() + pending;
            self.owed.push_back(Owed { to: entry.agent.id.clone(), behind, since: now });
        }
    }

    /// Sends the acknowledgements whose events have arrived, or that have waited long enough.
    fn pay(&mut self, now: Instant) {
        let forwarded = self.outbox.forwarded();
        let is_due = |owed: &Owed| {
            owed.behind <= forwarded || now.saturating_duration_since(owed.since) >= LONGEST_OWED
        };
        while self.owed.front().is_some_and(is_due)
            && let Some(owed) = self.owed.pop_front()
        {
            let slot = self.table.by_id(owed.to.as_str().as_bytes());
            if let Some(entry) = slot.and_then(|slot| self.table.entry(slot)) {
                self.post.send(&self.doors.agents, entry, ToAgent::Ack, now);
            }
        }
    }

    fn keepalive(&mut self, taken: &Taken<'_>, text: &[u8], from: SocketAddr) {
        let Some(entry) = self.table.entry(taken.slot) else { return };
        let id = entry.agent.id.clone();
        let keepalive = match Keepalive::parse(text) {
            Ok(keepalive) => keepalive,
            Err(_) => {
                // The number is the agent's place in the file, as tools know the line.
                log::warn!("Invalid message from agent id: '{}'(uname)", taken.slot.place());
                log::info!(
                    "That was agent {id} '{}': a keepalive without a line of its system.",
                    entry.agent.name
                );
                return;
            }
        };
        let mark = keepalive.mark();
        self.note_change(&id, mark, from);
        let Some(entry) = self.table.entry_mut(taken.slot) else { return };
        let is_same = entry.known.uname == keepalive.uname
            && entry.known.method == Some(taken.method)
            && entry.known.mark == mark;
        let touched = if is_same {
            info::touch(&self.root, &entry.agent, SystemTime::now())
        } else {
            Ok(false)
        };
        let noted = match touched {
            Ok(false) => {
                let info = AgentInfo { uname: keepalive.uname, method: Some(taken.method), mark };
                info::write(&self.root, &entry.agent, &info)
            }
            other => other.map(drop),
        };
        if let Err(error) = noted {
            let path = info::path(&self.root, &entry.agent);
            log::error!(
                "(1103) Could not open file '{}' due to [{}].",
                path.display(),
                errno(&error)
            );
        } else if !is_same {
            entry.known.uname = keepalive.uname.to_vec();
            entry.known.method = Some(taken.method);
            entry.known.mark = mark;
        }
        let Some(merged) = self.shared.merged() else { return };
        match keepalive.merged() {
            Some(sum) if merged.is(sum) => {}
            Some(_) => self.pushes.add(&id, vec![Arc::clone(merged)]),
            None => self.pushes.add(&id, merged.missing(keepalive.sums())),
        }
    }

    fn refuse(
        &mut self,
        refused: Refused,
        counter: Option<Counter>,
        datagram: &[u8],
        from: SocketAddr,
    ) {
        self.accounts.refuse(refused.cause);
        let entry = refused.slot.and_then(|slot| self.table.entry(slot));
        let last = entry.and_then(|entry| self.received.last(&entry.agent.id));
        let case = Case { cause: refused.cause, from, id: id_of(datagram), entry, counter, last };
        let kind = Kind { cause: refused.cause, source: source(from), slot: refused.slot };
        let (say, line) = self.complaints.note(kind, || case.line());
        let Some(line) = line else { return };
        match refused.cause {
            Cause::Rejected(Rejection::UnknownAddress) | Cause::Policy(_) | Cause::Denied => {
                log::warn!("{line}")
            }
            Cause::Rejected(_) | Cause::Unnumbered(_) => log::error!("{line}"),
        }
        if say == Say::LineAndRemedy {
            log::info!("{}", case.remedy());
            self.look_up_stranger(refused, id_of(datagram), from);
        }
    }

    /// First the numbers, then the events: what analysisd has seen can't be replayed, whoever is killed when.
    fn note_and_forward(&mut self, now: Instant) {
        match self.received.commit() {
            Ok(()) => {
                if self.is_stuck {
                    log::info!("The counters can be written again; agents are heard again.");
                }
                self.is_stuck = false;
                self.outbox.drive(now);
            }
            Err(error) => {
                if !self.is_stuck {
                    let rids = self.root.join(agents::counters::RIDS);
                    log::error!(
                        "(1103) Could not open file '{}/.received' due to [{}]. Without it messages could be replayed: nothing is taken until it can be written.",
                        rids.display(),
                        errno(&error)
                    );
                }
                self.is_stuck = true;
            }
        }
    }

    /// Every few seconds: whether the shared files changed. Trouble is said once.
    pub fn look_at_shared(&mut self) {
        match self.shared.refresh() {
            Ok(true) => {
                log::info!(
                    "The shared files changed: agents get merged.mg with their next keepalive."
                );
                self.check_agent_conf();
            }
            Ok(false) => {}
            Err(error) => {
                let line = format!("The shared files can't be packed into merged.mg: {error}.");
                if self.shared_complaint != line {
                    log::warn!("{line}");
                }
                self.shared_complaint = line;
                return;
            }
        }
        self.shared_complaint.clear();
    }

    /// Agents that get a bad one keep what they have, and say so in logs of theirs only.
    fn check_agent_conf(&self) {
        let file = self.root.join(agents::central::AGENT_CONF);
        let Ok(text) = std::fs::read(&file) else { return };
        match settings::check_agent_conf(&text, &file) {
            Ok(warnings) => warnings.iter().for_each(|warning| log::warn!("{warning}")),
            Err(errors) => {
                errors.log();
                log::error!(
                    "'{}' is of no use to agents: they keep what they have.",
                    file.display()
                );
            }
        }
    }

    /// Once a second: pieces of shared files, and the sums of floods.
    pub fn each_second(&mut self, now: Instant) {
        let (table, post, doors) = (&self.table, &mut self.post, &self.doors.agents);
        self.pushes.turn(|id, message| {
            let slot = table.by_id(id.as_str().as_bytes());
            let Some(entry) = slot.and_then(|slot| table.entry(slot)) else { return Piece::GiveUp };
            match post.send(doors, entry, message, now) {
                Sent::Yes => Piece::Sent,
                Sent::Later => Piece::Later,
                Sent::Silent | Sent::Failed => Piece::GiveUp,
            }
        });
        self.turn_orders(now);
        self.turn_doubts(now);
        self.hear_names(now);
        self.look_at_silences(now);
        for line in self.complaints.sums(now) {
            log::warn!("{line}");
        }
    }

    /// What the configuration says, at the start and after a reload.
    pub fn set_policy(&mut self, policy: Policy) {
        self.access = policy.syslog;
        self.guests = policy.agents;
        self.naming = policy.names;
        self.silences.set_limit(policy.time_limit);
    }

    /// Writes the accounts.
    pub fn write_accounts(&self, daemon: &Daemon) {
        let mut lines = self.accounts.lines(self.outbox.forwarded(), self.outbox.pending());
        let sum = |of: fn(&crate::agents_table::Known) -> u64| {
            self.table.iter().map(|entry| of(&entry.known)).sum()
        };
        let sockets = self.doors.agents.iter().chain(&self.doors.syslog);
        let lost: u64 = sockets
            .filter_map(|socket| sys::datagrams::dropped(socket.as_fd()).ok())
            .map(u64::from)
            .sum();
        lines.extend([
            ("agents", self.table.len() as u64),
            ("agents_missing", sum(|known| known.missing)),
            ("agents_skipped", sum(|known| known.skipped)),
            ("lost_in_socket_buffer", lost),
            ("sent_to_agents", self.post.sent),
            ("send_failures", self.post.failed),
            ("requests_sent", self.requests_sent),
            ("requests_waiting", self.orders.len() as u64),
            ("pushes_done", self.pushes.done),
            ("syslog_connections", self.streams.iter().count() as u64),
            ("syslog_connections_refused", self.streams.turned_away),
        ]);
        let written = daemon
            .write_state(&lines)
            .and_then(|()| accounts::write_agents(&self.root, &self.table));
        if let Err(error) = written {
            log::debug!("the accounts cannot be written: {error}");
        }
    }

    /// Orderly end: what was read reaches analysisd if it listens, and the numbers their files.
    pub fn close(mut self, daemon: &Daemon, deadline: Instant) {
        while self.outbox.pending() > 0 && Instant::now() < deadline {
            let step =
                deadline.saturating_duration_since(Instant::now()).min(Duration::from_millis(50));
            self.wait_for_outbox(step);
            self.note_and_forward(Instant::now());
            self.pay(Instant::now());
        }
        self.write_accounts(daemon);
        if !self.orders.is_empty() {
            log::warn!(
                "{} requests for agents that could not be reached are given up: we end.",
                self.orders.len()
            );
        }
        if let Err(error) = self.received.flush() {
            log::warn!("The counters stay in their journal: [{}].", errno(&error));
        }
        if let Err(error) = self.post.close() {
            log::debug!("the sender counter keeps its reserve: {error}");
        }
    }

    fn wait_for_outbox(&self, at_most: Duration) {
        let poll = self
            .outbox
            .fd()
            .map(|fd| crate::wait::Watched { fd, write: self.outbox.wants_write() });
        crate::wait::wait(&poll.into_iter().collect::<Vec<_>>(), at_most);
    }

    /// The descriptors that the loop waits for, and when it wants its turn at the latest.
    pub fn watched(&self) -> (Vec<crate::wait::Watched<'_>>, Option<Instant>) {
        use crate::wait::Watched;
        let mut watched = vec![Watched { fd: self.requests.as_fd(), write: false }];
        if let Some(fd) = self.outbox.fd() {
            watched.push(Watched { fd, write: self.outbox.wants_write() });
        }
        if self.wants_input() {
            let sockets = self.doors.agents.iter().chain(&self.doors.syslog).map(AsFd::as_fd);
            let listeners = self.doors.streams.iter().map(AsFd::as_fd);
            let streams = self.streams.iter().map(|stream| stream.socket().as_fd());
            watched.extend(
                sockets.chain(listeners).chain(streams).map(|fd| Watched { fd, write: false }),
            );
        }
        (watched, self.outbox.deadline())
    }
}

fn is_unknown(refused: &Refused) -> bool {
    matches!(refused.cause, Cause::Rejected(Rejection::UnknownAddress | Rejection::UnknownId))
}

/// The digits that a datagram claims, for the log.
fn id_of(datagram: &[u8]) -> &[u8] {
    let inside = datagram.strip_prefix(b"!").unwrap_or_default();
    let digits = inside.iter().take_while(|b| b.is_ascii_digit()).count();
    &inside[..digits.min(16)]
}
