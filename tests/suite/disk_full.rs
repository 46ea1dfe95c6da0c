//! A full disk: analysis stops acknowledging, says so, and goes on without loss when there is room.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::harness::{Suite, append, is_root};

const CONF: &str = "<ossec_config>
  <global><logall>yes</logall></global>
  {rules}
  <syscheck><disabled>yes</disabled></syscheck>
  <localfile><log_format>syslog</log_format><location>{watched}/app.log</location></localfile>
</ossec_config>
";
const LINES: usize = 20_000;

/// A small file system of the test's own.
struct Small<'a>(&'a Path);

impl<'a> Small<'a> {
    fn mount(at: &'a Path) -> Self {
        let done = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m,mode=0750", "tmpfs"])
            .arg(at)
            .status();
        assert!(done.is_ok_and(|status| status.success()), "tmpfs is mounted");
        Self(at)
    }
}

impl Drop for Small<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[test]
fn a_full_disk_loses_nothing() {
    if !is_root() {
        println!("skipped: only root can mount a small file system");
        return;
    }
    let suite = Suite::new(CONF);
    let archives = suite.root().join("logs/archives");
    let small = Small::mount(&archives);
    let log = suite.watched().join("app.log");
    append(&log, b"");
    suite.start();
    let ballast = archives.join("ballast");
    fs::write(&ballast, vec![0; 900 << 10]).expect("ballast");
    let lines: String = (0..LINES).map(|n| format!("app: number {n} of many\n")).collect();
    append(&log, lines.as_bytes());
    suite.until("the complaint", || suite.log().contains("Nothing is acknowledged"));
    assert!(suite.log().contains("ossec-archive-"), "names the file:\n{}", suite.log());
    let held = suite.account("ossec-logcollector", "pending");
    println!("{held} lines wait at the collector");

    let done = Command::new("mount").args(["-o", "remount,size=64m"]).arg(&archives).status();
    assert!(done.is_ok_and(|status| status.success()), "tmpfs is made larger");
    suite.until("the last line", || {
        suite.read("logs/archives/archives.log").contains(&format!("number {} of", LINES - 1))
    });
    let all = suite.read("logs/archives/archives.log");
    let numbers: Vec<usize> = all
        .lines()
        .filter_map(|line| line.split_once("number ")?.1.split(' ').next()?.parse().ok())
        .collect();
    assert_eq!(numbers, (0..LINES).collect::<Vec<_>>(), "every line once, in order");
    suite.stop();
    suite.assert_balanced("ossec-analysisd");
    drop(small);
}
