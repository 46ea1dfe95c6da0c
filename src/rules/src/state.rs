//! What judging remembers from event to event; all of it bounded.

use crate::accumulate::Accumulator;
use crate::engine::Engine;
use crate::first_seen::{BoundedSet, FirstSeen};
use crate::memory::Memory;
use crate::options::EventTime;

/// The memory of one judge. One engine may have many states; one state belongs to one thread.
#[derive(Debug)]
pub struct State {
    /// Number of each rule, by which a reload finds what belongs to it.
    ids: Vec<u32>,
    pub(crate) fired: Vec<u64>,
    /// Since when a rule is silent.
    pub(crate) silent_since: Vec<Option<i64>>,
    pub(crate) memory: Memory,
    pub(crate) first_seen: FirstSeen,
    pub(crate) ignored: BoundedSet,
    pub(crate) repeats: Repeats,
    pub(crate) accumulator: Accumulator,
}

/// How much a [`State`] remembers, and how much it had to forget because a limit was reached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events remembered for correlation.
    pub events: u64,
    /// Bytes of their texts.
    pub event_bytes: u64,
    /// Events that made room for newer ones.
    pub events_forgotten: u64,
    /// Events that left the full list of one rule or group.
    pub listed_forgotten: u64,
    /// First-seen keys.
    pub first_seen: u64,
    /// First-seen keys that made room: a user or host that comes again is new again.
    pub first_seen_forgotten: u64,
    /// Entries of the ignore list.
    pub ignored: u64,
    /// Entries of the ignore list that made room.
    pub ignored_forgotten: u64,
    /// Transactions of the accumulator.
    pub transactions: u64,
    /// Lines whose transaction was not remembered.
    pub transactions_refused: u64,
}

/// The last three different lines that went through.
#[derive(Debug, Default)]
pub(crate) struct Repeats {
    lines: [Vec<u8>; 3],
    next: usize,
}

impl Repeats {
    /// Whether the line is one of them; if not, it takes the place of the oldest.
    pub(crate) fn is_repeat(&mut self, line: &[u8]) -> bool {
        if self.lines.iter().any(|known| known == line && !known.is_empty()) {
            return true;
        }
        if let Some(slot) = self.lines.get_mut(self.next) {
            slot.clear();
            slot.extend_from_slice(line);
        }
        self.next = (self.next + 1) % self.lines.len();
        false
    }
}

impl State {
    /// An empty memory for events of this engine.
    pub fn new(engine: &Engine) -> Self {
        let options = &engine.options;
        Self {
            ids: engine.rules.iter().map(|rule| rule.id).collect(),
            fired: vec![0; engine.rules.len()],
            silent_since: vec![None; engine.rules.len()],
            memory: Memory::new(
                options.memory_size,
                engine.rules.iter().map(|rule| rule.timeframe).max().unwrap_or(0),
                &engine.lists,
            )
            .with_max_bytes(options.memory_max_bytes)
            .with_times_in_order(options.event_time == EventTime::Received),
            first_seen: FirstSeen::new(
                options.fts_max_keys,
                options.fts_list_size,
                options.fts_min_size_for_str,
            ),
            ignored: BoundedSet::new(options.ignore_max_keys),
            repeats: Repeats::default(),
            accumulator: Accumulator::new(options.accumulate_max_keys),
        }
    }

    /// Takes one line of `queue/fts/fts-queue`, without its newline.
    pub fn load_first_seen(&mut self, key: &[u8]) {
        self.first_seen.load(key);
    }

    /// Takes one line of `queue/fts/ig-queue`, without its newline.
    pub fn load_ignored(&mut self, entry: &[u8]) {
        self.ignored.insert(entry);
    }

    /// Turns to the rules of another engine (a reload): first-seen keys, ignore list, silence windows and counters of
    /// rules with the same number stay; correlation begins anew.
    pub fn adopt(&mut self, engine: &Engine) {
        let old = std::mem::replace(self, Self::new(engine));
        self.memory.forgotten = old.memory.forgotten;
        self.first_seen = old.first_seen;
        self.ignored = old.ignored;
        self.repeats = old.repeats;
        self.accumulator = old.accumulator;
        for (at, id) in old.ids.iter().enumerate() {
            let Some(new) = engine.rule_by_id(*id).map(|rule| rule.at()) else { continue };
            if let (Some(slot), Some(&fired)) = (self.fired.get_mut(new), old.fired.get(at)) {
                *slot = fired;
            }
            if let (Some(slot), Some(&since)) =
                (self.silent_since.get_mut(new), old.silent_since.get(at))
            {
                *slot = since;
            }
        }
    }

    /// What is remembered, and what had to be forgotten since the engine was taken on.
    pub fn counts(&self) -> Counts {
        let (events, event_bytes) = self.memory.size();
        let forgotten = self.memory.forgotten;
        Counts {
            events: events as u64,
            event_bytes: event_bytes as u64,
            events_forgotten: forgotten.events,
            listed_forgotten: forgotten.listed,
            first_seen: self.first_seen.len() as u64,
            first_seen_forgotten: self.first_seen.forgotten(),
            ignored: self.ignored.len() as u64,
            ignored_forgotten: self.ignored.forgotten,
            transactions: self.accumulator.len() as u64,
            transactions_refused: self.accumulator.refused,
        }
    }

    /// Entries forgotten because a limit was reached: first-seen keys, ignore entries.
    pub fn forgotten(&self) -> (u64, u64) {
        (self.first_seen.forgotten(), self.ignored.forgotten)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_three_different_lines_are_repeats() {
        let mut repeats = Repeats::default();
        for line in [b"a", b"b", b"c", b"d"] {
            assert!(!repeats.is_repeat(line));
        }
        assert!(repeats.is_repeat(b"b"));
        assert!(!repeats.is_repeat(b"a"));
        assert!(!repeats.is_repeat(b"b"));
    }
}
