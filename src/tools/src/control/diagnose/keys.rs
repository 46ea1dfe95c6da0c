//! `etc/client.keys`: there, readable by the right ones only, every line good; and whether there are too many agents.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;

use agents::{Agent, KeyFile, KeyStore};
use wire::digest::Md5Hex;

use super::Patient;
use super::finding::Finding;
use crate::control::daemons::InstallType;

const KEYS: &str = "keys";
const COUNT: &str = "number of agents";
/// Agents whose sums are shown.
const SHOWN: usize = 100;
const TRIED: &str = "read etc/client.keys";

pub(super) fn check(patient: &Patient<'_>) -> Vec<Finding> {
    let store = KeyStore::at(&patient.suite.root);
    let is_agent = patient.is(InstallType::Agent);
    let get = if is_agent {
        "Import the key with manage_agents -i (extract it on the manager: manage_agents -e <id>), or enrol with agent-auth; then restart."
    } else {
        "Add agents with manage_agents, or enrol them (ossec-authd, agent-auth)."
    };
    let file = match read(&store) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let found = "(1402) etc/client.keys is missing: nobody has a key";
            return vec![Finding::problem(KEYS, TRIED, found, get)];
        }
        Err(error) => {
            let found = format!("(1103) etc/client.keys cannot be read: {error}");
            let remedy = "Run this as root; the file belongs to root:ossec with mode 0640.";
            return vec![Finding::problem(KEYS, TRIED, found, remedy)];
        }
    };
    let mut findings = Vec::new();
    let mode = fs::metadata(store.path()).map_or(0, |facts| facts.permissions().mode());
    if mode & 0o007 != 0 {
        let found = format!("everybody on this host may read the keys (mode {:o})", mode & 0o7777);
        let remedy = "chmod 0640 etc/client.keys; chown root:ossec etc/client.keys";
        findings.push(Finding::problem(KEYS, TRIED, found, remedy));
    }
    for problem in file.problems() {
        let remedy = "Correct or remove the line (manage_agents -r), or import the key again.";
        findings.push(Finding::problem(KEYS, TRIED, problem.to_string(), remedy));
    }
    findings.extend(twice(&file));
    let count = file.agents().count();
    match file.agents().next() {
        None => findings.push(Finding::problem(
            KEYS,
            TRIED,
            "(1751) etc/client.keys holds no usable key",
            get,
        )),
        Some(agent) if is_agent => findings.push(Finding::fine(
            KEYS,
            TRIED,
            format!(
                "this is agent {} '{}', address {}, key's sum {} (the manager must have the same)",
                agent.id,
                agent.name,
                agent.address.stored(),
                sum(agent)
            ),
        )),
        Some(_) => {
            findings.push(limit(patient, count));
            findings.push(sums(&file));
        }
    }
    findings
}

fn read(store: &KeyStore) -> io::Result<KeyFile> {
    Ok(KeyFile::parse(&fs::read(store.path())?))
}

/// The first half of the line's MD5 sum: enough to compare two hosts, too little to guess anything from it.
pub(super) fn sum(agent: &Agent) -> String {
    let sum = Md5Hex::of(&agent.line());
    String::from_utf8_lossy(sum.as_bytes()).chars().take(16).collect()
}

/// To be compared with what an agent's own `diagnose` shows.
fn sums(file: &KeyFile) -> Finding {
    let shown: Vec<String> = file
        .agents()
        .take(SHOWN)
        .map(|agent| format!("{} {} {}", agent.id, agent.name, sum(agent)))
        .collect();
    let rest = file.agents().count().saturating_sub(shown.len());
    let rest = if rest > 0 { format!(" and {rest} more") } else { String::new() };
    Finding::fine(KEYS, TRIED, format!("sums of keys: {}{rest}", shown.join(", ")))
}

/// Names and single addresses that two agents claim: of datagrams without an id only one of them is heard.
fn twice(file: &KeyFile) -> Vec<Finding> {
    let mut seen: HashMap<String, &Agent> = HashMap::new();
    let mut findings = Vec::new();
    for agent in file.agents() {
        let mut claims = vec![format!("name '{}'", agent.name)];
        if agent.address.is_single_host() {
            claims.push(format!("address {}", agent.address.stored()));
        }
        for claim in claims {
            match seen.get(&claim) {
                Some(first) => findings.push(Finding::problem(
                    KEYS,
                    TRIED,
                    format!("agents {} and {} have the same {claim}", first.id, agent.id),
                    "Remove one of them: manage_agents -r <id>.",
                )),
                None => {
                    seen.insert(claim, agent);
                }
            }
        }
    }
    findings
}

fn limit(patient: &Patient<'_>, count: usize) -> Finding {
    let tried = "counted client.keys, compared with remoted.max_agents";
    let limit = patient.options.as_ref().map(|options| options.number("remoted.max_agents"));
    let limit = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
    if count > limit {
        Finding::problem(
            COUNT,
            tried,
            format!("(4110) {count} agents have keys, {limit} are heard: too many agents"),
            format!(
                "Set remoted.max_agents={count} or more in etc/local_internal_options.conf, or remove agents (manage_agents -r); restart."
            ),
        )
    } else {
        Finding::fine(COUNT, tried, format!("{count} of {limit}"))
    }
}
