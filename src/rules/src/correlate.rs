//! Correlation: has a rule seen enough related events lately?
//!
//! Alerted events are remembered, newest last, in one bounded memory; lists refer to them by number. A rule with
//! `frequency="F"` fires when F+1 earlier related events are younger than its timeframe. Then the events that it used
//! are marked with its level, and counting begins anew.

use std::collections::VecDeque;

use crate::event::{Decoded, Field, Span};
use crate::rule::Category;
use crate::text::Text;

/// Most earlier lines that an alert shows.
const MAX_SAMPLES: usize = 11;
/// Events that make room at once when the memory is full.
const ROOM: usize = 10;

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
    /// Those whose selected rule an `if_matched_sid` names: number of the list.
    Sid(usize),
    /// Those of an `if_matched_group`: number of the list.
    Group(usize),
    /// All of the same category whose log matches.
    Pattern(Text),
}

/// What must be the same, or different.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Relations {
    pub(crate) same_id: bool,
    pub(crate) same_source_ip: bool,
    pub(crate) same_src_port: bool,
    pub(crate) same_dst_port: bool,
    pub(crate) same_user: bool,
    pub(crate) same_location: bool,
    pub(crate) different_url: bool,
    /// A country: this build knows none, so nothing is related.
    pub(crate) different_country: bool,
}

/// One remembered event.
#[derive(Debug)]
struct Remembered {
    epoch: i64,
    /// Level of the rule that has used it up; 0 if none.
    matched: u8,
    category: Category,
    bytes: Box<[u8]>,
    full_log: Span,
    log: Span,
    hostname: Span,
    fields: [Span; Field::COUNT],
}

impl Remembered {
    fn new(event: &Decoded, matched: u8) -> Self {
        Self {
            epoch: event.moment.epoch,
            matched,
            category: event.category,
            bytes: event.bytes.as_slice().into(),
            full_log: event.full_log,
            log: event.log,
            hostname: event.hostname,
            fields: event.fields,
        }
    }

    fn field(&self, field: Field) -> Option<&[u8]> {
        self.fields.get(field as usize)?.of(&self.bytes)
    }
}

/// The remembered events and the lists of them.
#[derive(Debug)]
pub(crate) struct Memory {
    events: VecDeque<Remembered>,
    /// Number of the oldest event.
    first: u64,
    capacity: usize,
    longest_timeframe: u32,
    sid_limit: usize,
    sid_lists: Vec<VecDeque<u64>>,
    group_lists: Vec<VecDeque<u64>>,
}

/// What a search found.
pub(crate) struct Found {
    pub(crate) samples: Vec<Vec<u8>>,
}

impl Memory {
    pub(crate) fn new(capacity: usize, sid_limit: usize, longest_timeframe: u32) -> Self {
        Self {
            events: VecDeque::new(),
            first: 0,
            capacity: capacity.max(1),
            longest_timeframe,
            sid_limit: sid_limit.max(1),
            sid_lists: Vec::new(),
            group_lists: Vec::new(),
        }
    }

    /// Makes room for that many lists.
    pub(crate) fn set_lists(&mut self, sid_lists: usize, group_lists: usize) {
        self.sid_lists.resize_with(sid_lists, VecDeque::new);
        self.group_lists.resize_with(group_lists, VecDeque::new);
    }

    /// Remembers an event and enters it into lists.
    pub(crate) fn store(
        &mut self,
        event: &Decoded,
        matched: u8,
        sid_list: Option<usize>,
        group_feeds: &[usize],
    ) {
        let number = self.first + self.events.len() as u64;
        self.events.push_back(Remembered::new(event, matched));
        if let Some(list) = sid_list.and_then(|list| self.sid_lists.get_mut(list)) {
            list.push_back(number);
            if list.len() > self.sid_limit {
                list.pop_front();
            }
        }
        for &feed in group_feeds {
            if let Some(list) = self.group_lists.get_mut(feed) {
                list.push_back(number);
            }
        }
        self.make_room(event.moment.epoch);
    }

