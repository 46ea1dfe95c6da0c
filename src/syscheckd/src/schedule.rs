//! When the next scan is due: every so often, or at a time of day, or on days of the week. Pure: told what time it is.

use std::time::{Duration, Instant};

use settings::{Syscheck, TimeOfDay, Weekdays};

/// With a time or a day given, the interval only makes sure that there is a scan each week.
pub const WEEK: Duration = Duration::from_secs(604_800);

/// A moment, on the monotonic clock and on the wall.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// For intervals.
    pub instant: Instant,
    /// Number of the local day, any origin.
    pub day: i64,
    /// 0 is Sunday.
    pub weekday: u8,
    /// Local time.
    pub time: TimeOfDay,
}

/// The schedule, and what of it was done.
#[derive(Debug)]
pub struct Schedule {
    frequency: Duration,
    time: Option<TimeOfDay>,
    days: Option<Weekdays>,
    last: Instant,
    /// The day whose scan was started.
    day_done: Option<i64>,
}

impl Schedule {
    /// Begins now. When today's time is already over, today counts as done.
    pub fn new(syscheck: &Syscheck, now: &Moment) -> Self {
        let (time, days) = (syscheck.scan_time, syscheck.scan_day);
        let frequency = if time.is_some() || days.is_some() { WEEK } else { syscheck.frequency };
        let mut schedule = Self { frequency, time, days, last: now.instant, day_done: None };
        if schedule.calendar_says_so(now) {
            schedule.day_done = Some(now.day);
        }
        schedule
    }

    /// Whether a scan is due; a scan of the calendar is due once a day.
    pub fn is_due(&mut self, now: &Moment) -> bool {
        if self.calendar_says_so(now) && self.day_done != Some(now.day) {
            self.day_done = Some(now.day);
            return true;
        }
        now.instant.saturating_duration_since(self.last) > self.frequency
    }

    /// Whether a time or a day is given, for rootcheck's searches as well.
    pub fn has_calendar(&self) -> bool {
        self.time.is_some() || self.days.is_some()
    }

    /// Notes that a scan has begun or ended.
    pub fn scanned(&mut self, now: Instant) {
        self.last = now;
    }

    fn calendar_says_so(&self, now: &Moment) -> bool {
        let day = self.days.is_none_or(|days| days.contains(now.weekday));
        let time = self.time.is_none_or(|time| now.time >= time);
        self.has_calendar() && day && time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Day 0 is a Sunday.
    fn at(start: Instant, day: i64, hour: u8, minute: u8) -> Moment {
        let minutes = day.unsigned_abs() * 1440 + u64::from(hour) * 60 + u64::from(minute);
        Moment {
            instant: start + Duration::from_secs(minutes * 60),
            day,
            weekday: u8::try_from(day % 7).unwrap(),
            time: TimeOfDay { hour, minute },
        }
    }

    fn syscheck(time: Option<&str>, days: Option<&str>) -> Syscheck {
        Syscheck {
            frequency: Duration::from_secs(3600),
            scan_time: time.and_then(TimeOfDay::parse),
            scan_day: days.and_then(Weekdays::parse),
            ..Syscheck::default()
        }
    }

    #[test]
    fn an_interval_counts_from_the_last_scan() {
        let start = Instant::now();
        let mut schedule = Schedule::new(&syscheck(None, None), &at(start, 0, 0, 0));
        assert!(!schedule.is_due(&at(start, 0, 1, 0)));
        assert!(schedule.is_due(&at(start, 0, 1, 1)));
        schedule.scanned(at(start, 0, 1, 1).instant);
        assert!(!schedule.is_due(&at(start, 0, 2, 1)));
    }

    #[test]
    fn a_time_of_day_is_due_once_a_day() {
        let start = Instant::now();
        let mut schedule = Schedule::new(&syscheck(Some("8pm"), None), &at(start, 0, 12, 0));
        assert!(!schedule.is_due(&at(start, 0, 19, 59)));
        assert!(schedule.is_due(&at(start, 0, 20, 0)));
        assert!(!schedule.is_due(&at(start, 0, 20, 1)));
        assert!(!schedule.is_due(&at(start, 1, 19, 59)));
        assert!(schedule.is_due(&at(start, 1, 23, 0)));
    }

    #[test]
    fn a_time_that_is_over_at_start_waits_for_tomorrow() {
        let start = Instant::now();
        let mut schedule = Schedule::new(&syscheck(Some("8:00"), None), &at(start, 0, 12, 0));
        assert!(!schedule.is_due(&at(start, 0, 23, 59)));
        assert!(schedule.is_due(&at(start, 1, 8, 0)));
    }

    #[test]
    fn a_day_of_the_week_is_due_once() {
        let start = Instant::now();
        let mut schedule = Schedule::new(&syscheck(None, Some("tuesday")), &at(start, 1, 0, 0));
        assert!(!schedule.is_due(&at(start, 1, 23, 0)));
        assert!(schedule.is_due(&at(start, 2, 0, 0)));
        assert!(!schedule.is_due(&at(start, 2, 9, 0)));
        assert!(!schedule.is_due(&at(start, 3, 9, 0)));
    }

    #[test]
    fn both_must_hold() {
        let start = Instant::now();
        let mut schedule =
            Schedule::new(&syscheck(Some("10:00"), Some("weekends")), &at(start, 1, 0, 0));
        assert!(!schedule.is_due(&at(start, 1, 11, 0)));
        assert!(!schedule.is_due(&at(start, 6, 9, 0)));
        assert!(schedule.is_due(&at(start, 6, 10, 0)));
    }
}
