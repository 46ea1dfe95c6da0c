//! What was seen for the first time, and what operators' rules have put on the ignore list.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use crate::decoder::FtsMask;
use crate::event::{Decoded, Field};

/// Longest key, in bytes.
const MAX_KEY: usize = 255;

/// A set that forgets its oldest entries beyond a limit.
#[derive(Debug, Default)]
pub(crate) struct BoundedSet {
    entries: HashSet<Arc<[u8]>>,
    order: VecDeque<Arc<[u8]>>,
    limit: usize,
    pub(crate) forgotten: u64,
}

impl BoundedSet {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit: limit.max(1), ..Self::default() }
    }

    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }

    pub(crate) fn contains(&self, key: &[u8]) -> bool {
        self.entries.contains(key)
    }

    /// Whether the key was not there yet.
    pub(crate) fn insert(&mut self, key: &[u8]) -> bool {
        if self.contains(key) {
            return false;
        }
        let key: Arc<[u8]> = key.into();
        self.entries.insert(Arc::clone(&key));
        self.order.push_back(key);
        if self.order.len() > self.limit
            && let Some(oldest) = self.order.pop_front()
        {
            self.entries.remove(&oldest);
            self.forgotten += 1;
        }
        true
    }
}

/// First-seen keys, with those of intrusion detection systems that look alike.
#[derive(Debug)]
pub(crate) struct FirstSeen {
    known: BoundedSet,
    /// The latest keys of intrusion detection systems, newest first.
    recent: VecDeque<Vec<u8>>,
    recent_limit: usize,
    similar_from: usize,
}

impl FirstSeen {
    pub(crate) fn new(max_keys: usize, recent_limit: usize, similar_from: usize) -> Self {
        Self {
            known: BoundedSet::new(max_keys),
            recent: VecDeque::new(),
            recent_limit,
            similar_from,
        }
    }

    /// Takes a key that was persisted earlier.
    pub(crate) fn load(&mut self, key: &[u8]) {
        self.known.insert(cut(key));
    }

    pub(crate) fn forgotten(&self) -> u64 {
        self.known.forgotten
    }

    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }

    /// The key under which the event is new, if it is.
    pub(crate) fn check(&mut self, mut key: Vec<u8>, looks_alike: bool) -> Option<Vec<u8>> {
        if self.known.contains(&key) {
            return None;
        }
        if looks_alike {
            if let Some(common) = self.third_similar(&key) {
                key.truncate(common);
            }
            self.recent.push_front(key.clone());
            self.recent.truncate(self.recent_limit);
        }
        self.known.insert(&key).then_some(key)
    }

    /// Bytes in common with the third of the recent keys that begins alike.
    fn third_similar(&self, key: &[u8]) -> Option<usize> {
        self.recent
            .iter()
            .map(|other| other.iter().zip(key).take_while(|(a, b)| a == b).count())
            .filter(|&common| common > self.similar_from)
            .nth(2)
    }
}

/// The key of an event: nine parts joined by blanks, empty where not selected.
pub(crate) fn key(event: &Decoded, mask: FtsMask, decoder_name: &[u8]) -> Vec<u8> {
    let mut parts = Parts::new(decoder_name);
    parts.field(event, mask, FtsMask::ID, Field::Id);
    parts.field(event, mask, FtsMask::DST_USER, Field::DstUser);
    // The source user: a place that no mask selects.
    parts.push(b"");
    parts.tail(event, mask);
    cut(&parts.0).to_vec()
}

/// The entry of an event for the ignore list: as [`key`], without the source user.
pub(crate) fn ignore_entry(event: &Decoded, mask: FtsMask, decoder_name: &[u8]) -> Vec<u8> {
    let mut parts = Parts::new(if mask.has(FtsMask::NAME) { decoder_name } else { b"" });
    parts.field(event, mask, FtsMask::ID, Field::Id);
    parts.field(event, mask, FtsMask::DST_USER, Field::DstUser);
    parts.tail(event, mask);
    cut(&parts.0).to_vec()
}

fn cut(key: &[u8]) -> &[u8] {
    key.get(..MAX_KEY).unwrap_or(key)
}

struct Parts(Vec<u8>);

impl Parts {
    fn new(first: &[u8]) -> Self {
        Self(first.to_vec())
    }

    fn push(&mut self, part: &[u8]) {
        self.0.push(b' ');
        self.0.extend_from_slice(part);
    }

    fn field(&mut self, event: &Decoded, mask: FtsMask, bit: u32, field: Field) {
        let value = event.field(field).filter(|_| mask.has(bit));
        self.push(value.unwrap_or_default());
    }

    fn tail(&mut self, event: &Decoded, mask: FtsMask) {
        self.field(event, mask, FtsMask::SRC_IP, Field::SrcIp);
        self.field(event, mask, FtsMask::DST_IP, Field::DstIp);
        self.field(event, mask, FtsMask::DATA, Field::Data);
        self.field(event, mask, FtsMask::SYSTEM_NAME, Field::SystemName);
        self.push(if mask.has(FtsMask::LOCATION) { event.location() } else { b"" });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_new_once() {
        let mut seen = FirstSeen::new(10, 32, 14);
        assert!(seen.check(b"sshd bob".to_vec(), false).is_some());
        assert!(seen.check(b"sshd bob".to_vec(), false).is_none());
    }

    #[test]
    fn the_fourth_key_that_looks_alike_stands_for_the_rest() {
        let mut seen = FirstSeen::new(100, 32, 6);
        for n in 0..3 {
            assert!(seen.check(format!("snort 1:1000 {n}").into_bytes(), true).is_some());
        }
        assert_eq!(seen.check(b"snort 1:1000 3".to_vec(), true).unwrap(), b"snort 1:1000 ");
        assert!(seen.check(b"snort 1:1000 4".to_vec(), true).is_none());
    }

    #[test]
    fn the_oldest_key_is_forgotten_at_the_limit() {
        let mut set = BoundedSet::new(2);
        for key in [b"a", b"b", b"c"] {
            assert!(set.insert(key));
        }
        assert!(!set.contains(b"a"));
        assert_eq!(set.forgotten, 1);
    }
}
