//! Which responses are in force and when each is taken back; who comes again and stays out longer.
//!
//! Pure: time is a `Duration` since some fixed moment, given by the caller. A response is known by executable, user and
//! address; responses of one executable against one address are taken back together, so that the first one's end
//! does not lift the block of the others.

use std::collections::HashMap;
use std::time::Duration;

use crate::table::Entry;

/// Most responses that are in force at a time; beyond this, new ones with a timeout are refused (never run without an end).
pub const MAX_HELD: usize = 4096;

/// Most repeated offenders that are remembered; the one not seen for longest is forgotten first.
const MAX_OFFENDERS: usize = 8192;

/// A response in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Its name in the journal; never used twice.
    pub number: u64,
    /// Script below `active-response/bin`.
    pub executable: String,
    /// What the script got after `add`, and gets again after `delete`.
    pub arguments: Vec<Vec<u8>>,
    /// When it is taken back.
    pub due: Duration,
    /// How long it was to last when the timer was (re)started.
    pub timeout: Duration,
}

/// What is to be done with an order.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Run the script; there is nothing to take back.
    Run,
    /// Write the responses of these numbers down, then run the script.
    Hold {
        /// The new one.
        number: u64,
        /// The new one, and older ones whose end has moved.
        changed: Vec<u64>,
    },
    /// It is in force already: only the timers of these numbers have been restarted.
    Refreshed(Vec<u64>),
    /// [`MAX_HELD`] are in force.
    Full,
}

/// All responses in force.
#[derive(Debug, Default)]
pub struct Ledger {
    held: Vec<Held>,
    last_number: u64,
    repeated: Vec<Duration>,
    offenders: HashMap<(String, Vec<u8>), Offender>,
}

#[derive(Debug)]
struct Offender {
    times: usize,
    last_seen: Duration,
}

impl Ledger {
    /// Sets how long the second, third, ... response against one address lasts; the last value repeats.
    pub fn set_repeated_offenders(&mut self, timeouts: Vec<Duration>) {
        self.repeated = timeouts;
    }

    /// Takes one order. `now` must never run backwards.
    pub fn judge(&mut self, entry: &Entry, arguments: &[&[u8]], now: Duration) -> Verdict {
        if entry.timeout.is_zero() {
            return Verdict::Run;
        }
        let known = self
            .held
            .iter()
            .position(|held| held.executable == entry.executable && same_target(held, arguments));
        if known.is_none() && self.held.len() >= MAX_HELD {
            return Verdict::Full;
        }
        let timeout = self.timeout_for(entry, address(arguments), now);
        let mut changed = self.prolong(&entry.executable, arguments, timeout, now);
        if known.is_some() {
            return Verdict::Refreshed(changed);
        }
        self.last_number += 1;
        let number = self.last_number;
        self.held.push(Held {
            number,
            executable: entry.executable.clone(),
            arguments: arguments.iter().map(|argument| argument.to_vec()).collect(),
            due: now + timeout,
            timeout,
        });
        changed.push(number);
        Verdict::Hold { number, changed }
    }

    /// Takes over a response from an earlier run, under its old number.
    pub fn restore(&mut self, held: Held) {
        self.last_number = self.last_number.max(held.number);
        self.held.push(held);
    }

    /// Hands out one response whose time has come.
    pub fn take_due(&mut self, now: Duration) -> Option<Held> {
        let at = self.held.iter().position(|held| held.due <= now)?;
        Some(self.held.remove(at))
    }

    /// Hands out the oldest response whether its time has come or not.
    pub fn take_oldest(&mut self) -> Option<Held> {
        (!self.held.is_empty()).then(|| self.held.remove(0))
    }

    /// Forgets a response that could not be carried out.
    pub fn forget(&mut self, number: u64) {
        self.held.retain(|held| held.number != number);
    }

    /// When the next one is to be taken back.
    pub fn next_due(&self) -> Option<Duration> {
        self.held.iter().map(|held| held.due).min()
    }

