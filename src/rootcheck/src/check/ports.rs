//! Ports that are in use, and that a table of the kernel does not show: a listener or a connection is hidden there.
//!
//! Three views: `/proc/net` (as netstat reads it), netlink (as ss does), and binding to each port that neither shows. For TCP with `SO_REUSEADDR`, so that
//! only a listener is in the way and a server that starts at this very moment is not disturbed. Ports come and go while one looks: what the views
//! do not agree on is looked at again, each table both before and after the others.

use std::collections::HashSet;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with, sockopt};

use crate::pace::Stopped;
use crate::scene::{Scene, whole};
use crate::sockets::{self, Ports};

/// Findings of one protocol after which one stops.
const TOO_MANY: usize = 20;
/// Looks at suspects before they are told.
const LOOKS: u32 = 3;
/// Between two of these looks.
const SETTLE: Duration = Duration::from_millis(100);
/// Ports looked at by the same tables: they are taken and left all the time, and a fresh table makes fewer suspects.
const BATCH: u16 = 4096;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Tcp,
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// How ports are looked at; tests have a way of their own.
pub(crate) trait Views {
    fn tables(&self, protocol: Protocol) -> Tables;
    fn is_taken(&self, protocol: Protocol, port: u16) -> Taken;
}

/// What the kernel shows of one protocol; `None` where it has no such table.
#[derive(Debug, Default, Clone)]
pub(crate) struct Tables {
    pub(crate) proc: Option<HashSet<u16>>,
    pub(crate) netlink: Option<Ports>,
}

/// What one look at a port says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    /// By all tables there are, or in a way that only one of them knows.
    Everywhere,
    Nowhere,
    ProcOnly,
    NetlinkOnly,
}

impl Tables {
    fn shown(&self, port: u16) -> Shown {
        let in_proc = self.proc.as_ref().map(|ports| ports.contains(&port));
        let in_netlink = self.netlink.as_ref().map(|ports| ports.used.contains(&port));
        let is_bound = self.netlink.as_ref().is_some_and(|ports| ports.bound.contains(&port));
        match (in_proc, in_netlink) {
            (Some(true), Some(false)) if !is_bound => Shown::ProcOnly,
            (Some(false), Some(true)) => Shown::NetlinkOnly,
            (Some(false) | None, Some(false) | None) if !is_bound => Shown::Nowhere,
            _ => Shown::Everywhere,
        }
    }
}

/// What trying a port says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    Yes,
    No,
    /// We may not try it.
    Denied,
}

/// The views of Linux.
pub(crate) struct Linux;

/// Looks at every port of this network namespace.
pub(crate) fn run(scene: &mut Scene<'_>, views: &dyn Views) -> Result<(), Stopped> {
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        let tables = views.tables(protocol);
        if tables.proc.is_none() && tables.netlink.is_none() {
            scene.say_once("No tables of ports here, neither in /proc/net nor by netlink: hidden ones are not looked for.");
            return Ok(());
        }
        if tables.netlink.is_none() {
            scene.say_once("No list of sockets by netlink here: hidden ports are looked for by /proc/net and by binding only.");
        }
        let mut found = 0;
        for first in (0..=u16::MAX).step_by(usize::from(BATCH)) {
            let ports = first.max(1)..=first | (BATCH - 1);
            let mut suspects = suspects(scene, views, protocol, ports)?;
            for _ in 0..LOOKS {
                if suspects.is_empty() {
                    break;
                }
                scene.pace.wait(SETTLE)?;
                stay_hidden(views, protocol, &mut suspects);
            }
            for (port, shown) in suspects {
                found += 1;
                if found > TOO_MANY {
                    break;
                }
                let by = match shown {
                    Shown::ProcOnly => " In /proc/net, but not shown by netlink.",
                    Shown::NetlinkOnly => " Shown by netlink, but not in /proc/net.",
                    Shown::Nowhere | Shown::Everywhere => "",
                };
                let text = format!(
                    "Port '{port}'({protocol}) hidden. Kernel-level rootkit or trojaned version of netstat.{by}"
                );
                scene.found(&[text.as_bytes()])?;
            }
            if found > TOO_MANY {
                let text = format!(
                    "Excessive number of '{protocol}' ports hidden. It maybe a false-positive or something really bad is going on."
                );
                scene.found(&[text.as_bytes()])?;
                break;
            }
        }
    }
    Ok(())
}

