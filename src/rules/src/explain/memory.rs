//! What the memory said: counters, first-seen keys, kept outputs, lists, silence windows.

use super::condition::list_condition;
use super::{Condition, Effects, Fact, cut};
use crate::correlate::{self, Correlation, Progress, ProgressEnd, Source};
use crate::engine::Engine;
use crate::event::Decoded;
use crate::first_seen;
use crate::judge::{Seen, Sight};
use crate::state::State;
use crate::verdict::{Fate, Judgement};
use crate::world::PreviousOutput;

/// What became of one rule's conditions.
#[derive(Default)]
pub(super) struct Told {
    pub(super) failed: Option<Condition>,
    pub(super) facts: Vec<Fact>,
}

impl Engine {
    /// Why a rule held or not, asked right after it was tried.
    pub(super) fn conditions_told(&self, seen: &Seen<'_>, effects: &Effects) -> Told {
        let mut told = Told::default();
        let Some(rule) = self.compiled(seen.rule) else { return told };
        told.failed = self.first_failing(rule, seen.event);
        let (None, Some(stateful)) = (&told.failed, &rule.stateful) else { return told };
        if stateful.check_diff {
            let (holds, text) = match &effects.output {
                Some(PreviousOutput::Different(_)) => {
                    (true, "the output differs from the one kept")
                }
                Some(PreviousOutput::Same) => (false, "the output is the same as the one kept"),
                Some(PreviousOutput::None) => (false, "no output was kept before; it is now"),
                None => (false, "the output is too long to be kept"),
            };
            told.fact("check_diff", text.to_owned(), Vec::new());
            told.settle(holds, "check_diff", "other output than before", Some(seen.event.log()));
        }
        if stateful.if_fts && told.failed.is_none() {
            self.first_seen_told(seen.event, effects, &mut told);
        }
        for list in &stateful.lists {
            if told.failed.is_none() && !list.holds(seen.event) {
                told.failed = Some(list_condition(list, seen.event));
            }
        }
        if let (None, Some(correlation)) = (&told.failed, &stateful.correlation) {
            self.correlation_told(seen, correlation, &mut told);
        }
        told
    }

    fn first_seen_told(&self, event: &Decoded, effects: &Effects, told: &mut Told) {
        let decoder = event.decoder.and_then(|index| self.decoders.get(index));
        let mask = decoder.map(|decoder| decoder.fts).filter(|mask| mask.0 != 0);
        let key = mask.map(|mask| {
            first_seen::key(event, mask, self.decoder_name(event).unwrap_or_default().as_bytes())
        });
        let (holds, text) = match &key {
            _ if event.is_new => (true, "this was not seen before".to_owned()),
            None => (false, "its decoder has no <fts>, so nothing is ever new".to_owned()),
            Some(key) if effects.is_first_seen => {
                (true, format!("seen for the first time: '{}'", String::from_utf8_lossy(key)))
            }
            Some(key) => (false, format!("seen before: '{}'", String::from_utf8_lossy(key))),
        };
        told.fact("first_seen", text, vec![("is_new", holds.into())]);
        told.settle(holds, "if_fts", "seen for the first time", key.as_deref());
    }

