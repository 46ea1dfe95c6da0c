//! Datagram sockets of the suite: `queue/ossec/queue` for events, `queue/alerts/execq` for responses.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use socket2::SockRef;

use crate::paths::SOCKET_MODE;

/// Bytes that the kernel may keep for a reader that is busy. The kernel caps it at `net.core.rmem_max`.
const RECEIVE_BUFFER: usize = 4 << 20;

/// Binds a datagram socket with mode 0660 in place of a stale one of the same name, not blocking.
///
/// The caller holds the daemon's instance lock: no other daemon of its name can own the socket.
///
/// # Errors
/// Whatever the system says; the caller names the path.
pub fn bind(path: &Path) -> io::Result<UnixDatagram> {
    remove_stale(path)?;
    let socket = UnixDatagram::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(SOCKET_MODE))?;
    socket.set_nonblocking(true)?;
    // A smaller buffer than asked for only makes senders wait sooner.
    let _ = SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER);
    Ok(socket)
}

/// A connected sender to a datagram socket, not blocking.
///
/// # Errors
/// Whatever the system says; the caller names the path.
pub fn connect(path: &Path) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Removes a socket that an earlier run left behind; anything else of that name stays and makes the bind fail.
pub(crate) fn remove_stale(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::FileTypeExt;
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.file_type().is_socket() => fs::remove_file(path),
        Ok(_) => Err(io::Error::other("a file that is not a socket is in the way")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_socket_is_replaced_and_a_file_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("queue");
        drop(bind(&path).unwrap());
        let reader = bind(&path).unwrap();
        connect(&path).unwrap().send(b"1:a:b").unwrap();
        let mut buffer = [0; 16];
        assert_eq!(reader.recv(&mut buffer).unwrap(), 5);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, SOCKET_MODE);

        let file = dir.path().join("file");
        fs::write(&file, "precious").unwrap();
        assert!(bind(&file).is_err());
        assert_eq!(fs::read(&file).unwrap(), b"precious");
    }
}