/// Ports that the views do not agree on at a first look.
fn suspects(
    scene: &mut Scene<'_>,
    views: &dyn Views,
    protocol: Protocol,
    ports: RangeInclusive<u16>,
) -> Result<Vec<(u16, Shown)>, Stopped> {
    let tables = views.tables(protocol);
    let mut suspects = Vec::new();
    for port in ports {
        scene.pace.step(3)?;
        let shown = tables.shown(port);
        let is_suspect = match shown {
            Shown::Everywhere => false,
            Shown::ProcOnly | Shown::NetlinkOnly => true,
            Shown::Nowhere => match views.is_taken(protocol, port) {
                Taken::Yes => true,
                Taken::No => false,
                Taken::Denied => {
                    scene.say_once(if port < 1024 {
                        "Ports below 1024 are not tried by binding: that needs CAP_NET_BIND_SERVICE."
                    } else {
                        "Ports are not tried by binding: it is not allowed here (after check_ports was switched on: restart)."
                    });
                    false
                }
            },
        };
        if is_suspect {
            suspects.push((port, shown));
        }
    }
    Ok(suspects)
}

/// Leaves those that are as they were, before and after they were tried.
fn stay_hidden(views: &dyn Views, protocol: Protocol, suspects: &mut Vec<(u16, Shown)>) {
    let before = views.tables(protocol);
    suspects.retain(|&(port, shown)| {
        before.shown(port) == shown
            && (shown != Shown::Nowhere || views.is_taken(protocol, port) == Taken::Yes)
    });
    let after = views.tables(protocol);
    suspects.retain(|&(port, shown)| after.shown(port) == shown);
}

impl Views for Linux {
    fn tables(&self, protocol: Protocol) -> Tables {
        let (v4, v6) = match protocol {
            Protocol::Tcp => ("/proc/net/tcp", "/proc/net/tcp6"),
            Protocol::Udp => ("/proc/net/udp", "/proc/net/udp6"),
        };
        // Missing where IPv6 is switched off.
        let v6 = whole(Path::new(v6)).unwrap_or_default();
        let v4 = whole(Path::new(v4));
        let proc = v4.map(|v4| ports(&v4).chain(ports(&v6)).collect());
        Tables { proc, netlink: sockets::ports(protocol == Protocol::Tcp).ok() }
    }

    fn is_taken(&self, protocol: Protocol, port: u16) -> Taken {
        let v4 = try_port(AddressFamily::INET, protocol, port);
        if v4 != Taken::No {
            return v4;
        }
        try_port(AddressFamily::INET6, protocol, port)
    }
}

fn try_port(family: AddressFamily, protocol: Protocol, port: u16) -> Taken {
    let kind = match protocol {
        Protocol::Tcp => SocketType::STREAM,
        Protocol::Udp => SocketType::DGRAM,
    };
    let bound = socket_with(family, kind, SocketFlags::CLOEXEC, None).and_then(|socket| {
        if protocol == Protocol::Tcp {
            sockopt::set_socket_reuseaddr(&socket, true)?;
        }
        if family == AddressFamily::INET6 {
            sockopt::set_ipv6_v6only(&socket, true)?;
            bind(&socket, &SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, port, 0, 0))
        } else {
            bind(&socket, &SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port))
        }
    });
    match bound {
        Err(Errno::ADDRINUSE) => Taken::Yes,
        Err(Errno::ACCESS | Errno::PERM) => Taken::Denied,
        // No IPv6, no more descriptors: nothing known about it.
        Ok(()) | Err(_) => Taken::No,
    }
}