    /// All in force, in the order of their numbers of restore and order.
    pub fn in_force(&self) -> &[Held] {
        &self.held
    }

    /// The one with this number.
    pub fn find(&self, number: u64) -> Option<&Held> {
        self.held.iter().find(|held| held.number == number)
    }

    fn timeout_for(&mut self, entry: &Entry, address: &[u8], now: Duration) -> Duration {
        if self.repeated.is_empty() || address == b"-" {
            return entry.timeout;
        }
        let key = (entry.executable.clone(), address.to_vec());
        if self.offenders.len() >= MAX_OFFENDERS && !self.offenders.contains_key(&key) {
            self.forget_oldest_offender();
        }
        let offender = self.offenders.entry(key).or_insert(Offender { times: 0, last_seen: now });
        let earlier = offender.times;
        offender.times += 1;
        offender.last_seen = now;
        match earlier.checked_sub(1) {
            None => entry.timeout,
            Some(index) => {
                let index = index.min(self.repeated.len() - 1);
                self.repeated.get(index).copied().unwrap_or(entry.timeout)
            }
        }
    }

    fn forget_oldest_offender(&mut self) {
        let oldest = self
            .offenders
            .iter()
            .min_by_key(|(_, offender)| offender.last_seen)
            .map(|(key, _)| key.clone());
        if let Some(key) = oldest {
            self.offenders.remove(&key);
        }
    }

    /// Restarts the timers of what this executable holds against the same target or address; none gets shorter.
    fn prolong(
        &mut self,
        executable: &str,
        arguments: &[&[u8]],
        timeout: Duration,
        now: Duration,
    ) -> Vec<u64> {
        let address = address(arguments);
        let mut changed = Vec::new();
        for held in self.held.iter_mut().filter(|held| held.executable == executable) {
            let one_address =
                address != b"-" && held.arguments.get(1).is_some_and(|own| own == address);
            if (one_address || same_target(held, arguments)) && held.due < now + timeout {
                held.due = now + timeout;
                held.timeout = timeout;
                changed.push(held.number);
            }
        }
        changed
    }
}

fn address<'a>(arguments: &[&'a [u8]]) -> &'a [u8] {
    arguments.get(1).copied().unwrap_or(b"-")
}

