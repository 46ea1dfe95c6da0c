//! Which rules an event need not be shown: by the literals in its line, and by the decoder that took it.

use std::collections::BTreeSet;

use crate::condition::Check;
use crate::decoder::{Decoders, NameId};
use crate::engine::{Compiled, Node};
use crate::prefilter::{Prefilter, PrefilterBuilder};

/// For each decoder the nodes whose rules do not ask for another one, as bits over all gates.
#[derive(Debug, Default)]
pub(crate) struct DecoderMasks {
    /// The first is for decoders that no rule names.
    masks: Vec<Vec<u64>>,
    /// Number of the mask, by number of the name.
    by_name: Vec<usize>,
}

impl DecoderMasks {
    pub(crate) fn new(nodes: &[Node], compiled: &[Compiled], gates: usize) -> Self {
        let named: BTreeSet<NameId> = compiled.iter().filter_map(|rule| rule.decoded_as).collect();
        let mut masks = Self::default();
        masks.masks.push(mask(nodes, compiled, gates, None));
        for name in named {
            let at = usize::from(name.0);
            if masks.by_name.len() <= at {
                masks.by_name.resize(at + 1, 0);
            }
            if let Some(slot) = masks.by_name.get_mut(at) {
                *slot = masks.masks.len();
            }
            masks.masks.push(mask(nodes, compiled, gates, Some(name)));
        }
        masks
    }

    /// Closes the gates of rules that want another decoder than this.
    pub(crate) fn close(&self, decoder: NameId, open: &mut [u64]) {
        let at = self.by_name.get(usize::from(decoder.0)).copied().unwrap_or(0);
        for (word, mask) in open.iter_mut().zip(self.masks.get(at).into_iter().flatten()) {
            *word &= mask;
        }
    }
}

fn mask(nodes: &[Node], compiled: &[Compiled], gates: usize, decoder: Option<NameId>) -> Vec<u64> {
    let mut mask = vec![u64::MAX; gates.div_ceil(64)];
    for (at, node) in nodes.iter().enumerate() {
        let wants = compiled.get(node.rule as usize).and_then(|rule| rule.decoded_as);
        if wants.is_some()
            && wants != decoder
            && let Some(word) = mask.get_mut(at / 64)
        {
            *word &= !(1 << (at % 64));
        }
    }
    mask
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
