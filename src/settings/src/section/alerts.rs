//! `<alerts>`: from which level on alerts are written and mailed.

use xml::Element;

use crate::report::Report;

const NAMES: &[&str] = &["log_alert_level", "email_alert_level", "use_geoip"];

/// Thresholds; a rule at or above the level counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertLevels {
    /// Alerts from this level on are written; 1 to 16.
    pub log: u8,
    /// Alerts from this level on are mailed; 1 to 16.
    pub email: u8,
}

impl Default for AlertLevels {
    fn default() -> Self {
        Self { log: 1, email: 7 }
    }
}

impl AlertLevels {
    pub(crate) fn read(&mut self, section: &Element, report: &mut Report) {
        for child in report.leaves(section, NAMES, &[]) {
            match child.name.as_str() {
                "log_alert_level" => report.number(child, 0..=16, &mut self.log),
                "email_alert_level" => report.number(child, 0..=16, &mut self.email),
                _ => not_built(child, report),
            }
        }
    }
}

/// A yes/no option for a library that this suite does not use.
pub(crate) fn not_built(child: &Element, report: &mut Report) {
    let mut wanted = false;
    report.yes_no(child, &mut wanted);
    if wanted {
        let text =
            format!("Option '{}' is not supported by this build and has no effect.", child.name);
        report.warning(None, child, text, "remove it, or set it to 'no'");
    }
}
