//! Numbers that went back: a message repeated on the way, an agent restored from an older image, or a key with two hosts.
//!
//! ```text
//!              old number, from S              S proves, R does not              answer above the number
//!   (nothing) --------------------> Asking -------------------------> Advancing -----------------------> (nothing)
//!                 prove S and R       |        "advance behind N"
//!                                     | S and R prove: two hosts, one key
//!                                     +--------------------------------> Cloned (told to who is refused; looked at again later)
//!                                     | S does not: late or replayed
//!                                     +--------------------------------> Dismissed
//! ```
//! R is where the highest number came from. Only the holder of the key can answer, and only who hears the question, since it
//! bears a new random number: a recorded datagram leads nowhere. Numbers never go back: who was restored goes on above what
//! was seen. Agents of OSSEC can't be asked: for them it is reckoned from who is heard when, and the way back is
//! the administrator's (`manage-agents --reset-counter`).
//!
//! Pure: no socket, file or clock. One entry at most for each registered agent.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use agents::AgentId;
use wire::counter::Counter;
use wire::key::Method;
use wire::ours::{FromOurs, Nonce, ToOurs};

/// How long who is asked may take.
const ANSWER: Duration = Duration::from_secs(4);
/// After it a question is repeated, and no sooner is another old message of the same agent looked into.
const PAUSE: Duration = Duration::from_secs(1);
/// How long an agent may take to go on behind the number.
const ADVANCE: Duration = Duration::from_secs(60);
/// A verdict stands so long, then it is looked into again.
const VERDICT: Duration = Duration::from_secs(600);
/// One unanswered question is no verdict for long: the answer may have been lost.
const DISMISSED: Duration = Duration::from_secs(30);
/// Old messages in a row, without a new one, after which an agent that can't be asked counts as restored.
const MANY: u32 = 5;
/// How often old messages must take turns with new ones from elsewhere until an agent that can't be asked counts as cloned.
const TURNS: u32 = 3;

/// Where a sender is, and how it seals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// As the socket gave it.
    pub address: SocketAddr,
    /// Which of our sockets it spoke to.
    pub door: usize,
    /// Its cipher.
    pub method: Method,
}

/// An authentic message with an old number.
#[derive(Debug, Clone, Copy)]
pub struct Stale {
    /// Where it came from.
    pub here: Place,
    /// Where the highest number came from, if it is known, and if it spoke lately.
    pub there: Option<Place>,
    /// The old number.
    pub came: Counter,
    /// The highest one.
    pub last: Counter,
    /// Whether the agent is one of ours.
    pub is_ours: bool,
    /// How many messages of the agent were accepted so far.
    pub accepted: u64,
    /// Its answer to a question, if it is one.
    pub answer: Option<FromOurs>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Seal this for the agent and send it there.
    Ask(Place, ToOwn),
    /// Log it, raise an alert.
    Say(Finding),
}

/// A message of [`ToOurs`] that owns what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToOwn {
    /// [`ToOurs::Prove`].
    Prove(Nonce),
    /// [`ToOurs::Advance`].
    Advance(Nonce, Counter),
    /// [`ToOurs::Cloned`].
    Cloned(SocketAddr),
}

impl ToOwn {
    /// The text behind `#!-`.
    pub fn text(&self) -> Vec<u8> {
        let mut text = Vec::new();
        match self {
            Self::Prove(nonce) => ToOurs::Prove(*nonce).write(&mut text),
            Self::Advance(nonce, upto) => {
                ToOurs::Advance { nonce: *nonce, upto: *upto }.write(&mut text);
            }
            Self::Cloned(other) => {
                let other = other.ip().to_canonical().to_string();
                ToOurs::Cloned { other: other.as_bytes() }.write(&mut text);
            }
        }
        text
    }
}

/// What was found out about an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// It lives, and its numbers went back.
    Restored {
        /// Where it is.
        at: SocketAddr,
        /// Its number.
        came: Counter,
        /// The highest one.
        last: Counter,
        /// It was told to go on behind the highest; `false`: it is no agent of ours, the administrator must help.
        is_helped: bool,
    },
    /// It goes on above the highest number.
    Returned {
        /// Where it is.
        at: SocketAddr,
    },
    /// Two hosts use its key.
    Cloned {
        /// The one that is refused now.
        here: SocketAddr,
        /// The other.
        there: SocketAddr,
        /// Both have answered; `false`: reckoned from their taking turns.
        is_proven: bool,
    },
    /// Old messages from where nobody holds the key.
    Replayed {
        /// Where they came from.
        from: SocketAddr,
        /// How many in this run of them.
        count: u32,
    },
}

/// Everything under way.
#[derive(Debug, Default)]
pub struct Doubts {
    doubts: HashMap<AgentId, Doubt>,
}

