//! A manager and three agents on hosts of their own (network namespaces), all real programs.

#[path = "hosts/net.rs"]
mod net;
#[path = "hosts/outages.rs"]
mod outages;
#[path = "hosts/reach.rs"]
mod reach;
#[path = "hosts/relay.rs"]
mod relay;

use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt;

use self::net::{HUB, Net, address};
use self::relay::Relay;
use crate::harness::{Suite, append};

const PORT: u16 = 1514;
const SERVER: &str = "<ossec_config>
  <global><logall>yes</logall></global>
  {rules}
  <syscheck><disabled>yes</disabled></syscheck>
  <remote><connection>secure</connection></remote>
  <command><name>note</name><executable>note.sh</executable><expect>srcip</expect></command>
  <active-response><command>note</command><location>local</location><rules_id>5716</rules_id></active-response>
</ossec_config>
";
const AGENT: &str = "<ossec_config>
  <client><server-ip>{manager}</server-ip><notify_time>1</notify_time></client>
  <syscheck><disabled>yes</disabled></syscheck>
  <localfile><log_format>syslog</log_format><location>{watched}/app.log</location></localfile>
</ossec_config>
";

/// The manager is host 0, agent 00n is host n and its name is webn.
struct Hosts {
    // Stopped before their hosts go.
    manager: Suite,
    agents: Vec<Suite>,
    net: Net,
}

impl Hosts {
    /// An agent for each address that a key is for; they call the manager at `called`. Nothing is started yet. `None` where
    /// namespaces are not permitted.
    fn of(keys_are_for: &[&str], called: Ipv4Addr) -> Option<Self> {
        let net = Net::of(keys_are_for.len() + 1)?;
        let keys: Vec<String> = (1..)
            .zip(keys_are_for)
            .map(|(n, address)| format!("{n:03} web{n} {address} {n:064x}\n"))
            .collect();
        let manager = Suite::of("server", SERVER, Some(net.host(0)));
        put_keys(&manager, &keys.concat());
        let agent = |(n, key): (usize, &String)| {
            let conf = AGENT.replace("{manager}", &called.to_string());
            let agent = Suite::of("agent", &conf, Some(net.host(n)));
            put_keys(&agent, key);
            put_script(&agent);
            agent
        };
        let agents = (1..).zip(&keys).map(agent).collect();
        Some(Self { manager, agents, net })
    }

    fn start(&self) {
        self.manager.start();
        for agent in &self.agents {
            agent.start();
            agent.until("a connection", || agent.log().contains("(4102)"));
        }
    }

    /// Agent `n` sees lines with these numbers.
    fn write(&self, n: usize, numbers: impl Iterator<Item = usize>) {
        let mut lines = String::new();
        for number in numbers {
            writeln!(lines, "Nov 14 22:13:20 web{n} app: SEQ={number};").expect("room");
        }
        append(&self.agents[n - 1].watched().join("app.log"), lines.as_bytes());
    }

    /// The numbers of agent `n` that came to the manager, as they came.
    fn judged(&self, n: usize) -> Vec<usize> {
        let location = format!(" (web{n}) ");
        let archive = self.manager.read("logs/archives/archives.log");
        let lines = archive.lines().filter(|line| line.contains(&location));
        lines
            .filter_map(|line| {
                line.split_once("SEQ=")?.1.trim_end().strip_suffix(';')?.parse().ok()
            })
            .collect()
    }

    /// What remoted tells about agent `n`: `missing`, say.
    fn told(&self, n: usize, key: &str) -> u64 {
        let start = format!("{n:03} ");
        let agents = self.manager.read("var/run/ossec-remoted.agents");
        let line = agents.lines().find(|line| line.starts_with(&start)).unwrap_or_default();
        let value = line.split(' ').find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
        value.and_then(|value| value.parse().ok()).unwrap_or(0)
    }

    fn sum(&self, of: impl Fn(usize) -> u64) -> u64 {
        (1..=self.agents.len()).map(of).sum()
    }
}

fn put_keys(suite: &Suite, keys: &str) {
    let path = suite.root().join("etc/client.keys");
    fs::write(&path, keys).expect("keys");
    fs::set_permissions(path, fs::Permissions::from_mode(0o640)).expect("mode");
}

/// A response, which notes that it was called.
fn put_script(agent: &Suite) {
    let path = agent.root().join("active-response/bin/note.sh");
    let noted = agent.watched().join("noted");
    fs::write(&path, format!("#!/bin/sh\necho \"$@\" >>{}\n", noted.display())).expect("script");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("mode");
}

/// A failed login, which is an alert and has a response.
fn failed_login(from: &str) -> String {
    format!("Nov 14 22:13:20 web sshd[1]: Failed password for root from {from} port 1 ssh2\n")
}

#[test]
fn each_alert_bears_its_agents_location_and_the_response_goes_back_there_only() {
    let fixed = address(1).to_string();
    let Some(hosts) = Hosts::of(&[&fixed, "any", "10.77.0.0/24"], address(0)) else { return };
    hosts.start();
    let locations =
        [format!("(web1) {fixed}->"), "(web2) any->".into(), "(web3) 10.77.0.0->".into()];
    for (n, (agent, location)) in hosts.agents.iter().zip(locations).enumerate() {
        agent.until("shared files", || agent.read("etc/shared/ar.conf").contains("note0"));
        let attacker = format!("203.0.113.{n}");
        let log = agent.watched().join("app.log");
        append(&log, failed_login(&attacker).as_bytes());
        hosts.manager.until_alert(5716, &format!("{location}{}\n", log.display()));
        let noted = agent.watched().join("noted");
        let response = format!("add - {attacker} ");
        agent.until("the response", || {
            fs::read_to_string(&noted).unwrap_or_default().starts_with(&response)
        });
    }
    for agent in &hosts.agents {
        let noted = fs::read_to_string(agent.watched().join("noted")).expect("a response");
        assert_eq!(noted.lines().count(), 1, "one response each: {noted}");
    }
}

