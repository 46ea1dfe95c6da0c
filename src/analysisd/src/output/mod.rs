//! What analysis writes: alerts as text and JSON, archives, the firewall log. One daily file each ([`daily`]).
//!
//! To add an output: a file here, a field in [`Outputs`], a line in [`Outputs::files`].

pub(crate) mod daily;

use std::path::Path;

use alerts::{Alert, Event, Moment, Rule, firewall, json, text};
use settings::Global;

use daily::{DailyFile, WriteError};

/// Which outputs `<global>` asks for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Switches {
    alerts_json: bool,
    archives: bool,
    archives_json: bool,
    custom: Option<Vec<u8>>,
    firewall: bool,
}

impl Switches {
    /// As configured; `firewall` is `analysisd.log_fw`.
    pub(crate) fn of(global: &Global, firewall: bool) -> Self {
        Self {
            alerts_json: global.jsonout_output,
            archives: global.logall,
            archives_json: global.logall_json,
            custom: global.custom_alert_output.clone(),
            firewall,
        }
    }

    /// Whether every event is to be rendered, not only alerts.
    pub(crate) fn archives(&self) -> bool {
        self.archives || self.archives_json
    }
}

/// All output files. Records wait in memory until [`Outputs::flush`].
#[derive(Debug)]
pub(crate) struct Outputs {
    alerts: DailyFile,
    alerts_json: DailyFile,
    archives: DailyFile,
    archives_json: DailyFile,
    firewall: DailyFile,
}

impl Outputs {
    /// Files below `<root>/logs`; none is opened yet.
    pub(crate) fn new(root: &Path) -> Self {
        let logs = root.join("logs");
        Self {
            alerts: DailyFile::new(&logs, daily::ALERTS_LOG),
            alerts_json: DailyFile::new(&logs, daily::ALERTS_JSON),
            archives: DailyFile::new(&logs, daily::ARCHIVES_LOG),
            archives_json: DailyFile::new(&logs, daily::ARCHIVES_JSON),
            firewall: DailyFile::new(&logs, daily::FIREWALL_LOG),
        }
    }

    /// Adds an alert to every alert output that is on.
    pub(crate) fn alert(&mut self, alert: &Alert<'_>, switches: &Switches) {
        match &switches.custom {
            Some(format) => text::write_custom(format, alert, self.alerts.waiting()),
            None => text::write_alert(alert, self.alerts.waiting()),
        }
        if switches.alerts_json {
            json::write_alert(alert, self.alerts_json.waiting());
        }
    }

    /// Adds an event to every archive that is on; keep-alive messages of agents only to that of JSON.
    pub(crate) fn archive(
        &mut self,
        event: &Event<'_>,
        rule: Option<&Rule<'_>>,
        switches: &Switches,
    ) {
        if switches.archives && text::is_archived(event.location) {
            text::write_archive(event, self.archives.waiting());
        }
        if switches.archives_json {
            json::write_archive(event, rule, self.archives_json.waiting());
        }
    }

    /// Adds a firewall's event to the firewall log.
    pub(crate) fn firewall(&mut self, event: &Event<'_>, switches: &Switches) {
        if switches.firewall && firewall::is_complete(event) {
            firewall::write_line(event, self.firewall.waiting());
        }
    }

    /// Writes what waits to the files of `day`.
    ///
    /// # Errors
    /// The first file that could not be written; all that was not written waits on.
    pub(crate) fn flush(&mut self, day: &Moment) -> Result<(), WriteError> {
        self.files().into_iter().try_for_each(|file| file.flush(day))
    }

    /// Bytes that wait.
    pub(crate) fn waiting(&mut self) -> usize {
        self.files().into_iter().map(|file| file.waiting().len()).sum()
    }

    fn files(&mut self) -> [&mut DailyFile; 5] {
        [
            &mut self.archives,
            &mut self.archives_json,
            &mut self.firewall,
            &mut self.alerts_json,
            &mut self.alerts,
        ]
    }
}
