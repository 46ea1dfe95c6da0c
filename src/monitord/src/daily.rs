//! Names of daily files: `alerts/2026/Nov/ossec-alerts-21.log`, its earlier parts, and what becomes of them.
//!
//! ```text
//! ossec-alerts-21.log            the day's file, or its last part
//! ossec-alerts-21-1.log          an earlier part of the same day: it had grown too large and was set aside
//! ossec-alerts-21.log.sum        checksums, chained to those before
//! ossec-alerts-21.log.gz  .zst   compressed
//! ```
//!
//! A path is always made from a [`Daily`], never taken from outside: so it cannot lead out of the tree.

use std::path::{Path, PathBuf};

use crate::date::Date;

/// One kind of daily file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Series {
    /// Folder below `logs/`.
    pub folder: &'static str,
    /// Middle of the name: `archive` in `ossec-archive-21.log`.
    pub name: &'static str,
    /// `log` or `json`.
    pub extension: &'static str,
}

const fn series(folder: &'static str, name: &'static str, extension: &'static str) -> Series {
    Series { folder, name, extension }
}

/// All kinds, in the order in which they are worked on.
pub const SERIES: [Series; 6] = [
    series("archives", "archive", "log"),
    series("archives", "archive", "json"),
    series("alerts", "alerts", "log"),
    series("alerts", "alerts", "json"),
    series("firewall", "firewall", "log"),
    series("firewall", "firewall", "json"),
];

/// Which part of its day a file is; ordered as they were written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// Set aside, counted from 1.
    Numbered(u32),
    /// The file of the day, or what came after the numbered ones.
    Last,
}

/// One log: a day's, or a part of a day's. Ordered by age.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Daily {
    /// The day.
    pub date: Date,
    /// Which part of it.
    pub part: Part,
    /// What is in it.
    pub series: Series,
}

/// In which form it lies there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Form {
    /// As it was written.
    Plain,
    /// `.gz`
    Gzip,
    /// `.zst`
    Zstd,
    /// `.sum`
    Sum,
}

impl Form {
    /// What stands behind the name of the log.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Gzip => ".gz",
            Self::Zstd => ".zst",
            Self::Sum => ".sum",
        }
    }
}

impl Daily {
    /// Reads a file's name in the folder of its month.
    pub fn parse(series: Series, year: &str, month: &str, name: &str) -> Option<(Self, Form)> {
        let rest = name.strip_prefix("ossec-")?.strip_prefix(series.name)?.strip_prefix('-')?;
        let (number, rest) = rest.split_once('.')?;
        let form = match rest.strip_prefix(series.extension)? {
            "" => Form::Plain,
            ".gz" => Form::Gzip,
            ".zst" => Form::Zstd,
            ".sum" => Form::Sum,
            _ => return None,
        };
        let (day, part) = match number.split_once('-') {
            Some((day, part)) => (day, Part::Numbered(counted(part)?)),
            None => (number, Part::Last),
        };
        Some((Self { date: Date::parse(year, month, day)?, part, series }, form))
    }

    /// The same day's another part.
    #[must_use]
    pub fn numbered(self, part: u32) -> Self {
        Self { part: Part::Numbered(part), ..self }
    }

    /// Below the install root: `logs/alerts/2026/Nov/ossec-alerts-21.log.gz`.
    pub fn path(&self, form: Form) -> PathBuf {
        let Series { folder, name, extension } = self.series;
        let part = match self.part {
            Part::Numbered(part) => format!("-{part}"),
            Part::Last => String::new(),
        };
        let (day, suffix) = (self.date.day(), form.suffix());
        Path::new("logs")
            .join(folder)
            .join(self.date.year().to_string())
            .join(self.date.month_name())
            .join(format!("ossec-{name}-{day:02}{part}.{extension}{suffix}"))
    }

    /// As a confined OSSEC sees it, and writes it into `.sum` files: `/logs/alerts/2026/Nov/ossec-alerts-21.log`.
    pub fn shown(&self, form: Form) -> String {
        format!("/{}", self.path(form).display())
    }
}

/// As we write it: no sign, no leading zero.
fn counted(text: &str) -> Option<u32> {
    let is_ours = !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_ours { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALERTS: Series = SERIES[2];

    fn parsed(name: &str) -> Option<(Daily, Form)> {
        Daily::parse(ALERTS, "2026", "Nov", name)
    }

    #[test]
    fn a_name_leads_back_to_its_path() {
        for name in [
            "ossec-alerts-21.log",
            "ossec-alerts-21.log.sum",
            "ossec-alerts-01-1.log.gz",
            "ossec-alerts-21-4000000000.log.zst",
        ] {
            let (daily, form) = parsed(name).unwrap();
            assert_eq!(daily.path(form), Path::new("logs/alerts/2026/Nov").join(name));
        }
    }

    #[test]
    fn every_other_name_is_passed_over() {
        for name in [
            "",
            "ossec-alerts-21",
            "ossec-alerts-1.log",
            "ossec-alerts-31.log",
            "ossec-alerts-21.json",
            "ossec-alerts-21.log.gz.gz",
            "ossec-alerts-21.logs",
            "ossec-alerts-21-0.log",
            "ossec-alerts-21-01.log",
            "ossec-alerts-21-.log",
            "ossec-alerts-21--1.log",
            "ossec-alerts-21-4294967296.log",
            "ossec-archive-21.log",
            "../ossec-alerts-21.log",
            ".ossec-alerts-21.log.gz.tmp",
        ] {
            assert_eq!(parsed(name), None, "{name}");
        }
    }

    #[test]
    fn parts_are_older_than_the_last_one() {
        let last = parsed("ossec-alerts-21.log").unwrap().0;
        assert!(last.numbered(9) < last.numbered(10));
        assert!(last.numbered(u32::MAX) < last);
    }
}
