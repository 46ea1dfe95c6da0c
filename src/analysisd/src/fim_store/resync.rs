//! Whether a host and its baseline here agree, and what to ask for when they don't. See [`fim::digest`] for what travels.
//!
//! After each complete scan a host is asked for its digest, at most once in [`PAUSE`]; what differs is asked for by buckets, [`SLICE`] of them at a time,
//! and applied as if the host had said it of its own accord: files that were missed become events, and what a bucket's listing does not
//! name is gone. A bucket that still differs afterwards (files under an `<ignore>`, files that changed too often) is left alone until the host's
//! side of it changes. So every digest leads to a bounded number of requests, and none of them to another digest.

use std::collections::{HashMap, HashSet};

use fim::digest::{Buckets, Digest, Request, bucket};

/// Seconds between two digests of one host; earlier ones are passed over.
const PAUSE: i64 = 60;
/// Buckets that are asked for at a time, unless it is all of them: the list must fit a control message.
const SLICE: usize = 64;
/// How long an empty baseline waits for what the host knows, in seconds since it last spoke; then the first scan counts as received.
const PATIENCE: i64 = 600;
/// Files of one bucket that are remembered while it is listed; a longer one leads to no deletions.
const MAX_NAMED: usize = 1 << 20;

/// What is going on with one host.
#[derive(Debug, Default)]
pub(super) struct Resync {
    asked_at: Option<i64>,
    compared_at: Option<i64>,
    /// Their digest of a bucket when it was last listed whole.
    settled: HashMap<u8, [u8; 4]>,
    theirs: Option<Box<Digest>>,
    /// Hashes of the paths that are known here, of buckets that differ.
    known: HashMap<u8, Vec<u64>>,
    /// Asked for, and not yet through.
    wanted: Buckets,
    /// To be asked for next.
    rest: Buckets,
    listing: Option<Listing>,
    first_scan: FirstScan,
    /// When its digest or a part of a listing came last.
    heard_at: i64,
}

/// A bucket that is being listed.
#[derive(Debug)]
struct Listing {
    bucket: u8,
    /// Messages that named a file of it.
    messages: u64,
    /// Hashes of their paths.
    named: HashSet<u64>,
}

/// Whether a baseline that is empty waits to be filled in silence.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum FirstScan {
    #[default]
    No,
    /// Since then nothing was heard.
    Awaited(i64),
}

impl Resync {
    /// Whether hosts with this location can be asked: this one, and agents. Registries, and scripts that watch others, can't.
    pub(super) fn is_possible(location: &[u8]) -> bool {
        match location.strip_suffix(b"->syscheck") {
            Some(agent) => agent.starts_with(b"(") && !agent.contains(&b'@'),
            None => location == b"syscheck",
        }
    }

    /// A scan is through: what to ask.
    pub(super) fn scan_completed(&mut self, now: i64) -> Option<Request> {
        if self.asked_at.is_some_and(|at| (at..at.saturating_add(PAUSE)).contains(&now)) {
            return None;
        }
        self.asked_at = Some(now);
        Some(Request::Digest)
    }

    /// The baseline is empty though a scan is through: it is to be filled in silence.
    pub(super) fn await_first_scan(&mut self, now: i64) {
        if self.first_scan == FirstScan::No {
            self.first_scan = FirstScan::Awaited(now);
        }
    }

    /// Whether it is so, still: not once the host has been silent for too long.
    pub(super) fn awaits_first_scan(&self, now: i64) -> bool {
        match self.first_scan {
            FirstScan::No => false,
            FirstScan::Awaited(since) => now.saturating_sub(since) < PATIENCE,
        }
    }

    /// Ends the waiting for a host that was silent for too long; whether it did.
    pub(super) fn gives_up_waiting(&mut self, now: i64) -> bool {
        let gives_up = self.first_scan != FirstScan::No && !self.awaits_first_scan(now);
        if gives_up {
            self.first_scan = FirstScan::No;
        }
        gives_up
    }

