//! Moments as the tools print them, in local time.

use std::time::{SystemTime, UNIX_EPOCH};

use runtime::clock::{Local, local};

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

/// Seconds since 1970; 0 for what was before.
pub(crate) fn epoch(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// `2026 Nov 21 00:16:34`
pub(crate) fn stamp(epoch: i64) -> String {
    let time = local(epoch);
    format!("{} {:02}:{:02}:{:02}", day_of(&time), time.hour, time.minute, time.second)
}

/// `2026 Nov 21`
pub(crate) fn day(epoch: i64) -> String {
    day_of(&local(epoch))
}

/// `Sat Nov 21 00:31:29 2026`, as ctime(3) without its newline.
pub(crate) fn ctime(epoch: i64) -> String {
    let time = local(epoch);
    format!(
        "{} {} {:2} {:02}:{:02}:{:02} {}",
        DAYS.get(usize::from(time.weekday)).unwrap_or(&"???"),
        month(&time),
        time.day,
        time.hour,
        time.minute,
        time.second,
        time.year
    )
}

fn day_of(time: &Local) -> String {
    format!("{} {} {:02}", time.year, month(time), time.day)
}

fn month(time: &Local) -> &'static str {
    MONTHS.get(usize::from(time.month).saturating_sub(1)).copied().unwrap_or("???")
}
