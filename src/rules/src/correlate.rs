//! Correlation: has a rule seen enough related events lately?
//!
//! A rule with `frequency="F"` fires when F+1 earlier related events are younger than its timeframe. Then the events that
//! it used are marked with its level, and counting begins anew: a mark of its own level or higher ends a search.
//! The events themselves lie in [`Memory`].

use std::collections::VecDeque;

use crate::event::{Decoded, Field};
use crate::memory::{Counted, Memory, Remembered};
use crate::text::Text;

/// Most earlier lines that an alert shows.
const MAX_SAMPLES: usize = 11;

/// What a rule correlates.
#[derive(Debug, Clone)]
pub(crate) struct Correlation {
    pub(crate) source: Source,
    pub(crate) frequency: u32,
    pub(crate) timeframe: u32,
    pub(crate) level: u8,
    pub(crate) relations: Relations,
}

/// Which earlier events are looked at.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// Those of one list: events of the rule that an `if_matched_sid` names, or of an `if_matched_group`.
    List {
        /// Number of the list.
        list: usize,
        /// The oldest event that counted is shown too: for `if_matched_sid`.
        shows_last: bool,
    },
    /// All of the same category whose log matches: `if_matched_regex`.
    Pattern(Text),
}

/// What must be the same, or different.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Relations {
    pub(crate) same: FieldSet,
    pub(crate) different: FieldSet,
    /// `same_location` compares host names.
    pub(crate) same_location: bool,
    pub(crate) different_location: bool,
    /// Fields that decoders named.
    pub(crate) named: Box<[NamedRelation]>,
    /// A country: this build knows none, so nothing is related.
    pub(crate) country: bool,
}

/// A field of a decoder's own naming that must be the same, or different.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NamedRelation {
    /// Position among the engine's tracked fields.
    pub(crate) at: usize,
    pub(crate) same: bool,
}

/// A set of fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct FieldSet(u16);

impl FieldSet {
    pub(crate) fn insert(&mut self, field: Field) {
        self.0 |= 1 << field as u16;
    }

    pub(crate) fn remove(&mut self, field: Field) {
        self.0 &= !(1 << field as u16);
    }

    /// Its fields, in one order for all sets.
    pub(crate) fn iter(self) -> impl Iterator<Item = Field> {
        let mut bits = self.0;
        std::iter::from_fn(move || {
            let at = bits.trailing_zeros() as usize;
            bits &= bits.wrapping_sub(1);
            Field::ALL.get(at).copied()
        })
    }
}

impl FromIterator<Field> for FieldSet {
    fn from_iter<T: IntoIterator<Item = Field>>(fields: T) -> Self {
        let mut set = Self::default();
        fields.into_iter().for_each(|field| set.insert(field));
        set
    }
}

impl Relations {
    /// What must be the same.
    pub(crate) fn key(&self) -> Key {
        Key { fields: self.same, host: self.same_location }
    }
}

/// The values by which events are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key {
    fields: FieldSet,
    /// `same_location` compares host names.
    host: bool,
}

impl Key {
    /// By which all events are the same.
    pub(crate) const NONE: Self = Self { fields: FieldSet(0), host: false };

    /// Names of the values that this event lacks.
    pub(crate) fn missing(&self, event: &Decoded) -> Vec<&'static str> {
        let lacks = |field: &Field| event.field(*field).is_none();
        self.fields.iter().filter(lacks).map(Field::label).collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::NONE
    }

    /// Writes the values one behind the other; `None` if one is missing: then nothing is the same.
    pub(crate) fn write<'v>(
        &self,
        field: impl Fn(Field) -> Option<&'v [u8]>,
        hostname: &[u8],
        out: &mut Vec<u8>,
    ) -> Option<()> {
        out.clear();
        for wanted in self.fields.iter() {
            push_value(field(wanted)?, out);
        }
        if self.host {
            push_value(hostname, out);
        }
        Some(())
    }
}

impl Counted {
    /// Whether a search of this list, by this key, for that many events must fail.
    fn rules_out(&self, list: usize, key: Key, needed: u64) -> bool {
        self.list == list && self.key == key && (self.events as u64) < needed
    }
}

/// The length in front keeps `ab`, `c` apart from `a`, `bc`.
fn push_value(value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(value.len() as u64).to_le_bytes());
    out.extend_from_slice(value);
}

/// How many earlier events a rule that counts those of a list could count at most.
pub(crate) fn candidates(memory: &mut Memory, event: &Decoded, rule: &Correlation) -> u64 {
    let Source::List { list, .. } = rule.source else { return u64::MAX };
    let key = rule.relations.key();
    if let Some(known) = memory.counted.filter(|known| known.list == list && known.key == key) {
        return known.events as u64;
    }
    let mut values = std::mem::take(&mut memory.scratch);
    let complete = key.write(|field| event.field(field), event.hostname(), &mut values);
    let numbers = complete.and_then(|()| memory.candidates(list, key, &values));
    let events = numbers.map_or(0, VecDeque::len);
    memory.scratch = values;
    memory.counted = Some(Counted { list, key, events });
    events as u64
}

