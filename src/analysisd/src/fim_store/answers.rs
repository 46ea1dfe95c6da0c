//! The store's part in the exchange of digests: when a scan is through, and what a host answers.

use fim::Sum;
use fim::digest::{Answer, Collector, Digest, Request};
use fim::note::Notes;

use super::resync::Resync;
use super::verdict::Seen;
use super::{FimStore, Outcome, Reason, Said, StoreError, files};

/// Requests that wait to be sent; further ones are left for after the next scan.
const MAX_REQUESTS: usize = 4096;
/// Hosts that send what differs at a time; further ones wait for their turn. All of them at once would drown what else there is to judge.
pub(super) const MAX_AT_ONCE: usize = 32;

impl FimStore {
    /// A host's scan is through. A baseline that is empty then was cleared, or the host has nothing to tell: its digest will say which.
    pub(super) fn scan_completed(
        &mut self,
        location: &[u8],
        name: &[u8],
        now: i64,
    ) -> Result<Outcome, StoreError> {
        self.refresh(name)?;
        let (database, _) = self.database(name)?;
        let is_unfilled = database.is_empty() && !database.is_completed();
        let mut request = None;
        if self.policy.resync && Resync::is_possible(location) {
            let resync = self.resyncs.entry(name.to_vec()).or_default();
            request = resync.scan_completed(now);
            if is_unfilled && request.is_some() {
                resync.await_first_scan(now);
            }
        }
        self.ask(location, request);
        self.ask_next(name, now);
        if !self.resyncs.get(name).is_some_and(|resync| resync.awaits_first_scan(now)) {
            self.mark_completed(name)?;
        }
        self.maintenance.scan_completed(&self.folder, location, now);
        Ok(Outcome::Swallowed(Reason::ScanCompleted))
    }

    /// Takes what a host answers.
    pub(super) fn answer(
        &mut self,
        location: &[u8],
        name: &[u8],
        answer: Answer,
        now: i64,
    ) -> Result<Outcome, StoreError> {
        if !self.policy.resync || !Resync::is_possible(location) {
            return Ok(Outcome::Swallowed(Reason::Answer));
        }
        // Notices that an administrator has cleared it: then a digest is welcome at once.
        self.refresh(name)?;
        let has_room = !matches!(answer, Answer::Digest(_)) || self.has_room(name, now);
        let resync = self.resyncs.entry(name.to_vec()).or_default();
        // The end of a listing that nobody asked for, or of one into a baseline that was cleared meanwhile, completes nothing.
        let is_asked = matches!(answer, Answer::Digest(_)) || !resync.is_through();
        let mut events = Vec::new();
        match answer {
            Answer::Begin(bucket) => {
                resync.begin(bucket, now);
                return Ok(Outcome::Swallowed(Reason::Answer));
            }
            Answer::Digest(_) if !has_room => {
                if !self.waiting.iter().any(|waiting| waiting == location) {
                    self.waiting.push_back(location.to_vec());
                }
                return Ok(Outcome::Swallowed(Reason::Answer));
            }
            Answer::Digest(_) if !resync.takes_digest(now) => {
                return Ok(Outcome::Swallowed(Reason::Answer));
            }
            Answer::Digest(theirs) => self.compare_digests(location, name, theirs, now)?,
            Answer::End { bucket, files } => {
                let gone = resync.end(bucket, files, now);
                let request = resync.next_slice();
                self.ask(location, request);
                let said = Said { location, name, now };
                events = self.delete(&said, &gone).inspect_err(|_| {
                    // Not settled after all: asked for again after the next scan.
                    if let Some(resync) = self.resyncs.get_mut(name) {
                        resync.forget();
                    }
                })?;
            }
        }
        if is_asked && self.resyncs.get(name).is_some_and(Resync::is_through) {
            self.mark_completed(name)?;
            self.ask_next(name, now);
        }
        match events.is_empty() {
            true => Ok(Outcome::Swallowed(Reason::Answer)),
            false => Ok(Outcome::Events(events)),
        }
    }

