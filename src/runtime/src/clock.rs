//! Local time: the time zone is read once, at start, because a confined daemon cannot read it later.
//!
//! A change of the host's time zone is therefore seen at the next start; changes between summer and winter
//! time are part of the zone.

use std::cell::Cell;
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// A second as the wall clock of this host shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Local {
    /// For instance 2026.
    pub year: i16,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 59.
    pub second: u8,
    /// 0 is Sunday.
    pub weekday: u8,
}

/// Seconds since 1970, now.
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// Local time of a second since 1970; cheap when asked again for the same minute.
pub fn local(epoch: i64) -> Local {
    let minute = epoch.div_euclid(60);
    let (known, mut local) = LAST.get();
    if known != Some(minute) {
        local = broken_down(zone(), minute.saturating_mul(60));
        // Some zones of the distant past are off by odd seconds: there nothing is remembered.
        if local.second != 0 {
            return broken_down(zone(), epoch);
        }
        LAST.set((Some(minute), local));
    }
    Local { second: u8::try_from(epoch.rem_euclid(60)).unwrap_or(0), ..local }
}

/// Reads the time zone now, if that has not happened yet: before paths are out of reach.
pub(crate) fn learn_zone() {
    zone();
}

fn zone() -> &'static TimeZone {
    static ZONE: OnceLock<TimeZone> = OnceLock::new();
    ZONE.get_or_init(|| TimeZone::try_system().unwrap_or(TimeZone::UTC))
}

fn broken_down(zone: &TimeZone, epoch: i64) -> Local {
    let limits = Timestamp::MIN.as_second() + DAY..Timestamp::MAX.as_second() - DAY;
    let epoch = epoch.clamp(limits.start, limits.end);
    let time = zone.to_datetime(Timestamp::from_second(epoch).unwrap_or(Timestamp::UNIX_EPOCH));
    let unsigned = |part: i8| u8::try_from(part).unwrap_or(0);
    Local {
        year: time.year(),
        month: unsigned(time.month()),
        day: unsigned(time.day()),
        hour: unsigned(time.hour()),
        minute: unsigned(time.minute()),
        second: unsigned(time.second()),
        weekday: unsigned(time.weekday().to_sunday_zero_offset()),
    }
}

/// Seconds of a day: no zone is further from UTC.
const DAY: i64 = 86_400;

thread_local! {
    /// The minute that was asked for last, with its local time.
    static LAST: Cell<(Option<i64>, Local)> = const {
        Cell::new((None, Local { year: 0, month: 1, day: 1, hour: 0, minute: 0, second: 0, weekday: 0 }))
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(local: Local) -> String {
        let Local { year, month, day, hour, minute, second, weekday } = local;
        format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} {weekday}")
    }

    #[test]
    fn a_zone_with_summer_time_is_followed() {
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        for (epoch, expected) in [
            (0, "1970-01-01 01:00:00 4"),
            (1_774_745_999, "2026-03-29 01:59:59 0"),
            (1_774_746_000, "2026-03-29 03:00:00 0"),
            (-1, "1970-01-01 00:59:59 4"),
        ] {
            assert_eq!(shown(broken_down(&zone, epoch)), expected);
        }
    }

    #[test]
    fn what_is_remembered_equals_what_is_computed() {
        for epoch in (1_700_000_000..1_700_000_200).chain([0, -1, 59, 60, 59]) {
            assert_eq!(local(epoch), broken_down(zone(), epoch), "{epoch}");
        }
    }

    #[test]
    fn impossible_seconds_do_not_panic() {
        for epoch in [i64::MIN, i64::MIN + 1, i64::MAX, -1 << 40, 1 << 60] {
            local(epoch);
        }
    }
}
