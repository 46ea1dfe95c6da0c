//! Logs that may grow (`growing="yes"`): as long as what was there before is there still, nobody is told.

use fim::Attributes;
use fim::extra::{self, Extra};
use fim::note::Notes;

use super::Watcher;
use super::message::Message;
use crate::baseline::Record;
use crate::hash::Digests;

/// What a look at a file shows of its growth.
pub(super) enum Growth {
    /// It has grown as it may.
    Silent,
    /// It is larger, but the digests of what was there before, so many bytes, are wanted.
    Unknown(u64),
    /// It has not grown, something else has changed too, or it must not grow.
    None,
}

impl Watcher {
    pub(super) fn growth(
        &self,
        path: &[u8],
        now: &Attributes,
        unreadable: bool,
        prefix: Option<(u64, Box<Digests>)>,
    ) -> Growth {
        if unreadable || !self.plan.entry_for(path).is_some_and(|entry| entry.options.growing) {
            return Growth::None;
        }
        let Some(Record { attributes: before, .. }) = self.baseline.get(path) else {
            return Growth::None;
        };
        let (Some(size_before), Some(size)) = (before.size, now.size) else { return Growth::None };
        if size <= size_before || !has_same_owner(&before, now) {
            return Growth::None;
        }
        match prefix {
            Some((len, digests)) if len == size_before => match holds(&digests, &before) {
                true => Growth::Silent,
                false => Growth::None,
            },
            _ => Growth::Unknown(size_before),
        }
    }

    /// The baseline follows, and that of our manager with it. A manager of OSSEC could only alert.
    pub(super) fn grown(&mut self, path: Vec<u8>, record: Record) {
        self.gate.forget(&path);
        if self.is_managers_baseline_known() {
            self.say_silently(path, record, Notes { grown: true, ..Notes::default() });
        } else {
            self.counts.received += 1;
            self.counts.filtered += 1;
            self.baseline.follow(path, record);
        }
    }

    /// The notes ask our manager to follow.
    pub(super) fn say_silently(&mut self, path: Vec<u8>, record: Record, notes: Notes) {
        self.say(Message::File { path, record: Some(record), data: notes.join(None) });
    }
}

/// All but size, digests and times.
fn has_same_owner(before: &Attributes, now: &Attributes) -> bool {
    let of_growth = [Extra::Modified, Extra::Changed, Extra::Blake3];
    let mut others = extra::ALL.into_iter().filter(|extra| !of_growth.contains(extra));
    // What is not checked is kept as 0.
    let numbers = |of: &Attributes| [of.mode, of.uid, of.gid].map(Option::unwrap_or_default);
    numbers(before) == numbers(now)
        && others.all(|extra| extra::value(&before.extra, extra) == extra::value(&now.extra, extra))
}

/// Whether these are the digests that were told.
fn holds(prefix: &Digests, before: &Attributes) -> bool {
    let blake3 = extra::value(&before.extra, Extra::Blake3);
    let has_any = before.md5.is_some()
        || before.sha1.is_some()
        || before.sha256.is_some()
        || blake3.is_some();
    has_any
        && (prefix.md5, prefix.sha1, prefix.sha256) == (before.md5, before.sha1, before.sha256)
        && blake3.is_none_or(|told| prefix.blake3.is_some() && prefix.blake3 == fim::sum::hex(told))
}
