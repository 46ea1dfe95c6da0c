//! What is known of one agent, `-i`.

use std::fmt::Write;

use serde_json::{Map, Value};

use crate::agent_tools::client::Client;
use crate::agent_tools::options::Form;
use crate::agent_tools::{World, json_response, times};
use crate::rootcheck_control::database::Database;

/// When an agent's scans began and ended.
struct Scans {
    syscheck: (String, String),
    rootcheck: (String, String),
}

/// The answer; `with_ends`: also when scans ended.
pub(super) fn text(world: &World, client: &Client, form: Form, with_ends: bool) -> String {
    let scans = Scans::of(world, client);
    match form {
        Form::Text => for_people(world, client, &scans, with_ends),
        Form::Csv => csv(world, client, &scans),
        Form::Json => json(world, client, &scans, with_ends),
    }
}

impl Scans {
    fn of(world: &World, client: &Client) -> Self {
        let database = Database::read(world, client).unwrap_or_default();
        let at = |text: &str| database.last(text).map_or("Unknown".to_owned(), times::ctime);
        let of = |scan: &str| {
            (at(&format!("Starting {scan} scan.")), at(&format!("Ending {scan} scan.")))
        };
        Self { syscheck: of("syscheck"), rootcheck: of("rootcheck") }
    }
}

fn status(world: &World, client: &Client) -> &'static str {
    match client {
        Client::Local => "Active/Local",
        Client::Agent(_) => client.status(world).as_str(),
    }
}

fn ip(client: &Client) -> String {
    match client {
        Client::Local => "127.0.0.1".to_owned(),
        Client::Agent(agent) => agent.address.with_prefix(),
    }
}

fn for_people(world: &World, client: &Client, scans: &Scans, with_ends: bool) -> String {
    let system = client.system(world);
    // The space behind 000 is as ever.
    let id = if matches!(client, Client::Local) { "000 " } else { client.id() };
    let mut text = format!(
        "\nOSSEC HIDS agent_control. Agent information:\n\
         \x20  Agent ID:   {id}\n   Agent Name: {}\n   IP address: {}\n   Status:     {}\n\n\
         \x20  Operating system:    {}\n   Client version:      {}\n   Encryption:          {}\n\
         \x20  Last keep alive:     {}\n\n",
        client.name(world),
        ip(client),
        status(world, client),
        system.os,
        system.version,
        system.encryption,
        system.last
    );
    let (syscheck, rootcheck) = (&scans.syscheck, &scans.rootcheck);
    let _ = if with_ends {
        write!(
            text,
            "   Syscheck last started at:  {}\n   Syscheck last ended   at:  {}\n\
             \x20  Rootcheck last started at: {}\n   Rootcheck last ended   at: {}\n\n",
            syscheck.0, syscheck.1, rootcheck.0, rootcheck.1
        )
    } else {
        write!(
            text,
            "   Syscheck last started  at: {}\n   Rootcheck last started at: {}\n",
            syscheck.0, rootcheck.0
        )
    };
    let _ = match client.maintenance(world) {
        None => writeln!(text, "   FIM maintenance mode:  disabled"),
        Some(marker) => writeln!(
            text,
            "   FIM maintenance mode:  {}\n   enabled_at={}  silent_updates={}  pending_end={}",
            marker.label(),
            marker.enabled_at,
            marker.silent_updates,
            u8::from(marker.pending_end)
        ),
    };
    text
}

fn csv(world: &World, client: &Client, scans: &Scans) -> String {
    let system = client.system(world);
    [
        client.id(),
        client.name(world),
        &ip(client),
        status(world, client),
        &system.os,
        &system.version,
        &system.last,
        &scans.syscheck.0,
        &scans.rootcheck.0,
        "\n",
    ]
    .join(",")
}

fn json(world: &World, client: &Client, scans: &Scans, with_ends: bool) -> String {
    let system = client.system(world);
    let end = |text: &str| if with_ends { text.to_owned() } else { String::new() };
    let mut row: Map<String, Value> = Map::new();
    let mut put = |key: &str, value: &str| row.insert(key.to_owned(), value.into());
    put("id", client.id());
    put("name", client.name(world));
    put("ip", &ip(client));
    put("status", status(world, client));
    put("os", &system.os);
    put("version", &system.version);
    put("encryption", system.encryption);
    put("lastKeepAlive", &system.last);
    put("syscheckTime", &scans.syscheck.0);
    put("syscheckEndTime", &end(&scans.syscheck.1));
    put("rootcheckTime", &scans.rootcheck.0);
    put("rootcheckEndTime", &end(&scans.rootcheck.1));
    match client.maintenance(world) {
        None => drop(put("fimMaintenance", "disabled")),
        Some(marker) => {
            put("fimMaintenance", marker.label());
            super::maintenance::add_values(&mut row, &marker);
        }
    }
    json_response(row)
}
