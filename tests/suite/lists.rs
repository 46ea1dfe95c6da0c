//! Lists: their text, what `ossec-makelists` compiles from it, and what a reload does with a changed one.

use std::fs;

use crate::harness::{Suite, append, succeeds};

const CONF: &str = "<ossec_config>
  {rules}
  <rules><list>rules/lists/programs</list></rules>
  <syscheck><disabled>yes</disabled></syscheck>
  <localfile><log_format>syslog</log_format><location>{watched}/app.log</location></localfile>
</ossec_config>
";

const RULE: &str = "<group name=\"local,\"><rule id=\"100020\" level=\"6\">
  <list field=\"program_name\" lookup=\"match_key\">rules/lists/programs</list>
  <description>A program of the list.</description>
</rule></group>";

#[test]
fn a_list_works_compiled_and_as_text_and_a_reload_takes_the_changed_one() {
    let suite = Suite::new(CONF);
    let log = suite.watched().join("app.log");
    append(&log, b"");
    let local = suite.root().join("rules/local_rules.xml");
    let _ = fs::remove_file(&local);
    fs::write(local, RULE).expect("local rules can be written");
    let list = suite.root().join("rules/lists/programs");
    fs::create_dir(suite.root().join("rules/lists")).expect("folder of lists");
    fs::write(&list, "zebrad:striped\n").expect("a list can be written");

    let compiled = suite.program("ossec-makelists").output().expect("ossec-makelists runs");
    succeeds(&compiled);
    let said = String::from_utf8_lossy(&compiled.stdout).into_owned();
    assert_eq!(said, " * File rules/lists/programs.cdb needs to be updated\n");
    fs::remove_file(&list).expect("the text can go");

    suite.start();
    append(&log, b"Nov 14 22:13:20 web1 zebrad[7]: one\n");
    suite.until_alert(100_020, "zebrad[7]: one");

    fs::write(&list, "okapid:new\n").expect("a list can be written");
    succeeds(&suite.control(&["reload"]));
    suite.until("the reload", || suite.account("ossec-analysisd", "reloads") == 1);
    append(&log, b"Nov 14 22:13:21 web1 zebrad[7]: two\nNov 14 22:13:22 web1 okapid[7]: three\n");
    suite.until_alert(100_020, "okapid[7]: three");
    let alerts = suite.read("logs/alerts/alerts.log");
    assert!(!alerts.contains("zebrad[7]: two"), "the old list is gone:\n{alerts}");
}
