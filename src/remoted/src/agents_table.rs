//! The agents of this moment: who a datagram is from, with which cipher to open it, and what is known of each.
//!
//! Pure: no socket, file or clock. A new reading of client.keys replaces the list; agents whose line is the same keep
//! what is known of them.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use agents::{Agent, AgentId, Table};
use wire::datagram::{Accept, Addressed, Rejection, Sealed};
use wire::key::{AgentCipher, Method};
use wire::ours::Mark;

/// Nothing is sent to an agent that has been silent for longer: two periods of keepalives.
pub const REPLY_TIME: Duration = Duration::from_secs(1200);

/// Place of an agent in the table, valid until the next [`AgentsTable::update`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Slot(usize);

impl Slot {
    /// Its place among the agents of client.keys, from 0.
    pub fn place(self) -> usize {
        self.0
    }
}

/// All agents.
#[derive(Debug, Default)]
pub struct AgentsTable {
    entries: Vec<Entry>,
    by_id: HashMap<Box<[u8]>, usize>,
    by_source: HashMap<IpAddr, usize>,
    by_name: HashMap<Box<[u8]>, usize>,
}

/// One agent.
#[derive(Debug)]
pub struct Entry {
    /// Its line of client.keys.
    pub agent: Arc<Agent>,
    /// Its key schedules.
    pub cipher: AgentCipher,
    /// What was seen of it.
    pub known: Known,
}

/// What was seen of an agent since the start, or since its line was changed.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Messages accepted, control messages among them.
    pub accepted: u64,
    /// Datagrams in its name that were refused.
    pub refused: u64,
    /// Numbers that never came: lost on the way, or so late that they were refused.
    pub missing: u64,
    /// Numbers left out before a hello: an agent that was killed goes on behind what it may have used.
    pub skipped: u64,
    /// Where the last accepted message came from.
    pub heard_from: Option<SocketAddr>,
    /// When.
    pub heard_at: Option<SystemTime>,
    /// How to answer.
    pub reply: Option<Reply>,
    /// First line of the last keepalive.
    pub uname: Vec<u8>,
    /// Method of the last keepalive.
    pub method: Option<Method>,
    /// What an agent of ours said about itself in the last keepalive.
    pub mark: Option<Mark>,
}

/// How to reach an agent; from its last control message only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reply {
    /// As the socket gave it (mapped addresses stay mapped).
    pub address: SocketAddr,
    /// Which of our sockets it spoke to.
    pub door: usize,
    /// Its cipher: that of an authentic message.
    pub method: Method,
    /// When it spoke.
    pub at: Instant,
}

/// Why a datagram goes no further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// In whose name it came, if that much is known. Nobody has proved anything.
    pub slot: Option<Slot>,
    /// Why.
    pub cause: Cause,
}

/// The causes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// One of the wire's reasons.
    Rejected(Rejection),
    /// A cipher that the configuration does not take.
    Policy(Method),
    /// An address from which agents may not speak.
    Denied,
    /// Authentic, but the file of the agent's numbers can't be read (the system's error): it could be a replay.
    Unnumbered(i32),
}

impl AgentsTable {
    /// Takes over another reading of client.keys.
    pub fn update(&mut self, table: &Table) {
        let old = std::mem::take(&mut self.entries);
        let mut old: HashMap<AgentId, Entry> =
            old.into_iter().map(|entry| (entry.agent.id.clone(), entry)).collect();
        let entries: Vec<Entry> = table
            .agents()
            .iter()
            .map(|agent| match old.remove(&agent.id) {
                Some(entry) if entry.agent == *agent => entry,
                _ => Entry::new(Arc::clone(agent)),
            })
            .collect();
        self.by_id.clear();
        self.by_source.clear();
        self.by_name.clear();
        for (place, Entry { agent, .. }) in entries.iter().enumerate() {
            self.by_id.entry(agent.id.as_str().as_bytes().into()).or_insert(place);
            self.by_name.entry(agent.name.kept().as_bytes().into()).or_insert(place);
            if let Some(base) = agent.address.base() {
                self.by_source.entry(base).or_insert(place);
            }
        }
        self.entries = entries;
    }

