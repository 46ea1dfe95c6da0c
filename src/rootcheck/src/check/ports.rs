//! Ports that are taken, and that no table of the kernel shows: a listener is hidden there.
//!
//! Each port is tried by binding to it. For TCP with `SO_REUSEADDR`, so that only a listener is in the way and a server that starts at this very moment
//! is not disturbed. What is taken and not listed is looked at again, with fresh tables.

use std::collections::HashSet;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};
use std::path::Path;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with, sockopt};

use crate::pace::Stopped;
use crate::scene::{Scene, whole};

/// Findings of one protocol after which one stops.
const TOO_MANY: usize = 20;
/// Looks at a suspect before it is told.
const LOOKS: u32 = 3;
/// Between two of these looks.
const SETTLE: Duration = Duration::from_millis(100);

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
    /// The ports that the kernel's tables show.
    fn listed(&self, protocol: Protocol) -> Option<HashSet<u16>>;
    fn is_taken(&self, protocol: Protocol, port: u16) -> Taken;
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

/// Tries every port of this network namespace.
pub(crate) fn run(scene: &mut Scene<'_>, views: &dyn Views) -> Result<(), Stopped> {
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        let Some(mut listed) = views.listed(protocol) else {
            scene.say_once("No tables of ports in /proc/net: hidden ones are not looked for.");
            return Ok(());
        };
        let mut found = 0;
        for port in 1..=u16::MAX {
            scene.pace.step(3)?;
            // Ports are taken and left all the time; a fresh table makes fewer suspects.
            if port % 4096 == 0 {
                listed = views.listed(protocol).unwrap_or(listed);
            }
            if listed.contains(&port) {
                continue;
            }
            match views.is_taken(protocol, port) {
                Taken::No => continue,
                Taken::Denied if port < 1024 => {
                    scene.say_once("Hidden ports below 1024 are not looked for: that needs CAP_NET_BIND_SERVICE.");
                    continue;
                }
                Taken::Denied => {
                    scene.say_once("Hidden ports are not looked for: binding is not allowed here (after check_ports was switched on: restart).");
                    return Ok(());
                }
                Taken::Yes => {}
            }
            if !stays_hidden(scene, views, protocol, port)? {
                continue;
            }
            found += 1;
            if found > TOO_MANY {
                let text = format!(
                    "Excessive number of '{protocol}' ports hidden. It maybe a false-positive or something really bad is going on."
                );
                scene.found(&[text.as_bytes()])?;
                break;
            }
            let text = format!(
                "Port '{port}'({protocol}) hidden. Kernel-level rootkit or trojaned version of netstat."
            );
            scene.found(&[text.as_bytes()])?;
        }
    }
    Ok(())
}

fn stays_hidden(
    scene: &mut Scene<'_>,
    views: &dyn Views,
    protocol: Protocol,
    port: u16,
) -> Result<bool, Stopped> {
    let is_listed = || views.listed(protocol).is_none_or(|listed| listed.contains(&port));
    for _ in 0..LOOKS {
        scene.pace.wait(SETTLE)?;
        // Listed before or after the try: someone took it meanwhile.
        if is_listed() || views.is_taken(protocol, port) != Taken::Yes || is_listed() {
            return Ok(false);
        }
    }
    Ok(true)
}

impl Views for Linux {
    fn listed(&self, protocol: Protocol) -> Option<HashSet<u16>> {
        let (v4, v6) = match protocol {
            Protocol::Tcp => ("/proc/net/tcp", "/proc/net/tcp6"),
            Protocol::Udp => ("/proc/net/udp", "/proc/net/udp6"),
        };
        let v4 = whole(Path::new(v4))?;
        // Missing where IPv6 is switched off.
        let v6 = whole(Path::new(v6)).unwrap_or_default();
        Some(ports(&v4).chain(ports(&v6)).collect())
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

    struct Fake {
        listed: Vec<u16>,
        taken: Vec<u16>,
        /// Tries after which port 7000 is free again.
        leaves_after: Cell<u32>,
        allowed_from: u16,
    }

    impl Views for Fake {
        fn listed(&self, protocol: Protocol) -> Option<HashSet<u16>> {
            Some(if protocol == Protocol::Tcp {
                self.listed.iter().copied().collect()
            } else {
                HashSet::new()
            })
        }
        fn is_taken(&self, protocol: Protocol, port: u16) -> Taken {
            if protocol == Protocol::Udp {
                return Taken::No;
            }
            if port < self.allowed_from {
                return Taken::Denied;
            }
            if port == 7000 && self.leaves_after.get() > 0 {
                self.leaves_after.set(self.leaves_after.get() - 1);
                return Taken::Yes;
            }
            if self.taken.contains(&port) { Taken::Yes } else { Taken::No }
        }
    }

    fn found(listed: &[u16], taken: &[u16], leaves_after: u32) -> Vec<String> {
        let fake = Fake {
            listed: listed.to_vec(),
            taken: taken.to_vec(),
            leaves_after: Cell::new(leaves_after),
            allowed_from: 1,
        };
        told(|scene| run(scene, &fake))
    }

    #[test]
    fn a_port_that_is_taken_and_not_listed_is_told() {
        let expected =
            "Port '31337'(tcp) hidden. Kernel-level rootkit or trojaned version of netstat.";
        assert_eq!(found(&[22], &[22, 31337], 0), [expected]);
    }

    #[test]
    fn a_port_that_is_left_while_one_looks_is_not_told() {
        assert_eq!(found(&[22], &[22], 2), [""; 0]);
    }

    #[test]
    fn too_many_are_told_as_such() {
        let taken: Vec<u16> = (2000..2050).collect();
        let found = found(&[], &taken, 0);
        assert_eq!(found.len(), TOO_MANY + 1);
        assert!(found.last().unwrap().starts_with("Excessive number of 'tcp' ports hidden."));
    }

    #[test]
    fn what_may_not_be_tried_is_no_finding() {
        let fake = |allowed_from| Fake {
            listed: vec![],
            taken: vec![5000],
            leaves_after: Cell::new(0),
            allowed_from,
        };
        assert_eq!(told(|scene| run(scene, &fake(1024))).len(), 1);
        assert_eq!(told(|scene| run(scene, &fake(u16::MAX))), [""; 0]);
    }

    #[test]
    fn a_listener_of_this_process_is_taken_and_listed() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(Linux.is_taken(Protocol::Tcp, port), Taken::Yes);
        assert!(Linux.listed(Protocol::Tcp).is_none_or(|listed| listed.contains(&port)));
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        assert_eq!(Linux.is_taken(Protocol::Udp, port), Taken::Yes);
    }
}
