//! `<active-response>`: when which command runs where, for how long.

use std::time::Duration;

use xml::Element;

use crate::report::{Report, digits, shown};
use crate::section::command::Command;

const NAMES: &[&str] = &[
    "command",
    "location",
    "agent_id",
    "rules_id",
    "rules_group",
    "level",
    "timeout",
    "disabled",
    "repeated_offenders",
];
/// Repeated offenders know this many steps.
const MAX_OFFENDER_STEPS: usize = 6;
/// A hundred years, in seconds: no timeout can overflow a clock.
const MAX_TIMEOUT: u64 = 3_153_600_000;

/// All of active response.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Responses {
    /// Active response is off: the first block, or one without a command, says `<disabled>yes</disabled>`.
    pub disabled: bool,
    /// Minutes for the second, third ... time that the same source offends; the last one is for all further.
    pub repeated_offenders: Vec<u32>,
    /// The responses in order; those that are disabled by themselves included.
    pub list: Vec<Response>,
    blocks_seen: usize,
}

/// One response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Name of a [`Command`].
    pub command: String,
    /// Where it runs.
    pub location: ResponseLocation,
    /// The agent, when the location is a defined one.
    pub agent_id: Option<String>,
    /// Rules that trigger it; none means any.
    pub rules_id: Vec<u32>,
    /// Pattern (OS_Regex) on the groups of the rule.
    pub rules_group: Option<Vec<u8>>,
    /// Least level of the rule, 0 to 20.
    pub level: Option<u8>,
    /// Time after which the effect is undone; zero means never.
    pub timeout: Duration,
    /// Not in use.
    pub disabled: bool,
    /// Line of the section, for messages.
    pub line: usize,
}

/// Where a response runs; several may be meant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ResponseLocation {
    /// On the manager.
    pub server: bool,
    /// On the host that saw the event.
    pub local: bool,
    /// On the agent named by `agent_id`.
    pub defined_agent: bool,
    /// On each agent.
    pub all: bool,
}

impl Response {
    /// Name in `ar.conf` and in messages: the command's name and the timeout in seconds.
    pub fn name(&self) -> String {
        format!("{}{}", self.command, self.timeout.as_secs())
    }
}

impl ResponseLocation {
    /// Looks for the words anywhere in the text, in any case, as OSSEC does.
    fn of(text: &str) -> Option<Self> {
        let text = text.to_ascii_lowercase();
        let any = |words: &[&str]| words.iter().any(|word| text.contains(word));
        let location = Self {
            server: any(&["as", "analysisd", "analysis-server", "server"]),
            local: any(&["local"]),
            defined_agent: any(&["defined-agent"]),
            all: any(&["all", "any"]),
        };
        (location != Self::default()).then_some(location)
    }
}

impl Responses {
    pub(crate) fn read(&mut self, section: &Element, report: &mut Report) {
        let errors = report.error_count();
        self.blocks_seen += 1;
        let mut block = Block::default();
        for child in report.leaves(section, NAMES, &[]) {
            block.read(child, report);
        }
        if !block.repeated_offenders.is_empty() {
            self.repeated_offenders = std::mem::take(&mut block.repeated_offenders);
        }
        let switch_only = !block.has_command && !block.has_location && block.names_a_switch;
        if block.disabled && (self.blocks_seen == 1 || switch_only) {
            self.disabled = true;
        }
        if switch_only || report.error_count() > errors {
            return;
        }
        self.list.extend(block.response(section, report));
    }
}

/// One `<active-response>` while it is read.
#[derive(Default)]
struct Block {
    command: Option<String>,
    location: Option<ResponseLocation>,
    agent_id: Option<String>,
    rules_id: Vec<u32>,
    rules_group: Option<Vec<u8>>,
    level: Option<u8>,
    timeout: u64,
    disabled: bool,
    repeated_offenders: Vec<u32>,
    has_command: bool,
    has_location: bool,
    names_a_switch: bool,
}