/// Looks for enough related events; marks what it used when it finds them. Gives the lines to show, newest first.
pub(crate) fn search(
    memory: &mut Memory,
    event: &Decoded,
    rule: &Correlation,
) -> Option<Vec<Vec<u8>>> {
    let mut search =
        Search { event, rule, in_order: memory.in_order, count: 0, samples: Vec::new() };
    let (newest, outcome) = match &rule.source {
        Source::List { list, .. } => {
            let newest = memory.newest_of(*list)?;
            let key = rule.relations.key();
            let needed = rule.needed();
            if memory.counted.is_some_and(|known| known.rules_out(*list, key, needed)) {
                return None;
            }
            let mut values = std::mem::take(&mut memory.scratch);
            let complete = key.write(|field| event.field(field), event.hostname(), &mut values);
            let candidates = complete.and_then(|()| memory.candidates(*list, key, &values));
            let counted = Counted { list: *list, key, events: candidates.map_or(0, VecDeque::len) };
            // One mark anywhere in the list ends the search there, also on an event that is not related.
            let used_up = memory.used_up(*list, rule.level);
            let enough = candidates.filter(|_| counted.events as u64 >= needed);
            let outcome = enough.and_then(|numbers| {
                let numbers = numbers.iter().rev().copied();
                let mut fresh = numbers.take_while(|&at| used_up.is_none_or(|used| at > used));
                fresh.find_map(|number| search.look(number, memory.get(number)?))
            });
            memory.scratch = values;
            memory.counted = Some(counted);
            (newest, outcome)
        }
        Source::Pattern(text) => {
            let newest = memory.of_category(event.category).next().map(|(number, _)| number)?;
            let outcome = memory
                .of_category(event.category)
                .find_map(|(number, earlier)| search.look_by_pattern(number, earlier, text));
            (newest, outcome)
        }
    };
    let Some(Look::Enough(last)) = outcome else { return None };
    let samples = search.samples;
    for number in [last, newest] {
        memory.mark(number, rule.level);
    }
    Some(samples)
}

/// How far a search has come that has not found enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Related events that count.
    pub(crate) found: u64,
    /// Events in the list, or remembered of the category.
    pub(crate) listed: usize,
    /// What ended it.
    pub(crate) end: ProgressEnd,
}

/// What ended a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProgressEnd {
    /// There are no older events.
    Nothing,
    /// The next one is older than the timeframe.
    TooOld,
    /// A rule of the same or a higher level has used up what is older.
    UsedUp,
    /// It was successful.
    Enough,
}

/// Looks as [`search`] does, and leaves everything as it is.
pub(crate) fn progress(memory: &Memory, event: &Decoded, rule: &Correlation) -> Progress {
    let mut search =
        Search { event, rule, in_order: memory.in_order, count: 0, samples: Vec::new() };
    let (listed, outcome) = match &rule.source {
        Source::List { list, .. } => {
            let listed = memory.candidates(*list, Key::NONE, &[]).map_or(0, VecDeque::len);
            let key = rule.relations.key();
            let mut values = Vec::new();
            let complete = key.write(|field| event.field(field), event.hostname(), &mut values);
            let candidates = complete.and_then(|()| memory.candidates(*list, key, &values));
            let used_up = memory.used_up(*list, rule.level);
            let mut outcome = None;
            for &number in candidates.into_iter().flatten().rev() {
                if used_up.is_some_and(|used| number <= used) {
                    outcome = Some(Look::UsedUp);
                    break;
                }
                let Some(earlier) = memory.get(number) else { break };
                outcome = search.look(number, earlier);
                if outcome.is_some() {
                    break;
                }
            }
            (listed, outcome)
        }
        Source::Pattern(text) => {
            let mut earlier = memory.of_category(event.category);
            let outcome = earlier.find_map(|(at, event)| search.look_by_pattern(at, event, text));
            (memory.of_category(event.category).count(), outcome)
        }
    };
    let end = match outcome {
        None => ProgressEnd::Nothing,
        Some(Look::TooOld) => ProgressEnd::TooOld,
        Some(Look::UsedUp) => ProgressEnd::UsedUp,
        Some(Look::Enough(_)) => ProgressEnd::Enough,
    };
    Progress { found: search.count, listed, end }
}

/// Why a search ends.
enum Look {
    TooOld,
    UsedUp,
    Enough(u64),
}

struct Search<'a> {
    event: &'a Decoded,
    rule: &'a Correlation,
    /// Times only grow: one that is too old ends a search.
    in_order: bool,
    count: u64,
    samples: Vec<Vec<u8>>,
}

