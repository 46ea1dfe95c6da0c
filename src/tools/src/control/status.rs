//! `ossec-control status`: who runs; with `--json` also since when, with how much memory, and whether the accounts balance.

use std::fs;
use std::io;
use std::path::Path;
use std::time::SystemTime;

use runtime::{accounts, instance};
use serde_json::{Map, Value, json};

use crate::control::daemons::{self, DaemonLine};
use crate::control::{Suite, VERSION, say, scan_figures, supervisor};

/// Shows it; gives whether all that should run does.
pub(crate) fn show(suite: &Suite, as_json: bool) -> io::Result<bool> {
    let own = accounts::read(&suite.root, supervisor::NAME).unwrap_or_default();
    let mut all_run = true;
    let mut daemons = Vec::new();
    for line in daemons::stop_order(suite.install) {
        let pid = look(&suite.root, line.name)?;
        let wanted = pid.is_some() || !is_not_wanted(&own, line.name);
        all_run &= pid.is_some() || !wanted;
        if as_json {
            daemons.push(describe(&suite.root, line, pid, wanted, &own));
        } else {
            let verb = if pid.is_some() { "is" } else { "not" };
            say(&format!("{} {verb} running...", line.name));
            let figures = match line.name {
                "ossec-syscheckd" if pid.is_some() => {
                    scan_figures::line(&accounts::read(&suite.root, line.name).unwrap_or_default())
                }
                _ => None,
            };
            figures.iter().for_each(|line| say(line));
        }
    }
    if as_json {
        let supervisor = look(&suite.root, supervisor::NAME)?.map(|pid| json!({ "pid": pid }));
        let all = json!({
            "version": VERSION,
            "root": suite.root.to_string_lossy(),
            "type": suite.install.name(),
            "supervisor": supervisor,
            "daemons": daemons,
        });
        say(&format!("{all:#}"));
    }
    Ok(all_run)
}

/// The daemons that have ended by themselves because the configuration does not want them.
pub(crate) fn not_wanted(root: &Path) -> Vec<String> {
    let own = accounts::read(root, supervisor::NAME).unwrap_or_default();
    let names = own
        .iter()
        .filter(|(_, value)| *value == 1)
        .filter_map(|(key, _)| key.strip_prefix("not_wanted_"));
    names.map(str::to_owned).collect()
}

fn is_not_wanted(own: &[(String, u64)], name: &str) -> bool {
    own.iter().any(|(key, value)| *value == 1 && key.strip_prefix("not_wanted_") == Some(name))
}

pub(super) fn look(root: &Path, name: &str) -> io::Result<Option<u32>> {
    instance::look(root, name).map_err(|error| {
        let path = root.join("var/run").join(format!("{name}.lock"));
        io::Error::other(format!(
            "cannot look at '{}': {error}. Run it as root, or as a member of the suite's group.",
            path.display()
        ))
    })
}

fn describe(
    root: &Path,
    line: &DaemonLine,
    pid: Option<u32>,
    wanted: bool,
    own: &[(String, u64)],
) -> Value {
    let restarts = own.iter().find(|(key, _)| key.strip_prefix("restarts_") == Some(line.name));
    let accounts = accounts::read(root, line.name).unwrap_or_default();
    let balanced = balance(&accounts);
    let accounts: Map<String, Value> =
        accounts.into_iter().map(|(key, value)| (key, value.into())).collect();
    json!({
        "name": line.name,
        "running": pid.is_some(),
        "wanted": wanted,
        "pid": pid,
        "uptime_seconds": pid.and_then(|_| uptime_seconds(root, line.name)),
        "rss_bytes": pid.and_then(resident_bytes),
        "restarts": restarts.map_or(0, |(_, value)| *value),
        "accounts": accounts,
        "balanced": balanced,
    })
}

/// Whether `received = forwarded + filtered + dropped_* + pending`; `None` for one that keeps no such accounts.
fn balance(accounts: &[(String, u64)]) -> Option<bool> {
    let received = accounts.iter().find(|(key, _)| key == "received")?.1;
    let is_end = |key: &str| {
        matches!(key, "forwarded" | "filtered" | "pending") || key.starts_with("dropped_")
    };
    let ended: u128 =
        accounts.iter().filter(|(key, _)| is_end(key)).map(|(_, value)| u128::from(*value)).sum();
    Some(u128::from(received) == ended)
}

/// A daemon writes its number into its lock at its start, and never again.
fn uptime_seconds(root: &Path, name: &str) -> Option<u64> {
    let began =
        fs::metadata(root.join("var/run").join(format!("{name}.lock"))).ok()?.modified().ok()?;
    Some(SystemTime::now().duration_since(began).unwrap_or_default().as_secs())
}

fn resident_bytes(pid: u32) -> Option<u64> {
    resident(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?)
}

/// From the line `VmRSS:      5732 kB`.
fn resident(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accounts(text: &str) -> Vec<(String, u64)> {
        let pairs = text.split_whitespace().filter_map(|pair| pair.split_once('='));
        pairs.map(|(key, value)| (key.to_owned(), value.parse().unwrap())).collect()
    }

    #[test]
    fn accounts_balance_when_nothing_is_missing() {
        let good = "received=10 forwarded=4 filtered=3 dropped_full=1 dropped_odd=1 pending=1 failed_scripts=7";
        assert_eq!(balance(&accounts(good)), Some(true));
        assert_eq!(balance(&accounts("received=10 forwarded=4")), Some(false));
        assert_eq!(balance(&accounts("restarts=1")), None);
        let huge = format!("received=1 forwarded={0} filtered={0}", u64::MAX);
        assert_eq!(balance(&accounts(&huge)), Some(false));
    }

    #[test]
    fn resident_memory_is_read_from_proc() {
        assert_eq!(resident("Name:\tx\nVmRSS:\t    5732 kB\n"), Some(5732 * 1024));
        assert_eq!(resident("VmRSS:\tx kB\n"), None);
        assert!(resident_bytes(std::process::id()).is_some());
    }
}
