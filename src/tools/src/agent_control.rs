//! `agent_control`: who the agents are and how they do; asks remoted to restart them, to have them scan, to have them respond.

mod details;
#[cfg(test)]
mod golden;
pub(crate) mod maintenance;
pub(crate) mod request;
#[cfg(test)]
mod tests;

use std::fs;
use std::net::IpAddr;
use std::process::ExitCode;

use agents::{Status, info};
use serde_json::json;

use crate::agent_tools::client::{Client, printable};
use crate::agent_tools::listing::Listing;
use crate::agent_tools::options::{Form, Options, Tool};
use crate::agent_tools::{self, Reply, World, json_error, json_response};

const TOOL: Tool =
    Tool { name: NAME, letters: "VehdlLcsjarmu:i:b:f:R:M:", words: &[], usage: USAGE };
const NAME: &str = "agent_control";
const USAGE: &str = "
agent_control: looks after agents
  agent_control -l | -lc         Lists all agents, or those that speak
  agent_control -i <id>          Says what is known of one (-e: when its scans ended, too)
  agent_control -R <id>          Restarts the suite there
  agent_control -r -a            Has all agents scan their files now
  agent_control -r -u <id>       Has one scan (000: this host)
  agent_control -b <ip> -f <response> -u <id>
                                 Runs an active response there
  agent_control -L               Lists the active responses
  agent_control -M <action> -u <id>
                                 Maintenance: file changes are accepted silently
                                 enable, status, end (with the next whole scan),
                                 disable (at once)
  agent_control -m               Says how many agents there may be
    -s    The answer as comma-separated values
    -j    The answer as one JSON object (also: --json)
    -V -h Version, this help
";

/// The program.
pub fn main() -> ExitCode {
    agent_tools::main_of(TOOL.name, run)
}

pub(crate) fn run(world: &World, words: &[String]) -> Reply {
    let options = match TOOL.read(words) {
        Ok(options) => options,
        Err(reply) => return reply,
    };
    if options.is_empty() {
        return Reply::refused(USAGE);
    }
    answer(world, &options).unwrap_or_else(|reply| reply)
}

/// One thing at a time: the first of these that was asked for, if nothing else contradicts it.
fn answer(world: &World, options: &Options) -> Result<Reply, Reply> {
    let form = options.form();
    let asked =
        ['M', 'l', 'L', 'm', 'i', 'R', 'r', 'b'].into_iter().filter(|letter| options.has(*letter));
    let asked: Vec<char> = asked.collect();
    match asked.as_slice() {
        ['M'] => maintenance::run(world, options, form),
        ['l'] => {
            let keys = world.keys(NAME)?;
            let active_only = options.has('c');
            let listing = Listing { program: NAME, active_only, form, local_maintenance: true };
            Ok(Reply::of(listing.text(world, &keys)))
        }
        ['L'] => Ok(responses(world, form)),
        ['m'] => limit(world, form),
        ['i'] => {
            let client = client(world, options.value('i'), form)?;
            Ok(Reply::of(details::text(world, &client, form, options.has('e'))))
        }
        ['R'] => restart(world, &client(world, options.value('R'), form)?, form),
        ['r'] if options.has('a') && !options.has('u') => scan_all(world, form),
        ['r'] if options.has('u') && !options.has('a') => {
            scan(world, &client(world, options.value('u'), form)?, form)
        }
        ['b'] if options.has('f') && options.has('u') => respond(world, options, form),
        _ => Err(invalid_combination()),
    }
}

fn invalid_combination() -> Reply {
    Reply::refused(format!("\n** Invalid argument combination.\n{USAGE}"))
}

/// The one with this id, digit for digit.
fn client(world: &World, id: Option<&str>, form: Form) -> Result<Client, Reply> {
    let id = id.unwrap_or_default();
    match Client::find(world, NAME, id)? {
        Some(client) => Ok(client),
        // Scripts read the object, not the code: 0 as ever.
        None if form == Form::Json => Err(Reply::of(json_error(40, "Invalid agent id"))),
        None => {
            let shown = printable(id.as_bytes());
            Err(Reply::refused(format!("\n** Invalid agent id '{shown}'.\n{USAGE}")))
        }
    }
}

fn restart(world: &World, client: &Client, form: Form) -> Result<Reply, Reply> {
    let Client::Agent(agent) = client else { return Err(invalid_combination()) };
    let sent = request::restart(world, &agent.id);
    let text = format!("Restarting agent: {}\n{}", agent.id, absence(world, client));
    done(sent, form, 46, "Unable to restart agent", "Restarting agent", &text)
}

/// A line about an agent that is not heard at the moment: remoted keeps the request for it.
fn absence(world: &World, client: &Client) -> String {
    if !is_away(client.status(world)) {
        return String::new();
    }
    format!(
        "Agent {} is not connected: it gets this if it is heard within 20 minutes.\n",
        client.id()
    )
}

fn is_away(status: Status) -> bool {
    matches!(status, Status::Disconnected | Status::NeverConnected)
}

