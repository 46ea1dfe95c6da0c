//! `ossec-control diagnose`: what stands between this host and its manager, or its agents, and what to do about it.
//!
//! Each check says what it tried, what it found, and the remedy. OSSEC's message numbers are named where a finding is what they are
//! about, so that whoever looks for `(1210)` or `(4101)` finds it here.

mod configuration;
mod daemons;
mod finding;
mod host;
mod keys;
mod log_lines;
mod network;
mod port;
mod sockets;

use std::io;

use serde_json::json;
use settings::{InternalOptions, Settings};

use crate::control::daemons::InstallType;
use crate::control::diagnose::finding::{Finding, State};
use crate::control::{Suite, say};

/// What the checks look at.
struct Patient<'a> {
    suite: &'a Suite,
    /// `None` where they cannot be read: the first check says why.
    settings: Option<Settings>,
    options: Option<InternalOptions>,
}

impl Patient<'_> {
    fn is(&self, install: InstallType) -> bool {
        self.suite.install == install
    }
}

/// Shows all findings; gives whether there is no problem.
pub(crate) fn show(suite: &Suite, as_json: bool) -> io::Result<bool> {
    let patient = Patient {
        suite,
        settings: settings::load(&suite.root.join("etc/ossec.conf")).ok(),
        options: InternalOptions::load(&suite.root).ok(),
    };
    let mut findings = configuration::check(&patient);
    findings.extend(host::check(&patient));
    findings.extend(daemons::check(&patient)?);
    findings.extend(sockets::check(&patient));
    if !patient.is(InstallType::Local) {
        findings.extend(keys::check(&patient));
    }
    match suite.install {
        InstallType::Agent => findings.extend(network::check(&patient)),
        InstallType::Server => findings.extend(port::check(&patient)),
        InstallType::Local => {}
    }
    findings.extend(log_lines::check(&patient));
    let problems = findings.iter().filter(|finding| finding.state == State::Problem).count();
    if as_json {
        let checks: Vec<_> = findings.iter().map(Finding::to_json).collect();
        let all = json!({
            "root": suite.root.to_string_lossy(),
            "type": suite.install.name(),
            "problems": problems,
            "checks": checks,
        });
        say(&format!("{all:#}"));
    } else {
        for finding in &findings {
            say(&finding.to_string());
        }
        say(&match problems {
            0 => "No problems found.".to_owned(),
            1 => "1 problem found.".to_owned(),
            n => format!("{n} problems found."),
        });
    }
    Ok(problems == 0)
}
