//! The alerted events that correlation looks back on, and the lists of them.
//!
//! Events have numbers that only grow. All lie in one bounded queue, newest last; a list holds numbers, and for each key
//! that rules ask for, which of its events share which values. So a search touches only events that can count,
//! however many others there are.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::correlate::Key;
use crate::event::{Decoded, Field, Span};
use crate::rule::Category;

/// Events that make room at once when the memory is full.
const ROOM: usize = 10;

/// One remembered event.
#[derive(Debug)]
pub(crate) struct Remembered {
    time: i64,
    /// Level of the rule that has used it up; 0 if none.
    matched: u8,
    category: Category,
    bytes: Box<[u8]>,
    full_log: Span,
    log: Span,
    hostname: Span,
    fields: [Span; Field::COUNT],
    tracked: Box<[Span]>,
    /// The lists that it is in; one may be named twice.
    lists: Arc<[usize]>,
}

impl Remembered {
    pub(crate) fn time(&self) -> i64 {
        self.time
    }

    /// Value of a field that rules compare between events.
    pub(crate) fn tracked(&self, at: usize) -> Option<&[u8]> {
        self.tracked.get(at)?.of(&self.bytes)
    }

    pub(crate) fn matched(&self) -> u8 {
        self.matched
    }

    pub(crate) fn full_log(&self) -> &[u8] {
        self.full_log.of(&self.bytes).unwrap_or_default()
    }

    pub(crate) fn log(&self) -> &[u8] {
        self.log.of(&self.bytes).unwrap_or_default()
    }

    pub(crate) fn field(&self, field: Field) -> Option<&[u8]> {
        self.fields.get(field as usize)?.of(&self.bytes)
    }

    pub(crate) fn hostname(&self) -> &[u8] {
        self.hostname.of(&self.bytes).unwrap_or_default()
    }
}

/// How a list is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ListPlan {
    /// Most events in it.
    pub(crate) limit: Option<usize>,
    /// The keys by which rules search it.
    pub(crate) keys: Vec<Key>,
}

/// The remembered events and their lists.
#[derive(Debug)]
pub(crate) struct Memory {
    events: VecDeque<Remembered>,
    /// Number of the oldest event.
    first: u64,
    capacity: usize,
    /// Of all events' texts.
    bytes: usize,
    max_bytes: usize,
    /// Times only grow from event to event.
    pub(crate) in_order: bool,
    /// Events that made room for others, and those that left a full list.
    pub(crate) forgotten: Forgotten,
    longest_timeframe: u32,
    lists: Vec<List>,
    /// Values under construction, here so that their memory is used again.
    pub(crate) scratch: Vec<u8>,
    /// How many events the last search of the current event could count: rules that need more need not look.
    pub(crate) counted: Option<Counted>,
}

/// The number of events that a list has for a key's values of the current event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) list: usize,
    pub(crate) key: Key,
    pub(crate) events: usize,
}

/// What had to go before its time.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Forgotten {
    pub(crate) events: u64,
    pub(crate) listed: u64,
}

#[derive(Debug)]
struct List {
    limit: usize,
    numbers: VecDeque<u64>,
    /// For each level that has marked events here: the newest of them.
    marks: Vec<(u8, u64)>,
    indexes: Vec<Index>,
}

/// The numbers of a list's events by what they have in common.
#[derive(Debug)]
struct Index {
    key: Key,
    numbers: HashMap<Box<[u8]>, VecDeque<u64>>,
}

impl Memory {
    pub(crate) fn new(capacity: usize, longest_timeframe: u32, plans: &[ListPlan]) -> Self {
        let lists = plans.iter().map(|plan| List {
            limit: plan.limit.unwrap_or(usize::MAX).max(1),
            numbers: VecDeque::new(),
            marks: Vec::new(),
            indexes: plan.keys.iter().map(|&key| Index { key, numbers: HashMap::new() }).collect(),
        });
        Self {
            events: VecDeque::new(),
            first: 0,
            capacity: capacity.max(1),
            bytes: 0,
            max_bytes: usize::MAX,
            in_order: true,
            forgotten: Forgotten::default(),
            longest_timeframe,
            lists: lists.collect(),
            scratch: Vec::new(),
            counted: None,
        }
    }

    /// With a limit on the bytes of all texts.
    pub(crate) fn with_max_bytes(mut self, max_bytes: usize) -> Self {
        self.max_bytes = max_bytes.max(1);
        self
    }

    /// Without trust in times: an event that is too old does not end a search.
    pub(crate) fn with_times_in_order(mut self, in_order: bool) -> Self {
        self.in_order = in_order;
        self
    }

