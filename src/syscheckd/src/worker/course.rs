//! The course of a walk through an entry: what other threads look at ([`super::pool`]) waits here for its turn, and folders end behind
//! their files.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use settings::CheckOptions;

use super::hand::Stopped;
use super::pool::{AHEAD, Item, Opened, Seen};
use super::walk::{Found, Walk};
use crate::baseline::Mark;
use crate::plan::Entry;

/// Folders that may wait for their files.
const MOST_FOLDERS: usize = 32;

/// What a walk has still to do.
#[derive(Default)]
pub(super) struct Course {
    /// Folders to go through, the next one last.
    pub folders: Vec<Vec<u8>>,
    /// What waits, in the order of the walk.
    pub steps: VecDeque<Step>,
    /// Of the looks among the steps, what was seen so far.
    sights: VecDeque<Option<Seen>>,
    /// Number of the first of these.
    first: u64,
}

/// What waits for its turn.
pub(super) enum Step {
    /// A file; its path is with the hand.
    Look {
        was_known: bool,
        /// When the look was asked for, Unix seconds.
        now: i64,
    },
    /// A folder ends.
    End(Folder),
}

/// A folder that was listed.
pub(super) struct Folder {
    pub opened: Arc<Opened>,
    /// What was listed.
    pub names: Vec<Vec<u8>>,
    /// What is remembered and was not listed.
    pub missing: BTreeMap<Vec<u8>, Mark>,
    /// It was done before the scan was cut short.
    pub done: bool,
}

impl Course {
    /// Begins at a folder.
    pub(super) fn from(folder: &[u8]) -> Self {
        Self { folders: vec![folder.to_vec()], ..Self::default() }
    }

    /// What the threads are asked for next; its step is to follow.
    pub(super) fn item(
        &mut self,
        folder: Arc<Opened>,
        name: Vec<u8>,
        options: CheckOptions,
    ) -> Item {
        let number = self.first + self.sights.len() as u64;
        self.sights.push_back(None);
        Item { number, folder, name, options }
    }

    /// Takes what the threads have seen.
    fn take(&mut self, seen: Vec<Seen>) {
        for seen in seen {
            let at = seen.number.checked_sub(self.first).and_then(|at| usize::try_from(at).ok());
            if let Some(slot) = at.and_then(|at| self.sights.get_mut(at)) {
                *slot = Some(seen);
            }
        }
    }

    /// So much waits that the walk has to.
    fn is_full(&self) -> bool {
        self.sights.len() >= AHEAD || self.steps.len() - self.sights.len() >= MOST_FOLDERS
    }
}

impl Walk<'_> {
    /// The next folder to go through; `None` at the end, and when the scan is given up.
    pub(super) fn next_folder(
        &mut self,
        entry: &Entry,
        course: &mut Course,
    ) -> Result<Option<Vec<u8>>, Stopped> {
        while !self.hand.is_abandoned() {
            if let Some(folder) = course.folders.pop() {
                return Ok(Some(folder));
            }
            if course.steps.is_empty() {
                break;
            }
            self.step(entry, course)?;
        }
        Ok(None)
    }

    /// Waits, once too much was asked for.
    pub(super) fn keep_course(
        &mut self,
        entry: &Entry,
        course: &mut Course,
    ) -> Result<(), Stopped> {
        while course.is_full() && !self.hand.is_abandoned() {
            self.step(entry, course)?;
        }
        Ok(())
    }

    /// Ends a folder, behind what waits.
    pub(super) fn end_in_turn(
        &mut self,
        entry: &Entry,
        folder: Folder,
        course: &mut Course,
    ) -> Result<(), Stopped> {
        if course.steps.is_empty() {
            return self.end_folder(entry, folder);
        }
        course.steps.push_back(Step::End(folder));
        self.keep_course(entry, course)
    }

    /// Does the first thing that waits, or waits for what it needs.
    fn step(&mut self, entry: &Entry, course: &mut Course) -> Result<(), Stopped> {
        if let Some(Step::Look { .. }) = course.steps.front()
            && let Some(None) = course.sights.front()
        {
            let Some(pool) = &self.pool else { return Err(Stopped) };
            let seen = self.hand.wait_for(pool)?;
            course.take(seen);
            return Ok(());
        }
        match course.steps.pop_front() {
            Some(Step::End(folder)) => self.end_folder(entry, folder),
            Some(Step::Look { was_known, now }) => {
                course.first += 1;
                let sight = course.sights.pop_front().flatten().and_then(|seen| seen.sight);
                if let Some(path) = self.hand.ended_first() {
                    let found = match sight {
                        Some(sight) => self.saw(entry, &path, now, sight)?,
                        None => Found::Moved,
                    };
                    course.folders.extend(self.found(entry, path, was_known, found)?);
                }
                Ok(())
            }
            None => Ok(()),
        }
    }
}
