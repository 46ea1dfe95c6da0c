//! How long to wait before a daemon that has died is started again: 1, 2, 4 ... 60 s; after a minute of life the next
//! death counts as the first.

use std::time::Duration;

/// The longest wait.
const LONGEST: Duration = Duration::from_secs(60);
/// Having lived that long, a daemon is forgiven.
const FORGIVEN_AFTER: Duration = Duration::from_secs(60);

/// The deaths of one daemon.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    deaths_in_a_row: u32,
}

impl Backoff {
    /// It has died after living for `lived`; gives the wait before the next start.
    pub(crate) fn after_death(&mut self, lived: Duration) -> Duration {
        if lived >= FORGIVEN_AFTER {
            self.deaths_in_a_row = 0;
        }
        let wait = Duration::from_secs(1 << self.deaths_in_a_row.min(6)).min(LONGEST);
        self.deaths_in_a_row = self.deaths_in_a_row.saturating_add(1);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_minute_and_start_anew_after_a_minute_of_life() {
        let mut backoff = Backoff::default();
        let waits: Vec<u64> =
            (0..8).map(|_| backoff.after_death(Duration::ZERO).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(backoff.after_death(FORGIVEN_AFTER).as_secs(), 1);
        assert_eq!(backoff.after_death(Duration::ZERO).as_secs(), 2);
    }
}
