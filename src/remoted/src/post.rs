//! Messages to agents: numbered, sealed, sent to where the agent spoke from.

use std::io;
use std::net::UdpSocket;
use std::time::Instant;

use agents::SendCounter;
use rustix::rand::{GetRandomFlags, getrandom};
use wire::control::ToAgent;
use wire::datagram::MAX_TO_AGENT;
use wire::key::IV_LEN;
use wire::sealed::{Sealer, Sealing};

use crate::agents_table::{Entry, Reply};

/// The sending side.
#[derive(Debug)]
pub struct Post {
    sealer: Sealer,
    counter: SendCounter,
    message: Vec<u8>,
    chance: Chance,
    /// Datagrams that went out.
    pub sent: u64,
    /// Messages that could not be sent.
    pub failed: u64,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// The network has it.
    Yes,
    /// The agent has not spoken lately: nobody knows where it is.
    Silent,
    /// The socket is full: later.
    Later,
    /// It could not be sent; said in the log.
    Failed,
}

impl Post {
    /// With the numbers of this host.
    pub fn new(counter: SendCounter) -> Self {
        Self {
            sealer: Sealer::new(),
            counter,
            message: Vec::new(),
            chance: Chance::default(),
            sent: 0,
            failed: 0,
        }
    }

    /// Sends one message.
    pub fn send(
        &mut self,
        doors: &[UdpSocket],
        to: &Entry,
        message: ToAgent<'_>,
        now: Instant,
    ) -> Sent {
        let Some(reply) = to.known.reply_at(now) else { return Sent::Silent };
        self.send_to(doors, to, reply, message)
    }

    /// Sends one message to where the agent may be, wherever it spoke from last.
    pub fn send_to(
        &mut self,
        doors: &[UdpSocket],
        to: &Entry,
        reply: Reply,
        message: ToAgent<'_>,
    ) -> Sent {
        let Some(door) = doors.get(reply.door) else { return Sent::Silent };
        let id = &to.agent.id;
        self.message.clear();
        message.write(&mut self.message);
        let sealed = self.counter.take().and_then(|counter| {
            let [r0, r1, iv @ ..] = self.chance.take()?;
            let random = u16::from_le_bytes([r0, r1]);
            let sealing = Sealing { method: reply.method, with_id: false, counter, random, iv };
            self.sealer.seal(&to.cipher, &sealing, &self.message).map_err(io::Error::other)
        });
        let datagram = match sealed {
            Ok(datagram) => datagram,
            Err(error) => {
                log::error!("(1217) Error creating encrypted message. Agent {id}: {error}.");
                self.failed += 1;
                return Sent::Failed;
            }
        };
        if datagram.len() > MAX_TO_AGENT {
            log::debug!(
                "agent {id}: a datagram of {} bytes; agents of OSSEC read {MAX_TO_AGENT}",
                datagram.len()
            );
        }
        match door.send_to(datagram, reply.address) {
            Ok(_) => {
                self.sent += 1;
                Sent::Yes
            }
            Err(error) if is_busy(&error) => Sent::Later,
            Err(error) => {
                log::error!(
                    "(1218) Unable to send message to '{id}'. [{}]",
                    runtime::errno(&error)
                );
                self.failed += 1;
                Sent::Failed
            }
        }
    }

    /// Looks whether the administrator replaced the file of the numbers.
    ///
    /// # Errors
    /// It can't be read or written.
    pub fn look(&mut self) -> io::Result<()> {
        self.counter.look()
    }

    /// At an orderly end.
    ///
    /// # Errors
    /// The file of the numbers can't be written; nothing is lost then.
    pub fn close(self) -> io::Result<()> {
        self.counter.close()
    }
}

fn is_busy(error: &io::Error) -> bool {
    let full = Some(rustix::io::Errno::NOBUFS.raw_os_error());
    error.kind() == io::ErrorKind::WouldBlock || error.raw_os_error() == full
}

/// Random bytes, fetched from the system in larger portions.
#[derive(Default)]
struct Chance {
    left: Vec<u8>,
}

/// Random number and vector of a message.
const PORTION: usize = 2 + IV_LEN;

impl Chance {
    fn take(&mut self) -> io::Result<[u8; PORTION]> {
        if self.left.len() < PORTION {
            let mut fresh = vec![0; PORTION * 14];
            let filled = getrandom(&mut fresh[..], GetRandomFlags::empty())?;
            fresh.truncate(filled);
            self.left = fresh;
        }
        let at = self.left.len().checked_sub(PORTION).ok_or(io::ErrorKind::UnexpectedEof)?;
        let portion = self.left.split_off(at);
        portion.try_into().map_err(|_| io::ErrorKind::UnexpectedEof.into())
    }
}

impl std::fmt::Debug for Chance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Chance")
    }
}
