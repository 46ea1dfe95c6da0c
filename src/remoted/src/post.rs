//! Messages to agents: numbered, sealed, sent to where the agent spoke from.

use std::io;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use agents::SendCounter;
use rustix::rand::{GetRandomFlags, getrandom};
use wire::control::ToAgent;
use wire::counter::Counter;
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
    /// Since when, and how far, numbers were raised.
    raised: Option<(Instant, u32)>,
    /// When an agent's number was last disbelieved.
    disbelieved: Option<Instant>,
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

/// What came of an agent's word that it has heard higher numbers than ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Raised {
    /// It has not.
    NotNeeded,
    /// Ours go on above it; this was the last one before.
    From(Counter),
    /// So far above ours that it is not believed.
    TooFar {
        /// This was so within the last hour, too.
        is_told: bool,
    },
}

/// How many messages are left free above what one agent has heard.
const AHEAD: u64 = 100_000;
/// So many global numbers (a thousand million messages) may be passed over in [`RAISE_TIME`]; there are enough for five years of it.
const MOST_RAISED: u32 = 100_000;
const RAISE_TIME: Duration = Duration::from_secs(3600);

impl Post {
    /// With the numbers of this host.
    pub fn new(counter: SendCounter) -> Self {
        Self {
            sealer: Sealer::new(),
            counter,
            message: Vec::new(),
            chance: Chance::default(),
            raised: None,
            disbelieved: None,
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

    /// Goes on above what an agent has heard from here, if our numbers are below: this host was restored from an older image.
    /// Far above, since other agents may have heard more. An agent that lies can't use the numbers up: see [`MOST_RAISED`].
    ///
    /// # Errors
    /// The new numbers can't be written.
    pub fn go_on_above(&mut self, heard: Counter, now: Instant) -> io::Result<Raised> {
        let last = self.counter.last();
        if heard <= last {
            return Ok(Raised::NotNeeded);
        }
        let (since, before) = match self.raised {
            Some((since, far)) if now.saturating_duration_since(since) < RAISE_TIME => (since, far),
            _ => (now, 0),
        };
        let upto = heard.plus(AHEAD);
        let far = upto.global.saturating_sub(last.global).saturating_add(before);
        if far > MOST_RAISED {
            let is_recent = |at| now.saturating_duration_since(at) < RAISE_TIME;
            let is_told = self.disbelieved.is_some_and(is_recent);
            if !is_told {
                self.disbelieved = Some(now);
            }
            return Ok(Raised::TooFar { is_told });
        }
        self.counter.jump(upto)?;
        self.raised = Some((since, far));
        Ok(Raised::From(last))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn at(global: u32, local: u16) -> Counter {
        Counter { global, local }
    }

    #[test]
    fn numbers_go_on_above_what_was_heard_and_never_far_in_a_short_time() {
        let root = tempfile::tempdir().expect("a folder");
        std::fs::create_dir_all(root.path().join("queue/rids")).expect("a folder");
        let mut post = Post::new(SendCounter::open(root.path()).expect("a counter"));
        let now = Instant::now();
        let raise = |post: &mut Post, heard, now| post.go_on_above(heard, now).expect("a disk");
        assert_eq!(raise(&mut post, at(7, 100), now), Raised::From(at(0, 0)));
        let above = post.counter.last();
        assert!(above > at(7, 100));
        assert_eq!(raise(&mut post, above, now), Raised::NotNeeded);

        // An agent that lies again and again gains little.
        assert_eq!(raise(&mut post, at(90_000, 1), now), Raised::From(above));
        let last = post.counter.last();
        let far = at(u32::MAX, 1);
        assert_eq!(raise(&mut post, far, now), Raised::TooFar { is_told: false });
        assert_eq!(raise(&mut post, at(150_000, 1), now), Raised::TooFar { is_told: true });
        assert_eq!(post.counter.last(), last);
        let later = now + RAISE_TIME;
        assert_eq!(raise(&mut post, at(150_000, 1), later), Raised::From(last));

        // A kill forgets nothing of it.
        let last = post.counter.last();
        drop(post);
        assert!(SendCounter::open(root.path()).expect("a counter").last() >= last);
    }
}
