//! From a host without a key to an alert on the manager: ossec-authd, agent-auth, remoted and agentd, all real programs.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, UdpSocket};
use std::process::{Child, Stdio};

use crate::harness::Suite;

const SERVER: &str = "<ossec_config>
  {rules}
  <syscheck><disabled>yes</disabled></syscheck>
  <remote><connection>secure</connection><port>{port}</port><local_ip>127.0.0.1</local_ip></remote>
</ossec_config>
";
const AGENT: &str = "<ossec_config>
  <client><server-ip>127.0.0.1</server-ip><port>{port}</port><notify_time>1</notify_time></client>
  <syscheck><disabled>yes</disabled></syscheck>
  <localfile><log_format>syslog</log_format><location>{watched}/auth.log</location></localfile>
</ossec_config>
";
const FAILED: &str =
    "Nov 14 22:13:20 web1 sshd[1]: Failed password for root from 203.0.113.9 port 1 ssh2\n";

/// Ended when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn suite(conf: &str, kind: &str, port: u16) -> Suite {
    let suite = Suite::new(&conf.replace("{port}", &port.to_string()));
    let root = suite.root();
    fs::write(root.join("etc/ossec-init.conf"), format!("TYPE=\"{kind}\"\n")).expect("type");
    fs::create_dir_all(root.join("queue/spool")).expect("spool");
    suite
}

#[test]
fn a_host_that_enrols_while_the_manager_runs_is_heard_at_once() {
    let free = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
    let port = free.expect("a free port").port();
    let (server, agent) = (suite(SERVER, "server", port), suite(AGENT, "agent", port));
    server.start();

    let free = TcpListener::bind("[::]:0").and_then(|socket| socket.local_addr());
    let door = free.expect("a free port").port().to_string();
    fs::write(server.root().join("etc/authd.pass"), "a password of our own\n").expect("password");
    let mut authd = server.program("ossec-authd");
    authd.args(["-f", "-p", &door]).stderr(Stdio::piped());
    let mut authd = Running(authd.spawn().expect("ossec-authd starts"));
    let said = BufReader::new(authd.0.stderr.take().expect("its log"));
    let mut pin = None;
    for line in said.lines().map(|line| line.expect("a line")) {
        pin = pin.or_else(|| line.split_once("--fingerprint ").map(|(_, pin)| pin.to_owned()));
        if line.contains("Started (pid:") {
            break;
        }
    }
    let pin = pin.expect("the fingerprint is logged");

    let password = server.root().join("etc/authd.pass");
    let mut enrol = agent.program("agent-auth");
    enrol.args(["-m", "127.0.0.1", "-p", &door, "-A", "web01", "--fingerprint", &pin, "-P"]);
    let output = enrol.arg(password).output().expect("agent-auth runs");
    assert!(output.status.success(), "{output:?}");

    agent.start();
    fs::write(agent.watched().join("auth.log"), "").expect("log");
    agent.until("logcollector to see the log", || agent.log().contains("auth.log"));
    fs::write(agent.watched().join("auth.log"), FAILED).expect("log");
    server.until_alert(5716, &format!("(web01) any->{}/auth.log", agent.watched().display()));
}
