//! `list_agents`: the agents that ever spoke, one a line, for scripts.

use std::process::ExitCode;

use agents::{Agent, Status, info};
use serde_json::json;

use crate::agent_tools::{self, Reply, World};

const NAME: &str = "list_agents";
const USAGE: &str = "
list_agents: names the agents that ever spoke to this manager
  list_agents -a | -c | -n  [--json]
    -a       All of them
    -c       Those that speak now
    -n       Those that are silent
    --json   The answer as one JSON object
    -h       This help
";

/// The program.
pub fn main() -> ExitCode {
    agent_tools::main_of(NAME, run)
}

/// Only the first word counts, as ever.
pub(crate) fn run(world: &World, words: &[String]) -> Reply {
    let is_form = |word: &&String| matches!(word.as_str(), "--json" | "-j");
    let is_json = words.iter().any(|word| is_form(&word));
    let word = words.iter().find(|word| !is_form(word)).map(String::as_str);
    let (is_wanted, what): (fn(Status) -> bool, &str) = match word {
        Some("-a") => (|_| true, "available"),
        Some("-c") => (|status| status == Status::Active, "active"),
        Some("-n") => (|status| status != Status::Active, "not active"),
        Some("-h") => return Reply::of(USAGE),
        Some(odd) => {
            return Reply::refused(format!(
                "\n** Invalid option '{}'.\n{USAGE}",
                odd.escape_default()
            ));
        }
        None => return Reply::refused(USAGE),
    };
    let keys = match world.keys(NAME) {
        Ok(keys) => keys,
        Err(reply) => return reply,
    };
    let known: Vec<(&Agent, Status)> = keys
        .agents()
        .map(|agent| (agent, info::status(&world.root, agent, world.now)))
        .filter(|(_, status)| *status != Status::NeverConnected && is_wanted(*status))
        .collect();
    if is_json {
        let row = |(agent, status): &(&Agent, Status)| json!({"id": agent.id.as_str(), "agent": agent.file_name(), "status": status.as_str()});
        return Reply::of(agent_tools::json_response(known.iter().map(row).collect::<Vec<_>>()));
    }
    if known.is_empty() {
        return Reply::of("** No agent available.\n");
    }
    Reply::of(
        known
            .iter()
            .map(|(agent, _)| format!("{} is {what}.\n", agent.file_name()))
            .collect::<String>(),
    )
}
