//! The sockets on which remoted listens: made by root, before it gives up what root can.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};

use runtime::{Failure, errno};
use settings::{Connection, Protocol, Remote};
use socket2::{Domain, Socket, Type};

use crate::holder;

/// What the kernel shall keep for us while we are busy: some 200,000 short datagrams.
const RECEIVE_BUFFER: usize = 128 << 20;
/// For answers to many agents in a row.
const SEND_BUFFER: usize = 4 << 20;
const BACKLOG: i32 = 128;

/// All sockets, by what they are for.
#[derive(Debug, Default)]
pub struct Doors {
    /// Agents.
    pub agents: Vec<UdpSocket>,
    /// Syslog by datagrams.
    pub syslog: Vec<UdpSocket>,
    /// Syslog by streams.
    pub streams: Vec<TcpListener>,
}

impl Doors {
    /// Opens one socket a block.
    ///
    /// # Errors
    /// 1206, with who may have the port.
    pub fn open(remotes: &[Remote]) -> Result<Self, Failure> {
        let mut doors = Self::default();
        for remote in remotes {
            match (remote.connection, remote.protocol) {
                (Connection::Secure, _) => doors.agents.push(datagrams(remote)?),
                (Connection::Syslog, Protocol::Udp) => doors.syslog.push(datagrams(remote)?),
                (Connection::Syslog, Protocol::Tcp) => doors.streams.push(stream(remote)?),
            }
        }
        Ok(doors)
    }
}

fn datagrams(remote: &Remote) -> Result<UdpSocket, Failure> {
    let socket = bind(remote, Type::DGRAM).map_err(|error| unable(remote, &error))?;
    widen(&socket, remote.port);
    // A smaller buffer than asked for only makes sending fail sooner.
    let _ = socket.set_send_buffer_size(SEND_BUFFER);
    Ok(socket.into())
}

fn stream(remote: &Remote) -> Result<TcpListener, Failure> {
    let socket = bind(remote, Type::STREAM)
        .and_then(|socket| socket.listen(BACKLOG).map(|()| socket))
        .map_err(|error| unable(remote, &error))?;
    Ok(socket.into())
}

/// Without an address of its own a socket takes both families; on a host without IPv6 the older one.
fn bind(remote: &Remote, kind: Type) -> io::Result<Socket> {
    let at = |ip: IpAddr| bind_at(SocketAddr::new(ip, remote.port), kind);
    match remote.local_ip {
        Some(ip) => at(ip),
        None => match at(Ipv6Addr::UNSPECIFIED.into()) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(error),
            Err(_) => at(Ipv4Addr::UNSPECIFIED.into()),
            bound => bound,
        },
    }
}

fn bind_at(address: SocketAddr, kind: Type) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, None)?;
    if let SocketAddr::V6(v6) = address {
        socket.set_only_v6(!v6.ip().is_unspecified())?;
    }
    if kind == Type::STREAM {
        // Connections of an earlier run that still end shall not keep us from starting.
        socket.set_reuse_address(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn widen(socket: &Socket, port: u16) {
    use rustix::net::sockopt::set_socket_recv_buffer_size_force;
    // Only root goes beyond the system's limit.
    if set_socket_recv_buffer_size_force(socket, RECEIVE_BUFFER).is_err() {
        let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    }
    match socket.recv_buffer_size() {
        // The kernel says the double of what was set.
        Ok(bytes) if bytes < RECEIVE_BUFFER => log::info!(
            "The receive buffer of port {port} is {} KiB; bursts beyond it are lost. As root, or with a higher net.core.rmem_max, it is larger.",
            bytes >> 11
        ),
        _ => {}
    }
}

fn unable(remote: &Remote, error: &io::Error) -> Failure {
    let port = remote.port;
    let hint = match error.kind() {
        io::ErrorKind::AddrInUse => {
            let at = remote.local_ip.map_or("all addresses".to_owned(), |ip| ip.to_string());
            let kind = if remote.protocol == Protocol::Tcp { "tcp" } else { "udp" };
            let holder = holder::of(port, remote.protocol).map_or_else(
                || format!("by another program; 'ss -lnp sport = :{port}' as root shows which"),
                |holder| format!("by {holder}"),
            );
            format!(
                " Address already in use: {kind} port {port} on {at} is taken {holder}. Stop it (ossec-control stop, if it is an ossec-remoted left over), or give this <remote> another <port>."
            )
        }
        io::ErrorKind::PermissionDenied => " Ports below 1024 are root's.".to_owned(),
        io::ErrorKind::AddrNotAvailable => {
            let ip = remote.local_ip.map(|ip| ip.to_string()).unwrap_or_default();
            format!(" This host does not have the <local_ip> {ip}.")
        }
        _ => String::new(),
    };
    Failure::new(
        Some(1206),
        format!("Unable to Bind port '{port}' due to [{}].{hint}", errno(error)),
    )
}
