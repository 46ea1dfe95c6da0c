//! Rotation of one watched path: what bears the name now, and what came and went since we last looked.
//!
//! The rules, in the order in which they are needed:
//! 1. Another inode bears the name: it is the newest generation; what lies between it and ours (by time) is read before.
//! 2. The file was truncated: what we had not read of it is in a copy that begins like it; then comes what lies between.
//! 3. A file was empty when we saw it last: whatever was written to it, copied and truncated since is looked for beside it.
//! 4. A copy may be found while it is being made, before its original: then the original is read in its place.
//!
//! Order of journalling matters: a generation that was found is added before the fact by which it was found is noted, so
//! that a kill between the two finds it again.

use std::fs;
use std::io;
use std::ops::RangeBounds;
use std::time::{Duration, SystemTime};

use super::{Desk, Watch, finish};
use crate::journal::{FileFact, Identity, Key};
use crate::lineage::{self, Wanted};
use crate::tail::{Opened, Tail, identity};

impl Watch {
    /// Takes up a path whose positions are known from an earlier run, and what was rotated since.
    pub(crate) fn resume(&mut self, known: Vec<(Key, FileFact, u64)>, desk: &mut Desk<'_>) {
        let inodes: Vec<u64> = known.iter().map(|(_, fact, _)| fact.identity.inode).collect();
        // In this order: what was copied before the file was truncated is there by now.
        let mut present = Opened::at(&self.path).ok();
        let siblings = lineage::siblings(&self.path, &inodes);
        let mut newest: Option<SystemTime> = None;
        let mut same_inode = false;
        let mut current = None;
        for (key, fact, offset) in known {
            let wanted = Wanted { identity: fact.identity, fingerprint: fact.fingerprint, offset };
            same_inode |= present.as_ref().is_some_and(|p| p.identity == wanted.identity);
            if present.as_ref().is_some_and(|p| {
                p.identity == wanted.identity && wanted.is_held_by(&p.head, p.size)
            }) {
                current = present.take().map(|opened| (opened, key, fact, offset));
                continue;
            }
            let found = lineage::find_moved(&wanted, &siblings)
                .or_else(|| lineage::find_copy(&wanted, &siblings));
            match found.and_then(|sibling| sibling.open(&self.path)) {
                Some(opened) => {
                    newest = newest.max(Some(opened.modified));
                    self.resume_one(opened, key, &fact, offset, desk);
                }
                None => {
                    log::warn!(
                        "{}: the file that was read up to byte {offset} is gone; if more was written to it, that is lost",
                        self.path.display()
                    );
                    desk.outbox.ledger.close(key);
                }
            }
        }
        if let Some((opened, key, fact, offset)) = current {
            return self.resume_one(opened, key, &fact, offset, desk);
        }
        let Some(present) = present else { return self.check(desk) };
        if let Some(newest) = newest {
            self.insert_between(self.generations.len(), newest.., &present, desk);
        }
        let announcement = if same_inode { self.reduced() } else { self.rotated() };
        self.push(present, Some(announcement), desk);
    }

    /// Goes on with a known file. If it was empty when it was last seen, it could not be told from another one in the same
    /// inode: what was written to it, copied and truncated since comes first.
    fn resume_one(
        &mut self,
        opened: Opened,
        key: Key,
        fact: &FileFact,
        offset: u64,
        desk: &mut Desk<'_>,
    ) {
        if fact.fingerprint.len == 0 {
            let (at, written) = (self.generations.len(), time(fact.since)..=opened.modified);
            self.insert_between(at, written, &opened, desk);
        }
        self.push_known(opened, key, offset, desk);
    }

    fn rotated(&self) -> String {
        format!("ossec: File rotated (inode changed): '{}'.", self.path.display())
    }

    fn reduced(&self) -> String {
        format!("ossec: File size reduced (inode remained): '{}'.", self.path.display())
    }

    /// Looks what bears the name now.
    pub(crate) fn check(&mut self, desk: &mut Desk<'_>) {
        if self.is_former {
            return;
        }
        match fs::metadata(&self.path) {
            Ok(meta) => {
                let now = identity(&meta);
                let is_current =
                    self.generations.back().is_some_and(|t| t.identity == now && !t.is_finished());
                if is_current {
                    self.found();
                } else {
                    self.replaced(now, desk);
                }
            }
            Err(error) => self.is_missing(&error, desk.now),
        }
    }

