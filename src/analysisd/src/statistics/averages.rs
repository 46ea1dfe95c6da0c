//! The averages of 24 hours, one small file a number.

use std::fs;
use std::path::{Path, PathBuf};

use crate::statistics::Limits;

/// Days, or weeks, that weigh at the most.
const MAX_WEIGHT: u64 = 7;
/// The number that says how much was learned.
const LEARNED: usize = 24;

/// One average an hour, and from how many days.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Averages {
    hours: [u64; 24],
    /// Days, or weeks.
    pub(super) learned: u64,
}

impl Averages {
    /// A number that is not there, or is none, counts as 0.
    pub(super) fn read(folder: &Path) -> Self {
        let number = |name: usize| {
            let text = fs::read_to_string(folder.join(name.to_string())).unwrap_or_default();
            text.trim().parse::<u64>().unwrap_or(0).min(u64::from(u32::MAX))
        };
        Self { hours: std::array::from_fn(number), learned: number(LEARNED) }
    }

    /// The average of the hour when `count` is too many above it.
    pub(super) fn exceeded(&self, hour: usize, count: u64, limits: &Limits) -> Option<u64> {
        let average = *self.hours.get(hour)?;
        let difference = average.saturating_mul(limits.percent) / 100 + 1;
        let difference = difference.max(limits.least).min(limits.most);
        (average != 0 && count > average + difference).then_some(average)
    }

    /// Takes a day in; another weight applies when there were as many alerts that day as there may be.
    pub(super) fn learn(&mut self, counts: &[u64; 24], alerted: bool) {
        self.learned += 1;
        let weight = self.learned.min(MAX_WEIGHT);
        for (average, &count) in self.hours.iter_mut().zip(counts) {
            *average = match (count, *average) {
                (0, known) => known,
                (_, 0) => count + 20,
                (_, known) if alerted => (3 * count + weight * known) / (weight + 3) + 25,
                (_, known) => (count + weight * known) / (weight + 1) + 5,
            };
        }
    }

    /// The files that hold them; hours without events have none.
    pub(super) fn files(&self, folder: &Path) -> Vec<(PathBuf, u64)> {
        let hours = self.hours.iter().enumerate().filter(|&(_, &average)| average != 0);
        let mut files: Vec<_> =
            hours.map(|(hour, &average)| (folder.join(hour.to_string()), average)).collect();
        // Written from the end: what was learned is said when it is all there.
        files.insert(0, (folder.join(LEARNED.to_string()), self.learned));
        files
    }
}
