//! The sections of `ossec.conf`: one file for each that is typed, one table for the others.

pub(crate) mod alerts;
pub(crate) mod client;
pub(crate) mod command;
pub(crate) mod global;
pub(crate) mod localfile;
mod others;
pub(crate) mod remote;
pub(crate) mod response;
pub(crate) mod rootcheck;
pub(crate) mod rules;
pub(crate) mod syscheck;
pub(crate) mod syscheck_extra;
pub(crate) mod time_of_day;

use xml::Element;

use crate::Settings;
use crate::report::Report;

type Read = fn(&Element, &mut Settings, &mut Report);

/// One kind of section: its name, and what reads it.
pub(crate) struct Section {
    name: &'static str,
    read: Read,
}

const SECTIONS: &[Section] = &[
    Section { name: "global", read: |e, s, r| s.global.read(e, r) },
    Section { name: "rules", read: |e, s, r| s.rules.read(e, r) },
    Section { name: "syscheck", read: |e, s, r| s.syscheck.read(e, r) },
    Section { name: "rootcheck", read: |e, s, r| s.rootcheck.read(e, r) },
    Section { name: "alerts", read: |e, s, r| s.alerts.read(e, r) },
    Section { name: "email_alerts", read: others::read },
    Section { name: "database_output", read: others::read },
    Section { name: "syslog_output", read: others::read },
    Section { name: "agentless", read: others::read },
    Section { name: "localfile", read: |e, s, r| s.localfiles.extend(localfile::read(e, r)) },
    Section { name: "remote", read: remote::read },
    Section { name: "client", read: client::read },
    Section { name: "command", read: |e, s, r| command::read(e, &mut s.commands, r) },
    Section { name: "reports", read: others::read },
    Section { name: "active-response", read: |e, s, r| s.responses.read(e, r) },
];

impl Section {
    pub(crate) fn of(name: &str) -> Option<&'static Self> {
        SECTIONS.iter().find(|section| section.name == name)
    }

    pub(crate) fn names() -> Vec<&'static str> {
        SECTIONS.iter().map(|section| section.name).collect()
    }

    /// Reads into the settings; a section without any element is an error of its own.
    pub(crate) fn read(&self, element: Element, settings: &mut Settings, report: &mut Report) {
        if element.children.is_empty() {
            let text = format!("Invalid element in the configuration: '{}'.", element.name);
            report.error(1230, &element, text, "expected at least one element in this section");
        } else {
            (self.read)(&element, settings, report);
        }
    }
}
