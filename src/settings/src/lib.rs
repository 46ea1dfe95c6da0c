//! `ossec.conf` and `internal_options.conf`: raw, then typed, then checked once.
//!
//! [`load`] reads every section of `ossec.conf`; what a daemon gets from it can't be out of range, and a name that is
//! not known is an error with file, line and the nearest known name. [`InternalOptions`] are the tunables.

mod agent_conf;
mod error;
pub mod glob;
mod internal_options;
mod lists;
mod nearest;
mod option_table;
mod raw;
mod report;
mod section;

use std::path::Path;

use xml::Element;

use crate::report::Report;
use crate::section::Section;

pub use agent_conf::{AgentIdentity, check_agent_conf};
pub use error::{ConfigError, ConfigErrors};
pub use internal_options::InternalOptions;
pub use lists::{compiled_path, read_list};
pub use option_table::{OPTIONS, OptionSpec};
pub use section::alerts::AlertLevels;
pub use section::client::{Client, Server};
pub use section::command::{Command, Expect};
pub use section::global::{AllowList, Global, Mail};
pub use section::localfile::{LocalFile, LogFormat};
pub use section::remote::{Connection, CryptoAccept, Protocol, Remote, Severity};
pub use section::response::{Response, ResponseLocation, Responses};
pub use section::rootcheck::{Checks, Rootcheck};
pub use section::rules::{RuleFiles, RuleSource, RuleSourceKind, RuleSources};
pub use section::syscheck::{CheckOptions, Directory, Ignore, Syscheck};
pub use section::syscheck_extra::{ExtraChecks, IoClass, Rehash};
pub use section::time_of_day::{TimeOfDay, Weekdays};

/// A whole `ossec.conf`, checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// `<global>`.
    pub global: Global,
    /// `<alerts>`.
    pub alerts: AlertLevels,
    /// `<rules>`: files and folders as given; see [`RuleSources::resolve`].
    pub rules: RuleSources,
    /// `<syscheck>`.
    pub syscheck: Syscheck,
    /// `<rootcheck>`.
    pub rootcheck: Rootcheck,
    /// Each `<localfile>`, in order.
    pub localfiles: Vec<LocalFile>,
    /// Each `<command>`, in order.
    pub commands: Vec<Command>,
    /// All of `<active-response>`.
    pub responses: Responses,
    /// All of `<client>`.
    pub client: Client,
    /// Each `<remote>`, in order.
    pub remotes: Vec<Remote>,
    /// Sections whose names and simple values are checked, and which their programs will type: remote, client,
    /// email_alerts, syslog_output, reports, agentless, database_output.
    pub others: Vec<Element>,
    /// What is odd and was handled; each is to be logged once at start.
    pub warnings: Vec<ConfigError>,
}

/// Reads and checks `ossec.conf`.
///
/// # Errors
/// A file that is missing, unreadable or not well formed; every unknown name and every value out of its range.
pub fn load(path: &Path) -> Result<Settings, ConfigErrors> {
    parse(&raw::read_file(path)?, path)
}

/// Checks the text of an `ossec.conf`; `file` is only named in errors.
///
/// # Errors
/// As [`load`].
pub fn parse(text: &[u8], file: &Path) -> Result<Settings, ConfigErrors> {
    check(raw::some_roots(text, file)?, file)
}

fn check(roots: Vec<Element>, file: &Path) -> Result<Settings, ConfigErrors> {
    let mut report = Report::new(file);
    let mut settings = Settings::default();
    for element in raw::sections(roots, "ossec_config", &|_| true, &mut report) {
        match Section::of(&element.name) {
            Some(section) => section.read(element, &mut settings, &mut report),
            None => report.unknown(&element, &Section::names()),
        }
    }
    section::response::check_commands(&settings.responses, &settings.commands, &mut report);
    settings.warnings = report.finish()?;
    Ok(settings)
}

impl Settings {
    /// The sections of this name among [`others`](Self::others), in order.
    pub fn sections<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Element> {
        self.others.iter().filter(move |section| section.name == name)
    }

    /// The command of this name; the first, if several bear it.
    pub fn command(&self, name: &str) -> Option<&Command> {
        self.commands.iter().find(|command| command.name == name)
    }
}
