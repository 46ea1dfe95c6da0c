//! A line appended to a watched file becomes an alert.

use std::time::Instant;

use crate::harness::{Suite, append};

const CONF: &str = "<ossec_config>
  <global><jsonout_output>yes</jsonout_output></global>
  {rules}
  <syscheck><disabled>yes</disabled></syscheck>
  <localfile><log_format>syslog</log_format><location>{watched}/auth.log</location></localfile>
</ossec_config>
";

fn failed_login(port: u32) -> String {
    format!(
        "Nov 14 22:13:20 web1 sshd[4711]: Failed password for root from 203.0.113.9 port {port} ssh2\n"
    )
}

#[test]
fn a_failed_login_alerts_and_ten_of_one_address_alert_as_a_whole() {
    let suite = Suite::new(CONF);
    let log = suite.watched().join("auth.log");
    append(
        &log,
        b"Nov 14 22:13:19 web1 sshd[4711]: Failed password for root from 203.0.113.1 port 1 ssh2\n",
    );
    suite.start();
    suite.until_alert(502, "Ossec started");
    let start = Instant::now();
    append(&log, failed_login(50_000).as_bytes());
    suite.until_alert(5716, "Src IP: 203.0.113.9");
    println!("alert after {:?}", start.elapsed());
    for port in 50_001..50_010 {
        append(&log, failed_login(port).as_bytes());
    }
    suite.until_alert(5720, "Src IP: 203.0.113.9");
    assert!(!suite.alerts().contains("203.0.113.1\n"), "a first start begins at the end of a file");
    let json = suite.read("logs/alerts/alerts.json");
    let first: serde_json::Value =
        serde_json::from_str(json.lines().nth(1).expect("a second line")).expect("JSON");
    assert_eq!(first["rule"]["sidid"], 5716, "after the suite's own start");
    assert_eq!(first["srcip"], "203.0.113.9");
    assert_eq!(json.lines().count(), suite.alerts().matches("** Alert ").count());
    suite.stop();
    for daemon in ["ossec-logcollector", "ossec-analysisd"] {
        suite.assert_balanced(daemon);
    }
    assert_eq!(suite.account("ossec-analysisd", "pending"), 0);
}

#[test]
fn a_line_written_while_the_suite_is_down_is_judged_after_the_start() {
    let suite = Suite::new(CONF);
    let log = suite.watched().join("auth.log");
    append(&log, b"");
    suite.start();
    append(&log, failed_login(1).as_bytes());
    suite.until_alert(5716, "port 1 ssh2");
    suite.stop();
    append(&log, failed_login(2).as_bytes());
    suite.start();
    suite.until_alert(5716, "port 2 ssh2");
    assert_eq!(suite.count(5716), 2);
}

#[test]
fn a_datagram_of_anybodys_script_is_judged() {
    let suite = Suite::new(CONF);
    suite.start();
    let socket = std::os::unix::net::UnixDatagram::unbound().expect("a socket");
    let line = failed_login(7);
    socket
        .send_to(
            format!("1:my-script:{}", line.trim_end()).as_bytes(),
            suite.root().join(ipc::paths::QUEUE),
        )
        .expect("the queue takes it");
    suite.until_alert(5716, "->my-script\n");
}
