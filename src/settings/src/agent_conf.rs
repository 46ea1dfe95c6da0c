//! `agent.conf`: what a manager adds to the `ossec.conf` of its agents.
//!
//! ```text
//! <agent_config name="^web" os="Linux" profile="debian">
//!   <syscheck><directories check_all="yes">/srv/www</directories></syscheck>
//! </agent_config>
//! ```
//! Each block is for the agents whose name, system and profile match all of its attributes (OS_Match), one without attributes for all. Read
//! behind `ossec.conf`: lists grow, single values are replaced. Specification: host-daemons 3.15.

use std::path::Path;

use pattern::Match;
use xml::Element;

use crate::report::Report;
use crate::section::Section;
use crate::{ConfigError, ConfigErrors, LogFormat, Settings, raw};

/// Sections that are taken; others are nobody's business but the agent's own.
const TAKEN: &[&str] = &["localfile", "syscheck", "rootcheck"];

/// An agent, as far as blocks choose by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentIdentity {
    /// Its name.
    pub name: String,
    /// Its `<config-profile>`.
    pub profile: Option<String>,
    /// `Linux web01 6.1.0 #1 SMP x86_64 - Oxsec HIDS v0.1.0`, as it tells the manager.
    pub system: String,
}

impl AgentIdentity {
    fn is_meant(&self, block: &Element) -> bool {
        let fits = |name: &str, value: &str| {
            let pattern = block.attribute(name);
            // A pattern that is none is for nobody; it is an error besides.
            pattern
                .is_none_or(|one| Match::new(one).is_ok_and(|one| one.is_match(value.as_bytes())))
        };
        fits("name", &self.name)
            && fits("os", &self.system)
            && fits("profile", self.profile.as_deref().unwrap_or("-"))
    }
}

impl Settings {
    /// Adds what an `agent.conf` has for this agent. The manager names no programs to be run, unless `commands` says that it may: no
    /// `<localfile>` with a command; and no `<prefilter_cmd>` in any case.
    ///
    /// # Errors
    /// As [`crate::load`]; blocks for others are not looked into.
    pub fn with_agent_conf(
        self,
        text: &[u8],
        file: &Path,
        agent: &AgentIdentity,
        commands: bool,
    ) -> Result<Self, ConfigErrors> {
        self.with_blocks(text, file, &|block| agent.is_meant(block), commands)
    }

    fn with_blocks(
        mut self,
        text: &[u8],
        file: &Path,
        is_meant: &dyn Fn(&Element) -> bool,
        commands: bool,
    ) -> Result<Self, ConfigErrors> {
        let mut report = Report::new(file);
        let roots = raw::roots(text, file)?;
        for root in &roots {
            for name in ["name", "os", "profile"] {
                root.attribute(name).into_iter().for_each(|one| report.os_match(root, one));
            }
        }
        let own = self.localfiles.len();
        for mut element in raw::sections(roots, "agent_config", is_meant, &mut report) {
            let Some(section) = Section::of(&element.name) else {
                report.unknown(&element, TAKEN);
                continue;
            };
            if !TAKEN.contains(&element.name.as_str()) {
                let text = format!("<{}> has no effect in agent.conf.", element.name);
                report.warning(None, &element, text, "it belongs into the agent's ossec.conf");
                continue;
            }
            element.children.retain(|one| {
                let is_command = one.name == "prefilter_cmd";
                is_command.then(|| refuse(one, &mut report));
                !is_command
            });
            if !element.children.is_empty() {
                section.read(element.clone(), &mut self, &mut report);
            }
            let runs = |format| matches!(format, LogFormat::Command | LogFormat::FullCommand);
            if !commands && self.localfiles.iter().skip(own).any(|one| runs(one.format)) {
                refuse(&element, &mut report);
                self.localfiles.pop();
            }
        }
        self.warnings.extend(report.finish()?);
        Ok(self)
    }
}

/// Checks all blocks of an `agent.conf`, whomever they are for; gives its warnings.
///
/// # Errors
/// As [`crate::load`].
pub fn check_agent_conf(text: &[u8], file: &Path) -> Result<Vec<ConfigError>, ConfigErrors> {
    Ok(Settings::default().with_blocks(text, file, &|_| true, true)?.warnings)
}

