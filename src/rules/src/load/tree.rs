//! Builds the rule tree: which rules are tried after which.
//!
//! A rule may stand on several nodes. Only rules above it in the files can be its parents; siblings are sorted by
//! weight, in the order of the files where that is equal.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::draft::{Draft, Wiring};
use crate::correlate::{Correlation, NamedRelation, Relations, Source};
use crate::engine::{Compiled, Node, Stateful, Tree};
use crate::memory::ListPlan;
use crate::options::Options;
use crate::rule::Rule;
use crate::text::{Language, Text};

/// Deepest chain of parents.
const MAX_DEPTH: usize = 100;
/// Most nodes; if_sid, if_level and if_group multiply them.
const MAX_NODES: usize = 500_000;
/// Rules with smaller numbers are the tops of the tree.
const FIRST_ORDINARY: u32 = 10;

#[derive(Debug, Default)]
pub(super) struct TreeBuilder {
    drafts: Vec<Draft>,
    nodes: Vec<Branch>,
    roots: Vec<usize>,
    /// Nodes of each rule.
    places: Vec<Vec<usize>>,
    by_id: HashMap<u32, usize>,
    /// For a rule that an `if_matched_sid` names: its list.
    sid_lists: HashMap<usize, usize>,
    /// Lists that a rule's events enter.
    feeds: HashMap<usize, Vec<usize>>,
    group_lists: usize,
}

#[derive(Debug)]
struct Branch {
    rule: usize,
    depth: usize,
    children: Vec<usize>,
}

impl TreeBuilder {
    /// Adds the next rule of the files.
    pub(super) fn add(&mut self, mut draft: Draft) -> Result<(), String> {
        let id = draft.rule.id;
        let known = self.by_id.get(&id).copied();
        if id >= FIRST_ORDINARY {
            match (known, draft.overwrite) {
                (Some(old), true) => {
                    if let Some(old) = self.drafts.get_mut(old) {
                        old.overwrite_with(draft);
                    }
                    return Ok(());
                }
                (None, true) => {
                    return Err(format!("rule {id} overwrites a rule that does not exist above"));
                }
                (Some(old), false) => {
                    let place = self
                        .drafts
                        .get(old)
                        .map(|old| format!("{}:{}", old.rule.file, old.rule.line));
                    return Err(format!(
                        "rule {id} exists already ({}); say overwrite=\"yes\" to replace it",
                        place.unwrap_or_default()
                    ));
                }
                (None, false) => {}
            }
        }
        let parents = self.parents(&mut draft)?;
        let rule = self.drafts.len();
        self.drafts.push(draft);
        self.places.push(Vec::new());
        self.by_id.entry(id).or_insert(rule);
        match parents {
            None => self.attach(None, rule)?,
            Some(parents) => {
                for parent in parents {
                    self.attach(Some(parent), rule)?;
                }
            }
        }
        self.wire(rule)
    }

    /// The nodes below which a rule belongs; `None` for the top.
    fn parents(&self, draft: &mut Draft) -> Result<Option<Vec<usize>>, String> {
        let id = draft.rule.id;
        if id < FIRST_ORDINARY {
            return Ok(None);
        }
        let placed =
            !draft.if_sid.is_empty() || draft.if_level.is_some() || draft.if_group.is_some();
        if !placed {
            match (draft.matched_sid, &draft.matched_group) {
                (Some(sid), _) => draft.if_sid = vec![sid],
                (None, Some(group)) => draft.if_group = Some(group.clone()),
                (None, None) => {}
            }
        }
        if !draft.if_sid.is_empty() {
            let mut parents = Vec::new();
            for sid in &draft.if_sid {
                let Some(&parent) = self.by_id.get(sid) else {
                    return Err(format!("rule {id}: there is no rule {sid} above it"));
                };
                self.nodes_of(parent, &mut parents);
                if let Some(parent) = self.drafts.get(parent) {
                    draft.category = parent.category;
                }
            }
            return Ok(Some(parents));
        }
        if let Some(level) = draft.if_level {
            let wanted = level.saturating_mul(100);
            return Ok(Some(self.nodes_where(|parent| parent.weight() >= wanted)));
        }
        if let Some(group) = &draft.if_group {
            return Ok(Some(
                self.nodes_where(|parent| pattern::has_word(group, &parent.rule.groups)),
            ));
        }
        let top = self
            .roots
            .iter()
            .find(|&&root| self.draft_at(root).is_some_and(|top| top.category == draft.category));
        Ok(top.map(|&top| vec![top]))
    }

