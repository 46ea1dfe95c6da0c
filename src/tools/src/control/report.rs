//! What the supervisor tells those who wait for it: lines for people, as `STATUS=` of the sd_notify protocol.

use std::env;
use std::io::{self, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;

/// Where the lines go: to `$NOTIFY_SOCKET` if there is one, and to stdout (`/dev/null` in the background).
#[derive(Debug)]
pub(crate) struct Report {
    socket: Option<UnixDatagram>,
}

impl Report {
    /// To whom the environment says.
    pub(crate) fn from_environment() -> Self {
        Self { socket: connect().ok() }
    }

    /// Goes on with whoever waits at this path; if nobody does, with whom it has.
    pub(crate) fn reach(&mut self, path: &Path) {
        if let Ok(socket) = SocketAddr::from_pathname(path).and_then(|address| connect_to(&address))
        {
            self.socket = Some(socket);
        }
    }

    /// Tells one line.
    pub(crate) fn line(&self, text: &str) {
        if let Some(socket) = &self.socket {
            // Nobody may be waiting any more.
            let _ = socket.send(format!("STATUS={text}").as_bytes());
        }
        let _ = writeln!(io::stdout(), "{text}");
    }
}

fn connect() -> io::Result<UnixDatagram> {
    let name = env::var_os("NOTIFY_SOCKET").ok_or(io::ErrorKind::NotFound)?;
    let address = match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(&name)?,
    };
    connect_to(&address)
}

fn connect_to(address: &SocketAddr) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(address)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}
