//! Whether an agent's name and its address belong together, by what the name service says both ways.
//!
//! The four messages are those of Samhain's server, so that what people know of them holds here, too.

use std::fmt;
use std::net::IpAddr;

/// What a name leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// The name as the name service spells it.
    pub canonical: String,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
}

/// A name service.
pub trait Names {
    /// Looks a name up.
    fn host(&self, name: &str) -> Option<Host>;
    /// The name of an address.
    fn name(&self, address: IpAddr) -> Option<String>;
    /// The name of this host.
    fn own(&self) -> String;
}

/// What does not belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mismatch {
    /// The agent's name leads nowhere.
    NoHost,
    /// The address has no name.
    NoPeer,
    /// The name of the address does not lead back to it.
    NotBack {
        /// That name.
        peer: String,
    },
    /// The name of the address is not the agent's.
    OtherName {
        /// That name.
        peer: String,
    },
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoHost => f.write_str("Cannot resolve client name"),
            Self::NoPeer => f.write_str("Cannot resolve socket peer IP for client"),
            Self::NotBack { peer } => {
                write!(f, "Reverse lookup of socket peer failed (peer {peer})")
            }
            Self::OtherName { peer } => {
                write!(f, "No socket peer alias matches client name (peer {peer})")
            }
        }
    }
}

impl Mismatch {
    /// What to do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::NoHost => {
                "give the name an address in DNS or /etc/hosts of this host, or name the agent as its host is called"
            }
            Self::NoPeer => "give the address a name in reverse DNS or /etc/hosts of this host",
            Self::NotBack { .. } => {
                "forward and reverse DNS of that name contradict each other; correct one of them"
            }
            Self::OtherName { .. } => {
                "the address belongs to a host of another name: the agent moved, is behind a translator, or another host has its key"
            }
        }
    }
}

/// Looks into an agent that calls itself `claimed` and speaks from `peer`. What can't be compared for lack of a name is not
/// complained about twice.
pub fn check(names: &impl Names, claimed: &str, peer: IpAddr) -> Vec<Mismatch> {
    let mut found = Vec::new();
    let canonical = canonical(names, claimed);
    if canonical.is_none() {
        found.push(Mismatch::NoHost);
    }
    let Some(peer_name) = name_of(names, peer) else {
        found.push(Mismatch::NoPeer);
        return found;
    };
    let peer_host = names.host(&peer_name);
    let leads_back = peer_host.as_ref().is_some_and(|host| host.addresses.contains(&peer));
    if !is_127(peer) && !leads_back {
        found.push(Mismatch::NotBack { peer: peer_name.clone() });
    }
    if let Some(canonical) = canonical {
        let aliases = peer_host.iter().flat_map(|host| {
            let first = host.addresses.first().map(IpAddr::to_string);
            first.into_iter().chain([host.canonical.clone()])
        });
        let is_alias =
            [peer_name.clone()].into_iter().chain(aliases).any(|alias| same(&alias, &canonical));
        if !is_alias {
            found.push(Mismatch::OtherName { peer: peer_name });
        }
    }
    found
}

/// What somebody at this address is called: its name, if that leads back to it, else the address.
pub fn as_seen(names: &impl Names, peer: IpAddr) -> String {
    let leads_back = |name: &String| {
        is_127(peer) || names.host(name).is_some_and(|host| host.addresses.contains(&peer))
    };
    name_of(names, peer).filter(leads_back).unwrap_or_else(|| peer.to_string())
}

/// The full name behind a claimed one.
fn canonical(names: &impl Names, claimed: &str) -> Option<String> {
    let host = names.host(claimed)?;
    if host.canonical.contains('.') {
        return Some(host.canonical);
    }
    // A short name: what its address is called.
    names.name(*host.addresses.first()?)
}

fn name_of(names: &impl Names, peer: IpAddr) -> Option<String> {
    let name = names.name(peer).filter(|name| is_plain(name))?;
    Some(if name == "localhost" { names.own() } else { name })
}

/// What a log line may hold: reverse DNS is the sender's to write.
fn is_plain(name: &str) -> bool {
    name.len() < 256 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

fn is_127(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(v4) if v4.is_loopback())
}

fn same(one: &str, other: &str) -> bool {
    one.trim_end_matches('.').eq_ignore_ascii_case(other.trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Name, canonical name, addresses; and the names of addresses.
    struct Book(
        &'static [(&'static str, &'static str, &'static str)],
        &'static [(&'static str, &'static str)],
    );

    impl Names for Book {
        fn host(&self, name: &str) -> Option<Host> {
            let (_, canonical, address) = self.0.iter().find(|(known, ..)| same(known, name))?;
            let addresses = vec![address.parse().unwrap()];
            Some(Host { canonical: (*canonical).to_owned(), addresses })
        }

        fn name(&self, address: IpAddr) -> Option<String> {
            let found = self.1.iter().find(|(known, _)| *known == address.to_string());
            found.map(|(_, name)| (*name).to_owned())
        }

        fn own(&self) -> String {
            "manager.lan".to_owned()
        }
    }

    const BOOK: Book = Book(
        &[
            ("web1", "web1.lan", "10.0.0.7"),
            ("web1.lan", "web1.lan", "10.0.0.7"),
            ("short", "short", "10.0.0.7"),
            ("liar.lan", "liar.lan", "10.0.0.9"),
            ("manager.lan", "manager.lan", "10.0.0.1"),
        ],
        &[
            ("10.0.0.7", "WEB1.lan"),
            ("10.0.0.8", "liar.lan"),
            ("10.0.0.9", "bad\nname"),
            ("127.0.0.1", "localhost"),
        ],
    );

    fn complaints(claimed: &str, peer: &str) -> Vec<String> {
        check(&BOOK, claimed, peer.parse().unwrap()).iter().map(Mismatch::to_string).collect()
    }

    #[test]
    fn a_name_that_leads_there_and_back_is_right_in_any_case() {
        assert_eq!(complaints("web1", "10.0.0.7"), [""; 0]);
        assert_eq!(complaints("short", "10.0.0.7"), [""; 0], "by the name of its address");
    }

    #[test]
    fn each_of_the_four_messages_has_its_case() {
        assert_eq!(complaints("nobody", "10.0.0.7"), ["Cannot resolve client name"]);
        assert_eq!(complaints("web1", "10.0.0.99"), ["Cannot resolve socket peer IP for client"]);
        assert_eq!(
            complaints("web1", "10.0.0.8"),
            [
                "Reverse lookup of socket peer failed (peer liar.lan)",
                "No socket peer alias matches client name (peer liar.lan)"
            ]
        );
        assert_eq!(
            complaints("web1", "127.0.0.1"),
            ["No socket peer alias matches client name (peer manager.lan)"]
        );
        assert_eq!(complaints("web1", "10.0.0.9"), ["Cannot resolve socket peer IP for client"]);
    }

    #[test]
    fn as_seen_is_a_name_only_if_it_leads_back() {
        let seen = |peer: &str| as_seen(&BOOK, peer.parse().unwrap());
        assert_eq!(seen("10.0.0.7"), "WEB1.lan");
        assert_eq!(seen("10.0.0.8"), "10.0.0.8");
        assert_eq!(seen("10.0.0.99"), "10.0.0.99");
        assert_eq!(seen("127.0.0.1"), "manager.lan");
    }
}