    /// First step with a datagram: in whose name it is, and whether its form and method can be right.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn attribute<'a>(
        &self,
        datagram: &'a [u8],
        source: IpAddr,
        accept: Accept,
    ) -> Result<(Slot, Sealed<'a>), Refused> {
        let Addressed { id, rest } =
            Addressed::parse(datagram).map_err(|why| Refused::new(None, why))?;
        let found = match id {
            Some(id) => self
                .by_id(id)
                .filter(|slot| {
                    self.entry(*slot).is_some_and(|entry| entry.agent.address.matches(source))
                })
                .ok_or(Rejection::UnknownId),
            None => self.by_source(source).ok_or(Rejection::UnknownAddress),
        };
        let slot = found.map_err(|why| Refused::new(None, why))?;
        let sealed = Sealed::parse(rest).map_err(|why| Refused::new(Some(slot), why))?;
        if accept.takes(sealed.method) {
            Ok((slot, sealed))
        } else {
            Err(Refused { slot: Some(slot), cause: Cause::Policy(sealed.method) })
        }
    }

    /// The agent with exactly these digits.
    pub fn by_id(&self, id: &[u8]) -> Option<Slot> {
        self.by_id.get(id).copied().map(Slot)
    }

    /// The agent of this name.
    pub fn by_name(&self, name: &[u8]) -> Option<Slot> {
        self.by_name.get(name).copied().map(Slot)
    }

    /// The agent whose own address this is.
    pub fn by_source(&self, source: IpAddr) -> Option<Slot> {
        self.by_source.get(&source.to_canonical()).copied().map(Slot)
    }

    /// An agent.
    pub fn entry(&self, slot: Slot) -> Option<&Entry> {
        self.entries.get(slot.0)
    }

    /// An agent, to note something.
    pub fn entry_mut(&mut self, slot: Slot) -> Option<&mut Entry> {
        self.entries.get_mut(slot.0)
    }

    /// All of them, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// All of them, to note something.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.entries.iter_mut()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl Entry {
    fn new(agent: Arc<Agent>) -> Self {
        let (id, name) = (agent.id.as_str().as_bytes(), agent.name.kept().as_bytes());
        let cipher = AgentCipher::new(id, name, agent.key.kept());
        Self { agent, cipher, known: Known::default() }
    }
}

impl Known {
    /// Notes an authentic message; `gap` numbers were missing before it.
    pub fn hear(&mut self, from: SocketAddr, at: SystemTime, gap: u64, is_hello: bool) {
        self.accepted += 1;
        self.heard_from = Some(from);
        self.heard_at = Some(at);
        if is_hello {
            self.skipped += gap;
        } else {
            self.missing += gap;
        }
    }

    /// How to answer, if it spoke lately.
    pub fn reply_at(&self, now: Instant) -> Option<Reply> {
        self.reply.filter(|reply| now.saturating_duration_since(reply.at) <= REPLY_TIME)
    }
}

impl Refused {
    /// For one of the wire's reasons.
    pub fn new(slot: Option<Slot>, rejection: Rejection) -> Self {
        Self { slot, cause: Cause::Rejected(rejection) }
    }
}

#[cfg(test)]
mod tests {
    use agents::KeyFile;

    use super::*;

    const LINES: &str = "001 web01 10.9.1.11 k\n002 dyn any k\n003 net 10.9.2.0/24 k\n";

    fn read(lines: &str) -> Table {
        Table::new(&KeyFile::parse(lines.as_bytes()), usize::MAX)
    }

    fn table(lines: &str) -> AgentsTable {
        let mut table = AgentsTable::default();
        table.update(&read(lines));
        table
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_datagram_is_its_ids_or_its_sources() {
        let table = table(LINES);
        let of = |datagram: &[u8], source| {
            let (slot, _) = table.attribute(datagram, ip(source), Accept::Both)?;
            Ok(table.entry(slot).unwrap().agent.id.to_string())
        };
        assert_eq!(of(b"!002!:x", "192.0.2.1"), Ok("002".to_owned()));
        assert_eq!(of(b":x", "::ffff:10.9.1.11"), Ok("001".to_owned()));
        assert_eq!(of(b"!003!:x", "10.9.2.9"), Ok("003".to_owned()));
        let refused = |why| Err(Refused::new(None, why));
        assert_eq!(of(b"!003!:x", "10.9.3.9"), refused(Rejection::UnknownId));
        assert_eq!(of(b"!2!:x", "10.9.3.9"), refused(Rejection::UnknownId));
        assert_eq!(of(b":x", "10.9.3.9"), refused(Rejection::UnknownAddress));
        assert_eq!(of(b"!00", "10.9.3.9"), refused(Rejection::UnclosedId));
    }

    #[test]
    fn a_cipher_that_is_not_taken_is_refused_before_it_is_opened() {
        let table = table(LINES);
        let refused = table.attribute(b"!002!:x", ip("10.0.0.1"), Accept::Aes).unwrap_err();
        assert_eq!(refused.cause, Cause::Policy(Method::Blowfish));
    }

    #[test]
    fn another_reading_keeps_what_is_known_of_unchanged_agents_only() {
        let mut table = table(LINES);
        for id in [&b"001"[..], b"002", b"003"] {
            let slot = table.by_id(id).unwrap();
            table.entry_mut(slot).unwrap().known.accepted = 7;
        }
        table.update(&read("003 net 10.9.2.0/24 k\n002 dyn any j\n004 new any k\n"));
        let accepted =
            |id: &[u8]| table.by_id(id).map(|slot| table.entry(slot).unwrap().known.accepted);
        assert_eq!(accepted(b"003"), Some(7));
        assert_eq!(accepted(b"002"), Some(0));
        assert_eq!(accepted(b"004"), Some(0));
        assert_eq!(accepted(b"001"), None);
        assert_eq!(table.by_source(ip("10.9.1.11")), None);
        assert_eq!(table.by_name(b"web01"), None);
    }

    #[test]
    fn gaps_before_a_hello_are_no_loss() {
        let mut known = Known::default();
        let from = "10.0.0.1:5000".parse().unwrap();
        known.hear(from, SystemTime::UNIX_EPOCH, 1000, true);
        known.hear(from, SystemTime::UNIX_EPOCH, 3, false);
        assert_eq!((known.accepted, known.skipped, known.missing), (2, 1000, 3));
    }
}
