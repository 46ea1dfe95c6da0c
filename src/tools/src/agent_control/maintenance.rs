//! `-M`: file changes of a host become its baseline without an alert, until its next whole scan or until told otherwise.
//!
//! The analysis daemon does it; see [`fim::maintenance`] for the file by which it is told.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use fim::maintenance::Marker;
use rustix::fs::FlockOperation;
use serde_json::{Map, Value};

use super::request::{self, Unsent};
use super::{NAME, client};
use crate::agent_tools::client::{Client, printable};
use crate::agent_tools::options::{Form, Options};
use crate::agent_tools::{Reply, World, json_error, json_response};

const TEMPORARY: &str = ".maint.new";

/// Runs an action.
pub(super) fn run(world: &World, options: &Options, form: Form) -> Result<Reply, Reply> {
    let action = options.value('M').unwrap_or_default();
    let Some(id) = options.value('u') else {
        return Err(refused(
            form,
            44,
            "Missing agent id",
            "-M needs an agent: -u <id>, or -u 000 for this host",
        ));
    };
    check(action, form)?;
    act(world, NAME, action, &client(world, Some(id), form)?, form)
}

/// Runs an action on a host, for the program of that name.
pub(crate) fn act(
    world: &World,
    program: &'static str,
    action: &str,
    client: &Client,
    form: Form,
) -> Result<Reply, Reply> {
    check(action, form)?;
    let act = Act { world, program, client, form };
    match action {
        "status" => Ok(act.status()),
        "enable" => act.enable(),
        "disable" => act.disable(),
        _ => act.end(),
    }
}

fn check(action: &str, form: Form) -> Result<(), Reply> {
    if ["enable", "disable", "status", "end"].contains(&action) {
        return Ok(());
    }
    let shown = printable(action.as_bytes());
    let text = format!("Invalid -M action '{shown}' (use enable|disable|status|end)");
    Err(refused(form, 45, "Invalid -M action", &text))
}

/// Whom an action is for, and who is asked for it.
struct Act<'a> {
    world: &'a World,
    program: &'static str,
    client: &'a Client,
    form: Form,
}

/// The values of a marker as JSON.
pub(super) fn add_values(row: &mut Map<String, Value>, marker: &Marker) {
    row.insert("fimMaintEnabledAt".into(), marker.enabled_at.into());
    row.insert("fimMaintSilentUpdates".into(), marker.silent_updates.into());
    row.insert("fimMaintPendingEnd".into(), u8::from(marker.pending_end).into());
}

