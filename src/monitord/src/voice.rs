//! What monitord says to analysisd, by the acknowledged queue: `1:ossec-monitord:ossec: Ossec started.`
//!
//! While analysisd is away, what is to be said waits here; beyond [`MOST`] the newest is dropped and counted.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use ipc::Sender;
use wire::{Event, Kind};

/// Enough for every agent of a large manager.
const MOST: usize = 200_000;
const NAME: &str = "ossec-monitord";

/// The end of the queue where we speak.
#[derive(Debug)]
pub struct Voice {
    sender: Sender,
    waiting: VecDeque<(Vec<u8>, Vec<u8>)>,
    said: u64,
    dropped: u64,
}

impl Voice {
    /// Not connected yet.
    pub fn new(root: &Path) -> Self {
        // Nothing is said again after a restart but what is still so: hence no numbering to go on with.
        let stream = RandomState::new().hash_one(std::process::id());
        let sender = Sender::new(root.join(ipc::paths::EVENTS), "monitord", stream);
        Self { sender, waiting: VecDeque::new(), said: 0, dropped: 0 }
    }

    /// `ossec: Ossec started.`
    pub fn started(&mut self) {
        self.say(NAME.as_bytes().to_vec(), b"ossec: Ossec started.".to_vec());
    }

    /// `ossec: Agent disconnected: 'web1-10.0.0.7'.`
    pub fn disconnected(&mut self, agent: &str) {
        let location = format!("{agent}->{NAME}");
        self.say(
            location.into_bytes(),
            format!("ossec: Agent disconnected: '{agent}'.").into_bytes(),
        );
    }

    fn say(&mut self, location: Vec<u8>, payload: Vec<u8>) {
        self.said += 1;
        if self.waiting.len() >= MOST {
            self.dropped += 1;
            return;
        }
        self.waiting.push_back((location, payload));
    }

    /// Sends what can be sent; never blocks.
    pub fn turn(&mut self) {
        while let Some((location, payload)) = self.waiting.front() {
            if self.sender.offer(&Event { kind: Kind::Log, location, payload }).is_err() {
                break;
            }
            self.waiting.pop_front();
        }
        self.sender.drive(Instant::now());
    }

    /// Gives what was said `at_most` that long to reach its end.
    pub fn finish(&mut self, at_most: Duration) {
        let end = Instant::now() + at_most;
        self.turn();
        while self.pending() > 0 && self.sender.is_connected() && Instant::now() < end {
            self.sender.wait(end.saturating_duration_since(Instant::now()));
        }
    }

    /// The connection, to wait for.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.sender.fd()
    }

    /// When to call [`turn`](Self::turn) though the connection be silent.
    pub fn deadline(&self) -> Option<Instant> {
        self.sender.deadline()
    }

    /// What has not reached its end.
    pub fn pending(&self) -> u64 {
        (self.waiting.len() + self.sender.pending()) as u64
    }

    /// What was said, what has reached its end, what was dropped, what waits: the first is the sum of the others.
    pub fn accounts(&self) -> [(&'static str, u64); 4] {
        let forwarded = self.said - self.dropped - self.pending();
        [
            ("received", self.said),
            ("forwarded", forwarded),
            ("dropped_full", self.dropped),
            ("pending", self.pending()),
        ]
    }
}
