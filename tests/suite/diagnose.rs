//! `ossec-control diagnose`: each trouble that people ask about, caused with the real programs, is named with its remedy.

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt;

use crate::harness::{Suite, text};

const SERVER: &str = "<ossec_config>
  <rules><include>rules_config.xml</include></rules>
  <syscheck><disabled>yes</disabled></syscheck>
  <remote><connection>secure</connection><port>{port}</port><local_ip>127.0.0.1</local_ip></remote>
</ossec_config>
";
const AGENT: &str = "<ossec_config>
  <client><server-ip>127.0.0.1</server-ip><port>{port}</port></client>
  <syscheck><disabled>yes</disabled></syscheck>
  <localfile><log_format>syslog</log_format><location>{watched}/auth.log</location></localfile>
</ossec_config>
";
const KEY: &str =
    "001 web01 any b36a57fe13309749792e08397b1f2521c6f1ab4fb5a647a80fab290514291c9e\n";

fn suite(conf: &str, kind: &str, port: u16) -> Suite {
    let suite = Suite::new(&conf.replace("{port}", &port.to_string()));
    let root = suite.root();
    fs::write(root.join("etc/ossec-init.conf"), format!("TYPE=\"{kind}\"\n")).expect("type");
    put_keys(&suite, KEY);
    fs::create_dir_all(root.join("queue/spool")).expect("spool");
    suite
}

fn put_keys(suite: &Suite, keys: &str) {
    let path = suite.root().join("etc/client.keys");
    fs::write(&path, keys).expect("keys");
    fs::set_permissions(path, fs::Permissions::from_mode(0o640)).expect("mode");
}

fn free_port() -> u16 {
    let free = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
    free.expect("a free port").port()
}

fn server() -> Suite {
    suite(SERVER, "server", free_port())
}

/// Runs it; whether all is well, and what it said.
fn diagnose(suite: &Suite) -> (bool, String) {
    let output = suite.control(&["diagnose"]);
    (output.status.success(), text(&output))
}

/// Expects a problem that names all of these.
fn expect(suite: &Suite, parts: &[&str]) {
    let (well, said) = diagnose(suite);
    assert!(!well, "{said}");
    let problems: String = said
        .split("\n[")
        .map(|finding| finding.trim_start_matches('['))
        .filter(|finding| finding.starts_with("PROBLEM]"))
        .collect();
    for part in parts {
        assert!(problems.contains(part), "no '{part}' among the problems of:\n{said}");
    }
    assert!(problems.contains("remedy: "), "{said}");
}

