//! An alert starts a response, and its time-out takes it back, even when execd was killed in between.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::harness::{Suite, append};

const CONF: &str = "<ossec_config>
  <global><white_list>198.51.100.0/24</white_list></global>
  {rules}
  <syscheck><disabled>yes</disabled></syscheck>
  <localfile><log_format>syslog</log_format><location>{watched}/auth.log</location></localfile>
  <command><name>note</name><executable>note.sh</executable><expect>srcip</expect><timeout_allowed>yes</timeout_allowed></command>
  <active-response><command>note</command><location>local</location><rules_id>5716</rules_id><timeout>3</timeout></active-response>
</ossec_config>
";

#[test]
fn an_address_is_acted_against_and_let_go_after_a_kill_of_execd() {
    let suite = Suite::new(CONF);
    let script = suite.root().join("active-response/bin/note.sh");
    fs::write(
        &script,
        format!("#!/bin/sh\necho \"$@\" >> '{}/notes'\n", suite.watched().display()),
    )
    .expect("script");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("mode");
    let log = suite.watched().join("auth.log");
    append(&log, b"");
    suite.start();
    let notes = || fs::read_to_string(suite.watched().join("notes")).unwrap_or_default();
    append(
        &log,
        b"Nov 14 22:13:20 web1 sshd[1]: Failed password for root from 198.51.100.7 port 1 ssh2\n",
    );
    append(
        &log,
        b"Nov 14 22:13:20 web1 sshd[1]: Failed password for root from 203.0.113.9 port 1 ssh2\n",
    );
    suite.until("the response", || notes().contains("add - 203.0.113.9 "));
    let before = suite.pid("ossec-execd");
    assert!(suite.kill("ossec-execd"));
    suite.until("the undo", || notes().contains("delete - 203.0.113.9 "));
    assert_ne!(suite.pid("ossec-execd"), before, "execd was restarted");
    assert!(
        !notes().contains("198.51.100.7"),
        "an address of the white list is never acted against:\n{}",
        notes()
    );
    let first = notes();
    let words: Vec<&str> = first.lines().next().expect("a line").split(' ').collect();
    assert_eq!(&words[..3], ["add", "-", "203.0.113.9"]);
    assert_eq!(words[4], "5716");
}
