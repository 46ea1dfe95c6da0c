//! Phase 2: walks the pruned tree in the order of events and decides what becomes of each.

use crate::correlate;
use crate::engine::{Compiled, Engine, Stateful};
use crate::event::{Decoded, Pruned};
use crate::first_seen;
use crate::options::Mode;
use crate::rule::{Category, RuleIndex};
use crate::runs::Run;
use crate::state::State;
use crate::verdict::{Fate, Judgement, Step};
use crate::world::{PreviousOutput, World};

/// Longest content that `check_diff` compares.
const MAX_OUTPUT: usize = 8192;

impl Engine {
    /// Judges one event. Events must come in the order of their arrival, all to one state.
    pub fn judge(
        &self,
        state: &mut State,
        event: &mut Decoded,
        world: &mut dyn World,
    ) -> Judgement {
        if let Some(fate) = self.turn_away(state, event) {
            return Judgement::without_rule(fate);
        }
        let mut walk = Walk { engine: self, state, event, world, samples: Vec::new(), matched: 0 };
        let end = walk.event.pruned.len();
        let selected = match walk.event.given_rule {
            Some(given) => given,
            None => walk.pruned(0, end),
        };
        walk.conclude(selected)
    }

    /// As [`judge`](Self::judge), telling each step: all rules that the language tries, in its order. Slow.
    pub fn judge_traced(
        &self,
        state: &mut State,
        event: &mut Decoded,
        world: &mut dyn World,
        tell: &mut dyn FnMut(Step),
    ) -> Judgement {
        self.judge_watched(state, event, world, &mut |seen| {
            let step = match seen.what {
                Sight::Trying => Step::Trying(seen.rule),
                Sight::Matched => Step::Matched(seen.rule),
                Sight::Children => Step::Children(seen.rule),
                Sight::Failed => return,
            };
            tell(step);
        })
    }

    /// As [`judge_traced`](Self::judge_traced), showing the tree's nodes and the memory at each step.
    pub(crate) fn judge_watched(
        &self,
        state: &mut State,
        event: &mut Decoded,
        world: &mut dyn World,
        tell: &mut dyn FnMut(Seen<'_>),
    ) -> Judgement {
        if let Some(fate) = self.turn_away(state, event) {
            return Judgement::without_rule(fate);
        }
        let mut walk = Walk { engine: self, state, event, world, samples: Vec::new(), matched: 0 };
        let selected = match walk.event.given_rule {
            Some(given) => given,
            None => (0..self.roots)
                .filter(|&root| self.is_of_category(root, walk.event.category))
                .collect::<Vec<_>>()
                .into_iter()
                .find_map(|root| walk.whole(root, tell)),
        };
        walk.conclude(selected)
    }

    fn is_of_category(&self, root: usize, category: Category) -> bool {
        let rule = self.nodes.get(root).and_then(|node| self.compiled.get(node.rule as usize));
        rule.is_some_and(|rule| rule.category == category)
    }

    /// What keeps an event from the rules; completes it by the accumulator otherwise.
    fn turn_away(&self, state: &mut State, event: &mut Decoded) -> Option<Fate> {
        state.memory.begin_event();
        let daemon = self.options.mode == Mode::Daemon;
        if event.is_incomplete_firewall && self.options.drop_incomplete_firewall {
            return Some(Fate::IncompleteFirewall);
        }
        let guarded = daemon && event.category == Category::Syslog && !event.is_builtin;
        if guarded && state.repeats.is_repeat(event.full_log()) {
            return Some(Fate::Repeated);
        }
        let decoder = event.decoder.and_then(|index| self.decoders.get(index));
        if decoder.is_some_and(|decoder| decoder.accumulate) {
            let name = self.decoder_name(event).unwrap_or_default();
            if state.accumulator.complete(event, name.as_bytes()) {
                event.has_foreign_values = true;
                self.prune(event);
            }
        }
        None
    }
}

/// One step of judging, with what it is judged by.
pub(crate) struct Seen<'a> {
    pub(crate) what: Sight,
    pub(crate) node: usize,
    pub(crate) rule: RuleIndex,
    pub(crate) state: &'a State,
    pub(crate) event: &'a Decoded,
}

/// What a step of judging is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sight {
    Trying,
    Failed,
    Matched,
    Children,
}