    /// How many events are remembered, and the bytes of their texts.
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.events.len(), self.bytes)
    }

    /// To be called when another event comes: what was counted for the last one does not hold for it.
    pub(crate) fn begin_event(&mut self) {
        self.counted = None;
    }

    /// Remembers an event and enters it into lists.
    pub(crate) fn store(&mut self, event: &Decoded, matched: u8, lists: &Arc<[usize]>) {
        self.counted = None;
        self.bytes += event.bytes.len();
        let number = self.first + self.events.len() as u64;
        self.events.push_back(Remembered {
            time: event.time,
            matched,
            category: event.category,
            bytes: event.bytes.as_slice().into(),
            full_log: event.full_log,
            log: event.log,
            hostname: event.hostname,
            fields: event.fields,
            tracked: event.tracked.as_slice().into(),
            lists: Arc::clone(lists),
        });
        for &list in lists.iter() {
            self.enter(list, number, matched);
        }
        self.make_room(event.time);
    }

    fn enter(&mut self, list: usize, number: u64, matched: u8) {
        let Self { lists, events, first, scratch, forgotten, .. } = self;
        let (Some(list), Some(event)) = (lists.get_mut(list), events.back()) else { return };
        list.numbers.push_back(number);
        for index in &mut list.indexes {
            index.enter(number, event, scratch);
        }
        if matched > 0 {
            list.mark(matched, number);
        }
        if list.numbers.len() > list.limit {
            list.leave(events, *first, scratch);
            forgotten.listed += 1;
        }
    }

    fn make_room(&mut self, now: i64) {
        let mut drop = match self.events.len() > self.capacity {
            true => ROOM.min(self.events.len()),
            false if self.bytes > self.max_bytes => 0,
            false => return,
        };
        let mut bytes = self.bytes - self.bytes_of(0..drop);
        while bytes > self.max_bytes && drop < self.events.len() {
            bytes -= self.bytes_of(drop..drop + 1);
            drop += 1;
        }
        self.forgotten.events += drop as u64;
        while self
            .events
            .get(drop)
            .is_some_and(|event| now - event.time > i64::from(self.longest_timeframe))
        {
            drop += 1;
        }
        let Self { lists, events, first, scratch, .. } = self;
        let kept = *first + drop as u64;
        for list in lists {
            while list.numbers.front().is_some_and(|&number| number < kept) {
                list.leave(events, *first, scratch);
            }
        }
        self.bytes -= self.bytes_of(0..drop);
        self.events.drain(..drop);
        self.first = kept;
    }

    fn bytes_of(&self, places: std::ops::Range<usize>) -> usize {
        self.events.range(places).map(|event| event.bytes.len()).sum()
    }

    pub(crate) fn get(&self, number: u64) -> Option<&Remembered> {
        remembered(&self.events, self.first, number)
    }

    /// The newest event of a list.
    pub(crate) fn newest_of(&self, list: usize) -> Option<u64> {
        self.lists.get(list)?.numbers.back().copied()
    }

    /// The newest event of a list that a rule of this level or higher has used up.
    pub(crate) fn used_up(&self, list: usize, level: u8) -> Option<u64> {
        let marks = self.lists.get(list)?.marks.iter();
        marks.filter(|(by, _)| *by >= level).map(|(_, number)| *number).max()
    }

    /// The events of a list that have these values of a key, oldest first; of the empty key all. `None`: there are none.
    pub(crate) fn candidates(
        &self,
        list: usize,
        key: Key,
        values: &[u8],
    ) -> Option<&VecDeque<u64>> {
        let list = self.lists.get(list)?;
        if key.is_empty() {
            return Some(&list.numbers);
        }
        list.indexes.iter().find(|index| index.key == key)?.numbers.get(values)
    }

    /// All events of a category, newest first.
    pub(crate) fn of_category(
        &self,
        category: Category,
    ) -> impl Iterator<Item = (u64, &Remembered)> {
        let numbered = self.events.iter().enumerate().rev();
        numbered
            .filter(move |(_, earlier)| earlier.category == category)
            .map(|(at, earlier)| (self.first + at as u64, earlier))
    }

    /// Marks an event as used up by a rule of this level, in every list that it is in.
    pub(crate) fn mark(&mut self, number: u64, level: u8) {
        let at = number.checked_sub(self.first).and_then(|at| usize::try_from(at).ok());
        let Some(event) = at.and_then(|at| self.events.get_mut(at)) else { return };
        event.matched = level;
        for &list in event.lists.iter() {
            if let Some(list) = self.lists.get_mut(list) {
                list.mark(level, number);
            }
        }
    }
}

