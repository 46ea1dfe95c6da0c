//! Runs: neighbouring rules that count the same earlier events and ask for nothing else.
//!
//! Rule authors write them by the dozen (five failures, fifty, five hundred). One count tells for the whole run whether any of
//! its rules can fire; as long as none can, a run costs as much as one rule.

use crate::condition::Check;
use crate::correlate::{Correlation, Key, Source};
use crate::engine::{Compiled, Node, Stateful};
use crate::rule::Category;

/// A run that begins at a node.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Run {
    /// The node behind it; 0 for a node that begins none.
    end: u32,
    /// The fewest events that one of its rules needs.
    pub(crate) needed: u64,
}

impl Run {
    pub(crate) fn end(&self) -> usize {
        self.end as usize
    }
}

/// The runs among the nodes of a tree.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    /// By node.
    runs: Box<[Run]>,
}

impl Runs {
    pub(crate) fn new(nodes: &[Node], compiled: &[Compiled]) -> Self {
        let mut begins_siblings = vec![false; nodes.len()];
        for node in nodes {
            if let Some(slot) = begins_siblings.get_mut(node.first_child as usize) {
                *slot = true;
            }
        }
        let asked = |at: usize| {
            let node = nodes.get(at)?;
            let rule = compiled.get(node.rule as usize)?;
            (node.first_child >= node.end_child).then(|| Asked::of(rule)).flatten()
        };
        let mut runs = vec![Run::default(); nodes.len()];
        let mut behind = Run::default();
        for at in (0..nodes.len()).rev() {
            let mut run = Run::default();
            if let Some((same, needed)) = asked(at) {
                let goes_on = begins_siblings.get(at + 1) == Some(&false)
                    && asked(at + 1).is_some_and(|(next, _)| next == same);
                run = match goes_on {
                    true => Run { end: behind.end, needed: needed.min(behind.needed) },
                    false => Run { end: u32::try_from(at + 1).unwrap_or(u32::MAX), needed },
                };
            }
            if let Some(slot) = runs.get_mut(at) {
                *slot = run;
            }
            behind = run;
        }
        for (at, run) in runs.iter_mut().enumerate() {
            if run.end() <= at + 1 {
                *run = Run::default();
            }
        }
        Self { runs: runs.into() }
    }

    /// The run that begins at this node, if it has more than one rule.
    pub(crate) fn at(&self, node: usize) -> Option<Run> {
        self.runs.get(node).copied().filter(|run| run.end > 0)
    }

    /// The node behind this one, or behind the run that it begins.
    pub(crate) fn behind(&self, node: usize) -> usize {
        self.at(node).map_or(node + 1, |run| run.end())
    }
}

/// What the rules of a run have in common.
#[derive(PartialEq, Eq)]
struct Asked {
    category: Category,
    list: usize,
    key: Key,
}

impl Asked {
    /// With the number of events that the rule needs; `None` for a rule that asks for more than a count.
    fn of(rule: &Compiled) -> Option<(Self, u64)> {
        let Stateful { check_diff: false, if_fts: false, lists, correlation: Some(counts) } =
            rule.stateful.as_deref()?
        else {
            return None;
        };
        let checks: &[Check] = &rule.checks;
        if !lists.is_empty() || !checks.is_empty() || rule.decoded_as.is_some() {
            return None;
        }
        let Source::List { list, .. } = counts.source else { return None };
        let key = counts.relations.key();
        Some((Self { category: rule.category, list, key }, counts.needed()))
    }
}

impl Correlation {
    /// How many related events the rule needs.
    pub(crate) fn needed(&self) -> u64 {
        u64::from(self.frequency) + 1
    }
}
