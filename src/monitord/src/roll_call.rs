//! Who of the registered agents has fallen silent. Pure: what is on disk and two clocks in, names out.
//!
//! An agent is gone after 3 x `monitord.notify_time` + 30 s without a sign of life, which is a new modification time of its
//! file in `queue/agent-info`. Silence is measured by the clock that never jumps; the wall clock only says how long an
//! agent had been silent when it was first looked at. Time in which nobody listened, because the suite was stopped,
//! does not count as silence.

use std::collections::BTreeMap;
use std::time::Duration;

/// Seconds since 1970 by the wall clock, as file times are.
pub type Epoch = i64;

/// How often a silent agent, or one that was never seen, is looked at.
const SLOW: Duration = Duration::from_secs(30);

/// Now, by both clocks.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// The wall clock, which may jump.
    pub epoch: Epoch,
    /// Since the daemon started.
    pub uptime: Duration,
}

/// All registered agents, by the name of their file: `web1-10.0.0.7`.
#[derive(Debug)]
pub struct RollCall {
    limit: Duration,
    /// When the daemon that ran before was last alive.
    listened_until: Option<Epoch>,
    agents: BTreeMap<String, Agent>,
    /// Silences that were reported by the daemon that ran before: file and its modification time.
    reported: BTreeMap<String, Epoch>,
}

#[derive(Debug, Clone, Copy)]
struct Agent {
    /// The modification time of its file; `None`: there is none.
    sign: Option<Epoch>,
    /// When it gave that sign, as far as is known.
    heard: Duration,
    /// How much of the silence lies before the start.
    earlier: Duration,
    looked: Duration,
    look_at: Duration,
    is_reported: bool,
}

impl RollCall {
    /// Nobody yet; `reported` and `listened_until` are what the daemon that ran before has left.
    pub fn new(
        limit: Duration,
        reported: BTreeMap<String, Epoch>,
        listened_until: Option<Epoch>,
    ) -> Self {
        Self { limit, listened_until, agents: BTreeMap::new(), reported }
    }

    /// Changes how long an agent may be silent.
    pub fn set_limit(&mut self, limit: Duration) {
        self.limit = limit;
        self.agents.values_mut().for_each(|agent| agent.look_at = Duration::ZERO);
    }

    /// Takes over the list of registered agents; gives those that are no longer on it though they were alive: OSSEC
    /// reports them as disconnected.
    pub fn register(&mut self, names: impl IntoIterator<Item = String>) -> Vec<String> {
        let mut before = std::mem::take(&mut self.agents);
        for name in names {
            let agent = before.remove(&name).unwrap_or(Agent {
                sign: None,
                heard: Duration::ZERO,
                earlier: Duration::ZERO,
                looked: Duration::ZERO,
                look_at: Duration::ZERO,
                is_reported: false,
            });
            self.agents.insert(name, agent);
        }
        let was_alive = |agent: &Agent| agent.sign.is_some() && !agent.is_reported;
        before.into_iter().filter(|(_, agent)| was_alive(agent)).map(|(name, _)| name).collect()
    }

    /// Looks at those whose time has come (`sign` gives the modification time of an agent's file); gives those that are
    /// to be reported, each once for each silence.
    pub fn call(&mut self, now: Now, sign: &mut dyn FnMut(&str) -> Option<Epoch>) -> Vec<String> {
        let mut gone = Vec::new();
        for (name, agent) in &mut self.agents {
            if now.uptime < agent.look_at {
                continue;
            }
            let seen = sign(name);
            if seen.is_some() && seen != agent.sign {
                let is_first = agent.sign.is_none() && agent.looked.is_zero();
                agent.hear(seen, now, is_first.then_some(self.listened_until));
                agent.is_reported = is_first && self.reported.get(name).copied() == seen;
            }
            agent.looked = now.uptime.max(Duration::from_nanos(1));
            let silence = now.uptime.saturating_sub(agent.heard).saturating_add(agent.earlier);
            let is_gone = agent.sign.is_some() && silence > self.limit;
            if is_gone && !agent.is_reported {
                agent.is_reported = true;
                gone.push(name.clone());
            }
            let is_alive = agent.sign.is_some() && !is_gone;
            let rest = self.limit.saturating_sub(silence).max(Duration::from_secs(1));
            agent.look_at = now.uptime + if is_alive { rest } else { SLOW };
        }
        gone
    }

    /// The silences that have been reported and go on.
    pub fn reported(&self) -> impl Iterator<Item = (&str, Epoch)> {
        let reported = self.agents.iter().filter(|(_, agent)| agent.is_reported);
        reported.filter_map(|(name, agent)| Some((name.as_str(), agent.sign?)))
    }

