//! What has to go: by age, by the size of all, by the free space. Pure: a listing in, deletions out, oldest first.
//!
//! Never a log of today or of a day to come (a clock may be wrong), and never the newest `.sum` of a series: the next one
//! is chained to it.

use std::fmt;

use crate::closing::Found;
use crate::daily::{Form, SERIES};
use crate::date::Date;

/// What the operator allows; `None` is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Days that a log is kept after its own.
    pub keep_days: Option<u32>,
    /// What all logs of the tree may take.
    pub max_bytes: Option<u64>,
    /// How much of the file system is to stay free.
    pub min_free_percent: Option<u8>,
}

/// The file system of the logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Its size.
    pub total: u64,
    /// What an ordinary user may still write.
    pub free: u64,
}

impl Space {
    /// How many bytes too few are free.
    pub fn missing(&self, min_free_percent: u8) -> u64 {
        let wanted = u128::from(self.total) * u128::from(min_free_percent) / 100;
        u64::try_from(wanted).unwrap_or(u64::MAX).saturating_sub(self.free)
    }
}

/// Why a log goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// It is this many days old.
    Age(i64),
    /// All logs together take this many bytes.
    Size(u64),
    /// So many bytes too few are free.
    Space(u64),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Age(days) => write!(f, "it is {days} days old (monitord.keep_days)"),
            Self::Size(bytes) => {
                write!(f, "the logs take {} MiB (monitord.max_mib)", bytes >> 20)
            }
            Self::Space(bytes) => {
                let mib = bytes.div_ceil(1 << 20);
                write!(f, "{mib} MiB too few are free (monitord.min_free_percent)")
            }
        }
    }
}

/// What goes, in this order.
pub fn deletions(
    found: &[Found],
    today: Date,
    limits: Limits,
    space: Option<Space>,
) -> Vec<(Found, Reason)> {
    let mut size: u64 = found.iter().fold(0, |sum, file| sum.saturating_add(file.disk_bytes));
    let mut missing = match (space, limits.min_free_percent) {
        (Some(space), Some(percent)) => space.missing(percent),
        _ => 0,
    };
    let mut deletions = Vec::new();
    for file in candidates(found, today) {
        let age = today.number() - file.daily.date.number();
        let reason = if limits.keep_days.is_some_and(|days| age > i64::from(days)) {
            Reason::Age(age)
        } else if limits.max_bytes.is_some_and(|most| size > most) {
            Reason::Size(size)
        } else if missing > 0 {
            Reason::Space(missing)
        } else {
            continue;
        };
        size = size.saturating_sub(file.disk_bytes);
        missing = missing.saturating_sub(file.disk_bytes);
        deletions.push((file, reason));
    }
    deletions
}

/// What may go at all, oldest first; a log before its checksums.
fn candidates(found: &[Found], today: Date) -> Vec<Found> {
    let newest_sums = SERIES.map(|series| {
        let sums =
            found.iter().filter(|file| file.daily.series == series && file.form == Form::Sum);
        sums.map(|file| file.daily).max()
    });
    let mut candidates: Vec<Found> = found
        .iter()
        .filter(|file| file.daily.date < today)
        .filter(|file| file.form != Form::Sum || !newest_sums.contains(&Some(file.daily)))
        .copied()
        .collect();
    candidates.sort_by_key(|file| (file.daily, file.form));
    candidates
}
