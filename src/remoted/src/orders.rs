//! Requests for agents that can't be reached now: right after our start nobody has been heard yet, and an agent may be away for a
//! while. Each waits for [`PATIENCE`], is sent when its agent speaks, and is given up with a word in the log: never in silence.
//!
//! Pure: no socket, no clock. In memory only: [`Orders::len`] is what an end of the daemon gives up.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use agents::AgentId;
use wire::response::{Recipient, Request};

/// How long a request waits: two periods of the keepalives of OSSEC's agents.
pub const PATIENCE: Duration = Duration::from_secs(1200);

/// Requests that may wait for one agent; one more takes the place of the oldest.
const MOST: usize = 16;

/// What waits, for whom.
#[derive(Debug, Default)]
pub struct Orders {
    waiting: BTreeMap<AgentId, VecDeque<Order>>,
}

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    plain: bool,
    rest: Arc<[u8]>,
    until: Instant,
}

/// What came of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It waits no longer: it was sent, or nobody is there to get it.
    Over,
    /// The agent can't be reached yet.
    Waits,
}

impl Orders {
    /// Keeps a request for an agent. The same one again waits once, for the whole time anew. Gives back what was given up for it.
    pub fn keep(&mut self, id: &AgentId, request: &Request<'_>, now: Instant) -> Option<Order> {
        let orders = self.waiting.entry(id.clone()).or_default();
        let order =
            Order { plain: request.plain, rest: request.rest.into(), until: now + PATIENCE };
        orders.retain(|other| other.plain != order.plain || other.rest != order.rest);
        orders.push_back(order);
        if orders.len() > MOST { orders.pop_front() } else { None }
    }

    /// Tries each; gives back those whose time is over, with their agents.
    pub fn turn(
        &mut self,
        now: Instant,
        mut send: impl FnMut(&AgentId, &Request<'_>) -> Fate,
    ) -> BTreeMap<Arc<[u8]>, Vec<AgentId>> {
        let mut given_up: BTreeMap<Arc<[u8]>, Vec<AgentId>> = BTreeMap::new();
        self.waiting.retain(|id, orders| {
            orders.retain(|order| {
                if send(id, &order.request()) == Fate::Over {
                    return false;
                }
                let is_over = order.until <= now;
                if is_over {
                    given_up.entry(Arc::clone(&order.rest)).or_default().push(id.clone());
                }
                !is_over
            });
            !orders.is_empty()
        });
        given_up
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.values().map(VecDeque::len).sum()
    }

    /// Whether none does.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

impl Order {
    /// What is asked for, for the log.
    pub fn text(&self) -> impl std::fmt::Display + '_ {
        self.rest.escape_ascii()
    }

    fn request(&self) -> Request<'_> {
        Request { recipient: Recipient::Nobody, plain: self.plain, rest: &self.rest }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> AgentId {
        AgentId::parse(text.as_bytes()).unwrap()
    }

    fn request(rest: &[u8]) -> Request<'_> {
        Request { recipient: Recipient::All, plain: true, rest }
    }

    #[test]
    fn an_order_waits_for_its_agent_and_is_sent_once() {
        let (mut orders, now) = (Orders::default(), Instant::now());
        orders.keep(&id("001"), &request(b"scan"), now);
        orders.keep(&id("001"), &request(b"scan"), now);
        orders.keep(&id("002"), &request(b"scan"), now);
        assert_eq!(orders.len(), 2);
        let mut tried = Vec::new();
        let given_up = orders.turn(now, |id, request| {
            tried.push((id.to_string(), request.rest.to_vec()));
            if id.as_str() == "001" { Fate::Over } else { Fate::Waits }
        });
        assert!(given_up.is_empty());
        assert_eq!(tried, [("001".into(), b"scan".to_vec()), ("002".into(), b"scan".to_vec())]);
        assert_eq!(orders.len(), 1);
    }

    #[test]
    fn what_was_waited_for_in_vain_is_given_up_by_name() {
        let (mut orders, now) = (Orders::default(), Instant::now());
        for agent in ["001", "002"] {
            orders.keep(&id(agent), &request(b"scan"), now);
        }
        let early = now + PATIENCE - Duration::from_secs(1);
        assert!(orders.turn(early, |_, _| Fate::Waits).is_empty());
        let given_up = orders.turn(now + PATIENCE, |_, _| Fate::Waits);
        assert_eq!(
            given_up.into_iter().collect::<Vec<_>>(),
            [(b"scan"[..].into(), vec![id("001"), id("002")])]
        );
        assert!(orders.is_empty());
    }

    #[test]
    fn the_oldest_of_too_many_is_given_up_and_told() {
        let (mut orders, now) = (Orders::default(), Instant::now());
        let given_up: Vec<String> = (0..=MOST)
            .filter_map(|at| orders.keep(&id("001"), &request(at.to_string().as_bytes()), now))
            .map(|order| order.text().to_string())
            .collect();
        assert_eq!(given_up, ["0"]);
        assert_eq!(orders.len(), MOST);
    }
}