#[test]
fn a_manager_and_its_agent_are_found_well_and_then_a_stopped_manager_is_found() {
    let port = free_port();
    let (server, agent) = (suite(SERVER, "server", port), suite(AGENT, "agent", port));
    server.start();
    let (well, said) = diagnose(&server);
    assert!(well && said.contains("sums of keys: 001 web01 "), "{said}");
    // The agent's program by itself, as long as the daemon does not run.
    let (_, said) = diagnose(&agent);
    assert!(said.contains("'127.0.0.1' answers after"), "{said}");
    agent.start();
    agent.until("the connection", || agent.account("ossec-agentd", "acks") > 0);
    let (well, said) = diagnose(&agent);
    assert!(well && said.contains("the manager answers"), "{said}");
    let output = agent.control(&["diagnose", "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("pure JSON");
    assert_eq!(json["problems"], 0);

    server.stop();
    expect(&agent, &["authenticated round trip: (4101)", "ossec-remoted does not run there"]);
    agent.stop();
    expect(&agent, &["ossec-agentd does not run", "(1210)", "queue/ossec/queue", "(1216)"]);
}

#[test]
fn a_wrong_key_is_found_on_both_sides() {
    let port = free_port();
    let (server, agent) = (suite(SERVER, "server", port), suite(AGENT, "agent", port));
    put_keys(&agent, &KEY.replace("b36a", "0000"));
    server.start();
    agent.start();
    server
        .until("a refusal", || server.log().contains("(1404)") || server.log().contains("(1403)"));
    expect(&agent, &["(4101)", "the key is another one than the manager's", "manage_agents"]);
    expect(&server, &["log: ", "has another key than this manager"]);
}

#[test]
fn a_wrong_address_is_found_on_both_sides() {
    let port = free_port();
    let (server, agent) = (suite(SERVER, "server", port), suite(AGENT, "agent", port));
    for suite in [&server, &agent] {
        put_keys(suite, &KEY.replace(" any ", " 192.0.2.9 "));
    }
    server.start();
    agent.start();
    server.until("a refusal", || server.log().contains("ossec-remoted(1213)"));
    expect(
        &agent,
        &["own address: wrong address: we send from 127.0.0.1, the key is for 192.0.2.9"],
    );
    expect(&server, &["sends from another address than its key is for"]);
}

#[test]
fn swallowed_datagrams_point_at_the_firewall_and_an_unknown_name_at_the_resolver() {
    let swallows = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let port = swallows.local_addr().expect("its address").port();
    let agent = suite(AGENT, "agent", port);
    expect(&agent, &["(1301), (4101) '127.0.0.1' does not answer", "a firewall drops UDP 1514"]);
    let named = AGENT.replace(
        "<server-ip>127.0.0.1</server-ip>",
        "<server-hostname>manager.invalid</server-hostname>",
    );
    agent.configure(&named.replace("{port}", &port.to_string()));
    expect(&agent, &["(4104) Invalid hostname: 'manager.invalid'", "<server-hostname>"]);
}

#[test]
fn an_agent_without_a_key_and_one_with_an_open_key_file_are_found() {
    let agent = suite(AGENT, "agent", free_port());
    let keys = agent.root().join("etc/client.keys");
    fs::set_permissions(&keys, fs::Permissions::from_mode(0o644)).expect("mode");
    expect(&agent, &["everybody on this host may read the keys"]);
    fs::remove_file(&keys).expect("keys");
    expect(&agent, &["(1402) etc/client.keys is missing", "manage_agents -i"]);
    put_keys(&agent, "");
    expect(&agent, &["(1751)"]);
}

#[test]
fn queues_without_their_daemon_and_removed_ones_are_found() {
    let server = server();
    server.start();
    let removed = server.root().join("queue/alerts/ar");
    fs::remove_file(&removed).expect("the queue of responses");
    expect(
        &server,
        &["(1210)", "(1301)", "queue/alerts/ar", "was removed while ossec-remoted ran"],
    );
    fs::remove_file(server.root().join(ipc::paths::QUEUE)).expect("the queue of events");
    expect(&server, &["queue/ossec/queue", "was removed while ossec-analysisd ran"]);
    server.until("a held analysisd", || {
        server.signal("ossec-analysisd", rustix::process::Signal::STOP)
    });
    expect(&server, &["ossec-analysisd (process ", "is held by a signal", "kill -CONT"]);
    server.signal("ossec-analysisd", rustix::process::Signal::CONT);
    server.stop();
    expect(
        &server,
        &["(1210)", "queue/ossec/events", "queue/alerts/execq", "nobody listens on UDP"],
    );
}

#[test]
fn a_port_of_another_program_and_a_broken_configuration_are_found() {
    let taken = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let port = taken.local_addr().expect("its address").port();
    let server = suite(SERVER, "server", port);
    expect(&server, &["(1206) another program than ossec-remoted has UDP"]);
    server.configure("<ossec_config><remote></ossec_config>");
    expect(&server, &["configuration: ", "not closed"]);
}

#[test]
fn too_many_agents_and_agents_that_claim_the_same_are_found() {
    let server = server();
    let options = server.root().join("etc/local_internal_options.conf");
    fs::write(options, "remoted.max_agents=2\n").expect("options");
    let keys: String =
        (1..=3).map(|n| KEY.replace("001 web01", &format!("00{n} web0{n}"))).collect();
    put_keys(&server, &keys);
    expect(&server, &["(4110) 3 agents have keys, 2 are heard: too many agents"]);
    put_keys(&server, &format!("{KEY}{}{KEY}", KEY.replace("001", "002")));
    expect(&server, &["agents 001 and 002 have the same name", "(1401)"]);
}

#[test]
fn a_low_limit_of_open_files_is_found() {
    let server = server();
    let control = server.root().join("bin/ossec-control");
    let script = format!("ulimit -n 200; exec {} start", control.display());
    let mut shell = std::process::Command::new("sh");
    shell.env("OXSEC_ROOT", server.root()).env("OXSEC_STAY_USER", "1").args(["-c", &script]);
    let output = shell.output().expect("sh runs");
    assert!(output.status.success(), "{}", text(&output));
    expect(&server, &["open files: ", "may open 200 files", "ulimit -n 65536"]);
}

#[test]
fn an_agent_that_may_speak_on_a_live_host_is_told_of_the_closed_port() {
    // Somebody listens for TCP on that port: the host lives, and yet nobody hears UDP.
    let alive = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let port = alive.local_addr().expect("its address").port();
    let agent = suite(AGENT, "agent", port);
    expect(&agent, &["(1216) '127.0.0.1': nobody listens on the port", "Start the manager there"]);
}
