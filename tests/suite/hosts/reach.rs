//! Ways between agents and managers: one that a firewall closes, one by IPv6, two addresses of one host, a second manager.

use std::net::Ipv4Addr;

use rustix::process::Signal;

use super::net::{Net, address, address6};
use super::{AGENT, Hosts, SERVER, put_keys};
use crate::harness::{Suite, append, text};

const DROP_AT_MANAGER: &str = "add table inet t; add chain inet t c { type filter hook input priority 0; }; \
     add rule inet t c udp dport 1514 drop";
const DROP_AT_AGENT: &str = "add table inet t; add chain inet t c { type filter hook output priority 0; }; \
     add rule inet t c udp dport 1514 drop";

/// What `diagnose` says, which must not be that all is well.
fn trouble(agent: &Suite) -> String {
    let output = agent.control(&["diagnose"]);
    let said = text(&output);
    assert!(!output.status.success(), "{said}");
    said
}

fn write(agent: &Suite, what: &str) {
    let line = format!("Nov 14 22:13:20 web app: {what};\n");
    append(&agent.watched().join("app.log"), line.as_bytes());
}

fn until_judged(manager: &Suite, location: &str, what: &str) {
    manager.until(&format!("'{what}' of {location}"), || {
        let archive = manager.read("logs/archives/archives.log");
        archive.lines().any(|line| line.contains(location) && line.contains(&format!("{what};")))
    });
}

#[test]
fn a_firewall_that_drops_the_port_is_named_by_the_agents_diagnosis() {
    let Some(hosts) = Hosts::of(&["any"], address(0)) else { return };
    let agent = &hosts.agents[0];
    hosts.start();
    if !hosts.net.filter(0, DROP_AT_MANAGER) {
        return;
    }
    // The accounts on disk may be some seconds old: they have to know of the silence.
    agent.until("unanswered reports", || {
        agent.signal("ossec-agentd", Signal::USR1);
        agent.account("ossec-agentd", "keepalives") > agent.account("ossec-agentd", "acks") + 1
    });
    let said = trouble(agent);
    assert!(said.contains("(4101)") && said.contains("a firewall drops UDP 1514"), "{said}");
    agent.stop();
    let said = trouble(agent);
    assert!(said.contains("(1301), (4101)"), "agentd's program by itself: {said}");
    assert!(said.contains("a firewall drops UDP 1514"), "{said}");
    assert!(hosts.net.filter(1, DROP_AT_AGENT));
    let said = trouble(agent);
    assert!(said.contains("firewall: this host does not let UDP to '10.77.0.1' out"), "{said}");
}

#[test]
fn agents_reach_their_own_of_two_remote_blocks_by_ipv6_and_by_the_address_they_bind() {
    let Some(net) = Net::of(3) else { return };
    if !net.add_ipv6() {
        return;
    }
    let second = Ipv4Addr::new(10, 77, 0, 203);
    net.add_address(2, second);
    let keys = [
        format!("001 web1 {} {:064x}\n", address6(1), 1),
        format!("002 web2 {second} {:064x}\n", 2),
    ];
    let remote = "<remote><connection>secure</connection></remote>";
    let block =
        |at: String| remote.replace("</remote>", &format!("<local_ip>{at}</local_ip></remote>"));
    let blocks = block(address6(0).to_string()) + &block(address(0).to_string());
    let manager = Suite::of("server", &SERVER.replace(remote, &blocks), Some(net.host(0)));
    put_keys(&manager, &keys.concat());
    let bind = format!("<bind_address>{second}</bind_address></client>");
    let confs = [
        AGENT.replace("{manager}", &address6(0).to_string()),
        AGENT.replace("{manager}", &address(0).to_string()).replace("</client>", &bind),
    ];
    manager.start();
    let locations = [format!("(web1) {}->", address6(1)), format!("(web2) {second}->")];
    for (n, ((conf, key), location)) in (1..).zip(confs.iter().zip(&keys).zip(&locations)) {
        let agent = Suite::of("agent", conf, Some(net.host(n)));
        put_keys(&agent, key);
        agent.start();
        agent.until("a connection", || agent.log().contains("(4102)"));
        // Not the same for both: analysis passes over a line that it has just had, whoever it is from.
        let seen = format!("SEEN{n}");
        write(&agent, &seen);
        until_judged(&manager, location, &seen);
        let output = agent.control(&["diagnose"]);
        assert!(text(&output).contains("the manager answers"), "{}", text(&output));
    }
}

#[test]
fn an_agent_whose_manager_is_cut_off_goes_to_the_other_one_and_back_when_that_one_is() {
    let Some(net) = Net::of(3) else { return };
    let key = format!("001 web1 any {:064x}\n", 1);
    let managers = [0, 1].map(|n| Suite::of("server", SERVER, Some(net.host(n))));
    let both = format!("{}</server-ip><server-ip>{}", address(0), address(1));
    let conf = AGENT
        .replace("{manager}", &both)
        .replace("</client>", "<time-reconnect>3</time-reconnect></client>");
    let agent = Suite::of("agent", &conf, Some(net.host(2)));
    for suite in managers.iter().chain([&agent]) {
        put_keys(suite, &key);
        suite.start();
    }
    agent.until("a connection", || agent.log().contains("(4102)"));
    write(&agent, "FIRST");
    until_judged(&managers[0], "(web1)", "FIRST");
    net.cut_off(0, true);
    write(&agent, "SECOND");
    until_judged(&managers[1], "(web1)", "SECOND");
    net.cut_off(0, false);
    net.cut_off(1, true);
    write(&agent, "THIRD");
    until_judged(&managers[0], "(web1)", "THIRD");
    let connected = |server: usize| format!("Connected to server {},", address(server));
    let log = agent.log();
    assert_eq!(log.matches(&connected(0)).count(), 2, "{log}");
    assert_eq!(log.matches(&connected(1)).count(), 1, "{log}");
}
