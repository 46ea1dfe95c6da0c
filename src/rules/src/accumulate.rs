//! The accumulator: values of one transaction that a program spreads over several lines.
//!
//! Lines with the same host, decoder and id give each other the fields that they lack, for two minutes.

use std::collections::HashMap;

use crate::event::{Decoded, Field};

/// How long an entry gives values, in seconds.
const LIFETIME: i64 = 120;
/// Longest value that is kept.
const MAX_VALUE: usize = 80;
/// Longest key.
const MAX_KEY: usize = 255;
/// Look-ups between two clean-ups.
const PURGE_EVERY: u32 = 200;

const FIELDS: [Field; 7] = [
    Field::DstUser,
    Field::SrcUser,
    Field::DstIp,
    Field::SrcIp,
    Field::DstPort,
    Field::SrcPort,
    Field::Data,
];

#[derive(Debug)]
pub(crate) struct Accumulator {
    entries: HashMap<Vec<u8>, Entry>,
    lookups: u32,
    /// Most transactions at once; while there are so many, new ones are not remembered.
    limit: usize,
    /// Lines whose transaction was not remembered.
    pub(crate) refused: u64,
}

#[derive(Debug, Default)]
struct Entry {
    epoch: i64,
    values: [Option<Vec<u8>>; FIELDS.len()],
}

impl Accumulator {
    pub(crate) fn new(limit: usize) -> Self {
        Self { entries: HashMap::new(), lookups: 0, limit: limit.max(1), refused: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Completes an event from earlier ones and keeps its values for later ones; true if it gained a value.
    pub(crate) fn complete(&mut self, event: &mut Decoded, decoder_name: &[u8]) -> bool {
        let Some(id) = event.field(Field::Id) else { return false };
        let mut key = [event.hostname(), b" ", decoder_name, b" ", id].concat();
        key.truncate(MAX_KEY);
        let now = event.time;
        self.purge(now);
        if self.entries.len() >= self.limit && !self.entries.contains_key(&key) {
            self.refused += 1;
            return false;
        }
        let entry = self.entries.entry(key).or_default();
        if now - entry.epoch >= LIFETIME {
            *entry = Entry::default();
        }
        entry.epoch = now;
        let mut gained = false;
        for (field, slot) in FIELDS.into_iter().zip(&mut entry.values) {
            match (event.field(field), slot.as_ref()) {
                (None, Some(value)) => {
                    let value = event.append(value);
                    event.set(field, value);
                    gained = true;
                }
                (Some(value), None) if (1..=MAX_VALUE).contains(&value.len()) => {
                    *slot = Some(value.to_vec());
                }
                _ => {}
            }
        }
        gained
    }

    fn purge(&mut self, now: i64) {
        self.lookups += 1;
        if self.lookups >= PURGE_EVERY {
            self.lookups = 0;
            self.entries.retain(|_, entry| now - entry.epoch < LIFETIME);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(epoch: i64, id: &str, user: Option<&str>) -> Decoded {
        let mut event = Decoded { time: epoch, ..Decoded::default() };
        let id = event.append(id.as_bytes());
        event.set(Field::Id, id);
        if let Some(user) = user {
            let user = event.append(user.as_bytes());
            event.set(Field::DstUser, user);
        }
        event
    }

    #[test]
    fn a_line_gains_what_an_earlier_one_of_its_transaction_had() {
        let mut accumulator = Accumulator::new(10);
        assert!(!accumulator.complete(&mut event(1000, "t1", Some("bob")), b"app"));
        let mut second = event(1100, "t1", None);
        assert!(accumulator.complete(&mut second, b"app"));
        assert_eq!(second.field(Field::DstUser), Some(&b"bob"[..]));
        assert!(!accumulator.complete(&mut event(1100, "t2", None), b"app"));
    }

    #[test]
    fn an_old_transaction_gives_nothing() {
        let mut accumulator = Accumulator::new(10);
        accumulator.complete(&mut event(1000, "t1", Some("bob")), b"app");
        assert!(!accumulator.complete(&mut event(1120, "t1", None), b"app"));
    }

    #[test]
    fn a_flood_of_transactions_does_not_grow_it() {
        let mut accumulator = Accumulator::new(10);
        for n in 0..60 {
            accumulator.complete(&mut event(1000, &n.to_string(), Some("bob")), b"app");
        }
        assert_eq!((accumulator.len(), accumulator.refused), (10, 50));
    }
}
