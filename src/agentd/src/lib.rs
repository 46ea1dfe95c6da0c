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
mod ask;
mod bucket;
mod heard;
mod intake;
pub mod link;
mod orders;
mod servers;
mod shell;
mod speaker;
pub mod spool;

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt;
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

/// The program: the command line of all daemons, and `-b <address>`, the address to send from.
pub fn main() -> ExitCode {
    let mut shared: Vec<OsString> = env::args_os().skip(1).collect();
    let asks = shared.iter().position(|argument| argument == "--ask");
    if let Some(at) = asks {
        // In the foreground, to answer on stdout.
        shared.splice(at..=at, [OsString::from("-f")]);
    }
    let asks_for_help = shared.iter().any(|argument| argument == "-h");
    match take_bind(&mut shared) {
        Ok(bind) => {
            let code = runtime::main_with(&PROGRAM, shared, |start| {
                if asks.is_some() { ask::run(start, bind) } else { run(start, bind) }
            });
            if asks_for_help {
                say(OWN_OPTIONS);
            }
            code
        }
        Err(text) => {
            say(&text);
            ExitCode::FAILURE
        }
    }
}

const OWN_OPTIONS: &str = "\
    -b <address> Address to send from (default: <local_ip> of the configuration)
    --ask        One hello to each manager, what became of it, exit; for ossec-control diagnose
";

fn say(text: &str) {
    // A closed stderr changes nothing about the answer.
    let _ = io::stderr().write_all(text.as_bytes());
}

fn tell(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}

/// Takes `-b <address>` or `-b<address>` out of the arguments.
fn take_bind(arguments: &mut Vec<OsString>) -> Result<Option<IpAddr>, String> {
    let Some(at) = arguments.iter().position(|one| one.as_bytes().starts_with(b"-b")) else {
        return Ok(None);
    };
    let flag = arguments.remove(at);
    let text = match flag.as_bytes().get(2..).unwrap_or_default() {
        [] if at < arguments.len() => arguments.remove(at).to_string_lossy().into_owned(),
        [] => return Err("ossec-agentd: option requires an argument -- 'b'\n".to_owned()),
        stuck => String::from_utf8_lossy(stuck).into_owned(),
    };
    text.parse().map(Some).map_err(|_| {
        format!("ossec-agentd: Invalid ip address: '{text}' (-b takes an address of this host).\n")
    })
}

fn run(start: Start, bind: Option<IpAddr>) -> Result<(), Failure> {
    let settings = settings::load(start.config())?;
    let mut client = settings.client;
    shell::reload::bind(&mut client, bind);
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
        exec: &[],
    })?;
    log::info!(
        "Using notify time: {} and max time to reconnect: {}",
        client.notify_time.as_secs(),
        client.time_reconnect.as_secs()
    );
    write_local_info(daemon.root(), &agent, &client);
    let mut shell = Shell::open(&mut daemon, agent, client, bind)
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
