//! The one table of daemons: which there are, on which kind of install, in which order they start and stop.
//!
//! A new daemon is one line here. Producers start after those who consume and stop before them, so that nothing is in
//! flight when the consumer ends.

use std::fs;
use std::path::Path;

/// What is installed on this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InstallType {
    /// One host that watches itself.
    Local,
    /// A manager with agents.
    Server,
    /// An agent.
    Agent,
}

/// One line of the table.
#[derive(Debug)]
pub(crate) struct DaemonLine {
    /// File below `bin`, name in `var/run` and in the log.
    pub(crate) name: &'static str,
    /// Where it belongs.
    on: &'static [InstallType],
    /// Its place when the suite is stopped (and in `status`); lowest first.
    stop_place: u8,
}

use InstallType::{Agent, Local, Server};

/// All daemons, in the order in which they start.
const TABLE: &[DaemonLine] = &[
    DaemonLine { name: "ossec-execd", on: &[Local, Server, Agent], stop_place: 4 },
    DaemonLine { name: "ossec-agentd", on: &[Agent], stop_place: 3 },
    DaemonLine { name: "ossec-analysisd", on: &[Local, Server], stop_place: 3 },
    DaemonLine { name: "ossec-logcollector", on: &[Local, Server, Agent], stop_place: 1 },
    DaemonLine { name: "ossec-syscheckd", on: &[Local, Server, Agent], stop_place: 2 },
    DaemonLine { name: "ossec-remoted", on: &[Server], stop_place: 1 },
    DaemonLine { name: "ossec-monitord", on: &[Local, Server], stop_place: 0 },
];

/// The daemons of this kind of install, in the order in which they start.
pub(crate) fn start_order(install: InstallType) -> Vec<&'static DaemonLine> {
    TABLE.iter().filter(|line| line.on.contains(&install)).collect()
}

/// The same daemons in the order in which they stop.
pub(crate) fn stop_order(install: InstallType) -> Vec<&'static DaemonLine> {
    let mut lines = start_order(install);
    lines.sort_by_key(|line| line.stop_place);
    lines
}

impl InstallType {
    /// As install.sh has written it to `etc/ossec-init.conf` (`TYPE="local"`); local if there is no such file.
    pub(crate) fn of(root: &Path) -> Self {
        let text = fs::read_to_string(root.join("etc/ossec-init.conf")).unwrap_or_default();
        let value = text.lines().find_map(|line| line.trim().strip_prefix("TYPE="));
        match value.map(|value| value.trim().trim_matches('"')) {
            Some("server") => Server,
            Some("agent") => Agent,
            _ => Local,
        }
    }

    /// As it is written.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Local => "local",
            Server => "server",
            Agent => "agent",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(lines: Vec<&'static DaemonLine>) -> Vec<&'static str> {
        lines.iter().map(|line| line.name).collect()
    }

    #[test]
    fn consumers_start_first_and_stop_last() {
        let expected = [
            "ossec-execd",
            "ossec-analysisd",
            "ossec-logcollector",
            "ossec-syscheckd",
            "ossec-monitord",
        ];
        assert_eq!(names(start_order(Local)), expected);
        let expected = [
            "ossec-monitord",
            "ossec-logcollector",
            "ossec-syscheckd",
            "ossec-analysisd",
            "ossec-execd",
        ];
        assert_eq!(names(stop_order(Local)), expected);
    }

    #[test]
    fn an_agent_does_not_judge() {
        let expected = ["ossec-execd", "ossec-agentd", "ossec-logcollector", "ossec-syscheckd"];
        assert_eq!(names(start_order(Agent)), expected);
        let expected = ["ossec-logcollector", "ossec-syscheckd", "ossec-agentd", "ossec-execd"];
        assert_eq!(names(stop_order(Agent)), expected);
    }

    #[test]
    fn the_type_is_read_from_the_install_file() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(InstallType::of(root.path()), Local);
        fs::create_dir(root.path().join("etc")).unwrap();
        fs::write(root.path().join("etc/ossec-init.conf"), "DIRECTORY=\"/x\"\nTYPE=\"server\"\n")
            .unwrap();
        assert_eq!(InstallType::of(root.path()), Server);
    }
}
