//! The counts of one day, and of its hour that is under way.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use alerts::Moment;

use crate::statistics::Counted;

const HEAD: &str = "oxsec-stats 1";
const END: &str = "end";

/// Counts of the day and the hour in which they began.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Today {
    /// When the hour began; day 0 before the first.
    year: u16,
    month: u8,
    day: u8,
    hour: usize,
    epoch: i64,
    /// 0 is Sunday.
    pub(super) weekday: usize,
    /// Events of each hour.
    pub(super) hours: [u64; 24],
    /// Alerts because of too many events.
    pub(super) alerts: u32,
    /// The hour of the last one.
    pub(super) alerted_in: Option<usize>,
    written: u64,
    files: u64,
    firewalls: u64,
    fired: BTreeMap<u32, (u8, u64)>,
}

impl Today {
    pub(super) fn is_begun(&self) -> bool {
        self.day != 0
    }

    pub(super) fn is_same_day(&self, now: &Moment) -> bool {
        (self.year, self.month, self.day) == (now.year, now.month, now.day)
    }

    /// Whether `now` is in another hour. An event that waited over the turn of the hour still belongs to the new one.
    pub(super) fn is_over(&self, now: &Moment) -> bool {
        let is_other = self.hour != usize::from(now.hour) || !self.is_same_day(now);
        let is_late = now.epoch < self.epoch && now.epoch + 3600 > self.epoch;
        is_other && !is_late
    }

    /// Begins the hour of `now`, and its day if it is another.
    pub(super) fn begin(&mut self, now: &Moment) {
        if !self.is_same_day(now) {
            *self = Self::default();
        }
        (self.year, self.month, self.day) = (now.year, now.month, now.day);
        (self.hour, self.weekday) = (usize::from(now.hour), usize::from(now.weekday));
        self.epoch = now.epoch;
        (self.written, self.files, self.firewalls) = (0, 0, 0);
        self.fired.clear();
    }

    /// One event more; the hour, and its number of events.
    pub(super) fn count(&mut self) -> Option<(usize, u64)> {
        let count = self.hours.get_mut(self.hour)?;
        *count += 1;
        Some((self.hour, *count))
    }

    pub(super) fn add(&mut self, what: Counted) {
        self.written += u64::from(what.alert);
        self.files += u64::from(what.file);
        self.firewalls += u64::from(what.firewall);
        if let Some((id, level)) = what.rule {
            self.fired.entry(id).or_insert((level, 0)).1 += 1;
        }
    }

    /// `stats/totals/2023/Nov/ossec-totals-14.log`.
    pub(super) fn file(&self, folder: &Path) -> PathBuf {
        let moment = Moment { month: self.month, ..Moment::default() };
        let folder = folder.join("totals").join(self.year.to_string()).join(moment.month_name());
        folder.join(format!("ossec-totals-{:02}.log", self.day))
    }

    /// The hour that ends: `22-5716-5-2` for each rule, then `22--alerts--events--files--firewall`.
    pub(super) fn write_hour(&self, out: &mut Vec<u8>) {
        let hour = self.hour;
        for (id, (level, count)) in &self.fired {
            // Writing to a Vec cannot fail.
            let _ = writeln!(out, "{hour}-{id}-{level}-{count}");
        }
        let events = self.hours.get(hour).copied().unwrap_or_default();
        let (alerts, files, firewalls) = (self.written, self.files, self.firewalls);
        let _ = writeln!(out, "{hour}--{alerts}--{events}--{files}--{firewalls}\n");
    }

    /// The day that ends.
    pub(super) fn write_day(&self, out: &mut Vec<u8>) {
        for (hour, count) in self.hours.iter().enumerate().filter(|&(_, &count)| count != 0) {
            let _ = writeln!(out, "Hour totals - {hour}:{count}");
        }
        let _ = writeln!(out, "Total events for day:{}", self.hours.iter().sum::<u64>());
    }

    /// What a restart goes on with.
    pub(super) fn to_text(&self) -> String {
        let hours: Vec<String> = self.hours.iter().map(u64::to_string).collect();
        let alerted = self.alerted_in.map_or(-1, |hour| i64::try_from(hour).unwrap_or(-1));
        let mut text = format!(
            "{HEAD}\nhour {} {} {} {} {} {}\nevents {}\nalerts {} {alerted}\ncounts {} {} {}\n",
            self.year,
            self.month,
            self.day,
            self.hour,
            self.epoch,
            self.weekday,
            hours.join(" "),
            self.alerts,
            self.written,
            self.files,
            self.firewalls,
        );
        for (id, (level, count)) in &self.fired {
            text.push_str(&format!("rule {id} {level} {count}\n"));
        }
        text.push_str(END);
        text.push('\n');
        text
    }

    /// Reads it back; `None` when it is not all there.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut today = Self::default();
        let mut lines = text.strip_suffix('\n')?.lines();
        (lines.next()? == HEAD).then_some(())?;
        while let Some(line) = lines.next() {
            if line == END {
                return lines.next().is_none().then_some(today);
            }
            let (word, numbers) = line.split_once(' ')?;
            let numbers: Vec<i64> =
                numbers.split(' ').map(str::parse).collect::<Result<_, _>>().ok()?;
            match (word, numbers.as_slice()) {
                ("hour", &[year, month, day, hour, epoch, weekday]) => {
                    today.year = u16::try_from(year).ok()?;
                    today.month = u8::try_from(month).ok().filter(|m| (1..=12).contains(m))?;
                    today.day = u8::try_from(day).ok().filter(|d| (1..=31).contains(d))?;
                    today.hour = usize::try_from(hour).ok().filter(|&hour| hour < 24)?;
                    today.epoch = epoch;
                    today.weekday = usize::try_from(weekday).ok().filter(|&day| day < 7)?;
                }
                ("events", counts) if counts.len() == 24 => {
                    for (slot, &count) in today.hours.iter_mut().zip(counts) {
                        *slot = u64::try_from(count).ok()?;
                    }
                }
                ("alerts", &[alerts, hour]) => {
                    today.alerts = u32::try_from(alerts).ok()?;
                    today.alerted_in = usize::try_from(hour).ok();
                }
                ("counts", &[written, files, firewalls]) => {
                    today.written = u64::try_from(written).ok()?;
                    today.files = u64::try_from(files).ok()?;
                    today.firewalls = u64::try_from(firewalls).ok()?;
                }
                ("rule", &[id, level, count]) => {
                    let fired = (u8::try_from(level).ok()?, u64::try_from(count).ok()?);
                    today.fired.insert(u32::try_from(id).ok()?, fired);
                }
                _ => return None,
            }
        }
        None
    }
}
