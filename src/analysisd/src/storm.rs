//! Storms of file events: more alerts of one host than anybody reads become one that sums them up.
//!
//! A window of some seconds begins with a host's first alert of a file event. In it, the first `alerts` are written as ever; further ones are
//! held back: counted, and listed in `logs/fim_storm.log`. When the window ends, one alert says how many there were. A window that follows one with
//! too many begins with everything held back, so that a storm that goes on gives one alert a window; the first window with no more than
//! `alerts` ends it. Alerts of a higher level than `level` are never held back. Baselines, histories, archives and correlation know of all.

use std::collections::HashMap;

/// Hosts with a window; of further ones nothing is held back.
const MAX_HOSTS: usize = 65_536;
/// Paths that a summary names.
const MAX_NAMED: usize = 5;

/// When it is a storm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Alerts of one host in a window that are written one by one; 0: all of them.
    pub alerts: u64,
    /// Length of a window.
    pub seconds: i64,
    /// Only alerts up to this level are held back.
    pub level: u8,
}

/// What happened to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Happened {
    Changed,
    New,
    Deleted,
}

impl Happened {
    /// The word of the logs.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Changed => "modify",
            Self::New => "new",
            Self::Deleted => "delete",
        }
    }
}

/// The rule number of a summary, of which there is nothing in the rule files: it is said whatever they hold.
pub(crate) const RULE: u32 = 190_740;

/// An alert of a file event.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Alarm<'a> {
    /// Where it was seen.
    pub location: &'a [u8],
    pub happened: Happened,
    /// Of the file.
    pub path: &'a [u8],
    /// Of its rule.
    pub level: u8,
    /// Epoch seconds.
    pub now: i64,
}

/// The windows of all hosts.
#[derive(Debug, Default)]
pub(crate) struct Storms {
    windows: HashMap<Vec<u8>, Window>,
    summaries: Vec<Summary>,
}

/// One host's.
#[derive(Debug, Default)]
struct Window {
    /// Epoch seconds.
    since: i64,
    /// All alerts in it.
    alerts: u64,
    /// The window before had too many.
    rages: bool,
    held: Held,
}

/// What was held back.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Held {
    changed: u64,
    new: u64,
    deleted: u64,
    paths: Vec<Vec<u8>>,
    /// Highest level among them.
    level: u8,
}

/// What was held back of one host.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Summary {
    /// The number that it bears.
    pub rule: u32,
    /// What the rule would say of itself.
    pub comment: &'static [u8],
    /// Where the events were seen.
    pub location: Vec<u8>,
    /// The alert's text.
    pub text: Vec<u8>,
    /// The highest level of what was held back.
    pub level: u8,
}

impl Storms {
    /// Whether this alert is to be held back.
    pub(crate) fn holds_back(&mut self, alarm: &Alarm<'_>, limits: &Limits) -> bool {
        let Alarm { location, happened, path, level, now } = *alarm;
        if limits.alerts == 0 || level > limits.level {
            return false;
        }
        self.turn(location, now, limits);
        if !self.windows.contains_key(location) {
            if self.windows.len() >= MAX_HOSTS {
                return false;
            }
            self.windows.insert(location.to_vec(), Window { since: now, ..Window::default() });
        }
        let Some(window) = self.windows.get_mut(location) else { return false };
        window.alerts += 1;
        if !window.rages && window.alerts <= limits.alerts {
            return false;
        }
        let held = &mut window.held;
        match happened {
            Happened::Changed => held.changed += 1,
            Happened::New => held.new += 1,
            Happened::Deleted => held.deleted += 1,
        }
        if held.paths.len() < MAX_NAMED {
            held.paths.push(path.to_vec());
        }
        held.level = held.level.max(level);
        true
    }

    /// The summaries of windows that have ended.
    pub(crate) fn due(&mut self, now: i64, limits: &Limits) -> Vec<Summary> {
        let over = |window: &Window| now >= window.since.saturating_add(limits.seconds);
        let ended = self.windows.iter().filter(|(_, window)| over(window));
        for location in ended.map(|(location, _)| location.clone()).collect::<Vec<_>>() {
            self.turn(&location, now, limits);
        }
        std::mem::take(&mut self.summaries)
    }

