//! The first look at an event: one scan for the literals of all patterns at once.
//!
//! Each rule node and each decoder root is a *gate*. A gate with required literals opens when one of them is in the line;
//! a gate without is always open. What stays closed cannot match, so nobody asks it. The set of open gates is a bit
//! set in which the children of a node are neighbours: thousands of closed siblings cost a few words.

use std::ops::Range;

use crate::scanner::{MIN_LITERAL, Scanner};

/// Gates of an engine: nodes first, decoder roots behind them (those that test the program, then the others).
#[derive(Debug, Clone, Default)]
pub(crate) struct Prefilter {
    scanner: Scanner,
    /// Where the gates of each literal begin, and their end.
    starts: Box<[u32]>,
    /// The gates that literals open: word and bits.
    opens: Box<[(u32, u64)]>,
    /// The gates that are always open.
    always: Vec<u64>,
    nodes: usize,
}

/// The gates that one event opens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OpenGates<'a> {
    words: &'a [u64],
    nodes: usize,
}

/// Collects what opens which gate.
#[derive(Debug, Default)]
pub(crate) struct PrefilterBuilder {
    gates: Vec<Option<Vec<Vec<u8>>>>,
}

impl PrefilterBuilder {
    /// Adds the next gate; without literals, or with one too short to look for, it is always open.
    pub(crate) fn gate(&mut self, literals: Option<&[Vec<u8>]>) {
        let long = |set: &&[Vec<u8>]| set.iter().all(|text| text.len() >= MIN_LITERAL);
        self.gates.push(literals.filter(long).map(<[Vec<u8>]>::to_vec));
    }

    /// Builds the scanner; the first `nodes` gates are nodes.
    pub(crate) fn build(self, nodes: usize) -> Prefilter {
        let mut filter = Prefilter {
            always: vec![0; self.gates.len().div_ceil(64)],
            nodes,
            ..Prefilter::default()
        };
        let mut literals: Vec<(Vec<u8>, usize)> = Vec::new();
        for (gate, needs) in self.gates.into_iter().enumerate() {
            match needs {
                Some(set) => {
                    literals.extend(set.into_iter().map(|text| (text.to_ascii_lowercase(), gate)));
                }
                None => set_bit(&mut filter.always, gate),
            }
        }
        literals.sort();
        literals.dedup();
        let mut texts: Vec<&[u8]> = Vec::new();
        let (mut starts, mut opens) = (Vec::new(), Vec::new());
        for (text, gate) in &literals {
            if texts.last() != Some(&text.as_slice()) {
                texts.push(text);
                starts.push(u32::try_from(opens.len()).unwrap_or(u32::MAX));
            }
            let first = starts.last().map_or(0, |&start| start as usize);
            add_bit(&mut opens, first, *gate);
        }
        starts.push(u32::try_from(opens.len()).unwrap_or(u32::MAX));
        filter.scanner = Scanner::new(texts.iter().copied());
        filter.starts = starts.into();
        filter.opens = opens.into();
        filter
    }
}

impl Prefilter {
    /// Finds out which gates `text` opens.
    pub(crate) fn scan(&self, text: &[u8], open: &mut Vec<u64>) {
        open.clear();
        open.extend_from_slice(&self.always);
        if !pattern::literals_apply(text) {
            open.fill(u64::MAX);
            return;
        }
        self.scanner.scan(text, |literal| {
            for &(word, bits) in self.opens_of(literal) {
                if let Some(slot) = open.get_mut(word as usize) {
                    *slot |= bits;
                }
            }
        });
    }

    fn opens_of(&self, literal: usize) -> &[(u32, u64)] {
        let place = |at: usize| self.starts.get(at).map_or(0, |&start| start as usize);
        self.opens.get(place(literal)..place(literal + 1)).unwrap_or_default()
    }

    /// Opens every gate: for events whose values do not all lie in the scanned line.
    pub(crate) fn open_all(&self, open: &mut Vec<u64>) {
        open.clear();
        open.resize(self.always.len(), u64::MAX);
    }

    /// A view of a scan's result.
    pub(crate) fn gates<'a>(&self, words: &'a [u64]) -> OpenGates<'a> {
        OpenGates { words, nodes: self.nodes }
    }
}

impl OpenGates<'_> {
    /// The decoder roots that can match, of those in this range of all roots.
    pub(crate) fn roots(&self, range: Range<usize>) -> impl Iterator<Item = usize> {
        let end = self.nodes + range.end;
        let mut from = self.nodes + range.start;
        std::iter::from_fn(move || {
            let found = self.next(from, end)?;
            from = found + 1;
            Some(found - self.nodes)
        })
    }

    /// The first open node in `from..end`.
    pub(crate) fn next_node(&self, from: usize, end: usize) -> Option<usize> {
        self.next(from, end)
    }

    fn next(&self, from: usize, end: usize) -> Option<usize> {
        let mut at = from;
        while at < end {
            let word = self.words.get(at / 64).copied().unwrap_or(0) >> (at % 64);
            if word != 0 {
                let found = at + word.trailing_zeros() as usize;
                return (found < end).then_some(found);
            }
            at = (at / 64 + 1) * 64;
        }
        None
    }
}

fn set_bit(words: &mut [u64], bit: usize) {
    if let Some(word) = words.get_mut(bit / 64) {
        *word |= 1 << (bit % 64);
    }
}

/// Adds a gate to those of the last literal, which begin at `first`.
fn add_bit(opens: &mut Vec<(u32, u64)>, first: usize, gate: usize) {
    let word = u32::try_from(gate / 64).unwrap_or(u32::MAX);
    let bit = 1 << (gate % 64);
    match opens.get_mut(first..).and_then(<[_]>::last_mut) {
        Some((last, bits)) if *last == word => *bits |= bit,
        _ => opens.push((word, bit)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gates_open_by_their_literals_ignoring_case() {
        let mut builder = PrefilterBuilder::default();
        builder.gate(Some(&[b"failed".to_vec(), b"denied".to_vec()]));
        builder.gate(None);
        for _ in 0..100 {
            builder.gate(Some(&[b"never".to_vec()]));
        }
        builder.gate(Some(&[b"led pass".to_vec()]));
        let filter = builder.build(103);
        let mut open = Vec::new();
        filter.scan(b"Access DENIED, FAILED PASSWORD", &mut open);
        let gates = filter.gates(&open);
        assert_eq!(gates.next_node(0, 103), Some(0));
        assert_eq!(gates.next_node(1, 103), Some(1));
        assert_eq!(gates.next_node(2, 103), Some(102));
        assert_eq!(gates.next_node(2, 102), None);
    }

    #[test]
    fn a_kelvin_sign_opens_all() {
        let mut builder = PrefilterBuilder::default();
        builder.gate(Some(&[b"token".to_vec()]));
        let filter = builder.build(1);
        let mut open = Vec::new();
        filter.scan("to\u{212A}en".as_bytes(), &mut open);
        assert_eq!(filter.gates(&open).next_node(0, 1), Some(0));
    }
}
