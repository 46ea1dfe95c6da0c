//! Sockets to the managers, and where they are.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token, Waker};
use settings::{Client, Server};
use socket2::{Domain, Socket, Type};

/// One of a manager's pushed files must fit while we are busy.
const RECEIVE_BUFFER: usize = 1 << 20;
/// Answers of look-ups that may wait to be taken.
const ANSWERS: usize = 64;

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
    /// Opens a line to a server that was found at `address`.
    pub(crate) fn open(
        client: &Client,
        server: usize,
        address: SocketAddr,
        registry: &Registry,
        token: Token,
    ) -> io::Result<Self> {
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

/// Looks servers up each time they are called, so that a change of an address is followed. Names are looked up in a thread
/// of their own: a name server may take long to answer, and events are taken meanwhile.
#[derive(Debug)]
pub(crate) struct Finder {
    waker: Arc<Waker>,
    found: Receiver<(u64, Found)>,
    tell: SyncSender<(u64, Found)>,
    /// Servers that are being looked up: one answer each.
    underway: Vec<usize>,
    /// Goes up with each [`forget`](Self::forget).
    generation: u64,
}

/// A server, and where it is.
pub(crate) type Found = (usize, io::Result<SocketAddr>);

impl Finder {
    /// `token` wakes the loop when a name was found, or was not.
    pub(crate) fn new(registry: &Registry, token: Token) -> io::Result<Self> {
        let (tell, found) = mpsc::sync_channel(ANSWERS);
        let waker = Arc::new(Waker::new(registry, token)?);
        Ok(Self { waker, found, tell, underway: Vec::new(), generation: 0 })
    }

    /// Answers to what was asked before are not wanted any more: the servers are others.
    pub(crate) fn forget(&mut self) {
        self.generation += 1;
        self.underway.clear();
    }

    /// Begins to look a server up; the answer comes by [`take`](Self::take).
    pub(crate) fn find(&mut self, client: &Client, server: usize) {
        let Some(named) = client.servers.get(server).filter(|_| !self.underway.contains(&server))
        else {
            return;
        };
        self.underway.push(server);
        let (named, port, local) = (named.clone(), client.port, client.local_ip);
        let (tell, waker, generation) =
            (self.tell.clone(), Arc::clone(&self.waker), self.generation);
        let is_name = matches!(named, Server::Name(_));
        let look_up = move || {
            // Without an answer the server is called again later.
            let _ = tell.try_send((generation, (server, find(&named, port, local))));
            let _ = waker.wake();
        };
        if !is_name {
            return look_up();
        }
        if let Err(error) = thread::Builder::new().name("lookup".to_owned()).spawn(look_up) {
            let _ = self.tell.try_send((generation, (server, Err(error))));
        }
    }

    /// An answer that has come.
    pub(crate) fn take(&mut self) -> Option<Found> {
        let (_, found) = self.found.try_iter().find(|(asked, _)| *asked == self.generation)?;
        self.underway.retain(|server| *server != found.0);
        Some(found)
    }
}

/// The first address that the line can have: of the family of `local_ip`, if that is given.
pub(crate) fn find(server: &Server, port: u16, local: Option<IpAddr>) -> io::Result<SocketAddr> {
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
