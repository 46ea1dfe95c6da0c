//! How many events an hour is used to have, and the alert when there are far more.
//!
//! ```text
//! stats/hourly-average/0..23          events of an average day in that hour, as one number
//! stats/hourly-average/24             days learned
//! stats/weekly-average/0..6/0..24     the same for each day of the week, 0 is Sunday
//! stats/totals/2026/Nov/ossec-totals-21.log    what each hour of that day had
//! stats/current                       what this day has had so far (ours: a restart goes on with it)
//! ```
//! Like all memory, this waits until the outputs that it led to are written ([`Statistics::flush`]).

mod averages;
mod today;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use alerts::Moment;

use crate::output::daily::WriteError;
use crate::world::{append, replace};
use averages::Averages;
use today::Today;

/// The rule of the alert.
pub(crate) const RULE: u32 = 11;
/// Alerts of one day.
const MAX_ALERTS: u32 = 3;
/// Days, or weeks, that are learned before anything is compared.
const LEARNED: u64 = 3;
/// How often the counts of today are written down while events come.
const SAVE_INTERVAL: Duration = Duration::from_secs(5);
const CURRENT: &str = "current";
const DAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// When a difference is large enough: `analysisd.stats_*`, and the level of `<stats>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Level of the alert; 0: nothing is compared, nothing learned.
    pub level: u8,
    /// Percent of the average.
    pub percent: u64,
    /// The least difference.
    pub least: u64,
    /// The greatest difference that is needed.
    pub most: u64,
}

/// What an event was, for the totals.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counted {
    /// The rule that was selected, with its level.
    pub rule: Option<(u32, u8)>,
    /// An alert was written.
    pub alert: bool,
    /// From the file integrity check.
    pub file: bool,
    /// From a firewall.
    pub firewall: bool,
}

/// The counts of today, the averages of before.
#[derive(Debug)]
pub(crate) struct Statistics {
    folder: PathBuf,
    hourly: Averages,
    weekly: [Averages; 7],
    today: Today,
    totals: Vec<(PathBuf, Vec<u8>)>,
    learned: Vec<(PathBuf, u64)>,
    changed: bool,
    saved: Option<Instant>,
}

impl Statistics {
    /// Goes on with what `<folder>` (`stats`) tells; a count that cannot be read is none.
    pub(crate) fn open(folder: &Path) -> Self {
        let mut statistics = Self {
            folder: folder.to_owned(),
            hourly: Averages::default(),
            weekly: Default::default(),
            today: Today::default(),
            totals: Vec::new(),
            learned: Vec::new(),
            changed: false,
            saved: None,
        };
        statistics.read_averages();
        match fs::read_to_string(folder.join(CURRENT)) {
            Ok(text) => match Today::parse(&text) {
                Some(today) => statistics.today = today,
                None => {
                    log::warn!("'stats/{CURRENT}' is damaged; the counts of this day begin anew")
                }
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                log::warn!(
                    "'stats/{CURRENT}' could not be read: {error}; the counts of this day begin anew"
                );
            }
        }
        statistics
    }

    /// Ends the hour, and the day, when `now` is in another one.
    pub(crate) fn turn(&mut self, now: &Moment, limits: &Limits) {
        if !self.today.is_over(now) {
            return;
        }
        if self.today.is_begun() {
            let mut text = Vec::new();
            self.today.write_hour(&mut text);
            let is_next_day = !self.today.is_same_day(now);
            if is_next_day {
                self.today.write_day(&mut text);
            }
            if !text.is_empty() {
                self.totals.push((self.today.file(&self.folder), text));
            }
            // Somebody may have cleared them meanwhile.
            self.read_averages();
            if is_next_day && limits.level > 0 {
                self.learn();
            }
        }
        self.today.begin(now);
        self.changed = true;
        self.saved = None;
    }

