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

#[derive(Debug, Default)]
pub(crate) struct Accumulator {
    entries: HashMap<Vec<u8>, Entry>,
    lookups: u32,
}

#[derive(Debug, Default)]
struct Entry {
    epoch: i64,
    values: [Option<Vec<u8>>; FIELDS.len()],
}

impl Accumulator {
    /// Completes an event from earlier ones and keeps its values for later ones; true if it gained a value.
    pub(crate) fn complete(&mut self, event: &mut Decoded, decoder_name: &[u8]) -> bool {
        let Some(id) = event.field(Field::Id) else { return false };
        let mut key = [event.hostname(), b" ", decoder_name, b" ", id].concat();
        key.truncate(MAX_KEY);
        let now = event.moment.epoch;
        self.purge(now);
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