    /// Registered agents, and how many of them are silent.
    pub fn counts(&self) -> (u64, u64) {
        let silent = self.agents.values().filter(|agent| agent.is_reported).count();
        (self.agents.len() as u64, silent as u64)
    }
}

impl Agent {
    /// There is a new sign of life; `first` is given when it is the first look, with the time until when anybody listened.
    fn hear(&mut self, sign: Option<Epoch>, now: Now, first: Option<Option<Epoch>>) {
        let seconds = |n: i64| Duration::from_secs(u64::try_from(n).unwrap_or(0));
        let age = sign.map_or(Duration::ZERO, |at| seconds(now.epoch.saturating_sub(at)));
        self.sign = sign;
        match first {
            Some(listened_until) => {
                let until = listened_until.unwrap_or(now.epoch).min(now.epoch);
                let listened = sign.map_or(0, |at| until.saturating_sub(at));
                self.heard = now.uptime;
                self.earlier = seconds(listened);
            }
            // Since the last look, whatever the wall clock says.
            None => {
                self.heard = now.uptime.saturating_sub(age).max(self.looked);
                self.earlier = Duration::ZERO;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(1830);
    const START: Epoch = 1_700_000_000;

    fn at(seconds: u64) -> Now {
        Now { epoch: START + seconds as i64, uptime: Duration::from_secs(seconds) }
    }

    fn roll_call(names: &[&str]) -> RollCall {
        let mut roll = RollCall::new(LIMIT, BTreeMap::new(), None);
        roll.register(names.iter().map(|&name| name.to_owned()));
        roll
    }

    #[test]
    fn silence_is_reported_once_until_there_is_a_sign_of_life() {
        let mut roll = roll_call(&["web1-any"]);
        let mut sign = START;
        let mut gone = Vec::new();
        for second in 0..10_000 {
            if second == 5000 {
                sign = START + 5000;
            }
            if !roll.call(at(second), &mut |_| Some(sign)).is_empty() {
                gone.push(second);
            }
        }
        assert_eq!(gone.len(), 2, "{gone:?}");
        assert_eq!(gone[0], 1831);
        assert!((6831..=6861).contains(&gone[1]), "{gone:?}");
    }

    #[test]
    fn an_agent_that_was_down_at_the_start_is_reported_and_not_again_after_a_restart() {
        let down = START - 4000;
        let mut roll = roll_call(&["web1-any"]);
        assert_eq!(roll.call(at(0), &mut |_| Some(down)), ["web1-any"]);
        let reported: BTreeMap<String, Epoch> =
            roll.reported().map(|(name, sign)| (name.to_owned(), sign)).collect();
        let mut roll = RollCall::new(LIMIT, reported, Some(START));
        roll.register(["web1-any".to_owned()]);
        assert!((0..4000).all(|n| roll.call(at(n), &mut |_| Some(down)).is_empty()));
        assert_eq!(roll.counts(), (1, 1));
    }

    #[test]
    fn time_in_which_nobody_listened_is_no_silence() {
        // Its last sign came 100 s before the suite was stopped for a day.
        let mut roll = RollCall::new(LIMIT, BTreeMap::new(), Some(START - 86_400));
        roll.register(["web1-any".to_owned()]);
        let first =
            (0..4000).find(|&n| !roll.call(at(n), &mut |_| Some(START - 86_500)).is_empty());
        assert_eq!(first, Some(1731));
    }

    #[test]
    fn jumps_of_the_wall_clock_kill_nobody() {
        for jump in [-86_400 * 400, 86_400 * 3, 86_400 * 400] {
            let mut roll = roll_call(&["web1-any"]);
            for second in 0..20_000 {
                let jumped = if second > 3000 { jump } else { 0 };
                let now = Now { epoch: START + second + jumped, ..at(second as u64) };
                // A sign of life every ten minutes, as the clock shows.
                let last = second / 600 * 600;
                let sign = START + last + if last > 3000 { jump } else { 0 };
                assert!(roll.call(now, &mut |_| Some(sign)).is_empty(), "{jump} {second}");
            }
        }
    }

    #[test]
    fn who_was_never_seen_is_not_missed_and_who_is_removed_alive_is() {
        let mut roll = roll_call(&["new-any", "web1-any"]);
        let mut sign = |name: &str| (name == "web1-any").then_some(START);
        assert!((0..1800).all(|n| roll.call(at(n), &mut sign).is_empty()));
        assert_eq!(roll.register(["other-any".to_owned()]), ["web1-any"]);
    }

    #[test]
    fn a_live_agent_is_not_looked_at_in_vain() {
        let mut roll = roll_call(&["web1-any"]);
        let mut looks = 0;
        for second in 0..1800 {
            roll.call(at(second), &mut |_| {
                looks += 1;
                Some(START)
            });
        }
        assert_eq!(looks, 1);
    }
}