    /// Every node of a rule that a search finds: depth first, but past a hit its list is searched no further.
    fn nodes_of(&self, rule: usize, found: &mut Vec<usize>) {
        match self.places.get(rule).map(Vec::as_slice) {
            Some([only]) => found.push(*only),
            _ => self.search(&self.roots, rule, found),
        }
    }

    fn search(&self, siblings: &[usize], rule: usize, found: &mut Vec<usize>) {
        for &node in siblings {
            let Some(branch) = self.nodes.get(node) else { continue };
            if branch.rule == rule {
                found.push(node);
                return;
            }
            self.search(&branch.children, rule, found);
        }
    }

    fn nodes_where(&self, wanted: impl Fn(&Draft) -> bool) -> Vec<usize> {
        let chosen: Vec<bool> = self.drafts.iter().map(wanted).collect();
        let nodes = self.nodes.iter().enumerate();
        nodes
            .filter(|(_, branch)| chosen.get(branch.rule) == Some(&true))
            .map(|(node, _)| node)
            .collect()
    }

    fn draft_at(&self, node: usize) -> Option<&Draft> {
        self.drafts.get(self.nodes.get(node)?.rule)
    }

    /// Makes a node for `rule`, behind all siblings that weigh at least as much.
    fn attach(&mut self, parent: Option<usize>, rule: usize) -> Result<(), String> {
        let id = self.drafts.get(rule).map_or(0, |draft| draft.rule.id);
        let depth = parent.and_then(|node| self.nodes.get(node)).map_or(0, |up| up.depth + 1);
        if depth > MAX_DEPTH {
            return Err(format!("rule {id} is below more than {MAX_DEPTH} others"));
        }
        if self.nodes.len() >= MAX_NODES {
            return Err(format!(
                "the rule tree has more than {MAX_NODES} places; rule {id} is one too many"
            ));
        }
        let siblings = match parent.and_then(|node| self.nodes.get(node)) {
            Some(parent) => &parent.children,
            None => &self.roots,
        };
        let weight = self.drafts.get(rule).map_or(0, Draft::weight);
        let lighter = |&node: &usize| self.draft_at(node).is_some_and(|d| d.weight() < weight);
        let at = siblings.iter().position(lighter).unwrap_or(siblings.len());
        let node = self.nodes.len();
        self.nodes.push(Branch { rule, depth, children: Vec::new() });
        match parent.and_then(|node| self.nodes.get_mut(node)) {
            Some(parent) => parent.children.insert(at, node),
            None => self.roots.insert(at, node),
        }
        if let Some(places) = self.places.get_mut(rule) {
            places.push(node);
        }
        Ok(())
    }

    /// Gives a correlated rule its list, and the rules that feed it theirs.
    fn wire(&mut self, rule: usize) -> Result<(), String> {
        let Some(draft) = self.drafts.get(rule) else { return Ok(()) };
        let wiring = if let Some(sid) = draft.matched_sid {
            let Some(&tracked) = self.by_id.get(&sid) else {
                return Err(format!(
                    "rule {}: if_matched_sid names rule {sid}, which is not above it",
                    draft.rule.id
                ));
            };
            let next = self.sid_lists.len();
            Wiring::Sid(*self.sid_lists.entry(tracked).or_insert(next))
        } else if let Some(group) = &draft.matched_group {
            let list = self.group_lists;
            let pattern = Text::new(Language::Match, group).map_err(|error| {
                format!("rule {}: if_matched_group is no pattern: {error}", draft.rule.id)
            })?;
            self.group_lists += 1;
            for (member, draft) in self.drafts.iter().enumerate() {
                if pattern.is_match(&draft.rule.groups) {
                    // A rule on two nodes counts twice.
                    let places = self.places.get(member).map_or(0, Vec::len);
                    let feeds = self.feeds.entry(member).or_default();
                    feeds.extend(std::iter::repeat_n(list, places));
                }
            }
            Wiring::Group(list)
        } else if draft.matched_regex.is_some() {
            Wiring::Pattern
        } else {
            return Ok(());
        };
        if let Some(draft) = self.drafts.get_mut(rule) {
            draft.wiring = Some(wiring);
        }
        Ok(())
    }

