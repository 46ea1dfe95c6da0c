//! monitord with the rest of the suite: it says that it started, misses agents, closes old logs, splits large ones.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::time::{Duration, SystemTime};

use rustix::process::Signal;

use crate::harness::{Suite, append};

const CONF: &str = "<ossec_config>
  <global><logall>yes</logall></global>
  {rules}
  <syscheck><disabled>yes</disabled></syscheck>
  <localfile><log_format>syslog</log_format><location>{watched}/app.log</location></localfile>
</ossec_config>
";

fn options(suite: &Suite, text: &str) {
    let path = suite.root().join("etc/local_internal_options.conf");
    let _ = fs::remove_file(&path);
    fs::write(path, text).expect("options can be written");
}

/// An agent that gave its last sign of life `seconds` ago.
fn agent(suite: &Suite, name: &str, seconds: u64) {
    let folder = suite.root().join("queue/agent-info");
    fs::create_dir_all(&folder).expect("queue/agent-info");
    let file = File::create(folder.join(name)).expect("an agent's file");
    file.set_modified(SystemTime::now() - Duration::from_secs(seconds)).expect("its time");
}

fn keys(suite: &Suite, text: &str) {
    let path = suite.root().join("etc/client.keys");
    let _ = fs::remove_file(&path);
    fs::write(path, text).expect("client.keys can be written");
}

#[test]
fn the_start_and_silent_agents_become_alerts_once() {
    let suite = Suite::new(CONF);
    let key = "0123456789abcdef".repeat(4);
    keys(
        &suite,
        &format!(
            "001 web1 10.0.0.7 {key}\n002 db 10.1.0.0/16 {key}\n003 #*#gone any {key}\n004 new any {key}\n005 nap any {key}\n"
        ),
    );
    agent(&suite, "web1-10.0.0.7", 7200);
    agent(&suite, "db-10.1.0.0", 60);
    agent(&suite, "gone-any", 7200);
    // One that said that it would be silent.
    let nap = suite.root().join("queue/agent-info/nap-any");
    fs::write(&nap, "Linux nap - X\ncrypto_method:aes\noxsec=1;suspended;00000001;\n")
        .expect("its file");
    let file = File::options().append(true).open(&nap).expect("its file");
    file.set_modified(SystemTime::now() - Duration::from_secs(7200)).expect("its time");
    suite.start();
    suite.until_alert(502, "ossec: Ossec started.");
    suite.until_alert(504, "ossec: Agent disconnected: 'web1-10.0.0.7'.");
    assert!(suite.alerts().contains("web1-10.0.0.7->ossec-monitord"), "{}", suite.alerts());
    suite.until("the note", || suite.read("queue/monitord/silent").contains("web1-10.0.0.7"));
    suite.assert_balanced("ossec-monitord");

    // Said once, also over a restart; one that falls silent later is said too.
    agent(&suite, "db-10.1.0.0", 7200);
    suite.stop();
    suite.start();
    suite.until_alert(504, "ossec: Agent disconnected: 'db-10.1.0.0'.");
    assert_eq!(suite.count(504), 2, "{}", suite.alerts());
    assert_eq!(suite.count(502), 2);
}

#[test]
fn old_logs_are_signed_and_compressed_at_the_start_and_options_are_read_again() {
    let suite = Suite::new(CONF);
    let month = suite.root().join("logs/alerts/2020/Feb");
    fs::create_dir_all(&month).expect("a month's folder");
    for day in ["27", "28", "29"] {
        append(&month.join(format!("ossec-alerts-{day}.log")), b"** Alert\n\n");
    }
    suite.start();
    for day in ["27", "28", "29"] {
        suite.until("the old logs", || month.join(format!("ossec-alerts-{day}.log.gz")).exists());
        assert!(month.join(format!("ossec-alerts-{day}.log.sum")).exists());
        suite.until("the originals", || !month.join(format!("ossec-alerts-{day}.log")).exists());
    }
    options(&suite, "monitord.keep_days=100\n");
    suite.signal("ossec-monitord", Signal::HUP);
    suite.until("the limit", || !month.join("ossec-alerts-29.log.gz").exists());
    assert!(suite.log().contains("'/logs/alerts/2020/Feb/ossec-alerts-27.log.gz' deleted: it is "));

    options(&suite, "monitord.keep_days=x\n");
    suite.signal("ossec-monitord", Signal::HUP);
    suite.until("the refusal", || suite.log().contains("going on with the old one"));
    suite.stop();
}

#[test]
fn no_record_is_lost_or_torn_when_the_archive_of_today_is_split() {
    let suite = Suite::new(CONF);
    options(&suite, "monitord.rotate_mib=1\nmonitord.log_mib=0\n");
    let log = suite.watched().join("app.log");
    append(&log, b"");
    suite.start();
    let archives = suite.root().join("logs/archives");
    let mut written = 0;
    suite.until("three parts", || {
        // For as long as monitord takes to look a few times.
        let lines: String = (written..written + 100)
            .map(|n| format!("app: record {n:06} end {}\n", "x".repeat(60)))
            .collect();
        append(&log, lines.as_bytes());
        written += 100;
        archived(&archives).len() > 3
    });
    let seen = || -> (Vec<usize>, Vec<String>) {
        let (mut numbers, mut torn) = (Vec::new(), Vec::new());
        for file in archived(&archives) {
            for line in fs::read_to_string(&file).unwrap_or_default().lines() {
                let record = line.split_once("app: record ").map(|(_, record)| record);
                let is_whole = |record: &&str| record.len() == 6 + 5 + 60 && record.ends_with('x');
                match record.filter(is_whole).and_then(|record| record[..6].parse().ok()) {
                    Some(number) => numbers.push(number),
                    None if line.contains("app") => torn.push(line.to_owned()),
                    None => {}
                }
            }
        }
        (numbers, torn)
    };
    suite.until("all records", || seen().0.len() >= written);
    let (seen, torn) = seen();
    assert_eq!(torn, Vec::<String>::new());
    assert_eq!(seen.len(), written);
    assert_eq!(seen.into_iter().collect::<BTreeSet<_>>().len(), written);
}

/// The archive's daily file and its parts.
fn archived(archives: &std::path::Path) -> Vec<std::path::PathBuf> {
    let below = |path: &std::path::Path| -> Vec<std::path::PathBuf> {
        let entries = fs::read_dir(path).into_iter().flatten();
        entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
    };
    let years = below(archives).into_iter().filter(|path| path.is_dir());
    let months = years.flat_map(|year| below(&year));
    months
        .flat_map(|month| below(&month))
        .filter(|path| path.extension().is_some_and(|e| e == "log"))
        .collect()
}
