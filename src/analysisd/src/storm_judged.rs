//! A storm through the judge: which alerts are written, what is summed up, and that nothing is forgotten.

use std::fs;
use std::path::Path;

use crate::testing::{folders, judge, setup, text};

const CONF: &str = "<ossec_config><rules><include>rules.xml</include></rules>
    <syscheck><alert_new_files>yes</alert_new_files></syscheck></ossec_config>";
const RULES: &str = r#"<group name="ossec,syscheck,">
    <rule id="1" level="0" noalert="1"><category>ossec</category><description>all</description></rule>
    <rule id="550" level="7"><category>ossec</category><decoded_as>syscheck_integrity_changed</decoded_as><description>c</description></rule>
    <rule id="553" level="7"><category>ossec</category><decoded_as>syscheck_deleted</decoded_as><description>d</description></rule>
    <rule id="554" level="5"><category>ossec</category><decoded_as>syscheck_new_entry</decoded_as><description>n</description></rule>
    <rule id="600" level="12"><if_sid>554</if_sid><match>/etc/shadow</match><description>s</description></rule>
    </group>"#;

const THIRD: &str = r#"<rule id="552" level="7"><category>ossec</category>
    <decoded_as>syscheck_integrity_changed_3rd</decoded_as><description>3</description></rule>
    <rule id="601" level="12"><if_sid>552</if_sid><match>/etc/shadow</match><description>s</description></rule></group>"#;

fn install(root: &Path) {
    folders(root);
    fs::write(root.join("etc/ossec.conf"), CONF).unwrap();
    fs::write(root.join("rules/rules.xml"), RULES).unwrap();
    let decoder = "<decoder name=\"none\"><prematch>^none</prematch></decoder>";
    fs::write(root.join("etc/decoder.xml"), decoder).unwrap();
    fs::write(root.join("etc/local_internal_options.conf"), "analysisd.fim_storm_alerts=3\n")
        .unwrap();
}

/// Numbers of the rules, in the order of the alerts.
fn rules(root: &Path) -> Vec<u64> {
    let alerts = text(&root.join("logs/alerts/alerts.log"));
    let lines = alerts.lines().filter_map(|line| line.strip_prefix("Rule: "));
    lines.map(|line| line.split(' ').next().unwrap().parse().unwrap()).collect()
}

#[test]
fn a_file_that_changes_often_is_summed_up_unless_a_rule_rates_it_higher() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    install(root);
    let hour = "analysisd.fim_often_seconds=3600\n";
    fs::write(root.join("etc/local_internal_options.conf"), hour).unwrap();
    fs::write(root.join("rules/rules.xml"), RULES.replace("</group>", THIRD)).unwrap();
    let change =
        |at: i64, n: i64, path: &str| (at, format!("8:syscheck:{n}:33188:0:0:a:b:c {path}"));
    let mut messages: Vec<_> = (0..6).map(|n| change(1000 + n, n, "/x")).collect();
    messages.push(change(1006, 1, "/etc/shadow"));
    messages.extend((2..6).map(|n| change(1005 + n, n, "/etc/shadow")));
    // The hour is over, and the file was quiet.
    messages.push(change(1005 + 3600, 9, "/x"));
    judge(root, setup(root, "h"), 1, messages.into_iter());
    // The second change has no rule here; /x changes twice more, the other file once.
    let expected = [550, 552, 550, 601, 601, 190_746, 552];
    assert_eq!(rules(root), expected);
    let alerts = text(&root.join("logs/alerts/alerts.log"));
    assert!(alerts.contains("2 events of 1 files were not reported"), "{alerts}");
    assert!(alerts.contains("\n/x: 2\n"), "{alerts}");
    assert_eq!(text(&root.join("logs/fim_storm.log")).lines().count(), 2);
}

#[test]
fn what_is_held_back_at_a_stop_is_summed_up_then() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    install(root);
    fs::write(root.join("rules/rules.xml"), RULES.replace("</group>", THIRD)).unwrap();
    let change = |n: i64| (1000 + n, format!("8:syscheck:{n}:33188:0:0:a:b:c /x"));
    judge(root, setup(root, "h"), 1, (0..6).map(change));
    let alerts = text(&root.join("logs/alerts/alerts.log"));
    let (_, summary) = alerts.split_once("** Alert 1005.").unwrap();
    assert!(summary.contains("Rule: 190746 (level 5)"), "{alerts}");
}

#[test]
fn a_storm_is_summed_up_and_nothing_is_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    install(root);
    let sum = "1:33188:0:0:a:b:c";
    let mut messages = vec![
        (1000, "8:syscheck:1:2:3:4:a:b:c /known".to_owned()),
        (1000, "8:syscheck:syscheck-db-completed".to_owned()),
    ];
    messages.extend((0..6).map(|n| (1001, format!("8:syscheck:{sum} /f{n}"))));
    messages.push((1002, "8:syscheck:-1 /known".to_owned()));
    messages.push((1002, format!("8:syscheck:{sum} /etc/shadow")));
    // The window has ended; the next one is a storm's, and calm.
    messages.push((1061, format!("8:syscheck:{sum} /later")));
    messages.push((1121, format!("8:syscheck:{sum} /calm")));
    let setup = setup(root, "h");
    judge(root, setup, 1, messages.into_iter());
    assert_eq!(rules(root), [554, 554, 554, 600, 190_740, 190_740, 554]);
    let alerts = text(&root.join("logs/alerts/alerts.log"));
    let summary = "4 further file events within 60 seconds were not reported one by one: 0 changed, 3 new, 1 deleted.";
    assert!(alerts.contains(summary), "{alerts}");
    let list = text(&root.join("logs/fim_storm.log"));
    let listed: Vec<&str> = list.lines().map(|line| line.rsplit(' ').next().unwrap()).collect();
    assert_eq!(listed, ["/f3", "/f4", "/f5", "/known", "/later"]);
    assert_eq!(text(&root.join("queue/fim-history/syscheck")).lines().count(), 10);
    let database = text(&root.join("queue/syscheck/syscheck"));
    assert!(database.ends_with("/calm\n") && database.contains("!++-1 !1002 /known\n"));
}
