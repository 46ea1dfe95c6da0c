//! The link to the manager: when to say hello, when to report, when to give a server up, which one comes next.
//!
//! ```text
//!            hello unanswered / refused           all servers tried
//!   Calling ----------------------------> next --------------------> Pausing (back-off with jitter)
//!      | ack                               ^                            |
//!      v                                   |                            v
//!   Connected --- no ack to reports, or silence, or refused ---------- Calling (server 1)
//!      |  ^
//!      v  | while on another server than the first: now and then a hello to the first (fail-back)
//! ```
//! It knows no socket and no clock: the caller says what time it is and what has come, and does each [`Action`]. An ack also
//! proves that what was sent before the report has left the wire: the events up to there are confirmed.

use std::time::Duration;

/// After so long each hello follows the first one; the last is where a server is given up.
const HELLOS: [Duration; 5] = [secs(1), secs(3), secs(6), secs(10), secs(15)];
/// How long the answer to a report may take before the report is repeated.
const ANSWER: Duration = secs(10);
/// Reports without an answer before the server counts as lost.
const PATIENCE: u32 = 3;
/// Sent events are confirmed by a report of their own after this time.
const CONFIRM: Duration = secs(10);
/// Longest pause between two rounds over all servers.
const MAX_PAUSE: Duration = secs(60);
/// How often the first server is tried while we are connected to another one.
const FAIL_BACK: Duration = secs(300);
/// How long the first server has to answer then.
const FAIL_BACK_ANSWER: Duration = secs(5);

const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// A moment, since the daemon's start.
pub type Moment = Duration;

/// What the configuration says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Manners {
    /// How many servers there are; at least one.
    pub servers: usize,
    /// Time between reports (`notify_time`).
    pub notify: Duration,
    /// Silence after which a server counts as lost in any case (`time-reconnect`).
    pub silence: Duration,
}

/// What the caller has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Open a socket to this server; the one before is of no use any more.
    Open(usize),
    /// Send the hello to the current server.
    Hello,
    /// Send a keepalive to the current server.
    Report,
    /// Open a second socket to this server, and send the hello there.
    Probe(usize),
    /// Close the second socket.
    EndProbe,
    /// The second socket's server is the current one from now on.
    Switch(usize),
    /// Connected: events may be sent. To be logged as 4102; `first` only once in a process.
    Connected {
        /// Which server.
        server: usize,
        /// For the first time since the start.
        first: bool,
    },
    /// The server did not answer the hellos: 4101.
    Unanswered(usize),
    /// The connection is lost, and why: send no more; what is not confirmed is to be sent again.
    Lost {
        /// Which server.
        server: usize,
        /// For the log.
        why: Why,
    },
    /// All events with numbers up to this one have arrived as far as can be known.
    Confirm(u64),
}

/// Why a connection was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Reports were not answered.
    Unanswered {
        /// How many.
        reports: u32,
    },
    /// Nothing was heard for so long.
    Silence(Duration),
    /// The system refused to send, or the other side said that nobody listens there.
    Refused,
    /// The first server is back.
    FailBack,
    /// The server refuses this agent, since another living host has its key.
    Cloned,
}

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unanswered { reports } => write!(
                f,
                "{reports} keepalives were not answered (is ossec-remoted running there, does a firewall let UDP through both ways?)"
            ),
            Self::Silence(time) => write!(f, "nothing was heard for {} s", time.as_secs()),
            Self::Refused => {
                f.write_str("its port is closed or out of reach (is ossec-remoted running there?)")
            }
            Self::FailBack => f.write_str("the first server answers again"),
            Self::Cloned => f.write_str("it refuses this agent, whose key another host uses"),
        }
    }
}

/// The state machine.
#[derive(Debug)]
pub struct Link {
    manners: Manners,
    state: State,
    /// Rounds over all servers in vain since the last connection.
    rounds: u32,
    /// Servers tried in this round.
    tried: usize,
    ever: bool,
    jitter: u64,
    actions: Vec<Action>,
}

#[derive(Debug)]
enum State {
    Pausing { until: Moment, next: usize },
    Calling { server: usize, since: Moment, hellos: usize },
    Connected(Connection),
}

#[derive(Debug)]
struct Connection {
    server: usize,
    heard: Moment,
    report_due: Moment,
    awaited: Option<Awaited>,
    /// The highest event number that was sent, and the highest that is confirmed.
    sent: u64,
    confirmed: u64,
    /// When the first event was sent that no report covers.
    uncovered_since: Option<Moment>,
    probe: Probe,
}

/// A report under way.
#[derive(Debug)]
struct Awaited {
    tries: u32,
    repeat_at: Moment,
    /// What an ack confirms: events sent before the first try.
    covers: u64,
}

#[derive(Debug)]
enum Probe {
    Due(Moment),
    Sent { until: Moment },
}

