//! What we ship: each rule has a test that reaches it, each configuration is accepted.

use std::path::Path;

use crate::harness::{Suite, succeeds, text};

const CONF: &str = "<ossec_config>
  {rules}
</ossec_config>
";

#[test]
fn every_rule_is_reached_by_a_test_and_all_tests_pass() {
    let suite = Suite::new(CONF);
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("etc/rules/tests");
    let output = suite
        .program("ossec-logtest")
        .arg("--test")
        .arg(&tests)
        .arg("--coverage")
        .output()
        .expect("ossec-logtest runs");
    println!("{}", text(&output));
    succeeds(&output);
}

#[test]
fn the_shipped_configuration_is_accepted_by_every_daemon() {
    let suite = Suite::new(include_str!("../../etc/ossec-local.conf"));
    for daemon in ["ossec-analysisd", "ossec-logcollector", "ossec-syscheckd", "ossec-execd"] {
        succeeds(&suite.program(daemon).arg("-t").output().expect("runs"));
    }
}

#[test]
fn file_events_that_never_alert_are_told_when_rules_are_loaded() {
    let shipped = include_str!("../../etc/ossec-local.conf");
    for (config, is_told) in
        [(shipped, false), (&shipped.replace("<include>rules_config.xml</include>", ""), true)]
    {
        let suite = Suite::new(config);
        for (program, option) in [("ossec-analysisd", "-t"), ("ossec-logtest", "--lint")] {
            let output = suite.program(program).arg(option).output().expect("runs");
            succeeds(&output);
            let text = text(&output);
            assert_eq!(text.contains("file integrity events never alert"), is_told, "{text}");
        }
    }
}