#[derive(Debug)]
struct Doubt {
    here: Place,
    there: Option<Place>,
    came: Counter,
    last: Counter,
    stage: Stage,
    until: Instant,
    /// When the agent was last asked or told something.
    asked: Instant,
    /// Old messages since the last new one, and since the doubt began.
    in_a_row: u32,
    count: u32,
    turns: u32,
    accepted: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Of an agent that can't be asked.
    Reckoning,
    Asking {
        here: Question,
        there: Option<Question>,
    },
    Advancing(Nonce),
    Cloned,
    /// Late, repeated or replayed; or said already.
    Dismissed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Question {
    nonce: Nonce,
    is_answered: bool,
    /// By a number above the highest.
    is_above: bool,
}

impl Question {
    fn new(nonce: Nonce) -> Self {
        Self { nonce, is_answered: false, is_above: false }
    }

    fn answer(&mut self, answer: FromOurs, is_from_there: bool, is_above: bool) -> bool {
        let is_it = is_from_there && answer == FromOurs::Proof(self.nonce);
        self.is_answered |= is_it;
        self.is_above |= is_it && is_above;
        is_it
    }
}

impl Doubts {
    /// Whether another old message of this agent is worth opening again; a flood of them is not.
    pub fn wants(&self, id: &AgentId, now: Instant) -> bool {
        self.doubts.get(id).is_none_or(|doubt| match doubt.stage {
            Stage::Reckoning | Stage::Asking { .. } => true,
            _ => now.saturating_duration_since(doubt.asked) >= PAUSE,
        })
    }

    /// An old message; `random` gives random numbers.
    pub fn stale(
        &mut self,
        id: &AgentId,
        stale: &Stale,
        now: Instant,
        mut random: impl FnMut() -> Option<Nonce>,
    ) -> Vec<Order> {
        if let Some(answer) = stale.answer
            && let Some(orders) = self.answered(id, stale.here, answer, false, now, &mut random)
        {
            return orders;
        }
        let is_over = self.doubts.get(id).is_some_and(|doubt| {
            now >= doubt.until || (stale.is_ours && doubt.stage == Stage::Reckoning)
        });
        if is_over {
            self.doubts.remove(id);
        }
        match self.doubts.get_mut(id) {
            None if stale.is_ours => {
                // Without a random number nothing can be asked; the next message tries again.
                let Some(doubt) = Doubt::asking(stale, now, &mut random) else { return Vec::new() };
                let orders = doubt.questions();
                self.doubts.insert(id.clone(), doubt);
                orders
            }
            None => {
                let mut doubt = Doubt::new(stale, Stage::Reckoning, now + VERDICT, now);
                doubt.in_a_row = 1;
                self.doubts.insert(id.clone(), doubt);
                Vec::new()
            }
            Some(doubt) => doubt.more(stale, now),
        }
    }

    /// An answer by a number above the highest: the message is accepted in any case.
    pub fn new_number(
        &mut self,
        id: &AgentId,
        from: Place,
        answer: FromOurs,
        now: Instant,
    ) -> Vec<Order> {
        self.answered(id, from, answer, true, now, &mut || None).unwrap_or_default()
    }

    /// Lets go of an agent that was removed or has another key.
    pub fn forget(&mut self, id: &AgentId) {
        self.doubts.remove(id);
    }

    /// Whether anything is under way.
    pub fn is_empty(&self) -> bool {
        self.doubts.is_empty()
    }

    /// Once a second: questions again, and what their silence means.
    pub fn turn(
        &mut self,
        now: Instant,
        mut random: impl FnMut() -> Option<Nonce>,
    ) -> Vec<(AgentId, Order)> {
        let mut orders = Vec::new();
        for (id, doubt) in &mut self.doubts {
            if let Stage::Asking { here, .. } = doubt.stage {
                let found = if now < doubt.until {
                    doubt.asked = now;
                    doubt.questions()
                } else if here.is_above {
                    Vec::new()
                } else if here.is_answered {
                    doubt.advance(now, &mut random)
                } else {
                    doubt.dismiss(now)
                };
                orders.extend(found.into_iter().map(|order| (id.clone(), order)));
            }
        }
        self.doubts.retain(|_, doubt| now < doubt.until);
        orders
    }

    fn answered(
        &mut self,
        id: &AgentId,
        from: Place,
        answer: FromOurs,
        is_above: bool,
        now: Instant,
        random: &mut impl FnMut() -> Option<Nonce>,
    ) -> Option<Vec<Order>> {
        let doubt = self.doubts.get_mut(id)?;
        match &mut doubt.stage {
            Stage::Asking { here, there } => {
                let from_there = doubt.there.is_some_and(|place| place.address == from.address);
                let is_known = here.answer(answer, from.address == doubt.here.address, is_above)
                    || there
                        .as_mut()
                        .is_some_and(|there| there.answer(answer, from_there, is_above));
                if !is_known {
                    return None;
                }
                let both = there.is_some_and(|there| there.is_answered) && here.is_answered;
                let alone = there.is_none() && here.is_answered;
                if both {
                    return Some(doubt.clone_found(now, true));
                }
                if alone && is_above {
                    // Its numbers are in order: the old one was a copy made on the way.
                    self.doubts.remove(id);
                    return Some(Vec::new());
                }
                Some(if alone { doubt.advance(now, random) } else { Vec::new() })
            }
            Stage::Advancing(nonce) if is_above && answer == FromOurs::Advanced(*nonce) => {
                self.doubts.remove(id);
                Some(vec![Order::Say(Finding::Returned { at: from.address })])
            }
            _ => None,
        }
    }
}

impl Doubt {
    fn new(stale: &Stale, stage: Stage, until: Instant, now: Instant) -> Self {
        Self {
            here: stale.here,
            there: stale.there.filter(|there| there.address != stale.here.address),
            came: stale.came,
            last: stale.last,
            stage,
            until,
            asked: now,
            in_a_row: 0,
            count: 1,
            turns: 0,
            accepted: stale.accepted,
        }
    }