fn scan(world: &World, client: &Client, form: Form) -> Result<Reply, Reply> {
    match client {
        Client::Local => {
            let sent = request::scan_here(world);
            let (json, text) = (
                "Restarting Syscheck/Rootcheck locally",
                "Restarting Syscheck/Rootcheck locally.\n",
            );
            done(sent, form, 44, "Unable to restart Syscheck/Rootcheck locally", json, text)
        }
        Client::Agent(agent) => {
            let sent = request::scan(world, &agent.id);
            let json = "Restarting Syscheck/Rootcheck on agent";
            let absence = absence(world, client);
            let text = format!("Restarting Syscheck/Rootcheck on agent: {}\n{absence}", agent.id);
            done(sent, form, 44, "Unable to restart Syscheck/Rootcheck on agent", json, &text)
        }
    }
}

fn scan_all(world: &World, form: Form) -> Result<Reply, Reply> {
    let json = "Restarting Syscheck/Rootcheck on all agents";
    let keys = world.keys(NAME)?;
    let all = keys.agents().map(|agent| info::status(&world.root, agent, world.now));
    let away = all.filter(|status| is_away(*status)).count();
    // No newline at its end, as ever.
    let mut text = "Restarting Syscheck/Rootcheck on all agents.".to_owned();
    if away > 0 {
        text.push_str(&format!(
            "\n{away} of them are not connected: who is heard within 20 minutes gets this.\n"
        ));
    }
    let failed = "Unable to restart Syscheck/Rootcheck on all agents";
    done(request::scan_all(world), form, 42, failed, json, &text)
}

fn respond(world: &World, options: &Options, form: Form) -> Result<Reply, Reply> {
    let client = client(world, options.value('u'), form)?;
    let Client::Agent(agent) = &client else { return Err(invalid_combination()) };
    let response = options.value('f').unwrap_or_default();
    let is_name = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    if response.is_empty() || !response.bytes().all(is_name) {
        let shown = printable(response.as_bytes());
        return Err(Reply::refused(format!(
            "\n** Invalid active response '{shown}': {NAME} -L lists them.\n"
        )));
    }
    let ip = options.value('b').unwrap_or_default();
    if ip.parse::<IpAddr>().is_err() {
        let shown = printable(ip.as_bytes());
        return Err(Reply::refused(format!("\n** Invalid IP address '{shown}'.\n")));
    }
    let sent = request::respond(world, &agent.id, response, ip);
    let absence = absence(world, &client);
    let text = format!("Running active response '{response}' on: {}\n{absence}", agent.id);
    done(sent, form, 46, "Unable to run active response", "Running active response", &text)
}

/// What to say of a request: that it was handed over, no more.
fn done(
    sent: Result<(), request::Unsent>,
    form: Form,
    error: u32,
    description: &str,
    json: &str,
    text: &str,
) -> Result<Reply, Reply> {
    match sent {
        Ok(()) if form == Form::Json => Ok(Reply::of(json_response(json))),
        Ok(()) => Ok(Reply::of(format!("\nOSSEC HIDS {NAME}: {text}"))),
        Err(unsent) => Err(unsent.reply(form, error, description)),
    }
}

/// Names of responses and their scripts, from the table that analysisd writes for agents.
fn responses(world: &World, form: Form) -> Reply {
    let table = fs::read(world.root.join("etc/shared/ar.conf")).unwrap_or_default();
    let table = printable_lines(&table);
    let rows: Vec<(&str, &str)> = table
        .iter()
        .filter_map(|line| {
            let mut fields = line.split(" - ");
            Some((fields.next()?.trim(), fields.next()?.trim()))
        })
        .filter(|(name, _)| *name != "restart-ossec0")
        .collect();
    match form {
        Form::Json => {
            let row = |(name, command): &(&str, &str)| json!({"name": name, "command": command});
            Reply::of(json_response(rows.iter().map(row).collect::<Vec<_>>()))
        }
        Form::Csv => Reply::of(
            rows.iter().map(|(name, command)| format!("{name},{command}\n")).collect::<String>(),
        ),
        Form::Text => {
            let mut text = format!("\nOSSEC HIDS {NAME}. Available active responses:\n\n");
            for (name, command) in &rows {
                text.push_str(&format!("   Response name: {name}, command: {command}\n"));
            }
            if rows.is_empty() {
                text.push_str("   No active response available.\n");
            }
            text.push('\n');
            Reply::of(text)
        }
    }
}

fn printable_lines(text: &[u8]) -> Vec<String> {
    text.split(|&b| b == b'\n').map(printable).collect()
}

fn limit(world: &World, form: Form) -> Result<Reply, Reply> {
    let options = settings::InternalOptions::load(&world.root)
        .map_err(|errors| Reply::failed(NAME, errors.to_string().trim_end()))?;
    let limit = options.number("remoted.max_agents");
    Ok(Reply::of(match form {
        Form::Text => format!("Limit of agents: {limit}\n"),
        Form::Csv => format!("{limit}\n"),
        Form::Json => json!({"error": 0, "data": {"max_agents": limit}}).to_string(),
    }))
}
