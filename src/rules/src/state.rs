//! What judging remembers from event to event; all of it bounded.

use crate::accumulate::Accumulator;
use crate::engine::Engine;
use crate::first_seen::{BoundedSet, FirstSeen};
use crate::memory::Memory;

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
            ),
            first_seen: FirstSeen::new(
                options.fts_max_keys,
                options.fts_list_size,
                options.fts_min_size_for_str,
            ),
            ignored: BoundedSet::new(options.ignore_max_keys),
            repeats: Repeats::default(),
            accumulator: Accumulator::default(),
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