impl Link {
    /// A link that calls the first server as soon as it is driven. `seed` makes the pauses of many agents differ.
    pub fn new(manners: Manners, seed: u64) -> Self {
        let state = State::Pausing { until: Moment::ZERO, next: 0 };
        Self {
            manners: Manners { servers: manners.servers.max(1), ..manners },
            state,
            rounds: 0,
            tried: 0,
            ever: false,
            jitter: seed | 1,
            actions: Vec::new(),
        }
    }

    /// Does what is due; returns what is to be done.
    pub fn drive(&mut self, now: Moment) -> Vec<Action> {
        match &mut self.state {
            State::Pausing { until, next } if now >= *until => {
                let next = *next;
                self.call(next, now);
            }
            State::Pausing { .. } => {}
            State::Calling { server, since, hellos } => {
                let (server, age) = (*server, now.saturating_sub(*since));
                let (due, all) = (HELLOS.iter().filter(|d| age >= **d).count(), HELLOS.len());
                if due == all {
                    self.actions.push(Action::Unanswered(server));
                    self.next_server(server, now);
                } else if due >= *hellos {
                    *hellos = due + 1;
                    self.actions.push(Action::Hello);
                }
            }
            State::Connected(_) => self.drive_connected(now),
        }
        std::mem::take(&mut self.actions)
    }

    /// When [`drive`](Self::drive) is to be called at the latest.
    pub fn deadline(&self) -> Moment {
        match &self.state {
            State::Pausing { until, .. } => *until,
            State::Calling { since, hellos, .. } => {
                *since + HELLOS.get(hellos.saturating_sub(1)).copied().unwrap_or(HELLOS[4])
            }
            State::Connected(c) => {
                let mut due = c.report_due.min(c.heard + self.manners.silence);
                if let Some(awaited) = &c.awaited {
                    due = due.min(awaited.repeat_at);
                } else if let Some(since) = c.uncovered_since {
                    due = due.min(since + CONFIRM);
                }
                if c.server != 0 {
                    due = due.min(match c.probe {
                        Probe::Due(at) | Probe::Sent { until: at } => at,
                    });
                }
                due
            }
        }
    }

    /// Whether events may be sent.
    pub fn is_connected(&self) -> bool {
        matches!(self.state, State::Connected(_))
    }

    /// The server whose answers count, if there is one.
    pub fn server(&self) -> Option<usize> {
        match &self.state {
            State::Pausing { .. } => None,
            State::Calling { server, .. } => Some(*server),
            State::Connected(c) => Some(c.server),
        }
    }

    /// An authentic ack of the current server. `confirmed` is the highest event number that earlier connections have confirmed.
    pub fn on_ack(&mut self, now: Moment, confirmed: u64) -> Vec<Action> {
        match &mut self.state {
            State::Calling { server, .. } => {
                let server = *server;
                self.connect(server, now, confirmed);
            }
            State::Connected(c) => {
                c.heard = now;
                if let Some(awaited) = c.awaited.take()
                    && awaited.covers > c.confirmed
                {
                    c.confirmed = awaited.covers;
                    self.actions.push(Action::Confirm(c.confirmed));
                }
            }
            State::Pausing { .. } => {}
        }
        std::mem::take(&mut self.actions)
    }

    /// Any other authentic message of the current server.
    pub fn on_heard(&mut self, now: Moment) {
        if let State::Connected(c) = &mut self.state {
            c.heard = now;
        }
    }

    /// An authentic ack on the second socket.
    pub fn on_probe_ack(&mut self, now: Moment) -> Vec<Action> {
        if let State::Connected(Connection {
            server, probe: Probe::Sent { .. }, confirmed, ..
        }) = &self.state
        {
            let (server, confirmed) = (*server, *confirmed);
            self.actions.push(Action::Lost { server, why: Why::FailBack });
            self.actions.push(Action::Switch(0));
            self.connect(0, now, confirmed);
        }
        std::mem::take(&mut self.actions)
    }

    /// The current server's port is closed, or the system can't send there.
    pub fn on_refused(&mut self, now: Moment) -> Vec<Action> {
        if self.is_connected() {
            self.lose(Why::Refused, now);
        }
        std::mem::take(&mut self.actions)
    }

    /// The manager says that another living host has this agent's key: it is called again, slowly.
    pub fn on_cloned(&mut self, now: Moment) -> Vec<Action> {
        if let State::Connected(c) = &self.state {
            let server = c.server;
            if matches!(c.probe, Probe::Sent { .. }) {
                self.actions.push(Action::EndProbe);
            }
            self.actions.push(Action::Lost { server, why: Why::Cloned });
        }
        let until = now + MAX_PAUSE + MAX_PAUSE.mul_f64(self.random() / 2.0);
        self.state = State::Pausing { until, next: self.server().unwrap_or(0) };
        std::mem::take(&mut self.actions)
    }

