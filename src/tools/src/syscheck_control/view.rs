//! The files that changed on a host, or the states of some of them; resets their counters.

use std::fmt::Write;
use std::io;

use serde_json::{Value, json};

use super::NAME;
use super::database::{Changes, Database, Entry};
use crate::agent_tools::client::{Client, printable};
use crate::agent_tools::options::{Form, Options};
use crate::agent_tools::{Reply, World, json_error, json_response, times};

/// The answer to `-i`.
pub(super) fn show(
    world: &World,
    client: &Client,
    options: &Options,
    form: Form,
) -> Result<Reply, Reply> {
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
