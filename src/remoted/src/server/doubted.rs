//! Old numbers at work: who is asked, what the administrator has allowed, what is said. The thinking is in [`crate::doubts`].

use std::net::SocketAddr;
use std::time::{Instant, SystemTime};

use agents::counters::{RIDS, reset};
use agents::{AgentId, info};
use rustix::rand::{GetRandomFlags, getrandom};
use wire::control::{FromAgent, ToAgent};
use wire::counter::Counter;
use wire::datagram::{Addressed, Rejection, Sealed};
use wire::keepalive::{AgentInfo, Keepalive};
use wire::ours::{FromOurs, Heard, Nonce};
use wire::sealed::Opener;

use super::Server;
use crate::agents_table::{Cause, Refused, Reply};
use crate::doubts::{Doubts, Finding, Order, Place, Stale};
use crate::intake::{Taken, source};
use crate::post::Raised;

/// What is under way.
#[derive(Debug, Default)]
pub(super) struct Doubting {
    doubts: Doubts,
    opener: Opener,
}

/// An authentic message with an old number.
struct Old {
    id: AgentId,
    place: Place,
    came: Counter,
    is_hello: bool,
    is_event: bool,
    answer: Option<FromOurs>,
    /// It is a keepalive with our mark.
    is_marked: bool,
}

impl Server {
    /// Looks into a message that was refused for its old number. `true`: the administrator lets the agent begin anew, and the
    /// datagram may be taken now.
    pub(super) fn look_into(
        &mut self,
        refused: Refused,
        counter: Option<Counter>,
        (datagram, from, door): (&[u8], SocketAddr, usize),
        now: Instant,
    ) -> bool {
        let is_old =
            matches!(refused.cause, Cause::Rejected(Rejection::Repeated | Rejection::Backwards));
        let Some(came) = counter.filter(|_| is_old) else { return false };
        let Some(old) = self.open_again(refused, came, datagram, from, door, now) else {
            return false;
        };
        if old.is_hello && self.is_reset(&old) {
            return true;
        }
        let Some(stale) = self.stale(&old, now) else { return false };
        // An event from where the agent is heard all the time: the network has repeated it.
        if old.is_event && stale.is_ours && stale.there.is_some_and(|there| there.address == from) {
            return false;
        }
        let orders = self.doubting.doubts.stale(&old.id, &stale, now, nonce);
        self.carry_out(&old.id, orders, now);
        false
    }

    fn open_again(
        &mut self,
        refused: Refused,
        came: Counter,
        datagram: &[u8],
        from: SocketAddr,
        door: usize,
        now: Instant,
    ) -> Option<Old> {
        let entry = self.table.entry(refused.slot?)?;
        let id = entry.agent.id.clone();
        if !self.doubting.doubts.wants(&id, now) {
            return None;
        }
        let sealed = Sealed::parse(Addressed::parse(datagram).ok()?.rest).ok()?;
        let opened = self.doubting.opener.open(&entry.cipher, &sealed).ok()?;
        let place = Place { address: from, door, method: sealed.method };
        let message = FromAgent::parse(opened.message);
        let (mut answer, mut is_marked) = (None, false);
        if let FromAgent::Keepalive(text) = message {
            answer = FromOurs::parse(text);
            is_marked = Keepalive::parse(text).is_ok_and(|keepalive| keepalive.mark().is_some());
        }
        let (is_hello, is_event) =
            (message == FromAgent::Startup, matches!(message, FromAgent::Event(_)));
        Some(Old { id, place, came, is_hello, is_event, answer, is_marked })
    }

    fn stale(&self, old: &Old, now: Instant) -> Option<Stale> {
        let slot = self.table.by_id(old.id.as_str().as_bytes())?;
        let entry = self.table.entry(slot)?;
        let place =
            |reply: Reply| Place { address: reply.address, door: reply.door, method: reply.method };
        let is_ours = old.is_marked || old.answer.is_some() || entry.known.mark.is_some() || {
            let file = info::read(&self.root, &entry.agent).unwrap_or_default();
            AgentInfo::parse(&file).mark.is_some()
        };
        Some(Stale {
            here: old.place,
            there: entry.known.reply_at(now).map(place),
            came: old.came,
            last: self.received.last(&old.id).unwrap_or_default(),
            is_ours,
            accepted: entry.known.accepted,
            answer: old.answer,
        })
    }

