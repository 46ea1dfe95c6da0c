//! What one address may do: pure, the clock is the caller's.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// Bounds of the server.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections that are worked on at once.
    pub workers: usize,
    /// Connections that wait for a worker.
    pub waiting: usize,
    /// The whole exchange, from being accepted to being closed.
    pub time: Duration,
    /// Workers that one address may occupy.
    pub at_once: usize,
    /// Connections of one address in a minute.
    pub attempts: u32,
    /// Exchanges of one address in a minute that end without a key: guesses at the password.
    pub failures: u32,
}

impl Limits {
    /// The usual bounds for so many workers and waiting connections.
    pub fn of(workers: usize, waiting: usize) -> Self {
        let time = Duration::from_secs(30);
        Self { workers, waiting, time, at_once: (workers / 2).max(1), attempts: 240, failures: 20 }
    }
}

/// Why a connection is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Excess {
    /// Too many connections within a minute.
    Attempts,
    /// Too many failed ones.
    Failures,
}

/// The recent doings of all addresses, in bounded memory.
#[derive(Debug, Default)]
pub struct Conduct {
    known: HashMap<IpAddr, Record>,
}

#[derive(Debug)]
struct Record {
    since: Instant,
    attempts: u32,
    failures: u32,
    said: bool,
}

const MINUTE: Duration = Duration::from_secs(60);
const MOST_KNOWN: usize = 8192;

impl Conduct {
    /// Counts a connection; the error says why it is to be closed, and whether this is the first time in this minute.
    ///
    /// # Errors
    /// [`Excess`].
    pub fn admit(
        &mut self,
        source: IpAddr,
        limits: &Limits,
        now: Instant,
    ) -> Result<(), (Excess, bool)> {
        let record = self.record(source, now);
        record.attempts = record.attempts.saturating_add(1);
        let excess = if record.failures >= limits.failures {
            Excess::Failures
        } else if record.attempts > limits.attempts {
            Excess::Attempts
        } else {
            return Ok(());
        };
        Err((excess, !std::mem::replace(&mut record.said, true)))
    }

    /// Counts an exchange that ended without a key.
    pub fn failed(&mut self, source: IpAddr, now: Instant) {
        let record = self.record(source, now);
        record.failures = record.failures.saturating_add(1);
    }

    fn record(&mut self, source: IpAddr, now: Instant) -> &mut Record {
        let source = network(source);
        let is_old = |record: &Record| now.saturating_duration_since(record.since) >= MINUTE;
        if self.known.len() >= MOST_KNOWN && !self.known.contains_key(&source) {
            self.known.retain(|_, record| !is_old(record));
            // A flood from everywhere: to forget those who have failed least costs least.
            if self.known.len() >= MOST_KNOWN {
                let least = self.known.iter().min_by_key(|(_, r)| (r.failures, r.attempts));
                if let Some(address) = least.map(|(address, _)| *address) {
                    self.known.remove(&address);
                }
            }
        }
        let fresh = || Record { since: now, attempts: 0, failures: 0, said: false };
        let record = self.known.entry(source).or_insert_with(fresh);
        if is_old(record) {
            *record = fresh();
        }
        record
    }
}

/// Whom an address stands for: one host has a whole /64 of IPv6.
pub fn network(source: IpAddr) -> IpAddr {
    match source {
        IpAddr::V4(_) => source,
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn after_so_many_failures_an_address_waits_for_the_next_minute() {
        let limits = Limits { failures: 2, ..Limits::of(8, 64) };
        let (mut conduct, start) = (Conduct::default(), Instant::now());
        for _ in 0..2 {
            assert_eq!(conduct.admit(ip("10.0.0.1"), &limits, start), Ok(()));
            conduct.failed(ip("10.0.0.1"), start);
        }
        let refused = |conduct: &mut Conduct, at| conduct.admit(ip("10.0.0.1"), &limits, at);
        assert_eq!(refused(&mut conduct, start), Err((Excess::Failures, true)));
        assert_eq!(refused(&mut conduct, start), Err((Excess::Failures, false)));
        assert_eq!(conduct.admit(ip("10.0.0.2"), &limits, start), Ok(()));
        assert_eq!(refused(&mut conduct, start + MINUTE), Ok(()));
    }

    #[test]
    fn attempts_are_bounded_too_and_a_v6_network_counts_as_one() {
        let limits = Limits { attempts: 1, ..Limits::of(8, 64) };
        let (mut conduct, now) = (Conduct::default(), Instant::now());
        assert_eq!(conduct.admit(ip("fd00:9::1"), &limits, now), Ok(()));
        let again = conduct.admit(ip("fd00:9::2"), &limits, now);
        assert_eq!(again, Err((Excess::Attempts, true)));
        assert_eq!(conduct.admit(ip("fd00:9:0:1::1"), &limits, now), Ok(()));
    }

    #[test]
    fn memory_is_bounded_and_the_worst_are_remembered() {
        let limits = Limits { failures: 1, ..Limits::of(8, 64) };
        let (mut conduct, now) = (Conduct::default(), Instant::now());
        conduct.failed(ip("10.0.0.1"), now);
        for n in 0..u32::try_from(MOST_KNOWN).unwrap() + 100 {
            let _ = conduct.admit(IpAddr::V4((0x0b00_0000 + n).into()), &limits, now);
        }
        assert!(conduct.known.len() <= MOST_KNOWN);
        assert_eq!(conduct.admit(ip("10.0.0.1"), &limits, now), Err((Excess::Failures, true)));
    }
}
