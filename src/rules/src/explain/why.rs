//! Why one rule did, or did not, fire: along its chain of parents.

use super::{Condition, Explanation, Fact};
use crate::engine::{Engine, Node};
use crate::event::Decoded;
use crate::rule::{Category, RuleIndex};

/// Places of one rule in the tree that are told at most.
const MAX_CHAINS: usize = 20;

/// One rule of a chain from the top of the tree to the rule in question.
#[derive(Debug)]
pub struct Link {
    /// Which.
    pub rule: RuleIndex,
    /// What became of it.
    pub status: LinkStatus,
    /// The condition that failed, or would fail; `None`: all that the event alone answers hold.
    pub failed: Option<Condition>,
    /// What the memory said.
    pub facts: Vec<Fact>,
}

/// What became of a rule in a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkStatus {
    /// The event ended at it.
    Selected,
    /// Its conditions held; one of its children may have been selected.
    Matched,
    /// A condition failed.
    Failed,
    /// Not tried: the rule above it did not match.
    BehindFailure,
    /// Not tried: this rule had been selected before.
    Beaten(RuleIndex),
    /// Not tried: this top of the tree is for another type of decoder; the event's type follows.
    OtherCategory(&'static str),
    /// Not tried: the event was turned away, or another server has judged it.
    NotJudged,
}

impl Engine {
    /// For each place of a rule in the tree the rules from the top down to it. Empty if it stands nowhere.
    pub fn why(&self, told: &Explanation, event: &Decoded, rule: RuleIndex) -> Vec<Vec<Link>> {
        let is_it = |node: &Node| node.rule == rule.0;
        let places = (0..self.nodes.len()).filter(|&at| self.nodes.get(at).is_some_and(is_it));
        let chains = places.take(MAX_CHAINS).map(|place| {
            let mut behind_failure = false;
            let path = self.path(place);
            path.into_iter()
                .map(|node| {
                    let link = self.link(told, event, node, behind_failure);
                    behind_failure |= !matches!(
                        link.status,
                        LinkStatus::Matched | LinkStatus::Selected | LinkStatus::Beaten(_)
                    );
                    link
                })
                .collect()
        });
        chains.collect()
    }

    fn link(&self, told: &Explanation, event: &Decoded, node: usize, behind: bool) -> Link {
        let rule = RuleIndex(self.nodes.get(node).map_or(0, |node| node.rule));
        let compiled = self.compiled(rule);
        if let Some(trial) = told.rules.iter().find(|trial| trial.node == node) {
            let status = match &trial.failed {
                Some(_) => LinkStatus::Failed,
                None if told.judgement.rule == Some(rule) => LinkStatus::Selected,
                None => LinkStatus::Matched,
            };
            return Link { rule, status, failed: trial.failed.clone(), facts: trial.facts.clone() };
        }
        let is_top = node < self.roots;
        let other = compiled.is_some_and(|rule| is_top && rule.category != event.category);
        let status = match told.judgement.rule {
            _ if told.rules.is_empty() => LinkStatus::NotJudged,
            _ if other => LinkStatus::OtherCategory(event.category.name()),
            _ if behind => LinkStatus::BehindFailure,
            Some(selected) => LinkStatus::Beaten(selected),
            None => LinkStatus::BehindFailure,
        };
        let failed = compiled.and_then(|rule| self.first_failing(rule, event));
        Link { rule, status, failed, facts: Vec::new() }
    }

    /// The nodes from the top to this one.
    fn path(&self, node: usize) -> Vec<usize> {
        let mut path = vec![node];
        let mut at = node;
        // Parents stand before their children, so this ends.
        while at >= self.roots {
            let holds =
                |node: &Node| (node.first_child as usize..node.end_child as usize).contains(&at);
            let parent = self.nodes.get(..at).and_then(|before| before.iter().position(holds));
            let Some(parent) = parent else { break };
            path.push(parent);
            at = parent;
        }
        path.reverse();
        path
    }
}

impl Category {
    /// As `<type>` and `<category>` call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Firewall => "firewall",
            Self::Ids => "ids",
            Self::Syslog => "syslog",
            Self::WebLog => "web-log",
            Self::Squid => "squid",
            Self::Windows => "windows",
            Self::HostInformation => "host-information",
            Self::Ossec => "ossec",
        }
    }
}