fn remembered(events: &VecDeque<Remembered>, first: u64, number: u64) -> Option<&Remembered> {
    events.get(usize::try_from(number.checked_sub(first)?).ok()?)
}

impl List {
    fn mark(&mut self, level: u8, number: u64) {
        match self.marks.iter_mut().find(|(by, _)| *by == level) {
            Some((_, newest)) => *newest = number.max(*newest),
            None => self.marks.push((level, number)),
        }
    }

    /// Lets the oldest event go.
    fn leave(&mut self, events: &VecDeque<Remembered>, first: u64, scratch: &mut Vec<u8>) {
        let Some(number) = self.numbers.pop_front() else { return };
        let Some(event) = remembered(events, first, number) else { return };
        for index in &mut self.indexes {
            index.leave(number, event, scratch);
        }
    }
}

impl Index {
    fn enter(&mut self, number: u64, event: &Remembered, scratch: &mut Vec<u8>) {
        let written = self.key.write(|field| event.field(field), event.hostname(), scratch);
        if written.is_none() {
            return;
        }
        match self.numbers.get_mut(scratch.as_slice()) {
            Some(numbers) => numbers.push_back(number),
            None => {
                self.numbers.insert(scratch.as_slice().into(), VecDeque::from([number]));
            }
        }
    }

    fn leave(&mut self, number: u64, event: &Remembered, scratch: &mut Vec<u8>) {
        let written = self.key.write(|field| event.field(field), event.hostname(), scratch);
        if written.is_none() {
            return;
        }
        if let Some(numbers) = self.numbers.get_mut(scratch.as_slice()) {
            if numbers.front() == Some(&number) {
                numbers.pop_front();
            }
            if numbers.is_empty() {
                self.numbers.remove(scratch.as_slice());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::correlate::Relations;

    fn event(epoch: i64, ip: &str) -> Decoded {
        let mut event = Decoded { time: epoch, ..Decoded::default() };
        let ip = event.append(ip.as_bytes());
        event.set(Field::SrcIp, ip);
        event
    }

    fn memory(capacity: usize, limit: Option<usize>) -> (Memory, Key) {
        let key =
            Relations { same: [Field::SrcIp].into_iter().collect(), ..Relations::default() }.key();
        (Memory::new(capacity, 60, &[ListPlan { limit, keys: vec![key] }]), key)
    }

    #[test]
    fn a_flood_of_sources_does_not_grow_the_memory() {
        let (mut memory, _) = memory(100, None);
        let lists: Arc<[usize]> = [0, 0].into();
        for n in 0..10_000 {
            memory.store(&event(1000, &n.to_string()), 0, &lists);
        }
        assert!(memory.events.len() <= 100);
        assert_eq!(memory.lists[0].numbers.len(), 2 * memory.events.len());
        assert_eq!(memory.lists[0].indexes[0].numbers.len(), memory.events.len());
    }

    #[test]
    fn long_lines_make_room_before_there_are_many() {
        let (memory, _) = memory(1000, None);
        let mut memory = memory.with_max_bytes(100_000);
        for n in 0..50 {
            let mut event = event(1000, &n.to_string());
            event.append(&[b'x'; 60_000]);
            memory.store(&event, 0, &[0].into());
            assert!(memory.size().1 <= 100_000);
        }
        assert_eq!(memory.events.len(), 1);
        assert_eq!(memory.forgotten.events, 49);
    }

    #[test]
    fn a_list_of_one_rule_has_a_limit_of_its_own() {
        let (mut memory, key) = memory(100, Some(3));
        for _ in 0..5 {
            memory.store(&event(1000, "a"), 0, &[0].into());
        }
        let values = |ip| {
            let (event, mut values) = (event(1000, ip), Vec::new());
            key.write(|field| event.field(field), b"", &mut values).unwrap();
            values
        };
        assert_eq!(memory.candidates(0, key, &values("a")).unwrap(), &[2, 3, 4]);
        assert!(memory.candidates(0, key, &values("b")).is_none());
    }

    #[test]
    fn a_full_memory_lets_go_of_what_no_rule_looks_back_on() {
        let (mut memory, _) = memory(50, None);
        for epoch in 0..50 {
            memory.store(&event(epoch, "a"), 0, &[0].into());
        }
        memory.store(&event(100, "a"), 0, &[0].into());
        assert_eq!(memory.events.front().unwrap().time, 40);
    }
}
