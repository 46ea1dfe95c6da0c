//! Judging lines one after the other, with or without a memory of earlier ones.

use std::collections::HashSet;

use alerts::Moment;
use rules::explain::Explanation;
use rules::{
    Builtin, Decoded, Engine, FileDetails, Judgement, MemoryWorld, RawEvent, RuleIndex, State, Step,
};

use super::script::DecodedBy;

/// A line is cut here, as the analysis daemon would.
pub(super) const MAX_LINE: usize = wire::MAX_EVENT;

/// An engine with what it remembers.
pub(super) struct Session<'e> {
    engine: &'e Engine,
    state: State,
    world: MemoryWorld,
    /// Texts of rootcheck that were sent before.
    findings: HashSet<Vec<u8>>,
    alerts: u64,
}

/// What became of one line.
pub(super) struct Verdict {
    /// The event with what was decoded.
    pub(super) event: Decoded,
    /// The outcome.
    pub(super) judgement: Judgement,
    /// What was tried, in order; empty unless asked for.
    pub(super) steps: Vec<Step>,
}

impl<'e> Session<'e> {
    /// Remembers nothing yet.
    pub(super) fn new(engine: &'e Engine) -> Self {
        Self {
            engine,
            state: State::new(engine),
            world: MemoryWorld::default(),
            findings: HashSet::new(),
            alerts: 0,
        }
    }

    /// The engine that judges.
    pub(super) fn engine(&self) -> &'e Engine {
        self.engine
    }

    /// Decodes one line.
    pub(super) fn decode(
        &mut self,
        line: &[u8],
        by: DecodedBy,
        location: &[u8],
        moment: Moment,
    ) -> Decoded {
        let raw = RawEvent { moment, location, payload: line.get(..MAX_LINE).unwrap_or(line) };
        let builtin = match by {
            DecodedBy::Decoders => return self.engine.decode(&raw),
            DecodedBy::Builtin(builtin) => builtin,
            DecodedBy::Rootcheck => {
                Builtin::Rootcheck { is_new: self.findings.insert(line.to_vec()) }
            }
        };
        self.engine.decode_builtin(builtin, &raw, file_of(line))
    }

    /// Judges what was decoded, as the analysis daemon does.
    pub(super) fn judge(&mut self, mut event: Decoded) -> Verdict {
        let judgement = self.engine.judge(&mut self.state, &mut event, &mut self.world);
        self.conclude(event, judgement, Vec::new())
    }

    /// The same, with all that is tried on the way.
    pub(super) fn judge_traced(&mut self, mut event: Decoded) -> Verdict {
        let mut steps = Vec::new();
        let mut tell = |step| steps.push(step);
        let judgement =
            self.engine.judge_traced(&mut self.state, &mut event, &mut self.world, &mut tell);
        self.conclude(event, judgement, steps)
    }

    /// The same, with everything that was tried and what failed.
    pub(super) fn explain(&mut self, event: &mut Decoded) -> Explanation {
        let told = self.engine.judge_explained(&mut self.state, event, &mut self.world);
        self.alerts += u64::from(told.judgement.log);
        told
    }

    fn conclude(&mut self, event: Decoded, judgement: Judgement, steps: Vec<Step>) -> Verdict {
        self.alerts += u64::from(judgement.log);
        Verdict { event, judgement, steps }
    }

    /// The `alerts.log` record of the last verdict; nothing when it is no alert.
    pub(super) fn write_alert(&self, verdict: &Verdict, out: &mut Vec<u8>) {
        if !verdict.judgement.log {
            return;
        }
        if let Some(alert) = verdict.judgement.alert(self.engine, &verdict.event, self.alerts) {
            alerts::write_text(&alert, out);
        }
    }
}

impl Verdict {
    /// The rules whose conditions all held, in order; the selected one is among them.
    pub(super) fn matched(&self) -> impl Iterator<Item = RuleIndex> + '_ {
        let traced = self.steps.iter().filter_map(|step| match step {
            Step::Matched(index) => Some(*index),
            _ => None,
        });
        traced.chain(self.judgement.rule)
    }
}

/// What the text of an integrity event says about its file, so that rules can look at its name.
pub(super) fn file_of(text: &[u8]) -> Option<FileDetails> {
    let mut quoted = text.splitn(3, |&byte| byte == b'\'').skip(1);
    let path = quoted.next().filter(|_| quoted.next().is_some())?;
    path.starts_with(b"/").then(|| FileDetails { path: path.to_vec(), ..FileDetails::default() })
}
