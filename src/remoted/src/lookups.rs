//! Questions to the name service, asked by a thread of their own: it may take seconds to answer, and datagrams don't wait.
//!
//! What was asked is not asked again for a while. When the thread has enough to do, questions are dropped: the next keepalive, or the
//! next refused datagram, asks again.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use agents::AgentId;
use dns_lookup::AddrInfoHints;

use crate::names::{self, Host, Mismatch, Names};

/// Questions that wait for the thread.
const WAITING: usize = 256;
/// Answers to the same question are good for that long.
const GOOD: Duration = Duration::from_secs(600);
/// Strangers that are told apart; agents are limited by their number.
const STRANGERS: usize = 1024;

/// A question.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Question {
    /// Do this name and this address belong together?
    Agent(AgentId, String, IpAddr),
    /// What is the host called that this agent speaks from?
    Seen(AgentId, IpAddr),
    /// What is the host called that was refused, and why was it?
    Stranger(IpAddr, String),
}

/// An answer.
#[derive(Debug)]
pub enum Answer {
    /// What does not belong together.
    Agent(AgentId, IpAddr, Vec<Mismatch>),
    /// Its name, or its address.
    Seen(AgentId, IpAddr, String),
    /// Its name, or its address; and why it was refused.
    Stranger(IpAddr, String, String),
}

/// The thread, and what was asked lately.
#[derive(Debug)]
pub struct Lookups {
    questions: SyncSender<Question>,
    answers: Receiver<Answer>,
    agents: HashMap<(AgentId, IpAddr), Instant>,
    strangers: HashMap<IpAddr, Instant>,
}

impl Lookups {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system has no more threads.
    pub fn start() -> io::Result<Self> {
        let (questions, asked) = sync_channel::<Question>(WAITING);
        let (answered, answers) = sync_channel(WAITING);
        // Ends with the channel: when this value is gone.
        std::thread::Builder::new().name("names".to_owned()).spawn(move || {
            while let Ok(question) = asked.recv() {
                if answered.send(answer(&System, question)).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { questions, answers, agents: HashMap::new(), strangers: HashMap::new() })
    }

    /// Asks, unless it was asked lately or too much is asked.
    pub fn ask(&mut self, question: Question, now: Instant) {
        let is_new = |asked: Option<&Instant>| {
            asked.is_none_or(|at| now.saturating_duration_since(*at) >= GOOD)
        };
        match &question {
            Question::Agent(id, _, peer) | Question::Seen(id, peer) => {
                let key = (id.clone(), *peer);
                if is_new(self.agents.get(&key)) && self.questions.try_send(question).is_ok() {
                    self.agents.insert(key, now);
                }
            }
            Question::Stranger(peer, _) => {
                let peer = *peer;
                let has_room =
                    self.strangers.len() < STRANGERS || self.strangers.contains_key(&peer);
                if has_room
                    && is_new(self.strangers.get(&peer))
                    && self.questions.try_send(question).is_ok()
                {
                    self.strangers.insert(peer, now);
                }
            }
        }
    }

    /// What has been answered.
    pub fn answers(&mut self) -> Vec<Answer> {
        self.answers.try_iter().collect()
    }

    /// Now and then: forgets what was asked long ago.
    pub fn tidy(&mut self, now: Instant) {
        let is_good = |at: &mut Instant| now.saturating_duration_since(*at) < GOOD;
        self.agents.retain(|_, at| is_good(at));
        self.strangers.retain(|_, at| is_good(at));
    }
}

fn answer(names: &impl Names, question: Question) -> Answer {
    match question {
        Question::Agent(id, name, peer) => {
            let found = names::check(names, &name, peer);
            Answer::Agent(id, peer, found)
        }
        Question::Seen(id, peer) => Answer::Seen(id, peer, names::as_seen(names, peer)),
        Question::Stranger(peer, why) => Answer::Stranger(peer, names::as_seen(names, peer), why),
    }
}

/// The system's name service.
struct System;

/// `AI_CANONNAME` of getaddrinfo(3) on Linux.
const CANONICAL: i32 = 2;
/// `SOCK_STREAM`: each address once.
const STREAM: i32 = 1;

impl Names for System {
    fn host(&self, name: &str) -> Option<Host> {
        let hints =
            AddrInfoHints { flags: CANONICAL, socktype: STREAM, ..AddrInfoHints::default() };
        let found = dns_lookup::getaddrinfo(Some(name), None, Some(hints)).ok()?;
        let found: Vec<_> = found.filter_map(Result::ok).collect();
        let canonical = found.iter().find_map(|info| info.canonname.clone());
        let addresses = found.iter().map(|info| info.sockaddr.ip().to_canonical()).collect();
        Some(Host { canonical: canonical.unwrap_or_else(|| name.to_owned()), addresses })
    }

    fn name(&self, address: IpAddr) -> Option<String> {
        dns_lookup::lookup_addr(&address).ok()
    }

    fn own(&self) -> String {
        sys::host::name()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_not_asked_twice_and_strangers_cost_bounded_memory() {
        let mut lookups = Lookups::start().unwrap();
        let now = Instant::now();
        let peer: IpAddr = "127.0.0.1".parse().unwrap();
        for _ in 0..3 {
            lookups.ask(Question::Stranger(peer, "why".to_owned()), now);
        }
        let Ok(Answer::Stranger(from, name, why)) = lookups.answers.recv() else { panic!() };
        assert_eq!((from, why.as_str()), (peer, "why"));
        assert!(!name.is_empty());
        assert!(lookups.answers().is_empty());
        // The thread is gone: what is asked now is dropped, and asked again later.
        let (questions, _) = sync_channel(0);
        lookups.questions = questions;
        for n in 0..5000_u32 {
            lookups.ask(Question::Stranger(IpAddr::from(n.to_be_bytes()), String::new()), now);
        }
        assert_eq!(lookups.strangers.len(), 1);
        lookups.tidy(now + GOOD);
        assert!(lookups.strangers.is_empty());
    }
}
