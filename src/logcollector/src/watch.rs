//! One watched path, and the generations of the file that bore this name; [`rotation`] tells them apart.
//!
//! The newest generation is the last one. Older ones are read to their end first, and stay open for a while: a program may
//! go on writing to a file that was rotated away. Nothing is skipped, in whatever order rename, copytruncate and restart come.

mod rotation;

use std::collections::VecDeque;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ipc::Full;
use settings::LogFormat;
use wire::Event;

use crate::format::{About, BadFile, Format, Records, for_file};
use crate::journal::{FileFact, Fingerprint, Identity, Key};
use crate::ledger::{Place, Subject};
use crate::lineage;
use crate::notice::{Notices, WatchId};
use crate::outbox::{Outbox, location_field};
use crate::tail::{Opened, Step, Tail, nanoseconds};

/// How long an older generation must have been quiet before it is closed.
const LINGER: Duration = Duration::from_secs(300);
/// The same for one that no name leads to any more: it holds back disk space.
const LINGER_DELETED: Duration = Duration::from_secs(20);
/// Older generations that stay open at the most.
const MAX_GENERATIONS: usize = 16;
/// How long a file may be missing before that is said: a rotation takes a moment.
const PATIENCE: Duration = Duration::from_secs(5);
/// Complaints about a file's content are repeated no sooner than this.
const COMPLAINT_EVERY: Duration = Duration::from_secs(60);

/// What a watch needs of the collector while it works.
pub(crate) struct Desk<'a> {
    /// The way out.
    pub outbox: &'a mut Outbox,
    /// Tells of changes.
    pub notices: &'a mut Notices,
    /// Generations that were read to their end and closed.
    pub former: &'a mut Former,
    /// To read into.
    pub buffer: &'a mut [u8],
    /// This host's name.
    pub host: &'a [u8],
    /// The local time as `Nov 21 00:22:13`.
    pub stamp: &'a str,
    /// Now.
    pub now: Instant,
}

/// Files that were read to their end: found again under another name, they are not read again.
#[derive(Debug, Default)]
pub(crate) struct Former(VecDeque<(Identity, Fingerprint)>);

impl Former {
    const MAX: usize = 4096;
    /// Shorter heads may be equal by chance.
    const MIN_HEAD: u16 = 64;

    fn add(&mut self, identity: Identity, fingerprint: Fingerprint) {
        if self.0.len() == Self::MAX {
            self.0.pop_front();
        }
        self.0.push_back((identity, fingerprint));
    }

    /// Whether it is one of these files.
    pub(crate) fn knows(&self, identity: Identity, head: &[u8]) -> bool {
        self.0.iter().any(|(known, f)| *known == identity && f.len > 0 && f.fits(head))
    }

    /// Whether it is one of these files, or a copy of one.
    fn knows_content(&self, identity: Identity, head: &[u8]) -> bool {
        self.knows(identity, head)
            || self.0.iter().any(|(_, f)| f.len >= Self::MIN_HEAD && f.fits(head))
    }
}

/// What a turn of work came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// There is more to read.
    More,
    /// All is read for now.
    Idle,
    /// The queue is full.
    Full,
}

/// Where a file is taken up of which nothing is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TakeUp {
    /// Only what is new.
    End,
    /// All of it.
    Start,
}

/// A watched path.
pub(crate) struct Watch {
    /// Its number.
    pub id: WatchId,
    /// The path.
    pub path: PathBuf,
    /// The location of the configuration that means it.
    pub location: String,
    /// Whether the location does not mean it any more: it is read to its end, and then forgotten.
    pub is_former: bool,
    format: LogFormat,
    field: Vec<u8>,
    generations: VecDeque<Tail>,
    missing: Missing,
    next_complaint: Option<Instant>,
    /// A failure to read that was said.
    unreadable: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Missing {
    No,
    Since(Instant),
    Said,
}

impl Watch {
    /// A watch of a path; nothing is opened yet.
    ///
    /// # Errors
    /// When the format does not fit the path.
    pub(crate) fn new(
        id: WatchId,
        path: PathBuf,
        location: &str,
        format: LogFormat,
        host: &[u8],
    ) -> Result<Self, BadFile> {
        let field = location_field(path.as_os_str().as_bytes());
        for_file(format, About { path: path.as_os_str().as_bytes(), host })?;
        Ok(Self {
            id,
            path,
            location: location.to_owned(),
            is_former: false,
            format,
            field,
            generations: VecDeque::new(),
            missing: Missing::No,
            next_complaint: None,
            unreadable: false,
        })
    }

    /// Takes up a path of which nothing is known.
    pub(crate) fn take_up(&mut self, how: TakeUp, desk: &mut Desk<'_>) {
        match Opened::at(&self.path) {
            Ok(opened) => {
                let offset = if how == TakeUp::End { opened.end_of_last_line() } else { 0 };
                let key = self.new_key(&opened, offset, desk);
                self.insert_known(0, opened, key, offset, desk);
            }
            Err(error) => self.say_missing(&error),
        }
    }

