//! `syscheck_control`: what changed on a host's disk, by the manager's integrity databases; resets counters and baselines.

mod database;
#[cfg(test)]
mod golden;

use std::fmt::Write;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::{Value, json};

use crate::agent_tools::client::{Client, LOCAL, printable};
use crate::agent_tools::listing::Listing;
use crate::agent_tools::options::{Form, Options};
use crate::agent_tools::{self, Reply, World, json_error, json_response, times};
use database::{Changes, Database, Entry};

const NAME: &str = "syscheck_control";
const KNOWN: &str = "VhzrDdlcsju:i:f:";
const USAGE: &str = "
syscheck_control: what changed on the disks of agents
  syscheck_control -l | -lc      Lists all agents, or those that speak
  syscheck_control -i <id>       Lists the files that changed there (000: this host)
    -r                           The registry instead (Windows)
    -f <pattern>                 Only matching files, with their values
      -z                         sets the count of their changes to none
      -d                         says nothing more of their changes
  syscheck_control -u <id>       Forgets the baseline of a host: the next scan makes another
                                 (000 or local: this host, all: every host)
    -s    The answer as comma-separated values
    -j    The answer as one JSON object (also: --json)
    -V -h Version, this help
  A scan is asked for with agent_control -r -u <id>.
";

/// The program.
pub fn main() -> ExitCode {
    let words: Vec<String> =
        std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let world = World::here();
    let reply = match agent_tools::become_user(NAME) {
        Ok(()) => run(&world, &words),
        Err(reply) => reply,
    };
    reply.give()
}

pub(crate) fn run(world: &World, words: &[String]) -> Reply {
    let options = match Options::parse(words, KNOWN) {
        Ok(options) => options,
        Err(odd) => return Reply { out: USAGE.into(), err: format!("{NAME}: {odd}\n"), code: 1 },
    };
    if options.has('V') {
        return agent_tools::version(NAME);
    }
    if options.has('h') {
        return Reply::of(USAGE);
    }
    if let Some(odd) = contradiction(&options) {
        return match options.form() {
            Form::Json => Reply::refused(json_error(30, "Invalid argument combination")),
            _ => Reply::refused(format!("\n** {odd}\n{USAGE}")),
        };
    }
    answer(world, &options).unwrap_or_else(|reply| reply)
}

/// What doesn't go together, as a sentence or two.
fn contradiction(options: &Options) -> Option<&'static str> {
    let has = |letters| options.has_any(letters);
    if !options.stray.is_empty() {
        Some("There are words that belong to no option.")
    } else if has("u") && has("rifzdl") {
        Some(
            "-u (clear database) cannot be combined with -r, -i, -f, -z, -d, or -l.\n   To run an integrity scan, use: agent_control -r -u <id>",
        )
    } else if has("l") && has("rifzd") {
        Some("-l (list agents) cannot be combined with -r, -i, -f, -z, or -d.")
    } else if has("c") && !has("l") {
        Some("-c goes only with -l.")
    } else if has("r") && !has("i") {
        Some(
            "-r (registry entries) goes only with -i <id>.\n   To run an integrity scan, use: agent_control -r -u <id>",
        )
    } else if has("fzd") && !has("i") {
        Some("-f, -z and -d go only with -i <id>.")
    } else if has("zd") && !has("f") {
        Some("-z and -d go only with -f <file>.")
    } else if has("z") && has("d") {
        Some("-z and -d contradict each other.")
    } else if !has("uli") {
        Some("One of -l, -i and -u is needed.")
    } else {
        None
    }
}

fn answer(world: &World, options: &Options) -> Result<Reply, Reply> {
    let form = options.form();
    if options.has('l') {
        let keys = world.keys(NAME)?;
        let active_only = options.has('c');
        let listing = Listing { program: NAME, active_only, form, local_maintenance: false };
        return Ok(Reply::of(listing.text(world, &keys)));
    }
    if let Some(whose) = options.value('u') {
        return clear(world, whose, form);
    }
    let client = client(world, options.value('i').unwrap_or_default(), form)?;
    show(world, &client, options, form)
}

fn client(world: &World, id: &str, form: Form) -> Result<Client, Reply> {
    if id == LOCAL {
        return Ok(Client::Local);
    }
    let keys = world.keys(NAME)?;
    match keys.by_id(id) {
        Some(agent) => Ok(Client::Agent(Box::new(agent.clone()))),
        None if form == Form::Json => Err(Reply::refused(json_error(32, "Invalid agent id"))),
        None if keys.agents().next().is_none() => {
            Err(Reply::failed(NAME, "(1751) File client.keys not found or empty."))
        }
        None => Err(Reply::refused(format!(
            "\n** Invalid agent id '{}'.\n{USAGE}",
            printable(id.as_bytes())
        ))),
    }
}

