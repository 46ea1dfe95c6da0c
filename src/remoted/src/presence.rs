//! What an agent's state of life comes to: restarted without having said goodbye, suspended, back at work, stopped, silent for too long.
//!
//! Agents of ours say in each keepalive what they do and which start of theirs it is ([`Mark`]); silence is measured for all. Pure.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use agents::AgentId;
use wire::ours::{Mark, State};

use crate::agents_table::AgentsTable;

/// What happened between two keepalives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Another start of the agent, and the one before never said that it ends.
    RestartedWithoutExit,
    /// It does nothing until it is told to go on.
    Suspended,
    /// It goes on.
    Resumed,
    /// It ended in good order.
    Stopped,
}

impl Change {
    /// From what it said before (on disk also after a restart of ours) and says now.
    pub fn between(before: Option<Mark>, now: Option<Mark>) -> Option<Self> {
        let (before, now) = (before?, now?);
        if before.run != now.run && before.state == State::Running {
            return Some(Self::RestartedWithoutExit);
        }
        match (before.state, now.state) {
            (State::Suspended, State::Suspended) | (State::Exiting, State::Exiting) => None,
            (_, State::Suspended) => Some(Self::Suspended),
            (_, State::Exiting) => Some(Self::Stopped),
            (State::Suspended, State::Running) if before.run == now.run => Some(Self::Resumed),
            (_, State::Running) => None,
        }
    }

    /// The beginning and the end of its event.
    pub fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::RestartedWithoutExit => ("Agent restarted", ": Restart without prior exit."),
            Self::Suspended => ("Agent suspended", "."),
            Self::Resumed => ("Agent resumed", "."),
            Self::Stopped => ("Agent stopped", "."),
        }
    }
}

/// How long each agent has been silent.
#[derive(Debug, Default)]
pub struct Silences {
    limit: Option<Duration>,
    agents: HashMap<AgentId, Silence>,
}

#[derive(Debug)]
struct Silence {
    accepted: u64,
    since: Instant,
    is_reported: bool,
}

impl Silences {
    /// Above `limit` a silence is reported; `None`: never.
    pub fn set_limit(&mut self, limit: Option<Duration>) {
        self.limit = limit;
        if limit.is_none() {
            self.agents.clear();
        }
    }

    /// The limit.
    pub fn limit(&self) -> Option<Duration> {
        self.limit
    }

    /// Every few seconds: who is over the limit since the last look. Once for each silence; neither who was never heard since
    /// the start, nor who said that it ends. That an agent is suspended is no excuse.
    pub fn look(&mut self, table: &AgentsTable, now: Instant) -> Vec<AgentId> {
        let Some(limit) = self.limit else { return Vec::new() };
        let mut over = Vec::new();
        let mut agents = std::mem::take(&mut self.agents);
        for entry in table.iter().filter(|entry| entry.known.accepted > 0) {
            let (id, known) = (&entry.agent.id, &entry.known);
            let fresh = Silence { accepted: known.accepted, since: now, is_reported: false };
            let silence = match agents.remove(id) {
                Some(silence) if silence.accepted == known.accepted => silence,
                _ => fresh,
            };
            let has_left = known.mark.is_some_and(|mark| mark.state == State::Exiting);
            let is_over = !has_left && now.saturating_duration_since(silence.since) > limit;
            if is_over && !silence.is_reported {
                over.push(id.clone());
            }
            let is_reported = silence.is_reported || is_over;
            self.agents.insert(id.clone(), Silence { is_reported, ..silence });
        }
        over
    }
}

#[cfg(test)]
mod tests {
    use agents::{KeyFile, Table};

    use super::*;

    fn mark(state: State, run: u32) -> Option<Mark> {
        Some(Mark { state, run })
    }

    #[test]
    fn who_did_not_say_goodbye_and_starts_again_is_noticed() {
        use State::{Exiting, Running, Suspended};
        let between = Change::between;
        let without = Some(Change::RestartedWithoutExit);
        assert_eq!(between(mark(Running, 1), mark(Running, 2)), without);
        assert_eq!(between(mark(Running, 1), mark(Exiting, 2)), without);
        assert_eq!(between(mark(Exiting, 1), mark(Running, 2)), None);
        assert_eq!(between(mark(Suspended, 1), mark(Running, 2)), None);
        assert_eq!(between(None, mark(Running, 2)), None);
        assert_eq!(between(mark(Running, 1), None), None, "an agent of OSSEC was put in its place");
        assert_eq!(between(mark(Running, 1), mark(Running, 1)), None);
        assert_eq!(between(mark(Running, 1), mark(Suspended, 1)), Some(Change::Suspended));
        assert_eq!(between(mark(Suspended, 1), mark(Suspended, 1)), None);
        assert_eq!(between(mark(Suspended, 1), mark(Running, 1)), Some(Change::Resumed));
        assert_eq!(between(mark(Running, 1), mark(Exiting, 1)), Some(Change::Stopped));
        assert_eq!(between(mark(Suspended, 1), mark(Exiting, 1)), Some(Change::Stopped));
    }

    #[test]
    fn a_silence_is_reported_once_and_never_that_of_who_was_not_heard_or_has_left() {
        let mut table = AgentsTable::default();
        table.update(&Table::new(&KeyFile::parse(b"001 a any k\n002 b any k\n003 c any k\n"), 9));
        let hear = |table: &mut AgentsTable, id: &[u8], mark: Option<Mark>| {
            let slot = table.by_id(id).unwrap();
            let known = &mut table.entry_mut(slot).unwrap().known;
            known.accepted += 1;
            known.mark = mark;
        };
        hear(&mut table, b"001", mark(State::Suspended, 1));
        hear(&mut table, b"002", mark(State::Exiting, 1));
        let mut silences = Silences::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(silences.look(&table, at(0)).is_empty());
        silences.set_limit(Some(Duration::from_secs(10)));
        let mut over = Vec::new();
        for second in 0..100 {
            if second == 50 {
                hear(&mut table, b"001", None);
            }
            over.extend(
                silences.look(&table, at(second)).into_iter().map(|id| (second, id.to_string())),
            );
        }
        assert_eq!(over, [(11, "001".to_owned()), (61, "001".to_owned())]);
    }
}
