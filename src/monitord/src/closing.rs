//! What is to be done with the logs of days that are over: sign them, compress them. Pure: a listing in, steps out.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use crate::daily::{Daily, Form, Part, SERIES, Series};
use crate::date::Date;

/// A file that lies in the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Which log.
    pub daily: Daily,
    /// In which form.
    pub form: Form,
    /// How much of the disk it takes.
    pub disk_bytes: u64,
}

/// What the operator wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wishes {
    /// Checksums, chained from day to day.
    pub sign: bool,
    /// [`Form::Gzip`], [`Form::Zstd`], or nothing.
    pub pack: Option<Form>,
}

/// One thing to do. Later steps of a series rely on the earlier ones: after a failure none of the series follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The log is there twice, plain and compressed: either the compression was cut off before its end, or a clock that
    /// went back has made a new one. The same content is removed, another becomes part `aside`.
    Reconcile {
        /// Both of it.
        daily: Daily,
        /// The compressed form.
        packed: Form,
        /// The number of a part that is not there yet.
        aside: u32,
    },
    /// Write checksums.
    Sign {
        /// Of this; of nothing, for a day without one in a series that goes on.
        daily: Daily,
        /// The newest one before that is signed.
        previous: Option<Daily>,
    },
    /// Compress, and remove the original.
    Compress {
        /// This.
        daily: Daily,
        /// How.
        pack: Form,
    },
}

impl Step {
    /// What it is about.
    pub fn daily(&self) -> Daily {
        match self {
            Self::Reconcile { daily, .. }
            | Self::Sign { daily, .. }
            | Self::Compress { daily, .. } => *daily,
        }
    }
}

/// The steps that close all days up to and including `last_closed`, oldest first in each series.
pub fn steps(found: &[Found], last_closed: Date, wishes: Wishes) -> Vec<Step> {
    SERIES.iter().flat_map(|series| steps_of(*series, found, last_closed, wishes)).collect()
}

fn steps_of(series: Series, found: &[Found], last_closed: Date, wishes: Wishes) -> Vec<Step> {
    let mut logs: BTreeMap<Daily, BTreeSet<Form>> = BTreeMap::new();
    for file in found.iter().filter(|file| file.daily.series == series) {
        if file.daily.date <= last_closed {
            logs.entry(file.daily).or_default().insert(file.form);
        }
    }
    let newest = Daily { date: last_closed, part: Part::Last, series };
    // As OSSEC does: a day without a log is signed as well, so that its absence can be proved. Not for JSON.
    if series.extension == "log" && logs.keys().any(|daily| daily.date < last_closed) {
        logs.entry(newest).or_default();
    }
    let mut numbered: BTreeMap<Date, u32> = BTreeMap::new();
    for daily in logs.keys() {
        if let Part::Numbered(part) = daily.part {
            let highest = numbered.entry(daily.date).or_default();
            *highest = part.max(*highest);
        }
    }
    let mut steps = Vec::new();
    let mut previous = None;
    for (daily, forms) in logs {
        let packed = [Form::Gzip, Form::Zstd].into_iter().find(|form| forms.contains(form));
        let is_plain = forms.contains(&Form::Plain);
        if let (true, Some(packed)) = (is_plain, packed) {
            let highest = numbered.entry(daily.date).or_default();
            // A day of so many parts does not come to be; then its log stays as it is.
            if let Some(aside) = highest.checked_add(1) {
                *highest = aside;
                steps.push(Step::Reconcile { daily, packed, aside });
            }
        }
        let is_open = packed.is_none();
        let is_signed = forms.contains(&Form::Sum);
        if wishes.sign && !is_signed && is_open {
            steps.push(Step::Sign { daily, previous });
            previous = Some(daily);
        }
        if is_signed {
            previous = Some(daily);
        }
        if let (true, true, Some(pack)) = (is_plain, is_open, wishes.pack) {
            steps.push(Step::Compress { daily, pack });
        }
    }
    steps
}