    /// Whether the administrator has said that this agent begins anew; that counts once. The hello must bear the next number.
    fn is_reset(&mut self, old: &Old) -> bool {
        match reset::take(&self.root, &old.id, SystemTime::now()) {
            Ok(true) => {}
            Ok(false) => return false,
            Err(error) => {
                log::warn!("The reset of agent {} can't be used: {error}.", old.id);
                return false;
            }
        }
        let before = Counter { local: old.came.local.saturating_sub(1), ..old.came };
        self.received.remember(&old.id, before);
        self.doubting.doubts.forget(&old.id);
        log::info!(
            "Agent {} begins anew at {} from {}, as the administrator allowed.",
            old.id,
            old.came,
            source(old.place.address)
        );
        true
    }

    /// An answer by a number above the highest.
    pub(super) fn answered(
        &mut self,
        taken: &Taken<'_>,
        answer: FromOurs,
        door: usize,
        from: SocketAddr,
        now: Instant,
    ) {
        let Some(entry) = self.table.entry(taken.slot) else { return };
        let id = entry.agent.id.clone();
        let place = Place { address: from, door, method: taken.method };
        let orders = self.doubting.doubts.new_number(&id, place, answer, now);
        self.carry_out(&id, orders, now);
    }

    /// An agent of ours tells by its keepalive which number it heard last: if ours are below, this host was restored.
    pub(super) fn go_on_above_what_it_heard(
        &mut self,
        taken: &Taken<'_>,
        text: &[u8],
        from: SocketAddr,
        now: Instant,
    ) {
        let heard = Keepalive::parse(text).ok().and_then(|keepalive| keepalive.heard());
        let (Some(Heard(heard)), Some(entry)) = (heard, self.table.entry(taken.slot)) else {
            return;
        };
        let (id, name, at) = (&entry.agent.id, entry.agent.name.to_string(), source(from));
        let who = entry.agent.file_name();
        match self.post.go_on_above(heard, now) {
            Ok(Raised::NotNeeded | Raised::TooFar { is_told: true }) => {}
            Ok(Raised::From(last)) => {
                log::warn!(
                    "This manager was restored from an older image: its number {last} is not above {heard}, which agent {id} '{name}' \
                     at {at} has heard from it. It goes on above it; nothing is to be done for agents of ours. Those of OSSEC refuse our \
                     messages (1407, 1404 there) until they are stopped, their queue/rids/<id> is removed and they are started."
                );
                let event = format!(
                    "ossec: Manager restored: '{name}' (id {id}) at {at} heard {heard}, last sent {last}."
                );
                self.tell(&who, &event);
            }
            Ok(Raised::TooFar { is_told: false }) => log::error!(
                "Agent {id} '{name}' at {at} says that it heard number {heard} from this manager, which is not believed, so far is it above \
                 ours. If the agent spoke to another manager before: stop it, remove its queue/rids/{id}, start it. If not, its key is in \
                 wrong hands: make it a new one."
            ),
            Err(error) => log::error!(
                "The numbers of our messages can't be raised above {heard} ({RIDS}/sender_counter): [{}]. Agent {id} '{name}' refuses them.",
                runtime::errno(&error)
            ),
        }
    }