impl Block {
    fn read(&mut self, child: &Element, report: &mut Report) {
        match child.name.as_str() {
            "command" => {
                self.has_command = true;
                self.command = report.filled(child);
            }
            "location" => {
                self.has_location = true;
                self.location = ResponseLocation::of(&child.text());
                if self.location.is_none() {
                    let text =
                        format!("Invalid active response location: '{}'.", shown(&child.text()));
                    report.error(1302, child, text, "expected server, local, defined-agent or all");
                }
            }
            "agent_id" => self.agent_id = report.filled(child),
            "rules_id" => self.rules_id.extend(rule_ids(child, report)),
            "rules_group" => {
                report.os_regex(child, &child.content);
                self.rules_group = Some(child.content.clone());
            }
            "level" => {
                let mut level = 0;
                report.number(child, 0..=20, &mut level);
                self.level = Some(level);
            }
            "timeout" => report.number(child, 0..=MAX_TIMEOUT, &mut self.timeout),
            "disabled" => {
                self.names_a_switch = true;
                report.yes_no(child, &mut self.disabled);
            }
            _ => {
                self.names_a_switch = true;
                self.repeated_offenders = offender_minutes(child, report);
            }
        }
    }

    fn response(self, section: &Element, report: &mut Report) -> Option<Response> {
        let (Some(command), Some(location)) = (self.command, self.location) else {
            let text = "Missing options in the active response configuration.";
            report.error(1281, section, text, "expected <command> and <location>");
            return None;
        };
        if location.defined_agent && self.agent_id.is_none() {
            let hint = "expected <agent_id> with location defined-agent";
            report.error(1304, section, "No agent defined for response.", hint);
            return None;
        }
        Some(Response {
            command,
            location,
            agent_id: self.agent_id,
            rules_id: self.rules_id,
            rules_group: self.rules_group,
            level: self.level,
            timeout: Duration::from_secs(self.timeout),
            disabled: self.disabled,
            line: section.line,
        })
    }
}

/// Each response needs a command that exists and can do what is asked; run when all commands are known.
pub(crate) fn check_commands(responses: &Responses, commands: &[Command], report: &mut Report) {
    for response in &responses.list {
        let at = Element { line: response.line, ..Element::default() };
        let name = shown(&response.command);
        match commands.iter().find(|command| command.name == response.command) {
            None => {
                let text = format!("Invalid command '{name}' in the active response.");
                let names: Vec<&str> = commands.iter().map(|c| c.name.as_str()).collect();
                report.error(1303, &at, text, expected_command(&response.command, &names));
            }
            Some(command) if !response.timeout.is_zero() && !command.timeout_allowed => {
                let text = format!("Timeout not allowed for command: '{name}'.");
                let hint = "expected no timeout, or <timeout_allowed>yes</timeout_allowed> in its <command>";
                report.error(1305, &at, text, hint);
            }
            Some(_) => {}
        }
    }
}

fn expected_command(name: &str, known: &[&str]) -> String {
    let base = "expected the name of a <command> in this file";
    match crate::nearest::nearest(name, known.iter().copied()) {
        Some(near) => format!("{base}; did you mean '{near}'?"),
        None => base.to_owned(),
    }
}

fn rule_ids(child: &Element, report: &mut Report) -> Vec<u32> {
    let parts = child.content.split(|b| *b == b',' || b.is_ascii_whitespace());
    let ids: Option<Vec<u32>> = parts
        .filter(|part| !part.is_empty())
        .map(|part| u32::try_from(digits(part)?).ok())
        .collect();
    match ids {
        Some(ids) if !ids.is_empty() => ids,
        _ => {
            report.invalid(child, "rule ids separated by commas");
            Vec::new()
        }
    }
}

fn offender_minutes(child: &Element, report: &mut Report) -> Vec<u32> {
    let parts = child.content.split(|b| *b == b',').map(<[u8]>::trim_ascii);
    let minutes: Option<Vec<u32>> = parts.map(|part| u32::try_from(digits(part)?).ok()).collect();
    match minutes {
        Some(minutes) if minutes.len() <= MAX_OFFENDER_STEPS => minutes,
        _ => {
            report.invalid(child, "one to six numbers of minutes separated by commas");
            Vec::new()
        }
    }
}