impl Act<'_> {
    fn status(&self) -> Reply {
        let Self { world, program, client, form } = *self;
        let id = client.id();
        match (client.maintenance(world), form) {
            (marker, Form::Json) => json(client, "status", marker.as_ref()),
            (None, _) => Reply::of(format!(
                "\nOSSEC HIDS {program}: Agent {id} FIM maintenance mode: disabled\n"
            )),
            (Some(marker), _) => Reply::of(format!(
                "\nOSSEC HIDS {program}: Agent {id} FIM maintenance: {}\n   enabled_at={}  silent_updates={}  pending_end={}\n",
                marker.label(),
                marker.enabled_at,
                marker.silent_updates,
                u8::from(marker.pending_end)
            )),
        }
    }

    /// Keeps the time and the count of one that is on, and calls off its end.
    fn enable(&self) -> Result<Reply, Reply> {
        let Self { world, client, form, .. } = *self;
        let set = change(world, client, |old| {
            let marker = old.unwrap_or(Marker::since(world.epoch()));
            Some(Marker { pending_end: false, ..marker })
        });
        let marker = set.map_err(|error| unwritten(world, client, form, &error))?;
        let text = format!("FIM maintenance mode enabled for agent {}.\n", client.id());
        Ok(self.said("enable", marker.as_ref(), "", &text))
    }

    fn disable(&self) -> Result<Reply, Reply> {
        let Self { world, client, form, .. } = *self;
        change(world, client, |_| None).map_err(|error| unwritten(world, client, form, &error))?;
        let warning = "\n** Warning: immediate disable does not wait for a syscheck scan. Prefer '-M end' after patching.\n";
        let text = format!("FIM maintenance mode disabled for agent {}.\n", client.id());
        Ok(self.said("disable", None, warning, &text))
    }

    /// Asks for a scan, whose completion is the end. When that can't be asked for, all is as before.
    fn end(&self) -> Result<Reply, Reply> {
        let Self { world, client, form, .. } = *self;
        let mut before = None;
        let set = change(world, client, |old| {
            before = old;
            let marker = old.unwrap_or(Marker::since(world.epoch()));
            Some(Marker { pending_end: true, ..marker })
        });
        let marker = set.map_err(|error| unwritten(world, client, form, &error))?;
        let asked = match client {
            Client::Local => request::scan_here(world),
            Client::Agent(agent) => request::scan(world, &agent.id),
        };
        if let Err(unsent) = asked {
            let back = change(world, client, |now| {
                before.map(|before| Marker {
                    pending_end: before.pending_end,
                    ..now.unwrap_or(before)
                })
            });
            return Err(match back {
                Ok(_) => unscanned(&unsent, form),
                Err(error) => unwritten(world, client, form, &error),
            });
        }
        let text = format!(
            "FIM maintenance end requested for agent {}.\nSyscheck/Rootcheck restart sent; maintenance clears when the baseline scan completes (syscheck-db-completed).\n",
            client.id()
        );
        Ok(self.said("end", marker.as_ref(), "", &text))
    }

    fn said(&self, action: &str, marker: Option<&Marker>, before: &str, text: &str) -> Reply {
        if self.form == Form::Json {
            return json(self.client, action, marker);
        }
        Reply::of(format!("{before}\nOSSEC HIDS {}: {text}", self.program))
    }
}

fn unscanned(unsent: &Unsent, form: Form) -> Reply {
    unsent.reply(form, 47, "Unable to request the scan that ends maintenance")
}

fn json(client: &Client, action: &str, marker: Option<&Marker>) -> Reply {
    let mut row = Map::new();
    row.insert("agent".into(), client.id().into());
    row.insert("fimMaintenance".into(), marker.map_or("disabled", |marker| marker.label()).into());
    row.insert("action".into(), action.into());
    if let Some(marker) = marker {
        add_values(&mut row, marker);
    }
    Reply::of(json_response(row))
}

fn refused(form: Form, error: u32, description: &str, text: &str) -> Reply {
    match form {
        Form::Json => Reply::refused(json_error(error, description)),
        _ => Reply::refused(format!("\n** {text}.\n")),
    }
}

fn unwritten(world: &World, client: &Client, form: Form, error: &io::Error) -> Reply {
    let text = format!("Unable to write '{}': {error}", client.marker(world).display());
    refused(form, 46, &text, &text)
}

/// Rewrites a marker (`None`: deletes it) while nobody else does; gives what is there now.
fn change(
    world: &World,
    client: &Client,
    change: impl FnOnce(Option<Marker>) -> Option<Marker>,
) -> io::Result<Option<Marker>> {
    let folder = world.root.join("queue/syscheck");
    let lock = File::open(&folder)?;
    rustix::fs::flock(&lock, FlockOperation::LockExclusive)?;
    let path = client.marker(world);
    let marker = change(client.maintenance(world));
    match &marker {
        Some(marker) => put(&folder.join(TEMPORARY), &path, &marker.to_text())?,
        None => match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => (),
        },
    }
    Ok(marker)
}

fn put(temporary: &Path, path: &Path, text: &str) -> io::Result<()> {
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o640)
        .open(temporary)?;
    file.write_all(text.as_bytes())?;
    fs::rename(temporary, path)
}
