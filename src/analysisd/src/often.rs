//! Files that change often: with `<auto_ignore>`, what follows a file's third change within a day of the one before is no alert of its own.
//!
//! The original says nothing of it for ever. Here a file that was quiet for so long is told as ever, and what is held back becomes one alert a host
//! a day; its files are listed in `logs/fim_storm.log`. What a rule rates higher than `analysisd.fim_storm_level` is never held back.

use std::cmp::Reverse;
use std::collections::HashMap;

use crate::storm::Summary;

/// Hosts with a window; of further ones nothing is held back.
const MAX_HOSTS: usize = 65_536;
/// Files of a host that are counted one by one.
const MAX_FILES: usize = 1000;
/// Files that a summary names.
const MAX_NAMED: usize = 20;

/// The rule number of a summary, of which there is nothing in the rule files: it is said whatever they hold.
pub(crate) const RULE: u32 = 190_746;
/// A file that changes often has been told of three times at least.
const LEVEL: u8 = 5;

/// What is held back of all hosts.
#[derive(Debug, Default)]
pub(crate) struct Often {
    hosts: HashMap<Vec<u8>, Held>,
}

/// Of one host.
#[derive(Debug)]
struct Held {
    /// Epoch seconds of the first.
    since: i64,
    events: u64,
    files: HashMap<Vec<u8>, u64>,
}

impl Often {
    /// Holds back an event of a file at `location`; `false` when it can't.
    pub(crate) fn hold(&mut self, location: &[u8], path: &[u8], now: i64) -> bool {
        if !self.hosts.contains_key(location) {
            if self.hosts.len() >= MAX_HOSTS {
                return false;
            }
            let held = Held { since: now, events: 0, files: HashMap::new() };
            self.hosts.insert(location.to_vec(), held);
        }
        let Some(held) = self.hosts.get_mut(location) else { return false };
        held.events += 1;
        if held.files.len() < MAX_FILES || held.files.contains_key(path) {
            *held.files.entry(path.to_vec()).or_default() += 1;
        }
        true
    }

    /// The summaries of what was held back for `seconds` and longer.
    pub(crate) fn due(&mut self, now: i64, seconds: i64) -> Vec<Summary> {
        let is_due = |_: &Vec<u8>, held: &mut Held| now >= held.since.saturating_add(seconds);
        let due = self.hosts.extract_if(is_due);
        due.map(|(location, held)| held.summary(location, seconds)).collect()
    }
}

impl Held {
    fn summary(self, location: Vec<u8>, seconds: i64) -> Summary {
        let Self { events, files, .. } = self;
        let (count, more) = (files.len(), if files.len() < MAX_FILES { "" } else { " or more" });
        let mut text = format!(
            "Files that change often: {events} events of {count}{more} files were not reported one by one within {seconds} seconds (auto_ignore).\n\
            They are listed in logs/fim_storm.log. The most frequent of them:\n"
        )
        .into_bytes();
        let mut files: Vec<_> = files.into_iter().collect();
        files.sort_unstable_by(|(one, many), (other, more)| {
            (Reverse(many), one).cmp(&(Reverse(more), other))
        });
        for (path, count) in files.iter().take(MAX_NAMED) {
            text.extend([path.as_slice(), format!(": {count}\n").as_bytes()].concat());
        }
        let comment = b"Files that change again and again, which are not reported each time.";
        Summary { rule: RULE, comment, location, text, level: LEVEL }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_one_summary_with_its_most_frequent_files_first() {
        let mut often = Often::default();
        for path in ["/b", "/a", "/c", "/c"] {
            assert!(often.hold(b"syscheck", path.as_bytes(), 100));
        }
        assert!(often.hold(b"(other) any->syscheck", b"/d", 150));
        assert_eq!(often.due(159, 60), []);
        let due = often.due(160, 60);
        let text = "Files that change often: 4 events of 3 files were not reported one by one within 60 seconds (auto_ignore).\n\
            They are listed in logs/fim_storm.log. The most frequent of them:\n/c: 2\n/a: 1\n/b: 1\n";
        assert_eq!(due.len(), 1);
        assert_eq!((&due[0].location[..], due[0].rule), (&b"syscheck"[..], RULE));
        assert_eq!(String::from_utf8_lossy(&due[0].text), text);
        assert_eq!(often.due(i64::MAX, 60).len(), 1);
        assert_eq!(often.due(i64::MAX, 60), []);
    }

    #[test]
    fn files_without_number_take_bounded_memory() {
        let mut often = Often::default();
        for n in 0..MAX_FILES + 5 {
            assert!(often.hold(b"h", format!("/{n}").as_bytes(), 1));
        }
        let text = String::from_utf8(often.due(i64::MAX, 1).remove(0).text).unwrap();
        assert!(text.contains("1005 events of 1000 or more files"), "{text}");
        assert_eq!(text.lines().count(), 2 + MAX_NAMED);
    }
}
