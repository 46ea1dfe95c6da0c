//! Waiting until a path is quiet, so that a burst of events is one look. Pure: told what time it is.
//!
//! A first change is looked at almost at once. A file that someone holds open and writes to waits a little longer for the rest, and a
//! path that was looked at a moment ago waits until a second has passed since: one report a second, however often it changes.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::{Duration, Instant};

/// How long a path must be quiet before it is looked at.
pub const QUIET: Duration = Duration::from_millis(10);

/// The same for a file that is being written to and was not closed yet.
pub const BUSY_QUIET: Duration = Duration::from_millis(100);

/// A path that is never quiet is looked at nevertheless, this long after its first event; and from one look at a path to the next.
pub const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// The same for a log, of which growth is no news ([`Settling::touch_rarely`]).
pub const RARELY: Duration = Duration::from_secs(60);

/// Paths that wait at a time; more are an overflow.
pub const MAX_SETTLING: usize = 65_536;

/// Paths that had events and are waited for until they are quiet.
#[derive(Debug, Default)]
pub struct Settling {
    events: HashMap<Vec<u8>, Times>,
    /// When to look whether a path is due; no path is in it twice.
    queue: BinaryHeap<Entry>,
    /// Until when paths that were taken are remembered.
    taken: BinaryHeap<Entry>,
    /// Before then they are not taken again.
    resting: HashMap<Vec<u8>, Instant>,
}

/// Earliest first.
type Entry = Reverse<(Instant, Vec<u8>)>;

#[derive(Debug)]
struct Times {
    /// The first event.
    since: Instant,
    /// Due at this time in any case.
    latest: Instant,
    /// Not due before.
    earliest: Instant,
    /// When it will have been quiet.
    quiet: Instant,
    /// After it was taken.
    rest: Duration,
}

impl Times {
    fn due(&self) -> Instant {
        self.quiet.max(self.earliest).min(self.latest)
    }
}

impl Settling {
    /// Notes an event; `busy` when the file is being written to and still open. False when too many paths wait already.
    #[must_use]
    pub fn touch(&mut self, path: Vec<u8>, busy: bool, now: Instant) -> bool {
        self.touch_at(path, now + if busy { BUSY_QUIET } else { QUIET }, LONGEST_WAIT, now)
    }

    /// Notes an event of a file whose whole content is to be read with each look: once a minute at the most.
    #[must_use]
    pub fn touch_rarely(&mut self, path: Vec<u8>, now: Instant) -> bool {
        self.touch_at(path, now + QUIET, RARELY, now)
    }

    fn touch_at(&mut self, path: Vec<u8>, quiet: Instant, rest: Duration, now: Instant) -> bool {
        if let Some(times) = self.events.get_mut(&path) {
            // Closing ends what writing began.
            times.quiet = quiet;
            return true;
        }
        if self.events.len() >= MAX_SETTLING {
            return false;
        }
        self.forget_taken(now);
        let earliest = self.resting.get(&path).map_or(now, |&until| until.max(now));
        let latest = earliest.max(now + LONGEST_WAIT);
        let times = Times { since: now, latest, earliest, quiet, rest };
        self.queue.push(Reverse((now + QUIET, path.clone())));
        self.events.insert(path, times);
        true
    }

    /// Takes a path that has been quiet, or has waited long enough.
    pub fn take(&mut self, now: Instant) -> Option<Vec<u8>> {
        loop {
            if self.next_due()? > now {
                return None;
            }
            let Reverse((_, path)) = self.queue.pop()?;
            let times = self.events.get(&path)?;
            let (due, earliest, until) = (times.due(), times.earliest, now + times.rest);
            if due <= now {
                self.events.remove(&path);
                self.resting.insert(path.clone(), until);
                self.taken.push(Reverse((until, path.clone())));
                return Some(path);
            }
            // What is busy may be closed at any moment: look again soon.
            let again = due.min((now + QUIET).max(earliest));
            self.queue.push(Reverse((again, path)));
        }
    }

    /// When to call [`Self::take`] again; may be a little early.
    pub fn next_due(&self) -> Option<Instant> {
        self.queue.peek().map(|Reverse((due, _))| *due)
    }

    /// How many paths wait.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether this path waits.
    pub fn waits(&self, path: &[u8]) -> bool {
        self.events.contains_key(path)
    }

