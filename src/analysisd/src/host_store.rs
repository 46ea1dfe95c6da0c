//! The manager's memory of hosts' open ports: `queue/fts/hostinfo`, a line `<ip><ports>` for each state seen.
//!
//! Messages read `Host: <ip>[ (name)], <ports>`; the ports keep the blank in front of them.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::output::daily::WriteError;
use crate::world::append;

/// States remembered; further ones are reported each time.
const MAX_STATES: usize = 200_000;

/// What a message says that was not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HostNews {
    /// A host that was never seen.
    New,
    /// Ports that this host never had.
    Modified,
}

/// All hosts.
#[derive(Debug)]
pub(crate) struct HostStore {
    path: PathBuf,
    /// For each address the port texts seen.
    known: HashMap<Vec<u8>, Vec<Vec<u8>>>,
    states: usize,
    waiting: Vec<u8>,
}

impl HostStore {
    /// Reads the file, if there is one.
    pub(crate) fn open(path: &Path) -> Self {
        let mut store =
            Self { path: path.to_owned(), known: HashMap::new(), states: 0, waiting: Vec::new() };
        for line in fs::read(path)
            .unwrap_or_default()
            .split(|&b| b == b'\n')
            .filter(|line| !line.is_empty())
        {
            let end = line.iter().position(|&b| b == b' ').unwrap_or(line.len());
            store.remember(&line[..end], &line[end..]);
        }
        store
    }

    /// Takes one message; `None` when it says nothing new.
    ///
    /// # Errors
    /// Why it is not such a message.
    pub(crate) fn process(&mut self, message: &[u8]) -> Result<Option<HostNews>, &'static str> {
        let rest = message.strip_prefix(b"Host: ").ok_or("a host message begins with 'Host: '")?;
        let end = rest
            .iter()
            .position(|&b| b == b' ' || b == b',')
            .ok_or("a host message has a comma behind the address")?;
        let comma = rest
            .iter()
            .position(|&b| b == b',')
            .ok_or("a host message has a comma behind the address")?;
        let (address, ports) = (&rest[..end], &rest[comma + 1..]);
        let ports: Vec<u8> = ports.iter().copied().filter(|b| !b.is_ascii_control()).collect();
        let seen = self.known.get(address);
        if seen.is_some_and(|states| states.contains(&ports)) {
            return Ok(None);
        }
        let news = if seen.is_some() { HostNews::Modified } else { HostNews::New };
        if self.states < MAX_STATES {
            self.waiting.extend([address, &ports, b"\n"].concat());
            self.remember(address, &ports);
        }
        Ok(Some(news))
    }

    /// Writes what was remembered.
    ///
    /// # Errors
    /// Names the file; what could not be written waits on.
    pub(crate) fn flush(&mut self) -> Result<(), WriteError> {
        append(&self.path, &mut self.waiting)
    }

    fn remember(&mut self, address: &[u8], ports: &[u8]) {
        self.states += 1;
        self.known.entry(address.to_vec()).or_default().push(ports.to_vec());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_new_once_and_its_ports_are_news_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hostinfo");
        let mut store = HostStore::open(&path);
        assert_eq!(
            store.process(b"Host: 192.0.2.1 (web), open ports: 22(tcp)"),
            Ok(Some(HostNews::New))
        );
        assert_eq!(store.process(b"Host: 192.0.2.1, open ports: 22(tcp)"), Ok(None));
        assert_eq!(
            store.process(b"Host: 192.0.2.1, open ports: 80(tcp)"),
            Ok(Some(HostNews::Modified))
        );
        store.flush().unwrap();
        assert_eq!(
            fs::read(&path).unwrap(),
            b"192.0.2.1 open ports: 22(tcp)\n192.0.2.1 open ports: 80(tcp)\n"
        );
        let mut store = HostStore::open(&path);
        assert_eq!(store.process(b"Host: 192.0.2.1, open ports: 22(tcp)"), Ok(None));
        assert!(store.process(b"Hos").is_err());
        assert!(store.process(b"Host: 1").is_err());
    }
}
