//! Events on their way to analysisd: offered to the acknowledged queue, a few held back when its window is full.
//!
//! While any is held back nothing more may be read: the sockets' buffers in the kernel are the next place to wait. So
//! no more than one batch of datagrams is ever held here.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::Instant;

use ipc::Sender;
use wire::{Event, Kind};

/// The end of the queue that remoted writes to.
#[derive(Debug)]
pub struct Outbox {
    sender: Sender,
    held: VecDeque<Held>,
}

#[derive(Debug)]
struct Held {
    kind: Kind,
    location: Vec<u8>,
    payload: Vec<u8>,
}

impl Outbox {
    /// Not connected yet; events may be put in already. `stream` is a new random number with each start, since nothing
    /// of an earlier run is sent again.
    pub fn new(root: &Path, stream: u64) -> Self {
        let sender = Sender::new(root.join(ipc::paths::EVENTS), "remoted", stream);
        Self { sender, held: VecDeque::new() }
    }

    /// Whether more may be read.
    pub fn has_room(&self) -> bool {
        self.held.is_empty()
    }

    /// Takes one event in the form of the old queue, `1:(web01) any->/var/log/x:text`; `false`: it has no such form.
    pub fn put(&mut self, datagram: &[u8]) -> bool {
        Event::parse(datagram).is_ok_and(|event| {
            self.put_event(&event);
            true
        })
    }

    /// Takes a message of syslog.
    pub fn put_syslog(&mut self, source: IpAddr, text: &[u8]) {
        let location = source.to_string();
        self.put_event(&Event { kind: Kind::Syslog, location: location.as_bytes(), payload: text });
    }

    fn put_event(&mut self, event: &Event<'_>) {
        if !self.has_room() || self.sender.offer(event).is_err() {
            let &Event { kind, location, payload } = event;
            self.held.push_back(Held {
                kind,
                location: location.to_vec(),
                payload: payload.to_vec(),
            });
        }
    }

    /// Sends, reads acknowledgements, puts in what was held back.
    pub fn drive(&mut self, now: Instant) {
        self.sender.drive(now);
        let before = self.held.len();
        while let Some(Held { kind, location, payload }) = self.held.front() {
            if self.sender.offer(&Event { kind: *kind, location, payload }).is_err() {
                break;
            }
            self.held.pop_front();
        }
        if self.held.len() < before {
            self.sender.drive(now);
        }
    }

    /// How many were acknowledged.
    pub fn forwarded(&self) -> u64 {
        self.sender.acked()
    }

    /// How many were not.
    pub fn pending(&self) -> u64 {
        (self.sender.pending() + self.held.len()) as u64
    }

    /// For poll(2), see [`Sender`].
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.sender.fd()
    }

    /// For poll(2), see [`Sender`].
    pub fn wants_write(&self) -> bool {
        self.sender.wants_write()
    }

    /// When to drive at the latest, see [`Sender`].
    pub fn deadline(&self) -> Option<Instant> {
        self.sender.deadline()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_window_holds_back_in_order_and_asks_for_no_more() {
        let root = tempfile::tempdir().unwrap();
        let mut outbox = Outbox::new(root.path(), 1);
        let mut put = 0;
        while outbox.has_room() {
            assert!(outbox.put(b"1:(a) any->/var/log/x:text"));
            put += 1;
        }
        assert_eq!(put, ipc::sender::WINDOW_EVENTS + 1);
        outbox.put_syslog("10.0.0.1".parse().unwrap(), b"last");
        assert_eq!(outbox.pending(), put as u64 + 1);
        assert_eq!(outbox.held.back().unwrap().payload, b"last");
        assert!(!outbox.put(b"x") && outbox.held.len() == 2);
    }
}
