//! Active responses: which there are, `etc/shared/ar.conf` that lists them for execd, and their way to execd and to agents.
//!
//! A response is never waited for: when execd or remoted does not take it, it is dropped, counted and logged.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use alerts::Alert;
use alerts::response::{Expects, Response, Targets, messages};
use rules::ResponseBinding;
use settings::{AllowList, Settings};

/// The configured responses; rules refer to them by position.
#[derive(Debug, Default)]
pub(crate) struct Responses {
    list: Vec<Response>,
    allow_list: AllowList,
}

impl Responses {
    /// The responses in force, each with what makes it start.
    pub(crate) fn of(settings: &Settings) -> (Self, Vec<ResponseBinding>) {
        let mut list = Vec::new();
        let mut bindings = Vec::new();
        for response in enabled(settings) {
            let expect = settings
                .commands
                .iter()
                .find(|c| c.name == response.command)
                .map(|c| c.expect)
                .unwrap_or_default();
            list.push(Response {
                name: response.name().into_bytes(),
                expects: Expects {
                    user: expect.user,
                    srcip: expect.srcip,
                    filename: expect.filename,
                },
                targets: Targets {
                    server: response.location.server,
                    local: response.location.local,
                    agent: response.location.defined_agent,
                    all: response.location.all,
                },
                agent_id: response.agent_id.clone().map(String::into_bytes),
            });
            bindings.push(ResponseBinding {
                level: response.level,
                rules_group: response.rules_group.clone(),
                rules_id: response.rules_id.clone(),
            });
        }
        (Self { list, allow_list: settings.global.allow_list.clone() }, bindings)
    }
}

fn enabled(settings: &Settings) -> impl Iterator<Item = &settings::Response> {
    let all_off = settings.responses.disabled;
    settings.responses.list.iter().filter(move |response| !all_off && !response.disabled)
}

/// Writes `etc/shared/ar.conf`, mode 0440: `name - executable - timeout` a line. Done before analysis starts.
///
/// # Errors
/// Whatever the system says; the caller names the file.
pub(crate) fn write_ar_conf(path: &Path, settings: &Settings) -> io::Result<()> {
    let mut text = String::from(
        "restart-ossec0 - restart-ossec.sh - 0\nrestart-ossec0 - restart-ossec.cmd - 0\n",
    );
    for response in enabled(settings) {
        if let Some(command) = settings.commands.iter().find(|c| c.name == response.command) {
            let seconds = response.timeout.as_secs();
            text.push_str(&format!("{} - {} - {seconds}\n", response.name(), command.executable));
        }
    }
    if fs::read(path).is_ok_and(|old| old == text.as_bytes()) {
        return Ok(());
    }
    let fresh = path.with_extension("new");
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o440).open(&fresh)?;
    file.write_all(text.as_bytes())?;
    fs::rename(&fresh, path)
}

/// The ways to execd and, for what agents are to do, to remoted.
#[derive(Debug)]
pub(crate) struct Responder {
    here: Way,
    agents: Way,
}

impl Responder {
    /// Sends to execd's socket at `path`, and to remoted's beside it; neither need exist yet.
    pub(crate) fn new(path: PathBuf) -> Self {
        let ar = Path::new(ipc::paths::AR).file_name().unwrap_or_default();
        let agents = Way::new(path.with_file_name(ar), "ossec-remoted");
        Self { here: Way::new(path, "ossec-execd"), agents }
    }

    /// Makes the messages for the responses that the rule of this alert is bound to; they leave with [`Responder::flush`],
    /// after the alert is written.
    pub(crate) fn prepare(&mut self, responses: &Responses, bound: &[usize], alert: &Alert<'_>) {
        let is_allowed = |address: &[u8]| {
            std::str::from_utf8(address).is_ok_and(|text| responses.allow_list.contains(text))
        };
        for response in bound.iter().filter_map(|&at| responses.list.get(at)) {
            let messages = messages(response, alert, &is_allowed);
            self.here.waiting.extend(messages.here);
            self.agents.waiting.extend(messages.agents);
        }
    }

    /// Sends what was prepared; how many messages were taken, and how many were not.
    pub(crate) fn flush(&mut self) -> (u64, u64) {
        let (here, agents) = (self.here.flush(), self.agents.flush());
        (here.0 + agents.0, here.1 + agents.1)
    }
}

/// One socket, and what waits to be sent to it.
#[derive(Debug)]
struct Way {
    path: PathBuf,
    /// Who reads it.
    daemon: &'static str,
    socket: Option<UnixDatagram>,
    waiting: Vec<Vec<u8>>,
    complained: bool,
}

impl Way {
    fn new(path: PathBuf, daemon: &'static str) -> Self {
        Self { path, daemon, socket: None, waiting: Vec::new(), complained: false }
    }

    fn flush(&mut self) -> (u64, u64) {
        let waiting = std::mem::take(&mut self.waiting);
        let sent = waiting.iter().filter(|message| self.send(message)).count();
        (sent as u64, (waiting.len() - sent) as u64)
    }

    fn send(&mut self, message: &[u8]) -> bool {
        let result = self.try_send(message);
        if let Err(error) = &result
            && !self.complained
        {
            let (path, daemon) = (self.path.display(), self.daemon);
            log::error!(
                "(1301) Unable to connect to active response queue. '{path}': {error}; responses are dropped until {daemon} runs."
            );
        }
        self.complained = result.is_err();
        result.is_ok()
    }

    fn try_send(&mut self, message: &[u8]) -> io::Result<()> {
        if let Some(socket) = &self.socket
            && socket.send(message).is_ok()
        {
            return Ok(());
        }
        // The reader may have been restarted since.
        let socket = ipc::datagram::connect(&self.path)?;
        socket.send(message)?;
        self.socket = Some(socket);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restarted_execd_gets_the_next_message_and_a_missing_one_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("execq");
        let mut responder = Way::new(path.clone(), "ossec-execd");
        assert!(!responder.send(b"lost"));
        let first = ipc::datagram::bind(&path).unwrap();
        assert!(responder.send(b"one"));
        drop(first);
        let second = ipc::datagram::bind(&path).unwrap();
        assert!(responder.send(b"two"));
        let mut buffer = [0; 16];
        assert_eq!(second.recv(&mut buffer).unwrap(), 3);
    }
}
