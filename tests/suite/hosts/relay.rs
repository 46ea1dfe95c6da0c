//! A bad network between agents and manager: a UDP relay that loses, repeats and reorders datagrams, the same ones of the same
//! arrivals with each run. It counts what each agent sent.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::{self, JoinHandle};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt::set_socket_recv_buffer_size_force;

use super::net::{HUB, enter};

/// Of 100 datagrams, so many are lost, repeated, overtaken by the next one.
const LOST: u64 = 5;
const REPEATED: u64 = 5;
const OVERTAKEN: u64 = 10;
/// What is held back goes on after so many milliseconds of silence.
const IDLE: i64 = 20;
/// Bytes that wait in a socket of the relay.
const BUFFER: usize = 16 << 20;

/// The relay at work; it ends with its test.
pub(super) struct Relay {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    is_over: AtomicBool,
    is_bad: AtomicBool,
    counts: Mutex<Counts>,
}

/// What happened.
#[derive(Debug, Default, Clone)]
pub(super) struct Counts {
    /// Datagrams that each agent sent, by its address.
    pub(super) sent: HashMap<IpAddr, u64>,
    pub(super) lost: u64,
    pub(super) repeated: u64,
    pub(super) overtaken: u64,
}

impl Relay {
    /// Listens on the hub's address and the manager's port, in the hub's namespace; a good network at first.
    pub(super) fn start(namespace: PathBuf, manager: SocketAddr) -> Self {
        let shared = Arc::new(Shared::default());
        let (ready, is_ready) = mpsc::sync_channel(1);
        let of_thread = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            enter(&namespace).expect("the hub's namespace");
            let front = socket((HUB, manager.port()).into());
            ready.send(()).expect("the test waits");
            let wire = Wire { front, manager, back: Vec::new(), held: Vec::new(), random: 7 };
            wire.run(&of_thread);
        });
        is_ready.recv().expect("the relay listens");
        Self { shared, thread: Some(thread) }
    }

    /// A bad network from now on, or a good one again.
    pub(super) fn be_bad(&self, is_bad: bool) {
        self.shared.is_bad.store(is_bad, Ordering::Relaxed);
    }

    /// What happened up to now.
    pub(super) fn counts(&self) -> Counts {
        self.shared.counts.lock().expect("no panic").clone()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // Its panic has been told already.
            let _ = thread.join();
        }
    }
}

struct Wire {
    /// Where agents call.
    front: UdpSocket,
    manager: SocketAddr,
    /// An agent's address, and the socket that speaks to the manager in its name.
    back: Vec<(SocketAddr, UdpSocket)>,
    held: Vec<Datagram>,
    random: u64,
}

struct Datagram {
    bytes: Vec<u8>,
    agent: usize,
    is_upwards: bool,
}

impl Wire {
    fn run(mut self, shared: &Shared) {
        while !shared.is_over.load(Ordering::Relaxed) {
            let arrived = self.receive();
            if arrived.is_empty() {
                self.release();
                self.wait();
            }
            for datagram in arrived {
                self.pass(datagram, shared);
            }
        }
    }

    fn wait(&self) {
        let sockets = self.back.iter().map(|(_, socket)| socket).chain([&self.front]);
        let mut polled: Vec<_> = sockets.map(|one| PollFd::new(one, PollFlags::IN)).collect();
        let idle = Timespec { tv_sec: 0, tv_nsec: IDLE * 1_000_000 };
        // Whatever it says, the sockets are looked at.
        let _ = poll(&mut polled, Some(&idle));
    }

    fn receive(&mut self) -> Vec<Datagram> {
        let mut buffer = [0; 65_536];
        let mut arrived = Vec::new();
        while let Ok((len, from)) = self.front.recv_from(&mut buffer) {
            let agent = self.agent(from);
            arrived.push(Datagram { bytes: buffer[..len].to_vec(), agent, is_upwards: true });
        }
        for (agent, (_, socket)) in self.back.iter().enumerate() {
            // A manager that is down refuses; agents behind a relay don't hear of it.
            while let Ok(len) = socket.recv(&mut buffer) {
                arrived.push(Datagram { bytes: buffer[..len].to_vec(), agent, is_upwards: false });
            }
        }
        arrived
    }

    fn agent(&mut self, from: SocketAddr) -> usize {
        if let Some(known) = self.back.iter().position(|(address, _)| *address == from) {
            return known;
        }
        let socket = socket((HUB, 0).into());
        socket.connect(self.manager).expect("the manager's address");
        self.back.push((from, socket));
        self.back.len() - 1
    }

    fn pass(&mut self, datagram: Datagram, shared: &Shared) {
        let mut counts = shared.counts.lock().expect("no panic");
        if datagram.is_upwards {
            *counts.sent.entry(self.back[datagram.agent].0.ip()).or_default() += 1;
        }
        let luck = match shared.is_bad.load(Ordering::Relaxed) {
            true => self.roll(),
            false => u64::MAX,
        };
        if luck < LOST {
            counts.lost += 1;
        } else if luck < LOST + OVERTAKEN {
            counts.overtaken += 1;
            self.held.push(datagram);
        } else {
            self.send(&datagram);
            if luck < LOST + OVERTAKEN + REPEATED {
                counts.repeated += 1;
                self.send(&datagram);
            }
            self.release();
        }
    }

    fn release(&mut self) {
        for datagram in std::mem::take(&mut self.held) {
            self.send(&datagram);
        }
    }

    fn send(&self, datagram: &Datagram) {
        let (agent, back) = &self.back[datagram.agent];
        let sent = match datagram.is_upwards {
            true => back.send(&datagram.bytes),
            false => self.front.send_to(&datagram.bytes, agent),
        };
        // Refused by who is down at the moment: on this wire that is a loss like any other.
        let _: io::Result<usize> = sent;
    }

    /// 0 to 99 (xorshift).
    fn roll(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % 100
    }
}

fn socket(address: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind(address).expect("a socket of the relay");
    socket.set_nonblocking(true).expect("a socket that does not wait");
    // The relay itself loses nothing but what it means to.
    set_socket_recv_buffer_size_force(&socket, BUFFER).expect("a deep buffer");
    socket
}