    fn correlation_told(&self, seen: &Seen<'_>, correlation: &Correlation, told: &mut Told) {
        let needed = u64::from(correlation.frequency) + 1;
        let timeframe = correlation.timeframe;
        if seen.what == Sight::Matched {
            let text = format!(
                "{needed} related events within {timeframe} s before this one, as many as it takes; counting begins anew"
            );
            let numbers = [("found", needed), ("needed", needed), ("timeframe", timeframe.into())];
            told.fact("correlation", text, signed(&numbers));
            return;
        }
        let Progress { found, listed, end } =
            correlate::progress(&seen.state.memory, seen.event, correlation);
        let missing = correlation.relations.key().missing(seen.event);
        let end = match end {
            _ if !missing.is_empty() => {
                format!("this event has no {}, so nothing is the same", missing.join(", no "))
            }
            ProgressEnd::TooOld => "older ones are too old".to_owned(),
            ProgressEnd::UsedUp => {
                "older ones are used up by an earlier alert of this level or higher".to_owned()
            }
            ProgressEnd::Nothing | ProgressEnd::Enough => "there are no others".to_owned(),
        };
        let what = match correlation.source {
            Source::List { shows_last: true, .. } => "if_matched_sid",
            Source::List { shows_last: false, .. } => "if_matched_group",
            Source::Pattern(_) => "if_matched_regex",
        };
        let text = format!(
            "{found} of {needed} related events within {timeframe} s before this one ({listed} remembered); {end}"
        );
        let numbers = [
            ("found", found),
            ("needed", needed),
            ("timeframe", timeframe.into()),
            ("remembered", listed as u64),
        ];
        told.fact("correlation", text, signed(&numbers));
        told.failed = Some(Condition {
            name: what.to_owned(),
            wanted: format!("{needed} related events within {timeframe} s before this one").into(),
            tried_on: Some(found.to_string().into()),
        });
    }

    /// Why the selected rule became an alert or not.
    pub(super) fn outcome_told(
        &self,
        state: &State,
        event: &Decoded,
        judgement: &Judgement,
    ) -> Vec<Fact> {
        let mut told = Told::default();
        let rule = judgement.rule.map(|index| (index, self.rule(index)));
        if event.given_rule.is_some() {
            let text = "another server has judged this event; its rule is taken over".to_owned();
            told.fact("forwarded", text, Vec::new());
        }
        let kind_and_text = match (judgement.fate, rule) {
            (Fate::Repeated, _) => Some((
                "repeated",
                "one of the last three different lines again: not judged, not archived".to_owned(),
            )),
            (Fate::IncompleteFirewall, _) => Some((
                "incomplete_firewall",
                "a firewall event without action, addresses or protocol: dropped".to_owned(),
            )),
            (Fate::LevelZero, Some(_)) => {
                Some(("level", "rules of level 0 make no alert".to_owned()))
            }
            (Fate::Ignored, Some(_)) => {
                Some(("ignored", "the event is on the ignore list (check_if_ignored)".to_owned()))
            }
            (Fate::Alert, Some((_, rule))) if !judgement.log => Some((
                "level",
                format!("level {} is below the log level, or the rule says no_log", rule.level),
            )),
            _ => None,
        };
        if let Some((kind, text)) = kind_and_text {
            told.fact(kind, text, Vec::new());
        }
        if let Some((index, rule)) = rule.filter(|(_, rule)| rule.ignore > 0) {
            let since = state.silent_since.get(index.at()).copied().flatten();
            let now = event.moment.epoch;
            let left = since.map_or(0, |since| since + i64::from(rule.ignore) - now).max(0);
            let text = match (judgement.fate, since) {
                (Fate::Silenced, Some(since)) => {
                    format!(
                        "silent since {} s, for {left} s more, whatever the source",
                        now - since
                    )
                }
                (_, Some(_)) => format!("now silent for {left} s, whatever the source"),
                (_, None) => "its silence has ended".to_owned(),
            };
            told.fact("silence", text, vec![("window", rule.ignore.into()), ("left", left)]);
        }
        told.facts
    }
}

impl Told {
    fn fact(&mut self, kind: &'static str, text: String, numbers: Vec<(&'static str, i64)>) {
        self.facts.push(Fact { kind, text, numbers });
    }

    fn settle(&mut self, holds: bool, name: &str, wanted: &str, tried_on: Option<&[u8]>) {
        if !holds {
            let (name, wanted) = (name.to_owned(), wanted.as_bytes().to_vec());
            self.failed = Some(Condition { name, wanted, tried_on: tried_on.map(cut) });
        }
    }
}

fn signed(numbers: &[(&'static str, u64)]) -> Vec<(&'static str, i64)> {
    numbers.iter().map(|&(name, n)| (name, i64::try_from(n).unwrap_or(i64::MAX))).collect()
}
