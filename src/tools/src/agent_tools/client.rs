//! Whom a tool speaks of: this host, or an agent of client.keys.

use std::borrow::Cow;
use std::fs;
use std::path::PathBuf;

use agents::{Agent, Status, info};
use fim::maintenance::{Marker, file_name};
use wire::keepalive::{AgentInfo, system_and_version};

use super::{Reply, World, times};

/// The id of this host.
pub(crate) const LOCAL: &str = "000";

/// Whom.
#[derive(Debug, Clone)]
pub(crate) enum Client {
    /// This host.
    Local,
    /// An agent.
    Agent(Box<Agent>),
}

/// What its last keepalive said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct System {
    /// Operating system.
    pub(crate) os: String,
    /// Of the suite.
    pub(crate) version: String,
    /// How it seals.
    pub(crate) encryption: &'static str,
    /// When it was.
    pub(crate) last: String,
}

impl Client {
    /// The one with this id, digit for digit; `None` when there is none.
    ///
    /// # Errors
    /// The line for stderr when client.keys can't be read.
    pub(crate) fn find(world: &World, program: &str, id: &str) -> Result<Option<Self>, Reply> {
        if id == LOCAL {
            return Ok(Some(Self::Local));
        }
        let keys = world.keys(program)?;
        Ok(keys.by_id(id).map(|agent| Self::Agent(Box::new(agent.clone()))))
    }

    /// `000`, or the id as it is in client.keys.
    pub(crate) fn id(&self) -> &str {
        match self {
            Self::Local => LOCAL,
            Self::Agent(agent) => agent.id.as_str(),
        }
    }

    /// Its name.
    pub(crate) fn name<'a>(&'a self, world: &'a World) -> &'a str {
        match self {
            Self::Local => &world.host,
            Self::Agent(agent) => agent.name.kept(),
        }
    }

    /// Name of its database: `syscheck`, or `(web01) any->syscheck`.
    pub(crate) fn database(&self, kind: &str) -> String {
        match self {
            Self::Local => kind.to_owned(),
            Self::Agent(agent) => format!("{}->{kind}", agent.location()),
        }
    }

    /// Where its maintenance marker is.
    pub(crate) fn marker(&self, world: &World) -> PathBuf {
        let host = match self {
            Self::Local => "syscheck".to_owned(),
            Self::Agent(agent) => agent.location(),
        };
        let name = String::from_utf8_lossy(&file_name(host.as_bytes())).into_owned();
        world.root.join("queue/syscheck").join(name)
    }

    /// Its maintenance, if it is in one.
    pub(crate) fn maintenance(&self, world: &World) -> Option<Marker> {
        let path = self.marker(world);
        let modified = fs::symlink_metadata(&path).ok()?.modified().ok()?;
        Some(Marker::parse(&fs::read(&path).ok()?, times::epoch(modified)))
    }

    /// Whether it speaks; this host does.
    pub(crate) fn status(&self, world: &World) -> Status {
        match self {
            Self::Local => Status::Active,
            Self::Agent(agent) => info::status(&world.root, agent, world.now),
        }
    }

    /// What is known of its system.
    pub(crate) fn system(&self, world: &World) -> System {
        match self {
            Self::Local => {
                let uname = rustix::system::uname();
                let fields = [
                    uname.sysname(),
                    uname.nodename(),
                    uname.release(),
                    uname.version(),
                    uname.machine(),
                ];
                System {
                    os: fields.map(|field| field.to_string_lossy().into_owned()).join(" "),
                    version: format!("Oxsec v{}", env!("CARGO_PKG_VERSION")),
                    encryption: "unknown",
                    last: "Not available".into(),
                }
            }
            Self::Agent(agent) => {
                let file = info::read(&world.root, agent).unwrap_or_default();
                let read = AgentInfo::parse(&file);
                let (os, version) = system_and_version(read.uname);
                let shown = |text: &[u8]| {
                    let text = printable(text);
                    if text.is_empty() { "Unknown".to_owned() } else { text }
                };
                let last = info::last_seen(&world.root, agent);
                System {
                    os: shown(os),
                    version: shown(version.unwrap_or_default()),
                    encryption: read.method.map_or("unknown", |method| method.name()),
                    last: last.map_or("Unknown".into(), |time| times::ctime(times::epoch(time))),
                }
            }
        }
    }

    /// `local system 'vm - 127.0.0.1'`, or `agent 'web01 (001) - any/0'`.
    pub(crate) fn titled(&self, world: &World) -> String {
        match self {
            Self::Local => format!("local system '{} - 127.0.0.1'", world.host),
            Self::Agent(agent) => {
                format!(
                    "agent '{} ({}) - {}'",
                    agent.name.kept(),
                    agent.id,
                    agent.address.with_prefix()
                )
            }
        }
    }
}

/// Text of others for a terminal: control bytes become `?`.
pub(crate) fn printable(text: &[u8]) -> String {
    String::from_utf8_lossy(text).chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// A value of comma-separated ones: in quotes where it holds a comma or a quote (RFC 4180).
pub(crate) fn quoted(text: &str) -> Cow<'_, str> {
    match text.contains([',', '"']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")).into(),
        false => text.into(),
    }
}
