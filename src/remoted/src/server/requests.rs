//! Requests on `queue/alerts/ar`: active responses from analysisd, scans and restarts from agent_control.

use std::io;
use std::time::Instant;

use agents::AgentId;
use runtime::errno;
use wire::control::syscheck_request;
use wire::ours::State;
use wire::response::{Recipient, Request};

use super::Server;
use crate::agents_table::Entry;
use crate::orders::{Fate, PATIENCE};
use crate::post::Sent;

/// Requests that are taken in a row.
const REQUESTS: usize = 64;
/// Agents that a line of the log names.
const NAMED: usize = 10;

impl Server {
    pub(super) fn read_requests(&mut self, now: Instant) {
        for _ in 0..REQUESTS {
            let mut buffer = [0; wire::response::MAX_REQUEST];
            match self.requests.recv(&mut buffer) {
                Ok(len) => self.request(buffer.get(..len).unwrap_or_default(), now),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    log::warn!(
                        "(1214) Problem receiving message from '{}'. [{}]",
                        crate::REQUESTS,
                        errno(&error)
                    );
                    return;
                }
            }
        }
    }

    fn request(&mut self, datagram: &[u8], now: Instant) {
        let Ok(request) = Request::parse(datagram) else {
            log::warn!(
                "(1310) Invalid active response (execd) message '{}'.",
                datagram.escape_ascii()
            );
            return;
        };
        let slot = match request.recipient {
            Recipient::Nobody => return,
            Recipient::All => return self.order_all(&request, now),
            Recipient::Name(name) => self.table.by_name(name),
            Recipient::Id(id) => self.table.by_id(id),
        };
        let Some(entry) = slot.and_then(|slot| self.table.entry(slot)) else {
            if let Recipient::Name(name) | Recipient::Id(name) = request.recipient {
                log::error!("(1320) Agent '{}' not found.", name.escape_ascii());
            }
            return;
        };
        let id = entry.agent.id.clone();
        if self.order(&id, &request, now) == Fate::Waits {
            log::warn!(
                "Agent {id} cannot be reached now: '{}' is kept for it for {} minutes.",
                request.rest.escape_ascii(),
                PATIENCE.as_secs() / 60
            );
            self.keep_order(&id, &request, now);
        }
    }

    fn order_all(&mut self, request: &Request<'_>, now: Instant) {
        let all: Vec<AgentId> = self.table.iter().map(|entry| entry.agent.id.clone()).collect();
        let away: Vec<AgentId> =
            all.into_iter().filter(|id| self.order(id, request, now) == Fate::Waits).collect();
        if away.is_empty() {
            return;
        }
        log::warn!(
            "{} agents cannot be reached now: '{}' is kept for them for {} minutes.",
            away.len(),
            request.rest.escape_ascii(),
            PATIENCE.as_secs() / 60
        );
        for id in &away {
            self.keep_order(id, request, now);
        }
    }

    fn keep_order(&mut self, id: &AgentId, request: &Request<'_>, now: Instant) {
        if let Some(order) = self.orders.keep(id, request, now) {
            log::warn!("Too much waits for agent {id}: '{}' was given up.", order.text());
        }
    }

    /// Once a second: what waits for agents that have come.
    pub(super) fn turn_orders(&mut self, now: Instant) {
        let mut orders = std::mem::take(&mut self.orders);
        let given_up = orders.turn(now, |id, request| self.order(id, request, now));
        self.orders = orders;
        for (rest, agents) in given_up {
            let names: Vec<&str> = agents.iter().take(NAMED).map(AgentId::as_str).collect();
            let more = if agents.len() > NAMED { ", ..." } else { "" };
            log::warn!(
                "'{}' was given up for {} agents that could not be reached for {} minutes: {}{more}.",
                rest.escape_ascii(),
                agents.len(),
                PATIENCE.as_secs() / 60,
                names.join(", ")
            );
        }
    }

    /// Sends a request to an agent that is there to hear it.
    fn order(&mut self, id: &AgentId, request: &Request<'_>, now: Instant) -> Fate {
        let slot = self.table.by_id(id.as_str().as_bytes());
        let Some(entry) = slot.and_then(|slot| self.table.entry(slot)) else { return Fate::Over };
        match may_ask(entry, request) {
            Some(true) => {}
            Some(false) => return Fate::Over,
            None => return Fate::Waits,
        }
        match self.post.send(&self.doors.agents, entry, request.message(), now) {
            Sent::Yes => {
                self.requests_sent += 1;
                Fate::Over
            }
            Sent::Silent | Sent::Later => Fate::Waits,
            Sent::Failed => Fate::Over,
        }
    }
}

/// Whether an agent is to get a request: one of OSSEC would complain about questions that it does not know. `None`: it can't be told
/// yet. Who has said that it ends hears nothing before it has begun again, and whose it is stands in its first keepalive.
fn may_ask(entry: &Entry, request: &Request<'_>) -> Option<bool> {
    let known = &entry.known;
    let only_ours = request.plain && syscheck_request(request.rest).is_some();
    match known.mark {
        Some(mark) if mark.state == State::Exiting => None,
        None if only_ours && known.uname.is_empty() => None,
        mark => Some(!only_ours || mark.is_some()),
    }
}
