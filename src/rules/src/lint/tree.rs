//! The tree: rules that no event can come to, and counters that nothing feeds.

use std::collections::{BTreeSet, HashMap};

use super::{Finding, Findings};
use crate::condition::Check;
use crate::correlate::Source;
use crate::decoder::NameId;
use crate::engine::{Compiled, Engine};
use crate::load::BUILTIN_NAMES;
use crate::plugin::Plugin;
use crate::rule::Category;

/// The kinds of file events.
const FILE_EVENTS: [&str; 5] = [
    "syscheck_integrity_changed",
    "syscheck_integrity_changed_2nd",
    "syscheck_integrity_changed_3rd",
    "syscheck_deleted",
    "syscheck_new_entry",
];

/// Why a place of the tree is out of reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dead {
    /// This sibling before it, or before a rule above it, takes every event.
    Shadowed(usize),
    /// It, or a rule above it, wants this decoder, and this rule above wants another.
    OtherDecoder(NameId, usize),
    /// It wants a decoder none of which is of the type of its top.
    OtherType(NameId, Category),
    /// A condition that never holds.
    Never,
}

/// What is known on the way down.
#[derive(Clone, Copy)]
struct Above {
    category: Category,
    /// The decoder that a rule above wants, and that rule.
    decoder: Option<(NameId, usize)>,
    dead: Option<Dead>,
}

/// Looks at every place of the tree.
pub(super) fn look(engine: &Engine, found: &mut Vec<Finding>) {
    // Per rule: whether one of its places is alive, else why the last is not.
    let mut fates: HashMap<u32, Option<Dead>> = HashMap::new();
    walk(engine, |rule, here| {
        let fate = fates.entry(rule).or_insert(here.dead);
        *fate = (*fate).and(here.dead);
    });
    for (at, rule) in engine.rules().iter().enumerate() {
        let mut found = Findings { found, file: &rule.file, rule: Some(rule.id) };
        let id = rule.id;
        match u32::try_from(at).ok().and_then(|at| fates.get(&at)) {
            Some(None) => {}
            Some(Some(dead)) => {
                found.warn("unreachable", rule.line, format!("rule {id} never matches: {}", why(engine, *dead)));
            }
            None => found.warn(
                "unreachable",
                rule.line,
                format!("rule {id} never matches: no rule above it in the files is what its if_group or if_level asks for"),
            ),
        }
    }
    unfed(engine, found);
}

/// Kinds of file events, as their decoders are called, that no rule takes, each with a rule that was made for it and is out of
/// reach, and why. Whether the level of a rule makes it an alert is its author's business.
pub(super) fn unheard(engine: &Engine) -> Vec<(&'static str, Option<(usize, String)>)> {
    let kinds = FILE_EVENTS.map(|kind| {
        let mut is_heard = false;
        let mut beyond = None;
        walk(engine, |rule, here| {
            let at = rule as usize;
            let Some(compiled) = engine.compiled.get(at) else { return };
            let wants = here.decoder.and_then(|(name, _)| engine.name(name));
            let takes_any = wants.is_none()
                && here.category == Category::Ossec
                && engine.rules.get(at).is_some_and(|facts| facts.level > 0);
            match here.dead {
                None => is_heard |= !compiled.noalert && (takes_any || wants == Some(kind)),
                Some(dead)
                    if compiled.decoded_as.and_then(|name| engine.name(name)) == Some(kind) =>
                {
                    beyond.get_or_insert_with(|| (at, why(engine, dead)));
                }
                Some(_) => {}
            }
        });
        (!is_heard).then_some((kind, beyond))
    });
    kinds.into_iter().flatten().collect()
}

/// Visits every place of the tree: the rule that stands there, and what is known of it.
fn walk(engine: &Engine, mut visit: impl FnMut(u32, Above)) {
    let types = Types::new(engine);
    let mut work: Vec<(usize, Above)> = Vec::new();
    for root in 0..engine.roots {
        if let Some(rule) = compiled(engine, root) {
            let category = rule.category;
            work.push((root, Above { category, decoder: None, dead: None }));
        }
    }
    while let Some((at, above)) = work.pop() {
        let Some(node) = engine.nodes.get(at) else { continue };
        let Some(rule) = engine.compiled.get(node.rule as usize) else { continue };
        let here = types.below(above, node.rule as usize, rule);
        visit(node.rule, here);
        let mut dead = None;
        for child in node.first_child as usize..node.end_child as usize {
            work.push((child, Above { dead: here.dead.or(dead), ..here }));
            dead = dead.or_else(|| takes_all(engine, child).map(Dead::Shadowed));
        }
    }
}

fn compiled(engine: &Engine, node: usize) -> Option<&Compiled> {
    engine.compiled.get(engine.nodes.get(node)?.rule as usize)
}

/// The rule of a node that selects itself, or one below it, for whatever event comes to it.
fn takes_all(engine: &Engine, node: usize) -> Option<usize> {
    let rule = compiled(engine, node)?;
    let always = rule.checks.is_empty() && rule.stateful.is_none() && !rule.noalert;
    always.then(|| engine.nodes.get(node).map(|node| node.rule as usize))?
}