    /// The finished tree; siblings become neighbours.
    pub(super) fn finish(self, options: &Options) -> Tree {
        let mut order: Vec<usize> = self.roots.clone();
        let mut nodes = Vec::with_capacity(self.nodes.len());
        let mut next = 0;
        while let Some(branch) = order.get(next).and_then(|&node| self.nodes.get(node)) {
            let first_child = order.len();
            order.extend_from_slice(&branch.children);
            nodes.push(Node {
                rule: u32::try_from(branch.rule).unwrap_or(u32::MAX),
                first_child: u32::try_from(first_child).unwrap_or(u32::MAX),
                end_child: u32::try_from(order.len()).unwrap_or(u32::MAX),
            });
            next += 1;
        }
        let names = self.drafts.iter().flat_map(|draft| &draft.related_names);
        let names: BTreeSet<&str> = names.map(|(name, _)| name.as_str()).collect();
        let tracked_names: Box<[Box<str>]> = names.into_iter().map(Box::from).collect();
        let tracked = self.sid_lists.len();
        let mut feeds = self.feeds;
        let compiled: Vec<Compiled> = self
            .drafts
            .iter()
            .enumerate()
            .map(|(rule, draft)| {
                let groups = feeds.remove(&rule).unwrap_or_default();
                // A rule that a list of its own tracks is invisible to groups.
                let lists = match self.sid_lists.get(&rule) {
                    Some(&list) => [list].into(),
                    None => groups.into_iter().map(|list| tracked + list).collect(),
                };
                compile(draft, tracked, lists, &tracked_names)
            })
            .collect();
        Tree {
            lists: plan(&compiled, tracked, self.group_lists, options),
            tracked_names,
            compiled,
            roots: self.roots.len(),
            nodes,
            by_id: self.by_id,
            rules: self.drafts.into_iter().map(|draft| draft.rule).collect::<Vec<Rule>>(),
        }
    }
}

/// How each list is kept: those of single rules first, then those of groups.
fn plan(compiled: &[Compiled], tracked: usize, groups: usize, options: &Options) -> Vec<ListPlan> {
    let plan = |limit| ListPlan { limit: Some(limit), keys: Vec::new() };
    let mut plans = vec![plan(options.sid_prev_matched_max); tracked];
    plans.resize(tracked + groups, plan(options.group_list_max));
    for rule in compiled {
        let correlation = rule.stateful.as_ref().and_then(|stateful| stateful.correlation.as_ref());
        let Some(correlation) = correlation else { continue };
        let Source::List { list, .. } = correlation.source else { continue };
        let key = correlation.relations.key();
        if let Some(plan) = plans.get_mut(list)
            && !key.is_empty()
            && !plan.keys.contains(&key)
        {
            plan.keys.push(key);
        }
    }
    plans
}

fn compile(
    draft: &Draft,
    tracked: usize,
    lists: Arc<[usize]>,
    tracked_names: &[Box<str>],
) -> Compiled {
    let source = match draft.wiring {
        Some(Wiring::Sid(list)) => Some(Source::List { list, shows_last: true }),
        Some(Wiring::Group(list)) => Some(Source::List { list: tracked + list, shows_last: false }),
        Some(Wiring::Pattern) => draft.matched_regex.clone().map(Source::Pattern),
        None => None,
    };
    let correlation = source.map(|source| Correlation {
        source,
        frequency: draft.rule.frequency,
        timeframe: draft.rule.timeframe,
        level: draft.rule.level,
        relations: Relations {
            named: draft
                .related_names
                .iter()
                .filter_map(|(name, same)| {
                    let at = tracked_names.iter().position(|known| &**known == name)?;
                    Some(NamedRelation { at, same: *same })
                })
                .collect(),
            ..draft.relations.clone()
        },
    });
    let mut checks = draft.checks();
    let mut late_lists = draft.lists.clone();
    if !draft.check_diff && !draft.if_fts {
        // Nothing with an effect stands before the lists: they are conditions like the others.
        checks.extend(late_lists.drain(..).map(crate::condition::Check::List));
        checks.sort_by_key(crate::condition::Check::cost);
    }
    let stateful = Stateful {
        check_diff: draft.check_diff,
        if_fts: draft.if_fts,
        lists: late_lists,
        correlation,
    };
    Compiled {
        category: draft.category,
        decoded_as: draft.decoded_as,
        checks: checks.into_boxed_slice(),
        stateful: (!stateful.is_empty()).then(|| Box::new(stateful)),
        noalert: draft.noalert,
        ignore_mask: draft.ignore_mask,
        check_ignored_mask: draft.check_ignored_mask,
        lists,
    }
}
