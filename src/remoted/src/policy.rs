//! What the configuration says that may change while the daemon runs: who may speak, names, time.

use std::io;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use agents::Address;
use runtime::Failure;
use settings::{Connection, Remote, Severity};

use crate::syslog::{Access, addresses, is_listed};

/// All of it.
#[derive(Debug, Default)]
pub struct Policy {
    /// Who may send syslog.
    pub syslog: Access,
    /// From where agents may speak.
    pub agents: Guests,
    /// What is done about names.
    pub names: Naming,
    /// After so much silence an agent is reported.
    pub time_limit: Option<Duration>,
}

/// From where agents may speak, before anything else is looked at.
#[derive(Debug, Default)]
pub struct Guests {
    denied: Vec<Address>,
    allowed: Vec<Address>,
}

impl Guests {
    /// Whether datagrams from there are looked at. Without a list everybody's are: agents prove who they are.
    pub fn allows(&self, source: IpAddr) -> bool {
        (self.denied.is_empty() || !is_listed(&self.denied, source))
            && (self.allowed.is_empty() || is_listed(&self.allowed, source))
    }
}

/// What is done about names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Naming {
    /// Agents' names must lead to their addresses and back.
    pub is_checked: bool,
    /// How bad it is when they don't.
    pub severity: Severity,
    /// Addresses are trusted as seen: their names are only noted.
    pub is_from_accept: bool,
}

impl Default for Naming {
    fn default() -> Self {
        Self { is_checked: false, severity: Severity::Crit, is_from_accept: false }
    }
}

impl Policy {
    /// From the blocks of the configuration; of what only one can say, the last one counts.
    ///
    /// # Errors
    /// 1237 for what is no address form; 1501 when there is syslog and nobody may send.
    pub fn of(remotes: &[Remote]) -> Result<Self, Failure> {
        let mut agents = Guests::default();
        for remote in remotes.iter().filter(|remote| remote.connection == Connection::Secure) {
            agents.denied.extend(addresses(&remote.denied_ips)?);
            agents.allowed.extend(addresses(&remote.allowed_ips)?);
        }
        let last = Naming::default();
        let names = Naming {
            is_checked: said(remotes, |remote| remote.check_names).unwrap_or(last.is_checked),
            severity: said(remotes, |remote| remote.lookup_severity).unwrap_or(last.severity),
            is_from_accept: said(remotes, |remote| remote.client_from_accept)
                .unwrap_or(last.is_from_accept),
        };
        let time_limit = said(remotes, |remote| remote.client_time_limit)
            .filter(|&seconds| seconds > 0)
            .map(Duration::from_secs);
        Ok(Self { syslog: Access::of(remotes)?, agents, names, time_limit })
    }
}

fn said<T>(remotes: &[Remote], what: impl Fn(&Remote) -> Option<T>) -> Option<T> {
    remotes.iter().rev().find_map(what)
}

/// A file as it was seen last, to notice that it was replaced or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    inode: u64,
    len: u64,
    modified: (i64, i64),
}

impl Seen {
    /// As it is now.
    ///
    /// # Errors
    /// It can't be looked at.
    pub fn of(path: &Path) -> io::Result<Self> {
        let data = std::fs::metadata(path)?;
        let modified = (data.mtime(), data.mtime_nsec());
        Ok(Self { inode: data.ino(), len: data.len(), modified })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(text: &str) -> Policy {
        let text = format!("<ossec_config>{text}</ossec_config>");
        let settings = settings::parse(text.as_bytes(), Path::new("ossec.conf")).unwrap();
        Policy::of(&settings.remotes).unwrap()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn agents_may_speak_from_everywhere_unless_a_list_of_theirs_says_otherwise() {
        let open = policy(
            "<remote><connection>secure</connection></remote>\
             <remote><connection>syslog</connection><allowed-ips>10.0.0.1</allowed-ips></remote>",
        );
        assert!(open.agents.allows(ip("192.0.2.1")) && !open.syslog.allows(ip("192.0.2.1")));
        let closed = policy(
            "<remote><connection>secure</connection><allowed-ips>10.0.0.0/8</allowed-ips>\
             <denied-ips>10.9.9.9</denied-ips></remote>",
        );
        assert!(closed.agents.allows(ip("10.0.0.1")));
        assert!(!closed.agents.allows(ip("10.9.9.9")) && !closed.agents.allows(ip("192.0.2.1")));
        let denied =
            policy("<remote><connection>secure</connection><denied-ips>::1</denied-ips></remote>");
        assert!(denied.agents.allows(ip("10.9.9.9")) && !denied.agents.allows(ip("::1")));
    }

    #[test]
    fn the_last_block_that_says_something_counts() {
        let read = policy(
            "<remote><connection>secure</connection><check_names>yes</check_names><lookup_severity>warn</lookup_severity></remote>\
             <remote><connection>secure</connection><port>1515</port><client_time_limit>60</client_time_limit></remote>",
        );
        let naming = Naming { is_checked: true, severity: Severity::Warn, is_from_accept: false };
        assert_eq!(read.names, naming);
        assert_eq!(read.time_limit, Some(Duration::from_secs(60)));
        assert_eq!(
            policy("<remote><connection>secure</connection></remote>").names,
            Naming::default()
        );
    }
}
