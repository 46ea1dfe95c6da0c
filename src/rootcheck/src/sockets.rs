//! The kernel's sockets, asked by netlink: a second view beside the tables of `/proc/net`, as `ss` has it.
//!
//! One request a protocol and address family, answered by datagrams full of messages; the last one says that it is (sock_diag(7), linux/inet_diag.h).
//! All numbers are the machine's own but for ports, which are as on the wire:
//!
//! ```text
//! message   length u32 | kind u16 | flags u16 | sequence u32 | port id u32 | body, padded to 4
//! body      family u8 | state u8 | timer u8 | retransmits u8 | local port u16 | remote port u16 | addresses, interface, cookie, ...
//! ```

use std::collections::HashSet;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, sockopt};

/// What is asked for, by family.
const BY_FAMILY: u16 = 20;
/// Messages that are no socket.
const NOOP: u16 = 1;
const ERROR: u16 = 2;
const DONE: u16 = 3;
/// A request for all there is.
const REQUEST_DUMP: u16 = 0x301;
/// Of a message.
const HEADER: usize = 16;
/// Of a socket without its attributes.
const SOCKET: usize = 72;
/// States of TCP sockets that have a port and neither listen nor talk. `/proc/net/tcp` leaves them out.
const CLOSED: u8 = 7;
const BOUND: u8 = 13;
/// The kernel fills at most this in one go.
const BUFFER: usize = 64 << 10;
/// Datagrams of one answer: more than ten million sockets.
const MAX_DATAGRAMS: u32 = 100_000;
/// The kernel answers at once, or a rootkit never does.
const PATIENCE: Duration = Duration::from_secs(5);

/// Ports of one protocol that the kernel shows by netlink.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Ports {
    /// Of sockets that listen, talk, or wait for the end of that; for UDP all.
    pub used: HashSet<u16>,
    /// Of TCP sockets that only have a port.
    pub bound: HashSet<u16>,
}

/// The ports of TCP, or of UDP; of this network namespace, IPv4 and IPv6.
///
/// # Errors
/// A kernel without it, or one that breaks off.
pub fn ports(is_tcp: bool) -> io::Result<Ports> {
    let flags = SocketFlags::CLOEXEC;
    let kind = Some(netlink::SOCK_DIAG);
    let socket = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, kind)?;
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(PATIENCE))?;
    let mut ports = Ports::default();
    ask(&socket, AddressFamily::INET, is_tcp, &mut ports)?;
    // Where IPv6 is switched off there is none to hide.
    let _ = ask(&socket, AddressFamily::INET6, is_tcp, &mut ports);
    Ok(ports)
}

fn ask(socket: &OwnedFd, family: AddressFamily, is_tcp: bool, ports: &mut Ports) -> io::Result<()> {
    let family = u8::try_from(family.as_raw()).map_err(|_| io::ErrorKind::InvalidInput)?;
    rustix::net::send(socket, &request(family, is_tcp), SendFlags::empty())?;
    let mut buffer = vec![0; BUFFER];
    for _ in 0..MAX_DATAGRAMS {
        let (len, _) = rustix::net::recv(socket, &mut *buffer, RecvFlags::empty())?;
        match read(buffer.get(..len).unwrap_or_default(), is_tcp, ports)? {
            Answer::GoesOn => {}
            Answer::Ends => return Ok(()),
        }
    }
    Err(io::Error::other("the kernel's list of sockets has no end"))
}

/// Asks for the sockets of a protocol in every state.
fn request(family: u8, is_tcp: bool) -> Vec<u8> {
    let protocol = if is_tcp { 6 } else { 17 };
    let mut body = vec![family, protocol, 0, 0];
    body.extend(u32::MAX.to_ne_bytes());
    // Of any address, any interface.
    body.resize(56, 0);
    let len = u32::try_from(HEADER + body.len()).unwrap_or(u32::MAX);
    let mut message = Vec::from(len.to_ne_bytes());
    message.extend(BY_FAMILY.to_ne_bytes());
    message.extend(REQUEST_DUMP.to_ne_bytes());
    message.extend([0; 8]);
    message.extend(body);
    message
}

/// Whether more datagrams follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// They do.
    GoesOn,
    /// This was the last one.
    Ends,
}

