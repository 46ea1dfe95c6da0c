//! The queues between daemons: there, and served.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};

use super::Patient;
use super::finding::Finding;
use crate::control::daemons::InstallType;
use crate::control::status;

const CHECK: &str = "queues";

/// Path, who serves it, and what OSSEC's numbers say when it is not served.
const EVENTS: [(&str, SocketType); 2] =
    [(ipc::paths::QUEUE, SocketType::DGRAM), (ipc::paths::EVENTS, SocketType::SEQPACKET)];

pub(super) fn check(patient: &Patient<'_>) -> Vec<Finding> {
    let judge = if patient.is(InstallType::Agent) { "ossec-agentd" } else { "ossec-analysisd" };
    let mut findings: Vec<Finding> = EVENTS
        .iter()
        .map(|(path, kind)| {
            let lost = "(1210) Queue not accessible: no event gets through";
            look(patient, path, *kind, judge, lost)
        })
        .collect();
    let mut response = |path, server| {
        // One that the configuration does not want serves nothing.
        if !status::not_wanted(&patient.suite.root).iter().any(|name| name == server) {
            let lost = "(1210) Queue not accessible, (1301) Unable to connect to active response queue: no response is run";
            findings.push(look(patient, path, SocketType::DGRAM, server, lost));
        }
    };
    response(ipc::paths::EXECQ, "ossec-execd");
    if patient.is(InstallType::Server) {
        response(ipc::paths::AR, "ossec-remoted");
    }
    findings
}

fn look(patient: &Patient<'_>, path: &str, kind: SocketType, server: &str, lost: &str) -> Finding {
    let root = &patient.suite.root;
    let tried = format!("connected to {path}");
    let pid = status::look(root, server).ok().flatten();
    let start = format!(
        "{server} serves it and does not run: 'ossec-control start'; logs/ossec.log says why it ended."
    );
    let error = match (connect(&root.join(path), kind), pid) {
        (Ok(_), pid) => {
            let by = pid.map_or_else(String::new, |pid| format!(" (process {pid})"));
            return Finding::fine(CHECK, &tried, format!("{path} is served by {server}{by}"));
        }
        (Err(error), None) => {
            return Finding::problem(CHECK, &tried, format!("{lost}: {path}: {error}"), start);
        }
        (Err(error), Some(_)) => error,
    };
    let remedy = match error.kind() {
        io::ErrorKind::NotFound => {
            format!("The socket was removed while {server} ran: 'ossec-control restart'.")
        }
        io::ErrorKind::PermissionDenied => {
            "Run this as root, or as a member of group ossec.".to_owned()
        }
        _ => format!("{server} runs but has let go of it: 'ossec-control restart'."),
    };
    Finding::problem(CHECK, &tried, format!("{lost}: {path}: {error}"), remedy)
}

fn connect(path: &Path, kind: SocketType) -> io::Result<OwnedFd> {
    let socket = rustix::net::socket(AddressFamily::UNIX, kind, None)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket)
}