fn show(world: &World, client: &Client, options: &Options, form: Form) -> Result<Reply, Reply> {
    let is_registry = options.has('r');
    let kind = if is_registry { "syscheck-registry" } else { "syscheck" };
    let path = world.root.join("queue/syscheck").join(client.database(kind));
    let failed = |error: io::Error| match form {
        Form::Json => {
            Reply::refused(json_error(31, &format!("Unable to open '{}': {error}", path.display())))
        }
        _ => Reply::failed(NAME, &format!("cannot open '{}': {error}", path.display())),
    };
    let database = Database::read(&path).map_err(failed)?;
    let of = if is_registry { "'Windows Registry' of " } else { "" };
    let title = match client {
        Client::Local => format!("Integrity checking changes for {of}{}:", client.titled(world)),
        Client::Agent(_) => format!("Integrity changes for {of}{}:", client.titled(world)),
    };
    let Some(pattern) = options.value('f') else {
        return Ok(Reply::of(changes(&title, &database, form)));
    };
    let wanted = pattern::Match::new(pattern.as_bytes()).map_err(|error| {
        Reply::failed(NAME, &format!("pattern '{}': {error}", printable(pattern.as_bytes())))
    })?;
    let shown = printable(pattern.as_bytes());
    let title = format!("{title}\nDetailed information for entries matching: '{shown}'");
    let (flags, done) = if options.has('z') {
        (*b"+++", "Counter updated for file")
    } else if options.has('d') {
        (*b"!!?", "Ignoring file")
    } else {
        return Ok(Reply::of(details(&title, &database, &wanted, form)));
    };
    let set = database.set_flags(&path, &wanted, flags).map_err(failed)?;
    Ok(Reply::of(match form {
        Form::Json => {
            json_response(set.iter().map(|name| json!({"file": name})).collect::<Vec<_>>())
        }
        Form::Csv => set.iter().map(|name| format!("{name}\n")).collect(),
        Form::Text => {
            let each = set.iter().map(|name| format!("\n**{done} '{name}'\n\n"));
            let none = if set.is_empty() { "\n** No entries found.\n" } else { "" };
            format!("\n{title}\n{}{none}", each.collect::<String>())
        }
    }))
}

/// The files that changed, day by day.
fn changes(title: &str, database: &Database, form: Form) -> String {
    let changed = database.entries.iter().filter(|entry| entry.is_change());
    match form {
        Form::Json => json_response(changed.map(Entry::json).collect::<Vec<Value>>()),
        Form::Csv => changed.map(Entry::csv).collect(),
        Form::Text => {
            let mut text = format!("\n{title}\n");
            let mut day = String::new();
            for entry in changed {
                let today = times::day(entry.at);
                if today != day {
                    let _ = write!(text, "\nChanges for {today}:\n");
                    day = today;
                }
                let _ = writeln!(text, "{}", entry.line());
            }
            text
        }
    }
}

/// Every state of the files that match, with what is another than in the state before.
fn details(title: &str, database: &Database, wanted: &pattern::Match, form: Form) -> String {
    let mut changes = Changes::default();
    let matching = database.entries.iter().filter(|entry| wanted.is_match(&entry.path));
    match form {
        Form::Csv => matching.map(Entry::csv).collect(),
        Form::Json => json_response(matching.map(Entry::json_with_values).collect::<Vec<Value>>()),
        Form::Text => {
            let mut text = format!("\n{title}\n");
            for entry in matching {
                let _ = write!(text, "\n{}\n{}", entry.line(), changes.next(entry));
            }
            text
        }
    }
}

/// Deletes a host's databases with all that belongs to them; the analysis daemon notices.
fn clear(world: &World, whose: &str, form: Form) -> Result<Reply, Reply> {
    let folder = world.root.join("queue/syscheck");
    let failed = |error: io::Error| match form {
        Form::Json => Reply::refused(json_error(
            31,
            &format!("Unable to clear '{}': {error}", folder.display()),
        )),
        _ => Reply::failed(NAME, &format!("cannot clear '{}': {error}", folder.display())),
    };
    let paths: Vec<PathBuf> = match whose {
        "all" => fs::read_dir(&folder)
            .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect())
            .map_err(failed)?,
        id => {
            let client = if id == "local" { Client::Local } else { client(world, id, form)? };
            let mut paths = vec![client.marker(world)];
            for kind in ["syscheck", "syscheck-registry"] {
                let name = client.database(kind);
                paths.push(folder.join(format!(".{name}.cpt")));
                paths.push(folder.join(name));
            }
            paths
        }
    };
    for path in paths {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => (),
        }
    }
    Ok(Reply::of(match form {
        Form::Json => json_response("Integrity check database updated"),
        _ => "\n** Integrity check database updated.\n\n".into(),
    }))
}