#[test]
fn a_response_before_its_table_is_refused_and_the_next_alert_has_one() {
    let Some(hosts) = Hosts::of(&["any"], address(0)) else { return };
    hosts.start();
    let agent = &hosts.agents[0];
    agent.until("shared files", || agent.read("etc/shared/ar.conf").contains("note0"));
    let table = agent.root().join("etc/shared/ar.conf");
    let text = fs::read(&table).expect("a table");
    fs::write(&table, "").expect("no table yet");
    let log = agent.watched().join("app.log");
    append(&log, failed_login("203.0.113.1").as_bytes());
    agent.until("the refusal", || agent.log().contains("ossec-execd(1311)"));
    fs::write(&table, text).expect("the table arrives");
    append(&log, failed_login("203.0.113.2").as_bytes());
    let noted = agent.watched().join("noted");
    agent.until("the response", || noted.exists());
    let noted = fs::read_to_string(noted).expect("a response");
    assert!(noted.starts_with("add - 203.0.113.2 "), "{noted}");
}

#[test]
fn an_agent_at_another_address_goes_on_if_its_key_is_for_any_and_is_refused_otherwise() {
    let fixed = address(2).to_string();
    let Some(hosts) = Hosts::of(&["any", &fixed], address(0)) else { return };
    hosts.start();
    for n in [1, 2] {
        hosts.write(n, 0..10);
        hosts.manager.until("lines", || hosts.judged(n).len() == 10);
    }
    hosts.net.change_address(1, Ipv4Addr::new(10, 77, 0, 101));
    hosts.net.change_address(2, Ipv4Addr::new(10, 77, 0, 102));
    (1..=2).for_each(|n| hosts.write(n, 10..20));
    hosts.manager.until("lines from the new address", || {
        let mut judged = hosts.judged(1);
        judged.dedup();
        judged.last() == Some(&19)
    });
    hosts.manager.until("the refusal", || {
        hosts
            .manager
            .log()
            .contains("ossec-remoted(1213): WARN: Message from '10.77.0.102' not allowed.")
    });
    assert_eq!(hosts.judged(2), (0..10).collect::<Vec<_>>());
    // What was refused waits on the agent: nothing is lost once the address is the right one again.
    let key = format!("002 web2 10.77.0.102 {:064x}\n", 2);
    put_keys(&hosts.agents[1], &key);
    put_keys(&hosts.manager, &format!("001 web1 any {:064x}\n{key}", 1));
    hosts.manager.until("the lines that waited", || hosts.judged(2).last() == Some(&19));
}

#[test]
fn on_a_bad_network_no_line_is_judged_twice_and_each_loss_is_counted() {
    const LINES: usize = 3000;
    let Some(hosts) = Hosts::of(&["any"; 3], HUB) else { return };
    let manager = (IpAddr::from(address(0)), PORT).into();
    let relay = Relay::start(hosts.net.hub_file(), manager);
    hosts.start();
    (1..=3).for_each(|n| hosts.write(n, 0..1));
    hosts.manager.until("first lines", || (1..=3).all(|n| hosts.judged(n).len() == 1));
    relay.be_bad(true);
    (1..=3).for_each(|n| hosts.write(n, 1..LINES));
    for agent in &hosts.agents {
        agent.until("all sent", || agent.account("ossec-agentd", "sent") >= LINES as u64);
    }
    relay.be_bad(false);
    // The last report, on a good network, shows what is missing before it.
    for agent in &hosts.agents {
        agent.stop();
    }
    let sent = relay.counts().sent;
    let sent_by = |n: usize| sent.get(&IpAddr::from(address(n))).copied().unwrap_or(0);
    hosts.manager.stop();
    hosts.manager.assert_balanced("ossec-remoted");
    for n in 1..=3 {
        let told = (hosts.told(n, "accepted"), hosts.told(n, "missing"));
        assert_eq!(told.0 + told.1, sent_by(n), "web{n}: accepted and missing: {told:?}");
    }

    let counts = relay.counts();
    assert!(counts.lost > 0 && counts.repeated > 0 && counts.overtaken > 0, "{counts:?}");
    let mut judged = 0;
    for n in 1..=3 {
        let lines = hosts.judged(n);
        assert!(lines.is_sorted_by(|a, b| a < b), "web{n}: in order, each once: {lines:?}");
        judged += lines.len() as u64;
    }
    let missing = hosts.sum(|n| hosts.told(n, "missing"));
    assert!(missing > 0, "{counts:?}");
    // Of the missing numbers, those that were no events: controls sent, less the controls that came.
    let events: u64 = hosts.agents.iter().map(|agent| agent.account("ossec-agentd", "sent")).sum();
    let controls = hosts.sum(sent_by) - events - hosts.manager.account("ossec-remoted", "filtered");
    assert_eq!(judged + missing - controls, 3 * LINES as u64, "{counts:?}");
}