    fn asking(
        stale: &Stale,
        now: Instant,
        random: &mut impl FnMut() -> Option<Nonce>,
    ) -> Option<Self> {
        let here = Question::new(random()?);
        let there = Question::new(random()?);
        let mut doubt = Self::new(stale, Stage::Dismissed, now + ANSWER, now);
        doubt.stage = Stage::Asking { here, there: doubt.there.map(|_| there) };
        Some(doubt)
    }

    /// The questions that are not answered yet.
    fn questions(&self) -> Vec<Order> {
        let Stage::Asking { here, there } = self.stage else { return Vec::new() };
        let asked = [Some(self.here).zip(Some(here)), self.there.zip(there)];
        let open = asked.into_iter().flatten().filter(|(_, question)| !question.is_answered);
        open.map(|(place, question)| Order::Ask(place, ToOwn::Prove(question.nonce))).collect()
    }

    /// Another old message while the doubt stands.
    fn more(&mut self, stale: &Stale, now: Instant) -> Vec<Order> {
        self.count = self.count.saturating_add(1);
        self.last = self.last.max(stale.last);
        match self.stage {
            Stage::Reckoning => self.reckon(stale, now),
            Stage::Advancing(nonce) if now.saturating_duration_since(self.asked) >= PAUSE => {
                self.asked = now;
                vec![Order::Ask(stale.here, ToOwn::Advance(nonce, self.last))]
            }
            Stage::Cloned if now.saturating_duration_since(self.asked) >= 10 * PAUSE => {
                self.asked = now;
                let is_first = stale.here.address == self.here.address;
                let other = if is_first { self.there } else { Some(self.here) };
                let other = other.filter(|_| stale.is_ours);
                let tell = |place: Place| Order::Ask(stale.here, ToOwn::Cloned(place.address));
                other.map(tell).into_iter().collect()
            }
            _ => Vec::new(),
        }
    }

    /// An agent that can't be asked: who is heard when?
    fn reckon(&mut self, stale: &Stale, now: Instant) -> Vec<Order> {
        if stale.accepted == self.accepted {
            self.in_a_row += 1;
        } else {
            self.in_a_row = 1;
            let is_elsewhere = |there: Place| there.address != stale.here.address;
            if let Some(there) = stale.there.filter(|there| is_elsewhere(*there)) {
                self.turns += 1;
                self.there = Some(there);
            }
        }
        self.accepted = stale.accepted;
        self.here = stale.here;
        if self.turns >= TURNS {
            return self.clone_found(now, false);
        }
        if self.in_a_row < MANY {
            return Vec::new();
        }
        self.stage = Stage::Dismissed;
        self.until = now + VERDICT;
        vec![Order::Say(Finding::Restored {
            at: stale.here.address,
            came: stale.came,
            last: stale.last,
            is_helped: false,
        })]
    }

    fn clone_found(&mut self, now: Instant, is_proven: bool) -> Vec<Order> {
        let Some(there) = self.there else { return Vec::new() };
        self.stage = Stage::Cloned;
        self.until = now + VERDICT;
        self.asked = now;
        let found = Finding::Cloned { here: self.here.address, there: there.address, is_proven };
        let mut orders = vec![Order::Say(found)];
        if is_proven {
            orders.push(Order::Ask(self.here, ToOwn::Cloned(there.address)));
        }
        orders
    }

    /// It lives, and nobody else does.
    fn advance(&mut self, now: Instant, random: &mut impl FnMut() -> Option<Nonce>) -> Vec<Order> {
        let Some(nonce) = random() else { return Vec::new() };
        self.stage = Stage::Advancing(nonce);
        self.until = now + ADVANCE;
        self.asked = now;
        let at = self.here.address;
        let found = Finding::Restored { at, came: self.came, last: self.last, is_helped: true };
        vec![Order::Say(found), Order::Ask(self.here, ToOwn::Advance(nonce, self.last))]
    }

    /// Nobody answered where the old message came from. One or two may be late; more are somebody's doing.
    fn dismiss(&mut self, now: Instant) -> Vec<Order> {
        self.stage = Stage::Dismissed;
        if self.count < MANY {
            self.until = now + DISMISSED;
            return Vec::new();
        }
        self.until = now + VERDICT;
        let from = self.here.address;
        vec![Order::Say(Finding::Replayed { from, count: self.count })]
    }
}

#[cfg(test)]
mod tests;