    fn replaced(&mut self, now: Identity, desk: &mut Desk<'_>) {
        if let Some(at) =
            self.generations.iter().position(|t| t.identity == now && !t.is_finished())
        {
            // An older generation got its name back.
            if let Some(tail) = self.generations.remove(at) {
                self.generations.push_back(tail);
            }
            return self.found();
        }
        let opened = match Opened::at(&self.path) {
            Ok(opened) => opened,
            Err(error) => return self.is_missing(&error, desk.now),
        };
        self.found();
        // A file may have been truncated before it was renamed: its copy is not a generation of its own.
        for at in 0..self.generations.len() {
            let is_truncated = self.generations.get(at).is_some_and(Tail::is_truncated);
            if is_truncated && let Err(error) = self.truncated(at, desk) {
                self.say_unreadable(&error);
            }
        }
        // A copy of it was found first, while it was being made: the file itself is read instead.
        if let Some(at) = self.generations.iter().position(|tail| tail.is_copy_of(&opened))
            && let Some(mut tail) = self.generations.remove(at)
        {
            desk.notices.watch_file(&opened.file, &self.path, self.id);
            tail.move_to(opened);
            self.generations.push_back(tail);
            return self.describe(self.generations.len() - 1, desk);
        }
        let last = self.generations.back().filter(|tail| !tail.is_finished()).map(Tail::modified);
        let announcement = last.map(|last| {
            self.insert_between(self.generations.len(), last.., &opened, desk);
            self.rotated()
        });
        self.push(opened, announcement, desk);
    }

    /// Inserts the generations that were written last within this time, and are not known yet, before the `present` file,
    /// at `at`. Says how many there were.
    fn insert_between(
        &mut self,
        at: usize,
        written: impl RangeBounds<SystemTime>,
        present: &Opened,
        desk: &mut Desk<'_>,
    ) -> usize {
        let siblings = lineage::siblings(&self.path, &[]);
        // Read after the siblings were listed: one that begins like a file of ours is a copy of it, maybe under way.
        let present_head = present.head_now();
        let heads: Vec<Vec<u8>> = self.generations.iter().map(Tail::head_now).collect();
        let found = {
            let (mine, former) = (&self.generations, &desk.former);
            let seen = |id: Identity, head: &[u8]| {
                id == present.identity
                    || lineage::is_same_head(&present.head, head)
                    || former.knows_content(id, head)
                    || mine.iter().any(|tail| tail.identity == id)
                    || heads.iter().any(|known| lineage::is_same_head(known, head))
            };
            lineage::between(written, &siblings, &present_head, seen)
        };
        let mut count = 0;
        for sibling in found {
            if let Some(opened) = sibling.open(&self.path) {
                self.insert(at + count, opened, None, desk);
                if let Some(tail) = self.generations.get_mut(at + count) {
                    tail.found_beside = true;
                }
                count += 1;
            }
        }
        count
    }

    /// Adds the newest generation, from its start.
    fn push(&mut self, opened: Opened, announcement: Option<String>, desk: &mut Desk<'_>) {
        self.insert(self.generations.len(), opened, announcement, desk);
    }

    /// Adds a generation of which nothing was read yet.
    fn insert(
        &mut self,
        at: usize,
        opened: Opened,
        announcement: Option<String>,
        desk: &mut Desk<'_>,
    ) {
        let key = self.new_key(&opened, 0, desk);
        self.insert_known(at, opened, key, 0, desk);
        if let Some(tail) = self.generations.get_mut(at) {
            tail.announcement = announcement;
        }
    }

    /// A file that was empty has content now. Until then it could not be told from another one in the same inode: what was
    /// written to it, copied and truncated in the meantime comes first. Says how many such files there were.
    pub(super) fn look_behind(&mut self, at: usize, desk: &mut Desk<'_>) -> usize {
        // What was rotated since comes after it, not before.
        self.check(desk);
        let Some(tail) = self.generations.get(at) else { return 0 };
        let (since, Ok(mut present)) = (time(tail.since), tail.reopened()) else { return 0 };
        present.head.clone_from(&tail.head);
        self.insert_between(at, since..=present.modified, &present, desk)
    }

    /// The file at `at` was truncated: what was not read of it may be in a copy; then it is read from its start.
    pub(super) fn truncated(&mut self, at: usize, desk: &mut Desk<'_>) -> io::Result<()> {
        let Some(tail) = self.generations.get(at) else { return Ok(()) };
        let present = tail.reopened()?;
        let wanted = Wanted {
            identity: tail.identity,
            fingerprint: tail.fingerprint(),
            offset: tail.offset(),
        };
        let siblings = lineage::siblings(&self.path, &[]);
        let copy = lineage::find_copy(&wanted, &siblings).and_then(|copy| copy.open(&self.path));
        let mut next = at + 1;
        let Some(tail) = self.generations.get_mut(at) else { return Ok(()) };
        if let Some(copy) = copy {
            let after = copy.modified;
            tail.move_to(copy);
            self.describe(at, desk);
            next += self.insert_between(next, after.., &present, desk);
        } else {
            finish(tail, desk);
        }
        self.insert(next, present, Some(self.reduced()), desk);
        Ok(())
    }
}

fn time(nanoseconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_nanos(nanoseconds)
}
