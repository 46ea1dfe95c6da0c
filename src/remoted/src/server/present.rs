//! What agents say about themselves, and whether they say anything: lines, events. The thinking is in [`crate::presence`].

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use agents::{AgentId, info};
use wire::keepalive::AgentInfo;
use wire::ours::Mark;

use super::Server;
use crate::agents_table::Entry;
use crate::intake::source;
use crate::presence::Change;

/// How often silences are looked at.
const LOOK: Duration = Duration::from_secs(3);

impl Server {
    /// Before a keepalive is noted: what it tells beyond that the agent lives.
    pub(super) fn note_change(&mut self, entry_id: &AgentId, now: Option<Mark>, from: SocketAddr) {
        let Some(entry) = self.entry_of(entry_id) else { return };
        if entry.known.mark == now {
            return;
        }
        // The first keepalive since our start: what it said to the daemon before us.
        let before = entry.known.mark.or_else(|| {
            let file = info::read(&self.root, &entry.agent).unwrap_or_default();
            AgentInfo::parse(&file).mark
        });
        let Some(change) = Change::between(before, now) else { return };
        let (name, who) = (entry.agent.name.to_string(), entry.agent.file_name());
        let at = source(from);
        let (start, end) = change.words();
        match change {
            Change::RestartedWithoutExit => log::warn!(
                "Restart without prior exit: agent {entry_id} '{name}' at {at} was started again and never said that it ends: killed, crashed, or the machine was switched off."
            ),
            Change::Suspended => log::warn!(
                "Agent {entry_id} '{name}' at {at} was suspended there (SIGUSR2): it watches nothing until it is told to go on."
            ),
            Change::Resumed => log::info!("Agent {entry_id} '{name}' at {at} goes on."),
            Change::Stopped => log::info!("Agent {entry_id} '{name}' at {at} was stopped."),
        }
        self.tell(&who, &format!("ossec: {start}: '{name}' (id {entry_id}) at {at}{end}"));
    }

    /// Who has been silent for longer than `<client_time_limit>`.
    pub(super) fn look_at_silences(&mut self, now: Instant) {
        if now.saturating_duration_since(self.silences_looked_at) < LOOK {
            return;
        }
        self.silences_looked_at = now;
        for id in self.silences.look(&self.table, now) {
            let Some(entry) = self.entry_of(&id) else { continue };
            let (name, who) = (entry.agent.name.to_string(), entry.agent.file_name());
            let at = entry.known.heard_from.map_or("-".to_owned(), |from| source(from).to_string());
            let limit = self.silences.limit().unwrap_or_default().as_secs();
            log::warn!(
                "Time limit exceeded: agent {id} '{name}' at {at} has said nothing for more than {limit} s (<client_time_limit>)."
            );
            self.tell(
                &who,
                &format!("ossec: Agent silent: '{name}' (id {id}) at {at}: Time limit exceeded ({limit} s)."),
            );
        }
    }

    pub(super) fn entry_of(&self, id: &AgentId) -> Option<&Entry> {
        self.table.by_id(id.as_str().as_bytes()).and_then(|slot| self.table.entry(slot))
    }
}