    /// Whether it is sending what differs; one that is silent for too long is not.
    pub(super) fn is_busy(&self, now: i64) -> bool {
        !self.is_through() && now.saturating_sub(self.heard_at) < PATIENCE
    }

    /// Whether nothing more is to come.
    pub(super) fn is_through(&self) -> bool {
        self.theirs.is_none()
    }

    /// Whether a digest is to be compared: that costs a pass over the baseline.
    pub(super) fn takes_digest(&mut self, now: i64) -> bool {
        let is_due =
            !self.compared_at.is_some_and(|at| (at..at.saturating_add(PAUSE)).contains(&now));
        if is_due {
            (self.compared_at, self.heard_at) = (Some(now), now);
        }
        is_due
    }

    /// Their digest has come: what to ask for, `None` when all is well. `known` are the files of `ours`: bucket, hash of the path.
    pub(super) fn compare(
        &mut self,
        ours: &Digest,
        known: &[(u8, u64)],
        theirs: Box<Digest>,
    ) -> Option<Request> {
        let mut differing = ours.differing(&theirs);
        for (&bucket, known) in &self.settled {
            if *known == theirs.of_bucket(bucket) {
                differing.remove(bucket);
            }
        }
        (self.listing, self.wanted, self.rest) = (None, Buckets::default(), differing);
        self.theirs = Some(theirs);
        self.known.clear();
        for &(bucket, key) in known.iter().filter(|(bucket, _)| differing.contains(*bucket)) {
            self.known.entry(bucket).or_default().push(key);
        }
        self.next_slice()
    }

    /// The baseline here is another than it was: nothing is settled.
    pub(super) fn forget(&mut self) {
        self.settled.clear();
        self.compared_at = None;
        self.asked_at = None;
    }

    /// The baseline here was emptied or replaced. What was being listed into it is to be asked for again, and fills it in silence.
    pub(super) fn restart(&mut self, now: i64) {
        if !self.is_through() {
            *self = Self::default();
            self.await_first_scan(now);
        }
        self.forget();
    }

    /// A listing begins.
    pub(super) fn begin(&mut self, bucket: u8, now: i64) {
        self.heard(now);
        let is_wanted = self.wanted.contains(bucket);
        self.listing = is_wanted.then(|| Listing { bucket, messages: 0, named: HashSet::new() });
    }

    /// A file is there; `key` is the hash of its path.
    pub(super) fn named(&mut self, path: &[u8], key: impl FnOnce() -> u64) {
        if let Some(listing) = &mut self.listing
            && bucket(path) == listing.bucket
        {
            listing.messages += 1;
            if listing.named.len() < MAX_NAMED {
                listing.named.insert(key());
            }
        }
    }

    /// A listing of so many files ends: hashes of the paths that were known before and were not named, none if it was not whole.
    pub(super) fn end(&mut self, bucket: u8, files: u64, now: i64) -> Vec<u64> {
        self.heard(now);
        let Some(listing) = self.listing.take().filter(|listing| listing.bucket == bucket) else {
            return Vec::new();
        };
        self.wanted.remove(bucket);
        let mut known = self.known.remove(&bucket).unwrap_or_default();
        if listing.messages < files || listing.named.len() >= MAX_NAMED {
            return Vec::new();
        }
        if let Some(theirs) = &self.theirs {
            self.settled.insert(bucket, theirs.of_bucket(bucket));
        }
        known.retain(|key| !listing.named.contains(key));
        known
    }

    /// What to ask for when the last slice is through.
    pub(super) fn next_slice(&mut self) -> Option<Request> {
        if !self.wanted.is_empty() {
            return None;
        }
        if self.rest.len() == fim::digest::BUCKETS {
            self.wanted = std::mem::take(&mut self.rest);
        }
        for bucket in self.rest.iter().take(SLICE).collect::<Vec<u8>>() {
            self.rest.remove(bucket);
            self.wanted.insert(bucket);
        }
        if self.wanted.is_empty() {
            (self.theirs, self.first_scan) = (None, FirstScan::No);
            self.known = HashMap::new();
            return None;
        }
        Some(Request::Resend(self.wanted))
    }