/// Reads one datagram of an answer into `ports`.
///
/// # Errors
/// The kernel's own, or bytes that make no sense: then the list is not whole.
pub fn read(mut datagram: &[u8], is_tcp: bool, ports: &mut Ports) -> io::Result<Answer> {
    let broken = || io::Error::new(io::ErrorKind::InvalidData, "no message of sock_diag");
    if datagram.is_empty() {
        return Err(broken());
    }
    while !datagram.is_empty() {
        let len = number(datagram, 0).ok_or_else(broken)? as usize;
        let kind = u16::from_ne_bytes(array(datagram, 4).ok_or_else(broken)?);
        let body = datagram.get(HEADER..len).ok_or_else(broken)?;
        match kind {
            DONE => return Ok(Answer::Ends),
            ERROR => {
                let error = number(body, 0).ok_or_else(broken)?.cast_signed();
                return Err(io::Error::from_raw_os_error(error.saturating_neg()));
            }
            BY_FAMILY if body.len() >= SOCKET => {
                let state = *body.get(1).ok_or_else(broken)?;
                let port = u16::from_be_bytes(array(body, 4).ok_or_else(broken)?);
                let only_bound = is_tcp && matches!(state, CLOSED | BOUND);
                if port != 0 {
                    if only_bound { &mut ports.bound } else { &mut ports.used }.insert(port);
                }
            }
            NOOP => {}
            _ => return Err(broken()),
        }
        datagram = datagram.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(Answer::GoesOn)
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_ne_bytes)
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, body: &[u8]) -> Vec<u8> {
        let len = u32::try_from(HEADER + body.len()).unwrap();
        let mut message = [&len.to_ne_bytes()[..], &kind.to_ne_bytes(), &[0; 10], body].concat();
        message.resize(message.len().next_multiple_of(4), 0);
        message
    }

    fn socket(state: u8, port: u16) -> Vec<u8> {
        let mut body = vec![2, state, 0, 0];
        body.extend(port.to_be_bytes());
        body.resize(SOCKET, 0);
        message(BY_FAMILY, &body)
    }

    fn all_of(bytes: &[u8], is_tcp: bool) -> (Option<Answer>, Ports) {
        let mut ports = Ports::default();
        (read(bytes, is_tcp, &mut ports).ok(), ports)
    }

    #[test]
    fn sockets_are_told_by_what_they_do() {
        let bytes = [socket(10, 22), message(NOOP, b"x"), socket(1, 40_000), socket(BOUND, 99)];
        let bytes = bytes.concat();
        let (answer, ports) = all_of(&bytes, true);
        assert_eq!(answer, Some(Answer::GoesOn));
        assert_eq!((ports.used, ports.bound), ([22, 40_000].into(), [99].into()));
        // A UDP socket is never more than bound.
        assert_eq!(all_of(&socket(CLOSED, 53), false).1.used, [53].into());
        assert_eq!(all_of(&message(DONE, &[0; 4]), true).0, Some(Answer::Ends));
    }

    #[test]
    fn an_error_of_the_kernel_is_told_as_its_own() {
        let bytes = message(ERROR, &(-2_i32).to_ne_bytes());
        let error = read(&bytes, true, &mut Ports::default()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn every_truncation_is_an_error_or_a_shorter_list() {
        let bytes = [socket(10, 22), socket(10, 23), message(DONE, &[0; 4])].concat();
        for cut in 0..bytes.len() {
            let (answer, ports) = all_of(&bytes[..cut], true);
            let whole = cut % (HEADER + SOCKET) == 0 && cut > 0;
            assert_eq!(answer.is_some(), whole, "{cut}");
            assert!(ports.used.len() <= cut / (HEADER + SOCKET));
        }
    }

    #[test]
    fn mutated_answers_never_panic() {
        let seed = [socket(10, 22), message(ERROR, &[0; 4]), socket(13, 23)].concat();
        let mut state = 0x5eed_u64;
        for _ in 0..20_000 {
            let mut bytes = seed.clone();
            for _ in 0..3 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let at = usize::try_from(state >> 33).unwrap() % bytes.len();
                bytes[at] = state.to_le_bytes()[3];
            }
            all_of(&bytes, true);
        }
    }

    #[test]
    fn the_sockets_of_this_process_are_listed() {
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let Ok(ports_of_tcp) = ports(true) else {
            return println!("skipped: no sock_diag here");
        };
        assert!(ports_of_tcp.used.contains(&tcp.local_addr().unwrap().port()));
        assert!(ports(false).unwrap().used.contains(&udp.local_addr().unwrap().port()));
    }
}