    /// Of agents that were removed or have another key.
    pub(super) fn forget_doubts<'a>(&mut self, ids: impl Iterator<Item = &'a AgentId>) {
        ids.for_each(|id| self.doubting.doubts.forget(id));
    }

    /// Once a second.
    pub(super) fn turn_doubts(&mut self, now: Instant) {
        if self.doubting.doubts.is_empty() {
            return;
        }
        for (id, order) in self.doubting.doubts.turn(now, nonce) {
            self.carry_out(&id, vec![order], now);
        }
    }

    fn carry_out(&mut self, id: &AgentId, orders: Vec<Order>, now: Instant) {
        for order in orders {
            match order {
                Order::Ask(place, message) => {
                    let slot = self.table.by_id(id.as_str().as_bytes());
                    let Some(entry) = slot.and_then(|slot| self.table.entry(slot)) else { return };
                    let Place { address, door, method } = place;
                    let to = Reply { address, door, method, at: now };
                    let text = message.text();
                    self.post.send_to(&self.doors.agents, entry, to, ToAgent::Unknown(&text));
                }
                Order::Say(finding) => self.say(id, finding),
            }
        }
    }

    /// The log's line with what to do, and the event for an alert.
    fn say(&mut self, id: &AgentId, finding: Finding) {
        let slot = self.table.by_id(id.as_str().as_bytes());
        let Some(entry) = slot.and_then(|slot| self.table.entry(slot)) else { return };
        let name = entry.agent.name.to_string();
        let who = entry.agent.file_name();
        let (line, event) = in_words(id, &name, finding);
        match finding {
            Finding::Returned { .. } => log::info!("{line}"),
            Finding::Restored { .. } | Finding::Replayed { .. } => log::warn!("{line}"),
            Finding::Cloned { .. } => log::error!("{line}"),
        }
        self.tell(&who, &event);
    }

    /// An event of our own about an agent, `web01-any->ossec-remoted`.
    pub(super) fn tell(&mut self, agent: &str, text: &str) {
        self.accounts.received += 1;
        let event = format!("1:{agent}->ossec-remoted:{text}");
        if !self.outbox.put(event.as_bytes()) {
            self.accounts.not_events += 1;
        }
    }
}

/// Line of the log and text of the event.
fn in_words(id: &AgentId, name: &str, finding: Finding) -> (String, String) {
    let ip = |address: SocketAddr| source(address).to_string();
    match finding {
        Finding::Restored { at, came, last, is_helped } => {
            let at = ip(at);
            let further = if is_helped {
                "It was told to go on above it; nothing is to be done.".to_owned()
            } else {
                format!(
                    "If you restored it: run 'manage-agents --reset-counter {id}' here and restart the agent. If not: find out who uses its key."
                )
            };
            let line = format!(
                "Agent {id} '{name}' at {at} was restored from an older image: its number {came} is not above {last}. {further}"
            );
            let event = format!(
                "ossec: Agent restored: '{name}' (id {id}) at {at}, number {came} not above {last}."
            );
            (line, event)
        }
        Finding::Returned { at } => (
            format!("Agent {id} '{name}' at {} goes on above the numbers seen before.", ip(at)),
            format!("ossec: Agent resynchronized: '{name}' (id {id}) at {}.", ip(at)),
        ),
        Finding::Cloned { here, there, is_proven } => {
            let (mut here_text, mut there_text) = (ip(here), ip(there));
            if here_text == there_text {
                here_text = format!("{here_text} port {}", here.port());
                there_text = format!("{there_text} port {}", there.port());
            }
            let how = if is_proven { "both have just answered" } else { "they take turns" };
            let line = format!(
                "Agent {id} '{name}' was cloned: the hosts at {here_text} and {there_text} use one key ({how}). Messages of the one whose \
                 numbers are lower are refused. Enrol one of them anew: there, remove etc/client.keys and run agent-auth, or import a \
                 key that manage-agents makes here under another name."
            );
            let event =
                format!("ossec: Agent cloned: '{name}' (id {id}) at {here_text} and {there_text}.");
            (line, event)
        }
        Finding::Replayed { from, count } => {
            let from = ip(from);
            let line = format!(
                "{count} old messages of agent {id} '{name}' came from {from}, where nobody holds its key: they were recorded and are \
                 sent again, or the agent there can't hear us. They were refused; if {from} is not the agent's, find out who it is."
            );
            (
                line,
                format!(
                    "ossec: Agent replayed: '{name}' (id {id}) from {from}, {count} old messages."
                ),
            )
        }
    }
}

fn nonce() -> Option<Nonce> {
    let mut bytes = [0; 16];
    let filled = getrandom(&mut bytes, GetRandomFlags::empty());
    filled.is_ok_and(|filled| filled == bytes.len()).then_some(Nonce(bytes))
}