    fn heard(&mut self, now: i64) {
        self.heard_at = now;
        if self.first_scan != FirstScan::No {
            self.first_scan = FirstScan::Awaited(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fim::digest::Collector;

    fn digest(paths: &[&str]) -> Digest {
        let mut collector = Collector::default();
        for path in paths {
            collector.add(path.as_bytes(), b"1:2");
        }
        collector.finish()
    }

    #[test]
    fn a_host_is_asked_once_in_a_while() {
        let mut resync = Resync::default();
        assert_eq!(resync.scan_completed(100), Some(Request::Digest));
        assert_eq!(resync.scan_completed(159), None);
        assert_eq!(resync.scan_completed(160), Some(Request::Digest));
        assert!(resync.takes_digest(100) && !resync.takes_digest(159) && resync.takes_digest(160));
    }

    #[test]
    fn what_differs_after_a_whole_listing_is_not_asked_for_again() {
        let mut resync = Resync::default();
        let (ours, theirs) = (digest(&[]), digest(&["/ignored"]));
        let at = bucket(b"/ignored");
        let mut one = Buckets::default();
        one.insert(at);
        let ask = resync.compare(&ours, &[], Box::new(theirs.clone()));
        assert_eq!(ask, Some(Request::Resend(one)));
        resync.begin(at, 1);
        resync.named(b"/ignored", || 7);
        assert!(resync.end(at, 1, 1).is_empty());
        assert_eq!(resync.next_slice(), None);
        assert_eq!(resync.compare(&ours, &[], Box::new(theirs.clone())), None);
        resync.forget();
        assert!(resync.compare(&ours, &[], Box::new(theirs)).is_some());
    }

    #[test]
    fn many_buckets_are_asked_for_in_slices() {
        let mut resync = Resync::default();
        let paths: Vec<String> = (0..200).map(|n| format!("/f{n}")).collect();
        let theirs = digest(&paths.iter().map(String::as_str).collect::<Vec<_>>());
        let mut next = resync.compare(&digest(&[]), &[], Box::new(theirs));
        let (mut slices, mut buckets) = (0, 0);
        while let Some(Request::Resend(wanted)) = next {
            assert!(wanted.len() <= SLICE);
            slices += 1;
            for bucket in wanted.iter() {
                buckets += 1;
                resync.begin(bucket, 1);
                resync.end(bucket, 0, 1);
            }
            next = resync.next_slice();
        }
        assert!(slices == 3 && buckets > 128, "{slices} {buckets}");
    }

    #[test]
    fn what_a_whole_listing_does_not_name_is_gone() {
        let mut resync = Resync::default();
        let at = bucket(b"/a");
        let ask = |resync: &mut Resync| {
            resync.compare(&digest(&["/a"]), &[(at, 1), (at, 2)], Box::new(digest(&[])))
        };
        resync.begin(at, 1);
        assert!(resync.end(at, 0, 1).is_empty(), "not asked for");
        ask(&mut resync);
        assert!(resync.end(at, 0, 1).is_empty(), "no begin");
        resync.begin(at, 1);
        resync.named(b"/a", || 1);
        assert!(resync.end(at, 2, 1).is_empty(), "one of two is missing");
        ask(&mut resync);
        resync.begin(at, 1);
        resync.named(b"/a", || 1);
        assert_eq!(resync.end(at, 1, 1), [2]);
    }

    #[test]
    fn only_this_host_and_agents_can_be_asked() {
        for location in ["syscheck", "(web01) any->syscheck"] {
            assert!(Resync::is_possible(location.as_bytes()), "{location}");
        }
        for location in ["syscheck-registry", "(a) any->syscheck-registry", "(ssh) r@h->syscheck"] {
            assert!(!Resync::is_possible(location.as_bytes()), "{location}");
        }
    }
}
