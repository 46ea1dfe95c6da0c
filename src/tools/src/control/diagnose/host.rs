//! The host: its clock, and room on its disks.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Patient;
use super::finding::Finding;

const CLOCK: &str = "clock";
const DISK: &str = "disk";
/// 2025-01-01: no host that runs this lives before it.
const EARLIEST: Duration = Duration::from_secs(1_735_689_600);
/// A file from the future by so much says that the clock was put back.
const LEEWAY: Duration = Duration::from_secs(120);
/// Bytes that every disk must have free.
const LEAST_FREE: u64 = 64 << 20;

pub(super) fn check(patient: &Patient<'_>) -> Vec<Finding> {
    let root = &patient.suite.root;
    let mut findings = vec![clock(root, SystemTime::now())];
    for folder in ["logs", "queue"] {
        findings.extend(disk(root, folder));
    }
    findings
}

fn clock(root: &Path, now: SystemTime) -> Finding {
    let tried = "compared the clock with the times of our newest files";
    let remedy = "Set the clock (chrony, systemd-timesyncd, ntpd), on the manager and on all agents: alerts bear the time of the manager, log lines that of the agent.";
    if now < UNIX_EPOCH + EARLIEST {
        return Finding::problem(CLOCK, tried, "it shows a year long gone", remedy);
    }
    for name in ["logs/ossec.log", "queue/rids/sender_counter", "logs/alerts/alerts.log"] {
        let time = fs::metadata(root.join(name)).and_then(|facts| facts.modified());
        let ahead = time.ok().and_then(|time| time.duration_since(now).ok());
        if let Some(ahead) = ahead.filter(|ahead| *ahead > LEEWAY) {
            let seconds = ahead.as_secs();
            let found =
                format!("'{name}' was written {seconds} s in the future: it was put back since");
            return Finding::problem(CLOCK, tried, found, remedy);
        }
    }
    Finding::fine(CLOCK, tried, "plausible (OSSEC's wire does not tell the manager's)")
}

fn disk(root: &Path, folder: &str) -> Option<Finding> {
    let tried = format!("statvfs of {folder}/");
    let facts = rustix::fs::statvfs(root.join(folder)).ok()?;
    let free = facts.f_bavail.saturating_mul(facts.f_frsize);
    let mib = free >> 20;
    let remedy = "Make room, or let monitord keep less (monitord.keep_log_days and the like in internal_options.conf); events wait in queue/ meanwhile.";
    Some(if free < LEAST_FREE {
        Finding::problem(DISK, &tried, format!("only {mib} MiB are free for {folder}/"), remedy)
    } else if facts.f_files > 0 && facts.f_favail == 0 {
        Finding::problem(DISK, &tried, format!("no inode is free for {folder}/"), remedy)
    } else {
        Finding::fine(DISK, &tried, format!("{mib} MiB are free for {folder}/"))
    })
}

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::*;

    #[test]
    fn a_clock_that_was_put_back_or_never_set_is_found() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("logs")).unwrap();
        fs::write(root.path().join("logs/ossec.log"), "x").unwrap();
        let now = SystemTime::now();
        let state = |now| clock(root.path(), now).state;
        assert_eq!(state(now), State::Fine);
        assert_eq!(state(now - Duration::from_secs(600)), State::Problem);
        assert_eq!(state(UNIX_EPOCH + Duration::from_secs(60)), State::Problem);
    }
}
