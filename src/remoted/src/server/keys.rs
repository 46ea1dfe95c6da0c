//! client.keys and the counters while the daemon runs: who comes and goes takes effect at once.

use std::collections::HashSet;
use std::io;
use std::time::{Duration, Instant};

use agents::{AgentId, Diff, info};
use runtime::errno;
use wire::keepalive::AgentInfo;

use super::Server;

/// Least time between two looks at client.keys that unknown senders ask for.
const KEYS_PAUSE: Duration = Duration::from_millis(100);

impl Server {
    pub(super) fn keys_changed_meanwhile(&mut self, now: Instant) -> bool {
        if now.saturating_duration_since(self.keys_looked_at) < KEYS_PAUSE {
            return false;
        }
        self.look_at_keys(now).unwrap_or(false)
    }

    /// Several times a second: who was added, removed or changed in client.keys.
    pub fn keep_keys(&mut self, now: Instant) {
        let looked = self.look_at_keys(now);
        if let Err(error) = &looked
            && !self.keys_complained
        {
            let path = self.root.join("etc/client.keys");
            let (path, why) = (path.display(), errno(error));
            log::error!(
                "(1103) Could not open file '{path}' due to [{why}]. The agents stay as they were."
            );
        }
        self.keys_complained = looked.is_err();
    }

    pub(super) fn look_at_keys(&mut self, now: Instant) -> io::Result<bool> {
        self.keys_looked_at = now;
        let is_first = !std::mem::replace(&mut self.keys_were_read, true);
        let Some(diff) = self.keys.poll()? else { return Ok(false) };
        for problem in self.keys.file().problems() {
            log::error!("(1401) Error reading authentication key: '{problem}'.");
        }
        if self.keys.is_over_limit() {
            let limit = self.keys.table().len();
            log::error!(
                "(4110) Maximum number of agents '{limit}' reached. The rest of client.keys is not used; see remoted.max_agents."
            );
        }
        self.forget(&diff);
        self.table.update(self.keys.table());
        if is_first && self.how.pin_methods {
            self.pin_methods();
        }
        if is_first {
            log::info!("{} agents in client.keys.", self.table.len());
        } else {
            log::info!("(1409) Authentication file changed. Updating.");
            let names = |ids: &[AgentId]| {
                ids.iter().take(20).map(AgentId::as_str).collect::<Vec<_>>().join(" ")
            };
            let removed: Vec<AgentId> = diff.removed.iter().map(|agent| agent.id.clone()).collect();
            for (what, ids) in
                [("Added", &diff.added), ("Changed", &diff.changed), ("Removed", &removed)]
            {
                if !ids.is_empty() {
                    log::info!("{what}: {} of the agents ({}).", ids.len(), names(ids));
                }
            }
        }
        Ok(true)
    }

    /// Which cipher each agent was heard by before our start.
    fn pin_methods(&mut self) {
        let root = &self.root;
        for entry in self.table.iter_mut().filter(|entry| entry.known.method.is_none()) {
            let file = info::read(root, &entry.agent).unwrap_or_default();
            entry.known.method = AgentInfo::parse(&file).method;
        }
    }

    /// Before the table changes: lets go of the numbers of who was removed, and of who has another key.
    fn forget(&mut self, diff: &Diff) {
        self.forget_doubts(diff.removed.iter().map(|agent| &agent.id).chain(&diff.changed));
        let marked: HashSet<AgentId> = self.keys.file().removed().cloned().collect();
        for agent in &diff.removed {
            if !marked.contains(&agent.id) {
                // The line is merely gone, maybe for the moment in which the file is edited: with the numbers given up,
                // all that was ever sent could be sent again.
                self.gone.insert(agent.id.clone(), agent.key.clone());
                continue;
            }
            // Its other files are for manage-agents, which links them to the backup first.
            if let Err(error) = self.received.forget(&agent.id) {
                log::warn!("The counters of agent {} stay: [{}].", agent.id, errno(&error));
            }
        }
        for id in diff.added.iter().chain(&diff.changed) {
            let digits = id.as_str().as_bytes();
            let slot = self.table.by_id(digits);
            let known = slot.and_then(|slot| self.table.entry(slot));
            let old = self.gone.remove(id).or_else(|| known.map(|entry| entry.agent.key.clone()));
            let new = self.keys.table().by_id(digits).map(|agent| agent.key.clone());
            // Nothing that was sealed with the old key opens with the new one: its numbers begin anew.
            if old.is_some()
                && old != new
                && let Err(error) = self.received.reset(id)
            {
                log::warn!("The numbers of agent {id} could not begin anew: [{}].", errno(&error));
            }
        }
    }

    /// On reload: counters that the administrator replaced.
    pub fn look_at_numbers(&mut self) {
        match self.received.look() {
            Ok(replaced) => {
                for id in replaced {
                    log::info!(
                        "The counter of agent {id} was replaced; its messages count from there."
                    );
                }
            }
            Err(error) => log::error!("The counters can't be read again: [{}].", errno(&error)),
        }
        if let Err(error) = self.post.look() {
            log::error!("The sender counter can't be read again: [{}].", errno(&error));
        }
    }
}