    /// Whether all that waits has waited for less long than since then; logs that were looked at less than a minute ago do not count.
    pub fn began_after(&self, then: Instant, now: Instant) -> bool {
        let rests = |times: &Times| times.rest == RARELY && times.earliest > now;
        self.events.values().all(|times| times.since > then || rests(times))
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Forgets all of them.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    fn forget_taken(&mut self, now: Instant) {
        while let Some(Reverse((until, _))) = self.taken.peek()
            && (*until <= now || self.taken.len() > MAX_SETTLING)
        {
            let Some(Reverse((until, path))) = self.taken.pop() else { return };
            if self.resting.get(&path) == Some(&until) {
                self.resting.remove(&path);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Touches at these milliseconds, and says at which ones it was taken.
    fn taken(touches: impl IntoIterator<Item = u32> + Clone, busy: bool) -> Vec<u32> {
        let start = Instant::now();
        let mut settling = Settling::default();
        let mut taken = Vec::new();
        for millisecond in 0..5000 {
            let now = start + millisecond * MS;
            if touches.clone().into_iter().any(|touch| touch == millisecond) {
                assert!(settling.touch(b"/a".to_vec(), busy, now));
            }
            taken.extend(settling.take(now).map(|_| millisecond));
        }
        assert!(settling.is_empty() && settling.next_due().is_none());
        taken
    }

    #[test]
    fn a_single_change_is_taken_almost_at_once() {
        assert_eq!(taken([5], false), [15]);
    }

    #[test]
    fn a_file_that_is_written_to_is_waited_for() {
        assert_eq!(taken([0, 50, 140], true), [240]);
    }

    #[test]
    fn closing_ends_the_wait() {
        let start = Instant::now();
        let mut settling = Settling::default();
        assert!(settling.touch(b"/a".to_vec(), true, start));
        assert!(settling.touch(b"/a".to_vec(), false, start + 20 * MS));
        assert_eq!(settling.take(start + 29 * MS), None);
        assert_eq!(settling.take(start + 40 * MS), Some(b"/a".to_vec()));
    }

    #[test]
    fn a_path_that_is_never_quiet_is_taken_once_a_second() {
        assert_eq!(taken(0..2500, false), [1000, 2001, 3001]);
    }

    #[test]
    fn a_path_that_changes_again_waits_until_a_second_has_passed() {
        assert_eq!(taken([0, 100, 300], false), [10, 1010]);
    }

    #[test]
    fn a_log_is_taken_at_once_and_then_once_a_minute() {
        let start = Instant::now();
        let mut settling = Settling::default();
        let mut taken = Vec::new();
        for second in 0..150 {
            let now = start + second * Duration::from_secs(1);
            assert!(settling.touch_rarely(b"/log".to_vec(), now));
            assert_eq!(settling.began_after(now, now), !taken.is_empty());
            taken.extend(settling.take(now + QUIET).map(|_| second));
        }
        assert_eq!(taken, [0, 60, 120]);
    }

    #[test]
    fn what_is_touched_all_the_time_waits_since_its_last_look_only() {
        let start = Instant::now();
        let mut settling = Settling::default();
        for millisecond in 0..3000 {
            let now = start + millisecond * MS;
            assert!(settling.touch(b"/a".to_vec(), false, now));
            assert!(settling.waits(b"/a"));
            assert_eq!(settling.began_after(start, now), millisecond > 1000, "{millisecond}");
            settling.take(now);
        }
    }

    #[test]
    fn a_thousand_paths_are_all_taken_soon() {
        let start = Instant::now();
        let mut settling = Settling::default();
        for number in 0..1000_u32 {
            assert!(settling.touch(number.to_le_bytes().to_vec(), false, start));
        }
        let count = std::iter::from_fn(|| settling.take(start + 10 * MS)).count();
        assert_eq!(count, 1000);
    }

    #[test]
    fn too_many_paths_are_an_overflow() {
        let start = Instant::now();
        let mut settling = Settling::default();
        for number in 0..MAX_SETTLING {
            assert!(settling.touch(number.to_le_bytes().to_vec(), false, start));
        }
        assert!(!settling.touch(b"/one/more".to_vec(), false, start));
    }
}
