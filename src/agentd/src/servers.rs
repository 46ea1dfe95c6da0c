//! Sockets to the managers.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::os::fd::AsRawFd;

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use settings::{Client, Server};
use socket2::{Domain, Socket, Type};

/// One of a manager's pushed files must fit while we are busy.
const RECEIVE_BUFFER: usize = 1 << 20;

/// A connected datagram socket: the kernel lets nothing of another sender through, and tells of a closed port.
#[derive(Debug)]
pub(crate) struct Line {
    socket: Socket,
    /// Which server of the configuration.
    pub(crate) server: usize,
    pub(crate) address: SocketAddr,
    pub(crate) token: Token,
    pub(crate) readable: bool,
}

impl Line {
    /// Opens a line; a server given by name is looked up now, so that a change of its address is followed.
    pub(crate) fn open(
        client: &Client,
        server: usize,
        registry: &Registry,
        token: Token,
    ) -> io::Result<Self> {
        let named = client.servers.get(server);
        let named = named.ok_or_else(|| io::Error::other("no such server"))?;
        let address = find(named, client.port, client.local_ip)?;
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None)?;
        socket.set_nonblocking(true)?;
        // A smaller buffer only means that a file comes a second time.
        let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
        let local = client.local_ip.unwrap_or(match address {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        });
        socket.bind(&SocketAddr::new(local, 0).into())?;
        socket.connect(&address.into())?;
        let both = Interest::READABLE | Interest::WRITABLE;
        registry.register(&mut SourceFd(&socket.as_raw_fd()), token, both)?;
        Ok(Self { socket, server, address, token, readable: true })
    }

    pub(crate) fn send(&self, datagram: &[u8]) -> io::Result<()> {
        self.socket.send(datagram).map(drop)
    }

    /// The next datagram, if there is one.
    pub(crate) fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        loop {
            match io::Read::read(&mut self.socket, buffer) {
                Ok(len) => return Ok(Some(len)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.readable = false;
                    return Ok(None);
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// The first address that the line can have: of the family of `local_ip`, if that is given.
fn find(server: &Server, port: u16, local: Option<IpAddr>) -> io::Result<SocketAddr> {
    let fits = |address: &SocketAddr| local.is_none_or(|ip| ip.is_ipv4() == address.is_ipv4());
    let found = match server {
        Server::Address(address) => Some(SocketAddr::new(*address, port)).filter(fits),
        Server::Name(name) => (name.as_str(), port).to_socket_addrs()?.find(fits),
    };
    found.ok_or_else(|| io::Error::other("it has no address of the family of <local_ip>"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_of_the_family_of_local_ip() {
        let v6 = Server::Address("::1".parse().unwrap());
        assert!(find(&v6, 1514, Some("127.0.0.1".parse().unwrap())).is_err());
        assert_eq!(find(&v6, 1514, None).unwrap().to_string(), "[::1]:1514");
        let name = Server::Name("localhost".to_owned());
        let found = find(&name, 1, Some("127.0.0.1".parse().unwrap())).unwrap();
        assert_eq!(found.to_string(), "127.0.0.1:1");
    }
}
