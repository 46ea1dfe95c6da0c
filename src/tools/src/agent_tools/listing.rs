//! The list of agents, `-l`: this host, every agent, the devices that are watched without one.

use std::fmt::Write;
use std::fs;

use agents::{Agent, KeyFile, Status};
use serde_json::{Value, json};

use super::World;
use super::client::{Client, printable};
use super::options::Form;

/// What to list, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Listing<'a> {
    /// The name of the program that prints.
    pub(crate) program: &'a str,
    /// Only agents that speak.
    pub(crate) active_only: bool,
    /// For whom.
    pub(crate) form: Form,
    /// Whether this host's maintenance is in the JSON.
    pub(crate) local_maintenance: bool,
}

/// A device in `queue/agentless`: `(script) user@host`.
struct Device {
    entry: String,
    host: String,
}

impl Listing<'_> {
    /// The list.
    pub(crate) fn text(&self, world: &World, keys: &KeyFile) -> String {
        let agents: Vec<(&Agent, Status)> = keys
            .agents()
            .map(|agent| (agent, agents::info::status(&world.root, agent, world.now)))
            .filter(|(_, status)| !self.active_only || *status == Status::Active)
            .collect();
        let devices = if self.active_only { Vec::new() } else { devices(world) };
        match self.form {
            Form::Text => self.for_people(world, &agents, &devices),
            Form::Csv => csv(world, &agents, &devices),
            Form::Json => self.json(world, &agents, &devices),
        }
    }

    fn for_people(&self, world: &World, agents: &[(&Agent, Status)], devices: &[Device]) -> String {
        let mut text = format!("\nOSSEC HIDS {}. List of available agents:\n", self.program);
        let maintenance =
            |label: &str| if label.is_empty() { String::new() } else { format!(", {label}") };
        let local = maintenance(label(world, &Client::Local));
        let _ = writeln!(
            text,
            "   ID: 000, Name: {} (server), IP: 127.0.0.1, Active/Local{local}",
            world.host
        );
        for (agent, status) in agents {
            let maintenance = maintenance(label(world, &Client::Agent(Box::new((*agent).clone()))));
            let (name, ip) = (agent.name.kept(), agent.address.stored());
            let _ = writeln!(
                text,
                "   ID: {}, Name: {name}, IP: {ip}, {status}{maintenance}",
                agent.id
            );
        }
        text.push('\n');
        if !self.active_only {
            text.push_str("List of agentless devices:\n");
            for device in devices {
                let _ = writeln!(
                    text,
                    "   ID: na, Name: {}, IP: {}, agentless",
                    device.entry, device.host
                );
            }
            text.push('\n');
        }
        text
    }

    fn json(&self, world: &World, agents: &[(&Agent, Status)], devices: &[Device]) -> String {
        let mut rows =
            vec![json!({"id": "000", "name": world.host, "ip": "127.0.0.1", "status": "Active"})];
        if self.local_maintenance {
            add_maintenance(rows.last_mut(), label(world, &Client::Local));
        }
        for (agent, status) in agents {
            let (name, ip) = (agent.name.kept(), agent.address.stored());
            rows.push(
                json!({"id": agent.id.as_str(), "name": name, "ip": ip, "status": status.as_str()}),
            );
            add_maintenance(
                rows.last_mut(),
                label(world, &Client::Agent(Box::new((*agent).clone()))),
            );
        }
        for device in devices {
            rows.push(
                json!({"id": "na", "name": device.entry, "ip": device.host, "status": "agentless"}),
            );
        }
        super::json_response(rows)
    }
}

fn csv(world: &World, agents: &[(&Agent, Status)], devices: &[Device]) -> String {
    let local = label(world, &Client::Local);
    let mut text = format!("000,{} (server),127.0.0.1,Active/Local,{local}\n", world.host);
    for (agent, status) in agents {
        let label = label(world, &Client::Agent(Box::new((*agent).clone())));
        let (name, ip) = (agent.name.kept(), agent.address.stored());
        let _ = writeln!(text, "{},{name},{ip},{status},{label}", agent.id);
    }
    for device in devices {
        let _ = writeln!(text, "na,{},{},agentless,", device.entry, device.host);
    }
    text.push('\n');
    text
}

fn add_maintenance(row: Option<&mut Value>, label: &str) {
    if let Some(row) = row.filter(|_| !label.is_empty()) {
        row["fimMaintenance"] = label.into();
    }
}

/// `Maint`, `Maint(pending-end)`, or nothing.
fn label(world: &World, client: &Client) -> &'static str {
    client.maintenance(world).map_or("", |marker| marker.label())
}

/// The devices, in the order of their names.
fn devices(world: &World) -> Vec<Device> {
    let Ok(entries) = fs::read_dir(world.root.join("queue/agentless")) else { return Vec::new() };
    let mut names: Vec<String> = entries
        .filter_map(|entry| Some(printable(entry.ok()?.file_name().as_encoded_bytes())))
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort();
    names.into_iter().map(Device::named).collect()
}

impl Device {
    /// From `(ssh_integrity_check_linux) root@10.0.0.5`.
    fn named(name: String) -> Self {
        let device = name.split_once(") ").map_or(name.as_str(), |(_, device)| device);
        let host = device.split_once('@').map_or("<na>", |(_, host)| host).to_owned();
        Self { entry: device.to_owned(), host }
    }
}