    /// Counts an event; the sentence of the alert when there are too many.
    pub(crate) fn count(&mut self, limits: &Limits) -> Option<String> {
        self.changed = true;
        let (hour, count) = self.today.count()?;
        if limits.level == 0
            || self.hourly.learned < LEARNED
            || self.today.alerts >= MAX_ALERTS
            || self.today.alerted_in == Some(hour)
        {
            return None;
        }
        let weekday = self.today.weekday % 7;
        let week = self.weekly.get(weekday).filter(|week| week.learned >= LEARNED);
        let by_hour = self.hourly.exceeded(hour, count, limits).map(|average| (average, ""));
        let by_day = || {
            let day = DAYS.get(weekday).copied().unwrap_or_default();
            week?.exceeded(hour, count, limits).map(|average| (average, day))
        };
        let (average, day) = by_hour.or_else(by_day)?;
        self.today.alerts += 1;
        self.today.alerted_in = Some(hour);
        let on = if day.is_empty() { String::new() } else { format!(" on {day}") };
        Some(format!(
            "The average number of logs between {hour}:00 and {}:00{on} is {average}. We reached {count}.",
            hour + 1
        ))
    }

    /// Counts what became of an event.
    pub(crate) fn add(&mut self, what: Counted) {
        self.today.add(what);
    }

    /// Whether something waits that need not wait for an event.
    pub(crate) fn is_due(&self) -> bool {
        !self.totals.is_empty() || !self.learned.is_empty()
    }

    /// Writes what waits; the counts of today each few seconds, and `at_end`.
    ///
    /// # Errors
    /// Names the file; what could not be written waits on.
    pub(crate) fn flush(&mut self, at_end: bool) -> Result<(), WriteError> {
        let failed = |path: &Path, source| WriteError { path: path.to_owned(), source };
        while let Some((path, text)) = self.totals.first_mut() {
            if let Some(folder) = path.parent() {
                make(folder).map_err(|error| failed(folder, error))?;
            }
            append(path, text)?;
            self.totals.remove(0);
        }
        while let Some((path, number)) = self.learned.last() {
            replace(path, number.to_string().as_bytes()).map_err(|error| failed(path, error))?;
            self.learned.pop();
        }
        let is_recent = self.saved.is_some_and(|saved| saved.elapsed() < SAVE_INTERVAL);
        if self.changed && (at_end || !is_recent) && self.today.is_begun() {
            let path = self.folder.join(CURRENT);
            replace(&path, self.today.to_text().as_bytes())
                .map_err(|error| failed(&path, error))?;
            self.changed = false;
            self.saved = Some(Instant::now());
        }
        Ok(())
    }

    fn read_averages(&mut self) {
        if self.is_due() {
            // What was learned is not yet on disk.
            return;
        }
        self.hourly = Averages::read(&self.folder.join("hourly-average"));
        for (day, week) in self.weekly.iter_mut().enumerate() {
            *week = Averages::read(&self.folder.join("weekly-average").join(day.to_string()));
        }
    }

    fn learn(&mut self) {
        let (counts, alerts) = (self.today.hours, self.today.alerts);
        let often = alerts >= MAX_ALERTS;
        self.hourly.learn(&counts, often);
        let folder = self.folder.join("hourly-average");
        self.learned.extend(self.hourly.files(&folder));
        let weekday = self.today.weekday % 7;
        if let Some(week) = self.weekly.get_mut(weekday) {
            week.learn(&counts, often);
            let folder = self.folder.join("weekly-average").join(weekday.to_string());
            self.learned.extend(week.files(&folder));
        }
    }
}

