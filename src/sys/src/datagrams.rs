//! Many datagrams with one system call, and how many the kernel had no room for.

use std::fmt;
use std::io;
use std::mem;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use crate::check;

/// Room for datagrams, used again for each call.
pub struct Batch {
    size: usize,
    bytes: Box<[u8]>,
    sources: Box<[libc::sockaddr_storage]>,
    lengths: Box<[usize]>,
    filled: usize,
}

impl Batch {
    /// Room for `count` datagrams of at most `size` bytes; longer ones are cut.
    pub fn new(count: usize, size: usize) -> Self {
        // SAFETY: all zeros is a valid address storage (family "unspecified").
        let empty: libc::sockaddr_storage = unsafe { mem::zeroed() };
        Self {
            size,
            bytes: vec![0; count * size].into(),
            sources: vec![empty; count].into(),
            lengths: vec![0; count].into(),
            filled: 0,
        }
    }

    /// Takes what is there, without waiting; how many came.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there; whatever else the system says.
    pub fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        self.filled = 0;
        let mut vectors: Vec<libc::iovec> = self
            .bytes
            .chunks_exact_mut(self.size)
            .map(|room| libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() })
            .collect();
        let mut headers: Vec<libc::mmsghdr> = Vec::with_capacity(vectors.len());
        for (vector, source) in vectors.iter_mut().zip(self.sources.iter_mut()) {
            // SAFETY: all zeros is a valid header: null pointers of length 0.
            let mut header: libc::mmsghdr = unsafe { mem::zeroed() };
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_name = ptr::from_mut(source).cast();
            header.msg_hdr.msg_namelen =
                mem::size_of::<libc::sockaddr_storage>() as libc::socklen_t;
            headers.push(header);
        }
        let count = libc::c_uint::try_from(headers.len()).unwrap_or(libc::c_uint::MAX);
        // SAFETY: `headers` holds `count` headers; each points to one vector and one address, and each vector to its own
        // `size` bytes; all of them live, unmoved, until after the call, and nothing else refers to them meanwhile.
        let received = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                count,
                libc::MSG_DONTWAIT,
                ptr::null_mut(),
            )
        };
        check(received)?;
        self.filled = usize::try_from(received).unwrap_or(0);
        for (length, header) in self.lengths.iter_mut().zip(&headers).take(self.filled) {
            *length = (header.msg_len as usize).min(self.size);
        }
        Ok(self.filled)
    }

    /// The datagram at this place of the last call, and where it came from.
    pub fn datagram(&self, at: usize) -> Option<(&[u8], SocketAddr)> {
        if at >= self.filled {
            return None;
        }
        let bytes = self.bytes.get(at * self.size..)?.get(..*self.lengths.get(at)?)?;
        Some((bytes, address(self.sources.get(at)?)?))
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Batch({} of {})", self.filled, self.lengths.len())
    }
}

/// An IPv4 or IPv6 address as the kernel gave it.
fn address(storage: &libc::sockaddr_storage) -> Option<SocketAddr> {
    match libc::c_int::from(storage.ss_family) {
        libc::AF_INET => {
            // SAFETY: sockaddr_storage is larger than sockaddr_in and aligned for it; every bit pattern is valid in it.
            let v4 = unsafe { &*ptr::from_ref(storage).cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
            Some(SocketAddr::from((ip, u16::from_be(v4.sin_port))))
        }
        libc::AF_INET6 => {
            // SAFETY: sockaddr_storage is larger than sockaddr_in6 and aligned for it; every bit pattern is valid in it.
            let v6 = unsafe { &*ptr::from_ref(storage).cast::<libc::sockaddr_in6>() };
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            let port = u16::from_be(v6.sin6_port);
            Some(SocketAddrV6::new(ip, port, v6.sin6_flowinfo, v6.sin6_scope_id).into())
        }
        _ => None,
    }
}

/// How many datagrams the kernel threw away because this socket's buffer was full.
///
/// # Errors
/// A kernel before 4.10 does not tell.
pub fn dropped(socket: BorrowedFd<'_>) -> io::Result<u32> {
    // The place of the drops in the kernel's table of a socket's memory.
    const DROPS: usize = 8;
    let mut memory = [0_u32; 9];
    let mut len = mem::size_of_val(&memory) as libc::socklen_t;
    // SAFETY: `memory` is `len` bytes of plain numbers, and the kernel writes no more than `len`.
    let status = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            memory.as_mut_ptr().cast(),
            &raw mut len,
        )
    };
    check(status)?;
    Ok(memory[DROPS])
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn all_that_waits_comes_at_once_with_its_senders_and_long_ones_are_cut() {
        for local in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(receiver) = UdpSocket::bind(local) else { continue };
            let to = receiver.local_addr().unwrap();
            let sender = UdpSocket::bind(local).unwrap();
            let from = sender.local_addr().unwrap();
            for text in [&b"one"[..], b"", b"much too long"] {
                sender.send_to(text, to).unwrap();
            }
            let mut batch = Batch::new(4, 8);
            assert_eq!(batch.receive(receiver.as_fd()).unwrap(), 3);
            assert_eq!(batch.datagram(0), Some((&b"one"[..], from)));
            assert_eq!(batch.datagram(1), Some((&b""[..], from)));
            assert_eq!(batch.datagram(2), Some((&b"much too"[..], from)));
            assert_eq!(batch.datagram(3), None);
            let error = batch.receive(receiver.as_fd()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
            assert_eq!(batch.datagram(0), None);
        }
    }

    #[test]
    fn what_finds_no_room_is_counted() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = receiver.local_addr().unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        if dropped(receiver.as_fd()).is_err() {
            println!("skipped: this kernel does not tell");
            return;
        }
        for _ in 0..20_000 {
            sender.send_to(&[0; 1000], to).unwrap();
        }
        let mut batch = Batch::new(64, 1000);
        let mut received = 0;
        while let Ok(count) = batch.receive(receiver.as_fd()) {
            received += count;
        }
        assert_eq!(received + dropped(receiver.as_fd()).unwrap() as usize, 20_000);
    }
}
