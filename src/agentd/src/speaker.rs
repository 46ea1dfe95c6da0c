//! Seals what goes to the manager, opens what comes from it; knows the key and both numberings.

use std::io;
use std::path::Path;

use agents::{Agent, SendCounter};
use wire::counter::Counter;
use wire::datagram::{Addressed, Peer, Rejection, Sealed};
use wire::key::{AgentCipher, IV_LEN, Method};
use wire::sealed::{Opener, SealError, Sealer, Sealing};

use crate::heard::{Heard, Refusal};

/// Random bytes are asked for in such pieces.
const POOL: usize = 2048;

/// The agent as the wire knows it.
#[derive(Debug)]
pub(crate) struct Speaker {
    agent: Agent,
    cipher: AgentCipher,
    method: Method,
    sealer: Sealer,
    opener: Opener,
    sent: SendCounter,
    heard: Vec<Heard>,
    verify: bool,
    random: Random,
}

/// Why a message could not be sealed.
#[derive(Debug)]
pub(crate) enum Unsealed {
    /// Too large or empty: it never can.
    Never(SealError),
    /// No number for it, since the counter's file can't be written.
    NotNow(io::Error),
}

impl Speaker {
    /// `servers` are the managers' names, the first one first.
    pub(crate) fn open(
        root: &Path,
        agent: Agent,
        method: Method,
        verify: bool,
        servers: &[String],
    ) -> io::Result<Self> {
        let id = agent.id.as_str();
        let cipher =
            AgentCipher::new(id.as_bytes(), agent.name.kept().as_bytes(), agent.key.kept());
        let heard = servers
            .iter()
            .enumerate()
            .map(|(at, server)| Heard::open(root, id, (at > 0).then_some(server.as_str())));
        Ok(Self {
            cipher,
            method,
            sealer: Sealer::new(),
            opener: Opener::new(),
            sent: SendCounter::open(root)?,
            heard: heard.collect::<io::Result<_>>()?,
            verify,
            random: Random::default(),
            agent,
        })
    }

    /// Whose words these are.
    pub(crate) fn agent(&self) -> &Agent {
        &self.agent
    }

    /// The datagram for a message.
    pub(crate) fn seal(&mut self, message: &[u8]) -> Result<&[u8], Unsealed> {
        let counter = self.sent.take().map_err(Unsealed::NotNow)?;
        let [a, b] = self.random.take();
        let sealing = Sealing {
            method: self.method,
            with_id: !self.agent.address.is_single_host(),
            counter,
            random: u16::from_le_bytes([a, b]),
            iv: match self.method {
                Method::Aes => self.random.take(),
                Method::Blowfish => [0; IV_LEN],
            },
        };
        self.sealer.seal(&self.cipher, &sealing, message).map_err(Unsealed::Never)
    }

    /// The message in a datagram of this server, if it is authentic and new. Only the configured method is taken.
    pub(crate) fn unseal(&mut self, server: usize, datagram: &[u8]) -> Result<&[u8], Refused> {
        let addressed = Addressed::parse(datagram)?;
        let sealed = Sealed::parse(addressed.rest)?;
        if addressed.id.is_some() || sealed.method != self.method {
            return Err(Rejection::NoToken.into());
        }
        let opened = self.opener.open(&self.cipher, &sealed)?;
        let heard = self.heard.get_mut(server).ok_or(Rejection::UnknownAddress)?;
        heard.accept(opened.counter, self.verify).map_err(|refusal| match refusal {
            Refusal::Stale(stale) => Refused::Rejected(stale.into()),
            Refusal::Unwritten(error) => Refused::Unwritten(error),
        })?;
        Ok(opened.message)
    }

    /// What a rejection is called in the log.
    pub(crate) fn complaint(&self, rejection: Rejection, source: &str) -> String {
        let peer = Peer {
            source,
            id: self.agent.id.as_str(),
            name: self.agent.name.kept(),
            ip: self.agent.address.stored(),
        };
        rejection.describe(&peer).to_string()
    }

    /// Notices counters that the administrator replaced.
    pub(crate) fn look(&mut self) -> io::Result<()> {
        self.sent.look()?;
        self.heard.iter_mut().try_for_each(Heard::look)
    }

    /// The highest number heard from this server.
    pub(crate) fn heard(&self, server: usize) -> Option<Counter> {
        let last = self.heard.get(server)?.last();
        (last > Counter::default()).then_some(last)
    }

    /// Goes on behind a number, if ours are below; gives the last one that was used before.
    pub(crate) fn advance(&mut self, upto: Counter) -> io::Result<Counter> {
        let before = self.sent.last();
        self.sent.jump(upto)?;
        Ok(before)
    }

    /// Random letters for a keepalive.
    pub(crate) fn tail(&mut self) -> [u8; 16] {
        let alphabet = wire::keepalive::TAIL_ALPHABET;
        let bytes: [u8; 16] = self.random.take();
        bytes.map(|byte| alphabet.get(usize::from(byte) % alphabet.len()).copied().unwrap_or(b'x'))
    }

    /// A number for what has to differ between agents.
    pub(crate) fn seed(&mut self) -> u64 {
        u64::from_le_bytes(self.random.take())
    }

    /// Gives unused numbers back.
    pub(crate) fn close(self) -> io::Result<()> {
        self.sent.close()
    }
}

/// Why a datagram is not obeyed.
#[derive(Debug)]
pub(crate) enum Refused {
    /// Not authentic, or not new.
    Rejected(Rejection),
    /// Its number can't be remembered.
    Unwritten(io::Error),
}

impl From<Rejection> for Refused {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

/// Random bytes of the system, asked for in pieces.
#[derive(Debug, Default)]
struct Random {
    pool: Vec<u8>,
}

impl Random {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        if self.pool.len() < N {
            self.pool = fresh();
        }
        let rest = self.pool.len().saturating_sub(N);
        let taken = self.pool.split_off(rest);
        taken.try_into().expect("the pool holds N bytes or more")
    }
}

/// Waits for the system's source, which does not fail once it was seeded.
fn fresh() -> Vec<u8> {
    let mut pool = vec![0; POOL];
    let mut filled = 0;
    while filled < pool.len() {
        let rest = pool.get_mut(filled..).unwrap_or_default();
        // Interrupted is all that can happen with valid arguments.
        filled += rustix::rand::getrandom(rest, rustix::rand::GetRandomFlags::empty()).unwrap_or(0);
    }
    pool
}

#[cfg(test)]
mod tests;
