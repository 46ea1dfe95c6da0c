//! Requests to agents, handed to remoted through `queue/alerts/ar`; to this host's syscheckd by a file that it looks for.
//!
//! ```text
//! (msg_to_agent) [] N!S 001 syscheck restart
//! (msg_to_agent) [] NNS 001 restart-ossec0 - null (from_the_server) (no_rule_id)
//! ```
//! Handed over is all that is known. remoted keeps it for 20 minutes for an agent that is away.

use std::fs;
use std::io;
use std::path::PathBuf;

use agents::AgentId;

use super::NAME;
use crate::agent_tools::client::Client;
use crate::agent_tools::options::Form;
use crate::agent_tools::{Reply, World, json_error};

const RUN_NOW: &str = "var/run/.syscheck_run";

/// A request that nobody took.
#[derive(Debug)]
pub(super) enum Unsent {
    /// remoted doesn't listen.
    Remoted(io::Error),
    /// The file for syscheckd can't be made.
    Here(PathBuf, io::Error),
}

impl Unsent {
    /// What to say.
    pub(super) fn reply(&self, form: Form, error: u32, description: &str) -> Reply {
        if form == Form::Json {
            return Reply { out: json_error(error, description), err: self.line(), code: 1 };
        }
        let out = match self {
            Self::Remoted(_) => "\n** Unable to connect to remoted.\n",
            Self::Here(..) => "\n** Unable to ask syscheckd for a scan.\n",
        };
        Reply { out: out.into(), err: self.line(), code: 1 }
    }

    fn line(&self) -> String {
        let text = match self {
            Self::Remoted(error) => {
                format!(
                    "(1301) Unable to connect to active response queue. Is ossec-remoted running? ({error})"
                )
            }
            Self::Here(path, error) => format!("cannot make '{}': {error}", path.display()),
        };
        Reply::failed(NAME, &text).err
    }
}

/// Has one agent scan.
pub(super) fn scan(world: &World, id: &AgentId) -> Result<(), Unsent> {
    send(world, &format!("N!S {id} syscheck restart"))
}

/// Has all agents scan.
pub(super) fn scan_all(world: &World) -> Result<(), Unsent> {
    send(world, "A!N (null) syscheck restart")
}

/// Has a host say what it knows of its files, so that its baseline here is made anew; `None`: every host. Best effort: after its next scan
/// it is asked again.
pub(crate) fn digest(world: &World, client: Option<&Client>) {
    // Nobody is told when one of the two ways does not exist.
    if !matches!(client, Some(Client::Agent(_))) {
        let socket = ipc::datagram::connect(&world.root.join(ipc::paths::SYSCHECK_CONTROL));
        let _ = socket.and_then(|socket| socket.send(b"digest"));
    }
    let _ = match client {
        None => send(world, "A!N (null) syscheck digest"),
        Some(Client::Agent(agent)) => send(world, &format!("N!S {} syscheck digest", agent.id)),
        Some(Client::Local) => Ok(()),
    };
}

/// Restarts an agent.
pub(super) fn restart(world: &World, id: &AgentId) -> Result<(), Unsent> {
    send(world, &format!("NNS {id} restart-ossec0 - null (from_the_server) (no_rule_id)"))
}

/// Runs an active response on an agent. Both words are checked: they hold no space.
pub(super) fn respond(world: &World, id: &AgentId, response: &str, ip: &str) -> Result<(), Unsent> {
    send(world, &format!("NNS {id} {response} - {ip} (from_the_server) (no_rule_id)"))
}

/// Has this host scan.
pub(super) fn scan_here(world: &World) -> Result<(), Unsent> {
    let path = world.root.join(RUN_NOW);
    fs::write(&path, format!("/{RUN_NOW}\n")).map_err(|error| Unsent::Here(path, error))
}

fn send(world: &World, request: &str) -> Result<(), Unsent> {
    let socket =
        ipc::datagram::connect(&world.root.join(ipc::paths::AR)).map_err(Unsent::Remoted)?;
    socket
        .send(format!("(msg_to_agent) [] {request}").as_bytes())
        .map(|_| ())
        .map_err(Unsent::Remoted)
}
