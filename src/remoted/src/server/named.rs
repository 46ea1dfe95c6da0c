//! Names of agents and of strangers: what is asked, and what the answers come to. See [`crate::names`], [`crate::lookups`].

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use agents::AgentId;
use settings::Severity;
use wire::datagram::Rejection;

use super::Server;
use crate::agents_table::{Cause, Refused, Slot};
use crate::intake::source;
use crate::lookups::{Answer, Question};
use crate::names::Mismatch;

impl Server {
    /// With a control message: does the agent's name lead to its address?
    pub(super) fn look_up(&mut self, slot: Slot, from: SocketAddr, now: Instant) {
        let naming = self.naming;
        if !naming.is_checked && !naming.is_from_accept {
            return;
        }
        let (Some(lookups), Some(entry)) = (&mut self.lookups, self.table.entry(slot)) else {
            return;
        };
        let (id, peer) = (entry.agent.id.clone(), source(from));
        lookups.ask(
            if naming.is_from_accept {
                Question::Seen(id, peer)
            } else {
                Question::Agent(id, entry.agent.name.to_string(), peer)
            },
            now,
        );
    }

    /// Whom no key fits: what is its host called?
    pub(super) fn look_up_stranger(&mut self, refused: Refused, id: &[u8], from: SocketAddr) {
        let id = String::from_utf8_lossy(id);
        let why = match refused.cause {
            Cause::Denied => "Refused connection".to_owned(),
            Cause::Rejected(Rejection::UnknownAddress) => "Not in client list".to_owned(),
            Cause::Rejected(Rejection::UnknownId) => format!("Not in client list (id {id})"),
            Cause::Rejected(
                Rejection::Undecipherable | Rejection::Unmarked | Rejection::Obsolete,
            ) => {
                let entry = refused.slot.and_then(|slot| self.table.entry(slot));
                let id = entry.map_or("", |entry| entry.agent.id.as_str());
                format!("Not in client list (its key is not that of agent {id})")
            }
            _ => return,
        };
        if let Some(lookups) = &mut self.lookups {
            lookups.ask(Question::Stranger(source(from), why), Instant::now());
        }
    }

    /// Once a second: what the name service has said.
    pub(super) fn hear_names(&mut self, now: Instant) {
        let Some(lookups) = &mut self.lookups else { return };
        lookups.tidy(now);
        for answer in lookups.answers() {
            match answer {
                Answer::Agent(id, peer, found) => {
                    found.iter().for_each(|mismatch| self.mismatched(&id, peer, mismatch));
                }
                Answer::Seen(id, peer, name) => {
                    if let Some(entry) = self.entry_of(&id) {
                        log::info!(
                            "Agent {id} '{}' speaks from {peer} ({name}).",
                            entry.agent.name
                        );
                    }
                }
                Answer::Stranger(peer, name, why) => self.stranger(peer, &name, &why),
            }
        }
    }

    fn mismatched(&mut self, id: &AgentId, peer: IpAddr, mismatch: &Mismatch) {
        let severity = self.naming.severity;
        let Some(entry) = self.entry_of(id).filter(|_| severity > Severity::None) else { return };
        let (name, who) = (entry.agent.name.to_string(), entry.agent.file_name());
        let line = format!("{mismatch}: agent {id} '{name}' at {peer}: {}.", mismatch.remedy());
        match severity {
            Severity::None => {}
            Severity::Debug => log::debug!("{line}"),
            Severity::Info | Severity::Notice => log::info!("{line}"),
            Severity::Warn => log::warn!("{line}"),
            Severity::Err | Severity::Crit => log::error!("{line}"),
        }
        if severity > Severity::Debug {
            let severity = severity.as_str();
            self.tell(
                &who,
                &format!("ossec: Agent name: '{name}' (id {id}) at {peer}: {mismatch}, severity {severity}"),
            );
        }
    }

    fn stranger(&mut self, peer: IpAddr, name: &str, why: &str) {
        let line = match why {
            "Refused connection" => format!("Refused connection from {name} ({peer})"),
            why => format!("Invalid connection attempt: {why}: '{name}' at {peer}"),
        };
        log::warn!("{line}.");
        // Anybody can send datagrams: alerts of them are for who wants to know about names.
        if !self.naming.is_checked {
            return;
        }
        self.tell(&peer.to_string(), &format!("ossec: Sender refused: '{name}' at {peer}: {why}."));
    }
}
