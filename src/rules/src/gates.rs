//! Which rules an event need not be shown: by the literals in its line, and by the decoder that took it.

use std::collections::BTreeSet;

use crate::condition::Check;
use crate::decoder::{Decoders, NameId};
use crate::engine::{Compiled, Node};
use crate::prefilter::{Prefilter, PrefilterBuilder};
use crate::rule::Category;

/// For each decoder the nodes whose rules do not ask for another one, as bits over all gates.
#[derive(Debug, Default)]
pub(crate) struct DecoderMasks {
    /// The first is for decoders that no rule names.
    masks: Vec<Vec<u64>>,
    /// Number of the mask, by number of the name.
    by_name: Vec<usize>,
    /// For each category the tops of the tree that are not of another one.
    tops: Vec<Vec<u64>>,
}

impl DecoderMasks {
    /// The first `roots` nodes are the tops.
    pub(crate) fn new(nodes: &[Node], compiled: &[Compiled], roots: usize) -> Self {
        let named: BTreeSet<NameId> = compiled.iter().filter_map(|rule| rule.decoded_as).collect();
        let mut masks = Self::default();
        masks.masks.push(mask(nodes, compiled, None));
        for name in named {
            let at = usize::from(name.0);
            if masks.by_name.len() <= at {
                masks.by_name.resize(at + 1, 0);
            }
            if let Some(slot) = masks.by_name.get_mut(at) {
                *slot = masks.masks.len();
            }
            masks.masks.push(mask(nodes, compiled, Some(name)));
        }
        let tops = nodes.get(..roots).unwrap_or(nodes);
        masks.tops = Category::ALL
            .iter()
            .map(|&category| {
                let fits = |rule: &Compiled| rule.category == category;
                mask_of(tops, |node| compiled.get(node.rule as usize).is_some_and(fits))
            })
            .collect();
        masks
    }

    /// Closes the gates of rules that want another decoder than this, and of tops of other categories.
    pub(crate) fn close(&self, decoder: NameId, category: Category, open: &mut [u64]) {
        let tops = self.tops.get(category as usize);
        for (word, mask) in open.iter_mut().zip(tops.into_iter().flatten()) {
            *word &= mask;
        }
        let at = self.by_name.get(usize::from(decoder.0)).copied().unwrap_or(0);
        for (word, mask) in open.iter_mut().zip(self.masks.get(at).into_iter().flatten()) {
            *word &= mask;
        }
    }
}

fn mask(nodes: &[Node], compiled: &[Compiled], decoder: Option<NameId>) -> Vec<u64> {
    mask_of(nodes, |node| {
        let wants = compiled.get(node.rule as usize).and_then(|rule| rule.decoded_as);
        wants.is_none() || wants == decoder
    })
}

/// The nodes that fit, as bits; those behind the last one fit too.
fn mask_of(nodes: &[Node], fits: impl Fn(&Node) -> bool) -> Vec<u64> {
    let words = nodes.chunks(64).map(|nodes| {
        let closed = (0..64).zip(nodes).filter(|(_, node)| !fits(node));
        closed.fold(u64::MAX, |word, (bit, _)| word & !(1 << bit))
    });
    words.collect()
}

/// One gate per node, then one per decoder root.
pub(crate) fn prefilter(nodes: &[Node], compiled: &[Compiled], decoders: &Decoders) -> Prefilter {
    let mut builder = PrefilterBuilder::default();
    for node in nodes {
        let checks = compiled.get(node.rule as usize).map_or(&[][..], |rule| &rule.checks);
        builder.gate(best(checks.iter().filter_map(Check::required_literals)));
    }
    for decoder in decoders.roots().filter_map(|index| decoders.get(index)) {
        let tests = [&decoder.program, &decoder.prematch].into_iter().flatten();
        builder.gate(best(tests.filter_map(|test| test.required_literals())));
    }
    builder.build(nodes.len())
}

/// The set that is rarest in lines: the longest literals, then the fewest.
fn best<'a>(sets: impl Iterator<Item = &'a [Vec<u8>]>) -> Option<&'a [Vec<u8>]> {
    sets.max_by_key(|set| {
        let shortest = set.iter().map(Vec::len).min().unwrap_or(0).min(8);
        (shortest, usize::MAX - set.len())
    })
}
