//! The settings of an agent's programs: `ossec.conf`, and what the manager's `agent.conf` adds to it.
//!
//! On a manager, whose `etc/shared/agent.conf` is for others, `ossec.conf` alone holds. Which blocks are for this agent follows from what agentd
//! wrote about it ([`LocalInfo`]): until then none is.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use settings::{AgentIdentity, ConfigErrors, Settings};

use crate::LocalInfo;

/// Below the install root.
pub const AGENT_CONF: &str = "etc/shared/agent.conf";
/// What is longer is cut, and then refused.
const MAX_CONF: u64 = 4 << 20;

/// Reads the settings, and knows when they are to be read again.
#[derive(Debug)]
pub struct Central {
    root: PathBuf,
    config: PathBuf,
    commands: bool,
    /// What the manager's part was made of when it was read last.
    read: Option<Part>,
}

#[derive(Debug, PartialEq, Eq)]
struct Part {
    text: Vec<u8>,
    agent: LocalInfo,
}

impl Central {
    /// `commands`: the manager may name commands for `<localfile>` (`logcollector.remote_commands`). Nothing is read yet.
    pub fn new(root: &Path, config: &Path, commands: bool) -> Self {
        Self { root: root.to_owned(), config: config.to_owned(), commands, read: None }
    }

    /// Both files as they are now.
    ///
    /// # Errors
    /// What is wrong with one of them.
    pub fn load(&mut self) -> Result<Settings, ConfigErrors> {
        let own = settings::load(&self.config)?;
        self.read = self.part();
        match &self.read {
            Some(part) => self.add(own, part),
            None => Ok(own),
        }
    }

    /// The same for a start: what is wrong with the manager's file comes beside, and must not keep the agent from watching what its own names.
    ///
    /// # Errors
    /// What is wrong with `ossec.conf`.
    pub fn load_at_start(&mut self) -> Result<(Settings, Option<ConfigErrors>), ConfigErrors> {
        match self.load() {
            Ok(settings) => Ok((settings, None)),
            Err(errors) => Ok((settings::load(&self.config)?, Some(errors))),
        }
    }

    /// Whether the manager's file, or what is known of this agent, is another than when it was read last.
    pub fn has_changed(&self) -> bool {
        self.part() != self.read
    }

    fn part(&self) -> Option<Part> {
        let about = fs::read_to_string(self.root.join("etc/ossec-init.conf")).ok()?;
        about.lines().any(|line| line.trim() == "TYPE=\"agent\"").then_some(())?;
        let agent = LocalInfo::read(&self.root)?;
        let mut text = Vec::new();
        let file = File::open(self.root.join(AGENT_CONF)).ok()?;
        file.take(MAX_CONF).read_to_end(&mut text).ok()?;
        Some(Part { text, agent })
    }

    fn add(&self, own: Settings, part: &Part) -> Result<Settings, ConfigErrors> {
        let LocalInfo { name, profile, .. } = part.agent.clone();
        let agent =
            AgentIdentity { name: name.to_string(), profile, system: crate::local::system() };
        own.with_agent_conf(&part.text, &self.root.join(AGENT_CONF), &agent, self.commands)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AgentId, AgentName};

    const OWN: &str = "<ossec_config><syscheck><ignore>/own</ignore></syscheck></ossec_config>";
    const SHARED: &str = "<agent_config name=\"web\"><syscheck><ignore>/web</ignore></syscheck></agent_config>\n\
        <agent_config os=\"^Linux \"><syscheck><ignore>/linux</ignore></syscheck></agent_config>";

    fn root(kind: &str) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for folder in ["etc/shared", "queue/ossec"] {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        let about = format!("DIRECTORY=\"/x\"\nTYPE=\"{kind}\"\n");
        fs::write(root.path().join("etc/ossec-init.conf"), about).unwrap();
        fs::write(root.path().join("etc/ossec.conf"), OWN).unwrap();
        fs::write(root.path().join(AGENT_CONF), SHARED).unwrap();
        root
    }

    fn central(root: &tempfile::TempDir) -> Central {
        Central::new(root.path(), &root.path().join("etc/ossec.conf"), false)
    }

    fn call_it(root: &tempfile::TempDir, name: &str) {
        let name = AgentName::parse(name.as_bytes()).unwrap();
        let id = AgentId::parse(b"001").unwrap();
        LocalInfo { name, id, profile: None }.write(root.path()).unwrap();
    }

    fn ignored(settings: &Settings) -> usize {
        settings.syscheck.ignore.len()
    }

    #[test]
    fn an_agent_has_what_is_meant_for_it_as_soon_as_it_knows_who_it_is() {
        let root = root("agent");
        let mut central = central(&root);
        assert_eq!(central.load().as_ref().map(ignored), Ok(1));
        assert!(!central.has_changed());
        call_it(&root, "db01");
        assert!(central.has_changed());
        assert_eq!(central.load().as_ref().map(ignored), Ok(2));
        call_it(&root, "web01");
        assert_eq!(central.load().as_ref().map(ignored), Ok(3));
        assert!(!central.has_changed());
        fs::remove_file(root.path().join(AGENT_CONF)).unwrap();
        assert!(central.has_changed());
        assert_eq!(central.load().as_ref().map(ignored), Ok(1));
    }

    #[test]
    fn a_manager_keeps_to_its_own_file() {
        let root = root("server");
        call_it(&root, "web01");
        let mut central = central(&root);
        assert_eq!(central.load().as_ref().map(ignored), Ok(1));
        fs::write(root.path().join(AGENT_CONF), "").unwrap();
        assert!(!central.has_changed());
    }

    #[test]
    fn a_bad_file_of_the_managers_is_said_once_and_leaves_the_agents_own_one_in_force() {
        let root = root("agent");
        call_it(&root, "web01");
        fs::write(root.path().join(AGENT_CONF), "<agent_config><syscheck>").unwrap();
        let mut central = central(&root);
        let (settings, wrong) = central.load_at_start().unwrap();
        assert_eq!(ignored(&settings), 1);
        assert!(wrong.unwrap().to_string().contains("agent.conf"));
        assert!(central.load().is_err() && !central.has_changed());
        fs::write(root.path().join("etc/ossec.conf"), "<ossec_config>").unwrap();
        assert!(central.load_at_start().is_err());
    }
}
