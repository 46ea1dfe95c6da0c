//! The real daemon and who speaks to it: names, strangers, lists, suspended and silent agents.

#![allow(clippy::unwrap_used, reason = "a panic is the report")]

mod support;

use std::net::UdpSocket;

use support::{Agent, Manager, wait_for};
use wire::control::ToAgent;
use wire::key::Method;
use wire::ours::{Mark, State};

const KEYS: &str = "001 web01 any 410b7e43f7283ba4\n002 nobody.invalid any 410b7e43f7283ba4\n";

fn agent(manager: &Manager, id: &str, name: &str) -> Agent {
    Agent::new(manager, id, name, "410b7e43f7283ba4", Method::Aes, true)
}

fn report(agent: &mut Agent, state: State, run: u32) {
    let mark = Mark { state, run };
    agent.send(format!("#!-Linux w - X v1\nx merged.mg\n\n{mark}tail").as_bytes());
    assert_eq!(agent.receive(), ToAgent::Ack.to_bytes());
}

/// An agent is acknowledged before its keepalive is noted.
fn wait_for_note(manager: &Manager, end: &str) {
    wait_for(end, || manager.read("queue/agent-info/web01-any").ends_with(end));
}

fn wait_for_alert(manager: &Manager, text: &str) {
    let is_it = |event: &String| event.contains("->ossec-remoted:ossec: ") && event.contains(text);
    wait_for(text, || manager.events().iter().any(is_it));
}

#[test]
fn an_agent_that_is_suspended_goes_on_dies_and_stops_is_told_apart() {
    let mut manager = Manager::start(KEYS, "");
    let mut web = agent(&manager, "001", "web01");
    report(&mut web, State::Running, 1);
    report(&mut web, State::Suspended, 1);
    wait_for_alert(&manager, "Agent suspended: 'web01' (id 001) at 127.0.0.1.");
    wait_for_note(&manager, "\noxsec=1;suspended;00000001;\n");
    report(&mut web, State::Running, 1);
    wait_for_alert(&manager, "Agent resumed: 'web01'");
    wait_for_note(&manager, "\noxsec=1;running;00000001;\n");
    // Also when the manager was restarted meanwhile.
    manager.restart_by_kill();
    report(&mut web, State::Running, 2);
    wait_for_alert(
        &manager,
        "Agent restarted: 'web01' (id 001) at 127.0.0.1: Restart without prior exit.",
    );
    report(&mut web, State::Exiting, 2);
    wait_for_alert(&manager, "Agent stopped: 'web01'");
    report(&mut web, State::Running, 3);
    report(&mut web, State::Running, 3);
    let restarts =
        manager.events().iter().filter(|event| event.contains("Agent restarted")).count();
    assert_eq!(restarts, 1);
}

#[test]
fn a_silent_agent_is_reported_once_its_time_is_over() {
    let more = "<remote><connection>secure</connection><port>{syslog}</port><client_time_limit>1</client_time_limit></remote>";
    let manager = Manager::start(KEYS, more);
    let mut web = agent(&manager, "001", "web01");
    report(&mut web, State::Suspended, 1);
    wait_for_alert(
        &manager,
        "Agent silent: 'web01' (id 001) at 127.0.0.1: Time limit exceeded (1 s).",
    );
    assert!(!manager.log().contains("Time limit exceeded: agent 002"), "it was never heard");
}

#[test]
fn a_name_that_leads_nowhere_is_an_alert_as_severe_as_configured_and_stops_nobody() {
    let more = "<remote><connection>secure</connection><port>{syslog}</port>\
                <check_names>yes</check_names><lookup_severity>warn</lookup_severity></remote>";
    let manager = Manager::start(KEYS, more);
    let mut nobody = agent(&manager, "002", "nobody.invalid");
    report(&mut nobody, State::Running, 1);
    nobody.send(b"1:a:heard");
    manager.wait_for_event("1:(nobody.invalid) any->a:heard");
    wait_for_alert(
        &manager,
        "Agent name: 'nobody.invalid' (id 002) at 127.0.0.1: Cannot resolve client name, severity warn",
    );
    assert!(
        manager.log().contains(
            "WARN: Cannot resolve client name: agent 002 'nobody.invalid' at 127.0.0.1: "
        )
    );
}

