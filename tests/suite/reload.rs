//! Rules are exchanged while the daemon runs; bad ones are refused and change nothing.

use std::fs;

use rustix::process::Signal;

use crate::harness::{Suite, append};

const CONF: &str = "<ossec_config>
  {rules}
  <syscheck><disabled>yes</disabled></syscheck>
  <localfile><log_format>syslog</log_format><location>{watched}/app.log</location></localfile>
</ossec_config>
";

fn local_rules(suite: &Suite, text: &str) {
    let path = suite.root().join("rules/local_rules.xml");
    let _ = fs::remove_file(&path);
    fs::write(path, text).expect("local rules can be written");
}

#[test]
fn new_rules_count_after_a_reload_and_bad_ones_leave_the_old_ones_in_force() {
    let suite = Suite::new(CONF);
    let log = suite.watched().join("app.log");
    append(&log, b"");
    suite.start();
    let pid = suite.pid("ossec-analysisd");

    local_rules(
        &suite,
        "<group name=\"local,\"><rule id=\"100010\" level=\"6\"><match>purple elephant</match><description>one</description></rule></group>",
    );
    crate::harness::succeeds(&suite.control(&["reload"]));
    suite.until("the reload", || suite.account("ossec-analysisd", "reloads") == 1);
    append(&log, b"a purple elephant walked in\n");
    suite.until_alert(100_010, "purple elephant");

    local_rules(
        &suite,
        "<group name=\"local,\">\n<rule id=\"100010\" level=\"6\">\n<mtch>typo</mtch>\n</rule></group>",
    );
    let refused = suite.control(&["reload"]);
    assert_eq!(
        refused.status.code(),
        Some(1),
        "ossec-control looks before it asks anybody to reload"
    );
    suite.signal("ossec-analysisd", Signal::HUP);
    suite.until("the refusal", || suite.log().contains("stay in force"));
    assert!(suite.log().contains("local_rules.xml:3"), "names file and line:\n{}", suite.log());
    append(&log, b"another purple elephant\n");
    suite.until_alert(100_010, "another purple elephant");
    assert_eq!(suite.pid("ossec-analysisd"), pid, "the daemon was not restarted");
}