impl Search<'_> {
    /// Looks at the next older event that has the same key; `None`: go on.
    fn look(&mut self, number: u64, earlier: &Remembered) -> Option<Look> {
        if self.is_too_old(earlier) {
            return self.in_order.then_some(Look::TooOld);
        }
        self.fits(earlier).then(|| self.count(number, earlier)).flatten()
    }

    /// Looks at the next older event of the category. Ports and location do not count here when they must be the same.
    fn look_by_pattern(&mut self, number: u64, earlier: &Remembered, text: &Text) -> Option<Look> {
        if self.is_too_old(earlier) {
            return self.in_order.then_some(Look::TooOld);
        }
        if earlier.matched() >= self.rule.level {
            return Some(Look::UsedUp);
        }
        let relations = &self.rule.relations;
        let same = |field: Field| {
            let both = earlier.field(field).zip(self.event.field(field));
            matches!(field, Field::SrcPort | Field::DstPort)
                || both.is_some_and(|(old, new)| old == new)
        };
        let related =
            relations.same.iter().all(same) && self.fits(earlier) && text.is_match(earlier.log());
        related.then(|| self.count(number, earlier)).flatten()
    }

    fn is_too_old(&self, earlier: &Remembered) -> bool {
        self.event.time - earlier.time() > i64::from(self.rule.timeframe)
    }

    /// Whether all holds that no key covers: what must differ, what decoders named.
    fn fits(&self, earlier: &Remembered) -> bool {
        let relations = &self.rule.relations;
        let differs = |field: Field| {
            let both = earlier.field(field).zip(self.event.field(field));
            both.is_some_and(|(old, new)| old != new)
        };
        let named = |relation: &NamedRelation| {
            let new = self.event.tracked.get(relation.at);
            let new = new.and_then(|value| value.of(&self.event.bytes));
            let both = earlier.tracked(relation.at).zip(new);
            both.is_some_and(|(old, new)| (old == new) == relation.same)
        };
        !relations.country
            && relations.different.iter().all(differs)
            && (!relations.different_location || earlier.hostname() != self.event.hostname())
            && relations.named.iter().all(named)
    }

    fn count(&mut self, number: u64, earlier: &Remembered) -> Option<Look> {
        self.count += 1;
        let enough = self.count > u64::from(self.rule.frequency);
        let shows_last = matches!(self.rule.source, Source::List { shows_last: true, .. });
        if (!enough || shows_last) && self.samples.len() < MAX_SAMPLES {
            self.samples.push(earlier.full_log().to_vec());
        }
        enough.then_some(Look::Enough(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::ListPlan;
    use std::sync::Arc;

    /// A search as the language describes it: through the whole list, event by event.
    struct Plain {
        events: Vec<(i64, u8, [u8; 2])>,
    }

    impl Plain {
        fn search(&mut self, now: i64, values: [u8; 2], rule: &Correlation, field: usize) -> bool {
            let mut count = 0;
            let newest = self.events.len().checked_sub(1);
            for at in (0..self.events.len()).rev() {
                let (epoch, matched, old) = self.events[at];
                if now - epoch > i64::from(rule.timeframe) || matched >= rule.level {
                    return false;
                }
                if old[field] != values[field] {
                    continue;
                }
                count += 1;
                if count > rule.frequency {
                    self.events[at].1 = rule.level;
                    self.events[newest.unwrap()].1 = rule.level;
                    return true;
                }
            }
            false
        }
    }

    fn event(epoch: i64, values: [u8; 2]) -> Decoded {
        let mut event = Decoded { time: epoch, ..Decoded::default() };
        for (field, value) in [Field::SrcIp, Field::DstUser].into_iter().zip(values) {
            let value = event.append(&[value]);
            event.set(field, value);
        }
        event
    }

    #[test]
    fn looking_up_finds_what_looking_through_finds() {
        let by_ip =
            Relations { same: [Field::SrcIp].into_iter().collect(), ..Relations::default() };
        let by_user =
            Relations { same: [Field::DstUser].into_iter().collect(), ..Relations::default() };
        let rule = |frequency, timeframe, level, relations: &Relations| Correlation {
            source: Source::List { list: 0, shows_last: true },
            frequency,
            timeframe,
            level,
            relations: relations.clone(),
        };
        let rules = [rule(2, 40, 8, &by_ip), rule(1, 25, 10, &by_user), rule(3, 60, 6, &by_ip)];
        let keys = vec![by_ip.key(), by_user.key()];
        let mut memory = Memory::new(100_000, 60, &[ListPlan { limit: None, keys }]);
        let mut plain = Plain { events: Vec::new() };
        let lists: Arc<[usize]> = [0].into();
        let (mut seed, mut now, mut fired) = (9_u32, 1000, 0);
        for _ in 0..20_000 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            now += i64::from(seed >> 8 & 3);
            let values = [(seed >> 12 & 3) as u8, (seed >> 16 & 7) as u8];
            let event = event(now, values);
            let mut matched = 0;
            memory.begin_event();
            for (rule, field) in rules.iter().zip([0, 1, 0]) {
                let found = search(&mut memory, &event, rule).is_some();
                assert_eq!(found, plain.search(now, values, rule, field));
                if found {
                    matched = rule.level;
                    fired += 1;
                }
            }
            memory.store(&event, matched, &lists);
            plain.events.push((now, matched, values));
        }
        assert!(fired > 1000);
    }
}