#[test]
fn a_stranger_is_refused_with_the_name_of_its_host() {
    let more = "<remote><connection>secure</connection><port>{syslog}</port><check_names>yes</check_names></remote>";
    let manager = Manager::start(KEYS, more);
    let mut stranger = agent(&manager, "777", "web01");
    stranger.send(b"1:a:forged");
    wait_for_alert(&manager, "at 127.0.0.1: Not in client list (id 777).");
    assert!(manager.log().contains("Invalid connection attempt: Not in client list (id 777): '"));
    assert!(
        manager.log().contains("(1408): ERROR: Invalid ID 777 for the source ip: '127.0.0.1'.")
    );
}

#[test]
fn the_lists_of_agents_are_read_again_when_the_file_changes() {
    let manager = Manager::start(KEYS, "");
    let mut web = agent(&manager, "001", "web01");
    web.send(b"1:a:first");
    manager.wait_for_event("1:(web01) any->a:first");
    let conf = |list: &str| {
        let port = manager.port;
        format!(
            "<ossec_config><remote><connection>secure</connection><port>{port}</port>{list}</remote></ossec_config>\n"
        )
    };
    let readings = || manager.log().matches("configuration read again").count();
    manager.write("etc/ossec.conf", &conf("<denied-ips>127.0.0.1</denied-ips>"));
    wait_for("the reading", || readings() == 1);
    web.send(b"1:a:refused");
    wait_for("the refusal", || manager.account("dropped_denied") == 1);
    assert!(manager.log().contains("WARN: Refused connection from 127.0.0.1"));
    manager.write("etc/ossec.conf", &conf("<allowed-ips>127.0.0.0/8</allowed-ips>"));
    wait_for("the reading", || readings() == 2);
    web.send(b"1:a:second");
    manager.wait_for_event("1:(web01) any->a:second");
    assert!(!manager.events().iter().any(|event| event.ends_with("a:refused")));
}

#[test]
fn a_port_that_is_taken_is_named_with_who_has_it() {
    let other = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = other.local_addr().unwrap().port();
    let remote = format!(
        "<remote><connection>secure</connection><port>{port}</port><local_ip>127.0.0.1</local_ip></remote>"
    );
    let said = Manager::start_in_vain(KEYS, &remote);
    assert!(
        said.contains(&format!("(1206): ERROR: Unable to Bind port '{port}' due to")),
        "{said}"
    );
    assert!(
        said.contains(&format!(
            "Address already in use: udp port {port} on 127.0.0.1 is taken by "
        )),
        "{said}"
    );
    assert!(said.contains(&format!("(pid {})", std::process::id())), "{said}");
}

#[test]
fn an_agent_stays_with_its_cipher_where_that_is_asked_for() {
    let more = "<remote><connection>secure</connection><port>{syslog}</port><pin_crypto>yes</pin_crypto></remote>";
    let mut manager = Manager::start(KEYS, more);
    let mut web = agent(&manager, "001", "web01");
    report(&mut web, State::Running, 1);
    wait_for("the note", || {
        manager.read("queue/agent-info/web01-any").contains("crypto_method:aes")
    });
    manager.restart_by_kill();
    let key = "410b7e43f7283ba4";
    let mut other = Agent::new(&manager, "001", "web01", key, Method::Blowfish, true);
    other.jump(web.counter());
    other.send(b"1:a:by the other cipher");
    wait_for("the refusal", || manager.account("dropped_policy") == 1);
    web.send(b"1:a:by its own");
    manager.wait_for_event("1:(web01) any->a:by its own");
    assert_eq!(manager.events().iter().filter(|event| event.contains("cipher")).count(), 0);
}
