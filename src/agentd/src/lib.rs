//! `ossec-agentd`: keeps what the collectors saw until the manager has it, and does what the manager says.
//!
//! ```text
//! logcollector, syscheckd --acknowledged queue--+                       +--> UDP 1514, sealed (speaker, link)
//! others ------------------datagram queue-------+--> spool (on disk) ---+
//!                                                                       |
//! execd <--responses-- etc/shared <--files-- orders <-------------------+--- acks, files, orders
//! ```
//! One thread. An event is acknowledged to its producer once it lies in the [`spool`] and [`ipc::Ended`] knows of it. It
//! leaves the spool when an ack of the manager confirms that what was sent before still came through ([`link`]); what
//! was sent but not confirmed when a connection breaks is sent again, and counted, since the classic wire can't tell.

mod accounts;
mod bucket;
mod heard;
mod intake;
pub mod link;
mod orders;
mod servers;
mod shell;
mod speaker;
pub mod spool;

use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use agents::{Agent, KeyFile, LocalInfo};
use runtime::{Failure, Privilege, Program, Sandbox, Start, errno};
use settings::Client;

use crate::shell::Shell;

static PROGRAM: Program = Program {
    name: "ossec-agentd",
    about: "reports to the manager what the collectors saw, and does what it says",
    debug_option: Some("agent.debug"),
    privilege: Privilege::User { user: "ossec", group: "ossec" },
};

/// Below the install root.
const KEYS: &str = "etc/client.keys";
/// Folders that must be writable for the daemon's user.
const WRITABLE: &[&str] =
    &["queue/ossec", "queue/rids", intake::SPOOL, orders::SHARED, "queue/alerts"];

/// The program.
pub fn main() -> ExitCode {
    runtime::main(&PROGRAM, run)
}

fn run(start: Start) -> Result<(), Failure> {
    let settings = settings::load(start.config())?;
    let client = settings.client;
    if client.servers.is_empty() {
        let hint = "name the manager: <client><server-ip>10.0.0.1</server-ip></client>";
        let file = start.config().display();
        return Err(Failure::new(
            Some(4105),
            format!("No valid server IP found. In '{file}' {hint}"),
        )
        .and(&Failure::new(Some(1215), "No client configured. Exiting.")));
    }
    if start.test_only() {
        return Ok(());
    }
    for warning in &settings.warnings {
        log::warn!("{warning}");
    }
    let agent = read_key(start.root())?;
    let mut daemon = start.enter()?;
    daemon.require_writable(WRITABLE)?;
    daemon.confine(&Sandbox {
        read: &["etc", "/etc/localtime", "/usr/share/zoneinfo"],
        write: &["queue", "var/run", orders::SHARED],
        network: true,
        bind: false,
        exec: false,
    })?;
    log::info!(
        "Using notify time: {} and max time to reconnect: {}",
        client.notify_time.as_secs(),
        client.time_reconnect.as_secs()
    );
    write_local_info(daemon.root(), &agent, &client);
    let mut shell = Shell::open(&mut daemon, agent, client)
        .map_err(|(what, error)| cannot_open(&what, &error))?;
    daemon.ready();
    shell.serve(&mut daemon).map_err(|error| {
        Failure::new(Some(1114), format!("Error during select()-call due to [{}].", errno(&error)))
    })?;
    shell.close(&daemon);
    Ok(())
}

/// An agent has one key; of more the first counts.
fn read_key(root: &Path) -> Result<Agent, Failure> {
    let path = root.join(KEYS);
    let remedy = "Import the agent's key with manage_agents, or enrol it with agent-auth.";
    let without = Failure::new(Some(4109), format!("Unable to start without auth keys. {remedy}"));
    let bytes = fs::read(&path).map_err(|error| {
        let (path, why) = (path.display(), errno(&error));
        let (number, text) = match error.kind() {
            io::ErrorKind::NotFound => {
                (1402, format!("Authentication key file '{path}' not found."))
            }
            _ => (1103, format!("Could not open file '{path}' due to [{why}].")),
        };
        Failure::new(Some(number), text).and(&without)
    })?;
    let file = KeyFile::parse(&bytes);
    for problem in file.problems() {
        log::error!("(1401) Error reading authentication key: '{}'.", problem);
    }
    let mut agents = file.agents();
    let agent = agents.next().cloned().ok_or_else(|| {
        Failure::new(Some(1751), "File client.keys not found or empty.").and(&without)
    })?;
    if agents.next().is_some() {
        log::warn!("'{KEYS}' holds several keys: the first one, of {}, is used.", agent.id);
    }
    Ok(agent)
}

fn write_local_info(root: &Path, agent: &Agent, client: &Client) {
    let info = LocalInfo {
        name: agent.name.clone(),
        id: agent.id.clone(),
        profile: client.profile.clone(),
    };
    if let Err(error) = info.write(root) {
        log::error!(
            "(1103) Could not open file '{}' due to [{}]: profiles of agent.conf are not applied.",
            agents::local::FILE,
            errno(&error)
        );
    }
}

fn cannot_open(what: &str, error: &io::Error) -> Failure {
    Failure::new(Some(1103), format!("Could not open file '{what}' due to [{}].", errno(error)))
}