    fn make_room(&mut self, now: i64) {
        if self.events.len() <= self.capacity {
            return;
        }
        let mut drop = ROOM.min(self.events.len());
        while self
            .events
            .get(drop)
            .is_some_and(|event| now - event.epoch > i64::from(self.longest_timeframe))
        {
            drop += 1;
        }
        self.events.drain(..drop);
        self.first += drop as u64;
        let first = self.first;
        for list in self.sid_lists.iter_mut().chain(&mut self.group_lists) {
            while list.front().is_some_and(|&number| number < first) {
                list.pop_front();
            }
        }
    }

    /// Looks for enough related events; marks what it used when it finds them.
    pub(crate) fn search(&mut self, event: &Decoded, rule: &Correlation) -> Option<Found> {
        let mut search = Search { event, rule, count: 0, newest: None, samples: Vec::new() };
        let found = match &rule.source {
            Source::Sid(list) => self.sid_lists.get(*list).and_then(|list| {
                list.iter().rev().find_map(|&number| search.look(number, self.get(number)?))
            }),
            Source::Group(list) => self.group_lists.get(*list).and_then(|list| {
                list.iter().rev().find_map(|&number| search.look(number, self.get(number)?))
            }),
            Source::Pattern(_) => {
                let numbered = self.events.iter().enumerate().rev();
                numbered
                    .filter(|(_, earlier)| earlier.category == event.category)
                    .find_map(|(at, earlier)| search.look(self.first + at as u64, earlier))
            }
        };
        let Some(Look::Enough(last)) = found else { return None };
        let (newest, samples) = (search.newest, search.samples);
        for number in [Some(last), newest].into_iter().flatten() {
            if let Some(used) = self.get_mut(number) {
                used.matched = rule.level;
            }
        }
        Some(Found { samples })
    }

    fn get(&self, number: u64) -> Option<&Remembered> {
        self.events.get(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    fn get_mut(&mut self, number: u64) -> Option<&mut Remembered> {
        self.events.get_mut(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }
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
    count: u64,
    newest: Option<u64>,
    samples: Vec<Vec<u8>>,
}

impl Search<'_> {
    /// Looks at the next older event; `None`: go on.
    fn look(&mut self, number: u64, earlier: &Remembered) -> Option<Look> {
        self.newest.get_or_insert(number);
        if self.event.moment.epoch - earlier.epoch > i64::from(self.rule.timeframe) {
            return Some(Look::TooOld);
        }
        if earlier.matched >= self.rule.level {
            return Some(Look::UsedUp);
        }
        if !self.is_related(earlier) {
            return None;
        }
        self.count += 1;
        let enough = self.count > u64::from(self.rule.frequency);
        let shown = !enough || matches!(self.rule.source, Source::Sid(_));
        if shown && self.samples.len() < MAX_SAMPLES {
            self.samples.push(earlier.full_log.of(&earlier.bytes).unwrap_or_default().to_vec());
        }
        enough.then_some(Look::Enough(number))
    }

    fn is_related(&self, earlier: &Remembered) -> bool {
        let relations = &self.rule.relations;
        let same = |wanted: bool, field: Field| {
            !wanted
                || matches!((earlier.field(field), self.event.field(field)),
                    (Some(old), Some(new)) if old == new)
        };
        let different_url = || match (earlier.field(Field::Url), self.event.field(Field::Url)) {
            (Some(old), Some(new)) => old != new,
            _ => false,
        };
        let common = same(relations.same_id, Field::Id)
            && same(relations.same_source_ip, Field::SrcIp)
            && same(relations.same_user, Field::DstUser)
            && (!relations.different_url || different_url())
            && !relations.different_country;
        if let Source::Pattern(text) = &self.rule.source {
            // Ports and location do not count here; nobody asks for them.
            return common && text.is_match(earlier.log.of(&earlier.bytes).unwrap_or_default());
        }
        common
            && same(relations.same_src_port, Field::SrcPort)
            && same(relations.same_dst_port, Field::DstPort)
            && (!relations.same_location
                || earlier.hostname.of(&earlier.bytes) == Some(self.event.hostname()))
    }
}