fn why(engine: &Engine, dead: Dead) -> String {
    let rule = |at: usize| {
        engine.rules.get(at).map_or(String::new(), |r| format!("{} ({}:{})", r.id, r.file, r.line))
    };
    match dead {
        Dead::Shadowed(other) => format!(
            "rule {} has no condition, is tried before it, and takes every event",
            rule(other)
        ),
        Dead::OtherDecoder(name, other) => format!(
            "decoded_as '{}' is wanted, but rule {} above wants another decoder",
            engine.name(name).unwrap_or_default(),
            rule(other)
        ),
        Dead::OtherType(name, category) => format!(
            "no decoder '{}' is of type {}, for which it is (say <category> in the rule, or below a rule of that category)",
            engine.name(name).unwrap_or_default(),
            category.name()
        ),
        Dead::Never => "it asks for a country or a list, and there is none".to_owned(),
    }
}

/// Which types the decoders of a name have.
struct Types {
    of_name: HashMap<NameId, Vec<Category>>,
    /// Names whose decoders may take on any type.
    any: BTreeSet<NameId>,
}

impl Types {
    fn new(engine: &Engine) -> Self {
        let mut types = Self { of_name: HashMap::new(), any: BTreeSet::new() };
        for decoder in &engine.decoders.all {
            types.of_name.entry(decoder.name).or_default().push(decoder.category);
            if matches!(decoder.plugin, Some(Plugin::SonicWall | Plugin::OssecAlert)) {
                types.any.insert(decoder.name);
            }
        }
        for builtin in 1..=BUILTIN_NAMES.len() {
            let name = NameId(u16::try_from(builtin).unwrap_or(0));
            types.of_name.entry(name).or_default().push(Category::Ossec);
        }
        types
    }

    /// What holds below a rule.
    fn below(&self, above: Above, at: usize, rule: &Compiled) -> Above {
        let mut here = above;
        let never = |check: &Check| match check {
            Check::Never => true,
            Check::List(lookup) => lookup.list.is_none(),
            _ => false,
        };
        if rule.checks.iter().any(never) {
            here.dead = here.dead.or(Some(Dead::Never));
        }
        let Some(name) = rule.decoded_as else { return here };
        match above.decoder {
            Some((other, by)) if other != name => {
                here.dead = here.dead.or(Some(Dead::OtherDecoder(name, by)));
            }
            _ => here.decoder = Some((name, at)),
        }
        let types = self.of_name.get(&name).map_or(&[][..], Vec::as_slice);
        if !types.contains(&above.category) && !self.any.contains(&name) {
            here.dead = here.dead.or(Some(Dead::OtherType(name, above.category)));
        }
        here
    }
}

/// Correlation over lists that stay empty, or that are too short.
fn unfed(engine: &Engine, found: &mut Vec<Finding>) {
    let feeds_something = |at: usize, rule: &Compiled| {
        engine.rules.get(at).is_some_and(|facts| facts.level > 0) && !rule.noalert
    };
    let mut fed: BTreeSet<usize> = BTreeSet::new();
    for (at, rule) in engine.compiled.iter().enumerate() {
        if feeds_something(at, rule) {
            fed.extend(rule.lists.iter());
        }
    }
    for (rule, compiled) in engine.rules.iter().zip(&engine.compiled) {
        let correlation = compiled.stateful.as_ref().and_then(|s| s.correlation.as_ref());
        let Some(correlation) = correlation else { continue };
        let mut found = Findings { found, file: &rule.file, rule: Some(rule.id) };
        let needed = correlation.frequency as usize + 1;
        let Source::List { list, shows_last } = correlation.source else { continue };
        if !fed.contains(&list) {
            let what = if shows_last { "if_matched_sid" } else { "if_matched_group" };
            found.warn(
                "counts-nothing",
                rule.line,
                format!(
                    "rule {} never fires: only alerts count, and none of the rules that its {what} means makes one (level 0, noalert, or loaded later)",
                    rule.id
                ),
            );
        }
        let limit = engine.lists.get(list).and_then(|plan| plan.limit);
        let limit = limit.unwrap_or(usize::MAX).min(engine.options.memory_size);
        if needed > limit {
            found.warn(
                "frequency-too-high",
                rule.line,
                format!("rule {} never fires: it needs {needed} earlier events, and at most {limit} are remembered", rule.id),
            );
        }
    }
}

/// The lists that an `if_matched_sid` counts: a rule that feeds one is hidden from groups.
pub(super) fn lists_of_rules(engine: &Engine) -> BTreeSet<usize> {
    let stateful = engine.compiled.iter().filter_map(|rule| rule.stateful.as_ref());
    let sources = stateful.filter_map(|s| Some(&s.correlation.as_ref()?.source));
    let lists = sources.filter_map(|source| match source {
        Source::List { list, shows_last: true } => Some(*list),
        _ => None,
    });
    lists.collect()
}