fn refuse(element: &Element, report: &mut Report) {
    let text = "Remote commands are not accepted from the manager. Ignoring it on the agent.conf";
    report.warning(
        None,
        element,
        text,
        "logcollector.remote_commands=1 accepts those of <localfile>",
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent() -> AgentIdentity {
        AgentIdentity {
            name: "web01".to_owned(),
            profile: Some("debian, www".to_owned()),
            system: "Linux web01 6.1.0 #1 SMP x86_64 - Oxsec HIDS v0.1.0".to_owned(),
        }
    }

    fn with(text: &str, commands: bool) -> Result<Settings, ConfigErrors> {
        let own = "<ossec_config><syscheck><frequency>60</frequency><ignore>/a</ignore></syscheck>\
            <localfile><log_format>syslog</log_format><location>/a</location></localfile></ossec_config>";
        let settings = crate::parse(own.as_bytes(), Path::new("ossec.conf")).unwrap();
        settings.with_agent_conf(text.as_bytes(), Path::new("agent.conf"), &agent(), commands)
    }

    fn ignores(attributes: &str) -> bool {
        let conf = format!(
            "<agent_config{attributes}><syscheck><ignore>/b</ignore></syscheck></agent_config>"
        );
        with(&conf, false).unwrap().syscheck.ignore.len() == 2
    }

    #[test]
    fn a_block_is_for_those_that_match_all_of_it() {
        for meant in [
            "",
            " name=\"web\"",
            " name=\"^db|^web\" os=\"linux\"",
            " profile=\"www\" overwrite=\"yes\"",
            " os=\"^Linux web01\"",
        ] {
            assert!(ignores(meant), "{meant}");
        }
        for other in [" name=\"db\"", " name=\"web\" os=\"Windows\"", " profile=\"mail\""] {
            assert!(!ignores(other), "{other}");
        }
    }

    #[test]
    fn lists_grow_and_single_values_are_replaced() {
        let settings = with(
            "<agent_config><syscheck><frequency>90</frequency><ignore>/b</ignore></syscheck>\
             <localfile><log_format>syslog</log_format><location>/b</location></localfile>\
             <rootcheck><frequency>70</frequency></rootcheck></agent_config>\n\
             <agent_config><syscheck><scan_on_start>no</scan_on_start></syscheck></agent_config>",
            false,
        )
        .unwrap();
        let syscheck = &settings.syscheck;
        assert_eq!((syscheck.frequency.as_secs(), syscheck.ignore.len()), (90, 2));
        assert!(!syscheck.scan_on_start && settings.rootcheck.present);
        assert_eq!(settings.localfiles.len(), 2);
    }

    #[test]
    fn the_manager_names_no_programs() {
        let conf = "<agent_config><localfile><log_format>command</log_format><command>w</command></localfile>\
            <localfile><log_format>syslog</log_format><location>/b</location></localfile>\
            <syscheck><prefilter_cmd>/bin/sh</prefilter_cmd></syscheck>\
            <client><server-ip>192.0.2.1</server-ip></client></agent_config>";
        let settings = with(conf, false).unwrap();
        let places: Vec<_> = settings.localfiles.iter().map(|one| one.location.as_str()).collect();
        assert_eq!((places, settings.syscheck.prefilter_cmd), (vec!["/a", "/b"], None));
        assert!(settings.client.servers.is_empty());
        let said: Vec<_> = settings.warnings.iter().map(ToString::to_string).collect();
        assert_eq!(said.iter().filter(|one| one.starts_with("Remote commands are not")).count(), 2);
        assert_eq!(said.iter().filter(|one| one.starts_with("<client> has no effect")).count(), 1);
        assert_eq!(with(conf, true).unwrap().localfiles.len(), 3);
    }

    #[test]
    fn one_that_is_cut_or_changed_anywhere_is_read_or_refused() {
        let whole = b"<agent_config name=\"^web\"><syscheck><ignore type=\"sregex\">.log$</ignore>\
            <prefilter_cmd>x</prefilter_cmd></syscheck><localfile><log_format>command</log_format>\
            <command>w</command></localfile></agent_config>";
        let read = |text: &[u8]| {
            let settings = Settings::default();
            let _ = settings.with_agent_conf(text, Path::new("agent.conf"), &agent(), false);
        };
        (0..whole.len()).for_each(|end| read(&whole[..end]));
        let mut random = 0x1234_5678_9abc_def1_u64;
        for _ in 0..5000 {
            let mut text = whole.to_vec();
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let at = random as usize % text.len();
            text[at] = (random >> 32) as u8;
            read(&text);
        }
    }

    #[test]
    fn what_is_wrong_is_said_and_blocks_for_others_are_not_looked_into() {
        let wrong = "<agent_config name=\"db\"><nonsense/></agent_config>";
        assert!(with(wrong, false).is_ok());
        for wrong in [
            "<agent_config><nonsense>x</nonsense></agent_config>",
            "<agent_config host=\"web\"/>",
            "<ossec_config><syscheck><disabled>yes</disabled></syscheck></ossec_config>",
            "<agent_config><syscheck><frequency>x</frequency></syscheck></agent_config>",
        ] {
            assert!(with(wrong, false).is_err(), "{wrong}");
        }
        let for_others =
            b"<agent_config name=\"db\"><syscheck><nonsense/></syscheck></agent_config>";
        assert!(check_agent_conf(for_others, Path::new("agent.conf")).is_err());
        assert!(with("", false).is_ok(), "an empty file adds nothing");
    }
}
