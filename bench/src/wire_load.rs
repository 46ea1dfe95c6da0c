//! Agents that only exist on the wire: their keys, and what they send.

use std::fmt::Write as _;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use ::wire::counter::Counter;
use ::wire::key::{AgentCipher, Method};
use ::wire::sealed::{Sealer, Sealing};
use ::wire::{Event, Kind};

/// Agents from any address, with the numbers of their next messages.
pub struct Crowd {
    ciphers: Vec<AgentCipher>,
    sent: u64,
    sealer: Sealer,
    method: Method,
}

impl Crowd {
    /// So many agents, and their `client.keys`.
    pub fn new(agents: usize, method: Method) -> (Self, String) {
        let (mut keys, mut ciphers) = (String::new(), Vec::new());
        for n in 1..=agents {
            let (id, name, key) = (format!("{n:03}"), format!("host{n}"), format!("{n:064x}"));
            writeln!(keys, "{id} {name} any {key}").expect("room");
            ciphers.push(AgentCipher::new(id.as_bytes(), name.as_bytes(), key.as_bytes()));
        }
        (Self { ciphers, sent: 0, sealer: Sealer::new(), method }, keys)
    }

    /// The next datagrams, one agent after the other; the last one bears `mark`.
    pub fn seal(&mut self, count: u64, mark: &str) -> Load {
        let mut load = Load { bytes: Vec::new(), ends: Vec::new() };
        let agents = self.ciphers.len() as u64;
        for n in 0..count {
            let text = match n + 1 == count {
                true => format!(
                    "Nov 14 22:13:20 web1 sshd[4711]: Failed password for root from 203.0.113.9 {mark}"
                ),
                false => format!(
                    "Nov 14 22:13:20 web1 app[4711]: request {n:08} of nobody in particular took 17 ms, as most of them do"
                ),
            };
            let event = Event {
                kind: Kind::Log,
                location: b"/var/log/app/app.log",
                payload: text.as_bytes(),
            };
            let mut message = Vec::new();
            event.write(&mut message);
            // The local part has four digits.
            let number = self.sent / agents + 1;
            let counter = Counter { global: (number / 9000) as u32, local: (number % 9000) as u16 };
            let sealing = Sealing {
                method: self.method,
                with_id: true,
                counter,
                random: n as u16,
                iv: [(n % 251) as u8; 16],
            };
            let cipher = &self.ciphers[(self.sent % agents) as usize];
            load.bytes
                .extend_from_slice(self.sealer.seal(cipher, &sealing, &message).expect("sealed"));
            load.ends.push(load.bytes.len());
            self.sent += 1;
        }
        load
    }
}

/// Datagrams ready to be sent.
pub struct Load {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Load {
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Average bytes of one.
    pub fn size(&self) -> usize {
        self.bytes.len() / self.len().max(1)
    }

    /// Sends all of them, so many a second or as fast as it can. Says how long that took.
    pub fn send(&self, to: &UdpSocket, rate: Option<u64>) -> Duration {
        /// Sent together: pacing is no finer.
        const TOGETHER: usize = 32;
        let (start, mut from) = (Instant::now(), 0);
        for (n, &end) in self.ends.iter().enumerate() {
            if n % TOGETHER == 0
                && let Some(rate) = rate
            {
                let due = start + Duration::from_nanos(n as u64 * 1_000_000_000 / rate);
                while Instant::now() < due {
                    std::hint::spin_loop();
                }
            }
            // Refused only where nobody listens; what the receiver has no room for is lost without a word.
            let _ = to.send(&self.bytes[from..end]);
            from = end;
        }
        start.elapsed()
    }
}
