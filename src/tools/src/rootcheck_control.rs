//! `rootcheck_control`: what rootcheck found on a host, what of it is still so; forgets it on demand.

pub(crate) mod database;
#[cfg(test)]
mod golden;

use std::fmt::Write;
use std::fs;
use std::io;
use std::process::ExitCode;

use serde_json::json;

use crate::agent_tools::client::{Client, printable};
use crate::agent_tools::listing::Listing;
use crate::agent_tools::options::{Form, Options, Tool};
use crate::agent_tools::{self, Reply, World, json_error, json_response, times};
use database::{Database, Finding};

const TOOL: Tool = Tool { name: NAME, letters: "VhdlLcsjrqu:i:", words: &[], usage: USAGE };
const NAME: &str = "rootcheck_control";
const USAGE: &str = "
rootcheck_control: what rootcheck found
  rootcheck_control -l | -lc     Lists all agents, or those that speak
  rootcheck_control -i <id>      Lists what was found there (000: this host)
    -r                           Only what is resolved
    -q                           Only what is still so
    -L                           What the last scan found
  rootcheck_control -u <id>      Forgets what was found there
  rootcheck_control -u all       The same for every host
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
    answer(world, &options).unwrap_or_else(|reply| reply)
}

fn answer(world: &World, options: &Options) -> Result<Reply, Reply> {
    let form = options.form();
    let asked: Vec<char> =
        ['l', 'i', 'u'].into_iter().filter(|letter| options.has(*letter)).collect();
    match asked.as_slice() {
        ['l'] if !options.has_any("rqL") => {
            let keys = world.keys(NAME)?;
            let active_only = options.has('c');
            let listing = Listing { program: NAME, active_only, form, local_maintenance: false };
            Ok(Reply::of(listing.text(world, &keys)))
        }
        ['u'] if !options.has_any("rqLc") => {
            clear(world, options.value('u').unwrap_or_default(), form)
        }
        ['i'] if !options.has('c') => {
            let client = client(world, options.value('i').unwrap_or_default(), form)?;
            show(world, &client, options, form)
        }
        _ if form == Form::Json && !options.is_empty() => {
            Err(Reply::refused(json_error(30, "Invalid argument combination")))
        }
        _ => Err(Reply::refused(format!("\n** Invalid argument combination.\n{USAGE}"))),
    }
}

fn client(world: &World, id: &str, form: Form) -> Result<Client, Reply> {
    match Client::find(world, NAME, id)? {
        Some(client) => Ok(client),
        None if form == Form::Json => Err(Reply::refused(json_error(32, "Invalid agent id"))),
        None => Err(Reply::refused(format!(
            "\n** Invalid agent id '{}'.\n{USAGE}",
            printable(id.as_bytes())
        ))),
    }
}

fn show(world: &World, client: &Client, options: &Options, form: Form) -> Result<Reply, Reply> {
    let database = Database::read(world, client).map_err(|error| {
        Reply::failed(
            NAME,
            &format!("cannot read what was found on {}: {error}", client.titled(world)),
        )
    })?;
    let (outstanding, resolved): (Vec<&Finding>, Vec<&Finding>) =
        database.findings().partition(|finding| database.is_outstanding(finding));
    let (with_resolved, with_outstanding) = (!options.has('q'), !options.has('r'));
    let mut rows: Vec<(&str, &Finding)> = Vec::new();
    if with_resolved {
        rows.extend(resolved.iter().map(|finding| ("resolved", *finding)));
    }
    if with_outstanding {
        rows.extend(outstanding.iter().map(|finding| ("outstanding", *finding)));
    }
    let mut text = String::new();
    match form {
        Form::Csv => {
            for (status, finding) in rows {
                let (last, first) = finding.stamps();
                let _ = writeln!(text, "{status},{last},{first},System Audit: {}", finding.text);
            }
        }
        Form::Json => {
            let row = |(status, finding): &(&str, &Finding)| {
                let (last, first) = finding.stamps();
                json!({"status": status, "readDay": last, "oldDay": first, "event": finding.text})
            };
            text = json_response(rows.iter().map(row).collect::<Vec<_>>());
        }
        Form::Text => {
            let _ = write!(text, "\nPolicy and auditing events for {}:\n", client.titled(world));
            if with_resolved {
                section(&mut text, "Resolved events: ", &resolved, true);
            }
            if with_outstanding && options.has('L') {
                let at = database.last(database::STARTING).map_or("Unknown".into(), times::stamp);
                section(&mut text, &format!("Last scan: {at}"), &outstanding, false);
            } else if with_outstanding {
                section(&mut text, "Outstanding events: ", &outstanding, true);
            }
        }
    }
    Ok(Reply::of(text))
}

fn section(text: &mut String, title: &str, findings: &[&Finding], with_times: bool) {
    let _ = write!(text, "\n{title}\n\n");
    for finding in findings {
        if with_times {
            let (last, first) = finding.stamps();
            let _ = writeln!(text, "{last} (first time detected: {first})");
        }
        let _ = write!(text, "System Audit: {}\n\n", finding.text);
    }
    if findings.is_empty() {
        text.push_str("** No entries found.\n");
    }
}

/// Deletes databases; the analysis daemon notices.
fn clear(world: &World, whose: &str, form: Form) -> Result<Reply, Reply> {
    let folder = world.root.join("queue/rootcheck");
    let failed = |error: io::Error| match form {
        Form::Json => Reply::refused(json_error(
            31,
            &format!("Unable to clear '{}': {error}", folder.display()),
        )),
        _ => Reply::failed(NAME, &format!("cannot clear '{}': {error}", folder.display())),
    };
    let paths = match whose {
        "all" => database::all(&folder).map_err(failed)?,
        id => vec![database::path(world, &client(world, id, form)?)],
    };
    for path in paths {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => (),
        }
    }
    Ok(Reply::of(match form {
        Form::Json => json_response("Policy and auditing database updated"),
        _ => "\n** Policy and auditing database updated.\n\n".into(),
    }))
}
