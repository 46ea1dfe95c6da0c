//! An agent and its manager, all real programs: what the agent's log says becomes the manager's alert, also when the manager
//! was away meanwhile; the response comes back.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::net::UdpSocket;

use crate::harness::{Suite, append};

const SERVER: &str = "<ossec_config>
  <global><logall>yes</logall></global>
  {rules}
  <syscheck><disabled>yes</disabled></syscheck>
  <remote><connection>secure</connection><port>{port}</port><local_ip>127.0.0.1</local_ip></remote>
  <command><name>note</name><executable>note.sh</executable><expect>srcip</expect></command>
  <active-response><command>note</command><location>local</location><rules_id>5716</rules_id></active-response>
</ossec_config>
";
const AGENT: &str = "<ossec_config>
  <client><server-ip>127.0.0.1</server-ip><port>{port}</port><notify_time>1</notify_time></client>
  <syscheck><disabled>yes</disabled></syscheck>
  <localfile><log_format>syslog</log_format><location>{watched}/auth.log</location></localfile>
</ossec_config>
";
const FAILED: &str =
    "Nov 14 22:13:20 web1 sshd[1]: Failed password for root from 203.0.113.9 port 1 ssh2";
const KEY: &str =
    "001 web01 any b36a57fe13309749792e08397b1f2521c6f1ab4fb5a647a80fab290514291c9e\n";

fn suite(conf: &str, kind: &str, port: u16) -> Suite {
    let suite = Suite::new(&conf.replace("{port}", &port.to_string()));
    let root = suite.root();
    fs::write(root.join("etc/ossec-init.conf"), format!("TYPE=\"{kind}\"\n")).expect("type");
    fs::write(root.join("etc/client.keys"), KEY).expect("keys");
    fs::create_dir_all(root.join("queue/spool")).expect("spool");
    suite
}

fn pair() -> (Suite, Suite) {
    let free = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
    let port = free.expect("a free port").port();
    (suite(SERVER, "server", port), suite(AGENT, "agent", port))
}

fn write(agent: &Suite, line: &str) {
    let path = agent.watched().join("auth.log");
    let mut file = OpenOptions::new().append(true).create(true).open(path).expect("log");
    writeln!(file, "{line}").expect("line");
}

/// A script of the agent, which notes that it was called.
fn put_script(agent: &Suite) {
    use std::os::unix::fs::PermissionsExt;
    let path = agent.root().join("active-response/bin/note.sh");
    let noted = agent.root().join("tmp/noted");
    // The staged folder is closed even for its owner.
    fs::create_dir_all(noted.parent().expect("tmp")).expect("tmp");
    fs::write(&path, format!("#!/bin/sh\necho \"$@\" >>{}\n", noted.display())).expect("script");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("mode");
}

#[test]
fn a_line_on_the_agent_becomes_an_alert_of_the_manager_and_the_response_comes_back() {
    let (server, agent) = pair();
    put_script(&server);
    put_script(&agent);
    server.start();
    agent.start();
    // execd knows the response from ar.conf, which comes with the shared files.
    agent.until("shared files", || agent.read("etc/shared/ar.conf").contains("note0"));
    write(&agent, FAILED);
    let location = format!("(web01) any->{}/auth.log", agent.watched().display());
    server.until_alert(5716, &location);
    agent.until("the response", || agent.read("tmp/noted").starts_with("add - 203.0.113.9 "));
    agent.until("the accounts", || agent.account("ossec-agentd", "responses") == 1);
    assert_eq!(agent.account("ossec-agentd", "rejected"), 0);
}

