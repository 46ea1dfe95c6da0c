//! What the groups of a pattern took: reusable, so that matching does not allocate.

use std::ops::Range;

use regex_automata::util::primitives::NonMaxUsize;

/// Groups that are delivered at most; later ones are dropped.
const MAX_DELIVERED: usize = 64;

/// The groups that took part in the last match, in order.
///
/// A group that took no part is **skipped and later groups move down**, as rules expect: with `(a)|(b)` on `b`,
/// item 0 is `b`. A group that took part with nothing in it is an empty item.
#[derive(Debug, Clone, Default)]
pub struct Captures {
    slots: Vec<Option<NonMaxUsize>>,
    items: Vec<(usize, usize)>,
}

impl Captures {
    /// Holds nothing yet; grows to what its patterns need and stays so.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many items there are.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether no group took part.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Where item `index` lies in the text that was searched.
    pub fn get(&self, index: usize) -> Option<Range<usize>> {
        self.items.get(index).map(|&(start, end)| start..end)
    }

    /// All items in order.
    pub fn iter(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        self.items.iter().map(|&(start, end)| start..end)
    }

    pub(crate) fn clear(&mut self) {
        self.items.clear();
    }

    pub(crate) fn push(&mut self, start: usize, end: usize) {
        if self.items.len() < MAX_DELIVERED {
            self.items.push((start, end));
        }
    }

    /// Empty slots for a search, `len` of them.
    pub(crate) fn slots(&mut self, len: usize) -> &mut [Option<NonMaxUsize>] {
        self.slots.clear();
        self.slots.resize(len, None);
        &mut self.slots
    }

    /// Takes the groups over from the slots; gives the end of the whole match.
    pub(crate) fn take_slots(&mut self) -> Option<usize> {
        self.clear();
        let mut pairs = self.slots.chunks_exact(2);
        let end = pairs.next().and_then(|whole| whole.get(1).copied().flatten())?;
        for pair in pairs {
            if let [Some(start), Some(stop)] = pair
                && self.items.len() < MAX_DELIVERED
            {
                self.items.push((start.get(), stop.get()));
            }
        }
        Some(end.get())
    }
}
