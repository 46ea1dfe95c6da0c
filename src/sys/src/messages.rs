//! Many messages of a socket with one system call.

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

/// Room for messages, used again for each call. Room that no message needed takes no memory.
#[derive(Debug)]
pub struct Messages {
    size: usize,
    bytes: Vec<u8>,
    lengths: Vec<usize>,
    count: usize,
}

impl Messages {
    /// Room for `count` messages (64 at the most) of `size` bytes each; a longer message is cut.
    pub fn new(count: usize, size: usize) -> Self {
        let count = count.clamp(1, MOST);
        Self { size, bytes: vec![0; count * size], lengths: Vec::with_capacity(count), count }
    }

    /// Takes what is there, without waiting; how many came.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there; whatever else the system says.
    pub fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        self.lengths.clear();
        let empty = libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 };
        let mut vectors = [empty; MOST];
        // SAFETY: all zeros is a valid header: no name, no vectors, no control data.
        let mut headers: [libc::mmsghdr; MOST] = unsafe { mem::zeroed() };
        let rooms = self.bytes.chunks_exact_mut(self.size);
        let mut count = 0;
        for ((room, vector), header) in rooms.zip(&mut vectors).zip(&mut headers) {
            *vector = libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() };
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
            count += 1;
        }
        let (socket, no_wait) = (socket.as_raw_fd(), libc::MSG_DONTWAIT);
        // SAFETY: `count` headers are filled in; each points to one vector, each vector to its own `size` bytes of
        // `self.bytes`; all live, unmoved and otherwise unused, until the call returns.
        let received = unsafe {
            libc::recvmmsg(socket, headers.as_mut_ptr(), count, no_wait, ptr::null_mut())
        };
        crate::check(received)?;
        let received = usize::try_from(received).unwrap_or(0).min(self.count);
        let lengths = headers.iter().take(received).map(|header| header.msg_len as usize);
        self.lengths.extend(lengths.map(|length| length.min(self.size)));
        Ok(received)
    }

    /// The messages of the last call, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let rooms = self.bytes.chunks_exact(self.size);
        rooms.zip(&self.lengths).map(|(room, &length)| room.get(..length).unwrap_or(room))
    }
}

const MOST: usize = 64;

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixDatagram;

    use super::*;

    #[test]
    fn what_waits_comes_in_order_and_long_messages_are_cut() {
        let (sender, receiver) = UnixDatagram::pair().unwrap();
        let mut messages = Messages::new(2, 8);
        assert_eq!(
            messages.receive(receiver.as_fd()).unwrap_err().kind(),
            io::ErrorKind::WouldBlock
        );
        for text in [&b"one"[..], b"", b"much too long"] {
            sender.send(text).unwrap();
        }
        assert_eq!(messages.receive(receiver.as_fd()).unwrap(), 2);
        assert!(messages.iter().eq([&b"one"[..], b""]));
        assert_eq!(messages.receive(receiver.as_fd()).unwrap(), 1);
        assert!(messages.iter().eq([&b"much too"[..]]));
        assert!(messages.receive(receiver.as_fd()).is_err());
        assert_eq!(messages.iter().count(), 0);
    }
}