fn same_target(held: &Held, arguments: &[&[u8]]) -> bool {
    held.arguments.len() >= 2 && arguments.len() >= 2 && held.arguments[..2] == arguments[..2]
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn entry(executable: &str, seconds: u64) -> Entry {
        Entry {
            name: b"x".to_vec(),
            executable: executable.into(),
            timeout: Duration::from_secs(seconds),
        }
    }

    fn order<'a>(user: &'a str, address: &'a str) -> [&'a [u8]; 3] {
        [user.as_bytes(), address.as_bytes(), b"1.1"]
    }

    #[test]
    fn without_timeout_nothing_is_held() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.judge(&entry("a.sh", 0), &order("-", "10.0.0.1"), SECOND), Verdict::Run);
        assert_eq!(ledger.next_due(), None);
    }

    #[test]
    fn it_is_due_exactly_after_its_timeout() {
        let mut ledger = Ledger::default();
        let verdict = ledger.judge(&entry("a.sh", 10), &order("-", "10.0.0.1"), SECOND);
        assert_eq!(verdict, Verdict::Hold { number: 1, changed: vec![1] });
        assert_eq!(ledger.next_due(), Some(11 * SECOND));
        assert_eq!(ledger.take_due(11 * SECOND - Duration::from_millis(1)), None);
        assert_eq!(ledger.take_due(11 * SECOND).unwrap().arguments[1], b"10.0.0.1");
    }

    #[test]
    fn the_same_order_again_only_restarts_the_timer() {
        let mut ledger = Ledger::default();
        ledger.judge(&entry("a.sh", 10), &order("-", "10.0.0.1"), SECOND);
        let again = ledger.judge(&entry("a.sh", 10), &order("-", "10.0.0.1"), 5 * SECOND);
        assert_eq!(again, Verdict::Refreshed(vec![1]));
        assert_eq!(ledger.next_due(), Some(15 * SECOND));
    }

    #[test]
    fn a_shorter_order_does_not_shorten_a_block() {
        let mut ledger = Ledger::default();
        ledger.judge(&entry("a.sh", 600), &order("-", "10.0.0.1"), SECOND);
        assert_eq!(
            ledger.judge(&entry("a.sh", 10), &order("-", "10.0.0.1"), SECOND),
            Verdict::Refreshed(vec![])
        );
        assert_eq!(ledger.next_due(), Some(601 * SECOND));
    }

    #[test]
    fn users_without_address_do_not_collide() {
        let mut ledger = Ledger::default();
        ledger.judge(&entry("lock.sh", 10), &order("alice", "-"), SECOND);
        let bob = ledger.judge(&entry("lock.sh", 10), &order("bob", "-"), 2 * SECOND);
        assert_eq!(bob, Verdict::Hold { number: 2, changed: vec![2] });
        assert_eq!(ledger.find(1).unwrap().due, 11 * SECOND);
    }

    #[test]
    fn two_users_of_one_address_are_released_together() {
        let mut ledger = Ledger::default();
        ledger.judge(&entry("drop.sh", 10), &order("alice", "10.0.0.1"), SECOND);
        let bob = ledger.judge(&entry("drop.sh", 10), &order("bob", "10.0.0.1"), 5 * SECOND);
        assert_eq!(bob, Verdict::Hold { number: 2, changed: vec![1, 2] });
        assert_eq!(ledger.find(1).unwrap().due, 15 * SECOND);
    }

    #[test]
    fn repeated_offenders_stay_out_longer_each_time_and_the_last_value_repeats() {
        let mut ledger = Ledger::default();
        ledger.set_repeated_offenders(vec![30 * 60 * SECOND, 60 * 60 * SECOND]);
        let mut lengths = Vec::new();
        for day in 0..4 {
            let now = 86_400 * day * SECOND;
            ledger.judge(&entry("a.sh", 10), &order("-", "10.0.0.1"), now);
            lengths.push(ledger.take_oldest().unwrap().timeout.as_secs());
        }
        assert_eq!(lengths, [10, 1800, 3600, 3600]);
    }

    #[test]
    fn an_order_while_in_force_counts_as_an_offence() {
        let mut ledger = Ledger::default();
        ledger.set_repeated_offenders(vec![1800 * SECOND]);
        ledger.judge(&entry("a.sh", 10), &order("-", "10.0.0.1"), SECOND);
        ledger.judge(&entry("a.sh", 10), &order("-", "10.0.0.1"), 2 * SECOND);
        assert_eq!(ledger.next_due(), Some(1802 * SECOND));
    }

    #[test]
    fn orders_without_address_are_never_repeated_offenders() {
        let mut ledger = Ledger::default();
        ledger.set_repeated_offenders(vec![1800 * SECOND]);
        ledger.judge(&entry("a.sh", 10), &order("bob", "-"), SECOND);
        ledger.judge(&entry("a.sh", 10), &order("bob", "-"), 2 * SECOND);
        assert_eq!(ledger.next_due(), Some(12 * SECOND));
    }

    #[test]
    fn a_flood_of_addresses_is_bounded() {
        let mut ledger = Ledger::default();
        ledger.set_repeated_offenders(vec![1800 * SECOND]);
        let mut refused = 0;
        for i in 0..MAX_OFFENDERS + 10 {
            let address = i.to_string();
            refused += usize::from(
                ledger.judge(&entry("a.sh", 10), &order("-", &address), SECOND) == Verdict::Full,
            );
        }
        assert_eq!(ledger.in_force().len(), MAX_HELD);
        assert_eq!(refused, MAX_OFFENDERS + 10 - MAX_HELD);
        assert!(ledger.offenders.len() <= MAX_OFFENDERS);
    }
}