#[test]
fn what_the_manager_has_in_agent_conf_for_an_agent_holds_there_and_is_followed() {
    let (server, agent) = pair();
    let folder = agent.watched().join("central");
    fs::create_dir(&folder).expect("folder");
    let share = |name: &str, log: &str| {
        let conf = format!(
            "<agent_config name=\"{name}\" os=\"Linux\">
               <syscheck>
                 <disabled>no</disabled>
                 <directories check_all=\"yes\" realtime=\"yes\">{}</directories>
               </syscheck>
               <localfile><log_format>syslog</log_format><location>{}/{log}</location></localfile>
               <localfile><log_format>command</log_format><command>touch {}/ran</command></localfile>
             </agent_config>\n",
            folder.display(),
            agent.watched().display(),
            agent.watched().display()
        );
        fs::write(server.root().join("etc/shared/agent.conf"), conf).expect("agent.conf");
    };
    share("db", "other.log");
    server.start();
    agent.start();
    agent.until("the shared file", || !agent.read("etc/shared/agent.conf").is_empty());
    share("^web", "central.log");
    let watches = format!("INFO: Monitoring directory: '{}'", folder.display());
    agent.until("syscheckd to follow", || agent.log().contains(&watches));
    agent.until("its scan", || agent.log().contains("Real time file monitoring started."));
    fs::write(folder.join("passwd"), "one\n").expect("write");
    let log = agent.watched().join("central.log");
    append(&log, b"");
    let reads = format!("Analyzing file: '{}'", log.display());
    agent.until("logcollector to follow", || agent.log().contains(&reads));
    append(&log, format!("{FAILED}\n").as_bytes());
    server.until_alert(5716, &format!("{}/central.log", agent.watched().display()));
    // The first scan may have met it or not; whichever, what comes now is a change.
    server.until("the baseline", || {
        let database = server.read("queue/syscheck/(web01) any->syscheck");
        database.contains("/central/passwd\n")
    });
    fs::write(folder.join("passwd"), "one, two\n").expect("write");
    server.until_alert(550, "/central/passwd'");
    assert!(!agent.watched().join("ran").exists(), "the manager names no commands");
    assert!(agent.log().contains("Remote commands are not accepted from the manager."));
    assert!(!agent.log().contains("other.log"), "{}", agent.log());
    fs::write(
        server.root().join("etc/shared/agent.conf"),
        "<agent_config><sysscheck/></agent_config>",
    )
    .expect("agent.conf");
    server.until("remoted to look at it", || server.log().contains("is of no use to agents"));
    agent.until("the agent to refuse it", || {
        agent.log().matches("going on with the old one").count() == 1
            && agent.log().contains("collecting goes on as before")
    });
}

#[test]
fn nothing_is_lost_while_the_manager_is_away_and_agentd_is_killed() {
    const LINES: usize = 2000;
    let (server, agent) = pair();
    server.start();
    agent.start();
    write(&agent, "Nov 14 22:13:20 web1 app: first");
    server.until("the first line", || {
        server.read("logs/archives/archives.log").contains("app: first")
    });
    agent.until("confirmation", || agent.account("ossec-agentd", "waiting") == 0);
    server.stop();
    for line in 0..LINES {
        write(&agent, &format!("Nov 14 22:13:20 web1 app: SEQ={line};"));
        if line == LINES / 2 {
            agent.until("agentd", || agent.kill("ossec-agentd"));
        }
    }
    agent.until("the spool", || {
        let state = agent.read("var/run/ossec-agentd.state");
        let waiting = state.lines().find_map(|line| line.strip_prefix("waiting=")?.parse().ok());
        waiting.is_some_and(|waiting: usize| waiting >= LINES)
    });
    server.start();
    server.until("all lines", || {
        let archive = server.read("logs/archives/archives.log");
        (0..LINES).all(|line| archive.contains(&format!("SEQ={line};")))
    });
    let archive = server.read("logs/archives/archives.log");
    let lines: Vec<usize> = archive
        .lines()
        .filter_map(|line| line.split_once("SEQ=")?.1.trim_end().strip_suffix(';')?.parse().ok())
        .collect();
    assert_eq!(lines, (0..LINES).collect::<Vec<_>>(), "in order, each once");
}

#[test]
fn an_agent_restored_from_an_older_image_is_named_and_heard_again() {
    let (server, agent) = pair();
    server.start();
    agent.start();
    agent.until("a connection", || agent.log().contains("(4102)"));
    for n in 0..40 {
        write(&agent, &format!("Nov 14 22:13:20 web1 app[{n}]: before the image was restored"));
    }
    let last = "app[39]: before the image was restored";
    server.until("the last line", || server.read("logs/archives/archives.log").contains(last));
    agent.stop();
    fs::write(agent.root().join("queue/rids/sender_counter"), "0:0:").expect("an old counter");
    agent.start();
    server.until_alert(190_713, "ossec: Agent restored: 'web01' (id 001) at 127.0.0.1");
    server.until_alert(190_714, "ossec: Agent resynchronized: 'web01' (id 001) at 127.0.0.1.");
    write(&agent, FAILED);
    server.until_alert(5716, "(web01) any->");
    assert!(agent.log().contains("older image"), "the agent knows it, too: {}", agent.log());
}

#[test]
fn a_manager_restored_from_an_older_image_is_named_on_both_sides_and_heard_again() {
    let (server, agent) = pair();
    server.start();
    // It has heard more of the manager than the manager remembers.
    fs::write(agent.root().join("queue/rids/001"), "7:100:").expect("a counter");
    agent.start();
    server.until_alert(190_745, "ossec: Manager restored: 'web01' (id 001) at 127.0.0.1");
    agent.until("a connection", || agent.log().contains("(4102)"));
    assert!(agent.log().contains("The manager's numbers are below"), "{}", agent.log());
    assert!(server.log().contains("This manager was restored"), "{}", server.log());
    write(&agent, FAILED);
    server.until_alert(5716, "(web01) any->");
}