    /// Ends a host's window when its time is over. After a storm the next one begins at once, so that its end is seen.
    fn turn(&mut self, location: &[u8], now: i64, limits: &Limits) {
        let Some(window) = self.windows.get_mut(location) else { return };
        if now < window.since.saturating_add(limits.seconds) {
            return;
        }
        let rages = window.alerts > limits.alerts;
        let next = Window { since: now, rages, ..Window::default() };
        let ended = std::mem::replace(window, next);
        if !rages {
            self.windows.remove(location);
        }
        if ended.held != Held::default() {
            self.summaries.push(ended.held.summary(location, limits.seconds));
        }
    }
}

impl Held {
    fn summary(&self, location: &[u8], seconds: i64) -> Summary {
        let Self { changed, new, deleted, .. } = self;
        let all = changed + new + deleted;
        let mut text = format!(
            "Integrity storm: {all} further file events within {seconds} seconds were not reported one by one: {changed} changed, {new} new, {deleted} deleted.\n\
            They are listed in logs/fim_storm.log. The first of them:\n"
        )
        .into_bytes();
        for path in &self.paths {
            text.extend([path.as_slice(), b"\n"].concat());
        }
        let comment = b"More file events of one host than are reported one by one.";
        Summary { rule: RULE, comment, location: location.to_vec(), text, level: self.level }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { alerts: 3, seconds: 60, level: 7 };

    const ALARM: Alarm<'static> = Alarm {
        location: b"syscheck",
        happened: Happened::Changed,
        path: b"/x",
        level: 7,
        now: 100,
    };

    fn held(storms: &mut Storms, now: i64) -> bool {
        storms.holds_back(&Alarm { now, ..ALARM }, &LIMITS)
    }

    #[test]
    fn as_many_as_the_limit_are_written_and_the_next_one_is_not() {
        let mut storms = Storms::default();
        let held: Vec<bool> = (0..5).map(|_| held(&mut storms, 100)).collect();
        assert_eq!(held, [false, false, false, true, true]);
        assert_eq!(storms.due(159, &LIMITS), []);
        let due = storms.due(160, &LIMITS);
        let expected = "Integrity storm: 2 further file events within 60 seconds were not reported one by one: 2 changed, 0 new, 0 deleted.\n\
            They are listed in logs/fim_storm.log. The first of them:\n/x\n/x\n";
        assert_eq!(String::from_utf8_lossy(&due[0].text), expected);
        assert_eq!((&due[0].location[..], due[0].level, due.len()), (&b"syscheck"[..], 7, 1));
    }

    #[test]
    fn a_storm_goes_on_until_a_window_is_calm() {
        let mut storms = Storms::default();
        let four: Vec<bool> = (0..4).map(|_| held(&mut storms, 100)).collect();
        assert_eq!(four, [false, false, false, true]);
        assert_eq!(storms.due(160, &LIMITS).len(), 1);
        assert!(held(&mut storms, 170), "in the window after a storm everything is held back");
        assert_eq!(storms.due(220, &LIMITS).len(), 1, "and summed up");
        assert!(!held(&mut storms, 230), "that window was calm");
        assert_eq!(storms.due(1000, &LIMITS), []);
        assert!(storms.windows.is_empty());
    }

    #[test]
    fn the_next_alert_ends_a_window_too() {
        let mut storms = Storms::default();
        let four: Vec<bool> = (0..4).map(|_| held(&mut storms, 100)).collect();
        assert_eq!(four, [false, false, false, true]);
        assert!(held(&mut storms, 165));
        assert_eq!(storms.due(165, &LIMITS).len(), 1);
    }

    #[test]
    fn hosts_are_counted_apart_and_higher_levels_not_at_all() {
        let mut storms = Storms::default();
        let four: Vec<bool> = (0..4).map(|_| held(&mut storms, 100)).collect();
        assert_eq!(four, [false, false, false, true]);
        let other = Alarm { location: b"(a) any->syscheck", ..ALARM };
        assert!(!storms.holds_back(&other, &LIMITS));
        assert!(!storms.holds_back(&Alarm { level: 8, ..ALARM }, &LIMITS));
        assert!(!storms.holds_back(&ALARM, &Limits { alerts: 0, ..LIMITS }));
    }
}
