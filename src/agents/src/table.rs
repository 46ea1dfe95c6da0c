//! The agents, found by id or by the address from which they speak, in constant time.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::keyfile::{Agent, KeyFile};

/// All agents at one moment. Cheap to clone agents out of: they are shared.
#[derive(Debug, Clone, Default)]
pub struct Table {
    agents: Vec<Arc<Agent>>,
    by_id: HashMap<Box<[u8]>, usize>,
    by_address: HashMap<IpAddr, usize>,
}

impl Table {
    /// The agents of a file, the first `limit` of them.
    pub fn new(file: &KeyFile, limit: usize) -> Self {
        let agents: Vec<Arc<Agent>> = file.agents().take(limit).cloned().map(Arc::new).collect();
        let mut table = Self { agents, by_id: HashMap::new(), by_address: HashMap::new() };
        for (place, agent) in table.agents.iter().enumerate() {
            table.by_id.entry(agent.id.as_str().as_bytes().into()).or_insert(place);
            if let Some(base) = agent.address.base() {
                table.by_address.entry(base).or_insert(place);
            }
        }
        table
    }

    /// The agent with exactly these digits, wherever it speaks from.
    pub fn by_id(&self, id: &[u8]) -> Option<&Arc<Agent>> {
        self.by_id.get(id).and_then(|place| self.agents.get(*place))
    }

    /// The agent with these digits, if it may speak from there: the look-up of a datagram with an id.
    pub fn by_id_from(&self, id: &[u8], source: IpAddr) -> Option<&Arc<Agent>> {
        self.by_id(id).filter(|agent| agent.address.matches(source))
    }

    /// The agent with this address of its own: the look-up of a datagram without an id.
    pub fn by_source(&self, source: IpAddr) -> Option<&Arc<Agent>> {
        self.by_address.get(&source.to_canonical()).and_then(|place| self.agents.get(*place))
    }

    /// In the file's order.
    pub fn agents(&self) -> &[Arc<Agent>] {
        &self.agents
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.agents.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.agents.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(lines: &str) -> Table {
        Table::new(&KeyFile::parse(lines.as_bytes()), usize::MAX)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn agents_are_found_by_id_and_place() {
        let table = table(
            "001 web01 10.0.0.1 k\n002 dyn any k\n003 net 10.9.2.0/24 k\n004 six FD00:0::1 k\n005 no !10.0.0.9 k\n",
        );
        assert_eq!(table.by_id_from(b"001", ip("::ffff:10.0.0.1")).unwrap().name.as_str(), "web01");
        assert!(table.by_id_from(b"001", ip("10.0.0.2")).is_none());
        assert!(table.by_id(b"1").is_none() && table.by_id(b"").is_none());
        assert_eq!(table.by_source(ip("10.9.2.0")).unwrap().id.as_str(), "003");
        assert!(table.by_source(ip("10.9.2.1")).is_none());
        assert_eq!(table.by_source(ip("fd00::1")).unwrap().id.as_str(), "004");
        assert!(table.by_source(ip("10.0.0.9")).is_none());
        assert_eq!(table.len(), 5);
    }

    #[test]
    fn of_two_with_one_id_or_address_the_first_counts() {
        let table = table("001 a1 10.0.0.1 k\n001 a2 10.0.0.2 k\n002 a3 10.0.0.1 k\n");
        assert_eq!(table.by_id(b"001").unwrap().name.as_str(), "a1");
        assert_eq!(table.by_source(ip("10.0.0.1")).unwrap().name.as_str(), "a1");
        assert!(table.by_source(ip("10.0.0.2")).is_none());
    }

    #[test]
    fn the_limit_cuts_the_rest() {
        let file = KeyFile::parse(b"001 a1 any k\n002 a2 any k\n");
        assert!(Table::new(&file, 1).by_id(b"002").is_none());
    }
}
