//! The recorded outputs of agent_control, list_agents and syscheck_control, command by command.

use std::os::unix::net::UnixDatagram;

use serde_json::Value;

use crate::agent_tools::testing::{Bench, golden, masked, transcript, words};

const INFO: &str = "Linux vm 6.18.44-fc-v445 #1 SMP PREEMPT_DYNAMIC @0 x86_64 - OSSEC HIDS v4.2.0 / 5aa088a8429c501ba15ae1b167d7236b\ncrypto_method:aes\n";

/// What depends on the host that runs the test.
fn without_system(text: &str) -> String {
    let is_of_host = |line: &&str| {
        line.starts_with("   Operating system:") || line.starts_with("   Client version:")
    };
    text.split_inclusive('\n').filter(|line| !is_of_host(line)).collect()
}

#[test]
fn golden_commands_print_what_was_recorded() {
    let Some(text) = golden("wire/cli_outputs.json") else { return };
    let rows: Vec<Value> = serde_json::from_str(&text).unwrap();
    let bench = Bench::new("vm", "001 web01 any 5ec4e7\n");
    bench.put("queue/agent-info/web01-any", INFO);
    bench.put(
        "etc/shared/ar.conf",
        "restart-ossec0 - restart-ossec.sh - 0\nhost-deny600 - host-deny.sh - 600\n",
    );
    let _remoted = UnixDatagram::bind(bench.path("queue/alerts/ar")).unwrap();
    let mut failing = Vec::new();
    for row in &rows {
        let command = row["command"].as_str().unwrap();
        let mut all = words(command);
        let program = all.remove(0);
        let reply = match program.as_str() {
            "agent_control" => super::run(&bench.world, &all),
            "list_agents" => crate::list_agents::run(&bench.world, &all),
            _ => crate::syscheck_control::run(&bench.world, &all),
        };
        let shown = |text: &str| {
            if command.contains("000") { without_system(text) } else { text.to_owned() }
        };
        let (wanted, found) = (shown(row["stdout"].as_str().unwrap()), shown(&reply.out));
        let is_same = masked(&wanted) == masked(&found)
            && reply.err == row["stderr"].as_str().unwrap()
            && row["exit_code"] == reply.code;
        if !is_same {
            failing.push(format!(
                "{command}\n was {wanted:?}\n got {found:?}, {:?}, {}",
                reply.err, reply.code
            ));
        }
    }
    assert!(!rows.is_empty());
    assert!(failing.is_empty(), "{}", failing.join("\n"));
}

/// The analysis daemon's part, by hand: it counts, and the scan ends what waits for it.
#[test]
fn golden_maintenance_is_told_as_recorded() {
    let Some(text) = golden("host/syscheck-intended/scheduled/maintenance_cli.txt") else { return };
    let bench = Bench::new("vm", "");
    let marker = bench.path("queue/syscheck/.syscheck.maint");
    let mut failing = Vec::new();
    for (at, (command, recorded)) in transcript(&text).into_iter().enumerate() {
        match at {
            3 => {
                let text = std::fs::read_to_string(&marker).unwrap();
                bench.put("queue/syscheck/.syscheck.maint", text.replace("updates=0", "updates=3"));
            }
            5 => std::fs::remove_file(&marker).unwrap(),
            _ => (),
        }
        let reply = super::run(&bench.world, &words(&command)[1..]);
        let (wanted, file) = recorded.split_once("-- marker files:").unwrap();
        let found = std::fs::read_to_string(&marker).unwrap_or_default();
        let found = masked(&found).replace("TIME", "enabled_at=EPOCH");
        let wanted_file = file.split_once('\n').map_or("", |(_, lines)| lines).trim();
        if masked(wanted) != masked(&reply.out) || found.trim() != wanted_file || reply.code != 0 {
            failing
                .push(format!("{at} {command}\n was {recorded:?}\n got {:?} {found:?}", reply.out));
        }
    }
    assert!(failing.is_empty(), "{}", failing.join("\n"));
    assert!(bench.path("var/run/.syscheck_run").exists(), "the end asks for a scan");
}