    fn new_key(&self, opened: &Opened, offset: u64, desk: &mut Desk<'_>) -> Key {
        let fact = self.fact(opened.identity, &opened.head, nanoseconds(opened.modified));
        desk.outbox.ledger.add(Subject::File(fact), Place::Offset(offset))
    }

    fn push_known(&mut self, opened: Opened, key: Key, offset: u64, desk: &mut Desk<'_>) {
        let fact = self.fact(opened.identity, &opened.head, nanoseconds(opened.modified));
        desk.outbox.ledger.describe(key, fact);
        self.insert_known(self.generations.len(), opened, key, offset, desk);
    }

    fn insert_known(
        &mut self,
        at: usize,
        opened: Opened,
        key: Key,
        offset: u64,
        desk: &mut Desk<'_>,
    ) {
        let Some(format) = self.fresh_format(desk.host) else { return };
        desk.notices.watch_file(&opened.file, &self.path, self.id);
        log::debug!(
            "{}: reading inode {} from byte {offset}",
            self.path.display(),
            opened.identity.inode
        );
        self.generations.insert(at, Tail::new(opened, key, offset, format, desk.now));
    }

    fn fresh_format(&self, host: &[u8]) -> Option<Box<dyn Format>> {
        for_file(self.format, About { path: self.path.as_os_str().as_bytes(), host }).ok().flatten()
    }

    fn fact(&self, identity: Identity, head: &[u8], since: u64) -> FileFact {
        let (location, path) = (self.location.clone(), self.path.clone());
        FileFact { identity, fingerprint: Fingerprint::of(head), since, location, path }
    }

    fn found(&mut self) {
        if self.missing == Missing::Said {
            log::info!("File available again: '{}'.", self.path.display());
        }
        self.missing = Missing::No;
    }

    fn is_missing(&mut self, error: &io::Error, now: Instant) {
        match self.missing {
            Missing::No => self.missing = Missing::Since(now),
            Missing::Since(since) if now >= since + PATIENCE => self.say_missing(error),
            Missing::Since(_) | Missing::Said => {}
        }
    }

    fn say_missing(&mut self, error: &io::Error) {
        self.missing = Missing::Said;
        log::error!(
            "(1103) Could not open file '{}' due to [{}].",
            self.path.display(),
            runtime::errno(error)
        );
    }

    /// When something is to be done at the latest.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let rests = self.generations.iter().filter_map(Tail::rest_due);
        let missing = match self.missing {
            Missing::Since(since) if !self.is_former => Some(since + PATIENCE),
            _ => None,
        };
        rests.chain(missing).min()
    }

    /// Records that are not handed over.
    pub(crate) fn pending(&self) -> u64 {
        self.generations.iter().map(|tail| tail.ready.len() as u64).sum()
    }

    /// Whether this is one of its generations, or a copy of one that rotation made.
    pub(crate) fn holds(&self, path: &Path, identity: Identity, head: &[u8]) -> bool {
        let is_rotation = path.parent() == self.path.parent()
            && matches!((self.path.file_name(), path.file_name()), (Some(name), Some(other))
                if lineage::is_rotation(name.as_bytes(), other.as_bytes()));
        // A copy begins empty. If it is none after all, the next re-scan takes it up.
        if is_rotation && head.is_empty() {
            return true;
        }
        self.generations.iter().any(|tail| {
            let same_inode = tail.identity == identity && head.starts_with(&tail.head);
            same_inode || (is_rotation && lineage::is_same_head(&tail.head, head))
        })
    }

    /// Reads on in another format; what the old one held back comes out first.
    pub(crate) fn change_format(&mut self, format: LogFormat, desk: &mut Desk<'_>) {
        if self.format == format {
            return;
        }
        self.format = format;
        for at in 0..self.generations.len() {
            let Some(format) = self.fresh_format(desk.host) else { return };
            let mut out = records(desk);
            if let Some(tail) = self.generations.get_mut(at) {
                let before = tail.ready.len();
                tail.change_format(format, &mut out);
                count(tail.ready.len() - before, &out, desk);
            }
        }
    }

    /// Whether nothing is left of it.
    pub(crate) fn is_empty(&self) -> bool {
        self.generations.is_empty()
    }

    /// Reads a turn: the oldest generation that has something comes first.
    pub(crate) fn work(&mut self, desk: &mut Desk<'_>) -> Turn {
        let mut at = 0;
        while at < self.generations.len() {
            match self.work_on(at, desk) {
                Ok(Step::AtEnd) => at += 1,
                Ok(Step::More) => return Turn::More,
                Ok(Step::Truncated) => {
                    if let Err(error) = self.truncated(at, desk) {
                        self.say_unreadable(&error);
                        at += 1;
                    }
                }
                Ok(Step::Failed(error)) => {
                    self.say_unreadable(&error);
                    at += 1;
                }
                Err(Full) => return Turn::Full,
            }
        }
        self.retire(desk)
    }

