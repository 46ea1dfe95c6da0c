//! A changed file below a watched folder becomes an alert.

use std::fs;

use crate::harness::Suite;

fn conf(attributes: &str) -> String {
    format!(
        "<ossec_config>
  {{rules}}
  <syscheck>
    <frequency>3600</frequency>
    <alert_new_files>yes</alert_new_files>
    <directories check_all=\"yes\"{attributes}>{{watched}}</directories>
  </syscheck>
</ossec_config>
"
    )
}

fn baseline_is_complete(suite: &Suite) {
    suite.until("the baseline", || suite.root().join("queue/syscheck/.syscheck.cpt").exists());
}

#[test]
fn changes_are_seen_in_real_time() {
    let suite = Suite::new(&conf(" realtime=\"yes\""));
    let file = suite.watched().join("passwd");
    fs::write(&file, "root:x:0:0\n").expect("write");
    suite.start();
    baseline_is_complete(&suite);
    suite.until("realtime", || suite.log().contains("Real time file monitoring started."));
    fs::write(&file, "root:x:0:0\nmallory:x:0:0\n").expect("write");
    suite.until_alert(550, "Integrity checksum changed for:");
    suite.until_alert(550, "Size changed from '11' to '25'");
    fs::write(suite.watched().join("new"), "x").expect("write");
    suite.until_alert(554, "/watched/new'");
    fs::remove_file(&file).expect("remove");
    suite.until_alert(553, "/watched/passwd'");
    assert_eq!(suite.count(550), 1, "{}", suite.alerts());
}

#[test]
fn changes_while_the_suite_was_down_are_found_by_the_next_scan() {
    let suite = Suite::new(&conf(""));
    fs::write(suite.watched().join("a"), "one").expect("write");
    fs::write(suite.watched().join("b"), "two").expect("write");
    suite.start();
    baseline_is_complete(&suite);
    suite.stop();
    fs::write(suite.watched().join("a"), "three").expect("write");
    fs::remove_file(suite.watched().join("b")).expect("remove");
    suite.start();
    suite.until_alert(550, "/watched/a'");
    suite.until_alert(553, "/watched/b'");
}

#[test]
fn files_are_seen_through_a_command() {
    let filter = tempfile::tempdir().expect("folder");
    let script = filter.path().join("filter");
    fs::write(&script, "grep -v '^#' \"$1\"\n").expect("write");
    let command = format!("<prefilter_cmd>/bin/sh {}</prefilter_cmd>", script.display());
    let only_md5 = " check_sha256sum=\"no\" check_sha1sum=\"no\" check_size=\"no\"";
    let conf = conf(only_md5).replace("<frequency>", &format!("{command}\n    <frequency>"));
    let suite = Suite::new(&conf);
    fs::write(suite.watched().join("a"), "# one\nvalue\n").expect("write");
    fs::write(suite.watched().join("b"), "# one\nvalue\n").expect("write");
    suite.start();
    baseline_is_complete(&suite);
    suite.stop();
    fs::write(suite.watched().join("a"), "# two\nvalue\n").expect("write");
    fs::write(suite.watched().join("b"), "# two\nanother\n").expect("write");
    suite.start();
    suite.until_alert(550, "/watched/b'");
    assert_eq!(suite.count(550), 1, "{}", suite.alerts());
}