struct Walk<'a> {
    engine: &'a Engine,
    state: &'a mut State,
    event: &'a mut Decoded,
    world: &'a mut dyn World,
    samples: Vec<Vec<u8>>,
    /// Level of the last rule that correlated this event.
    matched: u8,
}

impl Walk<'_> {
    /// Walks siblings of the pruned tree, which lie in `from..end`; the first that selects a rule wins.
    fn pruned(&mut self, from: usize, end: usize) -> Option<RuleIndex> {
        let engine = self.engine;
        let mut at = from;
        while at < end {
            let Pruned { node, end: behind } = *self.event.pruned.get(at)?;
            if let Some(run) = engine.runs.at(node as usize) {
                if let Some(rule) = self.run(node as usize, run) {
                    return Some(rule);
                }
                at = behind as usize;
                continue;
            }
            let rule = RuleIndex(engine.nodes.get(node as usize)?.rule);
            let compiled = engine.compiled(rule)?;
            if self.stateful_holds(rule, compiled) {
                if let Some(below) = self.pruned(at + 1, behind as usize) {
                    return Some(below);
                }
                if !compiled.noalert {
                    return Some(rule);
                }
            }
            at = behind as usize;
        }
        None
    }

    /// Asks the rules of a run that can fire at all.
    fn run(&mut self, from: usize, run: Run) -> Option<RuleIndex> {
        let engine = self.engine;
        let mut counted = None;
        for node in from..run.end() {
            let rule = RuleIndex(engine.nodes.get(node)?.rule);
            let compiled = engine.compiled(rule)?;
            let correlation = compiled.stateful.as_deref()?.correlation.as_ref()?;
            let counted = *counted.get_or_insert_with(|| {
                correlate::candidates(&mut self.state.memory, self.event, correlation)
            });
            if counted < run.needed {
                return None;
            }
            if counted >= correlation.needed()
                && self.stateful_holds(rule, compiled)
                && !compiled.noalert
            {
                return Some(rule);
            }
        }
        None
    }

    /// Walks the tree itself below one node.
    fn whole(&mut self, at: usize, tell: &mut dyn FnMut(Seen<'_>)) -> Option<RuleIndex> {
        let engine = self.engine;
        let node = *engine.nodes.get(at)?;
        let rule = RuleIndex(node.rule);
        let compiled = engine.compiled(rule)?;
        self.show(Sight::Trying, at, rule, tell);
        if !engine.holds(compiled, self.event) || !self.stateful_holds(rule, compiled) {
            self.show(Sight::Failed, at, rule, tell);
            return None;
        }
        self.show(Sight::Matched, at, rule, tell);
        if node.first_child < node.end_child {
            self.show(Sight::Children, at, rule, tell);
        }
        for child in node.first_child..node.end_child {
            if let Some(below) = self.whole(child as usize, tell) {
                return Some(below);
            }
        }
        (!compiled.noalert).then_some(rule)
    }

    fn show(&self, what: Sight, node: usize, rule: RuleIndex, tell: &mut dyn FnMut(Seen<'_>)) {
        tell(Seen { what, node, rule, state: &*self.state, event: &*self.event });
    }

    /// The conditions with memory, in the order of the language, since they have effects.
    fn stateful_holds(&mut self, rule: RuleIndex, compiled: &Compiled) -> bool {
        let Some(conditions) = &compiled.stateful else { return true };
        let Stateful { check_diff, if_fts, lists, correlation } = conditions.as_ref();
        if *check_diff && !self.output_differs(rule) {
            return false;
        }
        if *if_fts && !self.is_first_seen() {
            return false;
        }
        if !lists.iter().all(|list| list.holds(self.event)) {
            return false;
        }
        let Some(correlation) = correlation else { return true };
        match correlate::search(&mut self.state.memory, self.event, correlation) {
            Some(samples) => {
                self.matched = correlation.level;
                self.samples = samples;
                true
            }
            None => false,
        }
    }

    fn output_differs(&mut self, rule: RuleIndex) -> bool {
        let log = self.event.log();
        if log.len() >= MAX_OUTPUT {
            return false;
        }
        let id = self.engine.rule(rule).id;
        let origin = alerts::Origin::of(self.event.location());
        let host = origin.agent.map_or(self.event.hostname(), |(name, _)| name);
        match self.world.swap_output(host, id, log) {
            PreviousOutput::Different(old) => {
                self.samples = vec![b"Previous output:".to_vec(), old];
                true
            }
            PreviousOutput::None | PreviousOutput::Same => false,
        }
    }

    fn is_first_seen(&mut self) -> bool {
        if self.event.is_new {
            return true;
        }
        let decoder = self.event.decoder.and_then(|index| self.engine.decoders.get(index));
        let Some(mask) = decoder.map(|decoder| decoder.fts).filter(|mask| mask.0 != 0) else {
            return false;
        };
        let name = self.engine.decoder_name(self.event).unwrap_or_default();
        let key = first_seen::key(self.event, mask, name.as_bytes());
        match self.state.first_seen.check(key, self.event.category == Category::Ids) {
            Some(key) => {
                self.world.first_seen(&key);
                true
            }
            None => false,
        }
    }

    /// What becomes of the event, now that its rule is known.
    fn conclude(mut self, selected: Option<RuleIndex>) -> Judgement {
        let Some(rule) = selected else { return Judgement::without_rule(Fate::NoRule) };
        let facts = self.engine.rule(rule);
        let fired = self.state.fired.get_mut(rule.at()).map_or(0, |fired| {
            *fired += 1;
            *fired
        });
        let fate = self.fate(rule);
        let log = fate == Fate::Alert && facts.log;
        if fate == Fate::Alert
            && let Some(compiled) = self.engine.compiled(rule)
        {
            self.state.memory.store(self.event, self.matched, &compiled.lists);
        }
        Judgement {
            rule: selected,
            fate,
            log,
            mail: log && facts.mail,
            fired,
            samples: self.samples,
        }
    }

    fn fate(&mut self, rule: RuleIndex) -> Fate {
        let facts = self.engine.rule(rule);
        if facts.level == 0 {
            return Fate::LevelZero;
        }
        if facts.ignore > 0 && self.is_silent(rule, facts.ignore) {
            return Fate::Silenced;
        }
        let Some(compiled) = self.engine.compiled(rule) else { return Fate::Alert };
        let name = self.engine.decoder_name(self.event).unwrap_or_default().as_bytes();
        if compiled.check_ignored_mask.0 != 0 {
            let entry = first_seen::ignore_entry(self.event, compiled.check_ignored_mask, name);
            if self.state.ignored.contains(&entry) {
                return Fate::Ignored;
            }
        }
        if compiled.ignore_mask.0 != 0 && self.engine.options.mode == Mode::Daemon {
            let entry = first_seen::ignore_entry(self.event, compiled.ignore_mask, name);
            if self.state.ignored.insert(&entry) {
                self.world.ignore(&entry);
            }
        }
        Fate::Alert
    }

    /// Whether the rule is within its silence window; opens one if not.
    fn is_silent(&mut self, rule: RuleIndex, seconds: u32) -> bool {
        let now = self.event.time;
        let Some(since) = self.state.silent_since.get_mut(rule.at()) else { return false };
        match *since {
            None => {
                *since = Some(now);
                false
            }
            Some(start) if now - start < i64::from(seconds) => true,
            Some(_) => {
                // The test tool leaves the window closed, so that one more alert passes.
                *since = (self.engine.options.mode == Mode::Daemon).then_some(now);
                false
            }
        }
    }
}

impl Judgement {
    /// The alert, for the outputs; `None` when there is nothing to write. `number` counts alerts.
    pub fn alert<'a>(
        &'a self,
        engine: &'a Engine,
        event: &'a Decoded,
        number: u64,
    ) -> Option<alerts::Alert<'a>> {
        if self.fate != Fate::Alert {
            return None;
        }
        Some(alerts::Alert {
            id: alerts::AlertId { epoch: event.moment.epoch, number },
            mail: self.mail,
            rule: self.rule_facts(engine)?,
            event: engine.facts(event),
            samples: self.samples.iter().map(Vec::as_slice).collect(),
        })
    }

    /// The selected rule, for the outputs.
    pub fn rule_facts<'a>(&self, engine: &'a Engine) -> Option<alerts::Rule<'a>> {
        let rule = engine.rule(self.rule?);
        Some(alerts::Rule {
            id: rule.id,
            level: rule.level,
            comment: &rule.description,
            groups: &rule.groups,
            cve: rule.cve.as_deref(),
            info: rule.info.as_deref(),
            mitre: &rule.mitre,
            frequency: rule.frequency,
            fired: self.fired,
        })
    }
}
