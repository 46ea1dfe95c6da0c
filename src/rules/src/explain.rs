//! Explanations: each decoder and rule that an event is tried on, the first condition that fails, the memory that counts.
//!
//! Judging itself is watched ([`Engine::judge_explained`]), so an explanation cannot tell another story than the
//! verdict. Decoding is told again from the decoded event ([`Engine::explain_decoders`]).

mod condition;
mod decoders;
mod memory;
mod why;

use std::cell::RefCell;

use crate::engine::Engine;
use crate::event::Decoded;
use crate::judge::{Seen, Sight};
use crate::rule::RuleIndex;
use crate::state::State;
use crate::verdict::Judgement;
use crate::world::{PreviousOutput, World};

pub use decoders::DecoderTrial;
pub use why::{Link, LinkStatus};

/// What judging one event went through.
#[derive(Debug)]
pub struct Explanation {
    /// Every rule that was tried, in order.
    pub rules: Vec<RuleTrial>,
    /// What decided on the alert once the rule was selected.
    pub facts: Vec<Fact>,
    /// The outcome; the same as [`Engine::judge`] gives.
    pub judgement: Judgement,
}

/// One rule at one place of the tree.
#[derive(Debug)]
pub struct RuleTrial {
    /// Which.
    pub rule: RuleIndex,
    /// Place in the tree.
    pub(crate) node: usize,
    /// How far below the top, which is 0.
    pub depth: usize,
    /// The first condition that failed, in the order of the language; `None`: all held.
    pub failed: Option<Condition>,
    /// What the memory said.
    pub facts: Vec<Fact>,
}

/// A condition with what it was tried on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// The tag, `match` for instance.
    pub name: String,
    /// What the rule wants, as written where that is known.
    pub wanted: Vec<u8>,
    /// The text, or its front if it is long; `None`: the event has no such value.
    pub tried_on: Option<Vec<u8>>,
}

/// Something remembered that mattered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// `correlation`, `first_seen`, `check_diff`, `list`, `silence`, `ignored`, `repeated` ...
    pub kind: &'static str,
    /// For people.
    pub text: String,
    /// For programs.
    pub numbers: Vec<(&'static str, i64)>,
}

/// Longest text that a condition shows: thousands of rules may have failed on a long line.
const MAX_TEXT: usize = 1024;

fn cut(text: &[u8]) -> Vec<u8> {
    text.get(..MAX_TEXT).unwrap_or(text).to_vec()
}

/// The effects that conditions have had on the world.
#[derive(Default)]
struct Effects {
    is_first_seen: bool,
    output: Option<PreviousOutput>,
}

/// Passes everything on, and notes what came of it.
struct Watched<'w> {
    world: &'w mut dyn World,
    effects: &'w RefCell<Effects>,
}

impl World for Watched<'_> {
    fn first_seen(&mut self, key: &[u8]) {
        self.effects.borrow_mut().is_first_seen = true;
        self.world.first_seen(key);
    }

    fn ignore(&mut self, entry: &[u8]) {
        self.world.ignore(entry);
    }

    fn swap_output(&mut self, host: &[u8], rule: u32, content: &[u8]) -> PreviousOutput {
        let previous = self.world.swap_output(host, rule, content);
        self.effects.borrow_mut().output = Some(previous.clone());
        previous
    }
}

impl Engine {
    /// As [`judge`](Self::judge), with everything that was tried on the way. Slow.
    pub fn judge_explained(
        &self,
        state: &mut State,
        event: &mut Decoded,
        world: &mut dyn World,
    ) -> Explanation {
        let effects = RefCell::new(Effects::default());
        let mut rules: Vec<RuleTrial> = Vec::new();
        // Places in `rules` of those whose children are being tried.
        let mut above: Vec<usize> = Vec::new();
        let mut tell = |seen: Seen<'_>| match seen.what {
            Sight::Trying => {
                *effects.borrow_mut() = Effects::default();
                while above.last().is_some_and(|&up| !self.is_child(&rules, up, seen.node)) {
                    above.pop();
                }
                let depth = above.len();
                above.push(rules.len());
                let (rule, node) = (seen.rule, seen.node);
                rules.push(RuleTrial { rule, node, depth, failed: None, facts: Vec::new() });
            }
            Sight::Failed | Sight::Matched => {
                let told = self.conditions_told(&seen, &effects.borrow());
                if let Some(trial) = rules.last_mut() {
                    trial.failed = told.failed.filter(|_| seen.what == Sight::Failed);
                    trial.facts = told.facts;
                }
            }
            Sight::Children => {}
        };
        let mut watched = Watched { world, effects: &effects };
        let judgement = self.judge_watched(state, event, &mut watched, &mut tell);
        let facts = self.outcome_told(state, event, &judgement);
        Explanation { rules, facts, judgement }
    }

    fn is_child(&self, rules: &[RuleTrial], up: usize, node: usize) -> bool {
        let parent = rules.get(up).and_then(|trial| self.nodes.get(trial.node));
        parent.is_some_and(|up| (up.first_child as usize..up.end_child as usize).contains(&node))
    }
}