fn make(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o750).create(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;
    /// Tuesday, 2023-11-14 22:13:20.
    const START: i64 = 1_700_000_000;
    const LIMITS: Limits = Limits { level: 4, percent: 150, least: 10, most: 999_000 };

    fn feed(statistics: &mut Statistics, at: i64, count: u32) -> Vec<String> {
        let mut alerts = Vec::new();
        statistics.turn(&Moment::utc(at), &LIMITS);
        for _ in 0..count {
            alerts.extend(statistics.count(&LIMITS));
            statistics.add(Counted { rule: Some((5716, 5)), alert: true, ..Counted::default() });
        }
        statistics.flush(true).unwrap();
        alerts
    }

    fn read(dir: &Path, name: &str) -> String {
        fs::read_to_string(dir.join(name)).unwrap_or_default()
    }

    #[test]
    fn an_hour_above_the_average_of_three_days_is_an_alert_once() {
        let dir = tempfile::tempdir().unwrap();
        for day in 0..3 {
            // Each day by another run of the daemon.
            let mut statistics = Statistics::open(dir.path());
            assert_eq!(feed(&mut statistics, START + day * DAY, 20), Vec::<String>::new());
        }
        let mut statistics = Statistics::open(dir.path());
        let alerts = feed(&mut statistics, START + 3 * DAY, 300);
        // 20 + 20; (20 + 2 * 40) / 3 + 5; (20 + 3 * 38) / 4 + 5 = 38; the limit is 38 + 38 * 1.5 + 1.
        assert_eq!(read(dir.path(), "hourly-average/22"), "38");
        assert_eq!(read(dir.path(), "hourly-average/24"), "3");
        assert_eq!(read(dir.path(), "weekly-average/2/22"), "40");
        assert_eq!(
            alerts,
            ["The average number of logs between 22:00 and 23:00 is 38. We reached 97."]
        );
    }

    #[test]
    fn the_day_of_the_week_is_looked_at_when_the_hour_is_as_usual() {
        let dir = tempfile::tempdir().unwrap();
        for (folder, average) in [("hourly-average", "5000"), ("weekly-average/2", "50")] {
            fs::create_dir_all(dir.path().join(folder)).unwrap();
            fs::write(dir.path().join(folder).join("22"), average).unwrap();
            fs::write(dir.path().join(folder).join("24"), "3").unwrap();
        }
        let mut statistics = Statistics::open(dir.path());
        assert_eq!(
            feed(&mut statistics, START, 200),
            [
                "The average number of logs between 22:00 and 23:00 on Tuesday is 50. We reached 127."
            ]
        );
    }

    #[test]
    fn totals_are_written_when_the_hour_is_over_and_a_restart_goes_on_with_them() {
        let dir = tempfile::tempdir().unwrap();
        feed(&mut Statistics::open(dir.path()), START, 2);
        let mut statistics = Statistics::open(dir.path());
        statistics.turn(&Moment::utc(START), &LIMITS);
        assert_eq!(statistics.count(&LIMITS), None);
        statistics.add(Counted { file: true, ..Counted::default() });
        // Two hours later, without any event.
        statistics.turn(&Moment::utc(START + 7200), &LIMITS);
        assert!(statistics.is_due());
        statistics.flush(false).unwrap();
        assert_eq!(
            read(dir.path(), "totals/2023/Nov/ossec-totals-14.log"),
            "22-5716-5-2\n22--2--3--1--0\n\nHour totals - 22:3\nTotal events for day:3\n"
        );
        assert_eq!(read(dir.path(), "hourly-average/22"), "23");
        assert!(!statistics.is_due());
    }

    #[test]
    fn the_same_hour_of_the_next_day_is_another_hour() {
        let dir = tempfile::tempdir().unwrap();
        let mut statistics = Statistics::open(dir.path());
        feed(&mut statistics, START, 2);
        feed(&mut statistics, START + DAY, 1);
        assert!(read(dir.path(), "totals/2023/Nov/ossec-totals-14.log").contains("day:2\n"));
    }

    #[test]
    fn level_zero_compares_and_learns_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let off = Limits { level: 0, ..LIMITS };
        let mut statistics = Statistics::open(dir.path());
        statistics.turn(&Moment::utc(START), &off);
        statistics.count(&off);
        statistics.turn(&Moment::utc(START + DAY), &off);
        statistics.flush(true).unwrap();
        assert!(!dir.path().join("hourly-average").exists());
        assert!(dir.path().join("totals/2023/Nov/ossec-totals-14.log").exists());
    }

    #[test]
    fn a_damaged_memory_of_today_begins_anew() {
        let dir = tempfile::tempdir().unwrap();
        feed(&mut Statistics::open(dir.path()), START, 2);
        let text = read(dir.path(), CURRENT);
        for len in 0..text.len() - 1 {
            assert_eq!(Today::parse(&text[..len]), None, "{len}");
        }
        assert!(Today::parse(&text).is_some());
    }
}
