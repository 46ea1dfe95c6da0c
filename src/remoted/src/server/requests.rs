//! Requests on `queue/alerts/ar`: active responses from analysisd, scans and restarts from agent_control.

use std::io;
use std::time::Instant;

use runtime::errno;
use wire::control::syscheck_request;
use wire::response::{Recipient, Request};

use super::Server;
use crate::agents_table::Entry;
use crate::post::Sent;

/// Requests that are taken in a row.
const REQUESTS: usize = 64;

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
            Recipient::All => {
                for entry in self.table.iter().filter(|entry| may_ask(entry, &request)) {
                    let sent = self.post.send(&self.doors.agents, entry, request.message(), now);
                    self.requests_sent += u64::from(sent == Sent::Yes);
                }
                return;
            }
            Recipient::Name(name) => self.table.by_name(name),
            Recipient::Id(id) => self.table.by_id(id),
        };
        let Some(entry) = slot.and_then(|slot| self.table.entry(slot)) else {
            if let Recipient::Name(name) | Recipient::Id(name) = request.recipient {
                log::error!("(1320) Agent '{}' not found.", name.escape_ascii());
            }
            return;
        };
        if !may_ask(entry, &request) {
            return;
        }
        let id = &entry.agent.id;
        match self.post.send(&self.doors.agents, entry, request.message(), now) {
            Sent::Yes => self.requests_sent += 1,
            Sent::Silent => log::warn!(
                "Agent {id} has not spoken for 20 minutes: '{}' was not sent to it.",
                request.rest.escape_ascii()
            ),
            Sent::Later => {
                log::error!("(1218) Unable to send message to '{id}'. The socket is full.")
            }
            Sent::Failed => {}
        }
    }
}

/// An agent of OSSEC would complain about questions that it does not know.
fn may_ask(entry: &Entry, request: &Request<'_>) -> bool {
    let only_ours = request.plain && syscheck_request(request.rest).is_some();
    !only_ours || entry.known.mark.is_some()
}
