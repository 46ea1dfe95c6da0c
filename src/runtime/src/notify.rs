//! Telling the supervisor how it goes: datagrams as of sd_notify(3), to ossec-control or to systemd.
//!
//! The socket is named by `$NOTIFY_SOCKET`, a path or `@name` for an abstract one. It is connected before the
//! daemon is confined, since afterwards its path may be out of reach.

use std::env;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::OnceLock;

/// Connects to the supervisor, if there is one.
///
/// # Errors
/// `$NOTIFY_SOCKET` names no socket that can be reached.
pub(crate) fn connect() -> io::Result<()> {
    let Some(name) = env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else {
        return Ok(());
    };
    let address = match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(&name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    // A supervisor that does not read must not stop the daemon.
    socket.set_nonblocking(true)?;
    let _ = SOCKET.set(socket);
    Ok(())
}

/// `READY=1`: the daemon does its work now.
pub(crate) fn ready() {
    send("READY=1");
}

/// `STATUS=`: one line for people: why the daemon ends, or that its log is out of reach.
pub(crate) fn status(text: &str) {
    send(&format!("STATUS={}", text.replace('\n', "; ")));
}

fn send(message: &str) {
    if let Some(socket) = SOCKET.get() {
        // The supervisor may be gone; that is its own affair.
        let _ = socket.send(message.as_bytes());
    }
}

static SOCKET: OnceLock<UnixDatagram> = OnceLock::new();
