//! What was refused, for the log: the first of a kind in full with what to do, a flood as one number a minute.
//!
//! Anybody can send datagrams: neither the lines nor the memory that they cost may grow with them. Pure.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use wire::key::Method;

use crate::agents_table::{Cause, Slot};

/// Lines of one kind (cause, source, agent) that are written in full within a period.
const IN_FULL: u64 = 10;
/// Lines of all kinds within a period.
const LINES: u64 = 300;
/// Kinds that are told apart within a period.
const KINDS: usize = 4096;
/// After it the count begins anew.
pub const PERIOD: Duration = Duration::from_secs(60);

/// What makes two refusals the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Kind {
    /// Why.
    pub cause: Cause,
    /// Where it came from.
    pub source: IpAddr,
    /// In whose name.
    pub slot: Option<Slot>,
}

/// How much to say about one refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Say {
    /// The line and what to do about it.
    LineAndRemedy,
    /// The line.
    Line,
    /// Nothing: it is counted.
    Nothing,
}

/// The counts of one period.
#[derive(Debug)]
pub struct Complaints {
    since: Instant,
    kinds: HashMap<Kind, Tally>,
    lines: u64,
    /// Of kinds that there was no room for.
    others: u64,
}

#[derive(Debug, Default)]
struct Tally {
    said: u64,
    unsaid: u64,
    /// The line, for the sum; kept with the last one that was said.
    line: String,
}

impl Complaints {
    /// An empty period that begins now.
    pub fn new(now: Instant) -> Self {
        Self { since: now, kinds: HashMap::new(), lines: 0, others: 0 }
    }

    /// Counts one refusal; `line` is only asked for when it is needed.
    pub fn note(&mut self, kind: Kind, line: impl FnOnce() -> String) -> (Say, Option<&str>) {
        if !self.kinds.contains_key(&kind) && self.kinds.len() >= KINDS {
            self.others += 1;
            return (Say::Nothing, None);
        }
        let in_full = if matches!(kind.cause, Cause::Policy(_)) { 1 } else { IN_FULL };
        let tally = self.kinds.entry(kind).or_default();
        if tally.said >= in_full || self.lines >= LINES {
            if tally.line.is_empty() {
                tally.line = line();
            }
            tally.unsaid += 1;
            return (Say::Nothing, None);
        }
        self.lines += 1;
        tally.said += 1;
        tally.line = line();
        let say = if tally.said == 1 { Say::LineAndRemedy } else { Say::Line };
        (say, Some(&tally.line))
    }

    /// At the end of a period: one line for each kind that was not written in full, the most frequent first.
    pub fn sums(&mut self, now: Instant) -> Vec<String> {
        if now.saturating_duration_since(self.since) < PERIOD {
            return Vec::new();
        }
        let mut lines = self.policy_sums();
        let mut floods: Vec<(u64, String)> = self
            .kinds
            .drain()
            .filter(|(_, tally)| tally.unsaid > 0)
            .map(|(_, tally)| (tally.unsaid, tally.line))
            .collect();
        floods.sort_unstable_by(|a, b| b.cmp(a));
        let rest: u64 =
            floods.iter().skip(MOST_SUMS).map(|(count, _)| count).sum::<u64>() + self.others;
        lines.extend(floods.into_iter().take(MOST_SUMS).map(|(count, line)| {
            format!("{line} ({count} more of these within {} seconds)", PERIOD.as_secs())
        }));
        if rest > 0 {
            lines.push(format!(
                "{rest} datagrams of other senders were refused within {} seconds.",
                PERIOD.as_secs()
            ));
        }
        *self = Self::new(now);
        lines
    }
}

impl Complaints {
    /// Datagrams of a cipher that is not taken, of whomever: one line for each cipher, in OSSEC's words.
    fn policy_sums(&mut self) -> Vec<String> {
        let sum = |(method, only): (Method, Method)| {
            let of_it = self.kinds.iter().filter(|(kind, _)| kind.cause == Cause::Policy(method));
            let count: u64 = of_it.map(|(_, tally)| tally.unsaid).sum();
            let (method, only) = (method.title(), only.title());
            (count > 0).then(|| {
                format!("Rejected {count} {method} messages in last minute (Policy: {only} only)")
            })
        };
        let ciphers = [(Method::Aes, Method::Blowfish), (Method::Blowfish, Method::Aes)];
        let lines = ciphers.into_iter().filter_map(sum).collect();
        self.kinds.retain(|kind, _| !matches!(kind.cause, Cause::Policy(_)));
        lines
    }
}

const MOST_SUMS: usize = 50;

#[cfg(test)]
mod tests {
    use wire::datagram::Rejection;

    use super::*;

    fn kind(last: u8) -> Kind {
        let source = IpAddr::from([10, 0, 0, last]);
        Kind { cause: Cause::Rejected(Rejection::UnknownAddress), source, slot: None }
    }

    #[test]
    fn a_flood_is_ten_lines_and_a_sum() {
        let start = Instant::now();
        let mut complaints = Complaints::new(start);
        let said: Vec<Say> =
            (0..100).map(|_| complaints.note(kind(1), || "x.".to_owned()).0).collect();
        assert_eq!(said[0], Say::LineAndRemedy);
        assert_eq!(said[9], Say::Line);
        assert!(said[10..].iter().all(|say| *say == Say::Nothing));
        assert!(complaints.sums(start + PERIOD / 2).is_empty());
        assert_eq!(complaints.sums(start + PERIOD), ["x. (90 more of these within 60 seconds)"]);
        assert!(complaints.sums(start + PERIOD * 2).is_empty());
    }

    #[test]
    fn a_cipher_that_is_not_taken_is_one_line_a_sender_and_a_sum_a_minute() {
        let start = Instant::now();
        let mut complaints = Complaints::new(start);
        for sender in 1..=2 {
            for _ in 0..10 {
                let kind = Kind { cause: Cause::Policy(Method::Blowfish), ..kind(sender) };
                complaints.note(kind, || "line".to_owned());
            }
        }
        let sums = complaints.sums(start + PERIOD);
        assert_eq!(sums, ["Rejected 18 Blowfish messages in last minute (Policy: AES only)"]);
    }

    #[test]
    fn many_senders_cost_bounded_lines_and_memory() {
        let start = Instant::now();
        let mut complaints = Complaints::new(start);
        let mut lines = 0;
        for n in 0..100_000_u32 {
            let kind = Kind { source: IpAddr::from(n.to_be_bytes()), ..kind(0) };
            let (say, _) = complaints.note(kind, || format!("{n}."));
            lines += u64::from(say != Say::Nothing);
        }
        assert_eq!(lines, LINES);
        assert_eq!(complaints.kinds.len(), KINDS);
        let sums = complaints.sums(start + PERIOD);
        assert_eq!(sums.len(), MOST_SUMS + 1);
        let rest = 100_000 - LINES - MOST_SUMS as u64;
        assert_eq!(
            sums[MOST_SUMS],
            format!("{rest} datagrams of other senders were refused within 60 seconds.")
        );
    }
}