/// `  0: 0100007F:0016 00000000:0000 0A ...`: the local port, in hexadecimal.
fn ports(table: &[u8]) -> impl Iterator<Item = u16> {
    table.split(|&b| b == b'\n').skip(1).filter_map(|line| {
        let local = line.split(|&b| b == b' ').filter(|word| !word.is_empty()).nth(1)?;
        let port = local.rsplit(|&b| b == b':').next()?;
        u16::from_str_radix(std::str::from_utf8(port).ok()?, 16).ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::told;
    use std::cell::Cell;

    /// Of TCP; UDP has nothing to tell.
    struct Fake {
        proc: Vec<u16>,
        netlink: Vec<u16>,
        taken: Vec<u16>,
        /// Looks at the tables after which port 7000 is in none and free.
        leaves_after: Cell<u32>,
        allowed_from: u16,
    }

    impl Default for Fake {
        fn default() -> Self {
            let leaves_after = Cell::new(0);
            let (proc, netlink, taken) = (vec![22], vec![22], vec![22]);
            Self { proc, netlink, taken, leaves_after, allowed_from: 1 }
        }
    }

    impl Views for Fake {
        fn tables(&self, protocol: Protocol) -> Tables {
            if protocol == Protocol::Udp {
                return Tables { proc: Some(HashSet::new()), netlink: None };
            }
            let mut used: HashSet<u16> = self.netlink.iter().copied().collect();
            if let Some(left) = self.leaves_after.get().checked_sub(1) {
                self.leaves_after.set(left);
                used.insert(7000);
            }
            let proc = Some(self.proc.iter().copied().collect());
            Tables { proc, netlink: Some(Ports { used, bound: [99].into() }) }
        }
        fn is_taken(&self, protocol: Protocol, port: u16) -> Taken {
            if protocol == Protocol::Udp {
                return Taken::No;
            }
            if port < self.allowed_from {
                return Taken::Denied;
            }
            if self.taken.contains(&port) { Taken::Yes } else { Taken::No }
        }
    }

    fn found(fake: &Fake) -> Vec<String> {
        told(|scene| run(scene, fake))
    }

    const SENTENCE: &str =
        "Port '31337'(tcp) hidden. Kernel-level rootkit or trojaned version of netstat.";

    #[test]
    fn a_port_that_is_taken_and_not_listed_is_told() {
        assert_eq!(found(&Fake { taken: vec![22, 31337], ..Fake::default() }), [SENTENCE]);
    }

    #[test]
    fn a_port_that_only_one_table_shows_is_told_with_its_name() {
        let fake = Fake { netlink: vec![22, 31337], ..Fake::default() };
        let expected = format!("{SENTENCE} Shown by netlink, but not in /proc/net.");
        assert_eq!(found(&fake), [expected]);
        let fake = Fake { proc: vec![22, 31337], ..Fake::default() };
        let expected = format!("{SENTENCE} In /proc/net, but not shown by netlink.");
        assert_eq!(found(&fake), [expected]);
    }

    #[test]
    fn a_port_that_is_left_while_one_looks_is_not_told() {
        // The first look of all, one a batch of 4096, and some of the looks that follow.
        for leaves_after in 0..8 {
            let fake = Fake { leaves_after: Cell::new(leaves_after), ..Fake::default() };
            assert_eq!(found(&fake), [""; 0], "{leaves_after}");
        }
    }

    #[test]
    fn a_socket_that_is_bound_and_no_more_is_not_hidden() {
        assert_eq!(found(&Fake { taken: vec![22, 99], ..Fake::default() }), [""; 0]);
    }

    #[test]
    fn too_many_are_told_as_such() {
        let found = found(&Fake { taken: (2000..2050).collect(), ..Fake::default() });
        assert_eq!(found.len(), TOO_MANY + 1);
        assert!(found.last().unwrap().starts_with("Excessive number of 'tcp' ports hidden."));
    }

    #[test]
    fn what_may_not_be_tried_is_no_finding() {
        let fake = |allowed_from| Fake { taken: vec![5000], allowed_from, ..Fake::default() };
        assert_eq!(found(&fake(1024)).len(), 1);
        assert_eq!(found(&fake(u16::MAX)), [""; 0]);
    }

    #[test]
    fn a_listener_of_this_process_is_taken_and_listed() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(Linux.is_taken(Protocol::Tcp, port), Taken::Yes);
        assert_eq!(Linux.tables(Protocol::Tcp).shown(port), Shown::Everywhere);
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        assert_eq!(Linux.is_taken(Protocol::Udp, port), Taken::Yes);
        assert_eq!(Linux.tables(Protocol::Udp).shown(port), Shown::Everywhere);
    }

    #[test]
    fn this_machine_hides_no_port() {
        // Neither listens nor talks, and nobody else may have its port.
        let flags = SocketFlags::CLOEXEC;
        let bound = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).unwrap();
        bind(&bound, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).unwrap();
        if Linux.tables(Protocol::Tcp).netlink.is_none_or(|ports| ports.bound.is_empty()) {
            println!("skipped in part: this kernel lists no bound sockets (Linux 6.8)");
            drop(bound);
        }
        assert_eq!(told(|scene| run(scene, &Linux)), [""; 0]);
    }
}
