//! A manager that is away for a while, and daemons that are killed while lines are written.

use std::collections::HashMap;
use std::thread;
use std::time::Duration;

use super::net::address;
use super::{Hosts, failed_login};
use crate::harness::append;

/// How often each of the numbers 0 to `lines` came.
fn times(judged: &[usize], lines: usize) -> Vec<usize> {
    let mut times: HashMap<usize, usize> = HashMap::new();
    for number in judged {
        *times.entry(*number).or_default() += 1;
    }
    (0..lines).map(|number| times.get(&number).copied().unwrap_or(0)).collect()
}

impl Hosts {
    /// Waits until every line of agent `n` was judged.
    fn until_all(&self, n: usize, lines: usize) {
        self.manager.until(&format!("all lines of web{n}"), || {
            times(&self.judged(n), lines).iter().all(|times| *times > 0)
        });
    }

    /// What agent `n` says it sent again.
    fn resent(&self, n: usize) -> usize {
        let agent = &self.agents[n - 1];
        usize::try_from(agent.account("ossec-agentd", "resent")).expect("few")
    }
}

#[test]
fn while_the_manager_is_away_lines_wait_beyond_the_spool_in_the_logs_and_come_in_order() {
    /// About twice what fits into the smallest spool, 1 MiB.
    const LINES: usize = 20_000;
    let Some(hosts) = Hosts::of(&["any"; 3], address(0)) else { return };
    let options = hosts.agents[0].root().join("etc/local_internal_options.conf");
    append(&options, b"\nagent.spool_size=1\n");
    hosts.start();
    (1..=3).for_each(|n| hosts.write(n, 0..10));
    (1..=3).for_each(|n| hosts.until_all(n, 10));
    for agent in &hosts.agents {
        agent.until("confirmation", || agent.account("ossec-agentd", "confirmed") >= 10);
    }
    hosts.manager.stop();
    hosts.write(1, 10..LINES);
    (2..=3).for_each(|n| hosts.write(n, 10..1000));
    let waiting = |n: usize| hosts.agents[n - 1].account("ossec-agentd", "spool_bytes");
    hosts.agents[0].until("a full spool", || waiting(1) >= 1 << 20);
    hosts.manager.start();
    for (n, lines) in [(1, LINES), (2, 1000), (3, 1000)] {
        hosts.until_all(n, lines);
        assert_eq!(hosts.judged(n), (0..lines).collect::<Vec<_>>(), "web{n}: in order, each once");
    }
}

#[test]
fn a_manager_that_is_restarted_while_lines_are_written_misses_none() {
    const LINES: usize = 3000;
    let Some(hosts) = Hosts::of(&["any"; 3], address(0)) else { return };
    hosts.start();
    for at in (0..LINES).step_by(30) {
        (1..=3).for_each(|n| hosts.write(n, at..at + 30));
        if at == LINES / 3 {
            let output = hosts.manager.control(&["restart"]);
            assert!(output.status.success(), "{}", hosts.manager.log());
        }
        // A pace, so that there is something to be written all the time.
        thread::sleep(Duration::from_millis(10));
    }
    for n in 1..=3 {
        hosts.until_all(n, LINES);
        let again = hosts.judged(n).len() - LINES;
        assert!(again <= hosts.resent(n), "web{n}: {again} twice, {} resent", hosts.resent(n));
    }
}

#[test]
fn whichever_daemon_is_killed_every_line_is_judged() {
    const STEPS: usize = 300;
    const STEP: usize = 20;
    const LINES: usize = STEPS * STEP;
    let Some(hosts) = Hosts::of(&["any"; 3], address(0)) else { return };
    hosts.start();
    let (manager, agents) = (&hosts.manager, &hosts.agents);
    let kills = [
        (20, &agents[0], "ossec-agentd"),
        (40, &agents[1], "ossec-logcollector"),
        (60, &agents[2], "ossec-execd"),
        (80, manager, "ossec-analysisd"),
        (140, manager, "ossec-remoted"),
        (200, &agents[1], "ossec-agentd"),
        (200, manager, "ossec-remoted"),
        (220, &agents[0], "ossec-logcollector"),
        (240, manager, "ossec-analysisd"),
    ];
    for step in 0..STEPS {
        (1..=3).for_each(|n| hosts.write(n, step * STEP..(step + 1) * STEP));
        for (_, suite, daemon) in kills.iter().filter(|(at, ..)| *at == step) {
            suite.until(daemon, || suite.kill(daemon));
        }
        // A pace, so that daemons are killed at work.
        thread::sleep(Duration::from_millis(10));
    }
    for n in 1..=3 {
        hosts.until_all(n, LINES);
    }
    // The response finds its way again.
    append(&agents[2].watched().join("app.log"), failed_login("203.0.113.9").as_bytes());
    let noted = agents[2].watched().join("noted");
    agents[2].until("the response", || noted.exists());
}
