//! What an operator reads about a refused datagram: the line that OSSEC writes, and what to do.

use std::io;
use std::net::SocketAddr;

use agents::counters::RIDS;
use wire::counter::Counter;
use wire::datagram::{Peer, Rejection};
use wire::key::Method;

use crate::agents_table::{Cause, Entry};
use crate::intake::source;

/// All that is known about a refused datagram.
#[derive(Debug)]
pub struct Case<'a> {
    /// Why.
    pub cause: Cause,
    /// Where it came from.
    pub from: SocketAddr,
    /// The id that it bore, as it came.
    pub id: &'a [u8],
    /// In whose name, if there is such an agent.
    pub entry: Option<&'a Entry>,
    /// The number that it bore, once it was opened.
    pub counter: Option<Counter>,
    /// The last number that was accepted of this agent.
    pub last: Option<Counter>,
}

impl Case<'_> {
    /// The line of the log, with its number in front.
    pub fn line(&self) -> String {
        let source = source(self.from).to_string();
        let rejection = match self.cause {
            Cause::Rejected(rejection) => rejection,
            Cause::Unnumbered(error) => {
                let id = self.entry.map_or("", |entry| entry.agent.id.as_str());
                let error = runtime::errno(&io::Error::from_raw_os_error(error));
                return format!("(1103) Could not open file '{RIDS}/{id}' due to [{error}].");
            }
            Cause::Denied => return format!("Refused connection from {source}"),
            Cause::Policy(method) => {
                let only = match method {
                    Method::Aes => Method::Blowfish,
                    Method::Blowfish => Method::Aes,
                };
                // As the socket shows the address, so that tools find the line as it was.
                return format!(
                    "Rejected {} message from {} (Policy: {} only)",
                    method.title(),
                    self.from.ip(),
                    only.title()
                );
            }
        };
        let digits = String::from_utf8_lossy(self.id);
        let mut peer = Peer { source: &source, id: &digits, name: "", ip: "" };
        if let Some(entry) = self.entry {
            peer.id = entry.agent.id.as_str();
            peer.name = entry.agent.name.kept();
            peer.ip = entry.agent.address.stored();
        }
        rejection.describe(&peer).to_string()
    }

    /// What stands behind it and what to do, as a line of its own.
    pub fn remedy(&self) -> String {
        let source = source(self.from);
        let who = match self.entry {
            Some(Entry { agent, .. }) => {
                format!("agent {} '{}' ({})", agent.id, agent.name, agent.address)
            }
            None if self.id.is_empty() => "no agent".to_owned(),
            None => format!("id {}", String::from_utf8_lossy(self.id)),
        };
        let why = match self.cause {
            Cause::Denied => {
                return format!(
                    "{who}: the lists of the <remote> for agents do not let {source} speak; change <allowed-ips> or <denied-ips> there, they are read again at once."
                );
            }
            Cause::Policy(method) => {
                let name = method.name();
                return format!(
                    "{who}: sends by {name} from {source}, which <crypto_accept> does not take, or <pin_crypto> not from it. Set <crypto_method> in its <client>, let <crypto_accept> take {name}; for an \
                     agent that changed it on purpose, remove its file in queue/agent-info and restart ossec-remoted."
                );
            }
            Cause::Unnumbered(_) => {
                return format!(
                    "{who}: without its numbers its messages could be replays. It is not heard until ossec-remoted's user can read and write {RIDS}."
                );
            }
            Cause::Rejected(why) => why,
        };
        let advice = match why {
            Rejection::UnknownAddress => {
                "no entry of client.keys has this address of its own. Add the agent with manage_agents; if it is behind another address than its entry says, give it the address 'any' or a network"
            }
            Rejection::UnknownId => {
                "no entry of client.keys with this id may speak from this address: the agent was removed, or it moved. Compare its client.keys with 'manage_agents -l'"
            }
            Rejection::Undecipherable | Rejection::Unmarked | Rejection::Obsolete => {
                "the key of the agent is another one than here, or another host uses its address. Extract the key here (manage_agents -e), import it there (manage_agents -i), restart the agent"
            }
            Rejection::Repeated | Rejection::Backwards => return self.stale(&who),
            Rejection::UnclosedId | Rejection::NoToken => {
                "not an agent's datagram; something else sends to this port"
            }
            Rejection::Uncompressible
            | Rejection::NoChecksum
            | Rejection::Checksum
            | Rejection::Header => {
                "the key seems right but the message is damaged: another key with bad luck, or a fault on the way"
            }
        };
        format!("{who}, from {source}: {advice}.")
    }

    fn stale(&self, who: &str) -> String {
        let source = source(self.from);
        let counter = |counter: Option<Counter>| counter.unwrap_or_default();
        let (came, last) = (counter(self.counter), counter(self.last));
        let elsewhere =
            self.entry.and_then(|entry| entry.known.heard_from).map(crate::intake::source);
        let cause = match elsewhere {
            Some(place) if place != source => format!(
                "a message with a higher number came from {place} before: two hosts use one key (a clone?), or somebody replays"
            ),
            _ => "the datagram was late or repeated on the way; if all are refused, the agent was restored from an older image, \
                  or its queue/rids was emptied"
                .to_owned(),
        };
        let id = self.entry.map_or("<id>", |entry| entry.agent.id.as_str());
        format!(
            "{who}, from {source}: number {came} is not above {last}: {cause}. An agent of ours finds its way back by itself. A clone needs an \
             agent of its own; for a restored one of OSSEC: 'manage-agents --reset-counter {id}' here, then restart it."
        )
    }
}

#[cfg(test)]
mod tests {
    use agents::{KeyFile, Table};

    use super::*;
    use crate::agents_table::AgentsTable;

    #[test]
    fn a_clone_is_named_as_such() {
        let mut table = AgentsTable::default();
        table.update(&Table::new(&KeyFile::parse(b"001 web01 any k\n"), 9));
        let slot = table.by_id(b"001").unwrap();
        table.entry_mut(slot).unwrap().known.heard_from = Some("10.0.0.1:5".parse().unwrap());
        let case = Case {
            cause: Cause::Rejected(Rejection::Repeated),
            from: "[::ffff:10.0.0.2]:9".parse().unwrap(),
            id: b"001",
            entry: table.entry(slot),
            counter: Counter::parse(b"5:1:"),
            last: Counter::parse(b"5:9:"),
        };
        assert_eq!(case.line(), "(1407) Duplicated counter for 'web01'.");
        let remedy = case.remedy();
        assert!(remedy.contains("from 10.0.0.2: number 5:1: is not above 5:9:"), "{remedy}");
        assert!(remedy.contains("came from 10.0.0.1 before: two hosts use one key"), "{remedy}");
    }

    #[test]
    fn an_unknown_sender_is_told_from_a_wrong_cipher() {
        let from = "10.0.0.2:9".parse().unwrap();
        let case = |cause, id| Case { cause, from, id, entry: None, counter: None, last: None };
        let unknown = case(Cause::Rejected(Rejection::UnknownId), &b"77"[..]);
        assert_eq!(unknown.line(), "(1408) Invalid ID 77 for the source ip: '10.0.0.2'.");
        let policy = case(Cause::Policy(Method::Blowfish), &b""[..]);
        assert_eq!(policy.line(), "Rejected Blowfish message from 10.0.0.2 (Policy: AES only)");
    }
}
