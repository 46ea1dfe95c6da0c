//! Daemons: whether they run, are not held, and have room for open files.

use std::fs;
use std::io;

use super::Patient;
use super::finding::Finding;
use crate::control::{daemons, status};

const RUN: &str = "daemons";
const FILES: &str = "open files";
/// Below it a daemon with some log files, or some agents, comes to its end.
const LEAST_FILES: u64 = 256;

pub(super) fn check(patient: &Patient<'_>) -> io::Result<Vec<Finding>> {
    let root = &patient.suite.root;
    let unwanted = status::not_wanted(root);
    let mut findings = Vec::new();
    let mut running = Vec::new();
    let tried = "asked for the lock of each daemon in var/run, looked at its process";
    for line in daemons::stop_order(patient.suite.install) {
        let name = line.name;
        match status::look(root, name)? {
            Some(pid) if is_held(pid) => findings.push(Finding::problem(
                RUN,
                tried,
                format!("{name} (process {pid}) is held by a signal: it does nothing"),
                format!("'kill -CONT {pid}' lets it go on."),
            )),
            Some(pid) => {
                running.push(name);
                findings.extend(files(name, pid));
            }
            None if unwanted.iter().any(|other| other == name) => {}
            None => findings.push(Finding::problem(
                RUN,
                tried,
                format!("{name} does not run"),
                "'ossec-control start'; when it ends again, its last lines in logs/ossec.log say why.",
            )),
        }
    }
    if !running.is_empty() {
        findings.push(Finding::fine(RUN, tried, format!("running: {}", running.join(", "))));
    }
    Ok(findings)
}

/// Stopped by SIGSTOP, or by a debugger.
fn is_held(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").map(|(_, rest)| rest);
    state.is_some_and(|rest| rest.starts_with(['T', 't']))
}

fn files(name: &str, pid: u32) -> Option<Finding> {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
    let (soft, hard) = open_files(&limits)?;
    let used = fs::read_dir(format!("/proc/{pid}/fd")).ok().map(Iterator::count);
    let used = u64::try_from(used.unwrap_or_default()).unwrap_or(u64::MAX);
    let is_tight = soft < LEAST_FILES || used.saturating_mul(10) >= soft.saturating_mul(9);
    is_tight.then(|| {
        Finding::problem(
            FILES,
            "read /proc/<pid>/limits and counted /proc/<pid>/fd",
            format!("{name} may open {soft} files (hard limit {hard}) and has {used} open"),
            "Raise it: 'ulimit -n 65536' before 'ossec-control restart', for good 'LimitNOFILE=65536' in the unit or 'nofile' in /etc/security/limits.conf.",
        )
    })
}

/// `Max open files            1024                 524288               files`
fn open_files(limits: &str) -> Option<(u64, u64)> {
    let rest = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    let mut words = rest.split_whitespace().map(|word| word.parse().unwrap_or(u64::MAX));
    Some((words.next()?, words.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_from_proc() {
        let line = "Max open files            1024                 unlimited            files\n";
        assert_eq!(open_files(line), Some((1024, u64::MAX)));
        assert_eq!(open_files("Max open files  "), None);
        let own = fs::read_to_string("/proc/self/limits").unwrap();
        assert!(open_files(&own).is_some());
        assert!(!is_held(std::process::id()));
    }
}