    /// Hears that a file is there.
    pub(super) fn named(&mut self, name: &[u8], path: &[u8]) {
        if let (Some(resync), Some(database)) =
            (self.resyncs.get_mut(name), self.databases.get(name))
        {
            resync.named(path, || database.key(path));
        }
    }

    /// Ends a first scan whose host has been silent for too long.
    pub(super) fn end_first_scan(&mut self, name: &[u8], now: i64) -> Result<(), StoreError> {
        let resync = self.resyncs.get_mut(name);
        if resync.is_some_and(|resync| resync.gives_up_waiting(now)) {
            self.mark_completed(name)?;
        }
        Ok(())
    }

    fn compare_digests(
        &mut self,
        location: &[u8],
        name: &[u8],
        theirs: Box<Digest>,
        now: i64,
    ) -> Result<(), StoreError> {
        let shown = files::path_of(&self.directory, name);
        let (database, file) = self.database(name)?;
        let is_unfilled = database.is_empty() && !database.is_completed();
        let (mut collector, mut known) = (Collector::default(), Vec::new());
        let read = database.each_held(file, |key, _, line| {
            if line.sum != b"-1" {
                known.push((collector.add(line.path, line.sum), key));
            }
            Ok(())
        });
        read.map_err(|source| StoreError::new("read", &shown, source))?;
        let resync = self.resyncs.entry(name.to_vec()).or_default();
        if is_unfilled {
            resync.await_first_scan(now);
        }
        let (here, there) = (known.len(), theirs.files);
        let request = resync.compare(&collector.finish(), &known, theirs);
        if request.is_some() {
            log::info!(
                "Integrity of '{}': {there} files there, {here} in the baseline here; asking for what differs.",
                String::from_utf8_lossy(location)
            );
        }
        self.ask(location, request);
        Ok(())
    }

    /// Files that a host no longer has, by the hashes of their paths.
    fn delete(
        &mut self,
        said: &Said<'_>,
        gone: &[u64],
    ) -> Result<Vec<super::FimEvent>, StoreError> {
        let shown = files::path_of(&self.directory, said.name);
        let mut events = Vec::new();
        for &key in gone {
            let (database, file) = self.database(said.name)?;
            let path = database.path_of(file, key);
            let path = path.map_err(|source| StoreError::new("read", &shown, source))?;
            let Some(path) = path.filter(|path| !self.policy.ignores(path)) else { continue };
            let seen = Seen { sum: Sum::Deleted, text: b"-1", who: None, diff: None };
            if let Outcome::Event(event) =
                self.compare(said, &path, &seen, &Notes::default(), b"")?
            {
                events.push(*event);
            }
        }
        Ok(events)
    }

    /// Whether another host than these may send what differs.
    fn has_room(&self, name: &[u8], now: i64) -> bool {
        let others = self.resyncs.iter().filter(|(other, _)| other.as_slice() != name);
        others.filter(|(_, resync)| resync.is_busy(now)).count() < MAX_AT_ONCE
    }

    /// Asks the host that has waited for longest, when there is room for one.
    fn ask_next(&mut self, name: &[u8], now: i64) {
        if !self.waiting.is_empty()
            && self.has_room(name, now)
            && let Some(next) = self.waiting.pop_front()
        {
            self.ask(&next, Some(Request::Digest));
        }
    }

    fn ask(&mut self, location: &[u8], request: Option<Request>) {
        if let Some(request) = request.filter(|_| self.requests.len() < MAX_REQUESTS) {
            self.requests.push((location.to_vec(), request));
        }
    }

    fn mark_completed(&mut self, name: &[u8]) -> Result<(), StoreError> {
        self.database(name)?.0.mark_completed();
        self.dirty.insert(name.to_vec());
        Ok(())
    }
}

#[cfg(test)]
mod tests;