    /// Begins anew with other manners; what the connection that ends hereby has not confirmed is to be sent again.
    pub fn restart(&mut self, manners: Manners) {
        self.manners = Manners { servers: manners.servers.max(1), ..manners };
        self.state = State::Pausing { until: Moment::ZERO, next: 0 };
        self.rounds = 0;
        self.tried = 0;
        self.actions.clear();
    }

    /// Events up to this number were sent on this connection.
    pub fn on_sent(&mut self, number: u64, now: Moment) {
        if let State::Connected(c) = &mut self.state {
            c.sent = c.sent.max(number);
            if c.sent > c.confirmed {
                c.uncovered_since.get_or_insert(now);
            }
        }
    }

    /// A report now, out of turn: to have everything confirmed before the daemon ends.
    pub fn report_now(&mut self, now: Moment) {
        if let State::Connected(c) = &mut self.state {
            c.report_due = now;
            c.awaited = None;
        }
    }

    fn drive_connected(&mut self, now: Moment) {
        let State::Connected(c) = &mut self.state else { return };
        if now >= c.heard + self.manners.silence {
            return self.lose(Why::Silence(self.manners.silence), now);
        }
        match &mut c.awaited {
            Some(awaited) if now >= awaited.repeat_at => {
                if awaited.tries >= PATIENCE {
                    let reports = awaited.tries;
                    return self.lose(Why::Unanswered { reports }, now);
                }
                awaited.tries += 1;
                awaited.repeat_at = now + ANSWER;
                c.report_due = now + self.manners.notify;
                self.actions.push(Action::Report);
            }
            Some(_) => {}
            None => {
                let uncovered = c.uncovered_since.is_some_and(|since| now >= since + CONFIRM);
                if uncovered || now >= c.report_due {
                    c.report(now, self.manners.notify);
                    self.actions.push(Action::Report);
                }
            }
        }
        if c.server != 0 {
            match c.probe {
                Probe::Due(at) if now >= at => {
                    c.probe = Probe::Sent { until: now + FAIL_BACK_ANSWER };
                    self.actions.push(Action::Probe(0));
                }
                Probe::Sent { until } if now >= until => {
                    c.probe = Probe::Due(now + FAIL_BACK);
                    self.actions.push(Action::EndProbe);
                }
                _ => {}
            }
        }
    }

    fn call(&mut self, server: usize, now: Moment) {
        self.state = State::Calling { server, since: now, hellos: 1 };
        self.actions.push(Action::Open(server));
        self.actions.push(Action::Hello);
    }

    fn next_server(&mut self, server: usize, now: Moment) {
        self.tried += 1;
        let next = (server + 1) % self.manners.servers;
        if self.tried < self.manners.servers {
            return self.call(next, now);
        }
        self.tried = 0;
        self.rounds = self.rounds.saturating_add(1);
        let full = secs(1 << self.rounds.min(6)).min(MAX_PAUSE);
        // Half of it at least: agents that lost their manager together come back one by one.
        let pause = full / 2 + full.mul_f64(self.random() / 2.0);
        self.state = State::Pausing { until: now + pause, next: 0 };
    }

    fn connect(&mut self, server: usize, now: Moment, confirmed: u64) {
        self.rounds = 0;
        self.tried = 0;
        let mut connection = Connection {
            server,
            heard: now,
            report_due: now,
            awaited: None,
            sent: confirmed,
            confirmed,
            uncovered_since: None,
            probe: Probe::Due(now + FAIL_BACK),
        };
        connection.report(now, self.manners.notify);
        self.state = State::Connected(connection);
        self.actions.push(Action::Connected { server, first: !self.ever });
        self.actions.push(Action::Report);
        self.ever = true;
    }

    fn lose(&mut self, why: Why, now: Moment) {
        let State::Connected(c) = &self.state else { return };
        let server = c.server;
        if matches!(c.probe, Probe::Sent { .. }) {
            self.actions.push(Action::EndProbe);
        }
        self.actions.push(Action::Lost { server, why });
        self.call(server, now);
    }

    /// 0 to 1 (xorshift: pauses need no better).
    fn random(&mut self) -> f64 {
        self.jitter ^= self.jitter << 13;
        self.jitter ^= self.jitter >> 7;
        self.jitter ^= self.jitter << 17;
        f64::from(u32::try_from(self.jitter >> 32).unwrap_or(0)) / f64::from(u32::MAX)
    }
}

impl Connection {
    fn report(&mut self, now: Moment, notify: Duration) {
        self.awaited = Some(Awaited { tries: 1, repeat_at: now + ANSWER, covers: self.sent });
        self.uncovered_since = None;
        self.report_due = now + notify;
    }
}

#[cfg(test)]
mod tests;