    fn work_on(&mut self, at: usize, desk: &mut Desk<'_>) -> Result<Step, Full> {
        self.hand_over(at, desk)?;
        let Some(tail) = self.generations.get_mut(at) else { return Ok(Step::AtEnd) };
        if tail.is_finished() {
            return Ok(Step::AtEnd);
        }
        let mut out = records(desk);
        let was_empty = tail.head.is_empty();
        let (step, head_grew) = tail.step(desk.buffer, desk.now, &mut out);
        if !matches!(step, Step::More) {
            tail.rest(desk.now, &mut out);
        }
        if matches!(step, Step::More) {
            self.unreadable = false;
        }
        self.count_at(at, &out, desk);
        if head_grew {
            // In this order: once the journal knows the head, it is not looked behind the file again.
            let came_before = if was_empty { self.look_behind(at, desk) } else { 0 };
            self.describe(at + came_before, desk);
            if came_before > 0 {
                return Ok(Step::More);
            }
        }
        self.hand_over(at, desk)?;
        Ok(step)
    }

    fn describe(&self, at: usize, desk: &mut Desk<'_>) {
        if let Some(tail) = self.generations.get(at) {
            let fact = self.fact(tail.identity, &tail.head, tail.since);
            desk.outbox.ledger.describe(tail.key, fact);
        }
    }

    fn count_at(&mut self, at: usize, out: &Records, desk: &mut Desk<'_>) {
        count(self.generations.get(at).map_or(0, |tail| tail.ready.len()), out, desk);
        let Some(complaint) = out.complaint else { return };
        if self.next_complaint.is_none_or(|at| at <= desk.now) {
            self.next_complaint = Some(desk.now + COMPLAINT_EVERY);
            log::warn!("{}: {complaint} (said once a minute)", self.path.display());
        }
    }

    fn hand_over(&mut self, at: usize, desk: &mut Desk<'_>) -> Result<(), Full> {
        let Some(tail) = self.generations.get_mut(at) else { return Ok(()) };
        if let Some(text) = &tail.announcement {
            desk.outbox.report(text)?;
            tail.announcement = None;
        }
        while let Some(record) = tail.ready.front() {
            let event =
                Event { kind: record.kind, location: &self.field, payload: &record.payload };
            desk.outbox.hand_over(&event, Some((tail.key, Place::Offset(record.resume))))?;
            tail.ready.pop_front();
        }
        if let Some(offset) = tail.resume.take() {
            desk.outbox.advance(tail.key, Place::Offset(offset));
        }
        Ok(())
    }

    /// Closes generations that are done with. What still waits in them comes out first.
    fn retire(&mut self, desk: &mut Desk<'_>) -> Turn {
        let count = self.generations.len();
        let mut turn = Turn::Idle;
        for at in 0..count {
            let is_last = at + 1 == count;
            let is_surplus = count - at > MAX_GENERATIONS;
            let Some(tail) = self.generations.get_mut(at) else { break };
            let quiet = desk.now.saturating_duration_since(tail.last_growth);
            let gone = quiet >= LINGER_DELETED && tail.is_deleted();
            let rotated = !is_last && (quiet >= LINGER || is_surplus);
            if (gone || rotated || (self.is_former && quiet >= LINGER)) && !tail.is_finished() {
                finish(tail, desk);
                turn = Turn::More;
            }
        }
        let (outbox, former) = (&mut desk.outbox, &mut desk.former);
        self.generations.retain(|tail| {
            if tail.is_spent() {
                former.add(tail.identity, tail.fingerprint());
                outbox.ledger.close(tail.key);
            }
            !tail.is_spent()
        });
        turn
    }

    fn say_unreadable(&mut self, error: &io::Error) {
        if !self.unreadable {
            self.unreadable = true;
            log::error!(
                "(1115) Could not read from file '{}' due to [{}].",
                self.path.display(),
                runtime::errno(error)
            );
        }
    }

    /// Forgets all positions: the location was taken out of the configuration.
    pub(crate) fn close(self, desk: &mut Desk<'_>) {
        for tail in self.generations {
            desk.outbox.ledger.close(tail.key);
        }
        desk.notices.forget(self.id);
    }
}

fn finish(tail: &mut Tail, desk: &mut Desk<'_>) {
    let mut out = records(desk);
    let before = tail.ready.len();
    tail.finish(&mut out);
    count(tail.ready.len() - before, &out, desk);
}

fn records(desk: &Desk<'_>) -> Records {
    Records { stamp: desk.stamp.to_owned(), ..Records::default() }
}

/// Puts into the accounts what a format gave out.
fn count(events: usize, out: &Records, desk: &mut Desk<'_>) {
    let counts = &mut desk.outbox.counts;
    counts.received += events as u64 + out.filtered + out.malformed;
    counts.filtered += out.filtered;
    counts.malformed += out.malformed;
}
